// Package metrics counts the events of jobs, for Prometheus.
package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"invoicer/worker"
	"invoicer/worker/dispatch"
)

// Metrics count the events of jobs. No label contains data of a job's payload.
type Metrics struct {
	// Registry has the counters. Other metrics may be registered there too.
	Registry *prometheus.Registry

	ended   *prometheus.CounterVec
	races   *prometheus.CounterVec
	putBack *prometheus.CounterVec
	retried *prometheus.CounterVec
	ledger  *prometheus.CounterVec
	took    *prometheus.HistogramVec
}

// New returns metrics in a new registry, which also has those of the Go runtime and of the process.
func New() *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "invoicer", Name: name, Help: help}, labels)
	}
	m := &Metrics{
		Registry: prometheus.NewRegistry(),
		ended:    counter("jobs_ended_total", "Jobs whose end is committed.", "queue", "outcome", "reason"),
		races:    counter("races_lost_total", "Attempts that found their transaction's lock held by another job.", "queue"),
		putBack:  counter("jobs_put_back_total", "Attempts that went back to the queue without using up a retry.", "queue"),
		retried:  counter("jobs_retried_total", "Attempts that failed and will be repeated.", "queue"),
		ledger:   counter("ledger_jobs_total", "Jobs that the ledger's relay or reconciler has moved.", "what"),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "invoicer", Name: "attempt_seconds", Help: "Duration of the attempts that ended their job.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
		}, []string{"outcome"}),
	}
	m.Registry.MustRegister(m.ended, m.races, m.putBack, m.retried, m.ledger, m.took,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// ObserveWorker counts an event of a worker.
func (m *Metrics) ObserveWorker(e worker.Event) {
	switch e.What {
	case worker.Ended:
		m.ended.WithLabelValues(e.Queue, string(e.Outcome), string(e.Reason)).Inc()
		m.took.WithLabelValues(string(e.Outcome)).Observe(e.Took.Seconds())
	case worker.LostRace:
		m.races.WithLabelValues(e.Queue).Inc()
	case worker.PutBack:
		m.putBack.WithLabelValues(e.Queue).Inc()
	case worker.Retried:
		m.retried.WithLabelValues(e.Queue).Inc()
	}
}

// ObserveDispatch counts an event of a relay or a reconciler.
func (m *Metrics) ObserveDispatch(e dispatch.Event) {
	switch e.What {
	case dispatch.Relayed, dispatch.PutBack, dispatch.Requeued, dispatch.GivenUp:
		m.ledger.WithLabelValues(e.What).Add(float64(e.Jobs))
	}
}
