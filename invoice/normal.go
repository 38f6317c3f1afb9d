package invoice

import (
	"invoicer/invoice/decimal"
	"invoicer/invoice/fields"
)

// normalize removes what states nothing but a default, so that equal content is spelled alike. The job is valid, and comes to a
// document of that kind by the sign of its total.
func (j *Job) normalize(bySign Kind) {
	prices := PricesNet
	if t := j.Terms; t != nil {
		kind := t.Kind
		if kind == "" {
			kind = bySign
		}
		if t.Kind == bySign {
			t.Kind = ""
		}
		if t.TypeCode == typeInvoice && kind == KindInvoice || t.TypeCode == typeCreditNote && kind == KindCreditNote {
			t.TypeCode = ""
		}
		if t.Prices == PricesNet {
			t.Prices = ""
		} else if t.Prices != "" {
			prices = t.Prices
		}
		for _, list := range [][]Adjustment{t.Allowances, t.Charges} {
			for i := range list {
				list[i].TaxPercent = list[i].normalize(prices, list[i].TaxPercent)
			}
		}
		if termsFields.Prune(t); termsFields.Zero(t) {
			j.Terms = nil
		}
	}
	for i := range j.Lines {
		l := &j.Lines[i]
		t := l.Terms
		if t == nil {
			continue
		}
		l.TaxPercent = t.normalize(prices, l.TaxPercent)
		if t.BaseQuantity != nil && t.BaseQuantity.Equal(decimal.New(1, 0)) {
			t.BaseQuantity = nil
		}
		if lineFields.Prune(t); lineFields.Zero(t) {
			l.Terms = nil
		}
	}
}

// normalize returns the percentage that stands for a single plain tax, and for a category that has no other than 0.
func (t *Taxation) normalize(prices string, percent *Decimal) *Decimal {
	if t.Prices == prices {
		t.Prices = ""
	}
	if len(t.Taxes) == 1 && t.Taxes[0].Code == "" && !t.Taxes[0].Compound {
		percent = t.Taxes[0].Percent
		if t.Taxes[0].Category != "" {
			t.TaxCategory = t.Taxes[0].Category
		}
		t.Taxes = nil
	}
	if percent == nil && len(t.Taxes) == 0 && isUntaxed(t.TaxCategory) {
		percent = &Decimal{}
	}
	return percent
}

// isNormal reports whether normalize would leave the job as it is. Of a job that states its kind or one of the usual types, it doesn't
// know.
func (j *Job) isNormal() bool {
	prices := PricesNet
	if t := j.Terms; t != nil {
		if t.Kind != "" || t.TypeCode == typeInvoice || t.TypeCode == typeCreditNote || t.Prices == PricesNet || termsFields.Zero(t) || !termsFields.IsPruned(t) {
			return false
		}
		if t.Prices != "" {
			prices = t.Prices
		}
		for _, list := range [][]Adjustment{t.Allowances, t.Charges} {
			for i := range list {
				if !list[i].isNormal(prices, list[i].TaxPercent) {
					return false
				}
			}
		}
	}
	for i := range j.Lines {
		t := j.Lines[i].Terms
		if t == nil {
			continue
		}
		if !t.isNormal(prices, j.Lines[i].TaxPercent) || t.BaseQuantity != nil && t.BaseQuantity.Equal(decimal.New(1, 0)) || lineFields.Zero(t) || !lineFields.IsPruned(t) {
			return false
		}
	}
	return true
}

func (t *Taxation) isNormal(prices string, percent *Decimal) bool {
	plain := len(t.Taxes) == 1 && t.Taxes[0].Code == "" && !t.Taxes[0].Compound
	return t.Prices != prices && !plain && (percent != nil || len(t.Taxes) > 0 || !isUntaxed(t.TaxCategory))
}

// normal returns the job as it is fingerprinted: a copy without anything that states nothing but a default.
func (j *Job) normal() *Job {
	normal := *j
	if j.Terms != nil {
		normal.Terms = fields.Clone(termsFields, j.Terms)
	}
	normal.Lines = make([]Line, len(j.Lines))
	for i := range j.Lines {
		normal.Lines[i] = j.Lines[i]
		if j.Lines[i].Terms != nil {
			normal.Lines[i].Terms = fields.Clone(lineFields, j.Lines[i].Terms)
		}
	}
	normal.normalize(j.kindBySign())
	return &normal
}

// kindBySign returns the kind that the total's sign makes of a valid job. It is computed only for one that states a kind or a type.
func (j *Job) kindBySign() Kind {
	if j.Terms == nil || j.Terms.Kind == "" && j.Terms.TypeCode == "" {
		return KindInvoice
	}
	totals, _ := j.Calculate() // a valid job has totals
	return totals.signKind()
}
