package document

import (
	"math/big"

	"invoicer/invoice"
)

// addGrossAdjustments says how the line's total with tax follows from its price with tax, for people: BT-146 has all of it.
func (w *writer) addGrossAdjustments(to *Line, l *invoice.InvoicedLine, t *invoice.LineTerms) {
	gross := Line{Quantity: to.Quantity, Price: *to.GrossPrice, Net: *to.GrossTotal}
	w.addLineAdjustments(&gross, l, t)
	to.GrossAllowances, to.GrossCharges = gross.Allowances, gross.Charges
}

// takeOff states a line that comes to less than nothing, since more is taken off than its price, by the price without tax and one allowance for what
// is left to its net: what was sold wasn't returned. The price is to the amount without tax as the price with tax is to the amount with it.
func (w *writer) takeOff(to *Line, t *invoice.LineTerms) {
	net := rat(*to.GrossPrice)
	net.Mul(net, rat(to.Net)).Quo(net, rat(*to.GrossTotal))
	if to.Price = rounded(net, w.exponent); to.Price.IsZero() {
		to.Price = *to.GrossPrice // less than the smallest amount
	}
	base := rounded(value(to.Quantity, to.Price, t.BaseQuantity), w.exponent)
	rest := new(big.Rat).Sub(rat(base), rat(to.Net))
	if rest.Sign() < 0 { // a return to which more is added
		charge := Adjustment{Amount: rounded(rest.Neg(rest), w.exponent), Reason: t.ChargeReason}
		charge.explain(chargeCode)
		to.Charges = append(to.Charges, charge)
		return
	}
	discount := Adjustment{Amount: rounded(rest, w.exponent), Reason: t.DiscountReason}
	discount.explain(discountCode)
	to.Allowances = append(to.Allowances, discount)
}

// haveGrossPrices reports whether all lines say what was charged with tax. Where some do, none says it any more: amounts with and without tax in one
// column add up to nothing.
func haveGrossPrices(lines []Line) bool {
	for n := range lines {
		if lines[n].GrossPrice == nil {
			for k := range lines {
				lines[k].GrossPrice, lines[k].GrossTotal, lines[k].GrossAllowances, lines[k].GrossCharges = nil, nil, nil, nil
			}
			return false
		}
	}
	return len(lines) > 0
}
