package postgres

import (
	"context"

	"invoicer/invoice"
)

// Admits returns the error with which [Invoices.Insert] would refuse a slot whose series holds the other kind of
// document. The counter of the slot's period decides; if there is none, the counters of other periods do.
func (s *Invoices) Admits(ctx context.Context, slot invoice.Slot) error {
	var kinds []string
	err := s.db.WithContext(ctx).Raw("SELECT kind FROM invoicer.invoice_series WHERE series = ? ORDER BY period = ? DESC, period LIMIT 1",
		slot.Series, slot.Period).Scan(&kinds).Error
	if err != nil {
		return classify(err)
	}
	if len(kinds) > 0 && kinds[0] != string(slot.Kind) {
		return otherKind(slot)
	}
	return nil
}

var _ invoice.SeriesBook = (*Invoices)(nil)
