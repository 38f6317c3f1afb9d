package postgres_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"invoicer/internal/report"
	"invoicer/invoice"
	"invoicer/invoice/ledger"
	"invoicer/invoice/postgres"
)

// ofIssuer is as of, for imports.
func ofIssuer(issuer string) func(*invoice.Import) {
	return func(i *invoice.Import) { i.Issuer = issuer }
}

// What one issuer has imported, the other invoices, whichever comes first.
func TestImportsOfIssuers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.openIssuers(t, "ACME-DE", "ACME-FR")
	b.Exec(t, `INSERT INTO series (issuer, series, version, kind, format, period, timezone, origin, change, actor, first_number)
VALUES ('ACME-FR', 'INV', 1, 'invoice', '{series}-{number:06}', 'none', 'UTC', 'configuration', 'made', 'a test', 2)`)
	b.create(t, "none-1", job(t, "T2"))
	b.create(t, "de-1", job(t, "T2", of("ACME-DE")))
	b.add(t,
		imported("T1", "OLD-1", ofIssuer("ACME-DE")), imported("T1", "OLD-1", ofIssuer("ACME-FR"), stating("GBP", 1)),
		imported("T2", "INV-000001", ofIssuer("ACME-FR")), imported("T3", "R-2", underKey("T1")),
	)
	b.create(t, "none-2", job(t, "T1", func(j *invoice.Job) { j.IdempotencyKey = "K" }))
	for _, c := range []struct {
		issuer, transaction string
		outcome             invoice.Outcome
		number              string
	}{
		{"ACME-DE", "T1", invoice.Duplicate, "OLD-1"},
		{"ACME-FR", "T1", invoice.Conflict, "OLD-1"},
		{"ACME-FR", "T2", invoice.Duplicate, "INV-000001"},
		{"ACME-DE", "T2", invoice.Duplicate, "INV-000001"},
		{"ACME-DE", "T3", invoice.Created, "INV-000002"},
		{"", "T3", invoice.Duplicate, "R-2"},
	} {
		got, err := b.generator.Generate(t.Context(), request("job of "+c.issuer+c.transaction, job(t, c.transaction, of(c.issuer))))
		if err != nil || got.Outcome != c.outcome || got.Invoice.Number != c.number || got.Invoice.Issuer != c.issuer {
			t.Errorf("%s of %q: %+v, %v; want %s of %s", c.transaction, c.issuer, got, err, c.outcome, c.number)
		}
	}
	b.clean(t)
}

// Each of these is refused within an issuer, and only there; in a dry run, and by the look at a batch that the database refused.
func TestImportIsRefusedWithinItsIssuer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.openIssuers(t, "ACME-DE", "ACME-FR")
	b.create(t, "de-1", job(t, "T1", of("ACME-DE"), func(j *invoice.Job) { j.IdempotencyKey = "K1" }))
	b.add(t, imported("I1", "OLD-1", ofIssuer("ACME-DE"), underKey("IK1")))
	for name, c := range map[string]struct {
		one   invoice.Import
		wants string
	}{
		"transaction":  {imported("T1", "X"), "transaction_id is invoiced here already, as INV-000001"},
		"key":          {imported("X", "X", underKey("K1")), "idempotency_key belongs to transaction_id T1, which is invoiced here as INV-000001"},
		"number":       {imported("X", "INV-000001"), "invoice_number is the number of an invoice here, of transaction_id T1"},
		"next number":  {imported("X", "INV-000002"), "invoice_number could still be printed by series ACME-DE/INV: "},
		"imported":     {imported("I1", "OLD-2"), "invoice_number is not what was imported before"},
		"imported key": {imported("X", "X", underKey("IK1")), "idempotency_key belongs to transaction_id I1, which is imported"},
	} {
		for _, issuer := range []string{"ACME-DE", "ACME-FR", "", "ACME-IT"} {
			c.one.Issuer = issuer
			wants := map[string]string{"ACME-DE": c.wants, "ACME-IT": "issuer ACME-IT wasn't opened: `invoicer issuer open ACME-IT`"}[issuer]
			added, err := b.store.Imports.Add(t.Context(), []invoice.Import{c.one}, true)
			if err != nil {
				t.Fatal(err)
			}
			if got := refusal(added[0]); (got == "") != (wants == "") || !strings.HasPrefix(got, wants) {
				t.Errorf("%s, of %q: %q, want %q", name, issuer, got, wants)
			}
		}
	}
	// In one batch, and really.
	batch := []invoice.Import{
		imported("T1", "A", ofIssuer("ACME-DE")), imported("T1", "A", ofIssuer("ACME-FR")), imported("T1", "A", ofIssuer("ACME-FR")),
		imported("Y", "A", ofIssuer("ACME-FR"), underKey("T1")), imported("T1", "A"), imported("Z", "Z", ofIssuer("ACME-IT")),
	}
	added, err := b.store.Imports.Add(t.Context(), batch, false)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, a := range added {
		field, _, _ := strings.Cut(refusal(a), " ")
		if a.Known {
			field = "known"
		}
		got = append(got, field)
	}
	if want := []string{"transaction_id", "", "known", "idempotency_key", "", "issuer"}; !slices.Equal(got, want) {
		t.Errorf("a batch became %q, want %q", got, want)
	}
	if n := b.Count(t, "SELECT count(*) FROM imported_invoices WHERE transaction_id = 'T1' AND issuer IN ('', 'ACME-FR')"); n != 2 {
		t.Errorf("%d imports of T1, want 2", n)
	}
	// The database's word on an issuer that was never opened is final, whatever else the batch has.
	if added, err = b.store.Imports.Add(t.Context(), []invoice.Import{imported("Z", "Z", ofIssuer("ACME-IT")), imported("W", "W")}, false); err != nil {
		t.Fatal(err)
	}
	if refusal(added[0]) == "" || refusal(added[1]) != "" || b.Count(t, "SELECT count(*) FROM imported_invoices WHERE transaction_id IN ('W', 'Z')") != 1 {
		t.Errorf("became %+v", added)
	}
	b.clean(t)
}

func refusal(a invoice.Addition) string {
	var texts []string
	for _, p := range a.Problems {
		texts = append(texts, p.Field+" "+p.Message)
	}
	return strings.Join(texts, "; ")
}

func TestImportOfAnIssuerIsWithdrawn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.openIssuers(t, "ACME-DE", "ACME-FR")
	b.add(t, imported("T1", "A"), imported("T1", "B", ofIssuer("ACME-DE")), imported("T1", "C", ofIssuer("ACME-FR")), imported("T2", "D", ofIssuer("ACME-FR")))
	ada := ledger.Actor{Name: "ada"}
	var ambiguous *report.AmbiguousError
	if _, err := b.store.Imports.Withdraw(t.Context(), nil, "T1", ada); !errors.As(err, &ambiguous) || !slices.Equal(ambiguous.Issuers, []string{"", "ACME-DE", "ACME-FR"}) {
		t.Errorf("of any issuer: %v", err)
	}
	none, de, fr := "", "ACME-DE", "ACME-FR"
	if _, err := b.store.Imports.Withdraw(t.Context(), &de, "T2", ada); !errors.Is(err, postgres.ErrNotImported) {
		t.Errorf("another issuer's: %v", err)
	}
	for _, c := range []struct {
		issuer              *string
		transaction, number string
		of                  string
	}{{nil, "T2", "D", fr}, {&de, "T1", "B", de}, {&none, "T1", "A", none}, {nil, "T1", "C", fr}} {
		w, err := b.store.Imports.Withdraw(t.Context(), c.issuer, c.transaction, ada)
		if err != nil || w.InvoiceNumber != c.number || w.Issuer != c.of {
			t.Errorf("%+v, %v, want %s of %q", w, err, c.number, c.of)
		}
	}
	b.create(t, "de", job(t, "T1", of(de)))
	b.clean(t)
}
