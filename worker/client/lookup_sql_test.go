package client_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"invoicer/invoice"
	"invoicer/worker/client"
)

// A role that may call the function lookup, and read nothing, learns what Lookup says to one that may read the tables.
func TestLookupInSQL(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.OpenIssuers(t, "ACME-DE")
	session, _ := b.as(t, "EXECUTE ON FUNCTION lookup(text, text)")
	if _, err := session.ExecContext(t.Context(), "SELECT count(*) FROM invoice_jobs"); err == nil {
		t.Fatal("the role may read the ledger")
	}
	var jobID, outcome, reason sql.NullString
	stands := func(state client.State, about string) {
		t.Helper()
		for _, issuer := range []string{"", "ACME-DE"} {
			want, err := b.LookupOf(t.Context(), b.DB, issuer, "T1")
			if err != nil {
				t.Fatal(err)
			}
			call, args := "lookup($1)", []any{"T1"}
			if issuer != "" {
				call, args = "lookup($1, issuer := $2)", []any{"T1", issuer}
			}
			got := b.inSQL(t, session, call, args, &jobID, &outcome, &reason)
			got.Issuer, got.TransactionID = issuer, "T1"
			if !got.InvoicedAt.Equal(want.InvoicedAt) {
				t.Errorf("invoiced at %s, want %s", got.InvoicedAt, want.InvoicedAt)
			}
			if got.InvoicedAt = want.InvoicedAt; got != want {
				t.Errorf("issuer %q: it stands %+v, want %+v", issuer, got, want)
			}
			if issuer == "" {
				if got.State != state {
					t.Errorf("it is %s, want %s", got.State, state)
				}
				if text := jobID.String + " " + outcome.String + " " + reason.String; text != about {
					t.Errorf("%s is about %q, want %q", state, text, about)
				}
			} else if got.State != client.Unknown && got.State != client.Failed {
				t.Errorf("the other issuer's is %s", got.State)
			}
		}
	}
	plant := func(id, issuer, state, rest string) {
		t.Helper()
		b.Exec(t, `INSERT INTO invoice_jobs (job_id, issuer, transaction_id, idempotency_key, queue, state, outcome, reason, paused_series)
			VALUES ($1, $2, 'T1', 'T1', 'default', $3, `+rest+`)`, id, issuer, state)
	}
	stands(client.Unknown, "  ")
	plant("of another", "ACME-DE", "failed", "'failed', 'elsewhere', NULL")
	stands(client.Unknown, "  ")
	plant("D1", "", "dismissed", "'invalid', 'first', NULL")
	plant("D2", "", "dismissed", "'invalid', 'second', NULL")
	stands(client.Dismissed, "D2 invalid second")
	plant("F1", "", "failed", "'conflict', 'total differs', NULL")
	plant("F2", "", "failed", "'failed', 'too often', NULL")
	b.Exec(t, "UPDATE invoice_jobs SET updated_at = now() + interval '1 hour' WHERE job_id = 'F1'")
	stands(client.Failed, "F1 conflict total differs")
	plant("P1", "", "accepted", "NULL, NULL, 'INV'")
	stands(client.Paused, "P1  ")
	plant("A1", "", "accepted", "NULL, NULL, NULL")
	plant("A2", "", "accepted", "NULL, NULL, NULL")
	stands(client.Accepted, "A1  ")
	plant("E1", "", "enqueued", "NULL, NULL, NULL")
	stands(client.Enqueued, "E1  ")
	b.Exec(t, `INSERT INTO imported_invoices (transaction_id, idempotency_key, invoice_number, currency, total_minor, issued_at) VALUES ('T1', 'T1', 'OLD-1', 'EUR', -5, '2010-12-01')`)
	stands(client.Invoiced, "  ")
	b.Exec(t, "UPDATE imported_invoices SET withdrawn_at = now(), withdrawn_by = 'ada'")
	stands(client.Enqueued, "E1  ")
	b.Exec(t, invoiced)
	stands(client.Invoiced, "job created ")
	b.Exec(t, "DELETE FROM invoice_jobs WHERE job_id <> 'F1'")
	stands(client.Invoiced, "job created ")

	// NULL is the issuer without a name, and what nobody asked for is no error.
	if got := b.inSQL(t, session, "lookup('T1', NULL)", nil, &jobID, &outcome, &reason); got.State != client.Invoiced {
		t.Errorf("%+v", got)
	}
	if got := b.inSQL(t, session, "lookup(NULL)", nil, &jobID, &outcome, &reason); got != (client.Standing{State: client.Unknown}) {
		t.Errorf("%+v", got)
	}
}

// inSQL is what the function lookup says, as a Standing without issuer and transaction, and the job that its state is about.
func (b *site) inSQL(t *testing.T, session *sql.Conn, call string, args []any, jobID, outcome, reason *sql.NullString) client.Standing {
	t.Helper()
	var s client.Standing
	var number, kind, currency, paused, failedID, failedOutcome, failedReason sql.NullString
	var total sql.NullInt64
	var at sql.NullTime
	row := session.QueryRowContext(context.WithoutCancel(t.Context()), `SELECT state, invoice_number, kind, currency, total_minor, invoiced_at, imported, waiting, paused_series,
		job_id, outcome, reason, failed_job_id, failed_outcome, failed_reason FROM `+call, args...)
	if err := row.Scan(&s.State, &number, &kind, &currency, &total, &at, &s.Imported, &s.Waiting, &paused, jobID, outcome, reason, &failedID, &failedOutcome, &failedReason); err != nil {
		t.Fatal(err)
	}
	s.InvoiceNumber, s.Kind, s.Currency, s.TotalMinor, s.PausedSeries = number.String, kind.String, currency.String, total.Int64, paused.String
	if at.Valid {
		s.InvoicedAt = at.Time
	} else {
		s.InvoicedAt = time.Time{}
	}
	s.Failed = client.Failure{JobID: failedID.String, Outcome: invoice.Outcome(failedOutcome.String), Reason: failedReason.String}
	return s
}
