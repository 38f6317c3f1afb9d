package embedded

import (
	"bytes"
	"strconv"
)

// What a PDF is made of. A number is an int or a float64, and null is nil.
type (
	name  string
	text  []byte
	array []any
	dict  map[string]any
	ref   struct{ number, generation int }
	word  string // such as obj, endobj, stream
)

// A stream is a dictionary with bytes, as they stand in the file.
type stream struct {
	dict dict
	raw  []byte
}

// A scanner reads objects from bytes. Where it finds nonsense it returns nil or a word, and goes on.
type scanner struct {
	in    []byte
	at    int
	spent *cost
}

// A cost is what all scanners of a file have read, and about how much memory they have made of it.
type cost struct{ bytes, items, held int }

// About how many bytes of memory the parts of objects take, with what a slice or a map has to spare.
const (
	heldItem  = 48  // of an array
	heldEntry = 40  // of a dictionary
	heldDict  = 320 // that has an entry
	heldText  = 32  // beside its bytes
)

func blank(c byte) bool {
	return c == 0 || c == '\t' || c == '\n' || c == '\f' || c == '\r' || c == ' '
}

func delimiter(c byte) bool { return bytes.IndexByte([]byte("()<>[]{}/%"), c) >= 0 }

func digit(c byte) bool { return c >= '0' && c <= '9' }

func (s *scanner) blanks() {
	for s.at < len(s.in) {
		switch c := s.in[s.at]; {
		case blank(c):
			s.at++
		case c == '%':
			for s.at < len(s.in) && s.in[s.at] != '\n' && s.in[s.at] != '\r' {
				s.at++
			}
		default:
			return
		}
	}
}

// object reads an object, and a reference as one. At the end, and for what is nested too deeply, it returns the word "".
func (s *scanner) object(depth int) any {
	if depth == 0 {
		before := s.at
		defer func() { s.spent.bytes += s.at - before }()
	}
	s.blanks()
	if s.spent.items++; s.at >= len(s.in) || depth > mostDepth || s.spent.items > mostParts || s.spent.held > mostHeld {
		s.at = len(s.in)
		return word("")
	}
	c := s.in[s.at]
	next := byte(0)
	if s.at+1 < len(s.in) {
		next = s.in[s.at+1]
	}
	switch {
	case c == '/':
		return s.name()
	case c == '(':
		return s.literal()
	case c == '<' && next == '<':
		return s.dictionary(depth)
	case c == '<':
		return s.hexadecimal()
	case c == '[':
		return s.array(depth)
	case digit(c), c == '+', c == '-', c == '.':
		return s.number()
	case c == '>' && next == '>':
		s.at += 2
		return word(">>")
	case delimiter(c):
		s.at++
		return word(c)
	}
	from := s.at
	for s.at < len(s.in) && !blank(s.in[s.at]) && !delimiter(s.in[s.at]) {
		s.at++
	}
	switch w := word(s.in[from:s.at]); w {
	case "true":
		return true
	case "false":
		return false
	case "null":
		return nil
	default:
		return w
	}
}

func (s *scanner) name() name {
	s.at++
	var b []byte
	for s.at < len(s.in) && !blank(s.in[s.at]) && !delimiter(s.in[s.at]) {
		c := s.in[s.at]
		if c == '#' && s.at+2 < len(s.in) {
			if code, err := strconv.ParseUint(string(s.in[s.at+1:s.at+3]), 16, 8); err == nil {
				c = byte(code)
				s.at += 2
			}
		}
		b = append(b, c)
		s.at++
	}
	s.spent.held += heldText + len(b)
	return name(b)
}

// number reads a number, or a reference if it is one: 7 0 R.
func (s *scanner) number() any {
	from := s.at
	for s.at < len(s.in) && (digit(s.in[s.at]) || s.in[s.at] == '+' || s.in[s.at] == '-' || s.in[s.at] == '.') {
		s.at++
	}
	spelled := string(s.in[from:s.at])
	n, err := strconv.Atoi(spelled)
	if err != nil {
		f, _ := strconv.ParseFloat(spelled, 64) // nonsense is 0
		return f
	}
	const mostNumber = 1 << 30
	if n < 0 || n > mostNumber {
		return n
	}
	behind := *s
	if generation, ok := behind.plain(); ok {
		if behind.blanks(); behind.at < len(s.in) && s.in[behind.at] == 'R' && (behind.at+1 == len(s.in) || blank(s.in[behind.at+1]) || delimiter(s.in[behind.at+1])) {
			s.at = behind.at + 1
			return ref{n, generation}
		}
	}
	return n
}

// plain reads a number of a few digits.
func (s *scanner) plain() (int, bool) {
	const most = 10
	s.blanks()
	from := s.at
	for s.at < len(s.in) && digit(s.in[s.at]) && s.at-from < most {
		s.at++
	}
	n, err := strconv.Atoi(string(s.in[from:s.at]))
	return n, err == nil
}

func (s *scanner) array(depth int) array {
	s.at++
	list := array{}
	for {
		v := s.object(depth + 1)
		if w, ok := v.(word); ok {
			if w == "]" || w == "" || w == "endobj" {
				return list
			}
			continue
		}
		s.spent.held += heldItem
		list = append(list, v)
	}
}

func (s *scanner) dictionary(depth int) dict {
	s.at += 2
	d := dict{}
	s.spent.held += heldItem
	for {
		switch key := s.object(depth + 1).(type) {
		case word:
			if key == ">>" || key == "" || key == "endobj" || key == "stream" {
				return d
			}
		case name:
			v := s.object(depth + 1)
			if w, ok := v.(word); ok {
				if w == ">>" || w == "" || w == "endobj" {
					return d
				}
				continue
			}
			if s.spent.held += heldEntry; len(d) == 0 {
				s.spent.held += heldDict
			}
			d[string(key)] = v
		}
	}
}

func (s *scanner) hexadecimal() text {
	s.at++
	end := bytes.IndexByte(s.in[s.at:], '>')
	if end < 0 {
		end = len(s.in) - s.at
	}
	out := unhex(s.in[s.at : s.at+end])
	s.spent.held += heldText + len(out)
	s.at = min(s.at+end+1, len(s.in))
	return out
}

// unhex decodes hexadecimal digits, a missing last one as 0. It leaves out what isn't one.
func unhex(in []byte) []byte {
	out := make([]byte, 0, len(in)/2+1)
	half, high := false, byte(0)
	for _, c := range in {
		var v byte
		switch {
		case digit(c):
			v = c - '0'
		case c >= 'a' && c <= 'f':
			v = c - 'a' + 10
		case c >= 'A' && c <= 'F':
			v = c - 'A' + 10
		default:
			continue
		}
		if half {
			out = append(out, high<<4|v)
		}
		half, high = !half, v
	}
	if half {
		out = append(out, high<<4)
	}
	return out
}

// literal reads a string in parentheses, which may be nested.
func (s *scanner) literal() text {
	s.at++
	out := text{}
	defer func() { s.spent.held += heldText + len(out) }()
	for open := 1; s.at < len(s.in); s.at++ {
		c := s.in[s.at]
		switch c {
		case '(':
			open++
		case ')':
			if open--; open == 0 {
				s.at++
				return out
			}
		case '\\':
			out = s.escaped(out)
			continue
		}
		out = append(out, c)
	}
	return out
}

// escaped reads what follows a backslash. It ends on the last byte of it.
func (s *scanner) escaped(out text) text {
	if s.at++; s.at >= len(s.in) {
		return out
	}
	c := s.in[s.at]
	switch c {
	case 'n':
		return append(out, '\n')
	case 'r':
		return append(out, '\r')
	case 't':
		return append(out, '\t')
	case 'b':
		return append(out, '\b')
	case 'f':
		return append(out, '\f')
	case '\r':
		if s.at+1 < len(s.in) && s.in[s.at+1] == '\n' {
			s.at++
		}
		return out
	case '\n':
		return out
	}
	if c < '0' || c > '7' {
		return append(out, c)
	}
	code := 0
	for n := 0; n < 3 && s.at < len(s.in) && s.in[s.at] >= '0' && s.in[s.at] <= '7'; n++ {
		code = code*8 + int(s.in[s.at]-'0')
		s.at++
	}
	s.at--
	return append(out, byte(code))
}
