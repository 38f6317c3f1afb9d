package document

import (
	"fmt"
	"math"
	"strings"

	"invoicer/invoice"
)

// A Lack is why a profile would never accept a document.
type Lack = invoice.Lack

// Lacks returns all for which a profile could never accept the document, in the order of its parts; nil if there is nothing, and always for
// [None]. A document without lacks is valid by the profile's rules, except for what they ask of others than its writer: whether a VAT id
// exists, whether a number was used before. Warnings of the rules aren't lacks.
func Lacks(d *Document, p Profile) []Lack {
	list, _ := SomeLacks(d, p, math.MaxInt)
	return list
}

// SomeLacks is [Lacks] for documents of others, which may lack any number of things: it returns the first ones, most at most, and how many more
// there are.
func SomeLacks(d *Document, p Profile, most int) (list []Lack, more int) {
	if p == None || p == "" {
		return nil, 0
	}
	l := &lacking{Document: d, profile: p, most: most}
	l.head()
	l.party("seller", &d.Seller, sellerTerms())
	l.party("buyer", &d.Buyer, buyerTerms())
	l.others()
	l.payment()
	l.categories()
	l.amounts()
	for n := range d.Lines {
		l.line(n, &d.Lines[n])
	}
	switch p { //nolint:exhaustive // the others are EN 16931 alone
	case XRechnung:
		l.german(xrechnungRule)
		l.profiled()
	case Peppol:
		l.peppol()
		l.profiled()
	case FacturXBasic:
		if !d.Totals.Rounding.IsZero() {
			l.add("rounding", "BT-114", "BR-CO-16", "isn't known to the profile BASIC, so that what is payable doesn't add up")
		}
	}
	return l.list, l.more
}

// lacking collects what one document lacks.
type lacking struct {
	*Document

	profile Profile
	list    []Lack
	most    int // how long the list gets
	more    int // how many lacks aren't on it
}

func (l *lacking) add(field, term, rule, message string) {
	if len(l.list) >= l.most {
		l.more++
		return
	}
	l.list = append(l.list, Lack{Field: field, Term: term, Rule: rule, Message: message})
}

const missing = "is missing"

// need adds a lack unless a text is there.
func (l *lacking) need(text, field, term, rule string) bool {
	if isBlank(text) {
		l.add(field, term, rule, missing)
		return false
	}
	return true
}

// code adds a lack if a code is stated that its list doesn't have.
func (l *lacking) code(list, code, field, term, rule string) {
	if !isBlank(code) && !isCode(list, code) {
		l.add(field, term, rule, fmt.Sprintf("is %q, which isn't a code of the list that EN 16931 allows", code))
	}
}

// isBlank reports whether XPath's normalize-space leaves nothing of a text, which a document then doesn't have.
func isBlank(s string) bool { return strings.Trim(s, " \t\r\n") == "" }

func (l *lacking) head() {
	list := "invoice_types"
	if l.Kind == CreditNote {
		list = "credit_note_types"
	}
	if l.need(l.TypeCode, "type_code", "BT-3", "BR-04") {
		l.code(list, l.TypeCode, "type_code", "BT-3", "BR-CL-01")
	}
	if l.need(l.Currency, "currency", "BT-5", "BR-05") {
		l.code("currencies", l.Currency, "currency", "BT-5", "BR-CL-04")
	}
	l.code("currencies", l.TaxCurrency, "tax_currency", "BT-6", "BR-CL-05")
	if l.TaxCurrency != "" && l.TaxCurrency == l.Currency {
		l.add("tax_currency", "BT-6", "BR-53", "must not be the document's own currency")
	}
	for n, note := range l.Notes {
		field := fmt.Sprintf("notes[%d].", n)
		l.code("subjects", note.Code, field+"code", "BT-21", "BR-CL-08")
		if _, after, found := strings.Cut(note.Text, "#"); found && isBlank(note.Code) {
			const length = 3
			if inner, _, closed := strings.Cut(after, "#"); closed && len([]rune(inner)) == length && !isCode("subjects", inner) {
				l.add(field+"text", "BT-22", "BR-CL-08", fmt.Sprintf("has #%s#, which UBL reads as a code", inner))
			}
		}
	}
	for n, p := range l.Preceding {
		l.need(p.Number, fmt.Sprintf("preceding[%d].invoice_number", n), "BT-25", "BR-55")
	}
	if len(l.Lines) == 0 {
		l.add("lines", "BG-25", "BR-16", "are missing")
	}
}

// endsBefore reports whether a period ends before it starts.
func endsBefore(p *Period) bool { return p != nil && p.Start != "" && p.End != "" && p.End < p.Start }
