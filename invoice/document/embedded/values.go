package embedded

import (
	"bytes"
	"errors"
)

var errEndless = errors.New("the PDF has more in it than is read: too many objects, or streams that are too big")

// value returns what a reference refers to, and everything else as it is.
func (f *file) value(v any) any {
	for range mostDepth {
		r, is := v.(ref)
		if !is {
			return v
		}
		v = f.find(r.number)
	}
	return nil
}

// dictionary returns a dictionary, that of a stream too, and nil for everything else.
func (f *file) dictionary(v any) dict {
	switch v := f.value(v).(type) {
	case dict:
		return v
	case *stream:
		return v.dict
	}
	return nil
}

// find returns an object by its number, nil if there is none, or if it is looked for by too many others: an object may need one for its length
// that needs one for its length.
func (f *file) find(number int) any {
	p, ok := f.places[number]
	if !ok || p.free || f.exhausted() || f.depth > mostDepth {
		return nil
	}
	f.depth++
	defer func() { f.depth-- }()
	if p.stream > 0 {
		list := f.unpack(p.stream)
		if n := 2 * p.index; n+1 < len(list) && list[n] == number {
			return list[n+1]
		}
		f.spent.bytes += len(list)
		for n := 0; n+1 < len(list); n += 2 {
			if list[n] == number {
				return list[n+1]
			}
		}
		f.broken = true
		return nil
	}
	if v, ok := f.known[number]; ok {
		return v
	}
	found, v := f.at(p.offset)
	if found != number {
		f.broken = true
		v = nil
	}
	f.known[number] = v
	return v
}

// at reads the object at an offset. Its number is -1 if there is none.
func (f *file) at(offset int) (number int, v any) {
	s := f.scanner(offset)
	number, isNumber := s.object(0).(int)
	_, isGeneration := s.object(0).(int)
	if obj, _ := s.object(0).(word); !isNumber || !isGeneration || obj != "obj" {
		return -1, nil
	}
	v = s.object(0)
	d, ok := v.(dict)
	if !ok {
		if _, ok := v.(word); ok {
			v = nil // such as endobj
		}
		return number, v
	}
	behind := s.at
	if w, _ := s.object(0).(word); w != "stream" {
		s.at = behind
		return number, d
	}
	from := s.at
	switch rest := f.in[from:]; {
	case bytes.HasPrefix(rest, []byte("\r\n")):
		from += 2
	case len(rest) > 0 && (rest[0] == '\n' || rest[0] == '\r'):
		from++
	}
	return number, &stream{dict: d, raw: f.in[from:f.end(number, d, from)]}
}

// end is where a stream that begins there ends: by its length, and where that is wrong, before the word endstream.
func (f *file) end(number int, d dict, from int) int {
	length := -1
	if !f.resolving[number] {
		f.resolving[number] = true
		if n, ok := f.value(d["Length"]).(int); ok {
			length = n
		}
		delete(f.resolving, number)
	}
	if length >= 0 && length <= len(f.in)-from {
		s := f.scanner(from + length)
		if w, _ := s.object(0).(word); w == "endstream" {
			return from + length
		}
	}
	end := bytes.Index(f.in[from:], []byte("endstream"))
	if end < 0 {
		f.spent.bytes += len(f.in) - from
		return len(f.in)
	}
	f.spent.bytes += end
	end += from
	if end > from && f.in[end-1] == '\n' {
		end--
	}
	if end > from && f.in[end-1] == '\r' {
		end--
	}
	return end
}

// unpack returns numbers and objects of an object stream in turn.
func (f *file) unpack(number int) []any {
	if list, ok := f.packed[number]; ok {
		return list
	}
	f.packed[number] = nil // for streams that stand in themselves
	p, ok := f.places[number]
	if !ok || p.free || p.stream > 0 {
		return nil
	}
	found, v := f.at(p.offset)
	if s, ok := v.(*stream); ok && found == number {
		f.packed[number] = f.objectsOf(s)
	}
	return f.packed[number]
}

func (f *file) objectsOf(s *stream) (list []any) {
	count, _ := f.value(s.dict["N"]).(int)
	first, _ := f.value(s.dict["First"]).(int)
	content, err := f.decode(s)
	if err != nil || first < 0 || first > len(content) {
		return nil
	}
	index := &scanner{in: content, spent: &f.spent}
	for range count {
		number, isNumber := index.object(0).(int)
		offset, isOffset := index.object(0).(int)
		if !isNumber || !isOffset || f.exhausted() {
			break
		}
		if offset < 0 || offset > len(content)-first {
			continue
		}
		one := &scanner{in: content, at: first + offset, spent: &f.spent}
		list = append(list, number, one.object(0))
	}
	return list
}

// repair looks for the objects of a file whose references are broken: the last one with a number is the one that counts.
func (f *file) repair() {
	f.repaired, f.broken = true, false
	f.places, f.packed, f.known = make(map[int]place), make(map[int][]any), make(map[int]any)
	old := f.trailer
	f.trailer = dict{}
	for at := 0; !f.exhausted(); {
		found := bytes.Index(f.in[at:], []byte("obj"))
		if found < 0 {
			break
		}
		at += found + len("obj")
		if offset, number, ok := f.before(at - len("obj")); ok {
			f.places[number] = place{offset: offset}
			f.consider(offset, number)
		}
	}
	f.known = make(map[int]any) // what wasn't found may have been found by now
	f.spent.bytes += len(f.in)
	for at := 0; !f.exhausted(); {
		found := bytes.Index(f.in[at:], []byte("trailer"))
		if found < 0 {
			break
		}
		at += found + len("trailer")
		if d, ok := f.scanner(at).object(0).(dict); ok && (d["Root"] != nil || d["Encrypt"] != nil) {
			f.trailer = d
		}
	}
	if f.trailer["Root"] == nil {
		f.trailer["Root"] = old["Root"]
	}
	if f.trailer["Encrypt"] == nil && old["Encrypt"] != nil {
		f.trailer["Encrypt"] = old["Encrypt"]
	}
	if f.dictionary(f.trailer["Root"])["Type"] == name("Catalog") {
		return
	}
	for _, number := range f.numbers() {
		if f.dictionary(ref{number, 0})["Type"] == name("Catalog") {
			f.trailer["Root"] = ref{number, 0}
		}
	}
}

// before reads the two numbers that stand before the word obj.
func (f *file) before(at int) (offset, number int, ok bool) {
	back := func(of func(byte) bool) bool {
		const most = 12
		from := at
		for at > 0 && from-at < most && of(f.in[at-1]) {
			at--
		}
		return at < from
	}
	if !back(blank) || !back(digit) || !back(blank) || !back(digit) {
		return 0, 0, false
	}
	number, ok = f.scanner(at).plain()
	return at, number, ok && number < mostItems
}

// consider takes note of what an object stream holds, and of what a stream of references knows.
func (f *file) consider(offset, number int) {
	const most = 400 // a stream's dictionary comes first
	head := f.in[offset:min(len(f.in), offset+most)]
	objects, references := bytes.Contains(head, []byte("/ObjStm")), bytes.Contains(head, []byte("/XRef"))
	if !objects && !references {
		return
	}
	_, v := f.at(offset)
	s, ok := v.(*stream)
	switch {
	case !ok:
	case s.dict["Type"] == name("XRef"):
		if s.dict["Root"] != nil || s.dict["Encrypt"] != nil {
			f.trailer = s.dict
		}
	case s.dict["Type"] == name("ObjStm") && f.trailer["Encrypt"] == nil:
		held := f.spent.held
		list := f.objectsOf(s)
		for n := 0; n+1 < len(list); n += 2 {
			if inside, ok := list[n].(int); ok && inside != number {
				f.places[inside] = place{stream: number, index: n / 2}
			}
		}
		if !f.exhausted() {
			f.spent.held = held // few of them are needed: they are read again then
		}
	}
}
