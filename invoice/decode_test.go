package invoice_test

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"invoicer/invoice"
	"invoicer/invoice/identifier"
	"invoicer/invoice/invoicetest"
)

const fullJob = `{"version":1,
 "transaction_id":"536365", "idempotency_key":"k/1", "producer":"checkout", "series":"INV-UK",
 "credits_transaction_id":"C1", "customer_id":"17850", "customer_name":"Zoë \ud83d\ude00 \u0022O'Hara\u0022", "country":"United Kingdom",
 "issued_at":"2010-12-01T09:26:00.123456+01:00", "currency":"GBP",
 "lines":[{"sku":"85123A","description":"£5 & more","quantity":6,"unit_price":"2.55","discount_percent":"5","tax_percent":"20"},
          {"quantity":"-1","unit_price":0.1e1,"tax_percent":0}],
 "metadata":{"order":"A-17","":"\n"}}`

func TestDecode(t *testing.T) {
	t.Parallel()
	got, err := invoice.Decode([]byte(fullJob))
	if err != nil {
		t.Fatal(err)
	}
	twenty, zero := invoice.NewDecimal(20, 0), invoice.Decimal{}
	want := &invoice.Job{
		Version: 1, TransactionID: "536365", IdempotencyKey: "k/1", Producer: "checkout", Series: "INV-UK",
		Details:  invoice.Details{CreditsTransactionID: "C1", CustomerID: "17850", CustomerName: `Zoë 😀 "O'Hara"`, Country: "United Kingdom"},
		IssuedAt: time.Date(2010, 12, 1, 8, 26, 0, 123456000, time.UTC), Currency: "GBP",
		Lines: []invoice.Line{
			{SKU: "85123A", Description: "£5 & more", Quantity: millionths(6e6), UnitPrice: millionths(2.55e6), DiscountPercent: millionths(5e6), TaxPercent: &twenty},
			{Quantity: millionths(-1e6), UnitPrice: millionths(1e6), TaxPercent: &zero},
		},
		Metadata: map[string]string{"order": "A-17", "": "\n"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("want -, got +:", diff)
	}
	if got.IssuedAt.Location() != time.UTC {
		t.Errorf("issued_at is in %v", got.IssuedAt.Location())
	}
}

// What the smallest job leaves out, null and "" leave out too.
func TestDecodeAbsent(t *testing.T) {
	t.Parallel()
	const required = `"transaction_id":"536365","issued_at":"2010-12-01T08:26:00Z","currency":"GBP"`
	want := &invoice.Job{
		Version: 1, TransactionID: "536365", IdempotencyKey: "536365",
		IssuedAt: time.Date(2010, 12, 1, 8, 26, 0, 0, time.UTC), Currency: "GBP",
		Lines: []invoice.Line{{Quantity: millionths(1e6), UnitPrice: millionths(2e6)}},
	}
	for _, payload := range []string{
		`{` + required + `,"lines":[{"quantity":1,"unit_price":2}]}`,
		`{` + required + `,"lines":[{"quantity":1,"unit_price":2,"sku":null,"description":null,"discount_percent":null,"tax_percent":null}],
		  "version":null,"idempotency_key":null,"producer":null,"series":null,"credits_transaction_id":null,"customer_id":null,
		  "customer_name":null,"country":null,"metadata":null}`,
		`{` + required + `,"lines":[{"quantity":1,"unit_price":2,"sku":"","description":"","discount_percent":0}],
		  "customer_id":"","customer_name":"","country":"","metadata":{}}`,
	} {
		got, err := invoice.Decode([]byte(payload))
		if err != nil {
			t.Error(err)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: want -, got +: %s", payload, diff)
		}
	}
}

// The limits themselves are allowed.
func TestDecodeAtTheLimits(t *testing.T) {
	t.Parallel()
	edge := func(edits ...string) []byte {
		payload := `{"transaction_id":"T","issued_at":"2010-12-01T08:26:00Z","currency":"GBP","lines":[{"quantity":1,"unit_price":2}]}`
		for i := 0; i < len(edits); i += 2 {
			payload = strings.Replace(payload, edits[i], edits[i+1], 1)
		}
		return []byte(payload)
	}
	const l = `{"quantity":1,"unit_price":2}`
	for name, payload := range map[string][]byte{
		"transaction_id of 128":    edge(`"T"`, `"`+strings.Repeat("a", 128)+`"`),
		"all characters":           edge(`"T"`, `"AZaz09._:/@+=-"`),
		"idempotency_key of 255":   edge(`{"tr`, `{"idempotency_key":"`+strings.Repeat("a", 255)+`","tr`),
		"producer of 64":           edge(`{"tr`, `{"producer":"`+strings.Repeat("a", 64)+`","tr`),
		"series of 32":             edge(`{"tr`, `{"series":"`+strings.Repeat("A", 32)+`","tr`),
		"5,000 lines":              edge(l, strings.Repeat(l+",", 4999)+l),
		"1 MiB":                    append(edge(), strings.Repeat(" ", 1<<20-len(edge()))...),
		"version spelled 1.0":      edge(`{"tr`, `{"version":1.0,"tr`),
		"version spelled 1e0":      edge(`{"tr`, `{"version":1e0,"tr`),
		"an escaped name":          edge(`"transaction_id"`, `"\u0074ransaction\u005fid"`),
		"largest quantity":         edge(`"quantity":1`, `"quantity":999999999999.999999`),
		"smallest price":           edge(`"unit_price":2`, `"unit_price":"-999999999999.999999"`),
		"huge exponent of nothing": edge(`"unit_price":2`, `"unit_price":0e-99999999999999999999`),
		"percentages":              edge(`"quantity":1`, `"quantity":1,"discount_percent":"100.0000000","tax_percent":1e2`),
		"first microsecond":        edge("2010-12-01T08:26:00Z", "0001-01-01T00:00:00.000001Z"),
		"last microsecond":         edge("2010-12-01T08:26:00Z", "9999-12-31T23:59:59.999999000000Z"),
		"year 0 that is year 1":    edge("2010-12-01T08:26:00Z", "0000-12-31T23:30:00-01:00"),
		"year 10000 that is 9999":  edge("2010-12-01T08:26:00Z", "9999-12-31T23:59:59-00:00"),
		"small letters in a time":  edge("2010-12-01T08:26:00Z", "2010-12-01t08:26:00.5z"),
		"leap day":                 edge("2010-12-01T08:26:00Z", "2012-02-29T23:59:59+23:59"),
	} {
		if _, err := invoice.Decode(payload); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDecodeBad(t *testing.T) {
	t.Parallel()
	for _, bad := range invoicetest.Bad() {
		t.Run(bad.Name, func(t *testing.T) {
			t.Parallel()
			job, err := invoice.Decode(bad.Payload)
			got := problemFields(t, err)
			if got == nil {
				t.Fatalf("no error for %.300q", bad.Payload)
			}
			want := slices.Sorted(slices.Values(bad.Fields))
			slices.Sort(got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%v: fields want -, got +: %s", err, diff)
			}
			for _, field := range bad.Fields {
				if !strings.Contains(err.Error(), field) {
					t.Errorf("%q doesn't name %s", err, field)
				}
			}
			checkErrorText(t, err)
			checkIdentity(t, job)
		})
	}
}

// checkErrorText: an error can be logged and stored as it is.
func checkErrorText(t *testing.T, err error) {
	t.Helper()
	text := err.Error()
	if !utf8.ValidString(text) || strings.ContainsAny(text, "\x00\n\r") {
		t.Errorf("error %q is not one line of text", text)
	}
	if len(text) > 8000 {
		t.Errorf("error has %d bytes: %.200s…", len(text), text)
	}
}

// checkIdentity: what comes with an error is what the failure can be recorded under, and nothing else.
func checkIdentity(t *testing.T, job *invoice.Job) {
	t.Helper()
	if job == nil {
		t.Fatal("no job beside the error")
	}
	identity := &invoice.Job{
		TransactionID: job.TransactionID, IdempotencyKey: job.IdempotencyKey, Producer: job.Producer, Series: job.Series,
	}
	if diff := cmp.Diff(identity, job); diff != "" {
		t.Error("more than an identity:", diff)
	}
	for _, s := range []string{job.TransactionID, job.IdempotencyKey, job.Producer, job.Series} {
		if s != "" && identifier.Problem(s, 255) != "" {
			t.Errorf("identity %q is not valid", s)
		}
	}
}

func TestDecodeIdentityOfInvalid(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, payload string
		want          invoice.Job
	}{
		{
			"all there", `{"transaction_id":"T","idempotency_key":"K","producer":"P","series":"S","currency":"X"}`,
			invoice.Job{TransactionID: "T", IdempotencyKey: "K", Producer: "P", Series: "S"},
		},
		{"key by default", `{"transaction_id":"T"}`, invoice.Job{TransactionID: "T", IdempotencyKey: "T"}},
		{"bad key", `{"transaction_id":"T","idempotency_key":""}`, invoice.Job{TransactionID: "T"}},
		{"bad transaction_id", `{"transaction_id":"a\tb","idempotency_key":"K","producer":"P"}`, invoice.Job{IdempotencyKey: "K", Producer: "P"}},
		{"wrong types", `{"transaction_id":"T","idempotency_key":1.5,"producer":{},"series":["S"]}`, invoice.Job{TransactionID: "T"}},
		{"ambiguous", `{"transaction_id":"T","idempotency_key":"K","transaction_id":"U"}`, invoice.Job{IdempotencyKey: "K"}},
		{"trailing data", `{"transaction_id":"T"} x`, invoice.Job{TransactionID: "T", IdempotencyKey: "T"}},
		{"cut", `{"transaction_id":"T","producer":"P","lines":[{"quant`, invoice.Job{TransactionID: "T", Producer: "P"}},
		{"bad and cut", `{"transaction_id":" b","idempotency_key":"K","producer":"\u0000","series":"s","lines":[`, invoice.Job{IdempotencyKey: "K"}},
		{
			"too long", `{"transaction_id":"T","idempotency_key":"K","country":"` + strings.Repeat("a", 1<<20) + `"}`,
			invoice.Job{TransactionID: "T", IdempotencyKey: "K"},
		},
		{"no object", `["T"]`, invoice.Job{}},
		{"nothing", ``, invoice.Job{}},
	} {
		got, err := invoice.Decode([]byte(tt.payload))
		if problemFields(t, err) == nil {
			t.Errorf("%s: no error", tt.name)
		}
		if diff := cmp.Diff(&tt.want, got); diff != "" {
			t.Errorf("%s: want -, got +: %s", tt.name, diff)
		}
	}
}

// A newer version's fields can't be judged here, so nothing but the version is.
func TestDecodeNewerVersion(t *testing.T) {
	t.Parallel()
	for _, payload := range []string{
		`{"version":3,"transaction_id":"T"}`,
		`{"transaction_id":"T","lines":{"a":[1,{"b":"\u0000"}]},"new":{"x":1,"x":2},"version":3}`,
		`{"transaction_id":"T","currency":"\ud800","currency":1,"version":3e0}` + " \n",
	} {
		job, err := invoice.Decode([]byte(payload))
		var newer *invoice.VersionError
		if !errors.As(err, &newer) || newer.Version != 3 {
			t.Errorf("Decode(%s): %v", payload, err)
			continue
		}
		if !strings.Contains(err.Error(), "newer worker") {
			t.Errorf("%q doesn't say that a newer worker is needed", err)
		}
		if diff := cmp.Diff(&invoice.Job{TransactionID: "T", IdempotencyKey: "T"}, job); diff != "" {
			t.Error("want -, got +:", diff)
		}
	}
	for _, payload := range []string{`{"version":3`, `{"version":3}}`, `[{"version":3}]`, `{"version":3,"version":3}`} {
		if _, err := invoice.Decode([]byte(payload)); problemFields(t, err) == nil {
			t.Errorf("Decode(%s): %v", payload, err)
		}
	}
}

// However much is wrong, the error stays short, and its value still knows everything.
func TestInvalidErrorIsShort(t *testing.T) {
	t.Parallel()
	payload := `{"transaction_id":"T","issued_at":"2010-12-01T08:26:00Z","currency":"GBP","lines":[` +
		strings.Repeat(`{"quantity":1,"unit_price":""},`, 4999) + `{"quantity":1,"unit_price":""}]}`
	_, err := invoice.Decode([]byte(payload))
	if n := len(problemFields(t, err)); n != 5000 {
		t.Errorf("%d problems", n)
	}
	if !strings.Contains(err.Error(), "; and 4,980 more; ") {
		t.Errorf("error is %q", err)
	}
	checkErrorText(t, err)
}

// Names, descriptions and metadata stay out of errors, and so does whatever stands in the wrong field.
func TestErrorsHoldNoPersonalData(t *testing.T) {
	t.Parallel()
	const secret = "Ada Lovelace"
	fields := []string{
		"version", "transaction_id", "idempotency_key", "producer", "series", "credits_transaction_id",
		"customer_id", "customer_name", "country", "issued_at", "currency", "lines", "metadata", "other",
	}
	lineFields := []string{"sku", "description", "quantity", "unit_price", "discount_percent", "tax_percent", "other"}
	values := []string{
		`"` + secret + `"`, `"` + secret + `\u0000"`, `"` + secret + `\ud800"`, `["` + secret + `"]`,
		`{"name":"` + secret + `"}`, `"` + secret + `\x"`, `"` + secret, secret, `{"name":"` + secret + `\ud800"}`,
	}
	var payloads []string
	for _, v := range values {
		for _, f := range fields {
			payloads = append(payloads, fmt.Sprintf(`{"%s":%s}`, f, v))
		}
		for _, f := range lineFields {
			payloads = append(payloads, fmt.Sprintf(`{"lines":[{"%s":%s}]}`, f, v))
		}
	}
	for _, payload := range append(payloads, secret, `"`+secret+`"`, `{} `+secret, `{"customer_name":"`+secret+`",]`) {
		_, err := invoice.Decode([]byte(payload))
		if err == nil {
			t.Fatalf("Decode(%s) succeeds", payload)
		}
		for _, part := range strings.Fields(secret) {
			if strings.Contains(err.Error(), part) {
				t.Errorf("Decode(%s): %q", payload, err)
			}
		}
	}
}

// A payload costs memory, and with it time, by its length, whatever is in it.
func TestDecodeIsCheap(t *testing.T) { //nolint:paralleltest // what other tests allocate would be counted too
	mib := func(open, repeat, end string) []byte {
		n := (1<<20 - len(open) - len(end)) / len(repeat)
		return []byte(open + strings.Repeat(repeat, n) + end)
	}
	var names strings.Builder
	for i := 0; names.Len() < 1<<20-100; i++ {
		fmt.Fprintf(&names, `"%x":0,`, i)
	}
	for name, payload := range map[string][]byte{
		"exponents":     mib(`{"lines":[`, `{"quantity":1e999999999,"unit_price":"1e-999999999"},`, `{}]}`),
		"digits":        mib(`{"lines":[{"quantity":`, `9`, `}]}`),
		"lines":         mib(`{"lines":[`, `{},`, `{}]}`),
		"scalars":       mib(`{"lines":[`, `0,`, `0]}`),
		"depth":         mib(`{"lines":`, `[`, ``),
		"unknown names": []byte(`{` + names.String() + `"x":0}`),
		"metadata":      []byte(`{"metadata":{` + names.String() + `"x":0}}`),
		"duplicates":    mib(`{`, `"a":0,`, `"a":0}`),
		"NULs":          mib(`{"country":"`, `\u0000`, `"}`),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := invoice.Decode(payload)
		runtime.ReadMemStats(&after)
		if problemFields(t, err) == nil {
			t.Errorf("%s: %v", name, err)
		}
		allocated := (after.TotalAlloc - before.TotalAlloc) >> 20
		if allocated > 100 {
			t.Errorf("%s: %d MiB", name, allocated)
		}
	}
}

// Jobs as shops and gateways write them are taken. Read says of those of version 1 that the release before refuses them.
func TestAsShopsWriteIt(t *testing.T) {
	t.Parallel()
	for members, want := range map[string]struct {
		id, currency, at string
		lenient          bool
	}{
		`"transaction_id":"#1030","currency":"EUR","issued_at":"2022-04-14T10:00:00Z"`:                        {"#1030", "EUR", "2022-04-14T10:00:00Z", true},
		`"transaction_id":"注文-0001","currency":"JPY","issued_at":"2022-04-14T10:00:00Z"`:                      {"注文-0001", "JPY", "2022-04-14T10:00:00Z", true},
		`"transaction_id":4688949215318,"currency":"EUR","issued_at":"2022-04-14T10:00:00Z"`:                  {"4688949215318", "EUR", "2022-04-14T10:00:00Z", true},
		`"transaction_id":"T","currency":"jpy","issued_at":"2022-04-14T10:00:00Z"`:                            {"T", "JPY", "2022-04-14T10:00:00Z", true},
		`"transaction_id":"T","currency":"EUR","issued_at":"2024-05-15T04:20:05.1234567Z"`:                    {"T", "EUR", "2024-05-15T04:20:05.123456Z", true},
		`"transaction_id":"T","currency":"EUR","issued_at":"1024-05-15T04:20:05.9999999999999Z"`:              {"T", "EUR", "1024-05-15T04:20:05.999999Z", true},
		`"transaction_id":"T","currency":"EUR","issued_at":"2024-05-15T04:20:05.1234560Z"`:                    {"T", "EUR", "2024-05-15T04:20:05.123456Z", false},
		`"transaction_id":"T","idempotency_key":"K 1","currency":"EUR","issued_at":"2022-04-14T10:00:00Z"`:    {"T", "EUR", "2022-04-14T10:00:00Z", true},
		`"transaction_id":"T","credits_transaction_id":1,"currency":"EUR","issued_at":"2022-04-14T10:00:00Z"`: {"T", "EUR", "2022-04-14T10:00:00Z", true},
	} {
		for _, version := range []string{"", `"version":2,`} {
			payload := "{" + version + members + `,"lines":[{"quantity":1,"unit_price":1}]}`
			read, err := invoice.Read([]byte(payload))
			if err != nil {
				t.Errorf("%s: %v", payload, err)
				continue
			}
			if job := read.Job; job.TransactionID != want.id || job.Currency != want.currency || job.IssuedAt.Format(time.RFC3339Nano) != want.at || read.Lenient != (want.lenient && version == "") {
				t.Errorf("%s: %+v %t", payload, job, read.Lenient)
			}
		}
	}
	a := decode(t, `{"transaction_id":"1030","currency":"EUR","issued_at":"2022-04-14T10:00:00Z","lines":[{"quantity":1,"unit_price":1}]}`)
	b := decode(t, `{"transaction_id":1030,"currency":"eur","issued_at":"2022-04-14T10:00:00.0000001Z","lines":[{"quantity":1,"unit_price":1}]}`)
	c := decode(t, `{"transaction_id":"#1030","currency":"EUR","issued_at":"2022-04-14T10:00:00Z","lines":[{"quantity":1,"unit_price":1}]}`)
	if a.Fingerprint() != b.Fingerprint() || a.Fingerprint() == c.Fingerprint() {
		t.Error("1030 is another transaction than the number, or the same as #1030")
	}
	c.Version = 0
	if payload, err := c.Encode(); err != nil || !strings.Contains(string(payload), `"version":2`) {
		t.Errorf("a worker of the release before would refuse %s, %v", payload, err)
	}
}
