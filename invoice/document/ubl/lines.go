package ubl

import (
	"cmp"

	"invoicer/invoice"
	"invoicer/invoice/document"
	"invoicer/invoice/document/node"
)

func (w *writer) amount(name string, d document.Decimal) *node.Node {
	return node.Amount(name, d, w.decimals).With("currencyID", w.Currency)
}

// adjustment is an allowance or a charge of the document or of a line, which has no category.
func (w *writer) adjustment(a *document.Adjustment, charge bool) *node.Node {
	made := w.lineAdjustment(a, charge)
	if a.Stated() {
		made.Add(w.category("cac:TaxCategory", a.Rate, "", false))
	}
	return made
}

func (w *writer) lineAdjustment(a *document.Adjustment, charge bool) *node.Node {
	indicator := "false"
	if charge {
		indicator = "true"
	}
	made := node.New("cac:AllowanceCharge", node.Text("cbc:ChargeIndicator", indicator),
		node.Text("cbc:AllowanceChargeReasonCode", a.ReasonCode), node.Text("cbc:AllowanceChargeReason", a.Reason))
	if a.Adds() {
		made.Add(node.Number("cbc:MultiplierFactorNumeric", *a.Percent))
	}
	made.Add(w.amount("cbc:Amount", a.Amount))
	if a.Adds() {
		made.Add(w.amount("cbc:BaseAmount", *a.Base))
	}
	return made
}

// category is a category with its rate. XRechnung, and Peppol between Germans, want a rate in every breakdown (BR-DE-14, DE-R-014), where
// EN 16931 has none for O.
func (w *writer) category(name string, r document.Rate, code string, breakdown bool) *node.Node {
	made := node.Always(name, node.Text("cbc:ID", r.Category))
	switch {
	case r.Percent != nil:
		made.Add(node.Number("cbc:Percent", *r.Percent))
	case breakdown && (w.profile == document.XRechnung || w.profile == document.Peppol && w.isGerman()):
		made.Add(node.Number("cbc:Percent", document.Decimal{}))
	}
	if !breakdown {
		made.Add(taxScheme(cmp.Or(code, vat)))
	}
	return made
}

// isGerman reports whether both parties are in Germany.
func (w *writer) isGerman() bool {
	german := func(p *document.Party) bool { return p.Address != nil && p.Address.Country == "DE" }
	return german(&w.Seller) && german(&w.Buyer)
}

// addTaxes adds BG-23, and BT-111.
func (w *writer) addTaxes(root *node.Node) {
	total := node.New("cac:TaxTotal", w.amount("cbc:TaxAmount", w.Totals.Tax))
	for n := range w.Taxes {
		t := &w.Taxes[n]
		category := w.category("cac:TaxCategory", t.Rate, "", true)
		category.Add(node.Text("cbc:TaxExemptionReasonCode", t.ReasonCode), node.Text("cbc:TaxExemptionReason", t.Reason), taxScheme(cmp.Or(t.Code, vat)))
		total.Add(node.New("cac:TaxSubtotal", w.amount("cbc:TaxableAmount", t.Base), w.amount("cbc:TaxAmount", t.Amount), category))
	}
	root.Add(total)
	if other := w.Totals.TaxInOther; other != nil {
		decimals, _ := invoice.MinorUnits(w.TaxCurrency)
		root.Add(node.New("cac:TaxTotal", node.Amount("cbc:TaxAmount", *other, decimals).With("currencyID", w.TaxCurrency)))
	}
}

func (w *writer) totals() *node.Node {
	t := &w.Totals
	made := node.New("cac:LegalMonetaryTotal", w.amount("cbc:LineExtensionAmount", t.Lines), w.amount("cbc:TaxExclusiveAmount", t.Net),
		w.amount("cbc:TaxInclusiveAmount", t.Gross))
	if len(w.Allowances) > 0 {
		made.Add(w.amount("cbc:AllowanceTotalAmount", t.Allowances))
	}
	if len(w.Charges) > 0 {
		made.Add(w.amount("cbc:ChargeTotalAmount", t.Charges))
	}
	if !t.Prepaid.IsZero() {
		made.Add(w.amount("cbc:PrepaidAmount", t.Prepaid))
	}
	if !t.Rounding.IsZero() {
		made.Add(w.amount("cbc:PayableRoundingAmount", t.Rounding))
	}
	made.Add(w.amount("cbc:PayableAmount", t.Payable))
	return made
}

func (w *writer) line(l *document.Line) *node.Node {
	name, quantity := "cac:InvoiceLine", "cbc:InvoicedQuantity"
	if w.credit {
		name, quantity = "cac:CreditNoteLine", "cbc:CreditedQuantity"
	}
	made := node.New(name, node.Text("cbc:ID", l.ID), node.Text("cbc:Note", l.Note), node.Number(quantity, l.Quantity).With("unitCode", l.Unit),
		w.amount("cbc:LineExtensionAmount", l.Net), node.Text("cbc:AccountingCost", l.AccountingReference), period(l.Period),
		node.New("cac:OrderLineReference", node.Text("cbc:LineID", l.OrderLine)))
	for n := range l.Allowances {
		made.Add(w.lineAdjustment(&l.Allowances[n], false))
	}
	for n := range l.Charges {
		made.Add(w.lineAdjustment(&l.Charges[n], true))
	}
	price := node.New("cac:Price", node.Number("cbc:PriceAmount", l.Price).With("currencyID", w.Currency))
	if l.BaseQuantity != nil {
		price.Add(node.Number("cbc:BaseQuantity", *l.BaseQuantity).With("unitCode", l.Unit))
	}
	made.Add(w.item(l), price)
	return made
}

func (w *writer) item(l *document.Line) *node.Node {
	identified := func(name string, id *node.Node) *node.Node { return node.New("cac:"+name+"ItemIdentification", id) }
	made := node.Always("cac:Item", node.Text("cbc:Description", l.Description), node.Text("cbc:Name", l.Name),
		identified("Buyers", node.Text("cbc:ID", l.BuyerID)), identified("Sellers", node.Text("cbc:ID", l.SellerID)))
	if id := l.StandardID; id != nil {
		made.Add(identified("Standard", node.Text("cbc:ID", id.ID).With("schemeID", id.Scheme)))
	}
	made.Add(node.New("cac:OriginCountry", node.Text("cbc:IdentificationCode", l.OriginCountry)))
	for _, c := range l.Classifications {
		made.Add(node.New("cac:CommodityClassification", node.Text("cbc:ItemClassificationCode", c.ID).With("listID", c.Scheme)))
	}
	for n, rate := range l.Rates() {
		made.Add(w.category("cac:ClassifiedTaxCategory", rate, l.TaxCode(n), false))
	}
	return made
}
