package invoice

import (
	"fmt"
	"slices"
	"strconv"

	"invoicer/invoice/amounts"
)

// calculateTerms is calculate for a job that states more than version 1 knows. It is exact for every number that a job can state.
func (j *Job) calculateTerms(p *problems) Totals {
	exponent, _ := MinorUnits(j.Currency)
	document := j.document(exponent, p)
	if p.any() {
		return Totals{}
	}
	result, found := amounts.Calculate(document)
	for _, one := range found {
		p.add(one.Field, one.Message)
	}
	if len(found) > 0 {
		return Totals{}
	}
	totals := Totals{
		Subtotal: result.Subtotal, Tax: result.Tax, Total: result.Total, Payable: result.Payable,
		LineNets: make([]int64, len(result.Lines)), Taxes: make([]Tax, len(result.Taxes)),
	}
	totals.Kind = totals.signKind()
	if j.Terms != nil && j.Terms.Kind != "" {
		totals.Kind = j.Terms.Kind
	}
	for i := range result.Lines {
		totals.LineNets[i] = result.Lines[i].Net
	}
	for i := range result.Taxes {
		row := &result.Taxes[i]
		totals.Taxes[i] = Tax{Code: row.Code, Category: row.Category, Percent: row.Percent, Net: row.Net, Added: row.Base - row.Net, Tax: row.Tax}
	}
	if len(totals.Taxes) == 0 {
		totals.Taxes = nil
	}
	totals.Allowances, totals.Charges = adjusted(result.Allowances), adjusted(result.Charges)
	totals.Withholdings, totals.Withheld = result.Withholdings, result.Withheld
	j.checkTypeCode(totals.Kind, p)
	return totals
}

// Amounts returns how the job's totals come about: the share that each rate has in an allowance, and what lines come to with tax. It
// returns an [*InvalidError] where [Job.Calculate] does.
func (j *Job) Amounts() (*amounts.Result, error) {
	if _, err := j.Calculate(); err != nil {
		return nil, err
	}
	var p problems
	exponent, _ := MinorUnits(j.Currency)
	document := j.document(exponent, &p)
	document.ExpectedTotal, document.ExpectedPayable = nil, nil
	result, found := amounts.Calculate(document)
	for _, one := range found {
		p.add(one.Field, one.Message)
	}
	return result, p.err()
}

func adjusted(of []amounts.Adjusted) []Adjusted {
	var all []Adjusted
	for i := range of {
		all = append(all, Adjusted{Amount: of[i].Amount, Net: of[i].Net})
	}
	return all
}

// document returns what the amounts are computed from.
func (j *Job) document(exponent int, p *problems) *amounts.Document {
	d := &amounts.Document{Exponent: exponent, Lines: make([]amounts.Line, len(j.Lines))}
	for i := range j.Lines {
		j.Lines[i].fill(&d.Lines[i], i, p)
	}
	t := j.Terms
	if t == nil {
		return d
	}
	d.Prices = modeOf(t.Prices)
	d.Allowances = adjustments("allowances", t.Allowances, p)
	d.Charges = adjustments("charges", t.Charges, p)
	for i := range t.TaxAmounts {
		a := &t.TaxAmounts[i]
		d.TaxAmounts = append(d.TaxAmounts, amounts.TaxAmount{Code: a.Code, Category: a.Category, Percent: orZero(a.Percent), Amount: orZero(a.Amount)})
	}
	for i := range t.Withholdings {
		w := &t.Withholdings[i]
		d.Withholdings = append(d.Withholdings, amounts.Withholding{Percent: orZero(w.Percent), Base: w.Base})
	}
	d.Prepaid, d.Rounding, d.ExpectedTotal, d.ExpectedPayable = t.Prepaid, t.Rounding, t.ExpectedTotal, t.ExpectedPayable
	return d
}

func (l *Line) fill(to *amounts.Line, i int, p *problems) {
	to.Quantity, to.UnitPrice, to.DiscountPercent = l.Quantity, l.UnitPrice, l.DiscountPercent
	if l.Terms == nil {
		to.Terms = amounts.Terms{Taxes: single(l.TaxPercent, ""), Short: true}
		return
	}
	to.BaseQuantity = orZero(l.Terms.BaseQuantity)
	to.DiscountAmount, to.ChargeAmount = l.Terms.DiscountAmount, l.Terms.ChargeAmount
	to.Terms = l.Terms.terms(l.TaxPercent, func(name, message string) { p.add(lineField(i, name), message) })
}

func adjustments(list string, stated []Adjustment, p *problems) []amounts.Adjustment {
	all := make([]amounts.Adjustment, len(stated))
	for i := range stated {
		a := &stated[i]
		all[i] = amounts.Adjustment{
			Terms:  a.terms(a.TaxPercent, func(name, message string) { p.add(list+"["+strconv.Itoa(i)+"]."+name, message) }),
			Amount: a.Amount, Percent: a.Percent,
		}
	}
	return all
}

func modeOf(prices string) amounts.Prices {
	switch prices {
	case PricesNet:
		return amounts.Net
	case PricesGross:
		return amounts.Gross
	default:
		return amounts.AsDocument
	}
}

func orZero(d *Decimal) Decimal {
	if d == nil {
		return Decimal{}
	}
	return *d
}

func single(percent *Decimal, category string) []amounts.Tax {
	if percent == nil {
		return nil
	}
	return []amounts.Tax{{Category: category, Percent: *percent}}
}

// terms returns how something is taxed that states this percentage, and complains about what can't be.
func (t *Taxation) terms(percent *Decimal, complain func(name, message string)) amounts.Terms {
	terms := amounts.Terms{Prices: modeOf(t.Prices)}
	switch {
	case len(t.Taxes) > 0 && percent != nil:
		complain("tax_percent", "must not be stated beside taxes: state one of both")
	case len(t.Taxes) > 0:
		for i := range t.Taxes {
			tax := &t.Taxes[i]
			category := tax.Category
			if category == "" {
				category = t.TaxCategory
			}
			one := amounts.Tax{Code: tax.Code, Category: category, Percent: orZero(tax.Percent), Compound: tax.Compound}
			if message := misfit(category, one.Percent); message != "" {
				complain("taxes["+strconv.Itoa(i)+"].percent", message)
			}
			if first := slices.Index(terms.Taxes, one); first >= 0 {
				complain("taxes["+strconv.Itoa(i)+"]", fmt.Sprintf("states the same tax as taxes[%d]: state it once", first))
			}
			terms.Taxes = append(terms.Taxes, one)
		}
	default:
		terms.Short = true
		if percent == nil && t.TaxCategory != "" {
			if !isUntaxed(t.TaxCategory) {
				complain("tax_percent", "is required beside tax_category "+t.TaxCategory)
			}
			percent = &Decimal{}
		}
		terms.Taxes = single(percent, t.TaxCategory)
		if message := misfit(t.TaxCategory, orZero(percent)); message != "" {
			complain("tax_percent", message)
		}
	}
	return terms
}

// isUntaxed reports whether a category has no other percentage than 0: by the rules BR-Z-05, BR-E-05, BR-AE-05, BR-IC-05, BR-G-05 and
// BR-O-05 of EN 16931.
func isUntaxed(category string) bool {
	switch category {
	case "Z", "E", "AE", "K", "G", "O":
		return true
	default:
		return false
	}
}

// misfit returns what is wrong with a percentage in that category, "" if nothing is. BR-S-05 of EN 16931 refuses a standard rate of 0.
func misfit(category string, percent Decimal) string {
	switch {
	case isUntaxed(category) && !percent.IsZero():
		return "must be 0 in the tax category " + category
	case category == "S" && percent.IsZero():
		return "must not be 0 in the tax category S: a rate of 0 has the category Z"
	default:
		return ""
	}
}

// validateTerms checks what no amount depends on and no single field shows.
func (j *Job) validateTerms(p *problems) {
	for i := range j.Lines {
		if t := j.Lines[i].Terms; t != nil {
			if t.BaseQuantity != nil && t.BaseQuantity.Sign() <= 0 {
				p.add(lineField(i, "base_quantity"), "must be greater than 0")
			}
			if t.Period.isTurned() {
				p.add(lineField(i, "period.end"), endsBeforeStart)
			}
		}
	}
	t := j.Terms
	if t == nil {
		return
	}
	if t.Period.isTurned() {
		p.add("period.end", endsBeforeStart)
	}
	t.validateTaxCurrency(j.Currency, p)
	if t.ReplacesTransactionID != "" && t.ReplacesTransactionID == j.TransactionID {
		p.add("replaces_transaction_id", "must be another transaction than this one")
	}
}

const endsBeforeStart = "must not be before start"

// isTurned reports whether the period ends before it begins. A date is spelled so that the order of texts is that of days.
func (d *Period) isTurned() bool { return d != nil && d.Start != "" && d.End != "" && d.End < d.Start }

func (t *Terms) validateTaxCurrency(currency string, p *problems) {
	if t.TaxCurrency == "" {
		if !t.TaxCurrencyRate.IsZero() || t.TaxCurrencyRateDate != "" || t.TaxCurrencyRateSource != "" {
			p.add("tax_currency", "is required beside a tax_currency_rate")
		}
		return
	}
	_, known := MinorUnits(t.TaxCurrency)
	switch {
	case !known:
		p.add("tax_currency", unknownCurrency(t.TaxCurrency))
	case t.TaxCurrency == currency:
		p.add("tax_currency", "must be another currency than the document's")
	}
	if t.TaxCurrencyRate.Sign() <= 0 {
		p.add("tax_currency_rate", "must be greater than 0: how many units of tax_currency stand for one of the document's currency")
	}
}

// The document types of UNTDID 1001 that a job needs not state.
const (
	typeInvoice    = "380"
	typeCreditNote = "381"
)

func (j *Job) checkTypeCode(kind Kind, p *problems) {
	if j.Terms == nil {
		return
	}
	switch code := j.Terms.TypeCode; {
	case code == typeInvoice && kind == KindCreditNote:
		p.add("type_code", "380 is an invoice, and this is a credit note: leave it out")
	case code == typeCreditNote && kind == KindInvoice:
		p.add("type_code", "381 is a credit note, and this is an invoice: leave it out, or state the kind")
	}
}
