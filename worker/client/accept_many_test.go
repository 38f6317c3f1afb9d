package client_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"

	"invoicer/invoice"
	"invoicer/worker/client"
)

// counted counts the statements.
type counted struct {
	client.Querier
	statements *int
}

func (c counted) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	*c.statements++
	return c.Querier.QueryRowContext(ctx, query, args...)
}

func TestAcceptMany(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Exec(t, invoiced)
	traced, err := client.New(nil, client.Options{Schema: b.Schema, Traceparent: ofContext})
	if err != nil {
		t.Fatal(err)
	}
	jobs := make([]*invoice.Job, 500)
	for i := range jobs {
		jobs[i] = jobOf(fmt.Sprintf("T%d", i))
		jobs[i].Metadata = map[string]string{"note": "a \"quote\", 'another', \\ and \x01 注文 😀"}
	}
	tx, err := b.DB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	var statements int
	receipts, err := traced.AcceptMany(inTrace(t.Context(), traceparent), counted{tx, &statements}, jobs, "bulk")
	if err != nil || len(receipts) != len(jobs) || statements != 1 {
		t.Fatalf("%d receipts in %d statements, error %v", len(receipts), statements, err)
	}
	b.accepted(t, "nothing") // before its end
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	var listed []string
	for i, r := range receipts {
		listed = append(listed, r.JobID)
		if number := map[int]string{1: "INV-000001"}[i]; r.Queue != "bulk" || r.Status != client.Inserted || r.InvoiceNumber != number {
			t.Errorf("receipt %d: %+v", i, r)
		}
	}
	if got := b.Text(t, "SELECT string_agg(job_id, ' ' ORDER BY id) FROM invoice_jobs"); got != strings.Join(listed, " ") {
		t.Error("the ledger has the jobs in another order")
	}
	if n := b.Count(t, "SELECT count(*) FROM invoice_jobs WHERE transaction_id = 'T' || id - (SELECT min(id) FROM invoice_jobs) AND queue = 'bulk' AND traceparent = $1", traceparent); n != len(jobs) {
		t.Errorf("%d jobs are as they were sent", n)
	}
	if kept, err := invoice.Decode([]byte(b.Text(t, "SELECT payload FROM invoice_jobs WHERE transaction_id = 'T7'"))); err != nil || kept.Metadata["note"] != jobs[7].Metadata["note"] {
		t.Errorf("kept as %+v, %v", kept, err)
	}
	if none, err := b.AcceptMany(t.Context(), unreachable{t}, nil); err != nil || len(none) != 0 {
		t.Errorf("of no jobs: %v, %v", none, err)
	}
}

// Every bad job is named by its place and its fields, before anything is sent.
func TestAcceptManyNamesEveryBadJob(t *testing.T) {
	t.Parallel()
	c, err := client.New(nil, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	bad, worse := jobOf("T2"), jobOf("")
	bad.Lines[0].DiscountPercent, worse.Currency = invoice.MustDecimal("101"), "XYZ"
	_, err = c.AcceptMany(t.Context(), unreachable{t}, []*invoice.Job{jobOf("T1"), bad, jobOf("T3"), worse, nil})
	var batch *client.BatchError
	if !errors.As(err, &batch) || batch.Of != 5 || len(batch.Jobs) != 3 {
		t.Fatalf("error %v", err)
	}
	for i, want := range []struct{ index, problems int }{{1, 1}, {3, 2}, {4, 1}} {
		var invalid *invoice.InvalidError
		if !errors.As(batch.Jobs[i].Err, &invalid) || batch.Jobs[i].Index != want.index || len(invalid.Problems) != want.problems {
			t.Errorf("%+v, want %+v", batch.Jobs[i], want)
		}
	}
	for _, part := range []string{"3 of 5 jobs", "jobs[1]: invalid job: lines[0].discount_percent must", "jobs[3]: invalid job: transaction_id is required"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q doesn't contain %q", err, part)
		}
	}
	if !errors.As(err, new(*invoice.InvalidError)) {
		t.Error("it wraps no InvalidError")
	}
	many := make([]*invoice.Job, 30)
	if _, err = c.AcceptMany(t.Context(), unreachable{t}, many); err == nil || !strings.HasSuffix(err.Error(), "; and 10 more") {
		t.Errorf("error %v", err)
	}
}

func TestAcceptManyUnderIDsOfTheCaller(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.repeatable(t)
	other := jobOf("T2")
	other.Currency = "EUR"
	refused := func(jobs []*invoice.Job, index int) {
		t.Helper()
		var batch *client.BatchError
		var taken *client.TakenError
		if _, err := c.AcceptMany(t.Context(), b.DB, jobs); !errors.As(err, &batch) || len(batch.Jobs) != 1 || batch.Jobs[0].Index != index || !errors.As(err, &taken) {
			t.Errorf("error %v, want job %d named", err, index)
		}
	}
	refused([]*invoice.Job{jobOf("T2"), jobOf("T1"), other}, 2) // two jobs under one id
	b.accepted(t, "nothing")
	receipts, err := c.AcceptMany(t.Context(), b.DB, []*invoice.Job{jobOf("T1"), jobOf("T2"), jobOf("T1")})
	if err != nil || receipts[0].Status != client.Inserted || receipts[1].Status != client.Inserted || receipts[2].Status != client.Known {
		t.Errorf("receipts %+v, error %v", receipts, err)
	}
	if receipts[0].JobID != receipts[2].JobID {
		t.Error("one job has two ids")
	}
	refused([]*invoice.Job{jobOf("T3"), other}, 1) // the ledger has another one
	b.accepted(t, "T1 T1 checkout default accepted, T2 T2 checkout default accepted")
}
