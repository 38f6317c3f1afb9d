package metrics

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"invoicer/internal/fit"
)

// What Redis knew of a late duplicate's invoice, in the label cache.
const (
	hit  = "hit"
	miss = "miss"
)

func answer(known bool) string {
	if known {
		return hit
	}
	return miss
}

func (m *Metrics) makeCache() {
	m.lateDuplicates = m.counter("late_duplicates_total",
		"Duplicates of an invoice that was there already, by whether Redis remembered it.", "queue", "cache")
	const same = " Every worker shows about the same: take the max."
	m.cacheSample = m.gauge("cache_sample_late_duplicates", "Late duplicates that were looked at."+same)
	m.cacheNeeded = m.gauge("cache_needed_late_duplicates", "Late duplicates from which on a fitting time can be told."+same)
	m.cacheFitting = m.gauge("cache_fitting_seconds", "How long Redis would have to remember invoices. Not there while that can't be told."+same)
	m.cacheEntries = m.gauge("cache_entries", "About how many invoices Redis remembers, estimated from those that were made."+same)
	m.cacheBytes = m.gauge("cache_bytes", "About the memory that these need in Redis."+same)
	m.cacheWould = m.gauge("cache_would_hit_ratio", "Share of late duplicates that Redis would have answered at least, by how long it remembers."+same,
		"ttl_seconds")
}

// CacheTTL exports how long Redis is to remember invoices, which is asked for at each scrape.
func (m *Metrics) CacheTTL(ttl func() time.Duration) {
	m.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "invoicer", Name: "cache_ttl_seconds", Help: "How long Redis is to remember an invoice that this worker makes now.",
	}, func() float64 { return ttl().Seconds() }))
}

// ShowCache shows a look at late duplicates, the first time of which is that of this worker; or nothing after a look that failed.
func (m *Metrics) ShowCache(look *fit.Look) {
	for _, g := range []*prometheus.GaugeVec{m.cacheSample, m.cacheNeeded, m.cacheFitting, m.cacheEntries, m.cacheBytes, m.cacheWould} {
		g.Reset()
	}
	if look == nil {
		return
	}
	m.cacheSample.WithLabelValues().Set(float64(look.Late))
	m.cacheNeeded.WithLabelValues().Set(float64(look.Needed))
	if look.Fitting > 0 {
		m.cacheFitting.WithLabelValues().Set(look.Fitting.Seconds())
	}
	m.cacheEntries.WithLabelValues().Set(float64(look.Times[0].Entries))
	m.cacheBytes.WithLabelValues().Set(float64(look.Times[0].Bytes))
	for _, t := range look.Times[1:] {
		if look.Late > 0 {
			m.cacheWould.WithLabelValues(strconv.FormatFloat(t.TTL.Seconds(), 'f', -1, 64)).Set(float64(t.Hits) / float64(look.Late))
		}
	}
}
