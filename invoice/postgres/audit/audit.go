// Package audit proves, from what is stored, that the promises about invoices were kept: one invoice for each transaction,
// numbers without a gap, content as it was invoiced, one recorded end for each job.
//
// It trusts as little as it can. It uses a session of its own, reads the tables and not their indexes, computes every
// invoice again from its lines, and checks the constraints and triggers that enforce the promises. It writes nothing,
// and works on a standby as well. Its memory doesn't grow with the number of invoices, and it needs hardly any temporary files.
//
// It sees one snapshot, or if it takes long, one after the other, so that it doesn't keep vacuum from removing rows for long. In each it
// locks the tables against changes of their structure. Invoices up to the counters' numbers of the beginning don't change and are all there in
// every later snapshot; those after them aren't read.
//
// [Diff] compares the documents of two databases, read in the same way, such as those of a restored one and of the one that was lost.
package audit

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"invoicer/internal/seals"
)

// Options say what to audit. Zero values mean the defaults.
type Options struct {
	// URL is a connection string that pgx accepts. Its role needs only to read the tables. Required.
	URL string
	// Schema holds the tables. It must be migrated. Default: invoicer.
	Schema string
	// Limit bounds the offending rows of each check, and the waiting jobs, that are listed. All are counted. Default:
	// 20; negative: none.
	Limit int
	// Progress is called when a check begins, and in a long check after every thousand rows, with the number of rows
	// done and their total. The first call comes after the snapshot was taken. Default: it isn't called.
	Progress func(check string, done, total int64)
	// Seals are compared with the invoices, unless they are nil. There must be at least one.
	Seals *seals.Folder
	// Since is the number of a seal of these. Of the invoices that it and those before it have, neither sums nor fingerprints are computed
	// again: they are compared with the seals, and their links are verified. Default: all are computed.
	Since int
	// Snapshot bounds how long one snapshot is held, which keeps vacuum from removing rows: between two checks, or two pieces of a long
	// one, the audit changes to a newer snapshot. A query isn't broken off for it. Default: 1 minute.
	Snapshot time.Duration
	// Piece bounds how many invoices are read and sorted together, more or less. Default: by the size of the tables, so that no sort needs a
	// temporary file.
	Piece int64
	// Objects are the bytes of documents outside of the database, which are hashed. Default: these documents are counted, and not hashed.
	Objects Objects
	// Reached is called after each check and each piece with how far the audit has come, if it isn't nil. It must not keep the state.
	Reached func(s *State) error
	// Continue is how far an earlier audit has come, which this one continues. It must be of the same database and the same options: else
	// Run returns an [*OtherStateError]. Default: from the beginning.
	Continue *State
}

func (o *Options) setDefaults() {
	if o.Schema == "" {
		o.Schema = "invoicer"
	}
	if o.Limit == 0 {
		o.Limit = 20
	}
	if o.Snapshot == 0 {
		o.Snapshot = time.Minute
	}
	if o.Piece <= 0 {
		o.Piece = math.MaxInt64
	}
	if o.Progress == nil {
		o.Progress = func(string, int64, int64) {}
	}
}

// A NewerSchemaError says that the schema is newer than this program, which therefore can't know what the schema must
// contain.
type NewerSchemaError struct {
	Schema         string
	Current, Known int64 // versions of migrations
}

func (e *NewerSchemaError) Error() string {
	return fmt.Sprintf("schema %q is at version %d, and this program knows versions up to %d: audit it with the newer release",
		e.Schema, e.Current, e.Known)
}

// Run takes a snapshot and runs all checks on it. Violations are in the report. An error means that the audit
// couldn't be completed; it is a [*NewerSchemaError] if the schema is newer than this program.
func Run(ctx context.Context, o Options) (report *Report, err error) {
	o.setDefaults()
	s, err := begin(ctx, o, o.tables())
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
	if err := s.beginState(ctx); err != nil {
		return nil, err
	}
	report := &Report{Schema: s.options.Schema, TakenAt: s.takenAt}
	if s.continued {
		report.TakenAt = s.state.TakenAt
	}
	var sealed *comparison
	if s.options.Seals != nil {
		var err error
		if sealed, err = s.newComparison(ctx, s.options.Seals); err != nil {
			return nil, err
		}
		defer sealed.entries.Close()
	}
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
	inquired, err := s.inquireAll(ctx, rows)
	if err != nil {
		return nil, err
	}
	p, err := s.newPass(ctx, sealed)
	if err != nil {
		return nil, fmt.Errorf("content: %w", err)
	}
	if err := s.run(ctx, p, rows["invoices"]); err != nil {
		return nil, fmt.Errorf("content: %w", err)
	}
	for i := range inquired {
		switch inquired[i].Name {
		case "numbers":
			inquired[i].append(&p.numbers)
		case "dates":
			inquired[i].append(&p.dates)
		}
	}
	for i := range inquired {
		if inquired[i].Name == "documents" {
			if report.Objects, err = s.objects(ctx, &inquired[i]); err != nil {
				return nil, fmt.Errorf("documents: %w", err)
			}
		}
	}
	content := []Check{p.positions, p.sums, p.fingerprints}
	if sealed != nil {
		content, report.Seals = append(content, sealed.check), &sealed.report
	}
	accepted, err := s.accepted(ctx, rows["invoice_jobs"])
	if err != nil {
		return nil, fmt.Errorf("accepted: %w", err)
	}
	if s.several() { // between two snapshots anybody may change the structure
		if checks, err = s.enforced(ctx); err != nil {
			return nil, err
		}
	}
	report.Checks, report.Unlinked = append(slices.Concat(checks, inquired, content), p.chains.check, accepted), p.chains.unlinked
	report.Snapshots, report.ContinuedAt = s.snapshots, s.continuedAt()
	return report, s.summarise(ctx, report)
}

// An inquiry is a check made by the database: each of its queries returns the offending rows.
type inquiry struct {
	name     string
	promises []int
	proves   string
	tables   []string // whose rows are examined
	queries  []query
}

// The first column of a query says what is wrong; the others are the offending row. The columns issuer and invoice_issuer aren't
// shown where they are empty.
type query struct {
	table string // of the offending rows
	sql   string
	only  string // if it isn't "", sql is run only if this one, which takes less, returns true
}

// inquiries returns the inquiries in the order of the promises.
func inquiries() []inquiry {
	return []inquiry{
		issuers(), oneInvoice(), oneKey(), gapless(), reserved(), printedOnce(), counters(), kinds(), printedAsSet(), datedInOrder(), ledger(), duplicates(), oneEnd(), imports(), erased(), handedOut(), handovers(),
	}
}

// inquireAll runs the inquiries that an earlier audit hasn't.
func (s *session) inquireAll(ctx context.Context, rows map[string]int64) ([]Check, error) {
	for _, q := range inquiries()[len(s.state.Inquired):] {
		check, err := s.inquire(ctx, q, rows)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", q.name, err)
		}
		s.state.Inquired = append(s.state.Inquired, check)
		if err := s.reached(nil); err != nil {
			return nil, err
		}
		if _, err := s.renew(ctx); err != nil {
			return nil, err
		}
	}
	return slices.Clone(s.state.Inquired), nil
}

// inquire runs an inquiry's queries.
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
	if q.only != "" {
		var wanted bool
		if err := s.tx.QueryRow(ctx, q.only).Scan(&wanted); err != nil || !wanted {
			return err
		}
	}
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
			if values[i+1] == "" && (column.Name == "issuer" || column.Name == "invoice_issuer") {
				continue // nothing is said of the one without a name
			}
			row = append(row, Field{Column: column.Name, Value: values[i+1]})
		}
		check.add(q.table, problem, row)
	}
	return rows.Err()
}

// countRows returns the number of rows of each table in the snapshot.
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
