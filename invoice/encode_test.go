package invoice_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"invoicer/invoice"
	"invoicer/invoice/invoicetest"
)

func TestEncode(t *testing.T) {
	t.Parallel()
	job, err := invoice.Decode([]byte(fullJob))
	if err != nil {
		t.Fatal(err)
	}
	got, err := job.Encode()
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"version":1,"transaction_id":"536365","idempotency_key":"k/1","producer":"checkout","series":"INV-UK",` +
		`"credits_transaction_id":"C1","customer_id":"17850","customer_name":"Zoë 😀 \"O'Hara\"","country":"United Kingdom",` +
		`"issued_at":"2010-12-01T08:26:00.123456Z","currency":"GBP","lines":[` +
		`{"quantity":"6","unit_price":"2.55","sku":"85123A","description":"£5 & more","discount_percent":"5","tax_percent":"20"},` +
		`{"quantity":"-1","unit_price":"1","tax_percent":"0"}],"metadata":{"":"\n","order":"A-17"}}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error("want -, got +:", diff)
	}
}

// A service may leave out what has a default, and may use any time zone.
func TestEncodeFillsIn(t *testing.T) {
	t.Parallel()
	job := invoicetest.Job("T", func(j *invoice.Job) {
		j.Version = 0
		j.IdempotencyKey = ""
		j.IssuedAt = j.IssuedAt.In(time.FixedZone("", 3600))
	})
	payload, err := job.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := invoice.Decode(payload)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(invoicetest.Job("T"), got); diff != "" {
		t.Error("want -, got +:", diff)
	}
	if job.Version != 0 || job.IdempotencyKey != "" {
		t.Error("Encode changes the job")
	}
}

func TestEncodeRefuses(t *testing.T) {
	t.Parallel()
	tooMuch := millionths(percentMax + 1)
	for _, tt := range []struct {
		name   string
		edit   func(*invoice.Job)
		fields []string
	}{
		{"the zero value", func(j *invoice.Job) { *j = invoice.Job{} }, []string{"transaction_id", "issued_at", "currency", "lines"}},
		{"a newer version", func(j *invoice.Job) { j.Version = 3 }, []string{"version"}},
		{"bad codes", func(j *invoice.Job) {
			j.TransactionID, j.IdempotencyKey, j.Producer, j.CreditsTransactionID, j.Series = "a\tb", " ä", strings.Repeat("p", 65), "c\u00a0d", "inv"
		}, []string{"transaction_id", "idempotency_key", "producer", "credits_transaction_id", "series"}},
		{"numbers that are too fine", func(j *invoice.Job) {
			fine := invoice.NewDecimal(20_000_000_000_001, 12)
			j.Lines[0] = invoice.Line{Quantity: fine, UnitPrice: fine, DiscountPercent: fine, TaxPercent: &fine}
		}, []string{"lines[0].quantity", "lines[0].unit_price", "lines[0].discount_percent", "lines[0].tax_percent"}},
		{"bad texts", func(j *invoice.Job) {
			j.CustomerID, j.CustomerName, j.Country = "\xff", "a\x00", "\xed\xa0\x80"
			j.Lines[1].SKU, j.Lines[1].Description = "\x00", "\xc3("
			j.Metadata = map[string]string{"a": "\x00", "b\xff": "", "c": "fine"}
		}, []string{"customer_id", "customer_name", "country", "lines[1].sku", "lines[1].description", "metadata.a", `metadata."b\xff"`}},
		{"too fine a time", func(j *invoice.Job) { j.IssuedAt = j.IssuedAt.Add(time.Nanosecond) }, []string{"issued_at"}},
		{"the year 10000", func(j *invoice.Job) { j.IssuedAt = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }, []string{"issued_at"}},
		{"the year 10000 in UTC", func(j *invoice.Job) {
			j.IssuedAt = time.Date(9999, 12, 31, 23, 0, 0, 0, time.FixedZone("", -2*3600))
		}, []string{"issued_at"}},
		{"the year 0", func(j *invoice.Job) { j.IssuedAt = time.Date(0, 12, 31, 0, 0, 0, 0, time.UTC) }, []string{"issued_at"}},
		{"an unknown currency", func(j *invoice.Job) { j.Currency = "gbp" }, []string{"currency"}},
		{"5,001 lines", func(j *invoice.Job) { j.Lines = slices.Repeat(j.Lines[:1], 5001) }, []string{"lines"}},
		{"bad numbers", func(j *invoice.Job) {
			j.Lines[0] = invoice.Line{Quantity: millionths(decimalMax + 1), UnitPrice: millionths(-decimalMax - 1), DiscountPercent: millionths(-1), TaxPercent: &tooMuch}
		}, []string{"lines[0].quantity", "lines[0].unit_price", "lines[0].discount_percent", "lines[0].tax_percent"}},
		{"an amount past int64", func(j *invoice.Job) {
			j.Lines[1].Quantity, j.Lines[1].UnitPrice = millionths(decimalMax), millionths(decimalMax)
		}, []string{"lines[1]"}},
		{"more than 1 MiB", func(j *invoice.Job) { j.CustomerName = strings.Repeat("a", 1<<20) }, []string{"payload"}},
	} {
		payload, err := invoicetest.Job("T", tt.edit).Encode()
		if payload != nil {
			t.Errorf("%s: a payload beside the error", tt.name)
		}
		got, want := problemFields(t, err), slices.Sorted(slices.Values(tt.fields))
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", tt.name, got, want)
		}
		if err != nil {
			checkErrorText(t, err)
		}
	}
}

// Encode and Decode hold jobs to the same rules: what one refuses, no spelling gets past the other.
func TestEncodeAtTheLimits(t *testing.T) {
	t.Parallel()
	checkRoundTrip(t, invoicetest.Job(strings.Repeat("a", 128), func(j *invoice.Job) {
		j.IdempotencyKey = strings.Repeat("b", 255)
		j.Producer = strings.Repeat("c", 64)
		j.Series = strings.Repeat("D", 32)
		j.CreditsTransactionID = strings.Repeat("e", 128)
		j.IssuedAt = time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC)
		j.Lines = slices.Repeat(j.Lines[1:], 5000)
	}))
}
