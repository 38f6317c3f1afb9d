package check

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"

	"invoicer/invoice/document"
	"invoicer/invoice/document/embedded"
	"invoicer/invoice/document/node"
)

// ErrUnknown says that a file is no invoice that [Read] knows.
var ErrUnknown = errors.New("only UBL (Invoice, CreditNote) and CII (CrossIndustryInvoice) are read")

// Read reads a document and adds it up. The file is UBL, CII, either of them in an envelope of Peppol (SBDH) or in an AttachedDocument, or a PDF
// with CII in it (Factur-X, ZUGFeRD from 2.0 on). It is judged by the profile that it says it is of.
//
// It fails if the file isn't XML or a PDF, or is beyond the bounds of [node.Read] or [embedded.Read]; if a PDF has no invoice in it; and with
// [ErrUnknown] if it is something else, whose name the error has.
func Read(r io.Reader) (*Report, error) { return ReadAs(r, "") }

// ReadAs is [Read] by the rules of a profile; "" is the one that the document says it is of.
func ReadAs(r io.Reader, p document.Profile) (*Report, error) {
	const head = 1024
	buffered := bufio.NewReaderSize(r, head)
	first, err := buffered.Peek(head)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	to := &reading{Report: &Report{Document: &document.Document{}}, missing: make(map[string]bool)}
	if embedded.IsPDF(first) {
		err = to.openPDF(buffered)
	} else {
		err = to.openXML(buffered)
	}
	if err != nil {
		return nil, err
	}
	to.demand()
	to.addUp()
	if p == "" {
		p = to.Claim.profile
	}
	to.judge(p)
	return to.Report, nil
}

func (r *reading) openXML(in io.Reader) error {
	root, err := node.Read(in)
	if err != nil {
		return err
	}
	return r.open(root, 0)
}

// Namespaces.
const (
	oasis         = "urn:oasis:names:specification:ubl:schema:xsd:"
	uncefact      = "urn:un:unece:uncefact:data:standard:"
	sbdh          = "http://www.unece.org/cefact/namespaces/StandardBusinessDocumentHeader"
	aggregates    = "CommonAggregateComponents-2" // of elements that have elements
	basics        = "CommonBasicComponents-2"     // of elements that have a text
	mostEnvelopes = 3
)

// mostRepeated is how many lines, allowances and the like a document may have in all: what is kept of one takes many times the room of an empty
// element. An invoice of 10,000 lines has about 40,000.
const mostRepeated = 250_000

// repeated are the elements that a document may have any number of.
func repeated() []string {
	return []string{
		"InvoiceLine", "CreditNoteLine", "IncludedSupplyChainTradeLineItem", "Note", "IncludedNote", "BillingReference", "InvoiceReferencedDocument",
		"AllowanceCharge", "SpecifiedTradeAllowanceCharge", "SpecifiedLogisticsServiceCharge", "AppliedTradeAllowanceCharge", "TaxSubtotal", "ApplicableTradeTax",
		"ClassifiedTaxCategory", "CommodityClassification", "DesignatedProductClassification",
	}
}

// open reads what an element is, or what is in it.
func (r *reading) open(root *node.Node, envelopes int) error {
	space := root.Space()
	switch name := root.Name(); {
	case name == "Invoice" && space == oasis+"Invoice-2":
		r.Syntax = UBLInvoice
	case name == "CreditNote" && space == oasis+"CreditNote-2":
		r.Syntax = UBLCreditNote
	case name == "CrossIndustryInvoice" && strings.HasPrefix(space, uncefact+"CrossIndustryInvoice:"):
		r.Syntax = CII
	case name == "StandardBusinessDocument" && space == sbdh && envelopes < mostEnvelopes:
		return r.openSBDH(root, envelopes)
	case name == "AttachedDocument" && space == oasis+"AttachedDocument-2" && envelopes < mostEnvelopes:
		return r.openAttached(root, envelopes)
	default:
		return unknown(name, space)
	}
	if root.Count(repeated()...) > mostRepeated {
		return fmt.Errorf("it has more than %d lines, allowances, notes and rows of VAT", mostRepeated)
	}
	if r.Syntax == CII {
		foreign := root.Prune(func(n *node.Node) bool { return strings.HasPrefix(n.Space(), uncefact) })
		r.readCII(root)
		r.onlyOnce(root)
		r.ignore(root, foreign)
		return nil
	}
	foreign := root.Prune(func(n *node.Node) bool { return n.Space() == oasis+aggregates || n.Space() == oasis+basics })
	r.misplaced(root)
	r.readUBL(root)
	r.onlyOnce(root)
	r.ignore(root, foreign)
	return nil
}

// unknown names what isn't read.
func unknown(name, space string) error {
	var what string
	switch {
	case name == "CrossIndustryDocument" && strings.HasPrefix(space, "urn:ferd:"):
		what = "ZUGFeRD 1.0, which is older than EN 16931 (ask for ZUGFeRD 2 or Factur-X)"
	case name == "FatturaElettronica":
		what = "a FatturaPA, the Italian authority's own format"
	case name == "SCRDMCCBDACIOMessageStructure":
		what = "an order (Order-X), and no invoice"
	case name == "Invoice" && strings.Contains(space, "ebinterface"):
		what = "an ebInterface invoice, the Austrian format"
	case name == "Faktura":
		what = "a Polish FA document"
	case name == "Invoice" || name == "CreditNote" || name == "CrossIndustryInvoice":
		what = fmt.Sprintf("<%s>, but in the namespace %q", name, shortened(space))
	case strings.HasPrefix(space, oasis):
		what = fmt.Sprintf("a UBL %s, and no invoice", shortened(name))
	default:
		what = fmt.Sprintf("<%s> of the namespace %q", shortened(name), shortened(space))
	}
	return fmt.Errorf("it is %s: %w", what, ErrUnknown)
}

// openSBDH opens the envelope that access points of Peppol exchange.
func (r *reading) openSBDH(root *node.Node, envelopes int) error {
	r.Envelope = "SBDH"
	var inside *node.Node
	for _, n := range root.Children("") {
		if n.Name() == "StandardBusinessDocumentHeader" {
			continue
		}
		if inside != nil {
			return node.ErrSeveral
		}
		inside = n
	}
	if inside == nil {
		return fmt.Errorf("the envelope (SBDH) is empty: %w", ErrUnknown)
	}
	return r.open(inside, envelopes+1)
}

// unlessBlank leaves out what may stand between the characters of Base64.
func unlessBlank(c rune) rune {
	if unicode.IsSpace(c) {
		return -1
	}
	return c
}

// openAttached opens the envelope in which UBL carries a document, as a text or as its bytes.
func (r *reading) openAttached(root *node.Node, envelopes int) error {
	r.Envelope = "AttachedDocument"
	attachment := root.At("Attachment")
	content := attachment.Get("ExternalReference/Description")
	if object := attachment.At("EmbeddedDocumentBinaryObject"); content == "" && object != nil {
		decoded, err := base64.StdEncoding.DecodeString(strings.Map(unlessBlank, object.Value()))
		if err != nil {
			return fmt.Errorf("what is in the AttachedDocument isn't Base64: %w", err)
		}
		content = string(decoded)
	}
	if content == "" {
		return fmt.Errorf("the AttachedDocument has no document in it, but may name one that lies elsewhere: %w", ErrUnknown)
	}
	inside, err := node.Read(strings.NewReader(content))
	if err != nil {
		return fmt.Errorf("in the AttachedDocument: %w", err)
	}
	return r.open(inside, envelopes+1)
}
