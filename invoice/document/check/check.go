// Package check reads electronic invoices, our own and others', says what they are, and adds them up again.
package check

import (
	"fmt"

	"invoicer/invoice/document"
	"invoicer/invoice/document/node"
)

// A Syntax is how a document is written.
type Syntax string

// The syntaxes.
const (
	UBLInvoice    Syntax = "UBL Invoice"
	UBLCreditNote Syntax = "UBL CreditNote" //nolint:gosec // no credentials
	CII           Syntax = "CII"
)

// A Report says what a document is, and what is wrong with it.
type Report struct {
	Envelope   string // that it came in, such as SBDH; "" if in none
	Attachment string // the name of the XML in a PDF; "" if the file is the XML
	Syntax     Syntax
	Claim      Claim            // what it says that it is
	Profile    document.Profile // by whose rules it was judged
	Document   *document.Document
	Findings   []Finding       // what can't be read, what is missing, and sums that are off by more than the rules allow
	Lacks      []document.Lack // what its profile would refuse beyond that
	Notes      []Finding       // what is odd, and breaks no rule of its profile
	Ignored    []Ignored       // what wasn't looked at
	More       int             // how many findings, lacks, notes and ignored elements there are beyond [Most] of each
}

// Most is how many findings, lacks, notes and ignored elements a report has of each.
const Most = 1000

// Well reports whether nothing is wrong with the document, as far as it was looked at.
func (r *Report) Well() bool { return len(r.Findings)+len(r.Lacks) == 0 }

// A Finding is something that is off.
type Finding struct {
	Rule     string // such as BR-CO-10; of our own are XSD (not what the schema wants), FORMAT (no date) and XMP (the metadata of a PDF)
	Term     string // of EN 16931, such as BT-106; "" if it is of none
	Where    string // such as line 3
	Message  string
	Stated   string // what the document says
	Computed string // what it comes to
}

// String returns the finding as a sentence.
func (f Finding) String() string {
	text := f.Rule + ", " + f.Where + ": " + f.Message
	if f.Rule == "" {
		text = f.Where + ": " + f.Message
	}
	if f.Computed != "" {
		text += fmt.Sprintf(" is stated as %s and comes to %s", f.Stated, f.Computed)
	}
	return text
}

// Ignored is an element that wasn't looked at: EN 16931 doesn't know it, nothing is to be said of it, or there is another one before it.
type Ignored struct {
	Path  string // such as InvoiceLine/Item/Keyword
	Count int
}

// reading is a document that is being read.
type reading struct {
	*Report

	missing  map[string]bool // terms that sums would need
	ownTaxes int             // how many totals of VAT are in the document's currency
	coined   int             // how many amounts of CII have a currency, which is for totals of VAT alone
	peppol   []peppolFinding // what Peppol's rules for sums say
}

// A peppolFinding breaks a rule of Peppol, which EN 16931 alone hasn't.
type peppolFinding struct {
	Finding

	warns bool // whether XRechnung only warns of it
}

func (r *reading) find(rule, term, where, message string) {
	add(r, &r.Findings, Finding{Rule: rule, Term: term, Where: where, Message: message})
}

func (r *reading) note(rule, term, where, message string) {
	add(r, &r.Notes, Finding{Rule: rule, Term: term, Where: where, Message: message})
}

// add adds something to a list of the report, or counts it if the list is long already.
func add[T any](r *reading, to *[]T, one T) {
	if len(*to) >= Most {
		r.More++
		return
	}
	*to = append(*to, one)
}

const onDocument = "document"

// judge says what the document lacks for a profile.
func (r *reading) judge(p document.Profile) {
	r.Profile = p
	for _, f := range r.peppol {
		if p == document.Peppol || p == document.XRechnung && !f.warns {
			add(r, &r.Findings, f.Finding)
			continue
		}
		f.Message += map[bool]string{true: ", of which XRechnung only warns,", false: ", which no rule of its profile minds,"}[p == document.XRechnung]
		add(r, &r.Notes, f.Finding)
	}
	known := make(map[[2]string]bool)
	for _, f := range r.Findings {
		known[[2]string{f.Rule, f.Term}] = true
	}
	const someMore = 10 // for those that are no lacks here
	negative := r.hasNegativeRate()
	lacks, more := document.SomeLacks(r.Document, p, someMore*Most)
	r.More += more
	for _, l := range lacks {
		if !known[[2]string{l.Rule, l.Term}] && !r.isElsewhere(&l, negative) {
			add(r, &r.Lacks, l)
		}
	}
}

// isElsewhere reports whether a lack is one of a job, and no fault of a document that somebody else has written. Negative
// says whether a line's rate is below 0 or missing.
func (r *reading) isElsewhere(l *document.Lack, negative bool) bool {
	ublSyntax := r.Syntax != CII
	switch l.Rule {
	case "BR-DEC-12", "BR-DEC-15": // goes by the currency; the amounts themselves were looked at
		return true
	case "BR-53": // UBL takes a second currency that is the first, Peppol doesn't
		return ublSyntax && l.Term == "BT-6" && r.Profile != document.Peppol && r.Profile != document.XRechnung
	case "BR-AF-05", "BR-AF-06", "BR-AF-07": // UBL takes a rate of 0, CII doesn't
		return ublSyntax && l.Term == "BT-152" && !negative
	case "PEPPOL-EN16931-R120", "BR-CO-17": // were computed here
		return true
	}
	return false
}

func (r *reading) hasNegativeRate() bool {
	for n := range r.Document.Lines {
		if p := r.Document.Lines[n].Percent; p == nil || p.Sign() < 0 {
			return true
		}
	}
	return false
}

// ignore takes note of what wasn't looked at.
func (r *reading) ignore(root *node.Node, foreign int) {
	counts := make(map[string]int)
	root.Unread(func(path string) {
		if len(counts) >= Most && counts[path] == 0 {
			r.More++
			return
		}
		if counts[path]++; counts[path] == 1 {
			r.Ignored = append(r.Ignored, Ignored{Path: path})
		}
	})
	for n := range r.Ignored {
		r.Ignored[n].Count = counts[r.Ignored[n].Path]
	}
	if foreign > 0 {
		r.note("", "", onDocument, fmt.Sprintf("%d elements are in namespaces that %s doesn't have, and weren't looked at", foreign, r.Syntax))
	}
}
