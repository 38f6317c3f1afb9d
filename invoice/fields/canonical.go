package fields

import (
	"reflect"
	"strconv"
)

// AppendCanonical appends the canonical form of a part of the struct: equal content has equal forms, and other content has another one.
//
// Each field that is present follows as its name and its value, in the order of the description. A name, a text, a number and true are
// written as the number of their bytes, a colon, the bytes and a comma. An object is its fields in braces. A list is the number of its
// elements, written as a number is, and then each element as an object. Numbers are as short as possible.
func (o *Object) AppendCanonical(b []byte, of any, part Part) []byte {
	return o.canonical(b, value(of), part)
}

func (o *Object) canonical(b []byte, v reflect.Value, part Part) []byte {
	for _, f := range o.parts[part] {
		in := f.in(v)
		if in.IsZero() {
			continue
		}
		start := len(b)
		b = AppendText(b, f.name)
		switch f.kind {
		case text:
			b = AppendText(b, in.String())
		case number, present:
			var digits [40]byte
			b = appendBytes(b, decimalIn(in).Append(digits[:0]))
		case truth:
			b = AppendText(b, "true")
		case object:
			empty := len(b) + 1
			if b = f.of.canonical(append(b, '{'), in.Elem(), part); len(b) == empty {
				b = b[:start]
			} else {
				b = append(b, '}')
			}
		case list:
			b = f.canonicalList(b, start, in, part)
		}
	}
	return b
}

// canonicalList appends the elements of a list, and takes what was appended from start on back if it states nothing in this part.
func (f *field) canonicalList(b []byte, start int, in reflect.Value, part Part) []byte {
	b = AppendText(b, strconv.Itoa(in.Len()))
	states := part == All && in.Len() > 0
	for n := range in.Len() {
		empty := len(b) + 1
		b = f.of.canonical(append(b, '{'), in.Index(n), part)
		states = states || len(b) > empty
		b = append(b, '}')
	}
	if !states {
		return b[:start]
	}
	return b
}

// AppendText appends the number of the text's bytes, a colon, the bytes and a comma.
func AppendText(b []byte, s string) []byte {
	b = strconv.AppendInt(b, int64(len(s)), 10)
	b = append(append(b, ':'), s...)
	return append(b, ',')
}

func appendBytes(b, text []byte) []byte {
	b = strconv.AppendInt(b, int64(len(text)), 10)
	b = append(append(b, ':'), text...)
	return append(b, ',')
}

// Differences appends the names of the fields in which the contents of two structs differ: prepaid, buyer.address.city,
// allowances[2].amount, or allowances if the lists have different lengths. The prefix stands before each name.
func (o *Object) Differences(names []string, prefix string, a, b any) []string {
	return o.differences(names, prefix, value(a), value(b))
}

func (o *Object) differences(names []string, prefix string, a, b reflect.Value) []string {
	for _, f := range o.parts[All] {
		x, y := f.in(a), f.in(b)
		name := prefix + f.name
		switch {
		case f.absent(x, All) && f.absent(y, All):
		case f.kind == object:
			names = f.of.differences(names, name+".", orZero(x), orZero(y))
		case f.kind == list && x.Len() != y.Len():
			names = append(names, name)
		case f.kind == list:
			for n := range x.Len() {
				names = f.of.differences(names, name+"["+strconv.Itoa(n)+"].", x.Index(n), y.Index(n))
			}
		case f.kind == present && !x.IsNil() && !y.IsNil():
			if decimalIn(x) != decimalIn(y) {
				names = append(names, name)
			}
		case !x.Equal(y):
			names = append(names, name)
		}
	}
	return names
}

// orZero returns what a pointer refers to, or a zero struct for nil.
func orZero(pointer reflect.Value) reflect.Value {
	if pointer.IsNil() {
		return reflect.New(pointer.Type().Elem()).Elem()
	}
	return pointer.Elem()
}

// Shown returns the names of all fields that are only shown, as [Object.Differences] names them, but without the indexes in lists:
// allowances[].reason.
func (o *Object) Shown(prefix string) (names []string) {
	for _, f := range o.fields {
		switch {
		case f.shown:
			names = append(names, prefix+f.name)
		case f.kind == object:
			names = append(names, f.of.Shown(prefix+f.name+".")...)
		case f.kind == list:
			names = append(names, f.of.Shown(prefix+f.name+"[].")...)
		}
	}
	return names
}
