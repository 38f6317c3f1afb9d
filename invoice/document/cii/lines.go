package cii

import (
	"invoicer/invoice/document"
	"invoicer/invoice/document/node"
)

func (w *writer) line(l *document.Line) *node.Node {
	price := node.New("ram:NetPriceProductTradePrice", node.Number("ram:ChargeAmount", l.Price))
	if l.BaseQuantity != nil {
		price.Add(node.Number("ram:BasisQuantity", *l.BaseQuantity).With("unitCode", l.Unit))
	}
	settlement := node.Always("ram:SpecifiedLineTradeSettlement")
	for n, rate := range l.Rates() {
		settlement.Add(w.category("ram:ApplicableTradeTax", rate, l.TaxCode(n)))
	}
	settlement.Add(period(l.Period))
	for n := range l.Allowances {
		settlement.Add(w.adjustment(&l.Allowances[n], false))
	}
	for n := range l.Charges {
		settlement.Add(w.adjustment(&l.Charges[n], true))
	}
	settlement.Add(node.New("ram:SpecifiedTradeSettlementLineMonetarySummation", w.amount("ram:LineTotalAmount", l.Net)),
		w.beyond(node.New("ram:ReceivableSpecifiedTradeAccountingAccount", node.Text("ram:ID", l.AccountingReference))))
	return node.New("ram:IncludedSupplyChainTradeLineItem",
		node.New("ram:AssociatedDocumentLineDocument", node.Text("ram:LineID", l.ID), node.New("ram:IncludedNote", node.Text("ram:Content", l.Note))),
		w.product(l),
		node.New("ram:SpecifiedLineTradeAgreement", w.beyond(node.New("ram:BuyerOrderReferencedDocument", node.Text("ram:LineID", l.OrderLine))), price),
		node.New("ram:SpecifiedLineTradeDelivery", node.Number("ram:BilledQuantity", l.Quantity).With("unitCode", l.Unit)),
		settlement)
}

func (w *writer) product(l *document.Line) *node.Node {
	made := node.Always("ram:SpecifiedTradeProduct")
	if id := l.StandardID; id != nil {
		made.Add(node.Text("ram:GlobalID", id.ID).With("schemeID", id.Scheme))
	}
	made.Add(w.beyond(node.Text("ram:SellerAssignedID", l.SellerID)), w.beyond(node.Text("ram:BuyerAssignedID", l.BuyerID)),
		node.Text("ram:Name", l.Name), w.beyond(node.Text("ram:Description", l.Description)))
	for _, c := range l.Classifications {
		made.Add(w.beyond(node.New("ram:DesignatedProductClassification", node.Text("ram:ClassCode", c.ID).With("listID", c.Scheme))))
	}
	made.Add(w.beyond(node.New("ram:OriginTradeCountry", node.Text("ram:ID", l.OriginCountry))))
	return made
}
