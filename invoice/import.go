package invoice

import (
	"errors"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"invoicer/invoice/fields"
	"invoicer/invoice/identifier"
)

// An Import is a transaction that was invoiced elsewhere, as far as that is known. Amounts are in minor units of its
// currency, and signed.
type Import struct {
	Issuer         string // "" for the one without a name
	TransactionID  string
	IdempotencyKey string // the transaction's id if none is stated, as for a job
	InvoiceNumber  string // as it was printed
	Currency       string // "" if it isn't known
	Total          *int64 // nil if it isn't known
	CreditedTotal  *int64 // what was credited of it; nil if it isn't known
	IssuedAt       time.Time
}

// ImportText are the fields of an import as text, in the order of [ImportFields]. "" means absent.
type ImportText [8]string

// The fields of an import, by their places in [ImportText].
const (
	importTransactionID = iota
	importInvoiceNumber
	importIdempotencyKey
	importIssuer
	importCurrency
	importTotal
	importCreditedTotal
	importIssuedAt
)

// ImportFields returns the names of an import's fields.
func ImportFields() []string { return slices.Clone(importNames.All()) }

//nolint:gochecknoglobals // a list that nothing changes
var importNames = fields.NewNames([]string{
	"transaction_id", "invoice_number", "idempotency_key", "issuer", "currency", "total", "credited_total", "issued_at",
})

// maxInvoiceNumber is the largest number of characters in the number of an invoice that was issued elsewhere.
const maxInvoiceNumber = 128

// Import reads the fields. Its error is an [*InvalidError] that names every bad one.
func (t *ImportText) Import() (Import, error) {
	var p problems
	return t.read(&p)
}

func (t *ImportText) read(p *problems) (Import, error) {
	i := Import{
		Issuer: t[importIssuer], TransactionID: t[importTransactionID], IdempotencyKey: t[importIdempotencyKey], InvoiceNumber: t[importInvoiceNumber], Currency: t[importCurrency],
	}
	switch {
	case i.TransactionID == "":
		p.add("transaction_id", isRequired)
	case identifier.Problem(i.TransactionID, maxTransactionID) != "":
		p.add("transaction_id", identifier.Problem(i.TransactionID, maxTransactionID))
	}
	if i.IdempotencyKey == "" {
		i.IdempotencyKey = i.TransactionID
	} else if problem := identifier.Problem(i.IdempotencyKey, maxIdempotencyKey); problem != "" {
		p.add("idempotency_key", problem)
	}
	switch {
	case i.InvoiceNumber == "":
		p.add("invoice_number", isRequired)
	case !isPrintedNumber(i.InvoiceNumber):
		p.add("invoice_number", "must be 1 to 128 characters of valid text without control characters, and without spaces at its ends")
	}
	if i.Issuer != "" && !IsIssuer(i.Issuer) {
		p.add("issuer", mustBeSeries)
	}
	t.readAmounts(&i, p)
	if text := t[importIssuedAt]; text != "" {
		var problem string
		if i.IssuedAt, problem = parseImportTime(text); problem != "" {
			p.add("issued_at", problem)
		}
	}
	return i, p.err()
}

func (t *ImportText) readAmounts(i *Import, p *problems) {
	exponent, known := MinorUnits(i.Currency)
	if i.Currency != "" && !known {
		p.add("currency", unknownCurrency(i.Currency))
		return
	}
	for _, amount := range []struct {
		field string
		text  string
		into  **int64
	}{{"total", t[importTotal], &i.Total}, {"credited_total", t[importCreditedTotal], &i.CreditedTotal}} {
		if amount.text == "" {
			continue
		}
		if i.Currency == "" {
			p.add("currency", "is required where an amount is stated")
			continue
		}
		minor, err := parseMinor(amount.text, exponent)
		if err != nil {
			p.add(amount.field, err.Error()+", in "+i.Currency)
			continue
		}
		*amount.into = &minor
	}
	if i.CreditedTotal != nil && *i.CreditedTotal < 0 {
		p.add("credited_total", "must not be negative")
	}
}

// DecodeImport reads an import from a JSON object. Amounts may be JSON numbers or strings. Its error is an
// [*InvalidError] that names every bad field.
func DecodeImport(line []byte) (Import, error) {
	d := decoder{object: "an import"}
	var t ImportText
	err := d.readPayload(line, func() error {
		return d.members(&importNames, func(n int) (err error) {
			if n == importTotal || n == importCreditedTotal {
				t[n], err = d.number()
				return err
			}
			if d.at.name == "issuer" { // "" is the issuer without a name
				t[n], _, err = d.text()
				return err
			}
			t[n], err = d.code()
			return err
		})
	})
	if err != nil {
		d.problems.add("line", d.malformed(err))
		return Import{}, d.problems.err()
	}
	return t.read(&d.problems)
}

// number reads a number as it is spelled, from a JSON number or a string, or "" from null.
func (d *decoder) number() (string, error) {
	if d.tokens.PeekKind() != '0' {
		return d.code()
	}
	raw, err := d.tokens.ReadValue()
	return string(raw), err
}

// isPrintedNumber reports whether s may be the number of an invoice that was issued elsewhere.
func isPrintedNumber(s string) bool {
	return isText(s) && utf8.RuneCountInString(s) <= maxInvoiceNumber && strings.TrimSpace(s) == s && strings.IndexFunc(s, unicode.IsControl) < 0
}

// parseImportTime reads a time as a job states it, or a date, which stands for its beginning in UTC.
func parseImportTime(s string) (time.Time, string) {
	if len(s) == len(time.DateOnly) {
		if date, err := time.Parse(time.DateOnly, s); err == nil && date.Year() > 0 {
			return date, ""
		}
		return time.Time{}, "must be a date such as 2010-12-01, or an RFC 3339 time with a zone"
	}
	at, _, problem := parseTime(s)
	if problem == "" && (at.Year() < 1 || at.Year() > 9999) {
		problem = "must lie in the years 1 to 9999, in UTC"
	}
	return at, problem
}

var (
	errAmountSyntax    = errors.New("must be a decimal number such as 12.50")
	errAmountPrecision = errors.New("must not have more decimals than the currency")
	errAmountSize      = errors.New("must fit into 64 bits in minor units")
)

// parseMinor reads a decimal amount as minor units of a currency with this exponent: the inverse of [FormatMinor].
func parseMinor(s string, exponent int) (int64, error) {
	digits, negative := strings.CutPrefix(s, "-")
	whole, fraction, point := strings.Cut(digits, ".")
	if whole == "" || point && fraction == "" || strings.Trim(whole+fraction, "0123456789") != "" {
		return 0, errAmountSyntax
	}
	if len(fraction) > exponent {
		if strings.Trim(fraction[exponent:], "0") != "" {
			return 0, errAmountPrecision
		}
		fraction = fraction[:exponent]
	}
	var minor int64
	for _, c := range whole + fraction + strings.Repeat("0", exponent-len(fraction)) {
		digit := int64(c - '0')
		if minor > (math.MaxInt64-digit)/10 {
			return 0, errAmountSize
		}
		minor = 10*minor + digit
	}
	if negative {
		minor = -minor
	}
	return minor, nil
}

// Differs returns the names of the fields in which the two differ, as [ImportFields] has them.
func (i *Import) Differs(other *Import) []string {
	var names []string
	for _, field := range []struct {
		name  string
		equal bool
	}{
		{"transaction_id", i.TransactionID == other.TransactionID},
		{"invoice_number", i.InvoiceNumber == other.InvoiceNumber},
		{"idempotency_key", i.IdempotencyKey == other.IdempotencyKey},
		{"currency", i.Currency == other.Currency},
		{"total", sameAmount(i.Total, other.Total)},
		{"credited_total", sameAmount(i.CreditedTotal, other.CreditedTotal)},
		{"issued_at", i.IssuedAt.Equal(other.IssuedAt)},
	} {
		if !field.equal {
			names = append(names, field.name)
		}
	}
	return names
}

func sameAmount(a, b *int64) bool { return a == b || a != nil && b != nil && *a == *b }

// An Addition is what became of an import.
type Addition struct {
	Known    bool      // the database had it already, with the same facts
	Problems []Problem // why it was refused; none if it is imported, or in a dry run would be
}

// Refuse adds why the import is refused.
func (a *Addition) Refuse(field, message string) {
	a.Problems = append(a.Problems, Problem{Field: field, Message: message})
}

// Compare judges an import of a transaction that was imported before for its issuer.
func (a *Addition) Compare(one, before *Import) {
	differs := before.Differs(one)
	a.Known = len(differs) == 0
	for _, field := range differs {
		a.Refuse(field, "is not what was imported before for this transaction; withdraw that (`invoicer import --withdraw`) if it is wrong")
	}
}

// Imported is what a [Ref] knows of an invoice that was issued elsewhere, beside its number.
type Imported struct {
	Currency string // "" if it isn't known
	Total    *int64 // in minor units; nil if it isn't known
}

// Differs returns in which of the known facts a job differs: the currency, or else the total. The job must be valid.
func (i *Imported) Differs(j *Job) ([]string, error) {
	if i.Currency == "" {
		return nil, nil
	}
	if i.Currency != j.Currency {
		return []string{"currency"}, nil
	}
	if i.Total == nil {
		return nil, nil
	}
	totals, err := j.Calculate()
	if err == nil && totals.Total != *i.Total {
		return []string{"total"}, nil
	}
	return nil, err
}
