package document_test

import (
	"strings"
	"testing"
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
