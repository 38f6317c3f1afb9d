package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"invoicer/invoice/outbox"
)

// eventMetrics are about what endpoints are told.
type eventMetrics struct {
	deliveries                      *prometheus.CounterVec
	waited                          *prometheus.HistogramVec
	pending, oldest, dead, disabled *prometheus.GaugeVec
}

func (m *Metrics) makeEvents() {
	m.events = eventMetrics{
		deliveries: m.counter("event_deliveries_total", "Attempts to post an event, by what became of it: delivered, pending (there is another attempt) or dead.", "endpoint", "state"),
		waited:     m.histogram("event_wait_seconds", "Time from what happened until its event was posted.", prometheus.ExponentialBuckets(0.01, 2, 20), "endpoint"),
		pending:    m.gauge("events_pending", "Events that the endpoint is still to be told. Every worker shows the same: take the max by endpoint.", "endpoint"),
		oldest:     m.gauge("events_oldest_seconds", "For how long the oldest of them waits; 0 if there is none.", "endpoint"),
		dead:       m.gauge("events_dead", "Events that were given up.", "endpoint"),
		disabled:   m.gauge("event_endpoint_disabled", "1 if nothing is posted to the endpoint, since it is disabled.", "endpoint"),
	}
}

// ObserveDelivery counts an attempt to post an event that happened so long ago.
func (m *Metrics) ObserveDelivery(endpoint, state string, waited time.Duration) {
	m.events.deliveries.WithLabelValues(endpoint, state).Inc()
	m.events.waited.WithLabelValues(endpoint).Observe(waited.Seconds())
}

// SeeEndpoints shows how the endpoints stand. Those that aren't there any more are shown no longer.
func (m *Metrics) SeeEndpoints(endpoints []outbox.Endpoint) {
	e := &m.events
	for _, gauge := range []*prometheus.GaugeVec{e.pending, e.oldest, e.dead, e.disabled} {
		gauge.Reset()
	}
	for i := range endpoints {
		one := &endpoints[i]
		age, disabled := 0.0, 0.0
		if !one.Oldest.IsZero() {
			age = max(0, time.Since(one.Oldest).Seconds())
		}
		if one.State == outbox.Disabled {
			disabled = 1
		}
		e.pending.WithLabelValues(one.Name).Set(float64(one.Pending))
		e.oldest.WithLabelValues(one.Name).Set(age)
		e.dead.WithLabelValues(one.Name).Set(float64(one.Dead))
		e.disabled.WithLabelValues(one.Name).Set(disabled)
		for _, state := range []string{outbox.Delivered, outbox.Pending, outbox.Dead} {
			e.deliveries.WithLabelValues(one.Name, state)
		}
	}
}
