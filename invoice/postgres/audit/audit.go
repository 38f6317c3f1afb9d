// Package audit proves, from what is stored and in one snapshot, that the promises about invoices were kept: one
// invoice for each transaction, numbers without a gap, content as it was invoiced, one recorded end for each job.
//
// It trusts as little as it can. It has a session of its own, reads the tables and not their indexes, adds every invoice
// up again from its lines, and looks at the constraints and triggers that keep things so. It writes nothing, and works
// on a standby as well. Its memory doesn't grow with the number of invoices.
//
// While it runs it holds the tables against changes of their structure, and one old snapshot: run it when a migration
// or a heavy clean-up isn't due.
package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
)

// Options say what to audit. Zero values mean the defaults.
type Options struct {
	// URL is anything that pgx understands. Required. Reading the tables is all that its role needs.
	URL string
	// Schema holds the tables, and must be migrated. Default: invoicer.
	Schema string
	// Limit is how many offending rows of each check, and how many waiting jobs, are listed; all are counted.
	// Default: 20; negative: none.
	Limit int
	// Progress is called when a check begins, and again after every thousand rows of one that takes long: done of
	// total rows. The first call comes after the snapshot was taken. Default: nobody is told.
	Progress func(check string, done, total int64)
}

// A NewerSchemaError says that the schema is newer than this program, which therefore can't know what has to be there.
type NewerSchemaError struct {
	Schema         string
	Current, Known int64 // versions of the migrations
}

func (e *NewerSchemaError) Error() string {
	return fmt.Sprintf("schema %q is at version %d, and this program knows versions up to %d: audit it with the newer release",
		e.Schema, e.Current, e.Known)
}

// Run takes a snapshot and proves what it can about it. An error says that the audit couldn't be done, a
// [*NewerSchemaError] among others; what it found wrong is in the report.
func Run(ctx context.Context, o Options) (report *Report, err error) {
	if o.Schema == "" {
		o.Schema = "invoicer"
	}
	if o.Limit == 0 {
		o.Limit = 20
	}
	if o.Progress == nil {
		o.Progress = func(string, int64, int64) {}
	}
	s, err := begin(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	defer func() { err = errors.Join(err, s.end(ctx)) }()
	report, err = s.audit(ctx)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	return report, nil
}

// audit runs every check, in the order in which they are reported.
func (s *session) audit(ctx context.Context) (*Report, error) {
	checks, err := s.enforced(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.readTablesOnly(ctx); err != nil {
		return nil, err
	}
	rows, err := s.countRows(ctx)
	if err != nil {
		return nil, err
	}
	for _, q := range inquiries() {
		check, err := s.inquire(ctx, q, rows)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", q.name, err)
		}
		checks = append(checks, check)
	}
	content, err := s.content(ctx, rows["invoices"])
	if err != nil {
		return nil, fmt.Errorf("content: %w", err)
	}
	accepted, err := s.accepted(ctx, rows["invoice_jobs"])
	if err != nil {
		return nil, fmt.Errorf("accepted: %w", err)
	}
	report := &Report{Schema: s.options.Schema, TakenAt: s.takenAt, Checks: append(slices.Concat(checks, content), accepted)}
	return report, s.summarise(ctx, report)
}

// An inquiry is a check that the database can answer: each of its queries returns the rows that offend.
type inquiry struct {
	name     string
	promises []int
	proves   string
	tables   []string // whose rows are examined
	queries  []query
}

// A query's first column says in words what is wrong, the others are the offending row.
type query struct {
	table string // whose rows offend
	sql   string
}

// inquiries in the order of the promises.
func inquiries() []inquiry {
	return []inquiry{
		oneInvoice(), oneKey(), gapless(), printedOnce(), counters(), kinds(), ledger(), duplicates(), oneEnd(),
	}
}

// inquire asks an inquiry's questions.
func (s *session) inquire(ctx context.Context, q inquiry, rows map[string]int64) (Check, error) {
	check := Check{Name: q.name, Promises: q.promises, Proves: q.proves, limit: s.options.Limit}
	for _, table := range q.tables {
		check.Examined += rows[table]
	}
	s.options.Progress(q.name, 0, check.Examined)
	for _, q := range q.queries {
		if err := s.collect(ctx, &check, q); err != nil {
			return check, err
		}
	}
	return check, nil
}

// collect adds the rows that a query returns to the check's findings.
func (s *session) collect(ctx context.Context, check *Check, q query) error {
	rows, err := s.tx.Query(ctx, q.sql)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if check.full() {
			check.Broken++
			continue
		}
		values, err := rows.Values()
		if err != nil {
			return err
		}
		problem, _ := values[0].(string)
		var row Row
		for i, column := range rows.FieldDescriptions()[1:] {
			row = append(row, Field{Column: column.Name, Value: values[i+1]})
		}
		check.add(q.table, problem, row)
	}
	return rows.Err()
}

// countRows counts what each table holds in the snapshot.
func (s *session) countRows(ctx context.Context) (map[string]int64, error) {
	counts := make(map[string]int64)
	for _, table := range tables() {
		var n int64
		if err := s.tx.QueryRow(ctx, "SELECT count(*) FROM "+pgx.Identifier{table}.Sanitize()).Scan(&n); err != nil {
			return nil, err
		}
		counts[table] = n
	}
	return counts, nil
}
