package migrations_test

import (
	"context"
	"errors"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/servers"
	"invoicer/migrations"
)

// TestHeavyNobodyWaitsLong migrates a schema of many invoices from the beginning of this release's migrations, while others read
// and write: none of their statements takes longer than a second.
func TestHeavyNobodyWaitsLong(t *testing.T) {
	if testing.Short() {
		t.Skip("it is a heavy one")
	}
	t.Parallel()
	invoices := 200_000
	if given := os.Getenv("INVOICER_UPGRADE_INVOICES"); given != "" {
		var err error
		if invoices, err = strconv.Atoi(given); err != nil {
			t.Fatal(err)
		}
	}
	server, err := servers.StartPostgres(t.Context(), servers.PostgresOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	m, err := migrations.New(server.URL, "invoicer")
	if err != nil {
		t.Fatal(err)
	}
	b := bundle{Migrator: m, Database: rig.OpenDatabase(t, server.URL, "invoicer")}
	b.upTo(t, 28)
	b.Fill(t, invoices)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var others sync.WaitGroup
	for _, statement := range []string{
		"INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, state) VALUES (gen_random_uuid()::text, 'W', 'W', 'q', 'enqueued')",
		"UPDATE invoice_jobs SET updated_at = now() WHERE id = 1",
		"SELECT total_minor FROM invoices WHERE transaction_id = 'W-7'",
		"INSERT INTO invoice_series (series, period, kind) VALUES ('W', gen_random_uuid()::text, 'invoice')",
	} {
		others.Go(func() {
			var longest time.Duration
			n := 0
			for ; ctx.Err() == nil; n++ {
				began := time.Now()
				if _, err := b.DB.ExecContext(ctx, statement); err != nil && !errors.Is(err, context.Canceled) {
					t.Errorf("%s: %v", statement, err)
					return
				}
				longest = max(longest, time.Since(began))
			}
			t.Logf("%5d times, the longest %v: %s", n, longest, statement)
			if longest > time.Second {
				t.Errorf("it took %v: %s", longest, statement)
			}
		})
	}
	others.Go(func() { b.tellWhoWaits(ctx, t) })
	began := time.Now()
	applied := b.up(t)
	t.Logf("%d migrations of %d invoices in %v", len(applied), invoices, time.Since(began))
	cancel()
	others.Wait()
}

// tellWhoWaits logs what has waited for long, and for whom, so that a failure says whether a lock or a busy machine has caused it.
func (b bundle) tellWhoWaits(ctx context.Context, t *testing.T) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var told *string
		if err := b.DB.QueryRowContext(ctx, `
SELECT string_agg(concat_ws(' ', clock_timestamp() - query_start, left(query, 40), 'waits for', wait_event_type, wait_event, (
    SELECT string_agg(concat_ws(' ', o.backend_type, o.wait_event, left(o.query, 80)), '; ') FROM pg_stat_activity o WHERE o.pid = ANY (pg_blocking_pids(a.pid)))), chr(10))
FROM pg_stat_activity a WHERE state = 'active' AND backend_type = 'client backend' AND pid <> pg_backend_pid()
    AND query ~ '^(INSERT INTO invoice_|UPDATE invoice_jobs|SELECT total_minor)' AND clock_timestamp() - query_start > interval '0.7s'`).Scan(&told); err == nil && told != nil {
			t.Log(*told)
		}
	}
}
