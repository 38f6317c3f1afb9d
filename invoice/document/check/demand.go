package check

import (
	"fmt"
	"slices"

	"invoicer/invoice/document"
	"invoicer/invoice/document/node"
)

// demand looks for what EN 16931 wants and [document.Lacks] leaves out, since documents of ours always have it.
func (r *reading) demand() {
	d := r.Document
	need := func(text, rule, bt, what string) {
		if text == "" {
			r.find(rule, bt, onDocument, fmt.Sprintf("%s (%s) is missing", what, bt))
		}
	}
	need(d.Specification, "BR-01", "BT-24", "the specification")
	need(d.Number, "BR-02", "BT-1", "the number")
	need(d.IssueDate, "BR-03", "BT-2", "the date of issue")
	if d.TaxCurrency != "" && d.TaxCurrency != d.Currency && d.Totals.TaxInOther == nil {
		r.find("BR-53", "BT-111", onDocument, fmt.Sprintf("the VAT in %s, the accounting currency, (BT-111) is missing", shortened(d.TaxCurrency)))
	}
	if r.coined > 0 {
		message := fmt.Sprintf("%d amounts state their currency, which is for totals of VAT alone", r.coined)
		if r.Claim.isPart() {
			r.note("CII-DT-031", "", onDocument, message)
		} else {
			r.find("CII-DT-031", "", onDocument, message)
		}
	}
	if r.Claim.isPart() {
		need(d.Currency, "BR-05", "BT-5", "the currency")
		need(d.TypeCode, "BR-04", "BT-3", "the type")
		need(d.Seller.Name, "BR-06", "BT-27", "the seller's name")
		need(d.Buyer.Name, "BR-07", "BT-44", "the buyer's name")
		r.note("", "BT-24", onDocument, r.Claim.Name+" has fewer terms than an invoice of EN 16931: only what it has was looked at")
	}
	if r.Claim.Level == "EXTENDED" {
		r.note("", "BT-24", onDocument, r.Claim.Name+" has more terms than EN 16931: only those of EN 16931 were looked at")
	}
	if r.Claim.Name == "" && d.Specification != "" {
		r.note("", "BT-24", onDocument, fmt.Sprintf("the specification %q isn't known here: the document was judged by EN 16931", d.Specification))
	}
	for n := range d.Lines {
		if d.Lines[n].ID == "" {
			r.find("BR-21", "BT-126", fmt.Sprintf("the %d. line", n+1), "its identifier (BT-126) is missing")
		}
	}
	if r.Claim.Breakdown {
		r.demandTaxes()
	}
}

func (r *reading) demandTaxes() {
	d := r.Document
	if len(d.Taxes) == 0 {
		r.find("BR-CO-18", "BG-23", onDocument, "the VAT breakdown (BG-23) is missing")
	}
	for n := range d.Taxes {
		t := &d.Taxes[n]
		where := whereTax(t)
		switch {
		case t.Category == "":
			r.find("BR-47", "BT-118", where, "its category (BT-118) is missing")
		case !slices.Contains([]string{"S", "Z", "E", "AE", "K", "G", "O", "L", "M", "B"}, t.Category):
			r.find("BR-CL-17", "BT-118", where, fmt.Sprintf("its category (BT-118) is %q, which isn't a code of the list that EN 16931 allows", shortened(t.Category)))
		case t.Percent == nil && t.Category != "O":
			r.find("BR-48", "BT-119", where, "its rate (BT-119) is missing")
		case t.Category == "O" && len(d.Taxes) > 1:
			r.find("BR-O-11", "BT-118", where, "its category (BT-118) is O, beside which no other row may stand")
		}
	}
}

// grossPrice looks at the gross price (BT-148) and the discount on it (BT-147), which no document of ours has.
func (r *reading) grossPrice(gross *node.Node, discounts []*node.Node, net document.Decimal, where string) {
	price := r.part(gross, "BT-148", where)
	if price == nil {
		return
	}
	if price.Sign() < 0 {
		r.find("BR-28", "BT-148", where, "its gross price (BT-148) is negative")
	}
	computed := rat(*price)
	for _, n := range discounts {
		computed.Sub(computed, rat(r.amount(n, "BT-147", where)))
	}
	if !r.missing["BT-146"] && computed.Cmp(rat(net)) != 0 {
		add(r, &r.peppol, peppolFinding{r.off("PEPPOL-EN16931-R046", "BT-146", where, net, computed), false})
	}
}

// taxPoint looks at BT-8, the code that excludes a date of the tax (BT-7).
func (r *reading) taxPoint(code string) {
	if code != "" && r.Document.TaxPointDate != "" {
		r.find("BR-CO-03", "BT-8", onDocument, "the date of the tax (BT-7) and a code for it (BT-8) exclude each other")
	}
}
