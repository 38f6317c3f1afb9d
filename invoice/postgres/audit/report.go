package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"

	"invoicer/internal/report"
)

// A Report is the result of an audit of one snapshot. Keys are named like the columns.
type Report struct {
	Schema  string    `json:"schema"`
	TakenAt time.Time `json:"taken_at"` // when the first snapshot was taken, by the server's clock
	// Snapshots is how many were taken, one after the other. What came after the first isn't looked at by all checks.
	Snapshots int `json:"snapshots"`
	// ContinuedAt is when the audit was continued that had been broken off, nil if it wasn't.
	ContinuedAt *time.Time `json:"continued_at,omitempty"`
	Checks      []Check    `json:"checks"`

	Totals            []report.Tally `json:"totals"`
	DuplicateAttempts int64          `json:"duplicate_attempts"`
	// Unlinked counts the invoices that have no link in a chain, since an earlier release wrote them. That is no violation.
	Unlinked int64 `json:"unlinked"`
	// Erased counts the invoices whose personal data was erased. Their numbers, amounts and links are checked as those of any other.
	Erased int64 `json:"erased"`
	// Objects is about the documents whose bytes are outside of the database.
	Objects *ObjectsReport `json:"objects"`
	// Seals is nil if the invoices weren\'t compared with any.
	Seals *SealsReport `json:"seals,omitempty"`
	Jobs  []JobTally   `json:"jobs"`

	// Overcredited lists documents of which more was credited than they come to, or given back than was credited. That is no violation:
	// they came later than what credits them, or earlier releases took the credits.
	Overcredited []Overcredited `json:"overcredited"`

	// Reserved lists the numbers that a lost database gave out and this one keeps for their transactions. That is no violation.
	Reserved []ReservedNumbers `json:"reserved"`

	// Waiting lists the oldest accepted jobs that have no end yet, which is no violation. Jobs counts all of them.
	Waiting []WaitingJob `json:"waiting"`
}

// OK reports whether every check passed.
func (r *Report) OK() bool {
	for i := range r.Checks {
		if !r.Checks[i].OK() {
			return false
		}
	}
	return true
}

// MarshalJSON encodes the report with the verdict as "ok".
func (r *Report) MarshalJSON() ([]byte, error) {
	type plain Report
	return json.Marshal(struct {
		OK bool `json:"ok"`
		*plain
	}{r.OK(), (*plain)(r)})
}

// A Check is one check of the audit, with its findings.
type Check struct {
	Name     string `json:"check"`
	Promises []int  `json:"promises"` // the numbers of the promises that it checks
	Proves   string `json:"proves"`   // what it proves, in words
	Examined int64  `json:"examined"` // rows
	Broken   int64  `json:"broken"`   // findings
	// Findings lists the first of the findings.
	Findings []Finding `json:"findings,omitempty"`

	limit int
}

// OK reports whether there are no findings.
func (c *Check) OK() bool { return c.Broken == 0 }

// append adds the findings of another check.
func (c *Check) append(other *Check) {
	c.Broken += other.Broken
	c.Findings = append(c.Findings, other.Findings[:min(len(other.Findings), max(0, c.limit-len(c.Findings)))]...)
}

// full reports whether further findings are only counted.
func (c *Check) full() bool { return len(c.Findings) >= c.limit }

func (c *Check) add(table, problem string, row Row) {
	c.Broken++
	if !c.full() {
		c.Findings = append(c.Findings, Finding{Problem: problem, Table: table, Row: row})
	}
}

// A Finding is an offending row, with the reason. It contains neither personal data nor an invoice's texts.
type Finding struct {
	Problem string `json:"problem"`
	Table   string `json:"table"`
	Row     Row    `json:"row"`
}

// A Row holds the columns that identify an offending row, and those that are wrong. In JSON it is an object.
type Row []Field

// A Field is a column's name and value. A field named computed holds the value that the field before it should have.
type Field struct {
	Column string
	Value  any
}

// UnmarshalJSON reads what MarshalJSON has written. Numbers become [json.Number].
func (r *Row) UnmarshalJSON(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if _, err := d.Token(); err != nil {
		return err
	}
	*r = Row{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		var f Field
		f.Column, _ = name.(string)
		if err := d.Decode(&f.Value); err != nil {
			return err
		}
		*r = append(*r, f)
	}
	return nil
}

// MarshalJSON encodes the row as an object, with its columns in their order.
func (r Row) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, f := range r {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(f.Column)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(f.Value)
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// A JobTally counts the ledger's rows of one state and outcome.
type JobTally struct {
	State   string  `json:"state"`
	Outcome *string `json:"outcome"`
	Jobs    int64   `json:"jobs"`
}

// An Overcredited is a document whose credits don't fit. Amounts are in minor units of its currency, tax included.
type Overcredited struct {
	Issuer        string `json:"issuer,omitempty"`
	InvoiceNumber string `json:"invoice_number"`
	TransactionID string `json:"transaction_id"`
	Currency      string `json:"currency"`
	TotalMinor    int64  `json:"total_minor"`
	LeftMinor     int64  `json:"left_minor"` // outside of 0 to the total
}

// ReservedNumbers are the reserved numbers of a series and period.
type ReservedNumbers struct {
	Issuer    string `json:"issuer,omitempty"`
	Series    string `json:"series"`
	Period    string `json:"period"`
	First     int64  `json:"first_number"`
	Last      int64  `json:"last_number"`
	Numbers   int64  `json:"numbers"`
	GivenBack int64  `json:"given_back"` // to their transactions
	Unknown   int64  `json:"unknown"`    // nobody gets them, since nobody knows whose they are
	Elsewhere int64  `json:"elsewhere"`  // nobody gets them, since their transactions have other numbers by now
}

// Waiting is how many wait for their transactions to be asked for again.
func (r *ReservedNumbers) Waiting() int64 { return r.Numbers - r.GivenBack - r.Unknown - r.Elsewhere }

// A WaitingJob is an accepted job that has no end yet.
type WaitingJob struct {
	JobID         string    `json:"job_id"`
	TransactionID *string   `json:"transaction_id"`
	Queue         string    `json:"queue"`
	State         string    `json:"state"`
	Attempts      int       `json:"attempts"`
	Dispatch      int       `json:"dispatch"` // how often it was sent to its queue
	AcceptedAt    time.Time `json:"accepted_at"`
	AgeSeconds    int64     `json:"age_seconds"` // when the snapshot was taken
	Why           string    `json:"why"`         // why it waits, as far as the database can tell
}

// Age returns how long the job had waited when the snapshot was taken.
func (j *WaitingJob) Age() time.Duration { return time.Duration(j.AgeSeconds) * time.Second }

// summarise adds the report's figures that aren't checks.
func (s *session) summarise(ctx context.Context, r *Report) error {
	rows, err := s.tx.Query(ctx, `SELECT coalesce(kind, ''), coalesce(currency, ''), count(*), coalesce(sum(total_minor), 0)::text
FROM invoices GROUP BY kind, currency ORDER BY kind DESC, currency`)
	if err == nil {
		r.Totals, err = pgx.CollectRows(rows, pgx.RowToStructByPos[report.Tally])
	}
	if err != nil {
		return err
	}
	err = s.tx.QueryRow(ctx, `SELECT (SELECT count(*) FROM duplicate_attempts), (SELECT count(*) FROM invoices WHERE erasure_id IS NOT NULL)`).Scan(&r.DuplicateAttempts, &r.Erased)
	if err != nil {
		return err
	}
	rows, err = s.tx.Query(ctx, `SELECT coalesce(state, ''), outcome, count(*) FROM invoice_jobs GROUP BY state, outcome ORDER BY state, outcome`)
	if err == nil {
		r.Jobs, err = pgx.CollectRows(rows, pgx.RowToStructByPos[JobTally])
	}
	if err != nil {
		return err
	}
	rows, err = s.tx.Query(ctx, `
WITH RECURSIVE above (id, issuer, transaction_id) AS (
    SELECT id, issuer, credits_transaction_id FROM invoices WHERE credits_transaction_id IS NOT NULL
    UNION
    SELECT above.id, above.issuer, i.credits_transaction_id FROM above JOIN invoices i ON i.issuer = above.issuer AND i.transaction_id = above.transaction_id
    WHERE i.credits_transaction_id IS NOT NULL
), credited AS (
    SELECT above.issuer, above.transaction_id, i.currency, sum(i.total_minor) AS total_minor FROM above JOIN invoices i USING (id)
    WHERE i.transaction_id <> above.transaction_id GROUP BY above.issuer, above.transaction_id, i.currency
), documents AS (
    SELECT issuer, transaction_id, invoice_number, currency, total_minor, 0::bigint AS before FROM invoices
    UNION ALL
    SELECT issuer, transaction_id, invoice_number, currency, total_minor, sign(total_minor)::bigint * coalesce(credited_total_minor, 0) FROM imported_invoices
    WHERE withdrawn_at IS NULL AND total_minor IS NOT NULL
), counted AS (
    SELECT documents.*, greatest(-9223372036854775808, least(9223372036854775807, documents.total_minor - before + credited.total_minor))::bigint AS left_minor
    FROM credited JOIN documents USING (issuer, transaction_id, currency)
)
SELECT issuer, invoice_number, transaction_id, currency, total_minor, left_minor FROM counted
WHERE left_minor NOT BETWEEN least(0, total_minor) AND greatest(0, total_minor) ORDER BY issuer, invoice_number LIMIT $1`, max(0, s.options.Limit))
	if err == nil {
		r.Overcredited, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Overcredited])
	}
	if err != nil {
		return err
	}
	rows, err = s.tx.Query(ctx, `
SELECT r.issuer, r.series, r.period, min(r.number), max(r.number), count(*), count(i.id), count(*) FILTER (WHERE r.transaction_id IS NULL),
    count(*) FILTER (WHERE i.id IS NULL AND EXISTS (SELECT FROM invoices o WHERE o.issuer = r.issuer AND o.transaction_id = r.transaction_id))
FROM reserved_numbers r LEFT JOIN invoices i ON i.issuer = r.issuer AND i.series = r.series AND i.period = r.period AND i.number = r.number
GROUP BY r.issuer, r.series, r.period ORDER BY r.issuer, r.series, r.period`)
	if err == nil {
		r.Reserved, err = pgx.CollectRows(rows, pgx.RowToStructByPos[ReservedNumbers])
	}
	if err != nil {
		return err
	}
	rows, err = s.tx.Query(ctx, `
SELECT job_id, transaction_id, j.queue, state, attempts, dispatch, accepted_at, extract(epoch FROM $1 - accepted_at)::bigint,
    CASE
        WHEN q.holder IS NULL AND EXISTS (SELECT FROM ledger_queues WHERE expires_at > $1) THEN 'no worker takes jobs from this queue'
        WHEN q.holder IS NULL THEN 'no worker is running'
        WHEN state = 'accepted' THEN 'a worker is about to put it into its queue, or Redis is away'
        ELSE 'it is in its queue or in work; a worker puts it back if it gets lost'
    END
FROM invoice_jobs j LEFT JOIN ledger_queues q ON q.queue = j.queue AND q.expires_at > $1
WHERE state IN ('accepted', 'enqueued') ORDER BY accepted_at, id LIMIT $2`, s.takenAt, max(0, s.options.Limit))
	if err == nil {
		r.Waiting, err = pgx.CollectRows(rows, pgx.RowToStructByPos[WaitingJob])
	}
	return err
}
