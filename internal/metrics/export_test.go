package metrics

// ShowZeros makes the figures that a [Watch] shows, as if it had looked.
func (m *Metrics) ShowZeros() {
	m.ledger.WithLabelValues("accepted")
	m.oldest.WithLabelValues()
	m.pending.WithLabelValues("default")
}
