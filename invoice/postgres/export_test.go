package postgres

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"invoicer/internal/fault"
	"invoicer/internal/owned"
	"invoicer/internal/report"
	"invoicer/invoice"
	"invoicer/invoice/handover"
	"invoicer/invoice/ledger"
)

// MostLate is how many invoices without a link a transaction links before its own.
const MostLate = mostLate

// Waiting is how many drafts wait for the next transaction.
func (s *Invoices) Waiting() int {
	waiting, _ := s.lanes.free.Waits()
	return waiting
}

// Plant has a hook called at the fault points from now on, nil none. No transaction may be under way but the one from whose
// hook it is called.
func (s *Invoices) Plant(h fault.Hook) { s.options.Fault = h }

// RecordTogether records duplicates in one statement, and returns what became of each.
func (s *Ledger) RecordTogether(ctx context.Context, ends []ledger.End) []error {
	group := make([]*goodEnd, len(ends))
	for i, e := range ends {
		group[i] = &goodEnd{end: e}
	}
	s.writeGoodEnds(ctx, group)
	errs := make([]error, len(ends))
	for i, d := range group {
		errs[i] = d.err
	}
	return errs
}

// The arrays as they go to the server.
func TextArray(elements []string) any     { return arrayOf(elements, (*array).text) }
func OptionalArray(elements []string) any { return arrayOf(elements, (*array).optional) }
func IntegerArray(elements []int64) any   { return arrayOf(elements, (*array).integer) }
func BooleanArray(elements []bool) any    { return arrayOf(elements, (*array).boolean) }
func BytesArray(elements [][]byte) any    { return arrayOf(elements, (*array).bytes) }
func DecimalArray(elements []*invoice.Decimal) any {
	return arrayOf(elements, (*array).decimal)
}

func arrayOf[T any](elements []T, add func(*array, T)) any {
	a := new(array)
	for _, e := range elements {
		add(a, e)
	}
	return a
}

// RegisterArrays has a connection take arrays as parameters.
func RegisterArrays(c *pgx.Conn) { registerArrays(c) }

// Storm is what the store takes for a storm of duplicates.
func (s *Ledger) Storm(invoiceIDs ...int64) int {
	gone := make([]*goodEnd, len(invoiceIDs))
	for i, id := range invoiceIDs {
		gone[i] = &goodEnd{end: ledger.End{Invoice: &invoice.Ref{ID: id}}}
	}
	return s.stormAfter(gone)
}

// A Group is one of numbers.
type Group = group[int]

func NewGroup(most int, patience time.Duration, storm func([]int) int, do func([]int)) *Group {
	return &Group{
		owner: new(owned.Goroutines), most: most, longestWait: patience, storm: storm, do: func(_ context.Context, members []int) { do(members) },
		apart: func(int) []string { return nil }, weigh: func(int) int { return 0 },
	}
}

func (g *group[T]) Join(ctx context.Context, value T) error { return g.join(ctx, value) }

// Waits tells how many wait, and whether more are waited for.
func (g *group[T]) Waits() (waiting int, forMore bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting), g.enough != nil
}

// Busy tells whether somebody waits or is being seen to.
func (g *group[T]) Busy() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.busy
}

// SetPatience sets how long the duplicates of a storm wait for each other.
func (s *Ledger) SetPatience(d time.Duration) { s.goodEnds.SetPatience(d) }

// SetPatience is for a group that is not about to wait.
func (g *group[T]) SetPatience(d time.Duration) { g.longestWait = d }

// DuplicatesWaiting tells how many duplicates wait.
func (s *Ledger) DuplicatesWaiting() int {
	n, _ := s.goodEnds.Waits()
	return n
}

// Recording tells whether duplicates are being recorded.
func (s *Ledger) Recording() bool { return s.goodEnds.Busy() }

// LocalSettings is what a transaction on one of the store's connections begins with.
func (s *DB) LocalSettings(t *testing.T) (statement string) {
	t.Helper()
	connection, err := s.sql.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	err = connection.Raw(func(c any) error {
		statement, _ = c.(*conn).localSettings()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return statement
}

// Detours is how many things are taken for held.
func (s *Invoices) Detours() int {
	s.lanes.mu.Lock()
	defer s.lanes.mu.Unlock()
	return len(s.lanes.routes)
}

// MostWaiting is how many connections may wait for what is held for long.
func (s *Invoices) MostWaiting() int { return cap(s.lanes.waiting) }

// SizeOf is about how many bytes a draft takes on its way.
func SizeOf(d *invoice.Draft) int { return sizeOf(d) }

// OldestJobs is the end of the statement that looks at jobs, the oldest first, with the ids between which it looks as $1 and $2.
func (s *Reports) OldestJobs() string {
	l := listingOfJobs(report.Filter{})
	return strings.Replace(strings.Replace(l.oldest(), "?", "$1", 1), "?", "$2", 1)
}

// ListHandovers is the statement of a list before a hand-over, 0 for the first one.
func ListHandovers(f handover.Filter, before int64) (statement string, args []any) {
	return listHandovers(&f, before)
}
