// Package cii writes documents as CII D16B, which is also what lies in a Factur-X or ZUGFeRD file.
package cii

import (
	"fmt"
	"strings"

	"invoicer/invoice"
	"invoicer/invoice/document"
	"invoicer/invoice/document/node"
)

// Write returns the document as CII, as the profile wants it. The same document makes the same bytes. What a document lacks for its
// profile ([document.Lacks]) is left out, and what has no place in CII, such as a second tax, is written as far as it goes. The profile
// BASIC of Factur-X has fewer terms: the others are left out.
//
// It fails if the profile has no CII.
func Write(d *document.Document, p document.Profile) ([]byte, error) {
	if !p.HasCII() {
		return nil, fmt.Errorf("cii: documents of the profile %s are written as UBL", p)
	}
	w := &writer{Document: d, profile: p, basic: p == document.FacturXBasic, decimals: 2}
	if decimals, ok := invoice.MinorUnits(d.Currency); ok {
		w.decimals = decimals
	}
	return node.Write(w.root()), nil
}

// A writer writes one document.
type writer struct {
	*document.Document

	profile  document.Profile
	basic    bool // as few terms as BASIC knows
	decimals int  // of the currency
}

const schema = "urn:un:unece:uncefact:data:"

func (w *writer) root() *node.Node {
	process, specification := w.profile.Names(w.Document)
	root := node.Always("rsm:CrossIndustryInvoice").With("xmlns:rsm", schema+"standard:CrossIndustryInvoice:100").
		With("xmlns:qdt", schema+"standard:QualifiedDataType:100").
		With("xmlns:ram", schema+"standard:ReusableAggregateBusinessInformationEntity:100").
		With("xmlns:udt", schema+"standard:UnqualifiedDataType:100")
	root.Add(node.Always("rsm:ExchangedDocumentContext",
		node.New("ram:BusinessProcessSpecifiedDocumentContextParameter", node.Text("ram:ID", process)),
		node.New("ram:GuidelineSpecifiedDocumentContextParameter", node.Text("ram:ID", specification))))
	head := node.Always("rsm:ExchangedDocument", node.Text("ram:ID", w.Number), node.Text("ram:TypeCode", w.TypeCode), date("ram:IssueDateTime", w.IssueDate))
	for _, n := range w.Notes {
		if text := node.Text("ram:Content", n.Text); text != nil {
			head.Add(node.New("ram:IncludedNote", text, node.Text("ram:SubjectCode", n.Code)))
		}
	}
	for n := 1; n < len(w.Preceding); n++ {
		text := strings.TrimSpace(w.Preceding[n].Number + " " + w.Preceding[n].Date)
		head.Add(node.New("ram:IncludedNote", node.Text("ram:Content", "Preceding invoice: "+text)))
	}
	trade := node.Always("rsm:SupplyChainTradeTransaction")
	for n := range w.Lines {
		trade.Add(w.line(&w.Lines[n]))
	}
	trade.Add(w.agreement(), w.delivery(), w.settlement())
	root.Add(head, trade)
	return root
}

// day spells a date as CII does: 20060102.
func day(d string) string { return strings.ReplaceAll(d, "-", "") }

func date(name, d string) *node.Node {
	return node.New(name, node.Text("udt:DateTimeString", day(d)).With("format", "102"))
}

// beyond returns a node that BASIC doesn't know, and so nil for BASIC.
func (w *writer) beyond(n *node.Node) *node.Node {
	if w.basic {
		return nil
	}
	return n
}

// Codes of UNTDID 1001 that tell what a reference is of.
const (
	objectCode = "130"
	tenderCode = "50"
)

func (w *writer) agreement() *node.Node {
	reference := func(name, id string) *node.Node {
		return node.New("ram:"+name+"ReferencedDocument", node.Text("ram:IssuerAssignedID", id))
	}
	coded := func(id, code string) *node.Node {
		if node.IsBlank(id) {
			return nil
		}
		return w.beyond(node.New("ram:AdditionalReferencedDocument", node.Text("ram:IssuerAssignedID", id), node.Text("ram:TypeCode", code)))
	}
	made := node.Always("ram:ApplicableHeaderTradeAgreement", node.Text("ram:BuyerReference", w.BuyerReference),
		w.party("ram:SellerTradeParty", &w.Seller, true), w.party("ram:BuyerTradeParty", &w.Buyer, false))
	if p := w.TaxRepresentative; p != nil {
		made.Add(node.New("ram:SellerTaxRepresentativeTradeParty", node.Text("ram:Name", p.Name), address(p.Address), registered(p.VATID, "VA")))
	}
	made.Add(reference("BuyerOrder", w.OrderReference), reference("Contract", w.ContractReference), coded(w.TenderReference, tenderCode),
		coded(w.ObjectReference, objectCode))
	if !node.IsBlank(w.ProjectReference) { // the schema wants a name
		made.Add(w.beyond(node.New("ram:SpecifiedProcuringProject", node.Text("ram:ID", w.ProjectReference), node.Text("ram:Name", "Project reference"))))
	}
	return made
}

func (w *writer) delivery() *node.Node {
	reference := func(name, id string) *node.Node {
		return node.New("ram:"+name+"ReferencedDocument", node.Text("ram:IssuerAssignedID", id))
	}
	made := node.Always("ram:ApplicableHeaderTradeDelivery")
	if d := w.Delivery; d != nil {
		made.Add(node.New("ram:ShipToTradeParty", node.Text("ram:Name", d.Name), address(d.Address)),
			node.New("ram:ActualDeliverySupplyChainEvent", date("ram:OccurrenceDateTime", d.Date)))
	}
	made.Add(reference("DespatchAdvice", w.DespatchReference), w.beyond(reference("ReceivingAdvice", w.ReceiptReference)))
	return made
}

// party is a seller or a buyer. Only a seller has a tax number (BT-32) and legal information (BT-33).
func (w *writer) party(name string, p *document.Party, seller bool) *node.Node {
	made := node.Always(name, node.Text("ram:ID", p.ID), node.Text("ram:Name", p.Name))
	if seller {
		made.Add(w.beyond(node.Text("ram:Description", p.LegalInfo)))
	}
	organization := node.New("ram:SpecifiedLegalOrganization", node.Text("ram:ID", p.LegalID))
	if trading := node.Text("ram:TradingBusinessName", p.TradingName); organization != nil {
		organization.Add(trading)
	} else {
		organization = node.New("ram:SpecifiedLegalOrganization", trading)
	}
	made.Add(organization)
	if c := p.Contact; c != nil {
		made.Add(w.beyond(node.New("ram:DefinedTradeContact", node.Text("ram:PersonName", c.Name),
			node.New("ram:TelephoneUniversalCommunication", node.Text("ram:CompleteNumber", c.Phone)),
			node.New("ram:EmailURIUniversalCommunication", node.Text("ram:URIID", c.Email)))))
	}
	made.Add(address(p.Address))
	if e := p.Endpoint; e != nil {
		made.Add(node.New("ram:URIUniversalCommunication", node.Text("ram:URIID", e.ID).With("schemeID", e.Scheme)))
	}
	made.Add(registered(p.VATID, "VA"))
	if seller {
		made.Add(registered(p.TaxID, "FC"))
	}
	return made
}

func registered(id, scheme string) *node.Node {
	return node.New("ram:SpecifiedTaxRegistration", node.Text("ram:ID", id).With("schemeID", scheme))
}

func address(a *document.Address) *node.Node {
	if a == nil {
		return nil
	}
	return node.New("ram:PostalTradeAddress", node.Text("ram:PostcodeCode", a.Postcode), node.Text("ram:LineOne", a.Line1), node.Text("ram:LineTwo", a.Line2),
		node.Text("ram:LineThree", a.Line3), node.Text("ram:CityName", a.City), node.Text("ram:CountryID", a.Country), node.Text("ram:CountrySubDivisionName", a.Region))
}
