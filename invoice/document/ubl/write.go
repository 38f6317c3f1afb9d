// Package ubl writes documents as UBL 2.1: an invoice as Invoice, a credit note as CreditNote.
package ubl

import (
	"fmt"
	"strings"

	"invoicer/invoice"
	"invoicer/invoice/document"
	"invoicer/invoice/document/node"
)

// Write returns the document as UBL, as the profile wants it. The same document makes the same bytes. What a document lacks for its
// profile ([document.Lacks]) is left out, and what has no place in UBL, such as a second tax, is written as far as it goes.
//
// It fails if the profile has no UBL.
func Write(d *document.Document, p document.Profile) ([]byte, error) {
	if !p.HasUBL() {
		return nil, fmt.Errorf("ubl: documents of the profile %s are written as CII", p)
	}
	w := &writer{Document: d, profile: p, credit: d.Kind == document.CreditNote, decimals: 2}
	if decimals, ok := invoice.MinorUnits(d.Currency); ok {
		w.decimals = decimals
	}
	return node.Write(w.root()), nil
}

// A writer writes one document.
type writer struct {
	*document.Document

	profile  document.Profile
	credit   bool
	decimals int // of the currency
}

const schema = "urn:oasis:names:specification:ubl:schema:xsd:"

func (w *writer) root() *node.Node {
	name := "Invoice"
	if w.credit {
		name = "CreditNote"
	}
	root := node.Always(name).With("xmlns", schema+name+"-2").
		With("xmlns:cac", schema+"CommonAggregateComponents-2").With("xmlns:cbc", schema+"CommonBasicComponents-2")
	process, specification := w.profile.Names(w.Document)
	root.Add(node.Text("cbc:CustomizationID", specification), node.Text("cbc:ProfileID", process), node.Text("cbc:ID", w.Number),
		node.Text("cbc:IssueDate", w.IssueDate))
	notes := w.notes()
	if w.credit {
		root.Add(node.Text("cbc:TaxPointDate", w.TaxPointDate), node.Text("cbc:CreditNoteTypeCode", w.TypeCode))
		root.Add(notes...)
	} else {
		root.Add(node.Text("cbc:DueDate", w.DueDate), node.Text("cbc:InvoiceTypeCode", w.TypeCode))
		root.Add(notes...)
		root.Add(node.Text("cbc:TaxPointDate", w.TaxPointDate))
	}
	root.Add(node.Text("cbc:DocumentCurrencyCode", w.Currency), node.Text("cbc:TaxCurrencyCode", w.TaxCurrency),
		node.Text("cbc:AccountingCost", w.AccountingReference), node.Text("cbc:BuyerReference", w.BuyerReference), period(w.Period),
		node.New("cac:OrderReference", node.Text("cbc:ID", w.OrderReference)))
	for _, p := range w.Preceding {
		root.Add(node.New("cac:BillingReference", node.New("cac:InvoiceDocumentReference", node.Text("cbc:ID", p.Number), node.Text("cbc:IssueDate", p.Date))))
	}
	w.addReferences(root)
	w.addParties(root)
	w.addPayment(root)
	for n := range w.Allowances {
		root.Add(w.adjustment(&w.Allowances[n], false))
	}
	for n := range w.Charges {
		root.Add(w.adjustment(&w.Charges[n], true))
	}
	w.addTaxes(root)
	root.Add(w.totals())
	for n := range w.Lines {
		root.Add(w.line(&w.Lines[n]))
	}
	return root
}

// notes are BG-1. UBL has no place for BT-21, so EN 16931 puts it in front of the text. Peppol allows one note (R002), and knows no codes.
func (w *writer) notes() (list []*node.Node) {
	var texts []string
	for _, n := range w.Notes {
		text := n.Text
		if n.Code != "" && w.profile != document.Peppol {
			text = "#" + n.Code + "#" + text
		}
		texts = append(texts, text)
	}
	if w.profile == document.Peppol {
		return []*node.Node{node.Text("cbc:Note", strings.Join(texts, "\n"))}
	}
	for _, text := range texts {
		list = append(list, node.Text("cbc:Note", text))
	}
	return list
}

// Codes of UNTDID 1001 that tell what a reference is of.
const (
	objectCode  = "130"
	projectCode = "50"
)

// addReferences adds what the document refers to. A credit note has an order of its own, and no element for a project.
func (w *writer) addReferences(root *node.Node) {
	reference := func(name, id string) *node.Node { return node.New("cac:"+name, node.Text("cbc:ID", id)) }
	coded := func(id, code string) *node.Node {
		if node.IsBlank(id) {
			return nil
		}
		return node.New("cac:AdditionalDocumentReference", node.Text("cbc:ID", id), node.Text("cbc:DocumentTypeCode", code))
	}
	tender := reference("OriginatorDocumentReference", w.TenderReference)
	contract := reference("ContractDocumentReference", w.ContractReference)
	object := coded(w.ObjectReference, objectCode)
	root.Add(reference("DespatchDocumentReference", w.DespatchReference), reference("ReceiptDocumentReference", w.ReceiptReference))
	if w.credit {
		root.Add(contract, object, coded(w.ProjectReference, projectCode), tender)
	} else {
		root.Add(tender, contract, object, reference("ProjectReference", w.ProjectReference))
	}
}

func period(p *document.Period) *node.Node {
	if p == nil {
		return nil
	}
	return node.New("cac:InvoicePeriod", node.Text("cbc:StartDate", p.Start), node.Text("cbc:EndDate", p.End))
}

func (w *writer) addPayment(root *node.Node) {
	due := ""
	if w.credit {
		due = w.DueDate // the only place that a credit note has for it
	}
	p := w.Payment
	if p == nil && due != "" {
		p = &document.Payment{MeansCode: document.NoMeans}
	}
	if p != nil && p.MeansCode != "" {
		means := node.New("cac:PaymentMeans", node.Text("cbc:PaymentMeansCode", p.MeansCode), node.Text("cbc:PaymentDueDate", due),
			node.Text("cbc:PaymentID", p.Reference))
		if !node.IsBlank(p.Account) {
			means.Add(node.New("cac:PayeeFinancialAccount", node.Text("cbc:ID", p.Account), node.Text("cbc:Name", p.AccountName),
				node.New("cac:FinancialInstitutionBranch", node.Text("cbc:ID", p.Bank))))
		}
		means.Add(node.New("cac:PaymentMandate", node.Text("cbc:ID", p.Mandate), node.New("cac:PayerFinancialAccount", node.Text("cbc:ID", p.Debited))))
		root.Add(means)
	}
	root.Add(node.New("cac:PaymentTerms", node.Text("cbc:Note", w.PaymentTerms)))
}
