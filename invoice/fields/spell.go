package fields

import (
	"reflect"

	"github.com/go-json-experiment/json/jsontext"
)

// AppendMembers appends the members of a JSON object that state this part, each after a comma: of a struct without content, nothing.
// Numbers are strings, so that no reader on the way makes floats of them. In lists, each element is an object, also where the part
// has nothing of it: so two parts that are read one after the other make the whole.
func (o *Object) AppendMembers(b []byte, of any, part Part) ([]byte, error) {
	return o.members(b, value(of), part)
}

// AppendObject is [Object.AppendMembers] in braces. It appends nothing if the struct states nothing in this part.
func (o *Object) AppendObject(b []byte, of any, part Part) ([]byte, error) {
	start := len(b)
	b, err := o.spell(b, value(of), part)
	if len(b) == start+len("{}") {
		b = b[:start]
	}
	return b, err
}

func (o *Object) spell(b []byte, v reflect.Value, part Part) ([]byte, error) {
	start := len(b)
	b, err := o.members(b, v, part)
	if len(b) == start {
		return append(b, '{', '}'), err
	}
	b[start] = '{' // instead of the first comma
	return append(b, '}'), err
}

func (o *Object) members(b []byte, v reflect.Value, part Part) (_ []byte, err error) {
	spelled := o.parts[part]
	if part == All {
		spelled = o.fields // checks among them
	}
	for _, f := range spelled {
		in := f.in(v)
		if in.IsZero() {
			continue
		}
		start := len(b)
		b = append(append(append(b, ',', '"'), f.name...), '"', ':')
		switch f.kind {
		case text:
			b, err = jsontext.AppendQuote(b, in.String())
		case number, present:
			b = append(decimalIn(in).Append(append(b, '"')), '"')
		case truth:
			b = append(b, "true"...)
		case object:
			empty := len(b) + len("{}")
			if b, err = f.of.spell(b, in.Elem(), part); len(b) == empty {
				b = b[:start]
			}
		case list:
			b, err = f.spellList(b, start, in, part)
		}
		if err != nil {
			return b, err
		}
	}
	return b, nil
}

// spellList appends the elements of a list, and takes what was appended from start on back if it states nothing in this part.
func (f *field) spellList(b []byte, start int, in reflect.Value, part Part) (_ []byte, err error) {
	separator, states := byte('['), part == All && in.Len() > 0
	for n := 0; n < in.Len() && err == nil; n++ {
		b = append(b, separator)
		empty := len(b) + len("{}")
		b, err = f.of.spell(b, in.Index(n), part)
		states = states || len(b) > empty
		separator = ','
	}
	if !states {
		return b[:start], err
	}
	return append(b, ']'), err
}
