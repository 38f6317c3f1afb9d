package postgres

import (
	"encoding/binary"
	"errors"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"invoicer/invoice"
)

// An array is a Postgres array in the form in which it is sent, built element by element: the driver would need a value, and often
// a pointer, for each element. A statement's parameter is a pointer to it. The zero value is the empty array.
//
// The elements are in the server's binary form, which it reads in half the time that the text form takes, if the parameter's type is
// an array of just the elements' type: [array.text] makes text, [array.integer] bigint, [array.decimal] numeric. For any other type
// the text form is sent.
type array struct {
	elements []byte // each after its length in four bytes
	count    uint32
	null     uint32 // how many of them are NULL
	kind     uint32 // OID of the type of the others, 0 if there are none
}

// arrayTypes are the types of elements that an [array] can hold, and those of their arrays.
//
//nolint:gochecknoglobals // a constant
var arrayTypes = map[uint32]uint32{
	pgtype.TextOID: pgtype.TextArrayOID, pgtype.Int8OID: pgtype.Int8ArrayOID, pgtype.NumericOID: pgtype.NumericArrayOID,
	pgtype.ByteaOID: pgtype.ByteaArrayOID, pgtype.BoolOID: pgtype.BoolArrayOID, pgtype.Float8OID: pgtype.Float8ArrayOID,
}

// add adds the length of an element of a kind, which the caller appends to what add returns.
func (a *array) add(kind uint32, size int) []byte {
	a.count++
	a.kind = kind
	return binary.BigEndian.AppendUint32(a.elements, uint32(size))
}

// text adds a text, which may be any that a column can hold.
func (a *array) text(s string) { a.elements = append(a.add(pgtype.TextOID, len(s)), s...) }

// bytes adds a bytea.
func (a *array) bytes(b []byte) { a.elements = append(a.add(pgtype.ByteaOID, len(b)), b...) }

// optional adds a text, or NULL for "".
func (a *array) optional(s string) { a.textUnless("", s) }

// textUnless adds a text, or NULL if it is the usual one.
func (a *array) textUnless(usual, s string) {
	if s == usual {
		a.addNull()
		return
	}
	a.text(s)
}

// integer adds a bigint.
func (a *array) integer(n int64) {
	a.elements = binary.BigEndian.AppendUint64(a.add(pgtype.Int8OID, 8), uint64(n))
}

// amount adds an integer, or NULL for nil.
func (a *array) amount(n *int64) {
	if n == nil {
		a.addNull()
		return
	}
	a.integer(*n)
}

// integerUnless adds an integer, or NULL if it is the usual one.
func (a *array) integerUnless(usual, n int64) {
	if n == usual {
		a.addNull()
		return
	}
	a.integer(n)
}

// seconds adds how long ago a time was, by this process's monotonic clock, or NULL for the zero time.
func (a *array) seconds(since time.Time) {
	if since.IsZero() {
		a.addNull()
		return
	}
	a.elements = binary.BigEndian.AppendUint64(a.add(pgtype.Float8OID, 8), math.Float64bits(time.Since(since).Seconds()))
}

// boolean adds a boolean.
func (a *array) boolean(b bool) {
	one := byte(0)
	if b {
		one = 1
	}
	a.elements = append(a.add(pgtype.BoolOID, 1), one)
}

// decimal adds a numeric, or NULL for nil.
func (a *array) decimal(d *invoice.Decimal) {
	if d == nil {
		a.addNull()
		return
	}
	start := len(a.elements)
	a.elements = appendNumeric(a.add(pgtype.NumericOID, 0), *d)
	binary.BigEndian.PutUint32(a.elements[start:], uint32(len(a.elements)-start-4))
}

// decimalUnless0 adds a decimal, or NULL for 0.
func (a *array) decimalUnless0(d *invoice.Decimal) {
	if d.Sign() == 0 {
		a.addNull()
		return
	}
	a.decimal(d)
}

func (a *array) addNull() {
	a.count++
	a.null++
	a.elements = binary.BigEndian.AppendUint32(a.elements, math.MaxUint32)
}

// isNull reports whether there is nothing but NULL.
func (a *array) isNull() bool { return a.kind == 0 }

// numericSign is the sign of a negative numeric (NUMERIC_NEG of the server's numeric.c).
const numericSign = 0x4000

// appendNumeric appends a numeric as numeric_recv of the server reads it: how many digits to base 10⁴ there are, the first one's
// weight, the sign, how many decimals are shown, the digits.
func appendNumeric(b []byte, d invoice.Decimal) []byte {
	whole, fraction := d.Parts()
	sign := uint16(0)
	if d.Sign() < 0 {
		sign = numericSign
	}
	var digits [8]uint16 // five before the point, three behind it
	for i := 4; i >= 0; i-- {
		digits[i] = uint16(whole % 10_000)
		whole /= 10_000
	}
	for i := 7; i >= 5; i-- {
		digits[i] = uint16(fraction % 10_000)
		fraction /= 10_000
	}
	first, end := 0, len(digits)
	for ; first < end && digits[first] == 0; first++ {
	}
	for ; end > first && digits[end-1] == 0; end-- {
	}
	for _, n := range [...]uint16{uint16(end - first), uint16(4 - first), sign, uint16(d.Decimals())} { // a weight below 0 is its two's complement
		b = binary.BigEndian.AppendUint16(b, n)
	}
	for _, digit := range digits[first:end] {
		b = binary.BigEndian.AppendUint16(b, digit)
	}
	return b
}

// appendTo appends the array as array_recv of the server reads it: how many dimensions there are, whether there is a NULL, the
// elements' type, the only dimension's length and lower bound, the elements.
func (a *array) appendTo(b []byte, kind uint32) []byte {
	if a.count == 0 {
		return appendWords(b, 0, 0, kind)
	}
	return append(appendWords(b, 1, min(a.null, 1), kind, a.count, 1), a.elements...)
}

func appendWords(b []byte, words ...uint32) []byte {
	for _, word := range words {
		b = binary.BigEndian.AppendUint32(b, word)
	}
	return b
}

// TextValue implements [pgtype.TextValuer]: it returns the text form, which a connection sends that doesn't ask the server for the
// parameters' types (default_query_exec_mode=exec and simple_protocol).
func (a *array) TextValue() (pgtype.Text, error) {
	if a.isNull() && a.count == 0 {
		return pgtype.Text{String: "{}", Valid: true}, nil
	}
	kind := a.kind
	if kind == 0 {
		kind = pgtype.TextOID // NULLs are written alike in arrays of all types
	}
	types := pgtype.NewMap()
	codec, _ := types.TypeForOID(arrayTypes[kind])
	elements, err := codec.Codec.DecodeValue(types, codec.OID, pgtype.BinaryFormatCode, a.appendTo(nil, kind))
	if err != nil {
		return pgtype.Text{}, err
	}
	text, err := types.Encode(codec.OID, pgtype.TextFormatCode, elements, nil)
	return pgtype.Text{String: string(text), Valid: true}, err
}

// registerArrays has a connection take arrays as parameters.
func registerArrays(c *pgx.Conn) {
	types := c.TypeMap()
	for _, oid := range arrayTypes {
		known, _ := types.TypeForOID(oid)
		types.RegisterType(&pgtype.Type{Name: known.Name, OID: oid, Codec: arrayCodec{known.Codec.(*pgtype.ArrayCodec)}})
	}
}

// An arrayCodec is the driver's codec for arrays of a type, which takes an [array] as well.
type arrayCodec struct{ *pgtype.ArrayCodec }

// PlanEncode implements [pgtype.Codec].
func (c arrayCodec) PlanEncode(m *pgtype.Map, oid uint32, format int16, value any) pgtype.EncodePlan {
	if _, ok := value.(*array); ok && format == pgtype.BinaryFormatCode {
		return arrayPlan{c.ElementType.OID}
	}
	return c.ArrayCodec.PlanEncode(m, oid, format, value)
}

type arrayPlan struct{ kind uint32 }

// errOtherKind has the driver try the text form.
var errOtherKind = errors.New("the elements are of another type")

// Encode implements [pgtype.EncodePlan].
func (p arrayPlan) Encode(value any, b []byte) ([]byte, error) {
	a := value.(*array)
	if !a.isNull() && a.kind != p.kind {
		return nil, errOtherKind
	}
	return a.appendTo(b, p.kind), nil
}

// textsOrNull returns texts as a parameter, or NULL for nil.
func textsOrNull(texts []string) *array {
	if texts == nil {
		return nil
	}
	a := new(array)
	for _, s := range texts {
		a.text(s)
	}
	return a
}
