package postgres_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"invoicer/internal/report"
	"invoicer/internal/rig"
)

const insertJob = "INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, state, producer) VALUES ($1::text, $1::text, $1::text, 'bulk', 'accepted', $2)"

// A row that is committed while pages are read comes on a later page, wherever it would have been.
func TestPagesWaitForWhatIsWritten(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{1, 2, 3, 10} {
		b := setup(t)
		b.Exec(t, insertJob, "a", "checkout")
		tx, err := b.DB.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback() //nolint:errcheck // it was committed
		for _, row := range [][]any{{"b", "checkout"}, {"of another", "cron"}, {"c", "checkout"}} {
			if _, err := tx.ExecContext(t.Context(), insertJob, row...); err != nil {
				t.Fatal(err)
			}
		}
		b.Exec(t, insertJob, "d", "checkout")
		f := report.Filter{Patient: true, Producer: "checkout", State: "accepted"}
		next, ids := "", []string{}
		read := func() {
			t.Helper()
			page, err := b.store.Reports.Jobs(t.Context(), f, next, limit)
			if err != nil {
				t.Fatal(err)
			}
			for _, j := range page.Rows {
				ids = append(ids, j.JobID)
			}
			next = page.Next
		}
		for range 2 { // all that is there
			if read(); len(ids) == 2 {
				break
			}
		}
		if !slices.Equal(ids, []string{"d", "a"}) || next == "" {
			t.Errorf("%d a page, before: %v, %q", limit, ids, next)
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		b.Exec(t, insertJob, "e", "checkout") // which begins a list, and isn't of this one
		for pages := 0; next != "" && pages < 10; pages++ {
			read()
		}
		if !slices.Equal(ids, []string{"d", "a", "c", "b"}) || next != "" {
			t.Errorf("%d a page: %v, %q", limit, ids, next)
		}
	}
}

// Who reads to the end isn't kept for as long as somebody writes.
func TestPagesEndWhileSomebodyWrites(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tx, err := b.DB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()  //nolint:errcheck // nothing is to be kept
	for i := range 200 { // so that there are many gaps
		if _, err := tx.ExecContext(t.Context(), insertJob, fmt.Sprint("open", i), nil); err != nil {
			t.Fatal(err)
		}
		b.Exec(t, insertJob, fmt.Sprint("done", i), nil)
		if i != 3 && i != 199 {
			continue
		}
		next, pages := "", 0
		for pages == 0 || next != "" {
			page, err := b.store.Reports.Jobs(t.Context(), report.Filter{Patient: true}, next, 3)
			if pages++; err != nil || pages > 10 {
				t.Fatalf("page %d: %v", pages, err)
			}
			next = page.Next
		}
	}
	for _, bad := range []string{"-", "-1", "-1-", "-0-1", "-2-1", "1.1.", "1.1.!-y", "1.1.1-2_3-4", "1.1.1-1;", "-" + strings.Repeat("1-1_", 61) + "1-1"} {
		if _, err := b.store.Reports.Jobs(t.Context(), report.Filter{Patient: true}, bad, 1); !errors.Is(err, report.ErrCursor) {
			t.Errorf("cursor %q: %v", bad, err)
		}
	}
}

// Whatever is there when the last page is asked for, up to where the first one began, is on one of the pages, once.
func TestPagesMissNothingThatIsWrittenMeanwhile(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ended := make(chan struct{})
	var writing sync.WaitGroup
	var lateRows atomic.Int64
	limit := time.Now().Add(rig.Patience)
	for w := range 6 {
		writing.Go(func() {
			for i := 0; i < 100 || lateRows.Load() == 0 && time.Now().Before(limit); i++ {
				tx, err := b.DB.BeginTx(t.Context(), nil)
				if err != nil {
					t.Error(err)
					return
				}
				for n := range 3 {
					if _, err := tx.ExecContext(t.Context(), insertJob, fmt.Sprintf("%d-%d-%d", w, i, n), nil); err != nil {
						t.Error(err)
					}
				}
				time.Sleep(time.Duration(rand.IntN(15_000)) * time.Microsecond) // for which others are ahead
				end := tx.Commit
				if rand.IntN(5) == 0 {
					end = tx.Rollback
				}
				if err := end(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	go func() {
		writing.Wait()
		close(ended)
	}()
	for open := true; open; {
		select {
		case <-ended:
			open = false
		default:
		}
		var top, lowest int64
		seen := make(map[int64]bool)
		var there string
		for next, pages := "", 0; pages == 0 || next != ""; pages++ {
			there = b.Text(t, "SELECT coalesce(string_agg(id::text, ' '), '') FROM invoice_jobs")
			page, err := b.store.Reports.Jobs(t.Context(), report.Filter{Patient: true}, next, 15)
			if err != nil {
				t.Fatal(err)
			}
			for _, j := range page.Rows {
				if seen[j.ID] {
					t.Fatalf("%d comes twice", j.ID)
				}
				if seen[j.ID] = true; top == 0 {
					top, lowest = j.ID, j.ID
				}
				if j.ID > lowest {
					lateRows.Add(1)
				}
				lowest = min(lowest, j.ID)
			}
			next = page.Next
		}
		for _, text := range strings.Fields(there) {
			var id int64
			if _, err := fmt.Sscan(text, &id); err != nil {
				t.Fatal(err)
			}
			if id <= top && !seen[id] {
				t.Errorf("%d is on no page, of those up to %d", id, top)
			}
		}
	}
	if t.Logf("%d rows came late", lateRows.Load()); lateRows.Load() == 0 {
		t.Error("no row came late, so nothing was tested")
	}
}
