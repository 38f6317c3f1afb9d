package fields

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"invoicer/invoice/decimal"
)

// A Reader reads members of JSON objects into structs. Its methods return an error only if the text isn't JSON, so that reading can't
// go on; whatever else is wrong is a problem.
type Reader struct {
	Tokens *jsontext.Decoder
	// Problem takes what is wrong with a field: its path, and a message to be read after it.
	Problem func(path, message string)

	path      []byte
	suggested int // how often a known name was looked for
}

// suggestions is how many names are looked for at most: each costs time, and nobody reads more.
const suggestions = 20

func (r *Reader) didYouMean(name string, known *Names) string {
	if r.suggested++; r.suggested > suggestions {
		return ""
	}
	return known.DidYouMean(name)
}

// Texts that say what is wrong with a field.
const (
	IsRequired   = "is required"
	IsTwice      = "must not be given twice"
	MustBeText   = "must be valid UTF-8 without U+0000 and without lone surrogates"
	mustBeObject = "must be an object"
)

// ReadField reads the value of the field whose name is at index i of [Object.Names], while the tokens stand before it. The path is
// as seen from the struct.
func (o *Object) ReadField(r *Reader, of any, i int) error {
	r.path = r.path[:0]
	return r.field(o.fields[i], value(of))
}

// ReadObject reads a whole object, while the tokens stand before it.
func (o *Object) ReadObject(r *Reader, of any) error {
	r.path = r.path[:0]
	return r.object(o, value(of))
}

func (r *Reader) complain(message string) { r.Problem(string(r.path), message) }

// refuse skips a value that has the wrong type.
func (r *Reader) refuse(message string) error {
	r.complain(message)
	return r.Tokens.SkipValue()
}

// in appends a name to the path while read runs.
func (r *Reader) in(name string, read func() error) error {
	n := len(r.path)
	if n > 0 {
		r.path = append(r.path, '.')
	}
	r.path = append(r.path, name...)
	err := read()
	r.path = r.path[:n]
	return err
}

func (r *Reader) field(f *field, v reflect.Value) error {
	return r.in(f.name, func() error {
		in := f.in(v)
		if r.Tokens.PeekKind() == 'n' {
			return r.Tokens.SkipValue()
		}
		switch f.kind {
		case text:
			return r.text(f, in)
		case number, present:
			return r.number(f, in)
		case truth:
			return r.truth(in)
		case object:
			if in.IsNil() {
				in.Set(reflect.New(in.Type().Elem()))
			}
			return r.object(f.of, in.Elem())
		default:
			return r.list(f, in)
		}
	})
}

func (r *Reader) truth(in reflect.Value) error {
	switch r.Tokens.PeekKind() {
	case 't', 'f':
	default:
		return r.refuse("must be true or false")
	}
	token, err := r.Tokens.ReadToken()
	if err == nil {
		in.SetBool(token.Bool())
	}
	return err
}

func (r *Reader) text(f *field, in reflect.Value) error {
	if r.Tokens.PeekKind() != '"' {
		return r.refuse("must be a string")
	}
	s, ok, err := r.string()
	if err != nil {
		return err
	}
	switch {
	case !ok || !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0:
		r.complain(MustBeText)
		return nil
	case s == "":
		return nil
	}
	if problem := f.problem(s); problem != "" {
		r.complain(problem)
		return nil
	}
	in.SetString(s)
	return nil
}

// problem returns what is wrong with a text, "" if nothing is.
func (f *field) problem(s string) string {
	if f.format != nil {
		return f.format.problem(s)
	}
	for _, allowed := range f.one {
		if s == allowed {
			return ""
		}
	}
	switch most := f.longest(); {
	case f.one != nil:
		return "must be " + strings.Join(f.one, " or ")
	case utf8.RuneCountInString(s) > most:
		return "must not have more than " + strconv.Itoa(most) + " characters"
	}
	return ""
}

// longest returns how many characters a text has at most.
func (f *field) longest() int {
	if f.most > 0 {
		return f.most
	}
	return 4000
}

// string reads a JSON string. It returns false for one that isn't valid text.
func (r *Reader) string() (string, bool, error) {
	unquoted, ok, err := r.unquoted()
	return string(unquoted), ok, err
}

// unquoted is [Reader.string] for a text that is needed until the next token is read.
func (r *Reader) unquoted() ([]byte, bool, error) {
	raw, err := r.Tokens.ReadValue()
	if err != nil {
		return nil, false, err
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1], true, nil // what is invalid in it is found later
	}
	unquoted, err := jsontext.AppendUnquote(nil, raw)
	return unquoted, err == nil, nil
}

func (r *Reader) number(f *field, in reflect.Value) error {
	var spelled string
	switch r.Tokens.PeekKind() {
	case '"':
		s, _, err := r.string()
		if err != nil {
			return err
		}
		spelled = s
	case '0':
		raw, err := r.Tokens.ReadValue()
		if err != nil {
			return err
		}
		spelled = string(raw)
	default:
		return r.refuse(decimal.ErrSyntax.Error())
	}
	d, err := decimal.Widest().Parse(spelled)
	if err != nil {
		r.complain(err.Error())
		return nil
	}
	if f.percent && (d.Sign() < 0 || d.Cmp(decimal.New(100, 0)) > 0) {
		r.complain("must be a percentage from 0 to 100")
		return nil
	}
	if f.kind == present {
		in.Set(reflect.ValueOf(&d))
	} else {
		in.Set(reflect.ValueOf(d))
	}
	return nil
}

func (r *Reader) list(f *field, in reflect.Value) error {
	if r.Tokens.PeekKind() != '[' {
		return r.refuse("must be a list")
	}
	if _, err := r.Tokens.ReadToken(); err != nil {
		return err
	}
	length := len(r.path)
	n := 0
	for ; r.Tokens.PeekKind() != ']'; n++ {
		if n >= f.most {
			if err := r.Tokens.SkipValue(); err != nil {
				return err
			}
			continue
		}
		if n == in.Len() {
			in.Set(reflect.Append(in, reflect.Zero(in.Type().Elem())))
		}
		r.path = append(strconv.AppendInt(append(r.path, '['), int64(n), 10), ']')
		err := r.object(f.of, in.Index(n))
		r.path = r.path[:length]
		if err != nil {
			return err
		}
	}
	if n > f.most {
		r.complain("must not hold more than " + strconv.Itoa(f.most) + " elements")
	}
	_, err := r.Tokens.ReadToken()
	return err
}

func (r *Reader) object(o *Object, v reflect.Value) error {
	if r.Tokens.PeekKind() != '{' {
		return r.refuse(mustBeObject)
	}
	if _, err := r.Tokens.ReadToken(); err != nil {
		return err
	}
	var seen uint64
	for r.Tokens.PeekKind() != '}' {
		name, _, err := r.unquoted()
		if err != nil {
			return err
		}
		i := o.names.Index(name)
		switch {
		case i < 0:
			unknown := string(name)
			err = r.in(Quoted(unknown), func() error { return r.refuse("is no field of this object" + r.didYouMean(unknown, &o.names)) })
		case seen&(1<<i) != 0:
			err = r.in(o.names.list[i], func() error { return r.refuse(IsTwice) })
		default:
			seen |= 1 << i
			err = r.field(o.fields[i], v)
		}
		if err != nil {
			return err
		}
	}
	if _, err := r.Tokens.ReadToken(); err != nil {
		return err
	}
	for _, f := range o.fields {
		if f.required && f.in(v).IsZero() {
			// After a problem with the value itself this is left out, since a field has one problem.
			_ = r.in(f.name, func() error { r.complain(IsRequired); return nil })
		}
	}
	return nil
}

// ReadPart reads a JSON object that states a part of what the struct states: see [Object.AppendMembers]. The error names the bad field
// and no values.
func (o *Object) ReadPart(json string, of any) error {
	var found error
	r := &Reader{
		Tokens: jsontext.NewDecoder(strings.NewReader(json)),
		Problem: func(path, message string) {
			if found == nil && message != IsRequired { // the other part may have it
				found = fmt.Errorf("%s %s", path, message)
			}
		},
	}
	if err := o.ReadObject(r, of); err != nil {
		return errNoObject
	}
	return found
}

var errNoObject = errors.New("is no JSON object")
