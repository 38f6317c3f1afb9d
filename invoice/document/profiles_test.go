package document_test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"invoicer/internal/validator"
	"invoicer/invoice"
	"invoicer/invoice/document"
	"invoicer/invoice/document/check"
	"invoicer/invoice/document/ubl"
)

// What XRechnung and Peppol ask for beyond EN 16931, one by one.
func TestLacksOfProfiles(t *testing.T) {
	t.Parallel()
	x, p := document.XRechnung, document.Peppol
	type change = func(*document.Document)
	both := func(country string) change {
		return func(d *document.Document) {
			d.Seller.Address.Country, d.Buyer.Address.Country = country, country
		}
	}
	published := map[document.Profile]map[string]string{x: {}, p: {}} // the files, and the rule that each breaks
	folder := t.TempDir()
	for n, c := range []struct {
		profile     document.Profile
		rule, field string
		spoil       change
	}{
		{x, "BR-DE-1", "payment", func(d *document.Document) { d.Payment = nil }},
		{x, "BR-DE-2", "seller.contact", func(d *document.Document) { d.Seller.Contact = nil }},
		{x, "BR-DE-3", "seller.address.city", func(d *document.Document) { d.Seller.Address.City = "" }},
		{x, "BR-DE-4", "seller.address.postcode", func(d *document.Document) { d.Seller.Address.Postcode = " " }},
		{x, "BR-DE-5", "seller.contact.name", func(d *document.Document) { d.Seller.Contact.Name = "" }},
		{x, "BR-DE-6", "seller.contact.phone", func(d *document.Document) { d.Seller.Contact.Phone = "" }},
		{x, "BR-DE-7", "seller.contact.email", func(d *document.Document) { d.Seller.Contact.Email = "" }},
		{x, "BR-DE-8", "buyer.address.city", func(d *document.Document) { d.Buyer.Address.City = "" }},
		{x, "BR-DE-9", "buyer.address.postcode", func(d *document.Document) { d.Buyer.Address.Postcode = "" }},
		{x, "BR-DE-10", "delivery.address.city", func(d *document.Document) { d.Delivery.Address.City = "" }},
		{x, "BR-DE-11", "delivery.address.postcode", func(d *document.Document) { d.Delivery.Address.Postcode = "" }},
		{x, "BR-DE-15", "buyer_reference", func(d *document.Document) { d.BuyerReference = "" }},
		{x, "BR-DE-16", "seller.vat_id", func(d *document.Document) { d.Seller.VATID = "" }},
		{x, "BR-DE-18", "payment.terms", func(d *document.Document) { d.PaymentTerms = "#SKONTO#TAGE=14#PROZENT=2#\n" }},
		{x, "BR-DE-18", "payment.terms", func(d *document.Document) { d.PaymentTerms = "#SKONTO#TAGE=14#PROZENT=2.00#" }},
		{x, "BR-DE-23-b", "payment.mandate", func(d *document.Document) { d.Payment.Mandate = "M" }},
		{x, "BR-DE-24-a", "payment.means_code", func(d *document.Document) { d.Payment = &document.Payment{MeansCode: "48"} }},
		{x, "BR-DE-25-a", "payment.mandate", func(d *document.Document) { d.Payment = &document.Payment{MeansCode: "59"} }},
		{x, "BR-DE-30", "payment.creditor_id", func(d *document.Document) { d.Payment = &document.Payment{MeansCode: "59", Mandate: "M", Debited: "A"} }},
		{x, "BR-DE-31", "payment.iban", func(d *document.Document) {
			d.Payment = &document.Payment{MeansCode: "59", Mandate: "M", Creditor: "C"}
		}},
		{x, "PEPPOL-EN16931-R010", "buyer.electronic_address", func(d *document.Document) { d.Buyer.Endpoint = nil }},
		{x, "PEPPOL-EN16931-R020", "seller.electronic_address", func(d *document.Document) { d.Seller.Endpoint.ID = " " }},
		{p, "PEPPOL-EN16931-R003", "buyer_reference", func(d *document.Document) { d.BuyerReference = "" }},
		{p, "PEPPOL-EN16931-R010", "buyer.electronic_address", func(d *document.Document) { d.Buyer.Endpoint = nil }},
		{p, "PEPPOL-EN16931-R020", "seller.electronic_address", func(d *document.Document) { d.Seller.Endpoint = nil }},
		{p, "PEPPOL-EN16931-R061", "payment.mandate", func(d *document.Document) { d.Payment = &document.Payment{MeansCode: "49"} }},
		{p, "PEPPOL-EN16931-R110", "lines[0].period.start", func(d *document.Document) {
			d.Period, d.Lines[0].Period = &document.Period{Start: "2026-02-01"}, &document.Period{Start: "2026-01-31"}
		}},
		{p, "PEPPOL-EN16931-R111", "lines[0].period.end", func(d *document.Document) {
			d.Period, d.Lines[0].Period = &document.Period{End: "2026-02-01"}, &document.Period{End: "2026-02-02"}
		}},
		{p, "PEPPOL-EN16931-R120", "lines[0]", func(d *document.Document) { d.Lines[0].Price = invoice.MustDecimal("10.007") }},
		{p, "PEPPOL-EN16931-R121", "lines[0].base_quantity", func(d *document.Document) { d.Lines[0].BaseQuantity = new(invoice.Decimal) }},
		{p, "PEPPOL-EN16931-P0100", "type_code", func(d *document.Document) { d.TypeCode = "389" }},
		{p, "PEPPOL-EN16931-P0112", "type_code", func(d *document.Document) { d.TypeCode = "384" }},
		{p, "PEPPOL-EN16931-P0101", "type_code", func(d *document.Document) { d.Kind, d.TypeCode = document.CreditNote, "262" }},
		{p, "PEPPOL-EN16931-P0107", "lines[0].exemption_code", then(all("E", "0", "why"), func(d *document.Document) { d.Taxes[0].ReasonCode = "vatex-eu-ae" })},
		{p, "PEPPOL-EN16931-CL007", "currency", func(d *document.Document) { d.Currency = "XCG" }},
		{p, "PEPPOL-EN16931-CL008", "buyer.electronic_address.scheme", func(d *document.Document) { d.Buyer.Endpoint.Scheme = "EM" }},
		{p, "PEPPOL-COMMON-R040", "buyer.electronic_address.id", func(d *document.Document) { d.Buyer.Endpoint = &document.Identifier{"0088", "4012345000008"} }},
		{p, "PEPPOL-COMMON-R041", "buyer.electronic_address.id", func(d *document.Document) { d.Buyer.Endpoint = &document.Identifier{"0192", "974760674"} }},
		{p, "PEPPOL-COMMON-R043", "buyer.electronic_address.id", func(d *document.Document) { d.Buyer.Endpoint = &document.Identifier{"0208", "0202239952"} }},
		{p, "PEPPOL-COMMON-R049", "buyer.electronic_address.id", func(d *document.Document) { d.Buyer.Endpoint = &document.Identifier{"0007", "5560125791"} }},
		{p, "PEPPOL-COMMON-R050", "buyer.electronic_address.id", func(d *document.Document) { d.Buyer.Endpoint = &document.Identifier{"0151", "51824753557"} }},
		{p, "DE-R-015", "buyer_reference", then(both("DE"), func(d *document.Document) { d.BuyerReference, d.OrderReference = "", "O" })},
		{p, "DE-R-002", "seller.contact", then(both("DE"), func(d *document.Document) { d.Seller.Contact = nil })},
		{p, "DK-R-002", "seller.legal_id", then(both("DK"), func(d *document.Document) { d.Seller.LegalID = "" })},
		{p, "GR-R-001-1", "seller.address.country_code", then(both("GR"), func(d *document.Document) { d.Seller.VATID = "EL094259216" })},
		{p, "IS-R-003", "seller.address.line1", then(both("IS"), func(d *document.Document) { d.Seller.Address.Line1 = "" })},
		{p, "IT-R-002", "seller.address.line1", then(both("IT"), func(d *document.Document) { d.Seller.VATID, d.Seller.Address.Line1 = "IT12345670017", "" })},
		{p, "NL-R-008", "payment.means_code", then(both("NL"), func(d *document.Document) { d.Payment.MeansCode = "42" })},
		{p, "SE-R-013", "seller.legal_id", both("SE")},
		{p, "NO-R-001", "seller.vat_id", func(d *document.Document) { d.Seller.VATID = "NO974760673" }},
		{document.FacturXBasic, "BR-CO-16", "rounding", func(d *document.Document) { d.Totals.Rounding = invoice.MustDecimal("0.01") }},
		{document.EN16931, "BR-DEC-12", "currency", func(d *document.Document) { d.Currency = "BHD" }},
		{document.EN16931, "BR-CO-04", "lines[0].taxes", func(d *document.Document) { d.Lines[0].More = []document.Rate{{}} }},
		{document.EN16931, "BR-CO-04", "lines[0].taxes[0].code", func(d *document.Document) { d.Lines[0].TaxCodes = []string{"GST"} }},
	} {
		d := plain(t)
		c.spoil(d)
		lacks := document.Lacks(d, c.profile)
		if !slices.ContainsFunc(lacks, func(l document.Lack) bool { return l.Rule == c.rule && l.Field == c.field }) {
			t.Errorf("%s: %s %s isn't lacking, but %s", c.profile, c.rule, c.field, names(lacks))
		}
		if lacks := document.Lacks(d, document.None); lacks != nil {
			t.Errorf("without a profile: %s", names(lacks))
		}
		if breaks := published[c.profile]; breaks != nil {
			content, err := ubl.Write(d, c.profile)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(folder, fmt.Sprintf("%02d.xml", n))
			if err := os.WriteFile(file, content, 0o600); err != nil {
				t.Fatal(err)
			}
			breaks[file] = c.rule
		}
	}
	for profile, breaks := range published {
		t.Run(string(profile), func(t *testing.T) {
			t.Parallel()
			expectBroken(t, profile, breaks)
		})
	}
}

// expectBroken has a profile's own rules judge files, each of which breaks one.
func expectBroken(t *testing.T, p document.Profile, breaks map[string]string) {
	t.Helper()
	options := tablesOf(p)
	if len(options) == 0 {
		t.Skip("INVOICER_TEST_RULES names no tables of the rules of", p)
	}
	for _, r := range judge(t, official(t), slices.Sorted(maps.Keys(breaks)), options...) {
		rule := breaks[r.File]
		computes := strings.HasPrefix(rule, "PEPPOL-COMMON") || rule == "SE-R-013" || rule == "NO-R-001" || // by functions, which a table hasn't
			p == document.XRechnung && strings.HasPrefix(rule, "PEPPOL") // they stand in Peppol's file
		if !computes && !slices.ContainsFunc(r.Failures, func(f validator.Failure) bool { return f.Rule == rule }) {
			t.Errorf("%s: nothing of %s breaks %s, but %v", p, r.File, rule, r.Failures)
		}
	}
}

// A direct debit lacks nothing for XRechnung with a creditor identifier, and nothing but that without one. Both syntaxes carry it, and it is
// read back from them.
func TestDirectDebitAsXRechnung(t *testing.T) {
	t.Parallel()
	made := func(payment string) *document.Document {
		d, err := document.Of(stored(t, `{"version":2,"transaction_id":"T1","issued_at":"2026-03-31T10:30:00Z","currency":"EUR",`+parties+`"buyer_reference":"B",
"payment":{"means_code":"59","iban":"DE89370400440532013000","mandate":"M-1"`+payment+`},
"lines":[{"quantity":"3","unit_price":"10","tax_percent":"19","tax_category":"S","description":"pens"}]}`), document.Facts{})
		if err != nil {
			t.Fatal(err)
		}
		d.Number = "N1"
		return d
	}
	if got := names(document.Lacks(made(""), document.XRechnung)); got != "BR-DE-30 payment.creditor_id" {
		t.Errorf("without a creditor identifier it lacks %q", got)
	}
	const id = "DE98ZZZ09999999999"
	d := made(`,"creditor_id":"` + id + `"`)
	if lacks := document.Lacks(d, document.XRechnung); lacks != nil {
		t.Errorf("it lacks %s", names(lacks))
	}
	written := files(t, t.TempDir(), []*document.Document{d}, document.XRechnung)
	for _, name := range written {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		in := `<cbc:ID schemeID="SEPA">` + id + `</cbc:ID>`
		if strings.HasSuffix(name, "-cii.xml") {
			in = `<ram:CreditorReferenceID>` + id + `</ram:CreditorReferenceID>`
		}
		if strings.Count(string(content), in) != 1 {
			t.Errorf("%s hasn't %s once:\n%s", filepath.Base(name), in, content)
		}
		r, err := check.Read(bytes.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		if p := r.Document.Payment; !r.Well() || *p != *d.Payment || p.Creditor != id || p.Mandate != "M-1" || p.Debited != "DE89370400440532013000" {
			t.Errorf("%s is read as %+v: %v %v", filepath.Base(name), p, r.Findings, r.Lacks)
		}
	}
	if len(written) != 2 {
		t.Errorf("it is written as %q", written)
	}
	t.Run("official", func(t *testing.T) {
		t.Parallel()
		expectValid(t, judge(t, official(t), written, tablesOf(document.XRechnung)...))
	})
}

func TestRealNumbersHaveTheirCheckDigits(t *testing.T) {
	t.Parallel()
	for _, e := range []document.Identifier{{"0088", "4012345000009"}, {"0192", "974760673"}, {"0184", "DK13585628"}, {"0208", "0202239951"}, {"0007", "5560125790"}, {"0151", "51824753556"}} {
		d := plain(t)
		d.Buyer.Endpoint = &e
		if lacks := document.Lacks(d, document.Peppol); lacks != nil {
			t.Errorf("%v: %s", e, names(lacks))
		}
	}
}
