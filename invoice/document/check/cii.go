package check

import (
	"invoicer/invoice/document"
	"invoicer/invoice/document/node"
)

// isCreditNote reports whether a document has one of the types of UNTDID 1001 by which CII, which has one root for both, tells a credit note.
func isCreditNote(typeCode string) bool {
	switch typeCode {
	case "81", "83", "261", "262", "296", "308", "381", "396", "420", "458", "502", "503", "532":
		return true
	}
	return false
}

func (r *reading) readCII(root *node.Node) {
	d := r.Document
	head, trade := root.At("ExchangedDocument"), root.At("SupplyChainTradeTransaction")
	agreement, delivery := trade.At("ApplicableHeaderTradeAgreement"), trade.At("ApplicableHeaderTradeDelivery")
	settlement := trade.At("ApplicableHeaderTradeSettlement")
	context := root.At("ExchangedDocumentContext")
	d.Process = context.Get("BusinessProcessSpecifiedDocumentContextParameter/ID")
	d.Specification = context.Get("GuidelineSpecifiedDocumentContextParameter/ID")
	r.Claim = claimOf(d.Specification)
	d.Number, d.TypeCode, d.IssueDate = head.Get("ID"), head.Get("TypeCode"), r.date(head.At("IssueDateTime/DateTimeString"), "BT-2")
	if d.Kind = document.Invoice; isCreditNote(d.TypeCode) {
		d.Kind = document.CreditNote
	}
	d.Currency, d.TaxCurrency = settlement.Get("InvoiceCurrencyCode"), settlement.Get("TaxCurrencyCode")
	for _, n := range head.Children("IncludedNote") {
		d.Notes = append(d.Notes, document.Note{Code: n.Get("SubjectCode"), Text: n.Get("Content")})
	}
	r.readAgreement(agreement)
	if ship := delivery.At("ShipToTradeParty"); ship != nil || delivery.At("ActualDeliverySupplyChainEvent") != nil {
		d.Delivery = &document.Delivery{
			Name: ship.Get("Name"), Address: ciiAddress(ship.At("PostalTradeAddress")),
			Date: r.date(delivery.At("ActualDeliverySupplyChainEvent/OccurrenceDateTime/DateTimeString"), "BT-72"),
		}
	}
	d.DespatchReference = delivery.Get("DespatchAdviceReferencedDocument/IssuerAssignedID")
	d.ReceiptReference = delivery.Get("ReceivingAdviceReferencedDocument/IssuerAssignedID")
	r.readSettlement(settlement)
	lines := trade.Children("IncludedSupplyChainTradeLineItem")
	d.Lines = make([]document.Line, 0, len(lines))
	for _, n := range lines {
		switch of := n.At("AssociatedDocumentLineDocument"); of.Get("LineStatusReasonCode") {
		case "GROUP", "INFORMATION": // of EXTENDED: what is charged are the lines below
			r.note("", "BG-25", "line "+shortened(of.Get("LineID")), "is a heading of other lines or an information, and isn't added up")
			continue
		}
		d.Lines = append(d.Lines, r.ciiLine(n))
	}
}

func (r *reading) readAgreement(n *node.Node) {
	d := r.Document
	d.BuyerReference, d.OrderReference = n.Get("BuyerReference"), n.Get("BuyerOrderReferencedDocument/IssuerAssignedID")
	d.ContractReference, d.ProjectReference = n.Get("ContractReferencedDocument/IssuerAssignedID"), n.Get("SpecifiedProcuringProject/ID")
	d.Seller, d.Buyer = ciiParty(n.At("SellerTradeParty")), ciiParty(n.At("BuyerTradeParty"))
	if p := n.At("SellerTaxRepresentativeTradeParty"); p != nil {
		party := ciiParty(p)
		d.TaxRepresentative = &party
	}
	for _, a := range n.Children("AdditionalReferencedDocument") {
		switch a.Get("TypeCode") {
		case "130":
			d.ObjectReference = a.Get("IssuerAssignedID")
		case "50":
			d.TenderReference = a.Get("IssuerAssignedID")
		}
	}
}

func ciiParty(n *node.Node) document.Party {
	p := document.Party{
		Name: n.Get("Name"), TradingName: n.Get("SpecifiedLegalOrganization/TradingBusinessName"), ID: n.Get("ID"),
		LegalID: n.Get("SpecifiedLegalOrganization/ID"), LegalInfo: n.Get("Description"), Address: ciiAddress(n.At("PostalTradeAddress")),
	}
	if p.ID == "" {
		p.ID = n.Get("GlobalID")
	}
	if e := n.At("URIUniversalCommunication/URIID"); e != nil {
		p.Endpoint = &document.Identifier{Scheme: e.Attribute("schemeID"), ID: e.Value()}
	}
	for _, s := range n.Children("SpecifiedTaxRegistration") {
		switch id := s.At("ID"); id.Attribute("schemeID") {
		case "VA":
			p.VATID = id.Value()
		case "FC":
			p.TaxID = id.Value()
		}
	}
	if c := n.At("DefinedTradeContact"); c != nil {
		p.Contact = &document.Contact{
			Name: c.Get("PersonName"), Phone: c.Get("TelephoneUniversalCommunication/CompleteNumber"), Email: c.Get("EmailURIUniversalCommunication/URIID"),
		}
	}
	return p
}

func ciiAddress(n *node.Node) *document.Address {
	if n == nil {
		return nil
	}
	return &document.Address{
		Line1: n.Get("LineOne"), Line2: n.Get("LineTwo"), Line3: n.Get("LineThree"), City: n.Get("CityName"), Postcode: n.Get("PostcodeCode"),
		Region: n.Get("CountrySubDivisionName"), Country: n.Get("CountryID"),
	}
}

// ciiPeriod reads a period, which must have a start or an end.
func (r *reading) ciiPeriod(n *node.Node, where, start, end, rule string) *document.Period {
	if n == nil {
		return nil
	}
	p := document.Period{Start: r.date(n.At("StartDateTime/DateTimeString"), start), End: r.date(n.At("EndDateTime/DateTimeString"), end)}
	if p == (document.Period{}) {
		r.find(rule, start, where, "its period has neither a start nor an end")
		return nil
	}
	return &p
}

func (r *reading) readSettlement(n *node.Node) {
	d := r.Document
	d.AccountingReference = n.Get("ReceivableSpecifiedTradeAccountingAccount/ID")
	if p := n.At("PayeeTradeParty"); p != nil {
		party := ciiParty(p)
		d.Payee = &party
	}
	terms := n.At("SpecifiedTradePaymentTerms")
	d.PaymentTerms, d.DueDate = terms.At("Description").Raw(), r.date(terms.At("DueDateDateTime/DateTimeString"), "BT-9")
	if means := n.At("SpecifiedTradeSettlementPaymentMeans"); means != nil {
		account := means.Get("PayeePartyCreditorFinancialAccount/IBANID")
		if account == "" {
			account = means.Get("PayeePartyCreditorFinancialAccount/ProprietaryID")
		}
		d.Payment = &document.Payment{
			MeansCode: means.Get("TypeCode"), Reference: n.Get("PaymentReference"), Account: account,
			AccountName: means.Get("PayeePartyCreditorFinancialAccount/AccountName"), Bank: means.Get("PayeeSpecifiedCreditorFinancialInstitution/BICID"),
			Mandate: terms.Get("DirectDebitMandateID"), Creditor: n.Get("CreditorReferenceID"), Debited: means.Get("PayerPartyDebtorFinancialAccount/IBANID"),
			Card: means.Get("ApplicableTradeSettlementFinancialCard/ID"),
		}
		if means.At("PayeePartyCreditorFinancialAccount") != nil && account == "" {
			r.find("BR-50", "BT-84", onDocument, "the account to pay to (BT-84) is missing")
		}
	}
	for _, before := range n.Children("InvoiceReferencedDocument") {
		d.Preceding = append(d.Preceding, document.Preceding{Number: before.Get("IssuerAssignedID"), Date: r.date(before.At("FormattedIssueDateTime/DateTimeString"), "BT-26")})
	}
	d.Period = r.ciiPeriod(n.At("BillingSpecifiedPeriod"), onDocument, "BT-73", "BT-74", "BR-CO-19")
	d.Allowances, d.Charges = r.ciiAdjustments(n, onDocument)
	for _, s := range n.Children("SpecifiedLogisticsServiceCharge") { // of EXTENDED
		charge := r.adjustment(true, onDocument, s.At("AppliedAmount"), nil, nil, s.At("AppliedTradeTax/CategoryCode"), s.At("AppliedTradeTax/RateApplicablePercent"))
		charge.Reason = s.Get("Description")
		d.Charges = append(d.Charges, charge)
	}
	for _, t := range n.Children("ApplicableTradeTax") {
		if date := t.At("TaxPointDate/DateString"); date != nil {
			d.TaxPointDate = r.date(date, "BT-7")
		}
		r.taxPoint(t.Get("DueDateTypeCode"))
		tax := document.Tax{
			Rate: r.ofBreakdown(t.At("CategoryCode"), t.At("RateApplicablePercent"), onTaxes), Code: taxCode(t.Get("TypeCode")),
			Reason: t.Get("ExemptionReason"), ReasonCode: t.Get("ExemptionReasonCode"),
		}
		where := whereTax(&tax)
		tax.Base, tax.Amount = r.amount(t.At("BasisAmount"), "BT-116", where), r.amount(t.At("CalculatedAmount"), "BT-117", where)
		d.Taxes = append(d.Taxes, tax)
	}
	r.readCIITotals(n.At("SpecifiedTradeSettlementHeaderMonetarySummation"))
}

func (r *reading) readCIITotals(n *node.Node) {
	d := r.Document
	r.missing["BT-110"] = true
	for _, amount := range n.Children("TaxTotalAmount") {
		currency := amount.Attribute("currencyID")
		if currency != "" && currency == d.TaxCurrency && currency != d.Currency {
			d.Totals.TaxInOther = r.optional(amount, "BT-111", onDocument)
			continue
		}
		if currency == "" {
			r.find("BR-CO-15", "BT-110", onDocument, "the VAT (BT-110) has no currency")
		}
		if r.ownTaxes++; r.ownTaxes == 1 {
			delete(r.missing, "BT-110")
			d.Totals.Tax = r.amount(amount, "BT-110", onDocument)
		}
	}
	d.Totals.Lines, d.Totals.Net = r.total(n.At("LineTotalAmount"), "BT-106"), r.total(n.At("TaxBasisTotalAmount"), "BT-109")
	d.Totals.Gross, d.Totals.Allowances = r.total(n.At("GrandTotalAmount"), "BT-112"), r.total(n.At("AllowanceTotalAmount"), "BT-107")
	d.Totals.Charges, d.Totals.Prepaid = r.total(n.At("ChargeTotalAmount"), "BT-108"), r.total(n.At("TotalPrepaidAmount"), "BT-113")
	d.Totals.Rounding, d.Totals.Payable = r.total(n.At("RoundingAmount"), "BT-114"), r.total(n.At("DuePayableAmount"), "BT-115")
}

func (r *reading) ciiAdjustments(of *node.Node, where string) (allowances, charges []document.Adjustment) {
	for _, n := range of.Children("SpecifiedTradeAllowanceCharge") {
		isCharge := r.indicator(n.At("ChargeIndicator/Indicator"), where)
		a := r.adjustment(isCharge, where, n.At("ActualAmount"), n.At("BasisAmount"), n.At("CalculationPercent"),
			n.At("CategoryTradeTax/CategoryCode"), n.At("CategoryTradeTax/RateApplicablePercent"))
		n.At("CategoryTradeTax/TypeCode")
		a.Reason, a.ReasonCode = n.Get("Reason"), n.Get("ReasonCode")
		if isCharge {
			charges = append(charges, a)
		} else {
			allowances = append(allowances, a)
		}
	}
	return allowances, charges
}

func (r *reading) ciiLine(n *node.Node) document.Line {
	id := n.Get("AssociatedDocumentLineDocument/LineID")
	where := "line " + shortened(id)
	product, agreement, settlement := n.At("SpecifiedTradeProduct"), n.At("SpecifiedLineTradeAgreement"), n.At("SpecifiedLineTradeSettlement")
	quantity, price := n.At("SpecifiedLineTradeDelivery/BilledQuantity"), agreement.At("NetPriceProductTradePrice")
	l := document.Line{
		ID: id, Note: n.Get("AssociatedDocumentLineDocument/IncludedNote/Content"), Quantity: r.number(quantity, "BT-129", where), Unit: quantity.Attribute("unitCode"),
		Net:       r.amount(settlement.At("SpecifiedTradeSettlementLineMonetarySummation/LineTotalAmount"), "BT-131", where),
		OrderLine: agreement.Get("BuyerOrderReferencedDocument/LineID"), AccountingReference: settlement.Get("ReceivableSpecifiedTradeAccountingAccount/ID"),
		Period: r.ciiPeriod(settlement.At("BillingSpecifiedPeriod"), where, "BT-134", "BT-135", "BR-CO-20"), Price: r.amount(price.At("ChargeAmount"), "BT-146", where),
		BaseQuantity: r.optional(price.At("BasisQuantity"), "BT-149", where), Name: product.Get("Name"), Description: product.Get("Description"),
		SellerID: product.Get("SellerAssignedID"), BuyerID: product.Get("BuyerAssignedID"), OriginCountry: product.Get("OriginTradeCountry/ID"),
	}
	l.Allowances, l.Charges = r.ciiAdjustments(settlement, where)
	gross := agreement.At("GrossPriceProductTradePrice")
	gross.At("BasisQuantity")
	var discounts []*node.Node
	for _, applied := range gross.Children("AppliedTradeAllowanceCharge") {
		applied.At("ChargeIndicator/Indicator")
		discounts = append(discounts, applied.Children("ActualAmount")...)
	}
	r.grossPrice(gross.At("ChargeAmount"), discounts, l.Price, where)
	if id := product.At("GlobalID"); id != nil {
		l.StandardID = &document.Identifier{Scheme: id.Attribute("schemeID"), ID: id.Value()}
	}
	for _, c := range product.Children("DesignatedProductClassification") {
		code := c.At("ClassCode")
		l.Classifications = append(l.Classifications, document.Identifier{Scheme: code.Attribute("listID"), ID: code.Value()})
	}
	for k, t := range settlement.Children("ApplicableTradeTax") {
		r.addRate(&l, k, r.rate(t.At("CategoryCode"), t.At("RateApplicablePercent"), "BT-152", where), taxCode(t.Get("TypeCode")))
	}
	return l
}
