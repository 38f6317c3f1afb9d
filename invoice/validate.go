package invoice

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"invoicer/invoice/decimal"
	"invoicer/invoice/fields"
	"invoicer/invoice/identifier"
)

const (
	maxTransactionID  = 128
	maxIdempotencyKey = 255
	maxProducer       = 64
	maxSeries         = 32
)

const (
	isRequired    = fields.IsRequired
	mustBeText    = fields.MustBeText
	mustBeVersion = "must be the number of a known version, such as 1"
)

// validate checks a job's fields, whether it was decoded or built in Go.
func (j *Job) validate(p *problems) (totals Totals) {
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
	} {
		if id.value == "" {
			continue
		}
		if problem := identifier.Problem(id.value, id.max); problem != "" {
			p.add(id.field, problem)
		}
	}
	if j.Producer != "" && !IsProducer(j.Producer) {
		p.add("producer", identifier.NarrowProblem(maxProducer))
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
	most := limitsOf(j.Version).lines
	if len(j.Lines) == 0 || len(j.Lines) > most {
		p.add("lines", mustBeLines(most))
	}
	for i := range j.Lines[:min(len(j.Lines), most)] {
		j.Lines[i].validate(i, p)
	}
	j.validateNumbers(p)
	j.validateMetadata(p)
	j.validateVersion(p)
	j.validateTerms(p)

	if !p.any() {
		totals = j.calculate(p)
	}
	return totals
}

func mustBeLines(most int) string { return "must hold 1 to " + grouped(most) + " lines" }

func (l *Line) validate(i int, p *problems) {
	if !isText(l.SKU) {
		p.add(lineField(i, "sku"), mustBeText)
	}
	if !isText(l.Description) {
		p.add(lineField(i, "description"), mustBeText)
	}
}

// validateNumbers checks whether quantities, prices and percentages are within the bounds of the job's version.
func (j *Job) validateNumbers(p *problems) {
	limits := limitsOf(j.Version)
	for i := range j.Lines[:min(len(j.Lines), limits.lines)] {
		j.Lines[i].validateNumbers(i, limits.numbers, p)
	}
}

func (l *Line) validateNumbers(i int, bounds decimal.Bounds, p *problems) {
	if isNarrow(l.Quantity) && isNarrow(l.UnitPrice) && isNarrowPercentage(l.DiscountPercent) && (l.TaxPercent == nil || isNarrowPercentage(*l.TaxPercent)) {
		return // as most are, in any version
	}
	if err := bounds.Check(l.Quantity); err != nil {
		p.add(lineField(i, "quantity"), err.Error())
	}
	if err := bounds.Check(l.UnitPrice); err != nil {
		p.add(lineField(i, "unit_price"), err.Error())
	}
	if problem := problemOfPercentage(l.DiscountPercent, bounds); problem != "" {
		p.add(lineField(i, "discount_percent"), problem)
	}
	if l.TaxPercent != nil {
		if problem := problemOfPercentage(*l.TaxPercent, bounds); problem != "" {
			p.add(lineField(i, "tax_percent"), problem)
		}
	}
}

func isNarrowPercentage(d Decimal) bool {
	millionths, ok := d.Millionths()
	return ok && 0 <= millionths && millionths <= percent100
}

// problemOfPercentage returns what is wrong with a percentage, "" if it is one within the bounds.
func problemOfPercentage(d Decimal, bounds decimal.Bounds) string {
	if d.Sign() < 0 || d.Cmp(decimal.New(100, 0)) > 0 {
		return "must be a percentage from 0 to 100"
	}
	if err := bounds.Check(d); err != nil {
		return err.Error()
	}
	return ""
}

// validateVersion refuses what only a later version can state.
func (j *Job) validateVersion(p *problems) {
	if j.Version != 1 {
		return
	}
	if j.Terms != nil {
		for _, name := range termsFields.Stated(j.Terms) {
			p.add(name, isOfVersion2)
		}
	}
	for i := range j.Lines {
		if t := j.Lines[i].Terms; t != nil {
			for _, name := range lineFields.Stated(t) {
				p.add(lineField(i, name), isOfVersion2)
			}
		}
	}
}

const isOfVersion2 = `is a field of version 2: state "version": 2`

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

func metadataField(key string) string { return "metadata." + fields.Quoted(key) }

func (d *Details) validate(p *problems) {
	for i := range details {
		one, value := &details[i], *details[i].at(d)
		if one.identifier == 0 && !isText(value) {
			p.add(one.name, mustBeText)
		}
		if one.identifier > 0 && value != "" {
			if problem := identifier.Problem(value, one.identifier); problem != "" {
				p.add(one.name, problem)
			}
		}
	}
}

// isText reports whether Postgres can store s as text.
func isText(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

func isSeries(s string) bool { return consistsOf(s, maxSeries, isSeriesChar) }

// IsIssuer reports whether the text can be the code of an issuer: 1 to 32 characters of A-Z 0-9 -.
func IsIssuer(s string) bool { return isSeries(s) }

// IsProducer reports whether the text can name a producer: 1 to 64 characters of A-Z a-z 0-9 . _ : / @ + = -.
func IsProducer(s string) bool { return identifier.Narrow(s, maxProducer) }

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
