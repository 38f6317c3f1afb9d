// Package invoicetest makes jobs for tests: valid ones to start from, and every kind of bad one.
package invoicetest

import (
	"time"

	"invoicer/invoice"
)

// Job returns a valid job of two lines, 21.30 GBP net and 25.56 with tax, changed by the edits in order.
func Job(transactionID string, edits ...func(*invoice.Job)) *invoice.Job {
	twenty := invoice.NewDecimal(20, 0)
	j := &invoice.Job{
		Version:        1,
		TransactionID:  transactionID,
		IdempotencyKey: transactionID,
		Details:        invoice.Details{CustomerID: "17850", Country: "United Kingdom"},
		IssuedAt:       time.Date(2010, 12, 1, 8, 26, 0, 0, time.UTC),
		Currency:       "GBP",
		Lines: []invoice.Line{
			{SKU: "85123A", Description: "WHITE HANGING HEART T-LIGHT HOLDER", Quantity: invoice.NewDecimal(6, 0), UnitPrice: invoice.NewDecimal(255, 2), TaxPercent: &twenty},
			{SKU: "71053", Description: "WHITE METAL LANTERN", Quantity: invoice.NewDecimal(2, 0), UnitPrice: invoice.NewDecimal(3, 0), TaxPercent: &twenty},
		},
	}
	for _, edit := range edits {
		edit(j)
	}
	return j
}

// Payload returns the JSON of [Job], and ends the test when the edits make the job invalid.
func Payload(t interface {
	Helper()
	Fatal(args ...any)
}, transactionID string, edits ...func(*invoice.Job),
) []byte {
	t.Helper()
	payload, err := Job(transactionID, edits...).Encode()
	if err != nil {
		t.Fatal(err)
	}
	return payload
}
