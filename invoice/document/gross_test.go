package document_test

import (
	"strings"
	"testing"

	"invoicer/invoice/document"
	"invoicer/invoice/document/check"
	"invoicer/invoice/document/cii"
	"invoicer/invoice/document/ubl"
)

const mixedPrices = `{"version":2, "transaction_id":"E-1", "issued_at":"2010-12-01T08:26:00Z", "currency":"EUR", "prices":"gross", "expected_total":"100.00",
 "lines":[{"description":"a chair", "quantity":1, "unit_price":"45", "tax_percent":21},
          {"description":"a table", "quantity":1, "unit_price":"49", "tax_percent":21},
          {"description":"freight", "quantity":1, "unit_price":"4.96", "tax_percent":21, "prices":"net"}]}`

// What was charged with tax is only said where that is so of all lines: else it would stand among amounts without tax.
func TestGrossPricesOfAllLinesOrNone(t *testing.T) {
	t.Parallel()
	for payload, all := range map[string]bool{
		mixedPrices: false,
		strings.Replace(mixedPrices, `"net"`, `"gross"`, 1):                               true,
		strings.Replace(mixedPrices, `"prices":"gross", "exp`, `"prices":"net", "exp`, 1): false,
	} {
		d := draftOf(t, strings.Replace(payload, `"expected_total":"100.00",`, "", 1))
		if (d.Gross != nil) != all {
			t.Errorf("the lines come to %v with tax", d.Gross)
		}
		for n := range d.Lines {
			if l := &d.Lines[n]; (l.GrossPrice != nil) != all || (l.GrossTotal != nil) != all || !all && l.GrossAllowances != nil {
				t.Errorf("line %s: %v %v", l.ID, l.GrossPrice, l.GrossTotal)
			}
		}
	}
}

// More may be taken off a line than its price, which makes no return of it.
func TestMoreIsTakenOffThanThePrice(t *testing.T) {
	t.Parallel()
	const payload = `{"version":2,"transaction_id":"T","issued_at":"2026-03-31T10:30:00Z","currency":"EUR","prices":"gross","lines":[
{"description":"pens","quantity":1,"unit_price":"10","discount_amount":"15","discount_reason":"late","tax_percent":19},
{"description":"paper","quantity":2,"unit_price":"50","tax_percent":19}]}`
	for _, c := range []struct{ old, with, quantity, price, off, net string }{
		{"", "", "1", "8.4", "12.6", "-4.2"},
		{`"prices":"gross"`, `"prices":"net"`, "1", "10", "15", "-5"},
		{`"unit_price":"10","discount_amount":"15"`, `"unit_price":"-10"`, "-1", "8.4", "", "-8.4"},
		{`"unit_price":"10"`, `"unit_price":"0.001"`, "1", "0.001", "12.6", "-12.6"},
		{`[`, `[{"description":"x","quantity":1,"unit_price":"1","tax_percent":19,"prices":"net"},`, "1", "8.4", "12.6", "-4.2"},
	} {
		d := draftOf(t, strings.Replace(payload, c.old, c.with, 1))
		l := &d.Lines[len(d.Lines)-2]
		off := ""
		if len(l.Allowances) == 1 {
			off = l.Allowances[0].Amount.String()
		}
		if l.Quantity.String() != c.quantity || l.Price.String() != c.price || off != c.off || l.Net.String() != c.net {
			t.Errorf("%s: %s × %s - %s = %s", c.with, l.Quantity, l.Price, off, l.Net)
		}
		for name, write := range map[string]func(*document.Document, document.Profile) ([]byte, error){"UBL": ubl.Write, "CII": cii.Write} {
			content, err := write(d, document.EN16931)
			if err != nil {
				t.Fatal(err)
			}
			r, err := check.Read(strings.NewReader(string(content)))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range append(r.Findings, r.Notes...) {
				if f.Computed != "" {
					t.Errorf("%s, %s: %s", c.with, name, f)
				}
			}
		}
	}
}
