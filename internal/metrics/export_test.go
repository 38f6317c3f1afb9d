package metrics

import (
	"time"

	"invoicer/internal/fit"
)

// ShowZeros makes the figures that a [Watch] and a [fit.Fitter] show, as if they had looked.
func (m *Metrics) ShowZeros() {
	m.ledger.WithLabelValues("accepted")
	m.oldest.WithLabelValues()
	m.pending.WithLabelValues("default")
	m.CacheTTL(func() time.Duration { return time.Hour })
	m.ShowCache(&fit.Look{Late: 1, Fitting: 1, Times: make([]fit.Time, 2)})
}
