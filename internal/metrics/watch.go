package metrics

import (
	"context"
	"database/sql"
	"log/slog"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"invoicer/internal/races"
	"invoicer/internal/report"
)

// A Store is asked for what waits, and for the counts of producers.
type Store interface {
	Waiting(ctx context.Context, queues []string) (report.Waiting, error)
	Windows(ctx context.Context, since time.Time) (counts []races.ProducerCount, until time.Time, err error)
}

// A Watch looks at what no event tells: what waits in the ledger and in the queues, and whether a producer's duplicates jump.
type Watch struct {
	Metrics *Metrics
	Store   Store
	Queues  []string
	// Pending returns how many tasks wait in each queue.
	Pending func(ctx context.Context, queues []string) (map[string]int64, error)
	Logger  *slog.Logger

	judge  races.Judge
	since  time.Time       // up to then, windows are judged
	alarms map[string]bool // the producers whose latest window is alarming
}

const (
	// lookEvery is the time between two looks at what waits, and judgeEvery that between two looks at the counts.
	lookEvery  = 10 * time.Second
	judgeEvery = time.Minute
	// lookTimeout bounds one look, and judgeTimeout one at the counts, the first of which reads fourteen days of them.
	lookTimeout  = 5 * time.Second
	judgeTimeout = 30 * time.Second
)

// Run looks until ctx ends. A look that fails is left out, without a word: the health checks tell of an outage. What can't be
// known then is no longer shown.
func (w *Watch) Run(ctx context.Context) {
	look, judge := time.NewTicker(lookEvery), time.NewTicker(judgeEvery)
	defer look.Stop()
	defer judge.Stop()
	w.look(ctx)
	w.judgeProducers(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			w.look(ctx)
		case <-judge.C:
			w.judgeProducers(ctx)
		}
	}
}

func (w *Watch) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	m := w.Metrics
	if waiting, err := w.Store.Waiting(ctx, w.Queues); err != nil {
		m.ledger.Reset()
		m.oldest.Reset()
	} else {
		m.ledger.WithLabelValues("accepted").Set(float64(waiting.Accepted))
		m.ledger.WithLabelValues("enqueued").Set(float64(waiting.Enqueued))
		m.ledger.WithLabelValues("failed").Set(float64(waiting.Failed))
		m.oldest.WithLabelValues().Set(waiting.OldestSeconds)
	}
	pending, err := w.Pending(ctx, w.Queues)
	if err != nil {
		m.pending.Reset()
		return
	}
	for queue, n := range pending {
		m.pending.WithLabelValues(queue).Set(float64(n))
	}
}

// judgeProducers judges the windows that are complete since the last time, and logs each alarm that begins or ends.
func (w *Watch) judgeProducers(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, judgeTimeout)
	defer cancel()
	counts, until, err := w.Store.Windows(ctx, w.since)
	if err != nil {
		return
	}
	w.judge.Judge(counts)
	w.since = until
	states := map[string]float64{none: 0}
	for producer, v := range w.judge.Latest() {
		label := w.Metrics.producers.label(producer)
		alarming := v.Alarm && v.Start.Add(races.Window).Equal(until)
		if alarming {
			states[label] = 1
		} else {
			states[label] = max(states[label], 0)
		}
		w.tell(ctx, v, alarming)
	}
	w.Metrics.alarm.Reset() // labels of producers that weren't there before may have been given away
	for label, state := range states {
		w.Metrics.alarm.WithLabelValues(label).Set(state)
	}
}

// tell logs that a producer's alarm begins or ends.
func (w *Watch) tell(ctx context.Context, v races.Verdict, alarming bool) {
	if alarming == w.alarms[v.Producer] {
		return
	}
	if !alarming {
		delete(w.alarms, v.Producer)
		w.Logger.InfoContext(ctx, "a producer's duplicates are as expected again", "producer", v.Producer)
		return
	}
	if w.alarms == nil {
		w.alarms = make(map[string]bool)
	}
	w.alarms[v.Producer] = true
	w.Logger.WarnContext(ctx, "a producer sends more duplicates than its history explains: `invoicer races` has examples",
		"producer", v.Producer, "window", v.Start, "jobs", v.Ended, "duplicates", v.Duplicates,
		"expected", strconv.FormatFloat(v.Expected, 'f', 1, 64), "p", strconv.FormatFloat(v.P, 'g', 2, 64))
}

// Pools exports the state of the connections to both servers, which are asked for at each scrape.
func (m *Metrics) Pools(postgres func() sql.DBStats, redisPool func() *redis.PoolStats) {
	gauge := func(pool, state string, value func() float64) {
		m.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: "invoicer", Name: "pool_connections", Help: "Connections to the server, by what they do.",
			ConstLabels: prometheus.Labels{"pool": pool, "state": state},
		}, value))
	}
	counter := func(pool, name, help string, value func() float64) {
		m.Registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Namespace: "invoicer", Name: name, Help: help, ConstLabels: prometheus.Labels{"pool": pool},
		}, value))
	}
	const waits = "Times that something waited for a connection of the pool."
	gauge("postgres", "in_use", func() float64 { return float64(postgres().InUse) })
	gauge("postgres", "idle", func() float64 { return float64(postgres().Idle) })
	counter("postgres", "pool_waits_total", waits, func() float64 { return float64(postgres().WaitCount) })
	gauge("redis", "in_use", func() float64 { s := redisPool(); return float64(s.TotalConns - s.IdleConns) })
	gauge("redis", "idle", func() float64 { return float64(redisPool().IdleConns) })
	counter("redis", "pool_waits_total", waits, func() float64 { return float64(redisPool().WaitCount) })
}
