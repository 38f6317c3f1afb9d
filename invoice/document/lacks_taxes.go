package document

import (
	"fmt"
	"math/big"
	"slices"

	"invoicer/invoice"
)

// family is how the rules of a category are named.
func family(category string) string {
	switch category {
	case "K":
		return "IC"
	case "L":
		return "AF"
	case "M":
		return "AG"
	default:
		return category
	}
}

// untaxed reports whether a category's rate is always 0.
func untaxed(category string) bool {
	return slices.Contains([]string{"Z", "E", "AE", "K", "G", "O"}, category)
}

// NeedsReason reports whether a category needs a reason why no tax is charged. Any other one must not have a reason.
func NeedsReason(category string) bool { return untaxed(category) && category != "Z" }

// A use is where a category is used first.
type use struct {
	category string
	field    string // of the line, allowance or charge
	part     int    // 0 for a line, 1 for an allowance, 2 for a charge: the rules of a category have three numbers
}

func (u use) rule(first int) string {
	return fmt.Sprintf("BR-%s-%02d", family(u.category), first+u.part)
}

// categories looks at how lines, allowances and charges are taxed, and at what their categories want.
func (l *lacking) categories() {
	var uses []use
	see := func(u use) {
		if !slices.ContainsFunc(uses, func(other use) bool { return other.category == u.category }) {
			uses = append(uses, u)
		}
	}
	for n := range l.Lines {
		line := &l.Lines[n]
		field := fmt.Sprintf("lines[%d]", n)
		if len(line.More) > 0 {
			l.add(field+".taxes", "BG-30", "BR-CO-04", "are several: a line of EN 16931 has one category and one rate")
			continue
		}
		if code := line.TaxCode(0); code != "" {
			l.add(field+".taxes[0].code", "BT-151", "BR-CO-04", fmt.Sprintf("is %q: EN 16931 knows no other tax than VAT", code))
			continue
		}
		if l.rate(line.Rate, field, "BT-151", "BR-CO-04", 0) {
			see(use{line.Category, field, 0})
		}
	}
	for part, list := range [][]Adjustment{l.Allowances, l.Charges} {
		name, term, rule := "allowances", "BT-95", "BR-32"
		reason, reasonRule := "BT-97", "BR-33"
		if part == 1 {
			name, term, rule, reason, reasonRule = "charges", "BT-102", "BR-37", "BT-104", "BR-38"
		}
		for n := range list {
			field := list[n].field(name, n)
			l.reason(&list[n], field+".reason", reason, reasonRule, name)
			if l.rate(list[n].Rate, field, term, rule, part+1) {
				see(use{list[n].Category, field, part + 1})
			}
		}
	}
	for _, u := range uses {
		l.parties(u)
	}
	l.mixture(uses)
	l.breakdown(uses)
}

// field is the job's field that an allowance or a charge is of.
func (a *Adjustment) field(name string, n int) string {
	if a.Field != "" {
		return a.Field
	}
	return fmt.Sprintf("%s[%d]", name, n)
}

// rate looks at a category with its rate, and reports whether its other rules can be looked at.
func (l *lacking) rate(r Rate, field, term, rule string, part int) bool {
	switch {
	case r.Category == "" && r.Percent == nil:
		l.add(field+".tax_category", term, rule, "is missing: a rate has to be stated, or a category such as O for what is outside the scope of VAT")
		return false
	case r.Category == "":
		l.add(field+".tax_category", term, rule, "is missing: a rate of 0 needs a category, such as Z or E")
		return false
	case !slices.Contains([]string{"S", "Z", "E", "AE", "K", "G", "O", "L", "M", "B"}, r.Category):
		l.add(field+".tax_category", term, "BR-CL-18", fmt.Sprintf("is %q, which isn't a code of the list that EN 16931 allows", r.Category))
		return false
	}
	percentRule := use{category: r.Category, part: part}.rule(firstRate)
	zeroOfL := r.Category == "L" && l.profile.HasCII() // CII's rules want more than 0
	switch {
	case r.Category == "O" && r.Percent != nil:
		l.add(field+".tax_percent", "BT-152", percentRule, "must not be stated in the category O")
	case r.Category != "O" && r.Percent == nil:
		l.add(field+".tax_percent", "BT-152", percentRule, missing)
	case r.Percent == nil:
	case untaxed(r.Category) && !r.Percent.IsZero():
		l.add(field+".tax_percent", "BT-152", percentRule, "must be 0 in the category "+r.Category)
	case (r.Category == "S" || zeroOfL) && r.Percent.Sign() <= 0, r.Percent.Sign() < 0:
		l.add(field+".tax_percent", "BT-152", percentRule, "must be greater than 0 in the category "+r.Category)
	}
	return true
}

// The numbers of the rules of each category.
const (
	firstParty  = 2 // who must have which id
	firstRate   = 5 // the rate
	ruleAmount  = 9
	ruleReason  = 10
	ruleOthers  = 11 // K: the day of delivery; O: no other category
	ruleCountry = 12 // K: where to
)

// parties looks at what a category wants of seller and buyer.
func (l *lacking) parties(u use) {
	representative := l.TaxRepresentative != nil && !isBlank(l.TaxRepresentative.VATID)
	rule := u.rule(firstParty)
	hasVAT := !isBlank(l.Seller.VATID) || representative
	switch u.category {
	case "S", "Z", "E", "AE", "L", "M":
		if !hasVAT && isBlank(l.Seller.TaxID) {
			l.add("seller.vat_id", "BT-31", rule, "and seller.tax_id are missing: the category "+u.category+" of "+u.field+" needs one of them")
		}
	case "K", "G":
		if !hasVAT {
			l.add("seller.vat_id", "BT-31", rule, "is missing: the category "+u.category+" of "+u.field+" needs it")
		}
	case "O":
		const message = "must not be stated where the category is O"
		if !isBlank(l.Seller.VATID) {
			l.add("seller.vat_id", "BT-31", rule, message)
		}
		if representative {
			l.add("tax_representative.vat_id", "BT-63", rule, message)
		}
		if !isBlank(l.Buyer.VATID) {
			l.add("buyer.vat_id", "BT-48", rule, message)
		}
	}
	if u.category == "AE" && isBlank(l.Buyer.VATID) && isBlank(l.Buyer.LegalID) {
		l.add("buyer.vat_id", "BT-48", rule, "and buyer.legal_id are missing: the category AE of "+u.field+" needs one of them")
	}
	if u.category != "K" {
		return
	}
	if isBlank(l.Buyer.VATID) {
		l.add("buyer.vat_id", "BT-48", rule, "is missing: the category K of "+u.field+" needs it")
	}
	if (l.Delivery == nil || l.Delivery.Date == "") && (l.Period == nil || *l.Period == Period{}) {
		l.add("delivery.date", "BT-72", fmt.Sprintf("BR-IC-%d", ruleOthers), "and period are missing: the category K needs one of them")
	}
	if l.Delivery == nil || l.Delivery.Address == nil || isBlank(l.Delivery.Address.Country) {
		l.add("delivery.address.country_code", "BT-80", fmt.Sprintf("BR-IC-%d", ruleCountry), "is missing: the category K needs it")
	}
}

// mixture looks at categories that others must not stand beside.
func (l *lacking) mixture(uses []use) {
	has := func(category string) *use {
		for n := range uses {
			if uses[n].category == category {
				return &uses[n]
			}
		}
		return nil
	}
	if o := has("O"); o != nil && len(uses) > 1 {
		l.add(o.field+".tax_category", "BT-151", fmt.Sprintf("BR-O-%d", ruleOthers), "is O, beside which no other category may stand: make two documents")
	}
	if b := has("B"); b != nil {
		if has("S") != nil {
			l.add(b.field+".tax_category", "BT-151", "BR-B-02", "is B, beside which S must not stand")
		}
		if !l.isItalian() {
			l.add(b.field+".tax_category", "BT-151", "BR-B-01", "is B, which is for documents within Italy")
		}
	}
}

// isItalian reports whether all countries of the document are Italy.
func (l *lacking) isItalian() bool {
	countries := []*Address{l.Seller.Address, l.Buyer.Address}
	if l.TaxRepresentative != nil {
		countries = append(countries, l.TaxRepresentative.Address)
	}
	if l.Delivery != nil {
		countries = append(countries, l.Delivery.Address)
	}
	foreign := func(a *Address) bool { return a != nil && a.Country != "" && a.Country != "IT" }
	origin := func(line Line) bool { return line.OriginCountry != "" && line.OriginCountry != "IT" }
	return !slices.ContainsFunc(countries, foreign) && !slices.ContainsFunc(l.Lines, origin)
}

// breakdown looks at the reasons and the amounts of BG-23.
func (l *lacking) breakdown(uses []use) {
	for n := range l.Taxes {
		t := &l.Taxes[n]
		if t.Category == "" || vatCode(t.Code) != "" {
			continue // said of the line
		}
		field := "lines[0]"
		for _, u := range uses {
			if u.category == t.Category {
				field = u.field
			}
		}
		hasReason := !isBlank(t.Reason) || !isBlank(t.ReasonCode)
		rule := func(n int) string { return fmt.Sprintf("BR-%s-%02d", family(t.Category), n) }
		switch {
		case NeedsReason(t.Category) && !hasReason:
			l.add(field+".exemption_reason", "BT-120", rule(ruleReason), "and exemption_code are missing: the category "+t.Category+" needs one of them")
		case !NeedsReason(t.Category) && t.Category != "B" && hasReason:
			l.add(field+".exemption_reason", "BT-120", rule(ruleReason), "must not be stated in the category "+t.Category)
		}
		l.code("exemptions", upper(t.ReasonCode), field+".exemption_code", "BT-121", "BR-CL-22")
		if untaxed(t.Category) && !t.Amount.IsZero() {
			l.add("tax_amounts", "BT-117", rule(ruleAmount), "must be 0 in the category "+t.Category)
		}
		if t.Percent != nil && !untaxed(t.Category) {
			off := new(big.Rat).Mul(rat(t.Base), rat(*t.Percent))
			off.Quo(off, big.NewRat(percent, 1)).Sub(off, rat(t.Amount))
			if off.Abs(off).Cmp(nearlyOne()) >= 0 {
				l.add("tax_amounts", "BT-117", "BR-CO-17", fmt.Sprintf("come to %s of tax at %s %%, which is off by 1 or more", t.Amount, t.Percent))
			}
		}
	}
}

const percent = 100

// nearlyOne is how far VAT may be off by the official rules, less what their rounding may add.
func nearlyOne() *big.Rat { return big.NewRat(99, percent) }

// amounts looks at the decimals of the currencies: BR-DEC allows two.
func (l *lacking) amounts() {
	const most = 2
	if decimals, ok := invoice.MinorUnits(l.Currency); ok && decimals > most {
		l.add("currency", "BT-109", "BR-DEC-12", fmt.Sprintf("is %s, which has %d decimals: amounts of EN 16931 have two at most", l.Currency, decimals))
	}
	if decimals, ok := invoice.MinorUnits(l.TaxCurrency); ok && decimals > most {
		l.add("tax_currency", "BT-111", "BR-DEC-15", fmt.Sprintf("is %s, which has %d decimals: amounts of EN 16931 have two at most", l.TaxCurrency, decimals))
	}
}
