package pdfa

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"unicode/utf16"
)

// What PDF writes otherwise than Go does.
type (
	name  string
	text  string
	ref   int
	array []any
	raw   []byte
)

// dict returns a dictionary of keys and values in that order.
func dict(pairs ...any) raw {
	b := []byte("<<")
	for n := 0; n+1 < len(pairs); n += 2 {
		b = append(b, '/')
		b = append(b, pairs[n].(string)...) //nolint:forcetypeassert // keys are written in this package
		b = value(b, pairs[n+1])
	}
	return append(b, ">>"...)
}

func key(prefix string, n int) string { return prefix + strconv.Itoa(n) }

// value appends a value, with a blank before it where one is needed.
func value(b []byte, v any) []byte {
	switch v := v.(type) {
	case name:
		return appendName(b, string(v))
	case text:
		return appendText(b, string(v))
	case ref:
		return append(strconv.AppendInt(append(b, ' '), int64(v), 10), " 0 R"...)
	case int:
		return strconv.AppendInt(append(b, ' '), int64(v), 10)
	case float64:
		return number(append(b, ' '), v)
	case bool:
		return strconv.AppendBool(append(b, ' '), v)
	case raw:
		return append(b, v...)
	case array:
		b = append(b, '[')
		for _, one := range v {
			b = value(b, one)
		}
		return append(b, ']')
	}
	return append(b, " null"...)
}

// number appends a number with at most three decimals.
func number(b []byte, f float64) []byte {
	b = strconv.AppendFloat(b, f, 'f', 3, 64)
	for b[len(b)-1] == '0' {
		b = b[:len(b)-1]
	}
	if b[len(b)-1] == '.' {
		b = b[:len(b)-1]
	}
	return b
}

func appendName(b []byte, s string) []byte {
	b = append(b, '/')
	for n := range len(s) {
		if c := s[n]; c > ' ' && c < 0x7f && !bytes.ContainsRune([]byte("#/()<>[]{}%"), rune(c)) {
			b = append(b, c)
		} else {
			b = fmt.Appendf(b, "#%02X", c)
		}
	}
	return b
}

// appendText appends a text string: as ASCII where it is, else as UTF-16.
func appendText(b []byte, s string) []byte {
	plain := true
	for n := range len(s) {
		plain = plain && s[n] >= ' ' && s[n] < 0x7f
	}
	if !plain {
		return append(appendUTF16(append(b, "<FEFF"...), s), '>')
	}
	b = append(b, '(')
	for n := range len(s) {
		if s[n] == '(' || s[n] == ')' || s[n] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[n])
	}
	return append(b, ')')
}

// appendUTF16 appends the hexadecimal digits of UTF-16.
func appendUTF16(b []byte, s string) []byte {
	for _, unit := range utf16.Encode([]rune(s)) {
		b = hex.AppendEncode(b, []byte{byte(unit >> 8), byte(unit)})
	}
	return b
}

// A writer writes objects: streams at once, all others packed into object streams at the end.
type writer struct {
	out    []byte
	places []place // of object n+1
	packed []object
}

type place struct {
	stream, at int // offset, or the object stream and the place in it
}

type object struct {
	number int
	body   []byte
}

// reserve returns the number of an object that is written later.
func (w *writer) reserve() int {
	w.places = append(w.places, place{})
	return len(w.places)
}

func (w *writer) object(number int, body raw) { w.packed = append(w.packed, object{number, body}) }

// stream writes a stream with further entries of its dictionary. It is compressed if z isn't nil.
func (w *writer) stream(number int, data []byte, z *zlib.Writer, pairs ...any) {
	if len(w.out) == 0 {
		w.out = append(w.out, "%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"...)
	}
	if z != nil {
		var b bytes.Buffer
		z.Reset(&b)
		_, _ = z.Write(data) // a Buffer fails never
		_ = z.Close()
		data, pairs = b.Bytes(), append(pairs, "Filter", name("FlateDecode"))
	}
	w.places[number-1] = place{at: len(w.out)}
	w.out = fmt.Appendf(w.out, "%d 0 obj\n", number)
	w.out = append(w.out, dict(append(pairs, "Length", len(data))...)...)
	w.out = append(w.out, "\nstream\n"...)
	w.out = append(w.out, data...)
	w.out = append(w.out, "\nendstream\nendobj\n"...)
}

// together is how many objects an object stream holds.
const together = 200

// end writes the packed objects and the table of all, and returns the file.
func (w *writer) end(catalog, info int, id []byte, z *zlib.Writer) []byte {
	for from := 0; from < len(w.packed); from += together {
		some := w.packed[from:min(from+together, len(w.packed))]
		stream := w.reserve()
		var index, bodies []byte
		for n, o := range some {
			w.places[o.number-1] = place{stream, n}
			index = fmt.Appendf(index, "%d %d ", o.number, len(bodies))
			bodies = append(append(bodies, o.body...), '\n')
		}
		w.stream(stream, append(index, bodies...), z, "Type", name("ObjStm"), "N", len(some), "First", len(index))
	}
	table := w.reserve()
	start := len(w.out)
	w.places[table-1] = place{at: start}
	rows := []byte{0, 0, 0, 0, 0, 0xff, 0xff}
	for _, p := range w.places {
		kind, wide, narrow := byte(1), p.at, 0
		if p.stream > 0 {
			kind, wide, narrow = 2, p.stream, p.at
		}
		rows = append(rows, kind)
		rows = binary.BigEndian.AppendUint32(rows, uint32(wide))
		rows = binary.BigEndian.AppendUint16(rows, uint16(narrow))
	}
	hexID := raw(fmt.Appendf(nil, "<%x>", id))
	w.stream(table, rows, z, "Type", name("XRef"), "Size", table+1, "W", array{1, 4, 2}, "Root", ref(catalog), "Info", ref(info),
		"ID", array{hexID, hexID})
	return fmt.Appendf(w.out, "startxref\n%d\n%%%%EOF\n", start)
}
