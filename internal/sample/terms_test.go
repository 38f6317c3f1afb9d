package sample

import (
	"strings"
	"testing"

	"invoicer/invoice"
)

func TestJobsWithTerms(t *testing.T) {
	t.Parallel()
	tally := make(map[string]int)
	for _, j := range take(3000, Options{Currencies: []string{"GBP", "JPY", "BHD"}, Elaborate: true, Terms: true, MaxLines: 30}) {
		payload, err := j.Encode()
		if err != nil {
			t.Fatalf("%+v: %v", j, err)
		}
		read, err := invoice.Decode(payload)
		if err != nil {
			t.Fatalf("%s: %v", payload, err)
		}
		if read.Fingerprint() != j.Fingerprint() {
			t.Fatalf("%s: %q differ", payload, invoice.DiffFields(&j, read))
		}
		tally[j.Fingerprint()[:2]]++
		for _, field := range []string{"gross", "taxes", "allowances", "charges", "withholdings", "rounding", "prepaid", "buyer", "base_quantity", "discount_amount", "tax_category"} {
			if strings.Contains(string(payload), field) {
				tally[field]++
			}
		}
		if j.CreditsTransactionID != "" && j.Terms != nil {
			tally["credits"]++
		}
	}
	for what, n := range tally {
		if n < 20 {
			t.Errorf("%d × %s", n, what)
		}
	}
	if len(tally) != 14 {
		t.Errorf("%v", tally)
	}
}
