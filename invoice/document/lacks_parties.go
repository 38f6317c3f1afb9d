package document

import "fmt"

// terms are those of a seller or a buyer, with the rules that want them.
type terms struct {
	name, nameRule       string
	address, addressRule string
	country, countryRule string
	vatID                string
	endpoint, scheme     string // the term, and the rule that wants its scheme
}

func sellerTerms() terms {
	return terms{"BT-27", "BR-06", "BG-5", "BR-08", "BT-40", "BR-09", "BT-31", "BT-34", "BR-62"}
}

func buyerTerms() terms {
	return terms{"BT-44", "BR-07", "BG-8", "BR-10", "BT-55", "BR-11", "BT-48", "BT-49", "BR-63"}
}

// party looks at a seller or a buyer.
func (l *lacking) party(field string, p *Party, t terms) {
	l.need(p.Name, field+".name", t.name, t.nameRule)
	switch {
	case p.Address == nil || p.Address.isEmpty():
		l.add(field+".address.country_code", t.country, t.addressRule, missing)
	default:
		l.country(p.Address, field, t.country, t.countryRule)
	}
	l.vatID(p.VATID, field+".vat_id", t.vatID)
	if e := p.Endpoint; e != nil && !isBlank(e.ID) && l.need(e.Scheme, field+".electronic_address.scheme", t.endpoint+"-1", t.scheme) {
		l.code("endpoints", e.Scheme, field+".electronic_address.scheme", t.endpoint+"-1", "BR-CL-25")
	}
	if field == "seller" && isBlank(p.ID) && isBlank(p.LegalID) && isBlank(p.VATID) {
		l.add("seller.legal_id", "BT-30", "BR-CO-26", "and seller.vat_id are missing: one of them has to be stated")
	}
}

func (a *Address) isEmpty() bool {
	return isBlank(a.Line1 + a.Line2 + a.Line3 + a.City + a.Postcode + a.Region + a.Country)
}

func (l *lacking) country(a *Address, field, term, rule string) {
	if l.need(a.Country, field+".address.country_code", term, rule) {
		l.code("countries", a.Country, field+".address.country_code", term, "BR-CL-14")
	}
}

// vatID looks at the two letters in front of a VAT id.
func (l *lacking) vatID(id, field, term string) {
	const letters = 2
	if !isBlank(id) && (len(id) < letters || !isCode("vat_prefixes", id[:letters])) {
		l.add(field, term, "BR-CO-09", "must begin with the two letters of its country, and with EL for Greece")
	}
}

// others looks at payee, tax representative, delivery and period.
func (l *lacking) others() {
	if p := l.Payee; p != nil && l.need(p.Name, "payee.name", "BT-59", "BR-17") {
		same := func(a, b string) bool { return !isBlank(a) && a == b }
		if p.Name == l.Seller.Name || p.Name == l.Seller.TradingName || same(p.ID, l.Seller.ID) || same(p.LegalID, l.Seller.LegalID) {
			l.add("payee", "BG-10", "BR-17", "must not be the seller: leave it out then")
		}
	}
	if p := l.TaxRepresentative; p != nil {
		const field = "tax_representative"
		l.need(p.Name, field+".name", "BT-62", "BR-18")
		if p.Address == nil || p.Address.isEmpty() {
			l.add(field+".address.country_code", "BT-69", "BR-19", missing)
		} else {
			l.country(p.Address, field, "BT-69", "BR-20")
		}
		if l.need(p.VATID, field+".vat_id", "BT-63", "BR-56") {
			l.vatID(p.VATID, field+".vat_id", "BT-63")
		}
	}
	if d := l.Delivery; d != nil && d.Address != nil && !d.Address.isEmpty() {
		l.country(d.Address, "delivery", "BT-80", "BR-57")
	}
	if endsBefore(l.Period) {
		l.add("period.end", "BT-74", "BR-29", "is before period.start")
	}
}

// creditTransfer reports whether a means of payment needs an account.
func creditTransfer(means string) bool { return means == "30" || means == "58" }

func (l *lacking) payment() {
	p := l.Payment
	if p == nil {
		return
	}
	if l.need(p.MeansCode, "payment.means_code", "BT-81", "BR-49") {
		l.code("means", p.MeansCode, "payment.means_code", "BT-81", "BR-CL-16")
	}
	if creditTransfer(p.MeansCode) {
		l.need(p.Account, "payment.iban", "BT-84", "BR-61")
	}
}

// line looks at a line, but for its categories.
func (l *lacking) line(n int, line *Line) {
	field := fmt.Sprintf("lines[%d]", n)
	l.need(line.Name, field+".name", "BT-153", "BR-25")
	if l.need(line.Unit, field+".unit", "BT-130", "BR-23") {
		l.code("units", line.Unit, field+".unit", "BT-130", "BR-CL-23")
	}
	if line.Price.Sign() < 0 {
		l.add(field+".unit_price", "BT-146", "BR-27", "must not be negative: turn the sign of the quantity")
	}
	if endsBefore(line.Period) {
		l.add(field+".period.end", "BT-135", "BR-30", "is before its start")
	}
	if id := line.StandardID; id != nil && !isBlank(id.ID) && l.need(id.Scheme, field+".item_ids.standard_scheme", "BT-157-1", "BR-64") {
		l.code("identifiers", id.Scheme, field+".item_ids.standard_scheme", "BT-157-1", "BR-CL-21")
	}
	for k, c := range line.Classifications {
		if scheme := fmt.Sprintf("%s.classifications[%d].scheme", field, k); !isBlank(c.ID) && l.need(c.Scheme, scheme, "BT-158-1", "BR-65") {
			l.code("classifications", c.Scheme, scheme, "BT-158-1", "BR-CL-13")
		}
	}
	l.code("countries", line.OriginCountry, field+".origin_country", "BT-159", "BR-CL-15")
	for k := range line.Allowances {
		l.reason(&line.Allowances[k], field+".discount_reason", "BT-139", "BR-42", "allowances")
	}
	for k := range line.Charges {
		l.reason(&line.Charges[k], field+".charge_reason", "BT-144", "BR-44", "charges")
	}
}

// reason wants a reason or a code of an allowance or a charge.
func (l *lacking) reason(a *Adjustment, field, term, rule, list string) {
	if isBlank(a.Reason) && isBlank(a.ReasonCode) {
		l.add(field, term, rule, missing)
	}
	codeRule := "BR-CL-19"
	if list == "charges" {
		codeRule = "BR-CL-20"
	}
	l.code(list, a.ReasonCode, field+"_code", term, codeRule)
}
