package document

import "invoicer/invoice"

// addGrossAdjustments says how the line's total with tax follows from its price with tax, for people: BT-146 has all of it.
func (w *writer) addGrossAdjustments(to *Line, l *invoice.InvoicedLine, t *invoice.LineTerms) {
	gross := Line{Quantity: to.Quantity, Price: *to.GrossPrice, Net: *to.GrossTotal}
	w.addLineAdjustments(&gross, l, t)
	to.GrossAllowances, to.GrossCharges = gross.Allowances, gross.Charges
}
