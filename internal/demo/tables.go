package demo

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// tables is the database, with the naive workers' table and with ours.
type tables struct {
	db, reader  *sql.DB // reader reads ours
	naive, ours string  // quoted
}

// naiveTable is in the schema of the demo while it runs.
const naiveTable = "demo_naive_invoices"

func openTables(ctx context.Context, o Options) (*tables, error) {
	t := &tables{
		naive: pgx.Identifier{o.Schema, naiveTable}.Sanitize(),
		ours:  pgx.Identifier{o.Schema, "invoices"}.Sanitize(),
	}
	var err error
	if t.db, err = open(o.OwnerURL); err != nil {
		return nil, err
	}
	if t.reader, err = open(o.ReaderURL); err != nil {
		return nil, errors.Join(err, t.db.Close())
	}
	const connections = 20
	t.db.SetMaxOpenConns(connections)
	t.db.SetMaxIdleConns(connections)
	// The number comes from a sequence, as naive ones do. That it is the key isn't in the way of a second invoice.
	for _, statement := range []string{
		`DROP TABLE IF EXISTS ` + t.naive, // of a demo that was killed
		`CREATE TABLE ` + t.naive + ` (
    number         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    transaction_id text        NOT NULL,
    producer       text        NOT NULL,
    worker         integer     NOT NULL,
    asked_at       timestamptz NOT NULL,
    locked_at      timestamptz NOT NULL,
    written_at     timestamptz NOT NULL
)`,
		`CREATE INDEX ON ` + t.naive + ` (transaction_id)`,
	} {
		if _, err := t.db.ExecContext(ctx, statement); err != nil {
			return nil, errors.Join(err, t.reader.Close(), t.db.Close())
		}
	}
	return t, nil
}

func open(url string) (*sql.DB, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeExec // which any pooler lets through
	return stdlib.OpenDB(*config), nil
}

// close drops the naive workers' table, also where the demo was stopped.
func (t *tables) close(ctx context.Context) error {
	const limit = 5 * time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	_, err := t.db.ExecContext(ctx, `DROP TABLE IF EXISTS `+t.naive)
	return errors.Join(err, t.reader.Close(), t.db.Close())
}

// A naiveRow is an invoice of the naive workers.
type naiveRow struct {
	number                       int64
	transactionID, producer      string
	worker                       int
	askedAt, lockedAt, writtenAt time.Time
}

func (t *tables) naiveExists(ctx context.Context, transactionID string) (exists bool, err error) {
	err = t.db.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM `+t.naive+` WHERE transaction_id = $1)`, transactionID).Scan(&exists)
	return exists, err
}

func (t *tables) naiveInsert(ctx context.Context, r naiveRow) error {
	insert := fmt.Sprintf(`INSERT INTO %s (transaction_id, producer, worker, asked_at, locked_at, written_at) VALUES ($1, $2, $3, $4, $5, $6)`, t.naive) //nolint:gosec // the name is the demo's own, and quoted
	_, err := t.db.ExecContext(ctx, insert,
		r.transactionID, r.producer, r.worker, r.askedAt, r.lockedAt, r.writtenAt)
	return err
}

// A Tally is what is stored for the transactions that were asked for.
type Tally struct {
	Invoices    int `json:"invoices"`
	BilledTwice int `json:"billed_twice"` // transactions with more than one invoice
	Missing     int `json:"missing"`      // transactions without one
}

// count reads a table of invoices.
func (t *tables) count(ctx context.Context, db *sql.DB, table string, transactionIDs []string) (tally Tally, err error) {
	const each = `SELECT coalesce(sum(n), 0), count(*) FILTER (WHERE n > 1), count(*) FROM (
    SELECT count(*) AS n FROM `
	var found int
	err = db.QueryRowContext(ctx, each+table+` WHERE transaction_id = ANY($1) GROUP BY transaction_id) AS each`, transactionIDs).
		Scan(&tally.Invoices, &tally.BilledTwice, &found)
	tally.Missing = len(transactionIDs) - found
	return tally, err
}

// naiveRace is a transaction that the naive workers have billed more than once, the most often if there are several; without
// rows if there is none.
func (t *tables) naiveRace(ctx context.Context) (r race, err error) {
	//nolint:gosec // as above
	query := fmt.Sprintf(`SELECT number, transaction_id, producer, worker, asked_at, locked_at, written_at FROM %[1]s
WHERE transaction_id = (SELECT transaction_id FROM %[1]s GROUP BY transaction_id HAVING count(*) > 1 ORDER BY count(*) DESC, min(number) LIMIT 1)
ORDER BY locked_at`, t.naive)
	rows, err := t.db.QueryContext(ctx, query)
	if err != nil {
		return r, err
	}
	defer rows.Close()
	var stored []naiveRow
	for rows.Next() {
		var s naiveRow
		if err := rows.Scan(&s.number, &s.transactionID, &s.producer, &s.worker, &s.askedAt, &s.lockedAt, &s.writtenAt); err != nil {
			return r, err
		}
		stored = append(stored, s)
	}
	return pictureNaive(stored), rows.Err()
}
