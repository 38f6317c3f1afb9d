package check

import (
	"fmt"
	"strings"

	"invoicer/invoice/document"
	"invoicer/invoice/document/node"
)

func (r *reading) readUBL(root *node.Node) {
	d := r.Document
	name := "Invoice"
	d.Kind, d.DueDate = document.Invoice, r.date(root.At("DueDate"), "BT-9")
	if r.Syntax == UBLCreditNote {
		name = "CreditNote"
		d.Kind, d.DueDate = document.CreditNote, r.date(root.At("PaymentMeans/PaymentDueDate"), "BT-9")
	}
	d.Specification, d.Process, d.Number, d.IssueDate = root.Get("CustomizationID"), root.Get("ProfileID"), root.Get("ID"), r.date(root.At("IssueDate"), "BT-2")
	r.Claim = claimOf(d.Specification)
	d.TypeCode, d.Currency, d.TaxCurrency = root.Get(name+"TypeCode"), root.Get("DocumentCurrencyCode"), root.Get("TaxCurrencyCode")
	d.TaxPointDate, d.AccountingReference, d.BuyerReference = r.date(root.At("TaxPointDate"), "BT-7"), root.Get("AccountingCost"), root.Get("BuyerReference")
	d.OrderReference, d.DespatchReference = root.Get("OrderReference/ID"), root.Get("DespatchDocumentReference/ID")
	d.ReceiptReference, d.TenderReference = root.Get("ReceiptDocumentReference/ID"), root.Get("OriginatorDocumentReference/ID")
	d.ContractReference, d.ProjectReference = root.Get("ContractDocumentReference/ID"), root.Get("ProjectReference/ID")
	for _, n := range root.Children("Note") {
		d.Notes = append(d.Notes, note(n.Value()))
	}
	for _, n := range root.Children("BillingReference") {
		d.Preceding = append(d.Preceding, document.Preceding{Number: n.Get("InvoiceDocumentReference/ID"), Date: r.date(n.At("InvoiceDocumentReference/IssueDate"), "BT-26")})
	}
	for _, n := range root.Children("AdditionalDocumentReference") {
		switch n.Get("DocumentTypeCode") {
		case "130":
			d.ObjectReference = n.Get("ID")
		case "50":
			d.ProjectReference = n.Get("ID")
		}
	}
	r.readUBLParties(root)
	r.readUBLPayment(root)
	period := root.At("InvoicePeriod")
	d.Period = r.ublPeriod(period, onDocument, "BT-73", "BT-74", "BR-CO-19")
	r.taxPoint(period.Get("DescriptionCode"))
	d.Allowances, d.Charges = r.ublAdjustments(root, onDocument)
	r.readUBLTotals(root)
	lines := root.Children(name + "Line")
	d.Lines = make([]document.Line, 0, len(lines))
	for _, n := range lines {
		d.Lines = append(d.Lines, r.ublLine(n))
	}
}

// note splits a code off a text, where EN 16931 puts it: #AAI#text.
func note(text string) document.Note {
	if rest, ok := strings.CutPrefix(text, "#"); ok {
		const length = 3
		if code, text, found := strings.Cut(rest, "#"); found && len(code) == length {
			return document.Note{Code: code, Text: text}
		}
	}
	return document.Note{Text: text}
}

func (r *reading) readUBLParties(root *node.Node) {
	d := r.Document
	d.Seller, d.Buyer = ublParty(root.At("AccountingSupplierParty/Party")), ublParty(root.At("AccountingCustomerParty/Party"))
	if n := root.At("PayeeParty"); n != nil {
		d.Payee = &document.Party{Name: n.Get("PartyName/Name"), ID: ublID(n), LegalID: n.Get("PartyLegalEntity/CompanyID")}
	}
	root.At("UBLVersionID")
	if n := root.At("TaxRepresentativeParty"); n != nil {
		n.At("PartyTaxScheme/TaxScheme/ID")
		d.TaxRepresentative = &document.Party{Name: n.Get("PartyName/Name"), VATID: n.Get("PartyTaxScheme/CompanyID"), Address: ublAddress(n.At("PostalAddress"))}
	}
	if n := root.At("Delivery"); n != nil {
		d.Delivery = &document.Delivery{Name: n.Get("DeliveryParty/PartyName/Name"), Date: r.date(n.At("ActualDeliveryDate"), "BT-72"), Address: ublAddress(n.At("DeliveryLocation/Address"))}
	}
}

// ublID returns a party's identifier that isn't that of a creditor.
func ublID(party *node.Node) string {
	for _, n := range party.Children("PartyIdentification") {
		if id := n.At("ID"); id.Attribute("schemeID") != "SEPA" {
			return id.Value()
		}
	}
	return ""
}

func ublParty(n *node.Node) document.Party {
	p := document.Party{
		Name: n.Get("PartyLegalEntity/RegistrationName"), TradingName: n.Get("PartyName/Name"), ID: ublID(n), LegalID: n.Get("PartyLegalEntity/CompanyID"),
		LegalInfo: n.Get("PartyLegalEntity/CompanyLegalForm"), Address: ublAddress(n.At("PostalAddress")),
	}
	if e := n.At("EndpointID"); e != nil {
		p.Endpoint = &document.Identifier{Scheme: e.Attribute("schemeID"), ID: e.Value()}
	}
	for _, s := range n.Children("PartyTaxScheme") {
		if strings.EqualFold(s.Get("TaxScheme/ID"), "VAT") {
			p.VATID = s.Get("CompanyID")
		} else {
			p.TaxID = s.Get("CompanyID")
		}
	}
	if c := n.At("Contact"); c != nil {
		p.Contact = &document.Contact{Name: c.Get("Name"), Phone: c.Get("Telephone"), Email: c.Get("ElectronicMail")}
	}
	return p
}

func ublAddress(n *node.Node) *document.Address {
	if n == nil {
		return nil
	}
	return &document.Address{
		Line1: n.Get("StreetName"), Line2: n.Get("AdditionalStreetName"), Line3: n.Get("AddressLine/Line"), City: n.Get("CityName"),
		Postcode: n.Get("PostalZone"), Region: n.Get("CountrySubentity"), Country: n.Get("Country/IdentificationCode"),
	}
}

// ublPeriod reads a period, which must have a start or an end.
func (r *reading) ublPeriod(n *node.Node, where, start, end, rule string) *document.Period {
	if n == nil {
		return nil
	}
	p := document.Period{Start: r.date(n.At("StartDate"), start), End: r.date(n.At("EndDate"), end)}
	if p == (document.Period{}) {
		if n.Get("DescriptionCode") == "" {
			r.find(rule, start, where, "its period has neither a start nor an end")
		}
		return nil
	}
	return &p
}

func (r *reading) readUBLPayment(root *node.Node) {
	r.Document.PaymentTerms = root.At("PaymentTerms/Note").Raw()
	n := root.At("PaymentMeans")
	if n == nil {
		return
	}
	p := &document.Payment{
		MeansCode: n.Get("PaymentMeansCode"), Reference: n.Get("PaymentID"), Account: n.Get("PayeeFinancialAccount/ID"),
		AccountName: n.Get("PayeeFinancialAccount/Name"), Bank: n.Get("PayeeFinancialAccount/FinancialInstitutionBranch/ID"),
		Mandate: n.Get("PaymentMandate/ID"), Debited: n.Get("PaymentMandate/PayerFinancialAccount/ID"),
		Card: n.Get("CardAccount/PrimaryAccountNumberID"),
	}
	if account := n.At("PayeeFinancialAccount"); account != nil && p.Account == "" {
		r.find("BR-50", "BT-84", onDocument, "the account to pay to (BT-84) is missing")
	}
	for _, party := range []*node.Node{root.At("AccountingSupplierParty/Party"), root.At("PayeeParty")} {
		for _, id := range party.Children("PartyIdentification") {
			if id := id.At("ID"); id.Attribute("schemeID") == "SEPA" {
				p.Creditor = id.Value()
			}
		}
	}
	r.Document.Payment = p
}

func (r *reading) ublAdjustments(of *node.Node, where string) (allowances, charges []document.Adjustment) {
	for _, n := range of.Children("AllowanceCharge") {
		isCharge := r.indicator(n.At("ChargeIndicator"), where)
		a := r.adjustment(isCharge, where, n.At("Amount"), n.At("BaseAmount"), n.At("MultiplierFactorNumeric"), n.At("TaxCategory/ID"), n.At("TaxCategory/Percent"))
		n.At("TaxCategory/TaxScheme/ID")
		a.Reason, a.ReasonCode = n.Get("AllowanceChargeReason"), n.Get("AllowanceChargeReasonCode")
		if isCharge {
			charges = append(charges, a)
		} else {
			allowances = append(allowances, a)
		}
	}
	return allowances, charges
}

// indicator reads whether something is a charge.
func (r *reading) indicator(n *node.Node, where string) bool {
	switch n.Value() {
	case "true", "1":
		return true
	case "false", "0":
	default:
		r.find("XSD", "", where, fmt.Sprintf("the indicator of an allowance or a charge is %q, and must be true or false", shortened(n.Value())))
	}
	return false
}

// adjustment reads the numbers of an allowance or a charge of the document or of a line.
func (r *reading) adjustment(isCharge bool, where string, amount, base, percent, category, rate *node.Node) document.Adjustment {
	bts := map[[2]bool][4]string{
		{false, false}: {"BT-136", "BT-137", "BT-138", "BT-96"}, {false, true}: {"BT-92", "BT-93", "BT-94", "BT-96"},
		{true, false}: {"BT-141", "BT-142", "BT-143", "BT-103"}, {true, true}: {"BT-99", "BT-100", "BT-101", "BT-103"},
	}[[2]bool{isCharge, where == onDocument}]
	return document.Adjustment{
		Amount: r.amount(amount, bts[0], where), Base: r.part(base, bts[1], where), Percent: r.optional(percent, bts[2], where), Rate: r.rate(category, rate, bts[3], where),
	}
}

func (r *reading) readUBLTotals(root *node.Node) {
	d := r.Document
	r.missing["BT-110"] = true
	for _, n := range root.Children("TaxTotal") {
		amount := n.At("TaxAmount")
		if d.TaxCurrency != "" && amount.Attribute("currencyID") == d.TaxCurrency && d.TaxCurrency != d.Currency {
			d.Totals.TaxInOther = r.optional(amount, "BT-111", onDocument)
			continue
		}
		if r.ownTaxes++; r.ownTaxes == 1 {
			delete(r.missing, "BT-110")
			d.Totals.Tax = r.amount(amount, "BT-110", onDocument)
		}
		for _, s := range n.Children("TaxSubtotal") {
			c := s.At("TaxCategory")
			tax := document.Tax{
				Rate: r.ofBreakdown(c.At("ID"), c.At("Percent"), onTaxes), Code: taxCode(c.Get("TaxScheme/ID")),
				Reason: c.Get("TaxExemptionReason"), ReasonCode: c.Get("TaxExemptionReasonCode"),
			}
			where := whereTax(&tax)
			tax.Base, tax.Amount = r.amount(s.At("TaxableAmount"), "BT-116", where), r.amount(s.At("TaxAmount"), "BT-117", where)
			d.Taxes = append(d.Taxes, tax)
		}
	}
	t := root.At("LegalMonetaryTotal")
	d.Totals.Lines, d.Totals.Net = r.total(t.At("LineExtensionAmount"), "BT-106"), r.total(t.At("TaxExclusiveAmount"), "BT-109")
	d.Totals.Gross, d.Totals.Allowances = r.total(t.At("TaxInclusiveAmount"), "BT-112"), r.total(t.At("AllowanceTotalAmount"), "BT-107")
	d.Totals.Charges, d.Totals.Prepaid = r.total(t.At("ChargeTotalAmount"), "BT-108"), r.total(t.At("PrepaidAmount"), "BT-113")
	d.Totals.Rounding, d.Totals.Payable = r.total(t.At("PayableRoundingAmount"), "BT-114"), r.total(t.At("PayableAmount"), "BT-115")
}

// taxCode returns which tax it is, "" for VAT.
func taxCode(code string) string {
	if strings.EqualFold(code, "VAT") {
		return ""
	}
	return code
}

func (r *reading) ublLine(n *node.Node) document.Line {
	where := "line " + shortened(n.Get("ID"))
	quantity := n.At("InvoicedQuantity")
	if quantity == nil {
		quantity = n.At("CreditedQuantity")
	}
	item := n.At("Item")
	l := document.Line{
		ID: n.Get("ID"), Note: n.Get("Note"), Quantity: r.number(quantity, "BT-129", where), Unit: quantity.Attribute("unitCode"), Net: r.amount(n.At("LineExtensionAmount"), "BT-131", where),
		OrderLine: n.Get("OrderLineReference/LineID"), AccountingReference: n.Get("AccountingCost"), Period: r.ublPeriod(n.At("InvoicePeriod"), where, "BT-134", "BT-135", "BR-CO-20"),
		Price: r.amount(n.At("Price/PriceAmount"), "BT-146", where), BaseQuantity: r.optional(n.At("Price/BaseQuantity"), "BT-149", where),
		Name: item.Get("Name"), Description: item.Get("Description"), SellerID: item.Get("SellersItemIdentification/ID"),
		BuyerID: item.Get("BuyersItemIdentification/ID"), OriginCountry: item.Get("OriginCountry/IdentificationCode"),
	}
	l.Allowances, l.Charges = r.ublAdjustments(n, where)
	n.At("Price/AllowanceCharge/ChargeIndicator")
	r.grossPrice(n.At("Price/AllowanceCharge/BaseAmount"), n.At("Price/AllowanceCharge").Children("Amount"), l.Price, where)
	if id := item.At("StandardItemIdentification/ID"); id != nil {
		l.StandardID = &document.Identifier{Scheme: id.Attribute("schemeID"), ID: id.Value()}
	}
	for _, c := range item.Children("CommodityClassification") {
		code := c.At("ItemClassificationCode")
		l.Classifications = append(l.Classifications, document.Identifier{Scheme: code.Attribute("listID"), ID: code.Value()})
	}
	for k, c := range item.Children("ClassifiedTaxCategory") {
		r.addRate(&l, k, r.rate(c.At("ID"), c.At("Percent"), "BT-152", where), taxCode(c.Get("TaxScheme/ID")))
	}
	return l
}

// addRate adds one of a line's rates.
func (r *reading) addRate(l *document.Line, n int, rate document.Rate, code string) {
	if n == 0 {
		l.Rate = rate
	} else {
		l.More = append(l.More, rate)
	}
	if n > 0 || code != "" {
		l.TaxCodes = append(append(l.TaxCodes, make([]string, n-len(l.TaxCodes))...), code)
	}
}
