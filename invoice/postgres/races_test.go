package postgres_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"invoicer/internal/report"
	"invoicer/invoice"
)

// history counts, for every window of the last days but those of the last 15 minutes, 200 jobs of a producer, with duplicates.
func (b *site) history(t *testing.T, producer string, days, duplicates int) {
	t.Helper()
	b.Exec(t, `INSERT INTO producer_counts (window_start, producer, worker, lane, ended, duplicates)
		SELECT date_bin('5 minutes', now(), 'epoch') - n * interval '5 minutes', $1, 'past', 0, 200, $3
		FROM generate_series(4, $2 * 288) AS n`, producer, days, duplicates)
}

// window counts jobs in the window that ended last but some.
func (b *site) window(t *testing.T, producer string, ago, ended, duplicates int) {
	t.Helper()
	b.Exec(t, `INSERT INTO producer_counts (window_start, producer, worker, lane, ended, duplicates)
		VALUES (date_bin('5 minutes', now(), 'epoch') - $2 * interval '5 minutes', $1, 'past', 0, $3, $4)`, producer, ago, ended, duplicates)
}

func (b *site) races(t *testing.T, producer *string) *report.Races {
	t.Helper()
	r, err := b.store.Reports.Races(t.Context(), 24*time.Hour, producer)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRacesTellAJump(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.history(t, "checkout", 14, 4)
	b.history(t, "cron", 14, 4)
	b.history(t, "new", 2, 4)
	for _, producer := range []string{"checkout", "new"} {
		b.window(t, producer, 3, 200, 40)
		b.window(t, producer, 2, 200, 40)
	}
	made := b.create(t, "first", job(t, "T1"))
	for i := range 12 {
		e := end(fmt.Sprintf("d%d", i), invoice.Duplicate, made)
		e.TransactionID = fmt.Sprintf("T%02d", i)
		if err := b.store.Ledger.Record(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	b.Exec(t, "UPDATE duplicate_attempts SET attempted_at = date_bin('5 minutes', now(), 'epoch') - interval '14 minutes'")

	r := b.races(t, nil)
	if len(r.Alarms) != 1 {
		t.Fatalf("alarms %+v, want one", r.Alarms)
	}
	a := r.Alarms[0]
	if a.Producer != "checkout" || a.Ended != 400 || a.Duplicates != 80 || a.Until.Sub(a.From) != 10*time.Minute || a.Expected < 7.5 || a.Expected > 8.5 || a.P > 1e-9 {
		t.Errorf("the alarm is %+v", a)
	}
	if len(a.TransactionIDs) != 10 || a.TransactionIDs[0] != "T00" {
		t.Errorf("its transactions are %v, want ten", a.TransactionIDs)
	}
	byName := make(map[string]report.ProducerRaces)
	for _, p := range r.Producers {
		byName[p.Producer] = p
	}
	if p := byName["checkout"]; !p.Alarming || p.Learning {
		t.Errorf("%+v, want it alarming", p)
	}
	if p := byName["cron"]; p.Alarming || p.Learning || p.Ended < 280*200 || p.Ended > 289*200 {
		t.Errorf("%+v, want it quiet, with the jobs of 24 hours", p)
	}
	if p := byName["new"]; p.Alarming || !p.Learning || p.Duplicates < 80 {
		t.Errorf("%+v, want it learning", p)
	}
	if p, known := byName[""]; !known || p.Ended != 1 {
		t.Errorf("jobs without a producer: %+v", p)
	}
	only := "cron"
	if r := b.races(t, &only); len(r.Producers) != 1 || r.Producers[0].Producer != only || len(r.Alarms) != 0 {
		t.Errorf("of cron alone: %+v", r)
	}
	if n, err := b.store.Ledger.PruneCounts(t.Context(), 1000, false); err != nil || n != 0 {
		t.Errorf("pruned %d, error %v, before 28 days", n, err)
	}
	b.Exec(t, "UPDATE producer_counts SET window_start = window_start - interval '29 days' WHERE producer = 'new'")
	old := b.Count(t, "SELECT count(*) FROM producer_counts WHERE producer = 'new'")
	if n, err := b.store.Ledger.PruneCounts(t.Context(), 1000, true); err != nil || n != old {
		t.Errorf("would prune %d, error %v, want %d", n, err, old)
	}
	if n, err := b.store.Ledger.PruneCounts(t.Context(), 100, false); err != nil || n != 100 {
		t.Errorf("pruned %d, error %v, want 100 at once", n, err)
	}
}

// A rate that doubles makes no window alarming, but is seen.
func TestRacesTellADrift(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, producer := range []string{"checkout", "cron"} {
		b.history(t, producer, 14, 4)
	}
	b.Exec(t, "UPDATE producer_counts SET duplicates = 8 WHERE producer = 'checkout' AND window_start >= date_bin('5 minutes', now(), 'epoch') - interval '2 hours'")
	b.window(t, "checkout", 2, 200, 8)
	made := b.create(t, "first", job(t, "T1"))
	e := end("again", invoice.Duplicate, made)
	if err := b.store.Ledger.Record(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	b.Exec(t, "UPDATE duplicate_attempts SET attempted_at = date_bin('5 minutes', now(), 'epoch') - interval '30 minutes'")

	r := b.races(t, nil)
	if len(r.Alarms) != 0 || len(r.Drifts) != 1 {
		t.Fatalf("alarms %+v, drifts %+v, want one drift", r.Alarms, r.Drifts)
	}
	d := r.Drifts[0]
	if d.Producer != "checkout" || d.Ended < 21*200 || d.Ended > 23*200 || d.Duplicates*25 != d.Ended || d.Expected < 80 || d.Expected > 100 || d.Sum < 5 ||
		d.Until.Sub(d.Since) < 110*time.Minute || d.Until.Sub(d.Since) > 2*time.Hour {
		t.Errorf("the drift is %+v", d)
	}
	if len(d.TransactionIDs) != 1 || d.TransactionIDs[0] != "T1" {
		t.Errorf("its transactions are %v", d.TransactionIDs)
	}
	for _, p := range r.Producers {
		if p.Drifting != (p.Producer == "checkout") || p.Alarming {
			t.Errorf("%+v", p)
		}
	}
	only := "cron"
	if r := b.races(t, &only); len(r.Drifts) != 0 {
		t.Errorf("of cron alone: %+v", r.Drifts)
	}
	b.Exec(t, "UPDATE producer_counts SET window_start = window_start - interval '2 days', lane = 1")
	b.store = b.open(t) // which has judged nothing yet
	if r := b.races(t, nil); len(r.Drifts) != 0 {
		t.Errorf("two days later: %+v", r.Drifts)
	}
}

// All windows are read in the end, a day of them at a time.
func TestWindowsOfADayAtATime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.history(t, "checkout", 29, 3)
	b.Exec(t, "UPDATE producer_counts SET ended = 100")
	b.Exec(t, `INSERT INTO producer_counts (window_start, producer, worker, lane, ended, duplicates)
		SELECT window_start, producer, 'past', 1, 60, 0 FROM producer_counts UNION ALL SELECT window_start, producer, 'another', 0, 40, 1 FROM producer_counts`)
	read, longest := 0, 0
	var since, last time.Time
	for {
		counts, until, err := b.store.Reports.Windows(t.Context(), since)
		if err != nil {
			t.Fatal(err)
		}
		if until.Equal(since) {
			break
		}
		of := counts["checkout"]
		for _, c := range of {
			if !c.Start.After(last) || c.Ended != 200 || c.Duplicates != 4 {
				t.Fatalf("%+v comes after the window of %s", c, last)
			}
			last = c.Start
		}
		read, longest, since = read+len(of), max(longest, len(of)), until
	}
	if longest != 288 || read < 28*288-5 || read > 28*288 {
		t.Errorf("%d windows were read, %d at once", read, longest)
	}
}

// An attempt that began before its invoice was written would have found none; one that began later would have found it.
func TestRacesThatAPlainCheckWouldHaveLost(t *testing.T) {
	t.Parallel()
	b := setup(t)
	made := b.create(t, "first", job(t, "T1", by("cron")))
	b.Exec(t, "SELECT pg_sleep(0.001)")
	for id, began := range map[string]time.Time{"early": time.Now().Add(-time.Hour), "late": time.Now(), "unknown": {}} {
		e := end(id, invoice.Duplicate, made)
		e.Began = began
		if err := b.store.Ledger.Record(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	d := b.races(t, nil).Doubled
	if d.Attempts != 1 || !d.Complete || len(d.Examples) != 1 || len(d.Hours) != 1 || len(d.Pairs) != 1 {
		t.Fatalf("%+v, want one attempt", d)
	}
	if p := d.Pairs[0]; p.Producer != "checkout" || p.InvoiceProducer != "cron" || p.Attempts != 1 || p.MedianSeconds < 3500 || p.MostSeconds > 3600 {
		t.Errorf("the pair is %+v", p)
	}
	if e := d.Examples[0]; e.JobID != "early" || e.TransactionID != "T1" || e.InvoiceNumber != made.Number {
		t.Errorf("the example is %+v", e)
	}
	if p := b.races(t, nil).Producers; len(p) != 2 || p[0].Producer != "checkout" || p[0].Doubled != 1 || p[0].LostRaces != 3 {
		t.Errorf("the producers are %+v", p)
	}
	for producer, want := range map[string]int64{"cron": 1, "checkout": 1, "other": 0} {
		if got := b.races(t, &producer).Doubled.Attempts; got != want {
			t.Errorf("%d of producer %s, want %d", got, producer, want)
		}
	}
}

func TestTwins(t *testing.T) {
	t.Parallel()
	b := setup(t)
	others := map[string]func(*invoice.Job){
		"another customer": func(j *invoice.Job) { j.CustomerID = "1" },
		"another quantity": func(j *invoice.Job) { j.Lines[0].Quantity = decimal(t, "7") },
		"another currency": func(j *invoice.Job) { j.Currency = "USD" },
		"nobody":           func(j *invoice.Job) { j.CustomerID, j.CustomerName = "", "" },
		"nobody either":    func(j *invoice.Job) { j.CustomerID, j.CustomerName = "", "" },
	}
	for name, change := range others {
		b.create(t, name, job(t, strings.ReplaceAll(name, " ", "-"), change))
	}
	if twins := b.races(t, nil).Twins; twins.Invoices != 0 || !twins.Complete {
		t.Errorf("%+v, want none", twins)
	}
	one := b.create(t, "one", job(t, "T1", by("checkout")))
	two := b.create(t, "two", job(t, "T2", by("cron"), func(j *invoice.Job) { j.IssuedAt = j.IssuedAt.Add(time.Second) }))
	twins := b.races(t, nil).Twins
	if twins.Invoices != 1 || len(twins.Latest) != 1 {
		t.Fatalf("%+v, want one", twins)
	}
	if w := twins.Latest[0]; w.TransactionID != "T2" || w.TwinOf != "T1" || w.InvoiceNumber != two.Number || w.TwinNumber != one.Number ||
		w.Producer != "cron" || w.TwinProducer != "checkout" || w.TotalMinor == 0 || w.Seconds < 0 {
		t.Errorf("the twin is %+v", w)
	}
}

// Duplicates of another producer's invoice, and conflicts with one, are counted apart from a producer's own repeats.
func TestRacesTellTwoProducersOfOneTransaction(t *testing.T) {
	t.Parallel()
	b := setup(t)
	by := func(producer string) func(*invoice.Job) { return func(j *invoice.Job) { j.Producer = producer } }
	made := b.create(t, "first", job(t, "T1", by("shop-a")))
	unnamed := b.create(t, "unnamed", job(t, "T2"))
	b.create(t, "other", job(t, "T3", by("shop-a"), func(j *invoice.Job) { j.IdempotencyKey = "K3" }))
	for _, d := range []struct {
		id, producer string
		of           *invoice.Ref
	}{{"own repeat", "shop-a", made}, {"another's", "shop-b", made}, {"another's again", "shop-b", made}, {"nobody's", "", made}, {"of nobody's", "shop-b", unnamed}} {
		e := end(d.id, invoice.Duplicate, d.of)
		e.TransactionID, e.Producer = d.of.TransactionID, d.producer
		if err := b.store.Ledger.Record(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	for id, c := range map[string]struct{ producer, transaction, key string }{
		"conflict": {"shop-b", "T1", "T1"}, "own conflict": {"shop-a", "T1", "T1"}, "conflict of keys": {"shop-c", "T4", "K3"}, "nobody's conflict": {"", "T1", "T1"},
	} {
		e := end(id, invoice.Conflict, nil)
		e.TransactionID, e.IdempotencyKey, e.Producer, e.Detail = c.transaction, c.key, c.producer, "with other content"
		if err := b.store.Ledger.Record(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}

	s := b.races(t, nil).Shared
	if s.Duplicates != 2 || s.Conflicts != 2 || !s.Complete || len(s.Examples) != 4 {
		t.Errorf("%+v", s)
	}
	want := []report.SharedPair{{Producer: "shop-b", InvoiceProducer: "shop-a", Duplicates: 2, Conflicts: 1}, {Producer: "shop-c", InvoiceProducer: "shop-a", Conflicts: 1}}
	if !slices.Equal(s.Pairs, want) {
		t.Errorf("pairs %+v, want %+v", s.Pairs, want)
	}
	if e := s.Examples[slices.IndexFunc(s.Examples, func(e report.SharedSample) bool { return e.JobID == "conflict of keys" })]; e.InvoiceProducer != "shop-a" || e.Outcome != "conflict" || e.InvoiceNumber == "" {
		t.Errorf("%+v", e)
	}
	third := "shop-c"
	if s := b.races(t, &third).Shared; s.Duplicates != 0 || s.Conflicts != 1 {
		t.Errorf("of shop-c: %+v", s)
	}
	for _, p := range b.races(t, nil).Producers {
		if shared := map[string]int64{"shop-b": 3, "shop-c": 1}[p.Producer]; p.Shared != shared {
			t.Errorf("producer %q: %d shared, want %d", p.Producer, p.Shared, shared)
		}
	}
	// What wasn't looked at is told, also where nothing was found in the rest.
	b.Exec(t, `INSERT INTO duplicate_attempts (job_id, transaction_id, idempotency_key, invoice_id, reason, worker, producer)
		SELECT 'many' || n, 'T1', 'T1', $1, 'already_invoiced', 'w1', 'shop-a' FROM generate_series(1, 100000) AS n`, made.ID)
	if s := b.races(t, &third).Shared; s.Complete {
		t.Errorf("%+v counts as all that there is", s)
	}
}
