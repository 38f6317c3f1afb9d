package metrics

import (
	"context"
	"database/sql"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"invoicer/internal/races"
	"invoicer/internal/report"
)

// A Store is asked for what waits.
type Store interface {
	Waiting(ctx context.Context) (report.Waiting, error)
}

// Producers are followed by a [races.Follower].
type Producers interface {
	Findings(ctx context.Context) (races.Findings, error)
}

// A Watch looks at what no event tells: what waits in the ledger and in the queues, and whether a producer's duplicates jump or
// drift.
type Watch struct {
	Metrics *Metrics
	Store   Store
	// Producers may be shared with others: each window is judged once for all of them.
	Producers Producers
	// Pending returns how many tasks wait in each queue of this installation, those that no worker consumes too.
	Pending func(ctx context.Context) (map[string]int64, error)
	Logger  *slog.Logger

	alarms map[string]bool // the producers whose latest window is alarming
	shown  []string        // the queues whose depth was shown last
	drifts map[string]bool // the producers that drift
}

const (
	// mostQueues bounds the labels: whoever accepts jobs may make up names of queues.
	mostQueues = 100
	// lookEvery is the time between two looks at what waits, and judgeEvery that between two looks at the counts.
	lookEvery  = 10 * time.Second
	judgeEvery = time.Minute
	// lookTimeout bounds one look, and judgeTimeout one at the counts, the first of which reads 28 days of them. What it has
	// judged by then, the next one needn't read.
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
	if waiting, err := w.Store.Waiting(ctx); err != nil {
		m.ledger.Reset()
		m.oldest.Reset()
	} else {
		m.ledger.WithLabelValues("accepted").Set(float64(waiting.Accepted))
		m.ledger.WithLabelValues("enqueued").Set(float64(waiting.Enqueued))
		m.ledger.WithLabelValues("failed").Set(float64(waiting.Failed))
		m.ledger.WithLabelValues("paused").Set(float64(waiting.Paused))
		m.oldest.WithLabelValues().Set(waiting.OldestSeconds)
	}
	pending, err := w.Pending(ctx)
	if err != nil {
		m.pending.Reset()
		return
	}
	for _, queue := range w.shown { // one that nobody uses any more isn't shown any more
		if _, known := pending[queue]; !known {
			m.pending.DeleteLabelValues(queue)
		}
	}
	w.shown = slices.Sorted(maps.Keys(pending))
	w.shown = w.shown[:min(len(w.shown), mostQueues)]
	for _, queue := range w.shown {
		m.pending.WithLabelValues(queue).Set(float64(pending[queue]))
	}
}

// judgeProducers shows and logs what is found in the windows that are complete since the last time.
func (w *Watch) judgeProducers(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, judgeTimeout)
	defer cancel()
	found, err := w.Producers.Findings(ctx)
	if err != nil {
		return
	}
	alarming, drifting := map[string]float64{none: 0}, map[string]float64{none: 0}
	for producer, v := range found.Latest {
		label := w.Metrics.producers.label(producer)
		alarming[label] = max(alarming[label], float(v.Alarming(found.Until)))
		drifting[label] = max(drifting[label], float(v.Drifting(found.Until)))
		w.tell(ctx, v, found.Until)
	}
	show(w.Metrics.alarm, alarming)
	show(w.Metrics.drift, drifting)
}

func float(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// show sets a gauge for each producer. Labels of producers that weren't there before may have been given away.
func show(g *prometheus.GaugeVec, states map[string]float64) {
	g.Reset()
	for label, state := range states {
		g.WithLabelValues(label).Set(state)
	}
}

// tell logs that a producer's alarm or drift begins or ends.
func (w *Watch) tell(ctx context.Context, v races.Verdict, until time.Time) {
	if w.alarms == nil {
		w.alarms, w.drifts = make(map[string]bool), make(map[string]bool)
	}
	switch now := v.Alarming(until); {
	case now && !w.alarms[v.Producer]:
		w.Logger.WarnContext(ctx, "a producer sends more duplicates than its history explains: `invoicer races` has examples",
			"producer", v.Producer, "window", v.Start, "jobs", v.Ended, "duplicates", v.Duplicates,
			"expected", rounded(v.Expected), "p", strconv.FormatFloat(v.P, 'g', 2, 64))
		w.alarms[v.Producer] = true
	case !now && w.alarms[v.Producer]:
		w.Logger.InfoContext(ctx, "a producer's duplicates are as expected again", "producer", v.Producer)
		delete(w.alarms, v.Producer)
	}
	switch now := v.Drifting(until); {
	case now && !w.drifts[v.Producer]:
		w.Logger.WarnContext(ctx, "a producer's duplicates drift upwards, window by window: `invoicer races` has examples",
			"producer", v.Producer, "since", v.Drift.Since, "jobs", v.Drift.Ended, "duplicates", v.Drift.Duplicates, "expected", rounded(v.Drift.Expected))
		w.drifts[v.Producer] = true
	case !now && w.drifts[v.Producer]:
		w.Logger.InfoContext(ctx, "a producer's duplicates no longer drift", "producer", v.Producer)
		delete(w.drifts, v.Producer)
	}
}

func rounded(expected float64) string { return strconv.FormatFloat(expected, 'f', 1, 64) }

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
