package postgres_test

import (
	"encoding/json"
	"strings"
	"testing"

	"invoicer/internal/report"
)

// What is shown of a document tells its taxes apart, and has all that stands between its total and what is paid.
func TestAmountsAreShown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.create(t, "job-1", job(t, "plain"))
	b.create(t, "job-2", termsJob(t, "stated", `"prices":"gross","prepaid":"20.00","rounding":"-0.03","withholdings":[{"code":"IRPF","percent":"19"},{"code":"X","percent":"1","base":"50"}],
		"allowances":[{"reason":"loyalty","amount":"10.00"}],"charges":[{"reason":"freight","percent":"2","tax_percent":19,"tax_category":"S"}],
		"lines":[{"quantity":1,"unit_price":"100","tax_percent":19,"tax_category":"S"},{"quantity":1,"unit_price":"100","taxes":[{"code":"A","percent":"5"},{"code":"B","percent":"5","compound":true}]}]`))
	const stated = `"withheld_minor":3268,"prepaid_minor":2000,"rounding_minor":-3,` +
		`"taxes":[{"code":"A","category":"","tax_percent":"5","net_minor":8617,"added_minor":null,"tax_minor":431},` +
		`{"code":"B","category":"","tax_percent":"5","net_minor":8617,"added_minor":431,"tax_minor":452},` +
		`{"code":"","category":"S","tax_percent":"19","net_minor":8319,"added_minor":null,"tax_minor":1581}]`
	const adjusted = `"allowances":[{"amount_minor":1000,"net_minor":873}],"charges":[{"amount_minor":400,"net_minor":336}],"withholdings_minor":[3218,50]`
	const plain = `"withheld_minor":null,"prepaid_minor":null,"rounding_minor":null,` +
		`"taxes":[{"code":"","category":"","tax_percent":"20","net_minor":1530,"added_minor":null,"tax_minor":306}]`
	shown := func(i *report.Invoice) string {
		text, err := json.Marshal(i)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	wants := func(where string, i *report.Invoice, parts ...string) {
		for _, want := range parts {
			if got := shown(i); !strings.Contains(got, want) {
				t.Errorf("%s: %s\nlacks %s", where, got, want)
			}
		}
	}
	for id, want := range map[string][]string{"plain": {plain}, "stated": {stated, adjusted}} {
		found, err := b.store.Reports.Lookup(t.Context(), "", id, 1)
		if err != nil {
			t.Fatal(err)
		}
		wants(id, found.Invoice, want...)
		of, err := b.store.Reports.LookupJob(t.Context(), nil, found.Invoice.JobID)
		if err != nil {
			t.Fatal(err)
		}
		wants("the job of "+id, of.Invoice, want...)
	}
	page, err := b.store.Reports.Invoices(t.Context(), report.Filter{}, "", 10)
	if err != nil || len(page.Rows) != 2 {
		t.Fatalf("%d are listed, error %v", len(page.Rows), err)
	}
	wants("the list", &page.Rows[0], stated)
	wants("the list", &page.Rows[1], plain)

	// Terms of a later release, or somebody's: the rest is shown.
	b.Exec(t, "SET session_replication_role = replica; UPDATE invoices SET terms = '{\"later\":1}' WHERE transaction_id = 'stated'; RESET session_replication_role")
	found, err := b.store.Reports.Lookup(t.Context(), "", "stated", 1)
	if err != nil {
		t.Fatal(err)
	}
	wants("with other terms", found.Invoice, `"withheld_minor":null`, `"code":"B"`)
}
