package amounts

import (
	"slices"
	"strconv"

	"invoicer/invoice/decimal"
)

// check finds what is wrong with single fields.
func (c *calculation) check() {
	d := c.document
	for i := range d.Lines {
		l := &d.Lines[i]
		// The path of a line is made only for a problem: a document may have thousands of lines.
		if l.fine(d.Exponent) {
			continue
		}
		field := at("lines", i)
		if l.BaseQuantity.Sign() < 0 {
			c.problem(field+".base_quantity", "must be greater than 0")
		}
		c.checkPercent(field+".discount_percent", l.DiscountPercent)
		c.checkAmount(field+".discount_amount", l.DiscountAmount)
		c.checkAmount(field+".charge_amount", l.ChargeAmount)
		c.checkTerms(field, &l.Terms)
	}
	c.checkAdjustments("allowances", d.Allowances)
	c.checkAdjustments("charges", d.Charges)
	for i := range d.TaxAmounts {
		c.checkAmount(at("tax_amounts", i)+".amount", d.TaxAmounts[i].Amount)
	}
	for i := range d.Withholdings {
		field, w := at("withholdings", i), &d.Withholdings[i]
		c.checkPercent(field+".percent", w.Percent)
		if w.Base != nil {
			c.checkAmount(field+".base", *w.Base)
		}
	}
	c.checkAmount("prepaid", d.Prepaid)
	c.checkAmount("rounding", d.Rounding)
	if d.ExpectedTotal != nil {
		c.checkAmount("expected_total", *d.ExpectedTotal)
	}
	if d.ExpectedPayable != nil {
		c.checkAmount("expected_payable", *d.ExpectedPayable)
	}
}

// fine reports whether nothing is wrong with any field of the line.
func (l *Line) fine(exponent int) bool {
	return l.BaseQuantity.Sign() >= 0 && isPercentage(l.DiscountPercent) && isAmount(l.DiscountAmount, exponent) &&
		isAmount(l.ChargeAmount, exponent) && !slices.ContainsFunc(l.Taxes, func(t Tax) bool { return !isPercentage(t.Percent) })
}

func (c *calculation) checkAdjustments(list string, adjustments []Adjustment) {
	for i := range adjustments {
		field, a := at(list, i), &adjustments[i]
		c.checkAmount(field+".amount", a.Amount)
		if !a.Percent.IsZero() && !a.Amount.IsZero() {
			c.problem(field+".percent", "must not be stated beside amount: state one of both")
		} else {
			c.checkPercent(field+".percent", a.Percent)
		}
		c.checkTerms(field, &a.Terms)
	}
}

func (c *calculation) checkTerms(field string, t *Terms) {
	for i := range t.Taxes {
		if t.Short {
			c.checkPercent(field+".tax_percent", t.Taxes[i].Percent)
		} else {
			c.checkPercent(field+"."+at("taxes", i)+".percent", t.Taxes[i].Percent)
		}
	}
}

func (c *calculation) checkPercent(field string, percent decimal.Decimal) {
	if !isPercentage(percent) {
		c.problem(field, mustBePercentage)
	}
}

func isPercentage(d decimal.Decimal) bool {
	return d.IsZero() || d.Sign() > 0 && d.Cmp(decimal.New(100, 0)) <= 0
}

func (c *calculation) checkAmount(field string, amount decimal.Decimal) {
	exponent := c.document.Exponent
	switch {
	case isAmount(amount, exponent):
	case amount.Decimals() <= exponent:
		c.problem(field, "is an amount that is too big, so split the transaction")
	case exponent == 0:
		c.problem(field, "must not have decimals, as amounts in this currency have none")
	default:
		c.problem(field, "must not have more than "+strconv.Itoa(exponent)+" decimals, as amounts in this currency have no more")
	}
}

func isAmount(d decimal.Decimal, exponent int) bool {
	_, ok := d.Scaled(exponent)
	return ok
}
