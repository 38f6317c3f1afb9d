package client_test

import (
	"context"
	"testing"

	"github.com/hibiken/asynq"

	"invoicer/internal/rig"
	"invoicer/invoice/invoicetest"
	"invoicer/worker/client"
)

const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

type traceKey struct{}

// inTrace is a context whose jobs belong to a span.
func inTrace(ctx context.Context, traceparent string) context.Context {
	return context.WithValue(ctx, traceKey{}, traceparent)
}

func ofContext(ctx context.Context) string {
	in, _ := ctx.Value(traceKey{}).(string)
	return in
}

// The ledger keeps each job's own span, also beside others in one transaction; one that can't be any is no reason to refuse a job.
func TestAcceptKeepsTheTrace(t *testing.T) {
	t.Parallel()
	b := setup(t)
	traced, err := client.New(nil, client.Options{Schema: b.Schema, Traceparent: ofContext})
	if err != nil {
		t.Fatal(err)
	}
	tx, err := b.DB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for id, in := range map[string]string{ // in any order
		"T1": traceparent, "T2": "", "T3": "not at all", "T4": traceparent + "\n", "T5": "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
		"T6": traceparent[:54] + "'", "T9": "\x00\xff",
	} {
		if _, err := traced.Accept(inTrace(t.Context(), in), tx, invoicetest.Job(id)); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	// Outside of a transaction it is one statement all the same.
	if _, err := traced.Accept(inTrace(t.Context(), traceparent), b.DB, invoicetest.Job("T7")); err != nil {
		t.Error(err)
	}
	if _, err := b.Accept(inTrace(t.Context(), traceparent), b.DB, invoicetest.Job("T8")); err != nil {
		t.Error(err)
	}
	got := b.Text(t, "SELECT string_agg(transaction_id || ' ' || traceparent, ', ' ORDER BY transaction_id) FROM invoice_jobs")
	if want := "T1 " + traceparent + ", T7 " + traceparent; got != want {
		t.Errorf("the ledger has\n%s, want\n%s", got, want)
	}
	if n := b.Count(t, "SELECT count(*) FROM invoice_jobs WHERE state = 'accepted'"); n != 9 {
		t.Errorf("%d jobs are accepted, want all 9", n)
	}
}

// Nor is one in SQL.
func TestAcceptInSQLKeepsTheTrace(t *testing.T) {
	t.Parallel()
	b := setup(t)
	payload, err := invoicetest.Job("T1").Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range []string{"", "no", traceparent, traceparent + "\n", " " + traceparent, "01" + traceparent[2:]} {
		tx, err := b.DB.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.ExecContext(t.Context(), "SELECT set_config('invoicer.traceparent', $1, true)", in); err != nil {
			t.Fatal(err)
		}
		var jobID string
		if err := tx.QueryRowContext(t.Context(), "SELECT accept($1::text)", string(payload)).Scan(&jobID); err != nil {
			t.Fatalf("%q: %v", in, err)
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		got := b.Text(t, "SELECT coalesce(traceparent, '') FROM invoice_jobs WHERE job_id = $1", jobID)
		if (got == in) != (in == "" || in == traceparent) || got != in && got != "" {
			t.Errorf("%q is kept as %q", in, got)
		}
	}
}

func TestEnqueueCarriesTheTrace(t *testing.T) {
	t.Parallel()
	r := rig.New(t)
	c, err := client.New(r.Redis, client.Options{Queue: r.Queue, Traceparent: ofContext})
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range []string{traceparent, ""} {
		receipt, err := c.Enqueue(inTrace(t.Context(), in), invoicetest.Job("T1"))
		if err != nil {
			t.Fatal(err)
		}
		var task *asynq.TaskInfo
		if task, err = r.Inspector.GetTaskInfo(r.Queue, receipt.JobID); err != nil {
			t.Fatal(err)
		}
		if got, ok := task.Headers[client.TraceparentHeader]; got != in || ok != (in != "") {
			t.Errorf("headers %v, want %q", task.Headers, in)
		}
	}
}
