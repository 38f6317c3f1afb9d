package fields

import (
	"reflect"
	"strconv"
	"strings"
)

// Show returns the value of the field with that path, as [Object.Differences] names it: "" if it is absent, and of a list the number of
// its elements. It returns false where a person may stand in it, and for a path that leads to no single value.
func (o *Object) Show(of any, path string) (string, bool) { return o.show(value(of), path) }

func (o *Object) show(v reflect.Value, path string) (string, bool) {
	first, rest, deeper := strings.Cut(path, ".")
	name, index, indexed := strings.Cut(strings.TrimSuffix(first, "]"), "[")
	i := o.names.Index([]byte(name))
	if i < 0 {
		return "", false
	}
	f := o.fields[i]
	in := f.in(v)
	switch f.kind {
	case object:
		if !deeper {
			return "", false
		}
		return f.of.show(orZero(in), rest)
	case list:
		n, err := strconv.Atoi(index)
		switch {
		case !indexed:
			return strconv.Itoa(in.Len()) + " " + f.name, true
		case err != nil || !deeper || n < 0 || n >= in.Len():
			return "", false
		}
		return f.of.show(in.Index(n), rest)
	case text, number, present, truth:
	}
	switch {
	case deeper || indexed || f.personal:
		return "", false
	case in.IsZero():
		return "", true
	case f.kind == text:
		return in.String(), true
	case f.kind == truth:
		return "true", true
	default:
		return decimalIn(in).String(), true
	}
}
