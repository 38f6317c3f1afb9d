package postgres

import (
	"context"

	"invoicer/invoice"
)

// Waiting is how many drafts wait for the next transaction.
func (s *Store) Waiting() int {
	s.writes.mu.Lock()
	defer s.writes.mu.Unlock()
	return len(s.writes.waiting)
}

// RecordTogether records duplicates in one statement, and returns what became of each.
func (s *Store) RecordTogether(ctx context.Context, ends []invoice.End) []error {
	group := make([]*duplicateRecord, len(ends))
	for i, e := range ends {
		group[i] = &duplicateRecord{end: e}
	}
	s.writeDuplicates(ctx, group)
	errs := make([]error, len(ends))
	for i, d := range group {
		errs[i] = d.err
	}
	return errs
}
