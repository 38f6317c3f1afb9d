package invoice_test

import (
	"reflect"
	"testing"

	"invoicer/invoice"
	"invoicer/invoice/invoicetest"
)

// A job that a program has built has the fingerprint of the one that a worker reads, also where it states defaults, and says in other
// words what can be said in several.
func TestBuiltJobsAreFingerprintedAsRead(t *testing.T) {
	t.Parallel()
	one, rate := invoice.NewDecimal(1, 0), invoice.NewDecimal(19, 0)
	single := []invoice.TaxRate{{Percent: &rate, Category: "S"}}
	for name, state := range map[string]func(*invoice.Job, *invoice.LineTerms){
		"no terms at all":      func(*invoice.Job, *invoice.LineTerms) {},
		"net prices":           func(j *invoice.Job, _ *invoice.LineTerms) { j.Terms.Prices = invoice.PricesNet },
		"gross prices":         func(j *invoice.Job, _ *invoice.LineTerms) { j.Terms.Prices = invoice.PricesGross },
		"the kind by the sign": func(j *invoice.Job, _ *invoice.LineTerms) { j.Terms.Kind = invoice.KindInvoice },
		"another kind":         func(j *invoice.Job, _ *invoice.LineTerms) { j.Terms.Kind = invoice.KindCreditNote },
		"the type of its kind": func(j *invoice.Job, _ *invoice.LineTerms) { j.Terms.TypeCode = "380" },
		"an empty buyer": func(j *invoice.Job, _ *invoice.LineTerms) {
			j.Terms.Buyer = &invoice.Party{Address: &invoice.Address{}}
		},
		"an empty list":      func(j *invoice.Job, _ *invoice.LineTerms) { j.Terms.Notes = []invoice.Note{} },
		"an empty allowance": func(j *invoice.Job, _ *invoice.LineTerms) { j.Terms.Allowances = []invoice.Adjustment{{}} },
		"a charge's single tax": func(j *invoice.Job, _ *invoice.LineTerms) {
			j.Terms.Charges = []invoice.Adjustment{{Amount: one, Taxation: invoice.Taxation{Taxes: single}}}
		},
		"a charge's prices": func(j *invoice.Job, _ *invoice.LineTerms) {
			j.Terms.Charges = []invoice.Adjustment{{Amount: one, TaxPercent: &rate, Taxation: invoice.Taxation{Prices: invoice.PricesNet}}}
		},
		"an exempt charge": func(j *invoice.Job, _ *invoice.LineTerms) {
			j.Terms.Charges = []invoice.Adjustment{{Amount: one, Taxation: invoice.Taxation{TaxCategory: "E"}}}
		},
		"a base quantity of 1": func(_ *invoice.Job, l *invoice.LineTerms) { l.BaseQuantity = &one },
		"a line's net prices":  func(_ *invoice.Job, l *invoice.LineTerms) { l.Prices = invoice.PricesNet },
		"a line's single tax":  func(_ *invoice.Job, l *invoice.LineTerms) { l.Taxes = single },
		"a line's compound tax": func(_ *invoice.Job, l *invoice.LineTerms) {
			l.Taxes = []invoice.TaxRate{{Percent: &rate, Compound: true}}
		},
		"an exempt line":  func(_ *invoice.Job, l *invoice.LineTerms) { l.TaxCategory = "E" },
		"an empty period": func(_ *invoice.Job, l *invoice.LineTerms) { l.Period = &invoice.Period{} },
		"net in gross": func(j *invoice.Job, l *invoice.LineTerms) {
			j.Terms.Prices, l.Prices = invoice.PricesGross, invoice.PricesNet
		},
		"gross in gross": func(j *invoice.Job, l *invoice.LineTerms) {
			j.Terms.Prices, l.Prices = invoice.PricesGross, invoice.PricesGross
		},
	} {
		j := invoicetest.Job("T")
		j.Version, j.Terms, j.Lines[0].Terms, j.Lines[0].TaxPercent = 2, &invoice.Terms{}, &invoice.LineTerms{}, nil
		state(j, j.Lines[0].Terms)
		if name != "no terms at all" { // what is empty is no reason to look at the rest
			j.Terms, j.Lines[0].Terms = orNil(j.Terms), orNil(j.Lines[0].Terms)
		}
		payload, err := j.Encode()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		read := decode(t, string(payload))
		if j.Fingerprint() != read.Fingerprint() {
			t.Errorf("%s: %s as built, %s as read", name, j.Fingerprint(), read.Fingerprint())
		}
		if differs := invoice.DiffFields(j, read); len(differs) > 0 {
			t.Errorf("%s: %q differ", name, differs)
		}
	}
}

func orNil[T any](of *T) *T {
	if reflect.ValueOf(of).Elem().IsZero() {
		return nil
	}
	return of
}
