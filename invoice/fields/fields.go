package fields

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"invoicer/invoice/decimal"
)

// An Object describes the fields of a struct. Its methods take a pointer to such a struct.
type Object struct {
	name   string // of the struct
	fields []*field
	names  Names
	nested []*field               // those that are objects or lists
	parts  [Personal + 1][]*field // those that may belong to each part
}

// A field describes one field.
type field struct {
	name     string
	at       []int // index of the struct's field, as of [reflect.Value.FieldByIndex]
	kind     kind
	of       *Object // of an object, and of a list's elements
	format   *Format
	like     string   // the format's name
	one      []string // the texts that are allowed; nil for any
	most     int
	required bool
	percent  bool
	personal bool
	shown    bool
	check    bool
}

type kind uint8

const (
	text kind = iota
	number
	present // a number that may be 0
	truth
	object
	list
)

// Describe returns the description of a struct. It panics at a tag that it doesn't know, and at a type that no field can have: both
// are mistakes in the program's own text.
func Describe[T any]() *Object { return describe(reflect.TypeFor[T](), false) }

//nolint:gochecknoglobals // constants
var (
	decimalType = reflect.TypeFor[decimal.Decimal]()
	pointerType = reflect.TypeFor[*decimal.Decimal]()
)

func describe(t reflect.Type, personal bool) *Object {
	o := &Object{name: t.Name()}
	o.add(t, nil, personal)
	var names []string
	for _, f := range o.fields {
		names = append(names, f.name)
		if f.of != nil {
			o.nested = append(o.nested, f)
		}
		for part := range o.parts {
			if f.holds(Part(part)) {
				o.parts[part] = append(o.parts[part], f)
			}
		}
	}
	o.names = NewNames(names)
	return o
}

func (o *Object) add(t reflect.Type, at []int, personal bool) {
	for i := range t.NumField() {
		f := t.Field(i)
		index := append(slices.Clip(at), i)
		if f.Anonymous {
			o.add(f.Type, index, personal)
			continue
		}
		o.fields = append(o.fields, describeField(f, index, personal))
	}
}

func describeField(f reflect.StructField, at []int, personal bool) *field {
	options := strings.Split(f.Tag.Get("job"), ",")
	d := &field{name: options[0], at: at, personal: personal}
	for _, option := range options[1:] {
		d.apply(option)
	}
	switch t := f.Type; {
	case t == decimalType:
		d.kind = number
	case t == pointerType:
		d.kind = present
	case t.Kind() == reflect.Bool:
		d.kind = truth
	case t.Kind() == reflect.String:
		d.kind = text
		d.personal = d.personal || d.format == nil && d.one == nil
	case t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Struct:
		d.kind, d.of = object, describe(t.Elem(), d.personal)
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
		d.kind, d.of = list, describe(t.Elem(), d.personal)
	default:
		panic(fmt.Sprintf("field %s has type %s", f.Name, t)) //nolint:forbidigo // a mistake in the program's own text
	}
	return d
}

func (f *field) apply(option string) {
	name, value, _ := strings.Cut(option, "=")
	var err error
	switch name {
	case "required":
		f.required = true
	case "percent":
		f.percent = true
	case "personal":
		f.personal = true
	case "shown":
		f.shown = true
	case "check":
		f.check = true
	case "one":
		f.one = strings.Split(value, "|")
	case "most":
		f.most, err = strconv.Atoi(value)
	case "like":
		if f.like, f.format = value, formats[value]; f.format == nil {
			err = fmt.Errorf("no format %s", value)
		}
	default:
		err = fmt.Errorf("no option %s", name)
	}
	if err != nil {
		panic(fmt.Sprintf("field %s: %v", f.name, err)) //nolint:forbidigo // a mistake in the program's own text
	}
}

// Name returns the name of the struct.
func (o *Object) Name() string { return o.name }

// Names returns the names of the fields, in their order.
func (o *Object) Names() *Names { return &o.names }

// value returns the struct that a pointer refers to.
func value(of any) reflect.Value { return reflect.ValueOf(of).Elem() }

func (f *field) in(v reflect.Value) reflect.Value {
	for _, i := range f.at { // FieldByIndex looks at more
		v = v.Field(i)
	}
	return v
}

func decimalIn(v reflect.Value) decimal.Decimal {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	return v.Interface().(decimal.Decimal) //nolint:forcetypeassert // describeField has looked
}

// A Part is a part of what a struct states.
type Part uint8

// The parts. What is a check is in none of them.
const (
	All      Part = iota // all that is content
	Public               // what no person stands in
	Personal             // the rest
)

// holds reports whether the field may belong to the part, or something below it.
func (f *field) holds(part Part) bool {
	switch {
	case f.check:
		return false
	case f.of != nil:
		return len(f.of.parts[part]) > 0
	default:
		return part == All || f.personal == (part == Personal)
	}
}

// Empty reports whether the struct states no content of that part.
func (o *Object) Empty(of any, part Part) bool { return o.empty(value(of), part) }

func (o *Object) empty(v reflect.Value, part Part) bool {
	for _, f := range o.parts[part] {
		if !f.absent(f.in(v), part) {
			return false
		}
	}
	return true
}

// Stated returns the names of the fields that the struct states, checks among them.
func (o *Object) Stated(of any) (names []string) {
	v := value(of)
	for _, f := range o.fields {
		if !f.in(v).IsZero() {
			names = append(names, f.name)
		}
	}
	return names
}

// Zero reports whether the struct states nothing at all, neither content nor checks.
func (o *Object) Zero(of any) bool { return value(of).IsZero() }

// absent reports whether nothing of a field that may belong to the part is stated in it.
func (f *field) absent(v reflect.Value, part Part) bool {
	switch f.kind {
	case object:
		return v.IsNil() || f.of.empty(v.Elem(), part)
	case list:
		for i := range v.Len() {
			if !f.of.empty(v.Index(i), part) {
				return false
			}
		}
		return part != All || v.Len() == 0
	case text, number, present, truth:
	}
	return v.IsZero()
}

// IsPruned reports whether [Object.Prune] would leave the struct as it is.
func (o *Object) IsPruned(of any) bool { return o.isPruned(value(of)) }

func (o *Object) isPruned(v reflect.Value) bool {
	for _, f := range o.nested {
		in := f.in(v)
		switch {
		case in.IsNil():
		case f.kind == object:
			if in.Elem().IsZero() || !f.of.isPruned(in.Elem()) {
				return false
			}
		case in.Len() == 0:
			return false
		default:
			for n := range in.Len() {
				if in.Index(n).IsZero() || !f.of.isPruned(in.Index(n)) {
					return false
				}
			}
		}
	}
	return true
}

// Prune removes what states nothing: objects and elements of lists without any fields, and lists without elements.
func (o *Object) Prune(of any) { o.prune(value(of)) }

func (o *Object) prune(v reflect.Value) {
	for _, f := range o.nested {
		in := f.in(v)
		if in.IsNil() {
			continue
		}
		if f.kind == list {
			f.of.pruneList(in)
		} else if f.of.prune(in.Elem()); in.Elem().IsZero() {
			in.SetZero()
		}
	}
}

func (o *Object) pruneList(in reflect.Value) {
	kept := 0
	for n := range in.Len() {
		o.prune(in.Index(n))
		if in.Index(n).IsZero() {
			continue
		}
		if kept < n {
			in.Index(kept).Set(in.Index(n))
		}
		kept++
	}
	if kept == 0 {
		in.SetZero()
	} else {
		in.SetLen(kept)
	}
}

// Clone returns a deep copy of the struct that a pointer refers to.
func Clone[T any](o *Object, of *T) *T {
	to := new(T)
	o.copy(value(to), value(of))
	return to
}

func (o *Object) copy(to, from reflect.Value) {
	to.Set(from)
	for _, f := range o.fields {
		switch source, target := f.in(from), f.in(to); f.kind {
		case object, present:
			if source.IsNil() {
				continue
			}
			target.Set(reflect.New(source.Type().Elem()))
			if f.kind == object {
				f.of.copy(target.Elem(), source.Elem())
			} else {
				target.Elem().Set(source.Elem())
			}
		case list:
			if source.IsNil() {
				continue
			}
			target.Set(reflect.MakeSlice(source.Type(), source.Len(), source.Len()))
			for n := range source.Len() {
				f.of.copy(target.Index(n), source.Index(n))
			}
		case text, number, truth:
		}
	}
}
