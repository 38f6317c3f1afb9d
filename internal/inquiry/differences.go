package inquiry

import (
	"fmt"
	"strings"
	"time"

	"invoicer/internal/report"
	"invoicer/invoice"
)

// differences returns the fields in which a job differs from what was invoiced, without personal texts.
func differences(invoiced, asked *invoice.Job) []report.Difference {
	fields := []report.Difference{}
	for _, name := range invoice.DiffFields(invoiced, asked) {
		fields = append(fields, report.Difference{Field: name, Invoiced: shown(invoiced, name), Asked: shown(asked, name)})
	}
	return fields
}

// shown returns a field's value as text, nil if it may be personal.
func shown(j *invoice.Job, name string) *string {
	var value string
	switch name {
	case "series":
		value = j.Series
	case "issued_at":
		value = j.IssuedAt.UTC().Format(time.RFC3339Nano)
	case "currency":
		value = j.Currency
	case "credits_transaction_id":
		value = j.CreditsTransactionID
	case "lines":
		value = fmt.Sprintf("%d lines", len(j.Lines))
	default:
		return ofLine(j, name)
	}
	return &value
}

// ofLine returns the value of a field such as lines[2].quantity.
func ofLine(j *invoice.Job, name string) *string {
	var n int
	begin, field, found := strings.Cut(name, ".")
	if _, err := fmt.Sscanf(begin, "lines[%d]", &n); err != nil || !found || n < 0 || n >= len(j.Lines) {
		return ofTerms(j, name)
	}
	var value string
	switch line := j.Lines[n]; field {
	case "quantity":
		value = line.Quantity.String()
	case "unit_price":
		value = line.UnitPrice.String()
	case "discount_percent":
		value = line.DiscountPercent.String()
	case "tax_percent":
		if line.TaxPercent != nil {
			value = line.TaxPercent.String()
		}
	default:
		return ofTerms(j, name)
	}
	return &value
}

// ofTerms returns the value of a field that version 2 of the job has added.
func ofTerms(j *invoice.Job, name string) *string {
	value, ok := j.Show(name)
	if !ok {
		return nil
	}
	return &value
}
