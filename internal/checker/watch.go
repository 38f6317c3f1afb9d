package checker

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// A Watch samples a database while work is under way, each time in one snapshot: no transaction ever has two invoices,
// numbers always are 1 to n, and an invoice that was seen once never changes and never disappears.
type Watch struct {
	config *pgx.ConnConfig
	every  time.Duration

	mu         sync.Mutex
	samples    int
	seen       map[int64]string // digests of whole invoices, by id
	violations []Violation
}

// NewWatch returns a watch that takes a sample at such intervals.
func NewWatch(databaseURL, schema string, every time.Duration) (*Watch, error) {
	config, err := connConfig(databaseURL, schema)
	if err != nil {
		return nil, err
	}
	return &Watch{config: config, every: every, seen: make(map[int64]string)}, nil
}

// Run watches until ctx ends. While the database is away it sees nothing, and asks again.
func (w *Watch) Run(ctx context.Context) {
	var conn *pgx.Conn
	for {
		if conn == nil || conn.IsClosed() {
			conn, _ = pgx.ConnectConfig(ctx, w.config)
		}
		if conn != nil {
			w.Sample(ctx, conn)
		}
		select {
		case <-ctx.Done():
			if conn != nil {
				_ = conn.Close(context.WithoutCancel(ctx)) // it has only read
			}
			return
		case <-time.After(w.every):
		}
	}
}

// Samples is how many were taken.
func (w *Watch) Samples() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.samples
}

// Violations are those that were seen so far.
func (w *Watch) Violations() []Violation {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]Violation{}, w.violations...)
}

// One statement is one snapshot.
const selectDigests = `SELECT i.id, concat_ws('/', nullif(i.issuer, ''), i.transaction_id), concat_ws('/', nullif(i.issuer, ''), i.series), i.period, i.number, md5(i::text
|| coalesce((SELECT string_agg(l::text, ',' ORDER BY l.position) FROM invoice_lines l WHERE l.invoice_id = i.id), '')
|| coalesce((SELECT string_agg(t::text, ',' ORDER BY t.tax_percent, t.code, t.category) FROM invoice_taxes t WHERE t.invoice_id = i.id), ''))
FROM invoices i ORDER BY i.id`

type digestRow struct {
	ID                            int64
	TransactionID, Series, Period string
	Number                        int64
	Digest                        string
}

// Sample takes one sample. A database that doesn't answer gives none.
func (w *Watch) Sample(ctx context.Context, conn *pgx.Conn) {
	rows, err := conn.Query(ctx, selectDigests)
	if err != nil {
		return
	}
	invoices, err := pgx.CollectRows(rows, pgx.RowToStructByPos[digestRow])
	if err != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.samples++
	numbers, transactions, there := make(map[slot][]int64), make(map[string]int64), make(map[int64]bool)
	for _, i := range invoices {
		there[i.ID] = true
		at := slot{i.Series, i.Period}
		numbers[at] = append(numbers[at], i.Number)
		if other, ok := transactions[i.TransactionID]; ok {
			w.say(Doubled, "at times transaction %s had the invoices %d and %d", i.TransactionID, other, i.ID)
		}
		transactions[i.TransactionID] = i.ID
		if before, ok := w.seen[i.ID]; ok && before != i.Digest {
			w.say(Changed, "invoice %d of transaction %s was changed", i.ID, i.TransactionID)
		}
		w.seen[i.ID] = i.Digest
	}
	for at, all := range numbers {
		if problem := sequence(all); problem != "" {
			w.say(Gap, "at times in series %s %s: %s", at.series, at.period, problem)
		}
	}
	for id := range w.seen {
		if !there[id] {
			w.say(Changed, "invoice %d has disappeared", id)
			delete(w.seen, id)
		}
	}
}

func (w *Watch) say(rule Rule, format string, values ...any) {
	w.violations = append(w.violations, Violation{rule, fmt.Sprintf(format, values...)})
}
