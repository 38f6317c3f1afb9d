package mail

import (
	"strings"

	"invoicer/invoice/document"
	"invoicer/invoice/document/pdf"
)

// Facts are what the texts of a letter may say: each is one line, and "" if the invoice doesn't say it. Their names are those of the fields in a
// template.
type Facts struct {
	CreditNote bool   // else an invoice
	Number     string // BT-1
	Date       string // BT-2, as the language writes it
	Seller     string // BT-27
	Buyer      string // BT-44
	Contact    string // BT-56, the person at the buyer's
	Total      string // BT-112, with its currency
	Payable    string // what is to be paid by the buyer, with its currency; "" if nothing is, or it is debited
	Debited    string // what will be debited from the buyer's account, with its currency
	Due        string // BT-9
	Account    string // BT-84, where to pay
	Reference  string // BT-83, which a payment is to quote; else the number
	Order      string // BT-13
	BuyersOwn  string // BT-10, the buyer's reference
	Files      string // the names of what is attached
}

// FactsOf returns what the texts of a letter in a language may say of an invoice that is sent with attachments.
func FactsOf(d *document.Document, language string, attachments []Attachment) Facts {
	w := pdf.WritingIn(language)
	f := Facts{
		CreditNote: d.Kind == document.CreditNote, Number: d.Number, Date: w.Date(d.IssueDate),
		Seller: d.Seller.Name, Buyer: d.Buyer.Name, Total: w.Money(d.Totals.Gross, d.Currency), Due: w.Date(d.DueDate),
		Reference: d.Number, Order: d.OrderReference, BuyersOwn: d.BuyerReference,
	}
	if d.Buyer.Contact != nil {
		f.Contact = d.Buyer.Contact.Name
	}
	debit := false
	if p := d.Payment; p != nil {
		debit = p.Debited != "" || p.Mandate != ""
		f.Account = p.Account
		if p.Reference != "" {
			f.Reference = p.Reference
		}
	}
	if payable := w.Money(d.Totals.Payable, d.Currency); !f.CreditNote && d.Totals.Payable.Sign() > 0 {
		if debit {
			f.Debited = payable
		} else {
			f.Payable = payable
		}
	}
	names := make([]string, len(attachments))
	for n := range attachments {
		names[n] = FileName(attachments[n].Name)
	}
	f.Files = strings.Join(names, ", ")
	return f
}

// made-up facts, with which texts are tried when they are read: all there are, and as few as there can be.
func examples() []Facts {
	full := Facts{
		Number: "INV-1", Date: "2026-11-30", Seller: "S", Buyer: "B", Contact: "C", Total: "1", Payable: "1", Debited: "1", Due: "2026-12-30",
		Account: "A", Reference: "R", Order: "O", BuyersOwn: "L", Files: "F",
	}
	credit := full
	credit.CreditNote = true
	return []Facts{full, credit, {Number: "INV-1", Date: "2026-11-30", Total: "1", Reference: "INV-1"}}
}
