package postgres_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"invoicer/internal/report"
	"invoicer/invoice/ledger"
)

// plant makes jobs j1 to jN, a minute apart: each second one has failed, each third one is of the cron.
func (b *site) plant(t *testing.T, n int) time.Time {
	t.Helper()
	b.Exec(t, `INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, producer, state, outcome, reason, accepted_at, updated_at)
SELECT 'j' || n, 't' || n, 't' || n, 'bulk', CASE WHEN n % 3 = 0 THEN 'cron' ELSE 'checkout' END, CASE WHEN n % 2 = 0 THEN 'failed' ELSE 'accepted' END,
    CASE WHEN n % 2 = 0 THEN 'failed' END, CASE WHEN n % 2 = 0 THEN 'attempt ' || n || ' failed: column "colour" of t' || n || ' does not exist' END,
    now() - $1 * interval '1 minute' + n * interval '1 minute', now() - $1 * interval '1 minute' + n * interval '1 minute'
FROM generate_series(1, $1::int) n`, n)
	var now time.Time
	if err := b.DB.QueryRowContext(t.Context(), "SELECT max(accepted_at) FROM invoice_jobs").Scan(&now); err != nil {
		t.Fatal(err)
	}
	return now
}

func (b *site) listed(t *testing.T, f report.Filter, limit int) string {
	t.Helper()
	var ids []string
	for after, pages := "", 0; ; pages++ {
		page, err := b.store.Reports.Jobs(t.Context(), f, after, limit)
		if err != nil || pages > 100 {
			t.Fatalf("page %d: %v", pages, err)
		}
		for _, j := range page.Rows {
			ids = append(ids, j.JobID)
		}
		if after = page.Next; after == "" {
			return strings.Join(ids, " ")
		}
	}
}

func TestListsOfJobs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	now := b.plant(t, 12)
	for name, test := range map[string]struct {
		filter report.Filter
		want   string
	}{
		"all":                {report.Filter{}, "j12 j11 j10 j9 j8 j7 j6 j5 j4 j3 j2 j1"},
		"failed":             {report.Filter{State: "failed"}, "j12 j10 j8 j6 j4 j2"},
		"accepted":           {report.Filter{State: "accepted"}, "j11 j9 j7 j5 j3 j1"},
		"of a producer":      {report.Filter{State: "failed", Producer: "cron"}, "j12 j6"},
		"by reason":          {report.Filter{Reason: "ATTEMPT 8"}, "j8"},
		"by outcome":         {report.Filter{Outcome: "conflict"}, ""},
		"of another queue":   {report.Filter{Queue: "default"}, ""},
		"since":              {report.Filter{Since: now.Add(-2 * time.Minute)}, "j12 j11 j10"},
		"until":              {report.Filter{Until: now.Add(-9 * time.Minute)}, "j3 j2 j1"},
		"failed, in between": {report.Filter{State: "failed", Since: now.Add(-8 * time.Minute), Until: now.Add(-4 * time.Minute)}, "j8 j6 j4"},
	} {
		for _, limit := range []int{1, 2, 100} {
			if got := b.listed(t, test.filter, limit); got != test.want {
				t.Errorf("%s, %d a page: %s, want %s", name, limit, got, test.want)
			}
		}
	}
	for _, bad := range []string{"x", "1", "1.?", "-", "1.1; DROP TABLE invoices"} {
		if _, err := b.store.Reports.Jobs(t.Context(), report.Filter{}, bad, 1); !errors.Is(err, report.ErrCursor) {
			t.Errorf("cursor %q: %v", bad, err)
		}
	}
}

// A filter that few match takes bounded looks, each of which says where the next begins.
func TestListsLookAtABoundedNumber(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Exec(t, `INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, payload, state)
SELECT 'j' || n, 't' || n, 't' || n, CASE WHEN n = 1 THEN 'rare' ELSE 'bulk' END, '{}', 'accepted' FROM generate_series(1, 50000) n`)
	page, err := b.store.Reports.Jobs(t.Context(), report.Filter{Queue: "rare"}, "", 10)
	if err != nil || len(page.Rows) != 0 || page.Next == "" {
		t.Errorf("%d rows, next %q, %v", len(page.Rows), page.Next, err)
	}
	if got := b.listed(t, report.Filter{Queue: "rare"}, 10); got != "j1" {
		t.Errorf("found %q", got)
	}
}

func TestCauses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	now := b.plant(t, 12)
	b.Exec(t, `UPDATE invoice_jobs SET reason = 'unit_price is required' WHERE job_id = 'j4'`)
	causes, err := b.store.Reports.Causes(t.Context(), ledger.FailedFilter{}, 1000, 100)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range causes.Causes {
		got = append(got, fmt.Sprintf("%d %s: %s (%s)", c.Jobs, c.Outcome, c.Reason, c.JobID))
	}
	want := `5 failed: attempt # failed: column "colour" of # does not exist (j12); 1 failed: unit_price is required (j4)`
	if strings.Join(got, "; ") != want || causes.AtLeast || !causes.Causes[0].LastAt.Equal(now) {
		t.Errorf("%s; %+v", strings.Join(got, "; "), causes)
	}
	if some, err := b.store.Reports.Causes(t.Context(), ledger.FailedFilter{Producer: "cron", Reason: "COLOUR"}, 1000, 100); err != nil || some.Causes[0].Jobs != 2 {
		t.Errorf("%+v, %v", some, err)
	}
}

// What a list counts as one cause, a filter selects.
func TestFilterByCauseSelectsWhatIsCounted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	random := rand.New(rand.NewPCG(1, 2))
	words := []string{"a", "x1", "\u00a0", "\t", "\r", "\f", "\v", "'1'", `"q 7"`, "(3)", "é9ü", "٣", ";4,", " ", "\u2028", "\\", "%", "10.0.0.7:5432:", strings.Repeat("é", 300)}
	for i := range 200 {
		var reason strings.Builder
		for range 1 + random.IntN(9) {
			reason.WriteString(words[random.IntN(len(words))])
		}
		b.Exec(t, `INSERT INTO invoice_jobs (job_id, queue, payload, state, outcome, reason) VALUES ($1, 'default', '{}', 'failed', 'failed', $2)`, fmt.Sprint(i), reason.String())
	}
	causes, err := b.store.Reports.Causes(t.Context(), ledger.FailedFilter{}, 1000, 1000)
	if err != nil || causes.Jobs != 200 {
		t.Fatalf("%d jobs, error %v", causes.Jobs, err)
	}
	for _, c := range causes.Causes {
		if n, _, err := b.store.Ledger.CountFailed(t.Context(), ledger.FailedFilter{Cause: c.Reason}); err != nil || int64(n) != c.Jobs {
			t.Errorf("cause %q: %d jobs counted, %d selected, error %v", c.Reason, c.Jobs, n, err)
		}
	}
}

func TestListsOfInvoicesAndDuplicates(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Exec(t, `INSERT INTO invoice_series (series, period, kind) VALUES ('INV', '', 'invoice'), ('X', '', 'invoice')`)
	b.Exec(t, `INSERT INTO invoices (series, period, number, invoice_number, kind, transaction_id, idempotency_key, job_id, fingerprint, currency, subtotal_minor, tax_minor, total_minor, issued_at)
SELECT series, '', n, series || '-' || n, 'invoice', series || n, series || n, 'job' || n, 'v1:' || repeat('0', 64), 'GBP', 1, 0, 1, now()
FROM unnest(ARRAY['INV', 'X']) series, generate_series(1, 3) n ORDER BY series, n`)
	b.Exec(t, `INSERT INTO duplicate_attempts (job_id, transaction_id, idempotency_key, invoice_id, reason, producer, worker)
SELECT 'again' || id, transaction_id, transaction_id, id, 'lost_race', CASE WHEN series = 'X' THEN 'cron' END, 'w' FROM invoices ORDER BY id`)
	invoices, err := b.store.Reports.Invoices(t.Context(), report.Filter{Series: "INV"}, "", 2)
	if err != nil || len(invoices.Rows) != 2 || invoices.Rows[0].InvoiceNumber != "INV-3" || invoices.Next == "" {
		t.Errorf("%+v, %v", invoices, err)
	}
	if invoices, err = b.store.Reports.Invoices(t.Context(), report.Filter{Series: "INV"}, invoices.Next, 2); err != nil || len(invoices.Rows) != 1 || invoices.Rows[0].InvoiceNumber != "INV-1" || invoices.Next != "" {
		t.Errorf("the second page: %+v, %v", invoices, err)
	}
	duplicates, err := b.store.Reports.Duplicates(t.Context(), report.Filter{Producer: "cron", Reason: "lost_race"}, "", 10)
	if err != nil || len(duplicates.Rows) != 3 || duplicates.Rows[0].InvoiceNumber != "X-3" || duplicates.Rows[0].WinnerJobID != "job3" || duplicates.Next != "" {
		t.Errorf("%+v, %v", duplicates, err)
	}
	series, err := b.store.Reports.InvoiceGroups(t.Context(), report.Filter{}, "series", 100, 10)
	if err != nil || groupsOf(series) != `3 "INV" INV-3, 3 "X" X-3` {
		t.Errorf("%s, %v", groupsOf(series), err)
	}
	of, err := b.store.Reports.InvoiceGroups(t.Context(), report.Filter{Series: "X"}, "producer", 100, 10)
	if err != nil || groupsOf(of) != `3 "" X-3` {
		t.Errorf("%s, %v", groupsOf(of), err)
	}
	producers, err := b.store.Reports.DuplicateGroups(t.Context(), report.Filter{}, "producer", 100, 10)
	if err != nil || groupsOf(producers) != `3 "" again3, 3 "cron" again6` {
		t.Errorf("%s, %v", groupsOf(producers), err)
	}
	reasons, err := b.store.Reports.DuplicateGroups(t.Context(), report.Filter{Producer: "cron"}, "reason", 100, 10)
	if err != nil || groupsOf(reasons) != `3 "lost_race" again6` {
		t.Errorf("%s, %v", groupsOf(reasons), err)
	}
}

// groupsOf prints groups in brief.
func groupsOf(g report.Groups) string {
	var all []string
	for _, one := range g.Groups {
		all = append(all, fmt.Sprintf("%d %q %s", one.Count, one.Value, one.Example))
	}
	return strings.Join(all, ", ")
}

func TestGroups(t *testing.T) {
	t.Parallel()
	b := setup(t)
	now := b.plant(t, 12)
	b.Exec(t, `UPDATE invoice_jobs SET payload = CASE WHEN job_id < 'j2' THEN '{"series":"UK"}' ELSE '{}' END, producer = CASE WHEN job_id <> 'j5' THEN producer END`)
	for by, test := range map[string]struct {
		filter report.Filter
		want   string
	}{
		"producer": {report.Filter{}, `7 "checkout" j11, 4 "cron" j12, 1 "" j5`},
		"state":    {report.Filter{Queue: "bulk"}, `6 "accepted" j11, 6 "failed" j12`},
		"queue":    {report.Filter{State: "failed", Producer: "cron"}, `2 "bulk" j12`},
		"outcome":  {report.Filter{State: "failed"}, `6 "failed" j12`},
		"series":   {report.Filter{DefaultSeries: "INV", Since: now.Add(-3 * time.Minute)}, `3 "UK" j12, 1 "INV" j9`},
	} {
		got, err := b.store.Reports.JobGroups(t.Context(), test.filter, by, 1000, 10)
		if err != nil || groupsOf(got) != test.want || got.AtLeast || got.LeftOut != 0 {
			t.Errorf("by %s: %s, want %s; %+v, %v", by, groupsOf(got), test.want, got, err)
		}
	}
	one, err := b.store.Reports.JobGroups(t.Context(), report.Filter{}, "producer", 1000, 1)
	if err != nil || len(one.Groups) != 1 || one.LeftOut != 2 || one.Records != 12 || !one.Groups[0].LastAt.Equal(now.Add(-time.Minute)) || !one.Groups[0].FirstAt.Equal(now.Add(-11*time.Minute)) {
		t.Errorf("%+v, %v", one, err)
	}
}

// Groups are of the latest records alone, read in steps.
func TestGroupsLookAtABoundedNumber(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Exec(t, `INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, producer, payload, state, outcome, reason)
SELECT 'j' || n, 't' || n, 't' || n, 'bulk', CASE WHEN n % 10 = 0 THEN 'cron' ELSE 'checkout' END, '{}',
    CASE WHEN n > 45000 THEN 'failed' ELSE 'accepted' END, CASE WHEN n > 45000 THEN 'failed' END, CASE WHEN n > 45000 THEN 'x' END FROM generate_series(1, 50000) n`)
	for _, test := range []struct {
		filter  report.Filter
		look    int
		want    string
		atLeast bool
	}{
		{report.Filter{}, 40_000, `36000 "checkout" j49999, 4000 "cron" j50000`, true},
		{report.Filter{}, 60_000, `45000 "checkout" j49999, 5000 "cron" j50000`, false},
		{report.Filter{State: "failed"}, 4_000, `3600 "checkout" j49999, 400 "cron" j50000`, true},
		{report.Filter{State: "failed"}, 6_000, `4500 "checkout" j49999, 500 "cron" j50000`, false},
	} {
		got, err := b.store.Reports.JobGroups(t.Context(), test.filter, "producer", test.look, 10)
		if err != nil || groupsOf(got) != test.want || got.AtLeast != test.atLeast {
			t.Errorf("%+v: %s, at least %t, %v; want %s", test, groupsOf(got), got.AtLeast, err, test.want)
		}
	}
}
