package postgres_test

import (
	"fmt"
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
