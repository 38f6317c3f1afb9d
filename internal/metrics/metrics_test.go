package metrics_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"invoicer/internal/fit"
	"invoicer/internal/metrics"
	"invoicer/internal/races"
	"invoicer/internal/report"
	"invoicer/invoice"
	"invoicer/worker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func text(t *testing.T, m *metrics.Metrics) string {
	t.Helper()
	families, err := m.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range families {
		for _, one := range f.GetMetric() {
			var labels []string
			for _, l := range one.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			value := one.GetCounter().GetValue() + one.GetGauge().GetValue() + float64(one.GetHistogram().GetSampleCount())
			fmt.Fprintf(&b, "%s{%s} %g\n", f.GetName(), strings.Join(labels, ","), value)
		}
	}
	return b.String()
}

func has(t *testing.T, m *metrics.Metrics, lines ...string) {
	t.Helper()
	all := "\n" + text(t, m)
	for _, line := range lines {
		if !strings.Contains(all, "\n"+line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
}

func TestEverythingIsThereAtZero(t *testing.T) {
	t.Parallel()
	m := metrics.New(metrics.Options{Queues: []string{"default"}, Version: "v1", Revision: "abc", Go: "go1"})
	has(t, m, `invoicer_jobs_total{outcome="created",queue="default"} 0`, `invoicer_jobs_total{outcome="failed",queue="default"} 0`,
		`invoicer_lock_contention_total{queue="default"} 0`, `invoicer_done_hits_total{queue="default"} 0`,
		`invoicer_late_duplicates_total{cache="hit",queue="default"} 0`, `invoicer_late_duplicates_total{cache="miss",queue="default"} 0`,
		`invoicer_job_duration_seconds{outcome="conflict"} 0`, `invoicer_enqueue_to_invoice_seconds{} 0`, `invoicer_lock_wait_seconds{} 0`,
		`invoicer_batch_size{} 0`, `invoicer_reconciled_total{found="missing"} 0`, `invoicer_reconciled_total{found="left"} 0`,
		`invoicer_reconciled_total{found="given_up"} 0`, `invoicer_relayed_total{} 0`, `invoicer_race_alarm{producer="none"} 0`, `invoicer_race_drift{producer="none"} 0`,
		`invoicer_build_info{goversion="go1",revision="abc",version="v1"} 1`)
}

func TestPromlint(t *testing.T) {
	t.Parallel()
	m := metrics.New(metrics.Options{Queues: []string{"default"}})
	m.Pools(nothing, noPool)
	families, err := m.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "invoicer_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

func TestProducersAreBounded(t *testing.T) {
	t.Parallel()
	m := metrics.New(metrics.Options{Producers: 2})
	for _, producer := range []string{"a", "b", "c", "d", "a", ""} {
		m.ObserveWorker(worker.Event{What: worker.Ended, Queue: "q", Producer: producer, Outcome: invoice.Duplicate})
	}
	has(t, m, `invoicer_producer_jobs_total{outcome="duplicate",producer="a"} 2`, `invoicer_producer_jobs_total{outcome="duplicate",producer="b"} 1`,
		`invoicer_producer_jobs_total{outcome="duplicate",producer="other"} 2`, `invoicer_producer_jobs_total{outcome="duplicate",producer="none"} 1`)
	if all := text(t, m); strings.Contains(all, `producer="c"`) {
		t.Error("a third producer has a label of its own")
	}
}

func TestWorkerEvents(t *testing.T) {
	t.Parallel()
	m := metrics.New(metrics.Options{})
	m.ObserveWorker(worker.Event{What: worker.Ended, Queue: "q", Outcome: invoice.Created, Took: time.Second, Since: time.Minute})
	m.ObserveWorker(worker.Event{What: worker.Ended, Queue: "q", Outcome: invoice.Duplicate, DoneEntry: true})
	m.ObserveWorker(worker.Event{What: worker.LostRace, Queue: "q"})
	m.ObserveWorker(worker.Event{What: worker.PutBack, Queue: "q", LockWait: time.Millisecond})
	m.ObserveBatch(7)
	has(t, m, `invoicer_jobs_total{outcome="created",queue="q"} 1`, `invoicer_done_hits_total{queue="q"} 1`, `invoicer_enqueue_to_invoice_seconds{} 1`,
		`invoicer_lock_contention_total{queue="q"} 1`, `invoicer_lock_wait_seconds{} 1`, `invoicer_jobs_put_back_total{queue="q"} 1`, `invoicer_batch_size{} 1`)
}

// A job that is traced is an example of what its numbers say; one that isn't costs as much as ever.
func TestExemplars(t *testing.T) { //nolint:paralleltest // allocations of other tests would be counted
	m := metrics.New(metrics.Options{})
	e := worker.Event{What: worker.Ended, Queue: "q", Outcome: invoice.Created, Took: 3 * time.Millisecond, Since: time.Minute, LockWait: time.Second}
	if n := testing.AllocsPerRun(100, func() { m.ObserveWorker(e) }); n > 0 {
		t.Errorf("%v allocations for an event without a trace", n)
	}
	if found := exemplars(t, m); len(found) > 0 {
		t.Errorf("events without a trace are examples: %v", found)
	}
	e.TraceID = "0af7651916cd43dd8448eb211c80319c"
	m.ObserveWorker(e)
	e.Queue, e.TraceID = "other", ""
	m.ObserveWorker(e)
	want := []string{"invoicer_enqueue_to_invoice_seconds 60", "invoicer_job_duration_seconds 0.003", "invoicer_jobs_total 1", "invoicer_lock_wait_seconds 1"}
	if found := exemplars(t, m); !slices.Equal(found, want) {
		t.Errorf("the examples are %q, not %q", found, want)
	}
}

// exemplars returns the names and values of all that name the trace of [TestExemplars].
func exemplars(t *testing.T, m *metrics.Metrics) (found []string) {
	t.Helper()
	families, err := m.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, one := range f.GetMetric() {
			all := []*dto.Exemplar{one.GetCounter().GetExemplar()}
			for _, b := range one.GetHistogram().GetBucket() {
				all = append(all, b.GetExemplar())
			}
			for _, e := range all {
				if e == nil {
					continue
				}
				found = append(found, fmt.Sprintf("%s %g", f.GetName(), e.GetValue()))
				if l := e.GetLabel(); len(l) != 1 || l[0].GetName() != "trace_id" || l[0].GetValue() != "0af7651916cd43dd8448eb211c80319c" {
					t.Errorf("%s: %v", f.GetName(), l)
				}
			}
		}
	}
	return found
}

// The hit rate is that of late duplicates: one that lost the race would find any entry, however short its time.
func TestLateDuplicates(t *testing.T) {
	t.Parallel()
	m := metrics.New(metrics.Options{})
	end := func(o invoice.Outcome, r invoice.Reason, known bool) {
		m.ObserveWorker(worker.Event{What: worker.Ended, Queue: "q", Outcome: o, Reason: r, DoneEntry: known})
	}
	end(invoice.Duplicate, invoice.AlreadyInvoiced, true)
	end(invoice.Duplicate, invoice.AlreadyInvoiced, true)
	end(invoice.Duplicate, invoice.AlreadyInvoiced, false)
	end(invoice.Duplicate, invoice.LostRace, true)
	end(invoice.Created, "", false)
	has(t, m, `invoicer_late_duplicates_total{cache="hit",queue="q"} 2`, `invoicer_late_duplicates_total{cache="miss",queue="q"} 1`)
}

func TestCacheIsShown(t *testing.T) {
	t.Parallel()
	m := metrics.New(metrics.Options{})
	ttl := time.Hour
	m.CacheTTL(func() time.Duration { return ttl })
	times := []fit.Time{{TTL: time.Hour, Hits: 3, Entries: 7, Bytes: 700}, {TTL: time.Minute, Hits: 1}, {TTL: 24 * time.Hour, Hits: 4}}
	m.ShowCache(&fit.Look{Late: 4, Needed: 185, Times: times})
	ttl = 2 * time.Hour
	has(t, m, `invoicer_cache_ttl_seconds{} 7200`, `invoicer_cache_sample_late_duplicates{} 4`, `invoicer_cache_needed_late_duplicates{} 185`,
		`invoicer_cache_entries{} 7`, `invoicer_cache_bytes{} 700`, `invoicer_cache_would_hit_ratio{ttl_seconds="60"} 0.25`,
		`invoicer_cache_would_hit_ratio{ttl_seconds="86400"} 1`)
	if strings.Contains(text(t, m), "invoicer_cache_fitting_seconds") {
		t.Error("a fitting time is shown though the sample is too small")
	}
	m.ShowCache(&fit.Look{Late: 200, Needed: 185, Fitting: time.Minute, Times: times})
	has(t, m, `invoicer_cache_fitting_seconds{} 60`)
	m.ShowCache(nil)
	if all := text(t, m); strings.Contains(all, "invoicer_cache_sample") || strings.Contains(all, "invoicer_cache_would") || !strings.Contains(all, "invoicer_cache_ttl_seconds{} 7200") {
		t.Errorf("after a look that failed:\n%s", all)
	}
	m.ShowCache(&fit.Look{Times: times}) // there are no late duplicates to have a share of
	if all := text(t, m); strings.Contains(all, "would_hit") || strings.Contains(all, "NaN") {
		t.Errorf("of no duplicates:\n%s", all)
	}
}

// A store whose producer's duplicates are what the windows that are given have.
type store struct {
	mu      sync.Mutex // for the fields that the test changes meanwhile
	begun   time.Time
	windows int                    // complete ones
	seen    func(window int) int64 // duplicates of 200 jobs
	broken  bool
	silent  int // a window in which nothing ended

	silentFrom int // the first of those after which nothing ends; 0: there is none
}

func (s *store) Waiting(context.Context) (report.Waiting, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken {
		return report.Waiting{}, errors.New("away")
	}
	return report.Waiting{Accepted: 1, Enqueued: 2, Failed: 3, Paused: 5, OldestSeconds: 4}, nil
}

func (s *store) Windows(_ context.Context, since time.Time) (counts races.Counts, until time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken {
		return nil, time.Time{}, errors.New("away")
	}
	complete := s.begun.Add(time.Duration(s.windows) * races.Window)
	if since.IsZero() {
		since = s.begun
	}
	if until = since.Add(24 * time.Hour); until.After(complete) {
		until = complete
	}
	counts = make(races.Counts)
	for i := range s.windows {
		c := races.Count{Start: s.begun.Add(time.Duration(i) * races.Window), Ended: 200, Duplicates: s.seen(i)}
		if !c.Start.Before(since) && c.Start.Before(until) && i != s.silent && (s.silentFrom == 0 || i < s.silentFrom) {
			counts["checkout"] = append(counts["checkout"], c)
		}
	}
	return counts, until, nil
}

// watch runs a Watch until the test ends, and returns a function that makes windows complete and waits until they are judged.
func watch(t *testing.T, s *store, m *metrics.Metrics, logged io.Writer) (wait func(windows int)) {
	t.Helper()
	w := metrics.Watch{
		Metrics: m, Store: s, Producers: races.NewFollower(s.Windows), Logger: slog.New(slog.NewTextHandler(logged, nil)),
		Pending: func(context.Context) (map[string]int64, error) { return map[string]int64{"q": 5}, nil },
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.Run(ctx)
	}()
	t.Cleanup(func() {
		stop()
		<-done
	})
	return func(windows int) {
		s.mu.Lock()
		s.windows += windows
		s.mu.Unlock()
		time.Sleep(61 * time.Second)
		synctest.Wait()
	}
}

// An alarm is logged and shown when it begins, and when it ends, once each.
func TestAlarmBeginsAndEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var logged strings.Builder
		const learned = 4 * 288
		s := &store{begun: time.Now(), windows: learned, silent: learned + 4, seen: func(i int) int64 {
			if i == learned || i == learned+1 || i == learned+3 {
				return 50
			}
			return 4
		}}
		m := metrics.New(metrics.Options{Producers: 10})
		wait := watch(t, s, m, &logged)
		for _, step := range []struct {
			windows, alarm, begun, ended int
		}{{0, 0, 0, 0}, {1, 1, 1, 0}, {0, 1, 1, 0}, {1, 1, 1, 0}, {1, 0, 1, 1}, {1, 1, 2, 1}, {1, 0, 2, 2}} {
			wait(step.windows)
			has(t, m, fmt.Sprintf(`invoicer_race_alarm{producer="checkout"} %d`, step.alarm))
			begun, ended := strings.Count(logged.String(), "more duplicates than its history"), strings.Count(logged.String(), "as expected again")
			if begun != step.begun || ended != step.ended {
				t.Errorf("%+v: %d began and %d ended:\n%s", step, begun, ended, logged.String())
			}
		}
		has(t, m, `invoicer_ledger_jobs{state="accepted"} 1`, `invoicer_ledger_jobs{state="enqueued"} 2`, `invoicer_ledger_jobs{state="failed"} 3`, `invoicer_ledger_jobs{state="paused"} 5`,
			`invoicer_ledger_oldest_seconds{} 4`, `invoicer_queue_pending{queue="q"} 5`)
		s.mu.Lock()
		s.broken = true
		s.mu.Unlock()
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if n, err := testutil.GatherAndCount(m.Registry, "invoicer_ledger_jobs", "invoicer_ledger_oldest_seconds"); err != nil || n != 0 {
			t.Errorf("%d figures of a database that is away, error %v", n, err)
		}
	})
}

// A drift is logged and shown once: when it begins, and when it ends, be it that the producer is silent. A worker that starts while it
// lasts finds it.
func TestDriftBeginsAndEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var logged, restarted strings.Builder
		const learned, silence = 4 * 288, 289
		s := &store{begun: time.Now(), windows: learned, silent: -1, seen: func(i int) int64 {
			if i >= learned && i < learned+24 || i >= learned+48 {
				return 8
			}
			return 4
		}}
		m := metrics.New(metrics.Options{Producers: 10})
		wait := watch(t, s, m, &logged)
		for _, step := range []struct {
			windows, drift, begun, ended int
		}{{0, 0, 0, 0}, {2, 0, 0, 0}, {22, 1, 1, 0}, {0, 1, 1, 0}, {24, 0, 1, 1}, {24, 1, 2, 1}} {
			wait(step.windows)
			has(t, m, fmt.Sprintf(`invoicer_race_drift{producer="checkout"} %d`, step.drift), `invoicer_race_alarm{producer="checkout"} 0`)
			begun, ended := strings.Count(logged.String(), "drift upwards"), strings.Count(logged.String(), "no longer drift")
			if begun != step.begun || ended != step.ended {
				t.Errorf("%+v: %d began and %d ended:\n%s", step, begun, ended, logged.String())
			}
		}
		again := metrics.New(metrics.Options{Producers: 10})
		watch(t, s, again, &restarted)(0)
		has(t, again, `invoicer_race_drift{producer="checkout"} 1`)
		since := "since=" + s.begun.Add((learned+48)*races.Window).Format("2006-01-02T15:04:05.000Z")
		if !strings.Contains(restarted.String(), since) || !strings.Contains(logged.String(), since) {
			t.Errorf("no line has %s:\n%s\nrestarted:\n%s", since, logged.String(), restarted.String())
		}
		s.mu.Lock()
		s.silentFrom = learned + 72
		s.mu.Unlock()
		wait(silence)
		has(t, m, `invoicer_race_drift{producer="checkout"} 0`)
	})
}

func nothing() sql.DBStats { return sql.DBStats{} }

func noPool() *redis.PoolStats { return &redis.PoolStats{} }
