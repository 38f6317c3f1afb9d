package document

import (
	"regexp"
	"slices"
	"strings"
)

// xrechnungRule names rule n as XRechnung does.
func xrechnungRule(n string) string { return "BR-DE-" + n }

// peppolGermanRule names it as Peppol does between Germans: DE-R-001.
func peppolGermanRule(n string) string {
	const digits = 3
	number, rest, _ := strings.Cut(n, "-")
	switch rest {
	case "a":
		rest = "-1"
	case "b":
		rest = "-2"
	}
	return "DE-R-" + strings.Repeat("0", digits-len(number)) + number + rest
}

// german looks at what German receivers want.
func (l *lacking) german(rule func(string) string) {
	if l.Payment == nil {
		l.add("payment", "BG-16", rule("1"), missing)
	}
	l.need(l.BuyerReference, "buyer_reference", "BT-10", rule("15"))
	c := l.Seller.Contact
	if c == nil || isBlank(c.Name+c.Phone+c.Email) {
		l.add("seller.contact", "BG-6", rule("2"), missing)
	} else {
		l.need(c.Name, "seller.contact.name", "BT-41", rule("5"))
		l.need(c.Phone, "seller.contact.phone", "BT-42", rule("6"))
		l.need(c.Email, "seller.contact.email", "BT-43", rule("7"))
	}
	place := func(a *Address, field, city, cityRule, postcode, postcodeRule string) {
		if a == nil || a.isEmpty() {
			return // said by EN 16931
		}
		l.need(a.City, field+".address.city", city, rule(cityRule))
		l.need(a.Postcode, field+".address.postcode", postcode, rule(postcodeRule))
	}
	place(l.Seller.Address, "seller", "BT-37", "3", "BT-38", "4")
	place(l.Buyer.Address, "buyer", "BT-52", "8", "BT-53", "9")
	if l.Delivery != nil {
		place(l.Delivery.Address, "delivery", "BT-77", "10", "BT-78", "11")
	}
	taxed := slices.ContainsFunc(l.Taxes, func(t Tax) bool { return t.Category != "O" && t.Category != "B" && t.Category != "" })
	if taxed && l.TaxRepresentative == nil && isBlank(l.Seller.VATID) && isBlank(l.Seller.TaxID) {
		l.add("seller.vat_id", "BT-31", rule("16"), "and seller.tax_id are missing")
	}
	if !skonto(l.PaymentTerms) {
		l.add("payment.terms", "BT-20", rule("18"),
			"have a line that begins with #: it must be as #SKONTO#TAGE=14#PROZENT=2.00#, and a line break must follow")
	}
	l.germanPayment(rule)
}

func (l *lacking) germanPayment(rule func(string) string) {
	p := l.Payment
	if p == nil {
		return
	}
	mandate := !isBlank(p.Mandate) || !isBlank(p.Debited)
	switch p.MeansCode {
	case "30", "58":
		if mandate {
			l.add("payment.mandate", "BG-19", rule("23-b"), "must not be stated with a credit transfer")
		}
	case "48", "54", "55":
		if isBlank(p.Card) {
			l.add("payment.means_code", "BT-81", rule("24-a"), "is that of a card, which has to be named then: no field of the job has it")
		}
	case "59":
		if !mandate {
			l.add("payment.mandate", "BG-19", rule("25-a"), missing)
		}
		if !isBlank(p.Account) {
			l.add("payment.iban", "BG-17", rule("25-b"), "must not be that of the payee with a direct debit")
		}
	}
	if mandate {
		l.need(p.Creditor, "payment.creditor_id", "BT-90", rule("30"))
		l.need(p.Debited, "payment.iban", "BT-91", rule("31"))
	}
}

var (
	skontoLine  = regexp.MustCompile(`^#SKONTO#TAGE=[0-9]+#PROZENT=[0-9]+\.[0-9]{2}(#BASISBETRAG=-?[0-9]+\.[0-9]{2})?#$`)
	skontoStart = regexp.MustCompile(`#.+#`)
	skontoEnd   = regexp.MustCompile(`^\s*\n`)
)

// skonto reports whether all lines of payment terms that begin with # are cash discounts as XRechnung states them, the last one with a line
// break behind it.
func skonto(terms string) bool {
	stated := false
	for line := range strings.Lines(terms) {
		line = strings.Join(strings.Fields(line), " ")
		if !strings.HasPrefix(line, "#") {
			continue
		}
		stated = true
		if !skontoLine.MatchString(line) {
			return false
		}
	}
	if !stated {
		return true
	}
	found := skontoStart.FindAllStringIndex(terms, -1)
	return len(found) > 0 && skontoEnd.MatchString(terms[found[len(found)-1][1]:])
}
