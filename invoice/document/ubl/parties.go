package ubl

import (
	"invoicer/invoice/document"
	"invoicer/invoice/document/node"
)

// register is the scheme of a number in a register of companies, where Peppol's national rules want it to be named: DK-R-014, IS-R-002,
// IS-R-004, NL-R-003, NL-R-005.
func register(p *document.Party, seller bool) string {
	switch {
	case p.Address == nil:
		return ""
	case p.Address.Country == "DK" && seller:
		return "0184"
	case p.Address.Country == "IS":
		return "0196"
	case p.Address.Country == "NL" && len(p.LegalID) == oin:
		return "0190"
	case p.Address.Country == "NL":
		return "0106"
	}
	return ""
}

// oin is how long the number of a Dutch public body is.
const oin = 20

// sepa is the scheme of a creditor identifier.
const sepa = "SEPA"

func (w *writer) addParties(root *node.Node) {
	creditor := ""
	if w.Payment != nil {
		creditor = w.Payment.Creditor
	}
	ofSeller, ofPayee := creditor, ""
	if w.Payee != nil {
		ofSeller, ofPayee = "", creditor
	}
	root.Add(
		node.Always("cac:AccountingSupplierParty", party(&w.Seller, true, ofSeller)),
		node.Always("cac:AccountingCustomerParty", party(w.buyer(), false, "")))
	if p := w.Payee; p != nil {
		root.Add(node.New("cac:PayeeParty", identification(p.ID, ""), identification(ofPayee, sepa), named(p.Name),
			node.New("cac:PartyLegalEntity", node.Text("cbc:CompanyID", p.LegalID))))
	}
	if p := w.TaxRepresentative; p != nil {
		root.Add(node.New("cac:TaxRepresentativeParty", named(p.Name), address("cac:PostalAddress", p.Address), registered(p.VATID, vat)))
	}
	if d := w.Delivery; d != nil {
		root.Add(node.New("cac:Delivery", node.Text("cbc:ActualDeliveryDate", d.Date),
			node.New("cac:DeliveryLocation", address("cac:Address", d.Address)), node.New("cac:DeliveryParty", named(d.Name))))
	}
}

// buyer is the buyer. Between Danes, Peppol refuses an identifier without a scheme (DK-R-013), as is what a seller calls its customers.
func (w *writer) buyer() *document.Party {
	danish := func(p *document.Party) bool { return p.Address != nil && p.Address.Country == "DK" }
	if w.profile == document.Peppol && danish(&w.Seller) && danish(&w.Buyer) {
		buyer := w.Buyer
		buyer.ID = ""
		return &buyer
	}
	return &w.Buyer
}

// party is a seller or a buyer. Only a seller has a tax number (BT-32) and legal information (BT-33).
func party(p *document.Party, seller bool, creditor string) *node.Node {
	made := node.Always("cac:Party")
	if e := p.Endpoint; e != nil {
		made.Add(node.Text("cbc:EndpointID", e.ID).With("schemeID", e.Scheme))
	}
	made.Add(identification(p.ID, ""), identification(creditor, sepa), named(p.TradingName), address("cac:PostalAddress", p.Address), registered(p.VATID, vat))
	if seller {
		made.Add(registered(p.TaxID, notVAT))
	}
	entity := node.New("cac:PartyLegalEntity", node.Text("cbc:RegistrationName", p.Name), node.Text("cbc:CompanyID", p.LegalID).With("schemeID", register(p, seller)))
	if seller && entity != nil {
		entity.Add(node.Text("cbc:CompanyLegalForm", p.LegalInfo))
	}
	made.Add(entity)
	if c := p.Contact; c != nil {
		made.Add(node.New("cac:Contact", node.Text("cbc:Name", c.Name), node.Text("cbc:Telephone", c.Phone), node.Text("cbc:ElectronicMail", c.Email)))
	}
	return made
}

func identification(id, scheme string) *node.Node {
	return node.New("cac:PartyIdentification", node.Text("cbc:ID", id).With("schemeID", scheme))
}

func named(name string) *node.Node { return node.New("cac:PartyName", node.Text("cbc:Name", name)) }

// The schemes by which UBL tells a VAT id from another number of a tax office.
const (
	vat    = "VAT"
	notVAT = "TAX"
)

func registered(id, scheme string) *node.Node {
	if node.IsBlank(id) {
		return nil
	}
	return node.New("cac:PartyTaxScheme", node.Text("cbc:CompanyID", id), taxScheme(scheme))
}

func taxScheme(id string) *node.Node {
	return node.New("cac:TaxScheme", node.Text("cbc:ID", id))
}

func address(name string, a *document.Address) *node.Node {
	if a == nil {
		return nil
	}
	return node.New(name, node.Text("cbc:StreetName", a.Line1), node.Text("cbc:AdditionalStreetName", a.Line2), node.Text("cbc:CityName", a.City),
		node.Text("cbc:PostalZone", a.Postcode), node.Text("cbc:CountrySubentity", a.Region),
		node.New("cac:AddressLine", node.Text("cbc:Line", a.Line3)), node.New("cac:Country", node.Text("cbc:IdentificationCode", a.Country)))
}
