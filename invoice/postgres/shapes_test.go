package postgres_test

import (
	"fmt"
	"testing"

	"invoicer/invoice"
)

// The odd documents, from the job's JSON to the stored sums.
func TestStoredSums(t *testing.T) {
	t.Parallel()
	const head = `{"transaction_id":"%s","issued_at":"2010-12-01T08:26:00Z","currency":"%s","lines":[%s]}`
	longest := ""
	for i := range 1114 {
		if i > 0 {
			longest += ","
		}
		longest += `{"sku":"85123A","quantity":1,"unit_price":"0.01"}`
	}
	for _, c := range []struct{ name, currency, lines, number, sums, taxes string }{
		{"yen have no minor unit", "JPY", `{"quantity":"1.5","unit_price":"333","tax_percent":"10"}`, "INV-000001", "500 50 550", "10:500:50"},
		{"dinars have three digits", "BHD", `{"quantity":3,"unit_price":"1.2345"}`, "INV-000001", "3704 0 3704", ""},
		{"negative", "GBP", `{"quantity":-6,"unit_price":"2.55","tax_percent":20}`, "INV-CN-000001", "-1530 -306 -1836", "20:-1530:-306"},
		{"zero", "GBP", `{"quantity":6,"unit_price":0}`, "INV-000001", "0 0 0", ""},
		{"half a penny goes away from zero", "GBP", `{"quantity":1,"unit_price":"0.125"},{"quantity":1,"unit_price":"0.001"}`, "INV-000001", "13 0 13", ""},
		{"half a penny back goes away from zero too", "GBP", `{"quantity":-1,"unit_price":"0.125"}`, "INV-CN-000001", "-13 0 -13", ""},
		{"1,114 lines", "GBP", longest, "INV-000001", "1114 0 1114", ""},
		{"no rate beside a rate of 0", "GBP", `{"quantity":1,"unit_price":10},{"quantity":1,"unit_price":20,"tax_percent":0}`, "INV-000001", "3000 0 3000", "0:2000:0"},
		{"two rates", "GBP", `{"quantity":1,"unit_price":"0.99","tax_percent":"5.5"},{"quantity":1,"unit_price":1,"tax_percent":20}`, "INV-000001", "199 25 224", "5.5:99:5,20:100:20"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			j, err := invoice.Decode(fmt.Appendf(nil, head, "T1", c.currency, c.lines))
			if err != nil {
				t.Fatal(err)
			}
			made := b.create(t, "job", j)
			if made.Number != c.number {
				t.Errorf("number %s, want %s", made.Number, c.number)
			}
			if got := b.Text(t, "SELECT subtotal_minor || ' ' || tax_minor || ' ' || total_minor FROM invoices"); got != c.sums {
				t.Errorf("subtotal, tax, total: %s, want %s", got, c.sums)
			}
			if got := b.Text(t, "SELECT coalesce(string_agg(tax_percent || ':' || net_minor || ':' || tax_minor, ',' ORDER BY tax_percent), '') FROM invoice_taxes"); got != c.taxes {
				t.Errorf("taxes: %s, want %s", got, c.taxes)
			}
			stored, err := b.store.Invoices.Read(t.Context(), made.ID)
			if err != nil || stored.Content().Fingerprint() != made.Fingerprint {
				t.Errorf("the fingerprint can't be computed again (%v)", err)
			}
		})
	}
}
