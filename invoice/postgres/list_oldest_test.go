package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"invoicer/internal/report"
	"invoicer/internal/rig"
)

// readOn reads the jobs on, the oldest first, until a page is empty, and returns their ids with the cursor after them.
func (b *site) readOn(t *testing.T, f report.Filter, after string, limit int) (ids []string, next string) {
	t.Helper()
	f.Oldest = true
	for {
		page, err := b.store.Reports.Jobs(t.Context(), f, after, limit)
		if err != nil {
			t.Fatal(err)
		}
		for _, j := range page.Rows {
			ids = append(ids, j.JobID)
		}
		if after == page.Next && len(page.Rows) == 0 {
			return ids, after
		}
		after = page.Next
	}
}

func TestListsFromTheOldest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	now := b.plant(t, 12)
	for name, test := range map[string]struct {
		filter report.Filter
		want   string
	}{
		"all":      {report.Filter{}, "j1 j2 j3 j4 j5 j6 j7 j8 j9 j10 j11 j12"},
		"failed":   {report.Filter{State: "failed"}, "j2 j4 j6 j8 j10 j12"},
		"producer": {report.Filter{State: "failed", Producer: "cron"}, "j6 j12"},
		"since":    {report.Filter{Since: now.Add(-2 * time.Minute)}, "j10 j11 j12"},
		"until":    {report.Filter{Until: now.Add(-9 * time.Minute)}, "j1 j2 j3"},
	} {
		for _, limit := range []int{1, 2, 100} {
			if ids, _ := b.readOn(t, test.filter, "", limit); strings.Join(ids, " ") != test.want {
				t.Errorf("%s, %d a page: %v, want %s", name, limit, ids, test.want)
			}
		}
	}
	for _, bad := range []string{"x", "1.1", "o", "o-1", "o1.1"} {
		if _, err := b.store.Reports.Jobs(t.Context(), report.Filter{Oldest: true}, bad, 1); !errors.Is(err, report.ErrCursor) {
			t.Errorf("cursor %q: %v", bad, err)
		}
	}
}

// A row whose transaction commits behind those of later rows isn't passed over: what was before it is read, and the rest waits.
func TestACursorWaitsForWhoHasDrawnALowerID(t *testing.T) {
	t.Parallel()
	b := setup(t)
	insert := func(id string) string {
		return "INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, state) VALUES ('" + id + "', '" + id + "', '" + id + "', 'bulk', 'accepted')"
	}
	b.Exec(t, insert("before"))
	if err := b.store.Reports.MarkLists(t.Context()); err != nil { // as a process does now and then
		t.Fatal(err)
	}
	tx, err := b.DB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() //nolint:errcheck // it was committed
	if _, err := tx.ExecContext(t.Context(), insert("late")); err != nil {
		t.Fatal(err)
	}
	b.Exec(t, insert("after"))
	ids, next := b.readOn(t, report.Filter{}, "", 1)
	if !slices.Equal(ids, []string{"before"}) {
		t.Errorf("while it is open: %v", ids)
	}
	if newest := b.listed(t, report.Filter{}, 10); newest != "after before" {
		t.Errorf("newest first: %s", newest)
	}
	b.Exec(t, insert("later"))
	if ids, next = b.readOn(t, report.Filter{}, next, 10); len(ids) > 0 {
		t.Errorf("while it is still open: %v", ids)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if ids, _ = b.readOn(t, report.Filter{}, next, 1); !slices.Equal(ids, []string{"late", "after", "later"}) {
		t.Errorf("once it is committed: %v", ids)
	}

	// So do the other lists, whoever writes there.
	for list, read := range map[string]func(after string) (string, error){
		"invoices": func(after string) (string, error) {
			page, err := b.store.Reports.Invoices(t.Context(), report.Filter{Oldest: true}, after, 10)
			return page.Next, err
		},
		"duplicate_attempts": func(after string) (string, error) {
			page, err := b.store.Reports.Duplicates(t.Context(), report.Filter{Oldest: true}, after, 10)
			return page.Next, err
		},
	} {
		if next, err := read(""); next != "o0" || err != nil {
			t.Errorf("%s: %s, %v", list, next, err)
		}
	}
	if _, err := b.DB.ExecContext(t.Context(), "SELECT list_horizon('tokens')"); err == nil {
		t.Error("there is a list of tokens")
	}
}

// Whoever reads on while many write, some of whom roll back, gets each row once.
func TestAReaderMissesNothingThatIsWrittenMeanwhile(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const writers, each = 6, 60
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for i := range each {
				tx, err := b.DB.BeginTx(ctx, nil)
				if err != nil {
					t.Error(err)
					return
				}
				id := fmt.Sprintf("%d-%d", w, i)
				if _, err := tx.ExecContext(ctx, "INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, state) SELECT $1::text || n, 't', 't', 'bulk', 'accepted' FROM generate_series(1, 3) n", id); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Duration(rand.IntN(10_000)) * time.Microsecond) // for which others are ahead
				end := tx.Commit
				if rand.IntN(4) == 0 {
					end = tx.Rollback
				}
				if err := end(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	ended := make(chan struct{})
	go func() {
		writing.Wait()
		close(ended)
	}()
	var read []string
	next, meanwhile := "", 0
	for open := true; open; {
		select {
		case <-ended:
			open = false
		default:
		}
		page, err := b.store.Reports.Jobs(t.Context(), report.Filter{Oldest: true}, next, 7)
		if err != nil {
			t.Fatal(err)
		}
		for _, j := range page.Rows {
			read = append(read, j.JobID)
		}
		if next = page.Next; open && len(page.Rows) > 0 {
			meanwhile++
		}
	}
	rest, _ := b.readOn(t, report.Filter{}, next, 100)
	read = append(read, rest...)
	want := strings.Fields(b.Text(t, "SELECT coalesce(string_agg(job_id, ' ' ORDER BY id), '') FROM invoice_jobs"))
	if !slices.Equal(read, want) {
		t.Errorf("%d rows were read, want %d", len(read), len(want))
	}
	if meanwhile < 5 {
		t.Errorf("only %d pages had something while others wrote", meanwhile)
	}
	t.Logf("%d pages had something meanwhile; %d marks are left", meanwhile, b.Count(t, "SELECT count(*) FROM list_marks"))
}

// However long a transaction holds up a list that is read all the time, the marks stay few.
func TestMarksStayFew(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tx, err := b.DB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() //nolint:errcheck // nothing is to be kept
	if _, err := tx.ExecContext(t.Context(), "LOCK TABLE invoice_jobs IN ROW EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	b.Exec(t, `INSERT INTO list_marks (list, row_id, waits_for, made_at)
		SELECT 'invoice_jobs', 1, ARRAY[(SELECT virtualtransaction FROM pg_locks WHERE relation = 'invoice_jobs'::regclass AND mode = 'RowExclusiveLock' AND pid <> pg_backend_pid())], clock_timestamp() - interval '1 hour'`)
	for range 2 {
		b.Exec(t, "INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, state) VALUES (gen_random_uuid(), 't', 't', 'bulk', 'accepted')")
		if ids, _ := b.readOn(t, report.Filter{}, "", 10); len(ids) > 0 {
			t.Errorf("%v", ids)
		}
	}
	if n := b.Count(t, "SELECT count(*) FROM list_marks"); n > 2 {
		t.Errorf("%d marks", n)
	}
	b.Exec(t, "DELETE FROM list_marks")
	reading, err := b.DB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer reading.Rollback() //nolint:errcheck // it was committed
	var waits string
	if _, err := reading.ExecContext(t.Context(), "SELECT list_horizon('invoice_jobs')"); err != nil {
		t.Fatal(err)
	}
	if err := reading.QueryRowContext(t.Context(), "SHOW synchronous_commit").Scan(&waits); err != nil || waits != "off" {
		t.Errorf("a reader waits for its mark: %s, %v", waits, err)
	}
	if err := reading.Commit(); err != nil {
		t.Fatal(err)
	}
}

// A page of a million rows is read by the index.
func TestListsFromTheOldestUseTheIndex(t *testing.T) {
	t.Parallel()
	rows := 1_000_000
	if testing.Short() {
		rows = 50_000
	}
	b := setup(t)
	b.Exec(t, `INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, state, outcome, reason)
		SELECT 'j' || n, 't', 't', 'bulk', 'failed', 'failed', 'r' FROM generate_series(1, $1::integer) n`, rows)
	b.Exec(t, "ANALYZE invoice_jobs")
	var plan []string
	lines, err := b.DB.QueryContext(t.Context(), "EXPLAIN (ANALYZE, TIMING OFF, SUMMARY OFF) SELECT * FROM (SELECT *"+
		strings.ReplaceAll(b.store.Reports.OldestJobs(), "invoicer.", "")+" LIMIT 20000) listed WHERE state = 'failed' ORDER BY id LIMIT 50", rows/2, rows)
	if err != nil {
		t.Fatal(err)
	}
	defer lines.Close()
	for lines.Next() {
		var line string
		if err := lines.Scan(&line); err != nil {
			t.Fatal(err)
		}
		plan = append(plan, line)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	text := strings.Join(plan, "\n")
	if !strings.Contains(text, "Index Scan using invoice_jobs_pkey") || strings.Contains(text, "Seq Scan") || strings.Contains(text, "Sort") {
		t.Errorf("%s", text)
	}
	begun := time.Now()
	page, err := b.store.Reports.Jobs(t.Context(), report.Filter{Oldest: true}, "", 50)
	if took := time.Since(begun); err != nil || len(page.Rows) != 50 || took > rig.Patience {
		t.Errorf("%d rows after %v: %v", len(page.Rows), took, err)
	} else {
		t.Logf("a page of %d rows took %v", rows, took)
	}
}
