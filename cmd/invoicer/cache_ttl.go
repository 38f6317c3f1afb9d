package main

import (
	"cmp"
	"log/slog"
	"sync/atomic"
	"time"

	"invoicer/config"
	"invoicer/internal/fit"
	"invoicer/internal/metrics"
	"invoicer/internal/report"
	"invoicer/invoice/postgres"
	"invoicer/worker"
)

// newFitter returns what says how long Redis is to remember invoices: as long as configured, or with auto the default at first, and
// then what fits. It shows in the metrics what it sees.
func newFitter(cfg *config.Config, store *postgres.DB, m *metrics.Metrics, log *slog.Logger) (*fit.Fitter, error) {
	ttl := cfg.Idempotency.CacheTTL
	f, err := fit.New(fit.Options{
		Limits: limitsOf(cfg), TTL: cmp.Or(ttl, config.Default().Idempotency.CacheTTL), Fixed: ttl != config.Auto,
		Source: store.Reports, Show: m.ShowCache, Logger: log,
	})
	if err == nil {
		m.CacheTTL(f.TTL)
	}
	return f, err
}

func limitsOf(cfg *config.Config) fit.Limits {
	i := cfg.Idempotency
	return fit.Limits{Quantile: i.CacheQuantile, Min: i.CacheTTLMin, Max: i.CacheTTLMax}
}

// cacheHits counts the late duplicates of one worker.
type cacheHits struct{ late, hits atomic.Int64 }

func (c *cacheHits) observe(e worker.Event) {
	if !e.LateDuplicate() {
		return
	}
	c.late.Add(1)
	if e.DoneEntry {
		c.hits.Add(1)
	}
}

// tell returns a function for the worker's presence.
func (c *cacheHits) tell(ttl func() time.Duration) func() report.WorkerCache {
	return func() report.WorkerCache {
		hits := c.hits.Load() // first, or there might be more of them than late duplicates
		return report.WorkerCache{TTLSeconds: ttl().Seconds(), LateDuplicates: c.late.Load(), Hits: hits}
	}
}
