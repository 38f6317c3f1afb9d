package invoice

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	// MaxLines is the largest number of lines in a job.
	MaxLines = 5000

	maxTransactionID  = 128
	maxIdempotencyKey = 255
	maxProducer       = 64
	maxSeries         = 32
)

const (
	isRequired    = "is required"
	mustBeText    = "must be valid UTF-8 without U+0000 and without lone surrogates"
	mustBeVersion = "must be the number of a known version, such as 1"
)

// validate checks a job's fields, whether it was decoded or built in Go.
func (j *Job) validate(p *problems) {
	if j.Version < 1 || j.Version > TaskVersion {
		p.add("version", mustBeVersion)
	}
	if j.TransactionID == "" {
		p.add("transaction_id", isRequired)
	}
	for _, id := range []struct {
		field, value string
		max          int
	}{
		{"transaction_id", j.TransactionID, maxTransactionID},
		{"idempotency_key", j.IdempotencyKey, maxIdempotencyKey},
		{"producer", j.Producer, maxProducer},
	} {
		if id.value != "" && !isIdentifier(id.value, id.max) {
			p.add(id.field, mustBeIdentifier(id.max))
		}
	}
	if j.Issuer != "" && !IsIssuer(j.Issuer) {
		p.add("issuer", mustBeSeries)
	}
	if j.Series != "" && !isSeries(j.Series) {
		p.add("series", mustBeSeries)
	}
	j.Details.validate(p)
	j.validateIssuedAt(p)
	switch _, known := MinorUnits(j.Currency); {
	case j.Currency == "":
		p.add("currency", isRequired)
	case !known:
		p.add("currency", unknownCurrency(j.Currency))
	}
	if len(j.Lines) == 0 || len(j.Lines) > MaxLines {
		p.add("lines", mustBeLines())
	}
	for i := range j.Lines[:min(len(j.Lines), MaxLines)] {
		j.Lines[i].validate(i, p)
	}
	j.validateMetadata(p)

	if !p.any() {
		j.calculate(p)
	}
}

func mustBeLines() string { return "must hold 1 to " + grouped(MaxLines) + " lines" }

func (l *Line) validate(i int, p *problems) {
	if !isText(l.SKU) {
		p.add(lineField(i, "sku"), mustBeText)
	}
	if !isText(l.Description) {
		p.add(lineField(i, "description"), mustBeText)
	}
	l.validateNumbers(i, p)
}

// validateNumbers reports whether quantity, price and percentages are within the bounds of version 1.
func (l *Line) validateNumbers(i int, p *problems) bool {
	ok := true
	if err := check1(l.Quantity); err != nil {
		p.add(lineField(i, "quantity"), err.Error())
		ok = false
	}
	if err := check1(l.UnitPrice); err != nil {
		p.add(lineField(i, "unit_price"), err.Error())
		ok = false
	}
	return l.validatePercents(i, p) && ok
}

// validatePercents reports whether both percentages are between 0 and 100.
func (l *Line) validatePercents(i int, p *problems) bool {
	ok := true
	if problem := problemOfPercentage(l.DiscountPercent); problem != "" {
		p.add(lineField(i, "discount_percent"), problem)
		ok = false
	}
	if l.TaxPercent != nil {
		if problem := problemOfPercentage(*l.TaxPercent); problem != "" {
			p.add(lineField(i, "tax_percent"), problem)
			ok = false
		}
	}
	return ok
}

// problemOfPercentage returns what is wrong with a percentage, "" if it is one that version 1 allows.
func problemOfPercentage(d Decimal) string {
	millionths, fine := d.Millionths()
	switch {
	case millionths < 0, millionths > percent100:
		return "must be a percentage from 0 to 100"
	case !fine:
		return bounds1.Check(d).Error()
	default:
		return ""
	}
}

// validateIssuedAt refuses the zero time although it lies in the year 1: a Go program that forgets to set the field
// sends it.
func (j *Job) validateIssuedAt(p *problems) {
	switch year := j.IssuedAt.UTC().Year(); {
	case j.IssuedAt.IsZero():
		p.add("issued_at", isRequired)
	case year < 1 || year > 9999:
		p.add("issued_at", "must lie in the years 1 to 9999, in UTC")
	case j.IssuedAt.Nanosecond()%int(time.Microsecond) != 0:
		p.add("issued_at", tooFine)
	}
}

const tooFine = "must not be finer than a microsecond"

func (j *Job) validateMetadata(p *problems) {
	var bad []string
	for key, value := range j.Metadata {
		if !isText(key) || !isText(value) {
			bad = append(bad, metadataField(key))
		}
	}
	slices.Sort(bad) // so that the error's text doesn't depend on the map's order
	for _, field := range bad {
		p.add(field, mustBeText)
	}
}

func metadataField(key string) string { return "metadata." + quotedName(key) }

func (d *Details) validate(p *problems) {
	for i := range details {
		switch one, value := &details[i], *details[i].at(d); {
		case one.identifier == 0 && !isText(value):
			p.add(one.name, mustBeText)
		case one.identifier > 0 && value != "" && !isIdentifier(value, one.identifier):
			p.add(one.name, mustBeIdentifier(one.identifier))
		}
	}
}

// isText reports whether Postgres can store s as text.
func isText(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

func isIdentifier(s string, maxLen int) bool {
	return consistsOf(s, maxLen, func(c byte) bool {
		return 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || isDigit(c) || strings.IndexByte("._:/@+=-", c) >= 0
	})
}

func mustBeIdentifier(maxLen int) string {
	return fmt.Sprintf("must be 1 to %d characters of A-Z a-z 0-9 . _ : / @ + = -", maxLen)
}

func isSeries(s string) bool { return consistsOf(s, maxSeries, isSeriesChar) }

// IsIssuer reports whether the text can be the code of an issuer: 1 to 32 characters of A-Z 0-9 -.
func IsIssuer(s string) bool { return isSeries(s) }

func isSeriesChar(c byte) bool { return 'A' <= c && c <= 'Z' || isDigit(c) || c == '-' }

const mustBeSeries = "must be 1 to 32 characters of A-Z 0-9 -"

func consistsOf(s string, maxLen int, allowed func(byte) bool) bool {
	if s == "" || len(s) > maxLen {
		return false
	}
	for i := range len(s) {
		if !allowed(s[i]) {
			return false
		}
	}
	return true
}

// unknownCurrency returns a problem's message, which quotes the code if it looks like one.
func unknownCurrency(currency string) string {
	const message = "must be an ISO 4217 code with a minor unit, such as GBP"
	if !consistsOf(currency, 3, func(c byte) bool { return 'A' <= c&^0x20 && c&^0x20 <= 'Z' }) {
		return message
	}
	if capitals := strings.ToUpper(currency); capitals != currency {
		if _, known := MinorUnits(capitals); known {
			return "must be in capital letters: send " + capitals
		}
	}
	return message + ", and not " + currency
}
