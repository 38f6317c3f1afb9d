package postgres

import (
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"invoicer/invoice"
)

// An array is a Postgres array in its text form, built element by element: the driver would need a value, and often a
// pointer, for each element. The zero value is the empty array.
type array []byte

// literals returns the arrays as parameters. They are plain strings, which the driver sends as they are; any other
// type it would encode in binary.
func literals(arrays ...*array) []any {
	list := make([]any, len(arrays))
	for i, a := range arrays {
		list[i] = a.literal()
	}
	return list
}

func (a *array) literal() string {
	if len(*a) == 0 {
		return "{}"
	}
	return string(append(*a, '}'))
}

// next returns the array so far, ready for another element.
func (a *array) next() []byte {
	if len(*a) == 0 {
		return append(*a, '{')
	}
	return append(*a, ',')
}

// text adds a text, which may be any that a column can hold.
func (a *array) text(s string) {
	*a = append(a.next(), '"')
	if strings.IndexByte(s, '"') < 0 && strings.IndexByte(s, '\\') < 0 {
		*a = append(*a, s...)
	} else {
		a.escape(s)
	}
	*a = append(*a, '"')
}

func (a *array) escape(s string) {
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			*a = append(*a, '\\')
		}
		*a = append(*a, s[i])
	}
}

// bytes adds a bytea.
func (a *array) bytes(b []byte) {
	*a = append(a.next(), `"\\x`...)
	*a = hex.AppendEncode(*a, b)
	*a = append(*a, '"')
}

// optional adds a text, or NULL for "".
func (a *array) optional(s string) {
	if s == "" {
		a.null()
		return
	}
	a.text(s)
}

func (a *array) integer(n int64) { *a = strconv.AppendInt(a.next(), n, 10) }

// textUnless adds a text, or NULL if it is the usual one.
func (a *array) textUnless(usual, s string) {
	if s == usual {
		a.null()
		return
	}
	a.text(s)
}

// amount adds an integer, or NULL for nil.
func (a *array) amount(n *int64) {
	if n == nil {
		a.null()
		return
	}
	a.integer(*n)
}

// integerUnless adds an integer, or NULL if it is the usual one.
func (a *array) integerUnless(usual, n int64) {
	if n == usual {
		a.null()
		return
	}
	a.integer(n)
}

// seconds adds how long ago a time was, by this process's monotonic clock, or NULL for the zero time.
func (a *array) seconds(since time.Time) {
	if since.IsZero() {
		a.null()
		return
	}
	*a = strconv.AppendFloat(a.next(), time.Since(since).Seconds(), 'f', 6, 64)
}

func (a *array) boolean(b bool) { *a = strconv.AppendBool(a.next(), b) }

// decimal adds a decimal, or NULL for nil.
func (a *array) decimal(d *invoice.Decimal) {
	if d == nil {
		a.null()
		return
	}
	*a = d.Append(a.next())
}

// decimalUnless0 adds a decimal, or NULL for 0.
func (a *array) decimalUnless0(d *invoice.Decimal) {
	if d.Sign() == 0 {
		a.null()
		return
	}
	a.decimal(d)
}

func (a *array) null() { *a = append(a.next(), "NULL"...) }

// endsWithNull reports whether the last element is NULL: any other one ends with a digit or a quotation mark, or is a boolean.
func (a *array) endsWithNull() bool { return (*a)[len(*a)-1] == 'L' }

// textsOrNull returns texts as a parameter, or NULL for nil.
func textsOrNull(texts []string) *string {
	if texts == nil {
		return nil
	}
	var a array
	for _, s := range texts {
		a.text(s)
	}
	return new(a.literal())
}
