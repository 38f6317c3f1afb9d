package document

import "invoicer/invoice"

// addGrossAdjustments says how the line's total with tax follows from its price with tax, for people: BT-146 has all of it.
func (w *writer) addGrossAdjustments(to *Line, l *invoice.InvoicedLine, t *invoice.LineTerms) {
	gross := Line{Quantity: to.Quantity, Price: *to.GrossPrice, Net: *to.GrossTotal}
	w.addLineAdjustments(&gross, l, t)
	to.GrossAllowances, to.GrossCharges = gross.Allowances, gross.Charges
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
