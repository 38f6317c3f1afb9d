package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"invoicer/invoice/handover"
)

// handoverMetrics are about invoices that are handed over to other systems.
type handoverMetrics struct {
	tried                 *prometheus.CounterVec
	took                  *prometheus.HistogramVec
	open, failing, oldest *prometheus.GaugeVec
}

func (m *Metrics) makeHandovers() {
	m.handovers = handoverMetrics{
		tried:   m.counter("handover_attempts_total", "Attempts to hand an invoice over, or to ask about one, by channel and by how it stands then: sent, cleared, accepted, rejected, failed, or failing.", "channel", "result"),
		took:    m.histogram("handover_seconds", "Time that an attempt took.", prometheus.ExponentialBuckets(0.005, 2, 16), "channel"),
		open:    m.gauge("handovers_open", "Invoices that aren't handed over or answered for yet, or to which somebody has to look, by channel and state: queued, waiting (for a clearance), blocked (for one that won't come), sent, cleared, rejected, failed. Every worker shows the same: take the max.", "channel", "state"),
		failing: m.gauge("handovers_failing", "Of these, those that failed at the last attempt.", "channel"),
		oldest:  m.gauge("handovers_oldest_seconds", "For how long the oldest of them has its state.", "channel", "state"),
	}
}

// ObserveHandover counts an attempt.
func (m *Metrics) ObserveHandover(channel, result string, took time.Duration) {
	m.handovers.tried.WithLabelValues(channel, result).Inc()
	m.handovers.took.WithLabelValues(channel).Observe(took.Seconds())
}

// SeeHandovers shows how many hand-overs stand how.
func (m *Metrics) SeeHandovers(counts []handover.Count) {
	h := &m.handovers
	h.open.Reset()
	h.failing.Reset()
	h.oldest.Reset()
	for _, c := range counts {
		h.open.WithLabelValues(c.Channel, c.State).Set(float64(c.N))
		h.failing.WithLabelValues(c.Channel).Add(float64(c.Failing))
		h.oldest.WithLabelValues(c.Channel, c.State).Set(max(0, time.Since(c.Oldest).Seconds()))
	}
}
