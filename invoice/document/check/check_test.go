package check_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"invoicer/internal/validator"
	"invoicer/invoice/document"
	"invoicer/invoice/document/check"
)

// kit returns the folder of the official validator, and skips the test where there is none.
func kit(t testing.TB) validator.Validator {
	t.Helper()
	v, err := validator.Find()
	if err != nil {
		t.Skip(err)
	}
	return v
}

func read(t testing.TB, path string, p document.Profile) (*check.Report, error) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return check.ReadAs(f, p)
}

const head = `<Invoice xmlns="urn:oasis:names:specification:ubl:schema:xsd:Invoice-2"` +
	` xmlns:cbc="urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2" xmlns:cac="urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2">`

// small is an invoice that adds up, with some text replaced.
func small(old, with string) string {
	amount := func(name, value string) string {
		return fmt.Sprintf(`<cbc:%s currencyID="EUR">%s</cbc:%s>`, name, value, name)
	}
	category := func(name string) string {
		return `<cac:` + name + `><cbc:ID>S</cbc:ID><cbc:Percent>19</cbc:Percent><cac:TaxScheme><cbc:ID>VAT</cbc:ID></cac:TaxScheme></cac:` + name + `>`
	}
	adjustment := func(is, value, category string) string {
		return `<cac:AllowanceCharge><cbc:ChargeIndicator>` + is + `</cbc:ChargeIndicator>` + amount("Amount", value) + category + `</cac:AllowanceCharge>`
	}
	text := head + `<cbc:CustomizationID>urn:cen.eu:en16931:2017</cbc:CustomizationID><cbc:ID>N1</cbc:ID><cbc:IssueDate>2026-03-31</cbc:IssueDate><cbc:DocumentCurrencyCode>EUR</cbc:DocumentCurrencyCode>` +
		adjustment("false", "5.00", category("TaxCategory")) + adjustment("true", "3.00", category("TaxCategory")) +
		`<cac:TaxTotal>` + amount("TaxAmount", "5.32") + `<cac:TaxSubtotal>` + amount("TaxableAmount", "28.00") + amount("TaxAmount", "5.32") + category("TaxCategory") +
		`</cac:TaxSubtotal></cac:TaxTotal><cac:LegalMonetaryTotal>` + amount("LineExtensionAmount", "30.00") + amount("TaxExclusiveAmount", "28.00") +
		amount("TaxInclusiveAmount", "33.32") + amount("AllowanceTotalAmount", "5.00") + amount("ChargeTotalAmount", "3.00") + amount("PrepaidAmount", "3.00") +
		amount("PayableRoundingAmount", "-0.02") + amount("PayableAmount", "30.30") + `</cac:LegalMonetaryTotal>` +
		`<cac:InvoiceLine><cbc:ID>1</cbc:ID><cbc:InvoicedQuantity unitCode="C62">3</cbc:InvoicedQuantity>` + amount("LineExtensionAmount", "30.00") +
		`<cac:Item><cbc:Name>pens</cbc:Name>` + category("ClassifiedTaxCategory") + `</cac:Item><cac:Price>` + amount("PriceAmount", "10") + `</cac:Price></cac:InvoiceLine></Invoice>`
	if old != "" && !strings.Contains(text, old) {
		panic("nothing to replace: " + old)
	}
	return strings.Replace(text, old, with, 1)
}

func TestSumsThatAreOff(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ old, with, rules, finding string }{
		{"", "", "", ""},
		{
			`>30.00</cbc:LineExtensionAmount><cbc:TaxEx`, `>30.01</cbc:LineExtensionAmount><cbc:TaxEx`, "BR-CO-10 BR-CO-13",
			"BR-CO-10, document: the sum of the lines (BT-106) is stated as 30.01 and comes to 30.00",
		},
		{`AllowanceTotalAmount currencyID="EUR">5.00`, `AllowanceTotalAmount currencyID="EUR">5.01`, "BR-CO-11 BR-CO-13", ""},
		{`ChargeTotalAmount currencyID="EUR">3.00`, `ChargeTotalAmount currencyID="EUR">2.99`, "BR-CO-12 BR-CO-13", ""},
		{`TaxExclusiveAmount currencyID="EUR">28.00`, `TaxExclusiveAmount currencyID="EUR">28.01`, "BR-CO-13 BR-CO-15", ""},
		{`<cac:TaxTotal><cbc:TaxAmount currencyID="EUR">5.32`, `<cac:TaxTotal><cbc:TaxAmount currencyID="EUR">5.33`, "BR-CO-14 BR-CO-15", ""},
		{`>33.32<`, `>33.30<`, "BR-CO-15 BR-CO-16", ""},
		{`>30.30<`, `>30.32<`, "BR-CO-16", "BR-CO-16, document: the amount due (BT-115) is stated as 30.32 and comes to 30.30"},
		{`>5.32</cbc:TaxAmount><cac:TaxCat`, `>5.33</cbc:TaxAmount><cac:TaxCat`, "BR-CO-14", "note BR-CO-17, VAT S 19 %: its amount (BT-117), which is off by less than the rules allow, is stated as 5.33 and comes to 5.32"},
		{`>5.32</cbc:TaxAmount><cac:TaxCat`, `>6.32</cbc:TaxAmount><cac:TaxCat`, "BR-CO-14 BR-CO-17", "BR-CO-17, VAT S 19 %: its amount (BT-117) is stated as 6.32 and comes to 5.32"},
		{`TaxableAmount currencyID="EUR">28.00`, `TaxableAmount currencyID="EUR">28.01`, "", "note BR-S-08, VAT S 19 %: its base (BT-116), which is off by less than the rules allow, is stated as 28.01 and comes to 28.00"},
		{`TaxableAmount currencyID="EUR">28.00`, `TaxableAmount currencyID="EUR">29.00`, "BR-S-08", ""},
		{`>10</cbc:PriceAmount>`, `>10.007</cbc:PriceAmount>`, "", "note PEPPOL-EN16931-R120, line 1: its net amount (BT-131), which no rule of its profile minds, is stated as 30.00 and comes to 30.021"},
		{`>10</cbc:PriceAmount>`, `>10.006</cbc:PriceAmount>`, "", ""},
		{`>10</cbc:PriceAmount>`, `>1e1</cbc:PriceAmount>`, "XSD", `XSD, line 1: its net price (BT-146, PriceAmount) is "1e1", which isn't a number`},
		{`>30.30<`, `>+030.3<`, "", ""},
		{`PriceAmount currencyID="EUR"`, `PriceAmount currencyID="USD"`, "PEPPOL-EN16931-R051", ""},
	} {
		r, err := check.Read(strings.NewReader(small(c.old, c.with)))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(rulesOf(r.Findings), " "); got != c.rules {
			t.Errorf("%s → %s: %s, want %s", c.old, c.with, got, c.rules)
		}
		list := r.Findings
		want, isNote := strings.CutPrefix(c.finding, "note ")
		if isNote {
			list = r.Notes
		}
		if want != "" && !slices.ContainsFunc(list, func(f check.Finding) bool { return f.String() == want }) {
			t.Errorf("%s → %s: %v", c.old, c.with, list)
		}
	}
}

// What may stand once is found where it stands again or where something else has its name.
func TestOneReading(t *testing.T) {
	t.Parallel()
	const due, total = `<cbc:PayableAmount currencyID="EUR">30.30</cbc:PayableAmount>`, `<cac:LegalMonetaryTotal>`
	twice := func(path string) string {
		return "XSD, document: " + path + " stands more than once, and only the first one was looked at"
	}
	text := small("", "")
	sums := text[strings.Index(text, total) : strings.Index(text, "</cac:LegalMonetaryTotal>")+len("</cac:LegalMonetaryTotal>")]
	for _, c := range []struct{ old, with, finding string }{
		{due, due + strings.Replace(due, "30.30", "99.99", 1), twice("LegalMonetaryTotal/PayableAmount")},
		{sums, sums + strings.Replace(sums, "30.30", "99.99", 1), twice("LegalMonetaryTotal")},
		{"<cbc:ID>N1</cbc:ID>", "<cbc:ID>N1</cbc:ID><cbc:ID>N2</cbc:ID>", twice("ID")},
		{"<cbc:Name>pens</cbc:Name>", "<cbc:Name>pens</cbc:Name><cbc:Name>cars</cbc:Name>", twice("InvoiceLine/Item/Name")},
		{due, strings.ReplaceAll(due, "cbc:", "cac:") + due, "XSD, document: PayableAmount is in the namespace CommonAggregateComponents-2, and has a text: it wasn't looked at"},
		{sums, strings.ReplaceAll(sums, "cac:", "cbc:") + sums, "XSD, document: LegalMonetaryTotal is in the namespace CommonBasicComponents-2, and has elements: it wasn't looked at"},
		{"2026-03-31<", "2026-03-31xyz<", `XSD, document: IssueDate (BT-2) is "2026-03-31xyz", which isn't a date`},
		{"2026-03-31<", "2026-03-31+1<", `XSD, document: IssueDate (BT-2) is "2026-03-31+1", which isn't a date`},
		{"2026-03-31<", "2026-03-31Z<", ""},
		{"2026-03-31<", "2026-03-31-05:30<", ""},
		{"<cbc:Name>pens</cbc:Name>", "<cbc:Description>a</cbc:Description><cbc:Description>b</cbc:Description><cbc:Name>pens</cbc:Name>", ""},
	} {
		r, err := check.Read(strings.NewReader(small(c.old, c.with)))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range r.Findings {
			got = append(got, f.String())
		}
		if strings.Join(got, "; ") != c.finding {
			t.Errorf("%s: %q, want %q", c.with, got, c.finding)
		}
	}
	content, err := os.ReadFile("../testdata/invoice.cii.xml")
	if err != nil {
		t.Fatal(err)
	}
	for name, rule := range map[string]string{
		"ram:DuePayableAmount": "CII-SR-487", "ram:GrandTotalAmount": "CII-SR-482", "ram:BilledQuantity": "XSD", "ram:InvoiceCurrencyCode": "XSD",
		"ram:ApplicableHeaderTradeSettlement": "XSD",
	} {
		at := strings.Index(string(content), "<"+name)
		end := at + strings.Index(string(content[at:]), "</"+name+">") + len("</"+name+">")
		r, err := check.Read(strings.NewReader(string(content[:end]) + string(content[at:])))
		if err != nil || len(r.Findings) != 1 || r.Findings[0].Rule != rule || !strings.Contains(r.Findings[0].Message, "more than once") {
			t.Errorf("%s: %v %v", name, err, r)
		}
	}
}
