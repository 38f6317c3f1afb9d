package document

import (
	"slices"
	"strings"
)

// national looks at Peppol's rules for sellers of some countries, between Germans excepted.
func (l *lacking) national(seller, buyer string) {
	switch seller {
	case "DK":
		l.danish(buyer)
	case "IS":
		l.icelandic(buyer)
	case "NL":
		l.dutch(buyer)
	case "SE":
		l.swedish()
	}
	switch l.taxedIn() {
	case "GR", "EL":
		l.add("seller.address.country_code", "BT-40", "GR-R-001-1", "and seller.vat_id are Greek: such invoices need a number of six parts, and the mark of myDATA (GR-R-004-1)")
	case "IT":
		l.street(l.Seller.Address, "seller", "IT-R-002", "IT-R-003", "IT-R-004")
		if id := l.Seller.TaxID; !isBlank(id) && !isForm(id, "", 11, 16, alphanumeric) {
			l.add("seller.tax_id", "BT-32", "IT-R-001", "must have 11 to 16 letters and digits")
		}
	}
	if vat := l.Seller.VATID; strings.HasPrefix(vat, "NO") && (!strings.HasSuffix(vat, "MVA") || !isNorwegian(strings.TrimSuffix(vat[2:], "MVA"))) {
		l.add("seller.vat_id", "BT-31", "NO-R-001", "must be NO, an organisation number and MVA")
	}
}

// taxedIn is the country by which Peppol takes a seller for a Greek or an Italian one: that of its VAT id, else that of its tax
// representative, else that of its address.
func (l *lacking) taxedIn() string {
	const letters = 2
	if id := strings.TrimSpace(l.Seller.VATID); len(id) > letters {
		return id[:letters]
	}
	if r := l.TaxRepresentative; r != nil && len(r.VATID) > letters {
		return r.VATID[:letters]
	}
	return l.Seller.country()
}

// street wants street, city and post code of an address.
func (l *lacking) street(a *Address, field, street, city, postcode string) {
	if a == nil {
		return
	}
	l.need(a.Line1, field+".address.line1", "BT-35", street)
	l.need(a.City, field+".address.city", "BT-37", city)
	l.need(a.Postcode, field+".address.postcode", "BT-38", postcode)
}

func (l *lacking) danish(buyer string) {
	l.need(l.Seller.LegalID, "seller.legal_id", "BT-30", "DK-R-002")
	if id := l.Seller.LegalID; !isBlank(id) {
		if rule, ok := checkDigits("0184", id); !ok {
			l.add("seller.legal_id", "BT-30", "PEPPOL-COMMON-"+rule, "isn't a CVR number")
		}
	}
	if buyer != "DK" {
		return
	}
	if l.Kind == CreditNote {
		if l.Totals.Payable.Sign() < 0 {
			l.add("lines", "BT-115", "DK-R-016", "come to a credit note with a negative total")
		}
		return
	}
	p := l.Payment
	if p == nil {
		return
	}
	switch means := p.MeansCode; {
	case !slices.Contains(strings.Fields("1 10 31 42 48 49 50 58 59 93 97"), means):
		l.add("payment.means_code", "BT-81", "DK-R-005", "isn't one of those that Danish sellers may state")
	case means == "31" || means == "42":
		l.need(p.Account, "payment.iban", "BT-84", "DK-R-006")
		l.need(p.Bank, "payment.bic", "BT-86", "DK-R-006")
	case means == "49":
		l.need(p.Debited, "payment.iban", "BT-91", "DK-R-007")
	case means == "50" && (!hasCard(p.Reference, "01#", "04#", "15#") || !isForm(p.Account, "", 7, 8, digit)):
		l.add("payment.reference", "BT-83", "DK-R-008", "must begin with 01#, 04# or 15#, and payment.iban must be a giro account of 7 or 8 digits")
	case means == "50" && hasCard(p.Reference, "04#", "15#") && len(p.Reference) != len("04#")+16:
		l.add("payment.reference", "BT-83", "DK-R-009", "must have 16 digits behind 04# or 15#")
	case means == "93" && (!hasCard(p.Reference, "71#", "73#", "75#") || len(p.Account) != 8):
		l.add("payment.reference", "BT-83", "DK-R-010", "must begin with 71#, 73# or 75#, and payment.iban must be a creditor number of 8 digits")
	case means == "93" && hasCard(p.Reference, "71#", "75#") && len(p.Reference) != 18 && len(p.Reference) != 19:
		l.add("payment.reference", "BT-83", "DK-R-011", "must have 15 or 16 digits behind 71# or 75#")
	}
}

func hasCard(reference string, codes ...string) bool {
	return slices.ContainsFunc(codes, func(code string) bool { return strings.HasPrefix(reference, code) })
}

func (l *lacking) icelandic(buyer string) {
	l.need(l.Seller.LegalID, "seller.legal_id", "BT-30", "IS-R-002")
	if a := l.Seller.Address; a != nil {
		l.need(a.Line1, "seller.address.line1", "BT-35", "IS-R-003")
		l.need(a.Postcode, "seller.address.postcode", "BT-38", "IS-R-003")
	}
	if p := l.Payment; p != nil && (p.MeansCode == "9" || p.MeansCode == "42") && len(strings.TrimSpace(p.Account)) != 12 {
		rule := map[string]string{"9": "IS-R-006", "42": "IS-R-007"}[p.MeansCode]
		l.add("payment.iban", "BT-84", rule, "must be an account of 12 digits")
	}
	if a := l.Buyer.Address; buyer == "IS" && a != nil {
		l.need(l.Buyer.LegalID, "buyer.legal_id", "BT-47", "IS-R-004")
		l.need(a.Line1, "buyer.address.line1", "BT-50", "IS-R-005")
		l.need(a.Postcode, "buyer.address.postcode", "BT-53", "IS-R-005")
	}
}

func (l *lacking) dutch(buyer string) {
	if l.Kind == CreditNote && len(l.Preceding) == 0 {
		l.add("preceding", "BT-25", "NL-R-001", "and credits_transaction_id are missing: a credit note names the invoice that it credits")
	}
	l.street(l.Seller.Address, "seller", "NL-R-002", "NL-R-002", "NL-R-002")
	if r := l.TaxRepresentative; r != nil && r.country() == "NL" {
		l.street(r.Address, "tax_representative", "NL-R-006", "NL-R-006", "NL-R-006")
	}
	if pays := l.Totals.Payable.Sign(); l.Payment == nil && (l.Kind == Invoice && pays > 0 || l.Kind == CreditNote && pays < 0) {
		l.add("payment", "BG-16", "NL-R-007", missing)
	}
	if isBlank(l.OrderReference) && slices.ContainsFunc(l.Lines, func(line Line) bool { return !isBlank(line.OrderLine) }) {
		l.add("order_reference", "BT-13", "NL-R-009", "is missing: lines name lines of an order")
	}
	if buyer != "NL" {
		return
	}
	l.street(l.Buyer.Address, "buyer", "NL-R-004", "NL-R-004", "NL-R-004")
	if p := l.Payment; p != nil && !slices.Contains(strings.Fields("30 48 49 57 58 59"), p.MeansCode) {
		l.add("payment.means_code", "BT-81", "NL-R-008", "must be one of 30, 48, 49, 57, 58 and 59 between Dutch parties")
	} else if p == nil && l.Kind == CreditNote && l.DueDate != "" {
		l.add("due_date", "BT-9", "NL-R-008", "of a credit note needs payment.means_code between Dutch parties")
	}
}

func (l *lacking) swedish() {
	if isSwedish := strings.HasPrefix(l.Seller.VATID, "SE"); isSwedish {
		if !isForm(strings.TrimSpace(l.Seller.VATID), "SE", 12, 12, digit) {
			l.add("seller.vat_id", "BT-31", "SE-R-001", "must be SE and 12 digits")
		}
		for n := range l.Taxes {
			t := &l.Taxes[n]
			if t.Category == "S" && t.Percent != nil && !slices.Contains([]string{"6", "12", "25"}, t.Percent.String()) {
				l.add("lines[0].tax_percent", "BT-119", "SE-R-006", "must be 6, 12 or 25 where the seller is Swedish")
			}
		}
	}
	if id := l.Seller.LegalID; !isBlank(id) {
		if _, ok := checkDigits("0007", id); !ok {
			l.add("seller.legal_id", "BT-30", "SE-R-013", "must be an organisation number of 10 digits")
		}
		if tax := l.Seller.TaxID; !isBlank(tax) && strings.ToUpper(strings.TrimSpace(tax)) != "GODKÄND FÖR F-SKATT" {
			l.add("seller.tax_id", "BT-32", "SE-R-005", "must be: Godkänd för F-skatt")
		}
	}
}
