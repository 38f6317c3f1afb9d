package document_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"invoicer/internal/validator"
	"invoicer/invoice"
	"invoicer/invoice/document"
	"invoicer/invoice/document/ubl"
)

// A fault is something that documents lack.
type fault struct {
	rule  string // that names it
	field string
	spoil func(*document.Document)
}

// all spoils the category of everything in a document.
func all(category string, percent string, reason string) func(*document.Document) {
	return func(d *document.Document) {
		rate := document.Rate{Category: category}
		if percent != "" {
			p := invoice.MustDecimal(percent)
			rate.Percent = &p
		}
		d.Allowances, d.Charges = nil, nil
		var net invoice.Decimal
		for n := range d.Lines {
			d.Lines[n].Rate = rate
		}
		net = d.Totals.Lines
		d.Taxes = []document.Tax{{Rate: rate, Base: net, Reason: reason}}
		d.Totals = document.Totals{Lines: net, Net: net, Gross: net, Payable: net}
		d.TaxCurrency, d.Totals.TaxInOther = "", nil
	}
}

// then spoils twice.
func then(first, second func(*document.Document)) func(*document.Document) {
	return func(d *document.Document) { first(d); second(d) }
}

// faults are the faults that EN 16931's own rules name.
func faults() []fault {
	return []fault{
		{"BR-06", "seller.name", func(d *document.Document) { d.Seller.Name = " " }},
		{"BR-07", "buyer.name", func(d *document.Document) { d.Buyer.Name = "" }},
		{"BR-08", "seller.address.country_code", func(d *document.Document) { d.Seller.Address = nil }},
		{"BR-09", "seller.address.country_code", func(d *document.Document) { d.Seller.Address.Country = "" }},
		{"BR-10", "buyer.address.country_code", func(d *document.Document) { d.Buyer.Address = nil }},
		{"BR-11", "buyer.address.country_code", func(d *document.Document) { d.Buyer.Address.Country = "" }},
		{"BR-CL-14", "buyer.address.country_code", func(d *document.Document) { d.Buyer.Address.Country = "XK" }},
		{"BR-CO-09", "buyer.vat_id", func(d *document.Document) { d.Buyer.VATID = "XX1" }},
		{"BR-CL-25", "seller.electronic_address.scheme", func(d *document.Document) { d.Seller.Endpoint.Scheme = "0001" }},
		{"BR-62", "seller.electronic_address.scheme", func(d *document.Document) { d.Seller.Endpoint.Scheme = "" }},
		{"BR-63", "buyer.electronic_address.scheme", func(d *document.Document) { d.Buyer.Endpoint.Scheme = "" }},
		{"BR-CO-26", "seller.legal_id", func(d *document.Document) { d.Seller.LegalID, d.Seller.VATID, d.Seller.TaxID = "", "", "7" }},
		{"BR-S-02", "seller.vat_id", func(d *document.Document) { d.Seller.VATID, d.Seller.TaxID, d.TaxRepresentative = "", "", nil }},
		{"BR-18", "tax_representative.name", func(d *document.Document) {
			d.TaxRepresentative = &document.Party{VATID: "DE1", Address: &document.Address{Country: "DE"}}
		}},
		{"BR-56", "tax_representative.vat_id", func(d *document.Document) {
			d.TaxRepresentative = &document.Party{Name: "R", Address: &document.Address{Country: "DE"}}
		}},
		{"BR-19", "tax_representative.address.country_code", func(d *document.Document) {
			d.TaxRepresentative = &document.Party{Name: "R", VATID: "DE1"}
		}},
		{"BR-17", "payee.name", func(d *document.Document) { d.Payee = &document.Party{LegalID: "7"} }},
		{"BR-17", "payee", func(d *document.Document) {
			d.Seller.TradingName = "T"
			d.Payee = &document.Party{Name: "T"}
		}},
		{"BR-57", "delivery.address.country_code", func(d *document.Document) { d.Delivery.Address.Country = "" }},
		{"BR-29", "period.end", func(d *document.Document) { d.Period = &document.Period{Start: "2010-02-01", End: "2010-01-01"} }},
		{"BR-61", "payment.iban", func(d *document.Document) { d.Payment = &document.Payment{MeansCode: "30"} }},
		{"BR-CL-16", "payment.means_code", func(d *document.Document) { d.Payment = &document.Payment{MeansCode: "99"} }},
		{"BR-CL-01", "type_code", func(d *document.Document) { d.TypeCode = "999" }},
		{"BR-CL-04", "currency", func(d *document.Document) { d.Currency = "DEM" }},
		{"BR-CL-08", "notes[0].code", func(d *document.Document) { d.Notes = []document.Note{{"QQQ", "x"}} }},
		{"BR-CL-08", "notes[0].text", func(d *document.Document) { d.Notes = []document.Note{{"", "order #123# of"}} }},
		{"BR-25", "lines[0].name", func(d *document.Document) { d.Lines[0].Name = "" }},
		{"BR-23", "lines[0].unit", func(d *document.Document) { d.Lines[0].Unit = "" }},
		{"BR-CL-23", "lines[0].unit", func(d *document.Document) { d.Lines[0].Unit = "PCS" }},
		{"BR-27", "lines[0].unit_price", func(d *document.Document) { d.Lines[0].Price = invoice.MustDecimal("-1") }},
		{"BR-30", "lines[0].period.end", func(d *document.Document) {
			d.Lines[0].Period = &document.Period{Start: "2010-02-01", End: "2010-01-01"}
		}},
		{"BR-64", "lines[0].item_ids.standard_scheme", func(d *document.Document) { d.Lines[0].StandardID = &document.Identifier{ID: "1"} }},
		{"BR-CL-21", "lines[0].item_ids.standard_scheme", func(d *document.Document) { d.Lines[0].StandardID = &document.Identifier{"9999", "1"} }},
		{"BR-65", "lines[0].classifications[0].scheme", func(d *document.Document) { d.Lines[0].Classifications = []document.Identifier{{"", "1"}} }},
		{"BR-CL-13", "lines[0].classifications[0].scheme", func(d *document.Document) { d.Lines[0].Classifications = []document.Identifier{{"ZZ", "1"}} }},
		{"BR-CL-15", "lines[0].origin_country", func(d *document.Document) { d.Lines[0].OriginCountry = "XX" }},
		{"BR-42", "lines[0].discount_reason", func(d *document.Document) { d.Lines[0].Allowances = []document.Adjustment{{}} }},
		{"BR-44", "lines[0].charge_reason", func(d *document.Document) { d.Lines[0].Charges = []document.Adjustment{{}} }},
		{"BR-33", "allowances[0].reason", func(d *document.Document) { d.Allowances = []document.Adjustment{{Rate: d.Lines[0].Rate}} }},
		{"BR-38", "charges[0].reason", func(d *document.Document) { d.Charges = []document.Adjustment{{Rate: d.Lines[0].Rate}} }},
		{"BR-32", "allowances[0].tax_category", func(d *document.Document) { d.Allowances = []document.Adjustment{{Reason: "r"}} }},
		{"BR-37", "charges[0].tax_category", func(d *document.Document) { d.Charges = []document.Adjustment{{Reason: "r"}} }},
		{"BR-CL-19", "allowances[0].reason_code", func(d *document.Document) {
			d.Allowances = []document.Adjustment{{ReasonCode: "ABK", Rate: d.Lines[0].Rate}}
		}},
		{"BR-CO-04", "lines[0].tax_category", func(d *document.Document) { d.Lines[0].Rate = document.Rate{} }},
		{"BR-55", "preceding[0].invoice_number", func(d *document.Document) { d.Preceding = []document.Preceding{{Date: "2010-01-01"}} }},
		{"BR-E-10", "lines[0].exemption_reason", all("E", "0", "")},
		{"BR-AE-10", "lines[0].exemption_reason", all("AE", "0", "")},
		{"BR-IC-10", "lines[0].exemption_reason", all("K", "0", "")},
		{"BR-G-10", "lines[0].exemption_reason", all("G", "0", "")},
		{"BR-S-10", "lines[0].exemption_reason", func(d *document.Document) { d.Taxes[0].Reason = "why not" }},
		{"BR-Z-10", "lines[0].exemption_reason", all("Z", "0", "why")},
		{"BR-O-02", "seller.vat_id", all("O", "", "why")},
		{"BR-S-05", "lines[0].tax_percent", all("S", "0", "")},
		{"BR-CL-22", "lines[0].exemption_code", then(all("E", "0", "why"), func(d *document.Document) { d.Taxes[0].ReasonCode = "VATEX-X" })},
		{"BR-IC-11", "delivery.date", then(all("K", "0", "why"), func(d *document.Document) { d.Delivery.Date, d.Period = "", nil })},
		{"BR-IC-12", "delivery.address.country_code", then(all("K", "0", "why"), func(d *document.Document) { d.Delivery.Address = nil })},
		{"BR-IC-02", "buyer.vat_id", then(all("K", "0", "why"), func(d *document.Document) { d.Buyer.VATID = "" })},
		{"BR-AE-02", "buyer.vat_id", then(all("AE", "0", "why"), func(d *document.Document) { d.Buyer.VATID, d.Buyer.LegalID = "", "" })},
		{"BR-G-02", "seller.vat_id", then(all("G", "0", "why"), func(d *document.Document) {
			d.Seller.VATID, d.TaxRepresentative = "", nil
		})},
		{"BR-B-01", "lines[0].tax_category", all("B", "22", "")},
		{"BR-Z-09", "tax_amounts", then(all("Z", "0", ""), func(d *document.Document) { d.Taxes[0].Amount = invoice.MustDecimal("0.01") })},
		{"BR-O-11", "lines[0].tax_category", func(d *document.Document) {
			s := d.Taxes[0]
			d.Lines = append(d.Lines, d.Lines[0])
			all("O", "", "why")(d)
			d.Lines[len(d.Lines)-1].Rate = s.Rate
			d.Taxes = append(d.Taxes, s)
		}},
	}
}

// plain returns an ordinary document.
func plain(t testing.TB) *document.Document {
	t.Helper()
	i := stored(t, `{"version":2,"transaction_id":"T1","issued_at":"2026-03-31T10:30:00Z","currency":"EUR","buyer_reference":"B",
"seller":{"name":"S","vat_id":"DE123456788","legal_id":"HRB 1","address":{"line1":"A 1","city":"Köln","postcode":"50667","country_code":"DE"},
"electronic_address":{"scheme":"9930","id":"DE123456788"},"contact":{"name":"Ada","phone":"123456","email":"a@example.com"}},
"buyer":{"name":"B","vat_id":"PL1234567883","legal_id":"9","address":{"line1":"A 1","city":"K","postcode":"31","country_code":"PL"},
"electronic_address":{"scheme":"9945","id":"PL1234567883"}},
"delivery":{"date":"2026-03-30","address":{"city":"K","postcode":"31","country_code":"PL"}},"payment":{"means_code":"58","iban":"DE89370400440532013000"},
"lines":[{"quantity":"3","unit_price":"10.00","tax_percent":"19","tax_category":"S","description":"pens"}]}`)
	d, err := document.Of(i, document.Facts{})
	if err != nil {
		t.Fatal(err)
	}
	d.Number = "N1"
	return d
}

func names(lacks []document.Lack) string {
	var list []string
	for _, l := range lacks {
		list = append(list, l.Rule+" "+l.Field)
	}
	return strings.Join(list, ", ")
}

func TestNothingIsLacking(t *testing.T) {
	t.Parallel()
	for _, p := range document.Profiles() {
		if lacks := document.Lacks(plain(t), p); lacks != nil {
			t.Errorf("%s: %v", p, lacks)
		}
	}
}

// Each fault is named with its rule and field, and the official validator refuses the document by just that rule.
func TestLacksAreThoseOfTheRules(t *testing.T) {
	t.Parallel()
	var paths []string
	folder := t.TempDir()
	for n, f := range faults() {
		d := plain(t)
		f.spoil(d)
		lacks := document.Lacks(d, document.EN16931)
		if !slices.ContainsFunc(lacks, func(l document.Lack) bool { return l.Rule == f.rule && l.Field == f.field }) {
			t.Errorf("%s %s isn't lacking: %s", f.rule, f.field, names(lacks))
		}
		content, err := ubl.Write(d, document.EN16931)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(folder, fmt.Sprintf("%02d.xml", n))
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	t.Run("official", func(t *testing.T) {
		t.Parallel()
		for n, r := range judge(t, official(t), paths) {
			want := faults()[n].rule
			if !slices.ContainsFunc(r.Failures, func(f validator.Failure) bool { return f.Rule == want }) {
				t.Errorf("%s isn't what the validator says: %v", want, r.Failures)
			}
		}
	})
}

// What has no lacks is valid, whatever of a document is missing.
func TestDocumentsWithoutLacksAreValid(t *testing.T) {
	t.Parallel()
	v := official(t)
	folder := t.TempDir()
	r := rand.New(rand.NewPCG(16931, 0))
	var spoilt []*document.Document
	for _, d := range random(t, fewer()) {
		for r.IntN(2) == 0 {
			spoil(d, spoils()[r.IntN(len(spoils()))])
		}
		spoilt = append(spoilt, d)
	}
	for _, p := range document.Profiles()[1:] {
		var lacking, whole []*document.Document
		for _, d := range spoilt {
			if document.Lacks(d, p) == nil {
				whole = append(whole, d)
			} else {
				lacking = append(lacking, d)
			}
		}
		t.Logf("%s: %d without lacks", p, len(whole))
		expectValid(t, judge(t, v, files(t, folder, whole, p), tablesOf(p)...))
		if p != document.EN16931 || len(lacking) == 0 {
			continue
		}
		for n, report := range judge(t, v, files(t, folder, lacking, p)) {
			if n%2 == 0 && report.OK && judge(t, v, []string{strings.Replace(report.File, "ubl", "cii", 1)})[0].OK {
				t.Errorf("%s is valid and should lack something", report.File)
			}
		}
	}
}

// tablesOf returns the options that add a profile's own rules. They aren't in the kit: INVOICER_TEST_RULES names tables of them, if any.
func tablesOf(p document.Profile) (options []string) {
	for _, table := range strings.Fields(os.Getenv("INVOICER_TEST_RULES")) {
		if strings.Contains(filepath.Base(table), string(p)) {
			options = append(options, "--rules", table)
		}
	}
	return options
}

// spoil spoils a document, unless what is to be spoilt is missing already.
func spoil(d *document.Document, by func(*document.Document)) {
	if d.Seller.Address != nil && d.Buyer.Address != nil && d.Seller.Endpoint != nil && d.Buyer.Endpoint != nil {
		by(d)
	}
}

func spoils() (list []func(*document.Document)) {
	for _, f := range faults() {
		switch f.rule {
		case "BR-S-02", "BR-CO-26", "BR-10", "BR-09", "BR-23", "BR-IC-11", "BR-62", "BR-64", "BR-42":
		default:
			continue
		}
		if !strings.HasPrefix(f.rule, "BR-IC") && f.rule != "BR-42" {
			list = append(list, f.spoil)
		}
	}
	return append(list,
		func(d *document.Document) { d.Buyer.VATID = "" }, func(d *document.Document) { d.Buyer.LegalID = "" },
		func(d *document.Document) { d.Seller.LegalID = "" }, func(d *document.Document) { d.Delivery = nil },
		func(d *document.Document) { d.Payment = nil }, func(d *document.Document) { d.BuyerReference = "" },
		func(d *document.Document) { d.OrderReference = "" }, func(d *document.Document) { d.Seller.Contact = nil },
		func(d *document.Document) { d.Buyer.Endpoint = nil }, func(d *document.Document) { d.DueDate = "2030-01-01" },
		func(d *document.Document) { d.PaymentTerms = "#SKONTO#TAGE=14#PROZENT=2.00#\n" },
		func(d *document.Document) { d.PaymentTerms = "#SKONTO#TAGE=14#PROZENT=2#\n" },
		func(d *document.Document) { d.PaymentTerms = "#SKONTO#TAGE=14#PROZENT=2.00#" },
		func(d *document.Document) {
			d.Payment = &document.Payment{MeansCode: "59", Mandate: "M", Debited: "DE89370400440532013000"}
		},
		func(d *document.Document) {
			d.Payment = &document.Payment{MeansCode: "59", Mandate: "M", Creditor: "DE98ZZZ09999999999", Debited: "DE89370400440532013000"}
		},
		func(d *document.Document) { d.Seller.Address.City = "" }, func(d *document.Document) { d.Buyer.Address.Postcode = "" },
		func(d *document.Document) { d.Period = nil }, func(d *document.Document) { d.Lines[0].Period = &document.Period{Start: "2009-01-01"} },
		func(d *document.Document) { d.Buyer.Address.Country = "DE" }, func(d *document.Document) { d.Lines[0].BaseQuantity = nil },
		func(d *document.Document) {
			for _, country := range []string{"DK", "IT", "NL", "SE", "IS", "NO"} {
				if len(d.Lines)%6 == strings.Index("DK IT NL SE IS NO", country)/3 {
					d.Seller.Address.Country, d.Buyer.Address.Country = country, country
				}
			}
		},
		func(d *document.Document) {
			d.TypeCode = map[document.Kind]string{"invoice": "384", "credit_note": "396"}[d.Kind]
		})
}
