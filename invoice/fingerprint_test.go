package invoice_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"invoicer/invoice"
	"invoicer/invoice/invoicetest"
)

// The values were computed outside of this repository, from the documented form alone. They are in databases: when one
// changes, that is a v2.
func TestFingerprintGolden(t *testing.T) {
	t.Parallel()
	full, err := invoice.Decode([]byte(fullJob))
	if err != nil {
		t.Fatal(err)
	}
	sparse := &invoice.Job{
		TransactionID: "T", IssuedAt: time.Date(2010, 12, 1, 8, 26, 0, 0, time.UTC), Currency: "JPY",
		Lines: []invoice.Line{line(t, "-0.001", "1000000", "", "")},
	}
	for _, tt := range []struct {
		name string
		job  *invoice.Job
		want string
	}{
		{"plain", invoicetest.Job("536365"), "v1:ef847ac4d7f0c638240fcb4efb2c69305203762f8f89bfd74d67264b3649a7b7"},
		{"full", full, "v1:b5ce0302221508de81262ada65a1f747d8736025093a277e6a31344b96084d6b"},
		{"sparse", sparse, "v1:08ff645072f3f17b16591b93928037c7d2be8050f6c83656936ceedb4ee8c64c"},
	} {
		if got := tt.job.Fingerprint(); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// changes are all ways to change one content field, each with the name that is reported. Each changes any job.
func changes() map[string]func(j *invoice.Job) {
	return map[string]func(j *invoice.Job){
		"transaction_id":            func(j *invoice.Job) { j.TransactionID += "x" },
		"series":                    func(j *invoice.Job) { j.Series += "X" },
		"credits_transaction_id":    func(j *invoice.Job) { j.CreditsTransactionID += "x" },
		"customer_id":               func(j *invoice.Job) { j.CustomerID += " " },
		"customer_name":             func(j *invoice.Job) { j.CustomerName += "x" },
		"country":                   func(j *invoice.Job) { j.Country += "x" },
		"issued_at":                 func(j *invoice.Job) { j.IssuedAt = j.IssuedAt.Add(-time.Microsecond) },
		"currency":                  func(j *invoice.Job) { j.Currency = map[bool]string{true: "EUR", false: "GBP"}[j.Currency == "GBP"] },
		"lines":                     func(j *invoice.Job) { j.Lines = append(j.Lines, invoice.Line{}) },
		"lines[0].sku":              func(j *invoice.Job) { j.Lines[0].SKU += "x" },
		"lines[0].description":      func(j *invoice.Job) { j.Lines[0].Description += "x" },
		"lines[0].quantity":         func(j *invoice.Job) { j.Lines[0].Quantity = plus(j.Lines[0].Quantity, 1) },
		"lines[0].unit_price":       func(j *invoice.Job) { j.Lines[0].UnitPrice = plus(j.Lines[0].UnitPrice, -1) },
		"lines[0].discount_percent": func(j *invoice.Job) { j.Lines[0].DiscountPercent = plus(j.Lines[0].DiscountPercent, 1) },
		"lines[0].tax_percent": func(j *invoice.Job) {
			if zero := millionths(0); j.Lines[0].TaxPercent == nil {
				j.Lines[0].TaxPercent = &zero // 0 is stated, nil isn't
			} else {
				j.Lines[0].TaxPercent = nil
			}
		},
	}
}

func clone(j *invoice.Job) *invoice.Job {
	c := *j
	c.Lines = slices.Clone(j.Lines)
	return &c
}

// Every change of content changes the fingerprint and is named; changes of anything else aren't.
func TestFingerprintSeesEveryChange(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		job := drawJob(t)
		want := job.Fingerprint()
		for field, change := range changes() {
			changed := clone(job)
			change(changed)
			if changed.Fingerprint() == want {
				t.Fatalf("%s changes, the fingerprint doesn't", field)
			}
			if diff := cmp.Diff([]string{field}, invoice.DiffFields(job, changed)); diff != "" {
				t.Fatalf("%s changes: want -, got +: %s", field, diff)
			}
		}
		same := clone(job)
		same.Version, same.IdempotencyKey, same.Producer, same.Metadata = 7, "other", "other", map[string]string{"a": "b"}
		same.IssuedAt = same.IssuedAt.In(time.FixedZone("", -3600))
		if same.Fingerprint() != want || len(invoice.DiffFields(job, same)) != 0 {
			t.Fatal("the fingerprint depends on more than the content")
		}
	})
}

// Text doesn't wander from one field into the next, and nothing absent is mistaken for something that is there: of all
// these jobs, no two have the same fingerprint, and no two have no difference.
func TestDiffFieldsAgreesWithFingerprint(t *testing.T) {
	t.Parallel()
	texts := []string{"", "-", ",", "-,", "1:a,", "a"}
	zero, one := millionths(0), millionths(1_000_000)
	var jobs []*invoice.Job
	for _, a := range texts {
		for _, b := range texts {
			jobs = append(jobs, &invoice.Job{Details: invoice.Details{CustomerName: a, Country: b}, Lines: []invoice.Line{{SKU: "x"}}})
			for _, discount := range []invoice.Decimal{zero, one} {
				for _, tax := range []*invoice.Decimal{nil, &zero, &one} {
					line := invoice.Line{SKU: a, Description: b, DiscountPercent: discount, TaxPercent: tax}
					jobs = append(jobs, &invoice.Job{Lines: []invoice.Line{line}}, &invoice.Job{Lines: []invoice.Line{line, {}}})
				}
			}
		}
	}
	fingerprints := make([]string, len(jobs))
	for i, job := range jobs {
		fingerprints[i] = job.Fingerprint()
	}
	for i, a := range jobs {
		for j, b := range jobs[:i+1] {
			names := invoice.DiffFields(a, b)
			if same := i == j; (fingerprints[i] == fingerprints[j]) != same || (len(names) == 0) != same {
				t.Fatalf("%+v\n%+v: fingerprints are equal: %v; fields that differ: %q", a, b, fingerprints[i] == fingerprints[j], names)
			}
		}
	}

	// The same rate in another place of the memory is the same rate.
	a, b := invoicetest.Job("T"), invoicetest.Job("T")
	if names := invoice.DiffFields(a, b); a.Lines[0].TaxPercent == b.Lines[0].TaxPercent || len(names) > 0 {
		t.Errorf("equal jobs differ in %q", names)
	}
}

func TestDiffFieldsIsShort(t *testing.T) {
	t.Parallel()
	a := invoicetest.Job("T", func(j *invoice.Job) { j.Lines = slices.Repeat(j.Lines[:1], 3000) })
	b := clone(a)
	b.Country = "France"
	for i := range b.Lines {
		b.Lines[i].Quantity = plus(b.Lines[i].Quantity, 1)
	}
	got := invoice.DiffFields(a, b)
	if len(got) != 21 || got[0] != "country" || got[1] != "lines[0].quantity" || got[20] != "… and 2,981 more" {
		t.Errorf("DiffFields = %q", got)
	}
}

// However a job is spelled, it is the same job.
func TestFingerprintIgnoresSpelling(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		job := drawJob(t)
		if _, err := job.Calculate(); err != nil {
			t.Skip("amounts past int64")
		}
		payload := spell(t, job)
		got, err := invoice.Decode([]byte(payload))
		if err != nil {
			t.Fatalf("Decode(%s): %v", payload, err)
		}
		if got.Fingerprint() != job.Fingerprint() {
			t.Fatalf("%s differs in %q", payload, invoice.DiffFields(job, got))
		}
		if diff := cmp.Diff(job, got); diff != "" {
			t.Fatalf("%s: want -, got +: %s", payload, diff)
		}
	})
}

// spell writes a job as somebody else's program may write it.
func spell(t *rapid.T, j *invoice.Job) string {
	zone := time.FixedZone("", 60*rapid.IntRange(-23*60, 23*60).Draw(t, "zone"))
	at := j.IssuedAt.In(zone)
	if year := at.Year(); year < 0 || year > 9999 {
		at = j.IssuedAt
	}
	members := []string{
		`"transaction_id":` + spellText(t, j.TransactionID), `"idempotency_key":` + spellText(t, j.IdempotencyKey),
		`"issued_at":"` + at.Format("2006-01-02T15:04:05.000000000Z07:00") + `"`, `"currency":` + spellText(t, j.Currency),
	}
	optional := func(members []string, name, value string) []string {
		if value == "" {
			if rapid.Bool().Draw(t, name+" is null") {
				return append(members, `"`+name+`" : null`)
			}
			return members
		}
		return append(members, `"`+name+`":`+spellText(t, value))
	}
	members = optional(members, "producer", j.Producer)
	members = optional(members, "series", j.Series)
	members = optional(members, "credits_transaction_id", j.CreditsTransactionID)
	members = optional(members, "customer_id", j.CustomerID)
	members = optional(members, "customer_name", j.CustomerName)
	members = optional(members, "country", j.Country)
	if len(j.Metadata) > 0 {
		metadata, _ := json.Marshal(j.Metadata)
		members = append(members, `"metadata":`+string(metadata))
	}
	lines := make([]string, len(j.Lines))
	for i, l := range j.Lines {
		line := []string{`"quantity":` + spellNumber(t, l.Quantity), `"unit_price":` + spellNumber(t, l.UnitPrice)}
		line = optional(line, "sku", l.SKU)
		line = optional(line, "description", l.Description)
		if !l.DiscountPercent.IsZero() || rapid.Bool().Draw(t, "discount") {
			line = append(line, `"discount_percent":`+spellNumber(t, l.DiscountPercent))
		}
		if l.TaxPercent != nil {
			line = append(line, `"tax_percent":`+spellNumber(t, *l.TaxPercent))
		}
		lines[i] = "{" + strings.Join(rapid.Permutation(line).Draw(t, "order"), ",") + "}"
	}
	members = append(members, `"lines":[`+strings.Join(lines, " ,\n")+`]`)
	return "{" + strings.Join(rapid.Permutation(members).Draw(t, "order"), ",") + "}"
}

func spellText(t *rapid.T, s string) string {
	if rapid.Bool().Draw(t, "marshalled") {
		b, _ := json.Marshal(s)
		return string(b)
	}
	var b strings.Builder
	for _, r := range s {
		if r >= 0x10000 {
			fmt.Fprintf(&b, `\u%04X\u%04x`, 0xd800+(r-0x10000)>>10, 0xdc00+(r-0x10000)&0x3ff)
		} else {
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return `"` + b.String() + `"`
}

func spellNumber(t *rapid.T, d invoice.Decimal) string {
	s := d.String()
	switch rapid.IntRange(0, 3).Draw(t, "spelling") {
	case 1:
		if !strings.Contains(s, ".") {
			s += "."
		}
		s += "000"
	case 2:
		m, _ := d.Millionths()
		s = fmt.Sprintf("%de-6", m)
	case 3:
		s += map[bool]string{true: "e00", false: "E+0"}[strings.Contains(s, ".")]
	}
	if rapid.Bool().Draw(t, "as a string") {
		return `"` + s + `"`
	}
	return s
}

func BenchmarkFingerprint(b *testing.B) {
	job := invoicetest.Job("536365", func(j *invoice.Job) {
		for len(j.Lines) < 20 { // the mean of the real transactions
			j.Lines = append(j.Lines, j.Lines...)
		}
		j.Lines = j.Lines[:20]
	})
	b.ReportAllocs()
	for b.Loop() {
		_ = job.Fingerprint()
	}
}
