package postgres_test

import (
	"database/sql"
	"regexp"
	"strconv"
	"testing"
	"time"

	"invoicer/internal/rig"
)

// BenchmarkBoundRole reports what the trigger that binds roles takes for a job, by the server's own clock: for a role that is bound to a
// producer, queues, issuers and series, and for one that isn't. What accept takes as a whole, without a commit, is measured in the same run.
// Each is the fastest of all turns, since other programs make the rest slower.
func BenchmarkBoundRole(b *testing.B) {
	d := rig.NewDatabase(b)
	const each = 500
	d.Exec(b, `CREATE TABLE asked AS SELECT format('{"transaction_id":"T%s","customer_id":"17850","customer_name":"Ada Lovelace","issued_at":"2010-12-01T08:26:00Z","currency":"GBP","lines":['
    '{"sku":"85123A","description":"a candle","quantity":6,"unit_price":"2.55","tax_percent":"20"},{"sku":"71053","quantity":6,"unit_price":"3.39","tax_percent":"20"},'
    '{"sku":"84406B","quantity":8,"unit_price":"2.75","tax_percent":"20"},{"sku":"22752","quantity":2,"unit_price":"7.65"},{"sku":"21730","quantity":6,"unit_price":"4.25"}]}', n) AS payload,
    'T' || n AS id FROM generate_series(1, 500) AS n`)
	turn := func(bound bool) (trigger, whole time.Duration) {
		tx, err := d.DB.BeginTx(b.Context(), nil)
		if err != nil {
			b.Fatal(err)
		}
		defer tx.Rollback() //nolint:errcheck // it is meant
		if bound {
			if _, err := tx.ExecContext(b.Context(), `INSERT INTO producer_bindings (role, producer, queues, issuers, series)
VALUES (session_user, 'checkout', '{default,bulk}', '{""}', '{"",INV}')`); err != nil {
				b.Fatal(err)
			}
		}
		return took(b, tx, `INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, state, payload)
SELECT gen_random_uuid()::text, id, id, 'default', 'accepted', payload FROM asked`, `Trigger invoice_jobs_bound: time=([0-9.]+)`) / each,
			took(b, tx, "SELECT accept(payload, 'default') FROM asked", `Execution Time: ([0-9.]+)`) / each
	}
	const never = time.Hour
	free, bound, accept := never, never, never
	for b.Loop() {
		unbound, whole := turn(false)
		free, accept = min(free, unbound), min(accept, whole)
		is, _ := turn(true)
		bound = min(bound, is)
	}
	b.ReportMetric(float64(accept.Nanoseconds())/1000, "µs/accept")
	b.ReportMetric(float64(free.Nanoseconds())/1000, "µs/unbound")
	b.ReportMetric(float64(bound.Nanoseconds())/1000, "µs/bound")
}

// took returns the time that EXPLAIN tells in the line which the pattern matches.
func took(b *testing.B, tx *sql.Tx, statement, pattern string) time.Duration {
	b.Helper()
	rows, err := tx.QueryContext(b.Context(), "EXPLAIN (ANALYZE, COSTS OFF) "+statement)
	if err != nil {
		b.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			b.Fatal(err)
		}
		if found := regexp.MustCompile(pattern).FindStringSubmatch(line); found != nil {
			ms, err := strconv.ParseFloat(found[1], 64)
			if err != nil {
				b.Fatal(err)
			}
			return time.Duration(ms * float64(time.Millisecond))
		}
	}
	b.Fatalf("EXPLAIN doesn't say what %s took: %v", statement, rows.Err())
	return 0
}
