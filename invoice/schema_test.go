package invoice_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"invoicer/internal/sample"
	"invoicer/invoice"
	"invoicer/invoice/invoicetest"
)

func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := invoice.Schema()
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("job.json", document); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile("job.json")
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

// The schema takes what Decode takes.
func TestSchemaTakesJobs(t *testing.T) {
	t.Parallel()
	compiled := schema(t)
	g := sample.New(sample.Options{Seed: 5, MaxLines: 20, Elaborate: true, Currencies: []string{"GBP", "JPY", "BHD", "ANG"}})
	for range 300 {
		job := g.Next()
		payload, err := job.Encode()
		if err != nil {
			t.Fatal(err)
		}
		takes(t, compiled, payload)
	}
	for _, payload := range []string{
		`{"version":null,"transaction_id":"T1","idempotency_key":null,"producer":null,"issuer":"","series":null,"credits_transaction_id":null,"customer_id":"","issued_at":"2010-12-01t08:26:00.5+01:00","currency":"EUR","lines":[{"sku":null,"quantity":"1e3","unit_price":-2.50,"discount_percent":null,"tax_percent":"0"}],"metadata":null}`,
	} {
		if _, err := invoice.Decode([]byte(payload)); err != nil {
			t.Fatal(err)
		}
		takes(t, compiled, []byte(payload))
	}
}

func takes(t *testing.T, compiled *jsonschema.Schema, payload []byte) {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(payload))
	if err != nil {
		t.Fatal(err)
	}
	if err := compiled.Validate(value); err != nil {
		t.Errorf("%s: %v", payload, err)
	}
}

// The schema refuses what Decode refuses, but for what no schema can tell.
func TestSchemaRefusesBadJobs(t *testing.T) {
	t.Parallel()
	compiled := schema(t)
	for _, bad := range invoicetest.Bad() {
		if refuses(compiled, bad.Payload) {
			continue
		}
		if !slices.ContainsFunc(beyondSchemas, func(kind string) bool { return strings.Contains(bad.Name, kind) }) {
			t.Errorf("%q is taken: %.300s", bad.Name, bad.Payload)
		}
	}
}

// refuses reports whether the schema refuses a payload. Numbers with an exponent beyond all measure are too much for the library.
func refuses(compiled *jsonschema.Schema, payload []byte) (refused bool) {
	defer func() {
		if recover() != nil {
			refused = true
		}
	}()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(payload))
	return err != nil || compiled.Validate(value) != nil
}

// beyondSchemas are parts of the names of bad jobs that only Decode finds.
var beyondSchemas = []string{
	"transaction_id 1e3", "_id 1.0", "_key 1.0", `transaction_id "`, // whole numbers in other spellings, and what Unicode says of a text
	"UTF-8", "surrogate", "half a pair", "U+0000", "1 MiB", "duplicate", "version ", "issued_at \"", // texts, bytes, calendars
	"1.0000001", "1e-7", "0.000000", "999999999999.9999999", `"1000000000000"`, `"101"`, "past int64", // exact numbers, and those in strings
}
