package document

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
)

func peppolRule(n string) string { return "PEPPOL-EN16931-" + n }

// profiled looks at the rules that Peppol and XRechnung share.
func (l *lacking) profiled() {
	endpoint := func(e *Identifier, field, term, rule string) {
		if e == nil || isBlank(e.ID) {
			l.add(field+".electronic_address", term, peppolRule(rule), missing)
		}
	}
	endpoint(l.Seller.Endpoint, "seller", "BT-34", "R020")
	endpoint(l.Buyer.Endpoint, "buyer", "BT-49", "R010")
	if l.Payment != nil && IsDirectDebit(l.Payment.MeansCode) {
		l.need(l.Payment.Mandate, "payment.mandate", "BT-89", peppolRule("R061"))
	}
	for n := range l.Lines {
		line := &l.Lines[n]
		field := fmt.Sprintf("lines[%d]", n)
		if line.BaseQuantity != nil && line.BaseQuantity.Sign() <= 0 {
			l.add(field+".base_quantity", "BT-149", peppolRule("R121"), "must be greater than 0")
		}
		if p := line.Period; p != nil && l.Period != nil {
			if p.Start != "" && p.Start < l.Period.Start {
				l.add(field+".period.start", "BT-134", peppolRule("R110"), "is before the document's period")
			}
			if p.End != "" && l.Period.End != "" && p.End > l.Period.End {
				l.add(field+".period.end", "BT-135", peppolRule("R111"), "is after the document's period")
			}
		}
	}
}

// slack is by how much an amount may be off in Peppol.
func slack() *big.Rat { return big.NewRat(2, percent) }

// peppol looks at what Peppol alone wants.
func (l *lacking) peppol() {
	if isBlank(l.BuyerReference) && isBlank(l.OrderReference) {
		l.add("buyer_reference", "BT-10", peppolRule("R003"), "and order_reference are missing: one of them has to be stated")
	}
	if slices.Contains([]string{"XCG", "STD", "CNH"}, l.Currency) {
		l.add("currency", "BT-5", peppolRule("CL007"), "is "+l.Currency+", which Peppol doesn't know")
	}
	l.peppolEndpoint(l.Seller.Endpoint, "seller", "BT-34")
	l.peppolEndpoint(l.Buyer.Endpoint, "buyer", "BT-49")
	l.peppolTypes()
	for n := range l.Lines {
		line := &l.Lines[n]
		if off := line.off(); off.Abs(off).Cmp(slack()) > 0 {
			l.add(fmt.Sprintf("lines[%d]", n), "BT-131", peppolRule("R120"), fmt.Sprintf("comes to %s, which is more than 0.02 away from its quantity × price", line.Net))
		}
	}
	for n := range l.Taxes {
		t := &l.Taxes[n]
		if want, rule := peppolCategory(upper(t.ReasonCode)); want != "" && want != t.Category {
			l.add("lines[0].exemption_code", "BT-121", peppolRule(rule), fmt.Sprintf("is %s, which is for the category %s and not for %s", t.ReasonCode, want, t.Category))
		}
	}
	if seller, buyer := l.Seller.country(), l.Buyer.country(); seller == "DE" && buyer == "DE" {
		l.german(peppolGermanRule)
	} else {
		l.national(seller, buyer)
	}
}

func (l *lacking) peppolEndpoint(e *Identifier, field, term string) {
	if e == nil || isBlank(e.ID) || isBlank(e.Scheme) {
		return
	}
	if !isCode("peppol_endpoints", e.Scheme) {
		l.add(field+".electronic_address.scheme", term+"-1", peppolRule("CL008"), fmt.Sprintf("is %q, which Peppol doesn't know", e.Scheme))
	}
	if rule, ok := checkDigits(e.Scheme, strings.TrimSpace(e.ID)); !ok {
		l.add(field+".electronic_address.id", term, "PEPPOL-COMMON-"+rule, "isn't a number of the scheme "+e.Scheme+": its form or its check digit is wrong")
	}
}

// peppolTypes looks at BT-3 in Peppol's process 01.
func (l *lacking) peppolTypes() {
	types, rule := "71 80 82 84 102 218 219 326 331 380 382 383 384 386 388 393 395 553 575 623 780 817 870 875 876 877", "P0100"
	if l.Kind == CreditNote {
		types, rule = "381 396 81 83 532", "P0101"
	}
	switch {
	case !slices.Contains(strings.Fields(types), l.TypeCode):
		l.add("type_code", "BT-3", peppolRule(rule), fmt.Sprintf("is %s, which Peppol doesn't take", l.TypeCode))
	case (l.TypeCode == "326" || l.TypeCode == "384") && (l.Seller.country() != "DE" || l.Buyer.country() != "DE"):
		l.add("type_code", "BT-3", peppolRule("P0112"), fmt.Sprintf("is %s, which Peppol takes between Germans alone", l.TypeCode))
	}
}

// peppolCategory returns which category a reason code of the VATEX list is for, if Peppol minds.
func peppolCategory(code string) (category, rule string) {
	switch code {
	case "VATEX-EU-G":
		return "G", "P0104"
	case "VATEX-EU-O":
		return "O", "P0105"
	case "VATEX-EU-IC":
		return "K", "P0106"
	case "VATEX-EU-AE":
		return "AE", "P0107"
	case "VATEX-EU-D":
		return "E", "P0108"
	case "VATEX-EU-F":
		return "E", "P0109"
	case "VATEX-EU-I":
		return "E", "P0110"
	case "VATEX-EU-J":
		return "E", "P0111"
	}
	return "", ""
}

func upper(s string) string { return strings.ToUpper(s) }

// country returns where a party is.
func (p *Party) country() string {
	if p.Address == nil {
		return ""
	}
	return p.Address.Country
}

// off is by how much a line's amount is off from what its quantity, price, allowances and charges come to.
func (line *Line) off() *big.Rat {
	v := value(line.Quantity, line.Price, line.BaseQuantity)
	for n := range line.Allowances {
		v.Sub(v, rat(line.Allowances[n].Amount))
	}
	for n := range line.Charges {
		v.Add(v, rat(line.Charges[n].Amount))
	}
	return v.Sub(rat(line.Net), v)
}
