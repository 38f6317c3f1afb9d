// Package metrics counts the events of jobs, and looks now and then at what waits, for Prometheus.
package metrics

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"invoicer/invoice"
	"invoicer/worker"
	"invoicer/worker/dispatch"
)

// Options say what the metrics are about.
type Options struct {
	// Queues are those that the process consumes. Their metrics are there from the start, at 0.
	Queues []string
	// Producers is the number of producers that get a label of their own: those that are seen first. The others share the
	// label "other". 0 means that all share it.
	Producers int
	// Version, Revision and Go say what was built, and by which Go.
	Version, Revision, Go string
}

// Metrics count the events of jobs. But for the names of producers, whose number is bounded, no label contains data of a job's
// payload.
type Metrics struct {
	// Registry has the metrics. Others may be registered there too.
	Registry *prometheus.Registry

	queues    []string
	producers labels

	jobs       *prometheus.CounterVec
	byProducer *prometheus.CounterVec
	bySeries   *prometheus.CounterVec
	series     labels // that have a label of their own
	contention *prometheus.CounterVec
	doneHits   *prometheus.CounterVec
	putBack    *prometheus.CounterVec
	retried    *prometheus.CounterVec
	duration   *prometheus.HistogramVec
	toInvoice  prometheus.Histogram
	lockWait   prometheus.Histogram
	batch      prometheus.Histogram
	relayed    prometheus.Counter
	reconciled *prometheus.CounterVec
	requests   *prometheus.CounterVec
	refused    *prometheus.CounterVec

	lateDuplicates                                                               *prometheus.CounterVec
	cacheSample, cacheNeeded, cacheFitting, cacheEntries, cacheBytes, cacheWould *prometheus.GaugeVec

	events    eventMetrics
	documents documentMetrics
	handovers handoverMetrics

	ledger    *prometheus.GaugeVec
	oldest    *prometheus.GaugeVec
	pending   *prometheus.GaugeVec
	alarm     *prometheus.GaugeVec
	drift     *prometheus.GaugeVec
	collected []prometheus.Collector
}

// none is the label of jobs that name no producer, and other that of producers without a label of their own.
const (
	none  = "none"
	other = "other"
)

// mostSeries is the number of series that get a label of their own: those that are seen first. The others share the label other.
const mostSeries = 100

// New returns metrics in a new registry, which also has those of the Go runtime and of the process.
func New(o Options) *Metrics {
	m := &Metrics{Registry: prometheus.NewRegistry(), queues: o.Queues, producers: labels{most: o.Producers}, series: labels{most: mostSeries}}
	m.makeCounters()
	m.makeGauges()
	m.makeCache()
	m.makeEvents()
	m.makeDocuments()
	m.makeHandovers()
	build := m.gauge("build_info", "1, with what was built as labels.", "version", "revision", "goversion")
	build.WithLabelValues(o.Version, o.Revision, o.Go).Set(1)
	m.Registry.MustRegister(m.collected...)
	m.Registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.beginAtZero()
	return m
}

func (m *Metrics) makeCounters() {
	m.jobs = m.counter("jobs_total", "Jobs whose end is committed.", "queue", "outcome")
	m.byProducer = m.counter("producer_jobs_total", "Jobs whose end is committed, by who asked.", "producer", "outcome")
	m.bySeries = m.counter("series_invoices_total", "Invoices and credit notes that were made, by series.", "series")
	m.contention = m.counter("lock_contention_total", "Attempts that found their transaction's lock held by another job.", "queue")
	m.doneHits = m.counter("done_hits_total", "Jobs whose transaction Redis knew to be invoiced.", "queue")
	m.putBack = m.counter("jobs_put_back_total", "Attempts that went back to the queue without using up a retry.", "queue")
	m.retried = m.counter("jobs_retried_total", "Attempts that failed and will be repeated.", "queue")
	m.reconciled = m.counter("reconciled_total", "Jobs that the reconciler found astray, by what it found.", "found")
	m.relayed = m.counter("relayed_total", "Accepted jobs that were put into their queue.").WithLabelValues()
	m.requests = m.counter("api_requests_total", "Requests to the HTTP API.", "operation", "status")
	m.refused = m.counter("api_refused_jobs_total", "Jobs that the HTTP API hasn't accepted, as they never will be as they are.", "producer")
	m.duration = m.histogram("job_duration_seconds", "Duration of the attempts that ended their job.",
		prometheus.ExponentialBuckets(0.001, 2, 14), "outcome")
	m.toInvoice = m.histogram("enqueue_to_invoice_seconds", "Time from a job's acceptance in the ledger to its invoice.",
		prometheus.ExponentialBuckets(0.005, 2, 18)).WithLabelValues().(prometheus.Histogram)
	m.lockWait = m.histogram("lock_wait_seconds", "How long attempts waited that found their transaction's lock held.",
		prometheus.ExponentialBuckets(0.001, 2, 12)).WithLabelValues().(prometheus.Histogram)
	m.batch = m.histogram("batch_size", "Invoices that one transaction wrote.",
		prometheus.ExponentialBuckets(1, 2, 9)).WithLabelValues().(prometheus.Histogram)
}

func (m *Metrics) makeGauges() {
	m.ledger = m.gauge("ledger_jobs", "Jobs in the ledger that aren't done, counted up to 100,000 a state; paused ones wait for a paused series.", "state")
	m.oldest = m.gauge("ledger_oldest_seconds", "Age of about the oldest accepted job that has no end yet and waits for no paused series; 0 if there is none.")
	m.pending = m.gauge("queue_pending", "Tasks that wait in the queue. Every worker shows the same: take the max by queue.", "queue")
	m.alarm = m.gauge("race_alarm", "Whether the producer's latest window of five minutes is alarming: see docs/races.md.", "producer")
	m.drift = m.gauge("race_drift", "Whether the producer has had too many duplicates for a while: see docs/races.md.", "producer")
}

// beginAtZero makes all metrics whose labels are known, so that their first increase is seen as one.
func (m *Metrics) beginAtZero() {
	outcomes := []invoice.Outcome{invoice.Created, invoice.Duplicate, invoice.Conflict, invoice.Invalid, invoice.Failed}
	for _, o := range outcomes {
		m.duration.WithLabelValues(string(o))
		m.byProducer.WithLabelValues(none, string(o))
	}
	for _, queue := range m.queues {
		for _, o := range outcomes {
			m.jobs.WithLabelValues(queue, string(o))
		}
		for _, c := range []*prometheus.CounterVec{m.contention, m.doneHits, m.putBack, m.retried} {
			c.WithLabelValues(queue)
		}
		m.lateDuplicates.WithLabelValues(queue, hit)
		m.lateDuplicates.WithLabelValues(queue, miss)
	}
	for _, found := range []string{foundMissing, foundLeft, foundGivenUp} {
		m.reconciled.WithLabelValues(found)
	}
	m.refused.WithLabelValues(none)
	m.alarm.WithLabelValues(none)
	m.drift.WithLabelValues(none)
}

func (m *Metrics) counter(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "invoicer", Name: name, Help: help}, labels)
	m.collected = append(m.collected, c)
	return c
}

func (m *Metrics) gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "invoicer", Name: name, Help: help}, labels)
	m.collected = append(m.collected, g)
	return g
}

func (m *Metrics) histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "invoicer", Name: name, Help: help, Buckets: buckets}, labels)
	m.collected = append(m.collected, h)
	return h
}

// ObserveWorker counts an event of a worker.
func (m *Metrics) ObserveWorker(e worker.Event) {
	switch e.What {
	case worker.Ended:
		count(m.jobs.WithLabelValues(e.Queue, string(e.Outcome)), e.TraceID)
		m.byProducer.WithLabelValues(m.producers.label(e.Producer), string(e.Outcome)).Inc()
		if e.Series.Name != "" {
			m.bySeries.WithLabelValues(m.series.label(e.Series.String())).Inc()
		}
		observe(m.duration.WithLabelValues(string(e.Outcome)), e.Took, e.TraceID)
		if e.DoneEntry {
			m.doneHits.WithLabelValues(e.Queue).Inc()
		}
		if e.LateDuplicate() {
			m.lateDuplicates.WithLabelValues(e.Queue, answer(e.DoneEntry)).Inc()
		}
		if e.Since > 0 {
			observe(m.toInvoice, e.Since, e.TraceID)
		}
	case worker.LostRace:
		m.contention.WithLabelValues(e.Queue).Inc()
	case worker.PutBack:
		m.putBack.WithLabelValues(e.Queue).Inc()
	case worker.Retried:
		m.retried.WithLabelValues(e.Queue).Inc()
	}
	if e.LockWait > 0 {
		observe(m.lockWait, e.LockWait, e.TraceID)
	}
}

// count adds 1 to a counter, and keeps a trace, if there is one, as the latest example of what was counted.
func count(c prometheus.Counter, traceID string) {
	if of, ok := c.(prometheus.ExemplarAdder); ok && traceID != "" {
		of.AddWithExemplar(1, exemplar(traceID))
		return
	}
	c.Inc()
}

// observe adds a duration to a histogram, and keeps a trace, if there is one, as the latest example of its bucket.
func observe(o prometheus.Observer, d time.Duration, traceID string) {
	if of, ok := o.(prometheus.ExemplarObserver); ok && traceID != "" {
		of.ObserveWithExemplar(d.Seconds(), exemplar(traceID))
		return
	}
	o.Observe(d.Seconds())
}

// exemplar names a trace by the label that Grafana looks for.
func exemplar(traceID string) prometheus.Labels { return prometheus.Labels{"trace_id": traceID} }

// ObserveBatch counts a transaction that wrote so many invoices.
func (m *Metrics) ObserveBatch(invoices int) { m.batch.Observe(float64(invoices)) }

// What the reconciler finds, in the label found.
const (
	foundMissing = "missing"  // the queue doesn't have the job: it is accepted again
	foundLeft    = "left"     // its worker is dead: it is back in its queue
	foundGivenUp = "given_up" // its queue has given it up: it is recorded as failed
)

// ObserveRequest counts a request to the HTTP API, by the pattern that it matched.
func (m *Metrics) ObserveRequest(pattern string, status int) {
	m.requests.WithLabelValues(pattern, strconv.Itoa(status)).Inc()
}

// ObserveRefusal counts a job that the HTTP API hasn't accepted.
func (m *Metrics) ObserveRefusal(producer string) {
	m.refused.WithLabelValues(m.producers.label(producer)).Inc()
}

// ObserveDispatch counts an event of a relay or a reconciler.
func (m *Metrics) ObserveDispatch(e dispatch.Event) {
	switch e.What {
	case dispatch.Relayed:
		m.relayed.Add(float64(e.Jobs))
	case dispatch.PutBack:
		m.reconciled.WithLabelValues(foundMissing).Add(float64(e.Jobs))
	case dispatch.Requeued:
		m.reconciled.WithLabelValues(foundLeft).Add(float64(e.Jobs))
	case dispatch.GivenUp:
		m.reconciled.WithLabelValues(foundGivenUp).Add(float64(e.Jobs))
	}
}
