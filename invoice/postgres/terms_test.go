package postgres_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"invoicer/internal/report"
	"invoicer/invoice"
	"invoicer/invoice/postgres"
)

// terms are jobs of version 2, and what their documents come to. Each job has id, time and currency, EUR unless it states one.
var terms = []struct {
	name, job string
	amounts   string   // kind, subtotal, tax, total, payable
	taxes     []string // percentage, code, category: net, added, tax
}{
	{
		"a shop sells with tax included", `"prices":"gross","expected_total":"100.00","lines":[{"quantity":1,"unit_price":"45","tax_percent":21},
		{"quantity":1,"unit_price":"49","tax_percent":21},{"quantity":1,"unit_price":"4.96","tax_percent":21,"prices":"net"}]`,
		"invoice 8265 1735 10000 10000",
		[]string{"21 : 8265 0 1735"},
	},
	{
		"a shop ships to Quebec", `"currency":"CAD","lines":[{"quantity":1,"unit_price":"10.30","taxes":[{"code":"GST","percent":"5"},{"code":"QST","percent":"9.975"}]}]`,
		"invoice 1030 155 1185 1185",
		[]string{"5 GST: 1030 0 52", "9.975 QST: 1030 0 103"},
	},
	{
		"a tax on a tax", `"lines":[{"quantity":1,"unit_price":"100","taxes":[{"percent":"19"},{"code":"PT","percent":"1","compound":true}]}]`,
		"invoice 10000 2019 12019 12019",
		[]string{"1 PT: 10000 1900 119", "19 : 10000 0 1900"},
	},
	{
		"two taxes of one percentage", `"lines":[{"quantity":1,"unit_price":"100","taxes":[{"code":"A","percent":"5"},{"code":"B","percent":"5"}]}]`,
		"invoice 10000 1000 11000 11000",
		[]string{"5 A: 10000 0 500", "5 B: 10000 0 500"},
	},
	{
		"a discount as an amount", `"currency":"COP","lines":[{"quantity":1,"unit_price":"84000000","discount_amount":"70000000","tax_percent":19}]`,
		"invoice 1400000000 266000000 1666000000 1666000000",
		[]string{"19 : 1400000000 0 266000000"},
	},
	{
		"tax is withheld", `"withholdings":[{"code":"IRPF","percent":19}],"expected_payable":"141.53","lines":[{"quantity":1,"unit_price":"138.75","tax_percent":21}]`,
		"invoice 13875 2914 16789 14153",
		[]string{"21 : 13875 0 2914"},
	},
	{
		"a shop rounds in Stockholm", `"currency":"SEK","rounding":"0.25","lines":[{"quantity":1,"unit_price":"841.40","tax_percent":25}]`,
		"invoice 84140 21035 105175 105200",
		[]string{"25 : 84140 0 21035"},
	},
	{
		"a deposit of more than was sold", `"kind":"invoice","prices":"gross","lines":[{"quantity":1,"unit_price":"0.40","tax_percent":19},{"quantity":-4,"unit_price":"0.25","tax_percent":19}]`,
		"invoice -50 -10 -60 -60",
		[]string{"19 : -50 0 -10"},
	},
	{
		"a free order is taken back", `"kind":"credit_note","lines":[{"quantity":-1,"unit_price":"0","tax_percent":19}]`,
		"credit_note 0 0 0 0",
		[]string{"19 : 0 0 0"},
	},
	{
		"an allowance and a charge", `"allowances":[{"reason":"loyalty","amount":"10.00"}],"charges":[{"reason":"freight","percent":"2","tax_percent":19}],
		"lines":[{"quantity":1,"unit_price":"100","tax_percent":19},{"quantity":1,"unit_price":"50","tax_percent":7},{"quantity":1,"unit_price":"30","tax_percent":19}]`,
		"invoice 17360 2732 20092 20092",
		[]string{"19 : 12638 0 2401", "7 : 4722 0 331"},
	},
	{
		"nothing is taxed, and why", `"lines":[{"quantity":1,"unit_price":"10","tax_category":"K","exemption_code":"VATEX-EU-IC","exemption_reason":"intra-community supply"}]`,
		"invoice 1000 0 1000 1000",
		[]string{"0 K: 1000 0 0"},
	},
	{
		"a price for a thousand", `"lines":[{"quantity":1234,"unit_price":"7","base_quantity":"1000"}]`, "invoice 864 0 864 864", nil,
	},
	{
		"a price per call", `"lines":[{"quantity":"999999999999999.999999999999","unit_price":"0.000000000125"}]`, "invoice 12500000 0 12500000 12500000", nil,
	},
	{
		"tax that a service has computed", `"tax_amounts":[{"percent":20,"amount":"20.01"}],"lines":[{"quantity":1,"unit_price":"100","tax_percent":20}]`,
		"invoice 10000 2001 12001 12001",
		[]string{"20 : 10000 0 2001"},
	},
	{
		"all that a document can say", `"type_code":"384","replaces_transaction_id":"A-0","preceding":[{"invoice_number":"OLD-77","date":"2009-01-31"}],"prepaid":"5.00",
		"tax_currency":"GBP","tax_currency_rate":"0.8912","tax_currency_rate_date":"2010-12-01","tax_currency_rate_source":"ECB","tax_point_date":"2010-11-30",
		"due_date":"2010-12-31","period":{"start":"2010-11-01","end":"2010-11-30"},"delivery":{"date":"2010-11-30","address":{"city":"Kraków"}},
		"seller":{"name":"ACME","vat_id":"DE123"},"buyer":{"name":"Zoë","legal_id":"1","electronic_address":{"scheme":"0088","id":"1"},"contact":{"phone":"2"},
		"address":{"line1":"a","country_code":"GB"}},"payee":{"name":"P"},"tax_representative":{"name":"T"},
		"payment":{"terms":"30 days","means_code":"58","iban":"DE02 1203 0000 0000 2020 51","reference":"RF18","mandate":"M-1","creditor_id":"DE98ZZZ09999999999"},"buyer_reference":"b","order_reference":"o",
		"contract_reference":"c","project_reference":"p","notes":[{"code":"AAI","text":"thank you"},{"text":"注文"}],"language":"de",
		"lines":[{"name":"n","unit":"C62","quantity":1,"unit_price":"10","charge_amount":"0.50","discount_reason":"r","tax_category":"S","tax_percent":19,
		"period":{"start":"2010-11-01"},"item_ids":{"seller":"s","standard":"1","standard_scheme":"0160"},"classifications":[{"scheme":"STI","code":"1"}]}]`,
		"invoice 1050 200 1250 750",
		[]string{"19 S: 1050 0 200"},
	},
}

func termsJob(t *testing.T, id, members string) *invoice.Job {
	t.Helper()
	if !strings.Contains(members, `"currency"`) {
		members = `"currency":"EUR",` + members
	}
	j, err := invoice.Decode([]byte(`{"version":2,"transaction_id":"` + id + `","issued_at":"2010-12-01T08:26:00Z",` + members + "}"))
	if err != nil {
		t.Fatalf("%s: %v", id, err)
	}
	return j
}

// What version 2 states is stored as it is stated, comes to what it has to, and passes the audit.
func TestTermsAreStored(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for n, tt := range terms {
		id := fmt.Sprintf("A-%d", n+1)
		j := termsJob(t, id, tt.job)
		made := b.create(t, "job-"+id, j)
		stored, err := b.store.Invoices.Read(t.Context(), made.ID)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if got := fmt.Sprintln(stored.Slot.Kind, stored.Subtotal, stored.Tax, stored.Total, stored.Payable); got != tt.amounts+"\n" {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.amounts)
		}
		var taxes []string
		for _, row := range stored.Taxes {
			taxes = append(taxes, fmt.Sprintf("%s %s%s: %d %d %d", row.Percent, row.Code, row.Category, row.Net, row.Added, row.Tax))
		}
		if slices.Sort(taxes); !slices.Equal(taxes, tt.taxes) {
			t.Errorf("%s: taxes %q, want %q", tt.name, taxes, tt.taxes)
		}
		content := stored.Content()
		if content.Fingerprint() != made.Fingerprint || len(invoice.DiffFields(content, j)) > 0 {
			t.Errorf("%s: the content has changed: %q", tt.name, invoice.DiffFields(content, j))
		}
		if j.Terms != nil {
			j.Terms.ExpectedTotal, j.Terms.ExpectedPayable = nil, nil
		}
		if diff := cmp.Diff(j.Terms, content.Terms, cmp.Comparer(func(a, b invoice.Decimal) bool { return a == b })); diff != "" && !strings.Contains(tt.job, "expected") {
			t.Errorf("%s: want -, got +: %s", tt.name, diff)
		}
		again, err := b.generator.Generate(t.Context(), request("again-"+id, termsJob(t, id, tt.job)))
		if err != nil || again.Outcome != invoice.Duplicate {
			t.Errorf("%s: asked for again: %+v, %v", tt.name, again, err)
		}
	}
	if text := b.Text(t, "SELECT string_agg(concat(i.terms, l.terms), '') FROM invoices i JOIN invoice_lines l ON l.invoice_id = i.id"); strings.Contains(text, "Zoë") || strings.Contains(text, "thank you") || strings.Contains(text, "DE02") {
		t.Errorf("a person stands in %s", text)
	}
	b.clean(t)
}

// Another term is a conflict, which says whether it matters.
func TestTermsThatDiffer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const line = `"lines":[{"quantity":1,"unit_price":"10","tax_percent":19,"name":"tea"}]`
	b.create(t, "job-1", termsJob(t, "T", `"buyer":{"name":"Zoë"},"notes":[{"text":"a"}],`+line))
	for members, want := range map[string][2]string{
		`"buyer":{"name":"Zoe"},"notes":[{"text":"a"}],` + line:                                  {"buyer.name", "material"},
		`"buyer":{"name":"Zoë"},"notes":[{"text":"b"}],` + line:                                  {"notes[0].text", "presentation"},
		`"buyer":{"name":"Zoë"},"notes":[{"text":"a"}],` + strings.Replace(line, "tea", "té", 1): {"lines[0].name", "presentation"},
		`"prices":"gross","buyer":{"name":"Zoë"},"notes":[{"text":"a"}],` + line:                 {"prices", "material"},
		line: {"buyer.name", "material"},
	} {
		result, err := b.generator.Generate(t.Context(), request("job-2", termsJob(t, "T", members)))
		if err != nil || result.Outcome != invoice.Conflict || !slices.Contains(result.Differs, want[0]) || !strings.Contains(result.Detail, want[1]) {
			t.Errorf("%s: %+v, %v", members, result, err)
		}
	}
}

// The database refuses what a worker of this release wouldn't write, and the audit finds what its owner has changed.
func TestTermsAreGuarded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.create(t, "job-1", termsJob(t, "T", terms[0].job))
	for _, statement := range []string{
		"UPDATE invoices SET terms = '{}'", "UPDATE invoices SET parties = '{}'", "UPDATE invoices SET payable_minor = 1",
		"UPDATE invoice_lines SET terms = '{}'", "UPDATE invoice_taxes SET code = 'A'",
	} {
		if _, err := b.DB.ExecContext(t.Context(), statement); err == nil {
			t.Errorf("%s is let through", statement)
		}
	}
}

// The seller is what was known of the issuer when the document was made, unless the job states one. It is no content.
func TestSellerIsTheIssuer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.openIssuers(t, "ACME-DE")
	const line = `"issuer":"ACME-DE","lines":[{"quantity":1,"unit_price":"10"}]`
	first := b.create(t, "1", termsJob(t, "T1", line))
	_, err := b.store.Issuers.Change(t.Context(), &postgres.IssuerChange{Code: "ACME-DE", What: "name", By: "ada", To: func(current *report.Issuer) (report.Issuer, error) {
		changed := *current
		changed.Name = new("Acme SE")
		return changed, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	second := b.create(t, "2", termsJob(t, "T2", line))
	stated := b.create(t, "3", termsJob(t, "T3", `"seller":{"name":"Other"},`+line))
	nobody := b.create(t, "4", job(t, "T4"))
	for made, want := range map[*invoice.Ref]int{first: 1, second: 2, stated: 0, nobody: 0} {
		if whole, err := b.store.Invoices.Read(t.Context(), made.ID); err != nil || whole.IssuerVersion != want {
			t.Errorf("%s is of version %d, want %d: %v", made.TransactionID, whole.IssuerVersion, want, err)
		}
	}
	again, err := b.generator.Generate(t.Context(), request("again", termsJob(t, "T1", line)))
	if err != nil || again.Outcome != invoice.Duplicate {
		t.Errorf("asked for again: %+v, %v", again, err)
	}
	b.clean(t)
}

// What has several taxes can be credited line by line, also beside lines without any.
func TestSeveralTaxesAreCredited(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const two = `{"quantity":%d,"unit_price":"30","taxes":[{"code":"GST","percent":"5"},{"code":"QST","percent":"9.975"}]}`
	const none = `{"quantity":%d,"unit_price":"100"}`
	lines := func(of ...string) string { return `"lines":[` + strings.Join(of, ",") + `]` }
	for n, parts := range [][2]string{{fmt.Sprintf(two, -1), fmt.Sprintf(none, -1)}, {fmt.Sprintf(none, -1), fmt.Sprintf(two, -1)}} {
		id := fmt.Sprint("sale-", n)
		b.create(t, id, termsJob(t, id, lines(fmt.Sprintf(none, 1), fmt.Sprintf(two, 1))))
		for m, part := range parts {
			ref := fmt.Sprintf("ref-%d-%d", n, m)
			b.create(t, ref, termsJob(t, ref, `"credits_transaction_id":"`+id+`",`+lines(part)))
		}
		if _, err := b.generator.Generate(t.Context(), request("more", termsJob(t, "more", `"credits_transaction_id":"`+id+`",`+lines(fmt.Sprintf(two, -1))))); !errors.As(err, new(*invoice.InvalidError)) {
			t.Errorf("it is credited twice: %v", err)
		}
	}
	b.clean(t)
}

// Of prices with tax, parts of a sale can be credited until nothing is left.
func TestGrossPartsAreCredited(t *testing.T) {
	t.Parallel()
	b := setup(t)
	part := func(quantity string) string {
		return `"prices":"gross","lines":[{"quantity":` + quantity + `,"unit_price":"33.33","tax_percent":19},{"quantity":` + quantity + `,"unit_price":"0.05","tax_percent":7}]`
	}
	b.create(t, "sale", termsJob(t, "sale", part("3")))
	for n := range 3 {
		ref := fmt.Sprint("ref-", n)
		b.create(t, ref, termsJob(t, ref, `"credits_transaction_id":"sale",`+part("-1")))
	}
	r, err := b.store.Reports.Lookup(t.Context(), "", "sale", 10)
	if err != nil || r.Family.LeftMinor == nil || *r.Family.LeftMinor != 0 {
		t.Errorf("%+v, %v", r.Family, err)
	}
	b.clean(t)
}
