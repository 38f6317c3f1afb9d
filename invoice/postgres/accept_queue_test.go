package postgres_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"invoicer/invoice/ledger"
)

// refusedQueue returns the refusal of a queue, and fails the test when err is none.
func refusedQueue(t *testing.T, err error, queue, known string) {
	t.Helper()
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != "22023" || pg.ConstraintName != "queue_known" {
		t.Fatalf("queue %s: %v, want it refused", queue, err)
	}
	want := `no worker has ever consumed queue "` + queue + `"; known are ` + known + ": correct the name, or state new_queue := true, which takes the job and makes the queue known"
	if pg.Message != want || pg.Detail != known {
		t.Errorf("it says %q, detail %q, want %q", pg.Message, pg.Detail, want)
	}
}

func TestAcceptRefusesAQueueThatNobodyConsumes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	at := func(queue string) error {
		_, err := accept(b.DB, good, queue, nil)
		return err
	}
	for _, queue := range []string{"default", "critical", "bulk"} {
		if err := at(queue); err != nil {
			t.Error(err)
		}
	}
	refusedQueue(t, at("urgent"), "urgent", "bulk, critical, default")
	refusedQueue(t, b.store.Ledger.CheckQueue(t.Context(), "urgent"), "urgent", "bulk, critical, default")

	// A worker of any release names its queues, and a queue stays known when the worker is gone.
	if _, err := b.store.Ledger.Watch(t.Context(), "w", 1, []ledger.Watch{{Queue: "nightly"}}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(at("nightly"), b.store.Ledger.Unwatch(t.Context(), "w"), at("nightly"), b.store.Ledger.CheckQueue(t.Context(), "nightly")); err != nil {
		t.Error(err)
	}
	refusedQueue(t, at("night"), "night", "bulk, critical, default, nightly")
	b.Exec(t, "INSERT INTO ledger_queues (queue, holder, expires_at) SELECT 'q' || n, 'w', now() FROM generate_series(1, 100) AS n")
	err := at("night")
	if err == nil || !strings.Contains(err.Error(), "known are bulk, critical, default, nightly, q1, q10, ") || !strings.Contains(err.Error(), " and 84 more: ") {
		t.Errorf("of many: %v", err)
	}

	// What isn't even a name is named beside the fields.
	_, err = accept(b.DB, "{}", "No Queue", nil)
	if pg := refused(t, err, "neither"); !strings.Contains(pg.Message, "queue must be") || !strings.Contains(pg.Message, "transaction_id is required") {
		t.Errorf("%q doesn't name both", pg.Message)
	}
	if n := b.Count(t, "SELECT count(*) FROM invoice_jobs WHERE queue NOT IN ('default', 'critical', 'bulk', 'nightly')"); n > 0 {
		t.Errorf("%d jobs are accepted", n)
	}
}

func TestAcceptIntoANewQueue(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const anew = "SELECT accept($1, queue := $2, new_queue := true)"
	tx := func() *sql.Tx {
		t.Helper()
		tx, err := b.DB.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = tx.Rollback() })
		return tx
	}
	named := func(on *sql.Tx, queue string) {
		t.Helper()
		if _, err := on.ExecContext(t.Context(), anew, good, queue); err != nil {
			t.Fatal(err)
		}
	}
	isKnown := func(queue string, want bool) {
		t.Helper()
		_, err := accept(b.DB, good, queue, nil)
		if known := err == nil; known != want {
			t.Errorf("queue %s: known %t, want %t: %v", queue, known, want, err)
		}
	}
	// It goes with the transaction, which has it itself.
	first := tx()
	named(first, "a")
	if _, err := accept(first, good, "a", nil); err != nil {
		t.Fatal(err)
	}
	if err := first.Rollback(); err != nil {
		t.Fatal(err)
	}
	isKnown("a", false)

	// Two that name the same one don't wait for each other, and neither does a worker that begins to consume it.
	first, second := tx(), tx()
	named(first, "b")
	named(second, "b")
	if _, err := b.store.Ledger.Watch(t.Context(), "w", 1, []ledger.Watch{{Queue: "c"}, {Queue: "b"}}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(second.Commit(), first.Commit()); err != nil {
		t.Fatal(err)
	}
	third := tx()
	named(third, "d")
	if err := third.Commit(); err != nil {
		t.Fatal(err)
	}
	isKnown("d", true)
	// What is known needs no second record, and a refused job leaves none.
	for _, payload := range []string{good, "{}"} {
		for _, queue := range []string{"default", "b", "c", "d"} {
			_, err := b.DB.ExecContext(t.Context(), anew, payload, queue)
			if (err == nil) != (payload == good) {
				t.Errorf("queue %s: %v", queue, err)
			}
		}
	}
	if _, err := b.DB.ExecContext(t.Context(), anew, "{}", "e"); err == nil {
		t.Error("an empty job is accepted")
	}
	if _, err := b.DB.ExecContext(t.Context(), anew, good, "No Queue"); err == nil || !strings.Contains(err.Error(), "queue must be") {
		t.Errorf("a queue that is none: %v", err)
	}
	if got := b.Text(t, `SELECT string_agg(concat_ws(' ', p.queue, p.role = session_user, j.queue, now() - named_at < '1 hour'), ', ' ORDER BY p.queue, j.id)
		FROM producer_queues p LEFT JOIN invoice_jobs j USING (job_id)`); got != "b t b t, b t b t, d t d t" {
		t.Errorf("on record are %s", got)
	}
	if err := b.store.Ledger.AcceptIntoNew(t.Context(), "0189f7a0-0000-7000-8000-000000000009", "f", []byte(good)); err != nil {
		t.Error(err)
	}
	var unknown *ledger.UnknownQueueError
	if err := b.store.Ledger.Accept(context.Background(), "0189f7a0-0000-7000-8000-00000000000a", "g", []byte(good)); !errors.As(err, &unknown) ||
		*unknown != (ledger.UnknownQueueError{Queue: "g", Known: "b, bulk, c, critical, d, default, f", Err: unknown.Err}) || !errors.As(err, new(*pgconn.PgError)) {
		t.Errorf("%#v", err)
	}
}
