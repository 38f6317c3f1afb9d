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

// The arrays as they go to the server.
func TextArray(elements []string) string     { return literal(elements, (*array).text) }
func OptionalArray(elements []string) string { return literal(elements, (*array).optional) }
func IntegerArray(elements []int64) string   { return literal(elements, (*array).integer) }
func DecimalArray(elements []*invoice.Decimal) string {
	return literal(elements, (*array).decimal)
}

func literal[T any](elements []T, add func(*array, T)) string {
	var a array
	for _, e := range elements {
		add(&a, e)
	}
	return literals(&a)[0].(string)
}
