package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"invoicer/invoice/document"
)

// documentMetrics are about documents that are owed.
type documentMetrics struct {
	made                  *prometheus.CounterVec
	took                  *prometheus.HistogramVec
	owed, failing, oldest prometheus.Gauge

	leftovers, stuck, oldestLeftover prometheus.Gauge
}

func (m *Metrics) makeDocuments() {
	one := func(name, help string) prometheus.Gauge { return m.gauge(name, help).WithLabelValues() }
	m.documents = documentMetrics{
		made:    m.counter("documents_total", "Tries to make a document that is owed, by format and by what became of it: made or failed.", "format", "result"),
		took:    m.histogram("document_seconds", "Time that it took to make one.", prometheus.ExponentialBuckets(0.001, 2, 16), "format"),
		owed:    one("documents_owed", "Documents that are to be made. Every worker shows the same: take the max."),
		failing: one("documents_failing", "Of these, those that couldn't be made at the last try."),
		oldest:  one("documents_oldest_seconds", "For how long the oldest of them is owed; 0 if there is none."),

		leftovers:      one("document_leftovers", "Objects outside of the database that are to be deleted. Every worker shows the same: take the max."),
		stuck:          one("document_leftovers_failing", "Of these, those that couldn't be deleted at the last try."),
		oldestLeftover: one("document_leftovers_oldest_seconds", "For how long the oldest of them is to be deleted; 0 if there is none."),
	}
}

// ObserveDocument counts a try to make a document.
func (m *Metrics) ObserveDocument(owed document.Owed, took time.Duration, err error) {
	result := "made"
	if err != nil {
		result = "failed"
	}
	m.documents.made.WithLabelValues(string(owed.Format), result).Inc()
	m.documents.took.WithLabelValues(string(owed.Format)).Observe(took.Seconds())
}

// SeeDocuments shows how many documents are owed.
func (m *Metrics) SeeDocuments(owed, failing int, oldest time.Time) {
	m.documents.owed.Set(float64(owed))
	m.documents.failing.Set(float64(failing))
	m.documents.oldest.Set(ageOf(oldest))
}

// SeeLeftovers shows how many objects are to be deleted.
func (m *Metrics) SeeLeftovers(count, failing int, oldest time.Time) {
	m.documents.leftovers.Set(float64(count))
	m.documents.stuck.Set(float64(failing))
	m.documents.oldestLeftover.Set(ageOf(oldest))
}

// ageOf returns for how many seconds something has been, 0 for the zero time.
func ageOf(since time.Time) float64 {
	if since.IsZero() {
		return 0
	}
	return max(0, time.Since(since).Seconds())
}
