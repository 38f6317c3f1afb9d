package invoice_test

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"invoicer/invoice"
	"invoicer/invoice/invoicetest"
)

// Whatever a job of version 2 states is content, but for checks: another value gives another fingerprint, and the difference has the
// field's name.
func TestEachTermIsContent(t *testing.T) {
	t.Parallel()
	for _, l := range leaves() {
		one, other, without := invoicetest.Job("T"), invoicetest.Job("T"), invoicetest.Job("T")
		l.set(one, true, nil)
		l.set(other, false, nil)
		if strings.HasSuffix(l.path, "compound") { // true or absent
			l.at(other).SetBool(false)
		}
		switch differs := invoice.DiffFields(one, other); {
		case strings.Contains(l.options, "check"):
			if len(differs) > 0 || one.Fingerprint() != other.Fingerprint() || one.Fingerprint() != without.Fingerprint() {
				t.Errorf("%s is content: %q", l.path, differs)
			}
		case one.Fingerprint() == other.Fingerprint():
			t.Errorf("%s isn't in the fingerprint", l.path)
		case !slices.Equal(differs, []string{l.path}) && !isSpelledOtherwise(l.path, differs):
			t.Errorf("%s: %q differ", l.path, differs)
		case !strings.HasPrefix(one.Fingerprint(), "v2:") && !strings.HasPrefix(other.Fingerprint(), "v2:") && !isSpelledOtherwise(l.path, differs):
			t.Errorf("%s: %s", l.path, one.Fingerprint())
		}
	}
}

// isSpelledOtherwise reports whether a field goes by the name of another one, which says the same.
func isSpelledOtherwise(path string, differs []string) bool {
	around := path[:strings.LastIndexByte(path, '.')+1]
	switch {
	case strings.HasSuffix(path, "].taxes[0].percent"): // a single plain tax
		return slices.Equal(differs, []string{strings.TrimSuffix(around, "taxes[0].") + "tax_percent"})
	case strings.HasSuffix(path, "].taxes[0].category"), strings.HasSuffix(path, "].taxes[0].compound"):
		return len(differs) > 0
	default: // the one value is a default
		return path == "kind" || strings.HasSuffix(path, "prices")
	}
}

// What is stated is read as it is, whether it was spelled whole or in two parts.
func TestTermsAreReadAsTheyAreSpelled(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 100 {
		j := whole(t, random)
		terms, personal, err := j.Terms.Spell()
		if err != nil {
			t.Fatal(err)
		}
		read, err := invoice.ReadTerms(terms, personal)
		if err != nil {
			t.Fatal(err)
		}
		expected := *j.Terms
		expected.ExpectedTotal, expected.ExpectedPayable = nil, nil
		if diff := cmp.Diff(&expected, read, decimals()); diff != "" {
			t.Fatalf("want -, got +: %s", diff)
		}
		terms, personal, err = j.Lines[0].Terms.Spell()
		if err != nil {
			t.Fatal(err)
		}
		line, err := invoice.ReadLineTerms(terms, personal)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(j.Lines[0].Terms, line, decimals()); diff != "" {
			t.Fatalf("want -, got +: %s", diff)
		}
		if strings.Contains(terms, "plain") || strings.Contains(terms, "注文") {
			t.Errorf("a person may stand in %s", terms)
		}
	}
}

func decimals() cmp.Option {
	return cmp.Comparer(func(a, b invoice.Decimal) bool { return a == b })
}

// A job that states nothing but defaults is one of version 1.
func TestDefaultsAreAsIfAbsent(t *testing.T) {
	t.Parallel()
	const job = `{%s"transaction_id":"T","issued_at":"2010-12-01T08:26:00Z","currency":"EUR",%s"lines":[{"quantity":1,"unit_price":"10","tax_percent":19%s}]}`
	fill := func(version, ofJob, ofLine string) string {
		return strings.NewReplacer("{%s", "{"+version, ",%s", ","+ofJob, "19%s", "19"+ofLine).Replace(job)
	}
	plain := decode(t, fill("", "", ""))
	for _, tt := range [][2]string{
		{"", ""},
		{`"kind":"invoice","type_code":"380","prices":"net",`, ""},
		{`"allowances":[],"charges":null,"buyer":{},"seller":{"address":{"city":""},"contact":null},"notes":[],"rounding":0,"prepaid":"0.00",`, ""},
		{`"expected_total":"11.90","expected_payable":11.9,`, ""},
		{"", `,"prices":"net","base_quantity":1,"discount_amount":0,"charge_amount":"0.00","taxes":[],"period":{},"classifications":[],"unit":""`},
	} {
		j := decode(t, fill(`"version":2,`, tt[0], tt[1]))
		if j.Fingerprint() != plain.Fingerprint() {
			t.Errorf("%s %s: %s differ", tt[0], tt[1], invoice.DiffFields(plain, j))
		}
		if differs := invoice.DiffFields(plain, j); len(differs) > 0 {
			t.Errorf("%s %s: %s differ", tt[0], tt[1], differs)
		}
	}
	for _, tt := range [][2]string{
		{`"kind":"credit_note",`, ""}, {`"prices":"gross",`, ""}, {`"rounding":"0.01",`, ""}, {"", `,"base_quantity":2`}, {"", `,"unit":"C62"`}, {`"notes":[{"text":"a"}],`, ""},
	} {
		if j := decode(t, fill(`"version":2,`, tt[0], tt[1])); !strings.HasPrefix(j.Fingerprint(), "v2:") {
			t.Errorf("%s %s: %s", tt[0], tt[1], j.Fingerprint())
		}
	}
	// What says the same in other words.
	same := decode(t, strings.ReplaceAll(fill(`"version":2,`, "", ""), `"tax_percent":19`, `"taxes":[{"percent":"19"}]`))
	if same.Fingerprint() != plain.Fingerprint() {
		t.Error("one plain tax isn't a tax_percent")
	}
	exempt := decode(t, strings.ReplaceAll(fill(`"version":2,`, "", ""), `"tax_percent":19`, `"tax_category":"E"`))
	stated := decode(t, strings.ReplaceAll(fill(`"version":2,`, "", ""), `"tax_percent":19`, `"tax_category":"E","tax_percent":0`))
	if exempt.Fingerprint() != stated.Fingerprint() {
		t.Error("an exemption has another rate than 0")
	}
}

func decode(t *testing.T, payload string) *invoice.Job {
	t.Helper()
	j, err := invoice.Decode([]byte(payload))
	if err != nil {
		t.Fatalf("%s: %v", payload, err)
	}
	return j
}

// Every bad field is named by its path, with what to do.
func TestBadTerms(t *testing.T) {
	t.Parallel()
	for _, bad := range invoicetest.BadTerms() {
		if _, err := invoice.Decode(bad.Payload); err == nil || !strings.Contains(err.Error(), bad.Want) {
			t.Errorf("%s: %v, want %q", bad.Payload, err, bad.Want)
		}
	}
}

// A creditor identifier has the check digits of its country's part alone, whatever the business code is.
func TestCreditorIdentifiers(t *testing.T) {
	t.Parallel()
	decode := func(id string) error {
		_, err := invoice.Decode([]byte(`{"version":2,"transaction_id":"T","issued_at":"2010-12-01T08:26:00Z","currency":"EUR","payment":{"creditor_id":"` + id + `"},"lines":[{"quantity":1,"unit_price":1}]}`))
		return err
	}
	for _, id := range []string{
		"DE98ZZZ09999999999", "DE9812309999999999", "AT61ZZZ01234567890", "BE120010456810810", "NL79ZZZ999999990000", "FR72ZZZ123456", "ES50ZZZM23456789", "HU74111A12345676",
		"IT66ZZZA1B2C3D4E5F6G7H8", "DE71A-112.34/X", "GB30ZZZ" + strings.Repeat("A", 28), "GB23ZZZ7", "",
	} {
		if err := decode(id); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	for _, id := range []string{
		"DE98ZZZ09999999998", "DE89ZZZ09999999999", "AT98ZZZ09999999999", "DE99ZZZ09999999999", "DE01ZZZ09999999999", "D98ZZZ09999999999", "DE98ZZZ", "GB30ZZZ" + strings.Repeat("A", 29),
		"DE98ZZZ0999999999\u0663", "DE89370400440532013000", " ", "DE98ZZZ09999999999 ",
	} {
		var invalid *invoice.InvalidError
		if err := decode(id); !errors.As(err, &invalid) || len(invalid.Problems) != 1 || invalid.Problems[0].Field != "payment.creditor_id" {
			t.Errorf("%s: %v", id, err)
		}
	}
}

// A job of version 2 is sent as it is.
func TestEncodeTerms(t *testing.T) {
	t.Parallel()
	percent := invoice.MustDecimal("19")
	expected := invoice.MustDecimal("109.50")
	j := invoicetest.Job("T", func(j *invoice.Job) {
		j.Version, j.Currency = 0, "EUR"
		j.Lines = []invoice.Line{{Quantity: invoice.MustDecimal("1"), UnitPrice: invoice.MustDecimal("119"), TaxPercent: &percent, Terms: &invoice.LineTerms{Unit: "C62"}}}
		j.Terms = &invoice.Terms{
			Prices: invoice.PricesGross, ExpectedTotal: &expected, Buyer: &invoice.Party{Name: "Zoë", Address: &invoice.Address{CountryCode: "DE"}},
			Allowances: []invoice.Adjustment{{Reason: "loyalty", Amount: invoice.MustDecimal("9.50")}},
		}
	})
	payload, err := j.Encode()
	if err != nil {
		t.Fatal(err)
	}
	read := decode(t, string(payload))
	if read.Version != 2 || read.Fingerprint() != j.Fingerprint() || read.Terms.ExpectedTotal == nil {
		t.Errorf("%s: %+v", payload, read)
	}
	j.Version = 1
	if fields := problemFields(t, func() error { _, err := j.Encode(); return err }()); !slices.Contains(fields, "lines[0].unit") || !slices.Contains(fields, "buyer") {
		t.Errorf("version 1 takes it: %q", fields)
	}
	if !reflect.DeepEqual(j.Terms.Prices, invoice.PricesGross) {
		t.Error("Encode changes the job")
	}
}

// What is shown of a field has no person in it.
func TestShow(t *testing.T) {
	t.Parallel()
	j := whole(t, nil)
	for _, l := range leaves() {
		value, ok := j.Show(l.path)
		personal := strings.Contains(value, "plain") || strings.Contains(l.options, "personal")
		if personal && ok || ok && value == "" {
			t.Errorf("%s is shown as %q", l.path, value)
		}
		if strings.Contains(l.options, "like=") && !strings.Contains(l.options, "personal") && !ok {
			t.Errorf("%s isn't shown", l.path)
		}
	}
	for path, want := range map[string]string{"allowances": "1 allowances", "lines[0].taxes[0].percent": "1", "due_date": "2010-02-02", "lines[1].unit": ""} {
		if got, ok := j.Show(path); !ok || got != want {
			t.Errorf("%s: %q %t, want %q", path, got, ok, want)
		}
	}
	for _, path := range []string{"", "buyer", "buyer.name", "allowances[1].amount", "allowances[x].amount", "lines[9].unit", "due_date.x", "other", "lines[0].sku"} {
		if got, ok := j.Show(path); ok {
			t.Errorf("%s: %q", path, got)
		}
	}
}

// Each version has its own bound of lines, also where the version comes last.
func TestLinesAreBoundedByVersion(t *testing.T) {
	t.Parallel()
	const line = `{"quantity":1,"unit_price":1}`
	for _, tt := range []struct {
		version string
		lines   int
		taken   bool
	}{{"1", 5000, true}, {"1", 5001, false}, {"2", 5001, true}, {"2", 20_000, true}, {"2", 20_001, false}} {
		lines := `"lines":[` + strings.Repeat(line+",", tt.lines-1) + line + `]`
		for _, payload := range []string{
			`{"version":` + tt.version + `,` + lines + `,"transaction_id":"T","issued_at":"2010-12-01T08:26:00Z","currency":"EUR"}`,
			`{` + lines + `,"transaction_id":"T","issued_at":"2010-12-01T08:26:00Z","currency":"EUR","version":` + tt.version + `}`,
		} {
			job, err := invoice.Decode([]byte(payload))
			if (err == nil) != tt.taken {
				t.Errorf("version %s, %d lines: %v", tt.version, tt.lines, err)
			}
			if totals, err := job.Calculate(); tt.taken && (err != nil || totals.Total != int64(100*tt.lines)) {
				t.Errorf("version %s, %d lines come to %+v, %v", tt.version, tt.lines, totals.Total, err)
			}
		}
	}
}
