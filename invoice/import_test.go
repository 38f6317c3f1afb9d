package invoice_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"invoicer/invoice"
)

func TestDecodeImport(t *testing.T) {
	t.Parallel()
	amount := func(n int64) *int64 { return &n }
	for name, c := range map[string]struct {
		line string
		want invoice.Import
	}{
		"as little as may be": {
			`{"transaction_id":"T1","invoice_number":"1"}`, invoice.Import{TransactionID: "T1", IdempotencyKey: "T1", InvoiceNumber: "1"},
		},
		"nulls": {
			`{"transaction_id":"T1","invoice_number":"1","idempotency_key":null,"issuer":null,"currency":null,"total":null,"credited_total":null,"issued_at":null}`,
			invoice.Import{TransactionID: "T1", IdempotencyKey: "T1", InvoiceNumber: "1"},
		},
		"all there is": {
			`{"transaction_id":"T1","invoice_number":"DDLI 1/2025 – ö","idempotency_key":"K","currency":"BHD","total":"-1.0010","credited_total":7,"issued_at":"2010-12-01T08:26:00.000001+02:00"}`,
			invoice.Import{
				TransactionID: "T1", IdempotencyKey: "K", InvoiceNumber: "DDLI 1/2025 – ö", Currency: "BHD", Total: amount(-1001), CreditedTotal: amount(7000),
				IssuedAt: time.Date(2010, 12, 1, 6, 26, 0, 1000, time.UTC),
			},
		},
		"a date, and the largest amount": {
			`{"transaction_id":"T1","invoice_number":"1","currency":"JPY","total":9223372036854775807,"issued_at":"0001-02-03"}`,
			invoice.Import{TransactionID: "T1", IdempotencyKey: "T1", InvoiceNumber: "1", Currency: "JPY", Total: amount(math.MaxInt64), IssuedAt: time.Date(1, 2, 3, 0, 0, 0, 0, time.UTC)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := invoice.DecodeImport([]byte(c.line))
			if err != nil {
				t.Fatal(err)
			}
			if differs := got.Differs(&c.want); len(differs) > 0 {
				t.Errorf("%+v, want %+v: %v", got, c.want, differs)
			}
		})
	}
}

func TestBadImports(t *testing.T) {
	t.Parallel()
	const fine = `{"transaction_id":"T1","invoice_number":"1"`
	for name, c := range map[string]struct{ line, problems string }{
		"nothing":               {`{}`, "transaction_id is required; invoice_number is required"},
		"no object":             {`7`, "line must be a JSON object"},
		"cut":                   {fine, "line is not valid JSON: it ends too early"},
		"more":                  {fine + `} {}`, "payload has data after the JSON object"},
		"unknown and twice":     {fine + `,"amount":1,"transaction_id":"T2"}`, "amount is no field of an import; transaction_id must not be given twice"},
		"ids":                   {`{"transaction_id":" T1","invoice_number":"1","idempotency_key":"a\u00a0b"}`, "transaction_id must not begin or end with a blank; idempotency_key must not have a no-break space (U+00A0): send a plain blank"},
		"empty":                 {`{"transaction_id":"","invoice_number":""}`, "transaction_id must not be empty; invoice_number must not be empty"},
		"number of an old one":  {`{"transaction_id":"T1","invoice_number":1}`, "invoice_number must be a string"},
		"number with a control": {`{"transaction_id":"T1","invoice_number":"1\u001b[2J"}`, "invoice_number must be 1 to 128 characters of valid text without control characters, and without spaces at its ends"},
		"number with a space":   {`{"transaction_id":"T1","invoice_number":" 1"}`, "invoice_number must be 1 to 128 characters of valid text without control characters, and without spaces at its ends"},
		"long number":           {`{"transaction_id":"T1","invoice_number":"` + strings.Repeat("ö", 129) + `"}`, "invoice_number must be 1 to 128 characters of valid text without control characters, and without spaces at its ends"},
		"issuer":                {fine + `,"issuer":"Acme"}`, "issuer must be 1 to 32 characters of A-Z 0-9 -"},
		"currency":              {fine + `,"currency":"XAU","total":1}`, "currency must be an ISO 4217 code with a minor unit, such as GBP, and not XAU"},
		"no currency":           {fine + `,"total":1}`, "currency is required where an amount is stated"},
		"exponent":              {fine + `,"currency":"EUR","total":1e3}`, "total must be a decimal number such as 12.50, in EUR"},
		"no amount":             {fine + `,"currency":"EUR","total":"."}`, "total must be a decimal number such as 12.50, in EUR"},
		"decimals":              {fine + `,"currency":"EUR","total":"1.001"}`, "total must not have more decimals than the currency, in EUR"},
		"size":                  {fine + `,"currency":"EUR","total":"92233720368547758.08"}`, "total must fit into 64 bits in minor units, in EUR"},
		"negative credit":       {fine + `,"currency":"EUR","credited_total":"-0.01"}`, "credited_total must not be negative"},
		"date":                  {fine + `,"issued_at":"2010-02-30"}`, "issued_at must be a date such as 2010-12-01, or an RFC 3339 time with a zone"},
		"time":                  {fine + `,"issued_at":"2010-02-03 12:00"}`, "issued_at must be an RFC 3339 time with a zone, such as 2010-12-01T08:26:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := invoice.DecodeImport([]byte(c.line))
			var invalid *invoice.InvalidError
			if !errors.As(err, &invalid) {
				t.Fatalf("error %v", err)
			}
			var got []string
			for _, p := range invalid.Problems {
				got = append(got, p.Field+" "+p.Message)
			}
			if strings.Join(got, "; ") != c.problems {
				t.Errorf("%q, want %q", strings.Join(got, "; "), c.problems)
			}
		})
	}
}

func FuzzDecodeImport(f *testing.F) {
	f.Add(`{"transaction_id":"T1","invoice_number":"1","currency":"EUR","total":"-1.50","credited_total":0,"issued_at":"2010-12-01"}`)
	f.Fuzz(func(t *testing.T, line string) {
		i, err := invoice.DecodeImport([]byte(line))
		if err != nil {
			if !errors.As(err, new(*invoice.InvalidError)) {
				t.Fatal(err)
			}
			return
		}
		if i.Total == nil {
			return
		}
		again, err := invoice.DecodeImport([]byte(`{"transaction_id":"T1","invoice_number":"1","currency":"` + i.Currency + `","total":"` + invoice.FormatMinor(*i.Total, i.Currency) + `"}`))
		if err != nil || *again.Total != *i.Total {
			t.Errorf("%d is read again as %+v, %v", *i.Total, again, err)
		}
	})
}
