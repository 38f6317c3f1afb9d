package document

import (
	"cmp"
	"fmt"
	"math/big"
	"slices"

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

// exemption returns the reason that the first line, allowance or charge of a category gives.
func (w *writer) exemption(category string) (reason, code string) {
	if category != "B" && !NeedsReason(category) { // BR-S-10 and its like allow none
		return "", ""
	}
	try := func(t *invoice.Taxation) bool {
		of := t.TaxCategory == category || slices.ContainsFunc(t.Taxes, func(r invoice.TaxRate) bool { return r.Category == category })
		if of && (t.ExemptionReason != "" || t.ExemptionCode != "") {
			reason, code = t.ExemptionReason, t.ExemptionCode
			return true
		}
		return false
	}
	for n := range w.invoice.Lines {
		if t := w.invoice.Lines[n].Terms; t != nil && try(&t.Taxation) {
			return reason, code
		}
	}
	for _, list := range [][]invoice.Adjustment{w.terms.Allowances, w.terms.Charges} {
		for n := range list {
			if try(&list[n].Taxation) {
				return reason, code
			}
		}
	}
	return "", ""
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
