package client_test

import (
	"context"
	"testing"
	"time"

	"invoicer/invoice"
	"invoicer/worker/client"
)

const invoiced = `INSERT INTO invoice_series (series, period, kind) VALUES ('INV', '', 'invoice');
INSERT INTO invoices (series, period, number, invoice_number, kind, transaction_id, idempotency_key, job_id, fingerprint,
	currency, subtotal_minor, tax_minor, total_minor, issued_at)
VALUES ('INV', '', 1, 'INV-000001', 'invoice', 'T1', 'T1', 'job', 'v1:' || repeat('0', 64), 'GBP', 1530, 306, 1836, now())`

// Lookup, and Accept, ask for no more privileges than their comments say.
func TestLookup(t *testing.T) {
	t.Parallel()
	b := setup(t)
	role := b.Schema + "_role"
	b.Exec(t, "CREATE ROLE "+role+"; GRANT USAGE ON SCHEMA "+b.Schema+" TO "+role+"; GRANT SELECT ON invoices, invoice_jobs TO "+role+
		"; GRANT EXECUTE ON FUNCTION accept(text, text, uuid, boolean) TO "+role)
	t.Cleanup(func() { b.Exec(t, "DROP OWNED BY "+role+"; DROP ROLE "+role) })
	session, err := b.DB.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	if _, err := session.ExecContext(t.Context(), "SET ROLE "+role); err != nil {
		t.Fatal(err)
	}
	defer session.ExecContext(context.WithoutCancel(t.Context()), "RESET ROLE") //nolint:errcheck // the connection is closed next

	stands := func(want client.Standing) client.Standing {
		t.Helper()
		want.TransactionID = "T1"
		got, err := b.Lookup(t.Context(), session, "T1")
		if err != nil {
			t.Fatal(err)
		}
		at := got.InvoicedAt
		got.InvoicedAt = time.Time{}
		if got != want {
			t.Errorf("it stands %+v, want %+v", got, want)
		}
		got.InvoicedAt = at
		return got
	}
	stands(client.Standing{State: client.Unknown})
	receipt, err := b.Accept(t.Context(), session, job())
	if err != nil {
		t.Fatal(err)
	}
	stands(client.Standing{State: client.Accepted, Waiting: 1})
	b.Exec(t, "UPDATE invoice_jobs SET paused_series = 'INV'")
	stands(client.Standing{State: client.Paused, Waiting: 1, PausedSeries: "INV"})
	b.Exec(t, "UPDATE invoice_jobs SET state = 'enqueued', paused_series = NULL")
	stands(client.Standing{State: client.Enqueued, Waiting: 1})
	b.Exec(t, "UPDATE invoice_jobs SET state = 'failed', outcome = 'conflict', reason = 'total_minor differs'")
	failed := client.Failure{JobID: receipt.JobID, Outcome: invoice.Conflict, Reason: "total_minor differs"}
	stands(client.Standing{State: client.Failed, Failed: failed})
	b.Exec(t, "UPDATE invoice_jobs SET state = 'dismissed'")
	stands(client.Standing{State: client.Dismissed})
	if _, err := b.Accept(t.Context(), session, job()); err != nil {
		t.Fatal(err)
	}
	stands(client.Standing{State: client.Accepted, Waiting: 1})
	b.Exec(t, "DELETE FROM invoice_jobs WHERE state = 'accepted'; UPDATE invoice_jobs SET state = 'failed'")
	b.Exec(t, `INSERT INTO imported_invoices (transaction_id, idempotency_key, invoice_number, currency, total_minor) VALUES ('T1', 'T1', 'OLD-1', 'EUR', -5)`)
	stands(client.Standing{State: client.Failed, Failed: failed}) // the role may not read it
	b.Exec(t, "GRANT SELECT ON imported_invoices TO "+role)
	stands(client.Standing{State: client.Invoiced, InvoiceNumber: "OLD-1", Currency: "EUR", TotalMinor: -5, Imported: true, Failed: failed})
	b.Exec(t, "UPDATE imported_invoices SET withdrawn_at = now(), withdrawn_by = 'ada'")
	stands(client.Standing{State: client.Failed, Failed: failed})
	b.Exec(t, invoiced)
	got := stands(client.Standing{
		State: client.Invoiced, InvoiceNumber: "INV-000001", Kind: "invoice", Currency: "GBP", TotalMinor: 1836, Failed: failed,
	})
	if age := time.Since(got.InvoicedAt).Abs(); age > time.Hour {
		t.Errorf("invoiced at %s", got.InvoicedAt)
	}
	if _, err := b.Lookup(t.Context(), b.DB, "T2' OR true --"); err != nil {
		t.Error(err)
	}
}

// Of two issuers that use the same id, each sees its own.
func TestLookupOfAnIssuer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.OpenIssuers(t, "ACME-DE", "ACME-FR")
	b.Exec(t, invoiced)
	b.Exec(t, `INSERT INTO invoice_jobs (job_id, issuer, transaction_id, idempotency_key, queue, state, outcome, reason)
VALUES ('J1', 'ACME-FR', 'T1', 'T1', 'default', 'failed', 'failed', 'planted')`)
	of, err := client.New(nil, client.Options{Schema: b.Schema, Issuer: "ACME-DE"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := of.Accept(t.Context(), b.DB, job()); err != nil {
		t.Fatal(err)
	}
	if issuer := b.Text(t, "SELECT issuer FROM invoice_jobs WHERE state = 'accepted'"); issuer != "ACME-DE" {
		t.Errorf("accepted for issuer %q", issuer)
	}
	got, err := of.Lookup(t.Context(), b.DB, "T1")
	if want := (client.Standing{Issuer: "ACME-DE", TransactionID: "T1", State: client.Accepted, Waiting: 1}); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	got, err = of.LookupOf(t.Context(), b.DB, "ACME-FR", "T1")
	if want := (client.Standing{
		Issuer: "ACME-FR", TransactionID: "T1", State: client.Failed, Failed: client.Failure{JobID: "J1", Outcome: invoice.Failed, Reason: "planted"},
	}); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err = of.LookupOf(t.Context(), b.DB, "", "T1"); err != nil || got.InvoiceNumber != "INV-000001" || got.Waiting != 0 || got.Failed != (client.Failure{}) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := client.New(nil, client.Options{Issuer: "acme"}); err == nil {
		t.Error("a code that no issuer can have is taken")
	}
}

func TestSchemaIsAPlainName(t *testing.T) {
	t.Parallel()
	if _, err := client.New(nil, client.Options{Schema: `a".b`}); err == nil {
		t.Error("a name that would end its quotes is taken")
	}
}
