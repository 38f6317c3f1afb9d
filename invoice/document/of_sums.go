package document

import (
	"cmp"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"invoicer/invoice"
)

func (w *writer) addTaxes(d *Document) {
	type sum struct{ base, amount int64 }
	sums := make(map[string]*sum)
	for n := range w.result.Taxes {
		row := &w.result.Taxes[n]
		tax := Tax{Rate: rateOf(row.Category, row.Percent), Code: row.Code}
		key := tax.Code + " " + tax.key()
		if sums[key] == nil { // S and no category are the same rate
			sums[key] = &sum{}
			tax.Reason, tax.ReasonCode = w.exemption(tax.Category)
			d.Taxes = append(d.Taxes, tax)
		}
		sums[key].base += row.Net
		sums[key].amount += row.Tax
	}
	for n := range d.Taxes {
		s := sums[d.Taxes[n].Code+" "+d.Taxes[n].key()]
		d.Taxes[n].Base, d.Taxes[n].Amount = w.amount(s.base), w.amount(s.amount)
	}
}

func (r Rate) key() string {
	if r.Percent == nil {
		return r.Category
	}
	return r.Category + " " + r.Percent.String()
}

// exemption returns why no tax of a category is charged: each reason that a line, an allowance or a charge gives, once and in their order, and the code if it
// is that of all of them. Where codes differ there is none, and a code without a reason is one.
func (w *writer) exemption(category string) (reason, code string) {
	if category != "B" && !NeedsReason(category) { // BR-S-10 and its like allow none
		return "", ""
	}
	type why struct{ reason, code string }
	var all []why
	known, reasoned := make(map[why]bool), make(map[string]bool) // reasoned: reasons that stand beside a code
	take := func(t *invoice.Taxation) {
		of := t.TaxCategory == category || slices.ContainsFunc(t.Taxes, func(r invoice.TaxRate) bool { return r.Category == category })
		one := why{t.ExemptionReason, t.ExemptionCode}
		if !of || one == (why{}) || known[one] {
			return
		}
		all, known[one] = append(all, one), true
		if one.code != "" {
			reasoned[one.reason] = true
			code = cmp.Or(code, one.code)
		}
	}
	for n := range w.invoice.Lines {
		if t := w.invoice.Lines[n].Terms; t != nil {
			take(&t.Taxation)
		}
	}
	for _, list := range [][]invoice.Adjustment{w.terms.Allowances, w.terms.Charges} {
		for n := range list {
			take(&list[n].Taxation)
		}
	}
	if slices.ContainsFunc(all, func(one why) bool { return one.code != code && (one.code != "" || !reasoned[one.reason]) }) {
		code = ""
	}
	var reasons []string
	said := map[string]bool{"": true}
	for _, one := range all {
		text := one.reason
		if text == "" && code == "" {
			text = one.code
		}
		if !said[text] {
			reasons, said[text] = append(reasons, text), true
		}
	}
	return strings.Join(reasons, "; "), code
}

func (w *writer) addTotals(d *Document) {
	sum := func(list []Adjustment) Decimal {
		total := new(big.Rat)
		for n := range list {
			total.Add(total, rat(list[n].Amount))
		}
		return rounded(total, w.exponent)
	}
	lines, gross := int64(0), int64(0)
	for n := range w.result.Lines {
		lines += w.result.Lines[n].Net
		gross += w.result.Lines[n].Amount
	}
	r := w.result
	d.Totals = Totals{
		Lines: w.amount(lines), Allowances: sum(d.Allowances), Charges: sum(d.Charges), Net: w.amount(r.Subtotal), Tax: w.amount(r.Tax),
		Gross: w.amount(r.Total), Prepaid: w.amount(r.Prepaid + r.Withheld), Rounding: w.amount(r.Rounding), Payable: w.amount(r.Payable),
	}
	if haveGrossPrices(d.Lines) {
		d.Gross = &GrossPrices{Lines: w.amount(gross)}
	}
	for n, amount := range r.Withholdings {
		held := Withheld{Code: w.terms.Withholdings[n].Code, Percent: *w.terms.Withholdings[n].Percent, Amount: w.amount(amount)}
		d.Withheld = append(d.Withheld, held)
		d.Notes = append(d.Notes, Note{Text: fmt.Sprintf("%s %s %%: %s %s withheld by the buyer", cmp.Or(held.Code, "Tax"), held.Percent, held.Amount, d.Currency)})
	}
	if d.TaxCurrency != "" {
		exponent, _ := invoice.MinorUnits(d.TaxCurrency)
		other := rounded(new(big.Rat).Mul(rat(d.Totals.Tax), rat(w.terms.TaxCurrencyRate)), exponent)
		d.Totals.TaxInOther = &other
		d.Conversion = &Conversion{w.terms.TaxCurrencyRate, w.terms.TaxCurrencyRateDate, w.terms.TaxCurrencyRateSource}
	}
}
