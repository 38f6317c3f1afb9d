package postgres

import (
	"context"
	"errors"
	"fmt"

	"gorm.io/gorm"

	"invoicer/invoice"
)

// replicated makes a transaction's commit wait until the standbys have everything that the transaction could read. A
// transaction that wrote nothing doesn't wait, and what it read may be on this server alone, if the backend that
// committed it was cancelled while it waited. Any role may write such a message; it has no receiver.
const replicated = "pg_logical_emit_message(true, 'invoicer', '')"

// settle finds out whether a commit whose reply was lost took effect. While that is unknown, the members' error is
// [invoice.ErrUnavailable]: the next attempt waits for the counter, which an unfinished commit still holds, and then
// sees the outcome.
func (s *Invoices) settle(ctx context.Context, group []*write, lost *commitError) {
	if answered(lost) {
		for _, w := range group {
			w.err = lost
		}
		return
	}
	ctx, cancel := context.WithTimeout(ctx, s.options.CommitCheckTimeout)
	defer cancel()
	for _, w := range group {
		w.inserted = invoice.Insertion{}
	}
	err := s.fresh(func(db *gorm.DB) error {
		return begin(ctx, db, s.options.LockTimeout, func(f *flight) error {
			addFind(f, group)
			f.add("SELECT " + replicated)
			return f.commit(ctx, new(bool))
		})
	})
	for _, w := range group {
		if w.err != nil {
			continue
		}
		there := w.inserted.Existing
		switch own := there.OfTransaction; {
		case err != nil:
			w.err = &unavailableError{cause: fmt.Errorf("the outcome of the commit is unknown: %w", errors.Join(lost, err))}
		case own != nil && w.made != nil && own.JobID == w.draft.JobID && own.Fingerprint == w.draft.Fingerprint:
			w.inserted = invoice.Insertion{Created: own}
		case there != (invoice.Existing{}):
			w.inserted.Raced = w.made != nil
		default:
			w.err = &unavailableError{cause: fmt.Errorf("the commit did not happen, or not yet: %w", lost)}
		}
	}
}
