package invoice

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"time"

	"invoicer/invoice/fields"
)

// Fingerprint identifies the job's content: two jobs for one transaction ask for the same invoice exactly if their
// fingerprints are equal. Idempotency key, producer, metadata and version aren't part of it, nor what the amounts are only checked
// against. The job must be valid.
//
// It is "v1:" and the SHA-256, in lower-case hex, of these fields one after the other:
//
//	transaction_id
//	series                  as sent, before any default
//	credits_transaction_id
//	customer_id
//	customer_name
//	country
//	issued_at               in UTC, as 2010-12-01T08:26:00.000000Z, always with six decimals
//	currency
//	number of lines
//
// and then for each line, in order:
//
//	sku
//	description
//	quantity
//	unit_price
//	discount_percent        0 is absent
//	tax_percent             0 is not absent
//
// Details that were added to the format later follow, if they are present: for each its name and its text. So a job
// without them keeps its fingerprint.
//
// If the job states anything that only version 2 knows, other than defaults, the fingerprint begins with "v2:" instead, and these
// fields follow: the [Terms] in the form of [fields.Object.AppendCanonical], and those of each line after its number, from 1, where
// it states any.
//
// A field is written as the number of its bytes, a colon, its bytes in UTF-8 and a comma: 536365 becomes "6:536365,".
// An absent field is a hyphen and a comma; an empty text counts as absent. Numbers are decimal and as short as
// possible: 2.5, -0.001, 6, without exponent, leading zeros or trailing zeros, and -0 is 0.
func (j *Job) Fingerprint() string {
	if j.Terms != nil || j.hasLineTerms() {
		if !j.isNormal() {
			j = j.normal()
		}
		if j.extends() {
			return hashed("v2:", j.appendTerms(j.appendContent(roomForTerms), fields.All))
		}
	}
	return hashed("v1:", j.appendContent(0))
}

func hashed(prefix string, content []byte) string {
	hash := sha256.Sum256(content)
	var room [3 + 2*sha256.Size]byte
	return string(hex.AppendEncode(append(room[:0], prefix...), hash[:]))
}

// appendTerms appends a part of what only version 2 can state.
func (j *Job) appendTerms(b []byte, part fields.Part) []byte {
	if j.Terms != nil {
		b = termsFields.AppendCanonical(b, j.Terms, part)
	}
	for i := range j.Lines {
		if j.Lines[i].Terms == nil {
			continue
		}
		start := len(b)
		b = append(appendInteger(b, int64(i+1)), '{')
		empty := len(b)
		if b = lineFields.AppendCanonical(b, j.Lines[i].Terms, part); len(b) == empty {
			b = b[:start]
		} else {
			b = append(b, '}')
		}
	}
	return b
}

// appendContent returns what version 1 can state, with room for more bytes.
func (j *Job) appendContent(room int) []byte {
	b := make([]byte, 0, 256+64*len(j.Lines)+room)
	b = appendField(b, j.TransactionID)
	b = appendField(b, j.Series)
	for i := range details {
		if !details[i].later {
			b = appendField(b, *details[i].at(&j.Details))
		}
	}
	b = appendTime(b, j.IssuedAt)
	b = appendField(b, j.Currency)
	b = appendLines(b, j.Lines)
	for i := range details {
		if value := *details[i].at(&j.Details); details[i].later && value != "" {
			b = appendField(appendField(b, details[i].name), value)
		}
	}
	return b
}

func appendLines(b []byte, lines []Line) []byte {
	b = appendField(b, strconv.Itoa(len(lines)))
	for i := range lines {
		l := &lines[i]
		b = appendField(b, l.SKU)
		b = appendField(b, l.Description)
		b = appendDecimalField(b, l.Quantity)
		b = appendDecimalField(b, l.UnitPrice)
		if l.DiscountPercent.IsZero() {
			b = appendField(b, "")
		} else {
			b = appendDecimalField(b, l.DiscountPercent)
		}
		if l.TaxPercent == nil {
			b = appendField(b, "")
		} else {
			b = appendDecimalField(b, *l.TaxPercent)
		}
	}
	return b
}

// storedTime is the form of a time that is hashed.
const storedTime = "2006-01-02T15:04:05.000000Z"

func appendTime(b []byte, t time.Time) []byte {
	var room [len(storedTime)]byte
	return appendField(b, string(t.UTC().AppendFormat(room[:0], storedTime)))
}

func appendField(b []byte, value string) []byte {
	if value == "" {
		return append(b, '-', ',')
	}
	b = strconv.AppendInt(b, int64(len(value)), 10)
	b = append(b, ':')
	b = append(b, value...)
	return append(b, ',')
}

func appendDecimalField(b []byte, d Decimal) []byte {
	return appendField(b, string(d.Append(make([]byte, 0, 24))))
}

// shownDifferences is the number of names that DiffFields returns at most.
const shownDifferences = 20

// DiffFields returns the names of the fields in which two jobs differ, in the order of the fingerprint: currency,
// lines[2].quantity, or lines if the jobs have different numbers of them. It returns no values. After 20 names the
// last element counts the others: "… and 30 more". The result is empty exactly if the fingerprints are equal.
func DiffFields(a, b *Job) []string { return shortened(allDifferences(a, b)) }

// shortened returns the first names, and how many others there are.
func shortened(names []string) []string {
	if more := len(names) - shownDifferences; more > 0 {
		return append(slices.Clip(names[:shownDifferences]), "… and "+grouped(more)+" more")
	}
	return names
}

func allDifferences(a, b *Job) []string {
	var names []string
	if a.Terms != nil || a.hasLineTerms() || b.Terms != nil || b.hasLineTerms() {
		a, b = a.normal(), b.normal()
	}
	differ := func(name string, is bool) {
		if is {
			names = append(names, name)
		}
	}
	differ("transaction_id", a.TransactionID != b.TransactionID)
	differ("series", a.Series != b.Series)
	for i := range details {
		differ(details[i].name, *details[i].at(&a.Details) != *details[i].at(&b.Details))
	}
	differ("issued_at", StoredTime(a.IssuedAt) != StoredTime(b.IssuedAt))
	differ("currency", a.Currency != b.Currency)
	names = termsFields.Differences(names, "", orEmpty(a.Terms), orEmpty(b.Terms))
	if len(a.Lines) != len(b.Lines) {
		return append(names, "lines")
	}
	for i := range a.Lines {
		names = a.Lines[i].appendDifferences(names, i, &b.Lines[i])
	}
	return names
}

func (l *Line) appendDifferences(names []string, i int, other *Line) []string {
	differ := func(name string, is bool) {
		if is {
			names = append(names, lineField(i, name))
		}
	}
	differ("sku", l.SKU != other.SKU)
	differ("description", l.Description != other.Description)
	differ("quantity", l.Quantity != other.Quantity)
	differ("unit_price", l.UnitPrice != other.UnitPrice)
	differ("discount_percent", l.DiscountPercent != other.DiscountPercent)
	differ("tax_percent", !equalRates(l.TaxPercent, other.TaxPercent))
	if l.Terms == nil && other.Terms == nil {
		return names
	}
	return lineFields.Differences(names, lineField(i, "")+".", orEmpty(l.Terms), orEmpty(other.Terms))
}

func orEmpty[T any](of *T) *T {
	if of == nil {
		return new(T)
	}
	return of
}

func equalRates(a, b *Decimal) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}
