package audit

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// tables returns the names of the tables that the audit reads.
func tables() []string {
	return []string{
		"invoices", "invoice_lines", "invoice_taxes", "invoice_links", "invoice_series", "series", "issuers", "duplicate_attempts", "invoice_jobs", "imported_invoices",
	}
}

// tables are those that the audit locks.
func (o *Options) tables() []string {
	if o.Seals != nil {
		return append(tables(), "database_identity")
	}
	return tables()
}

// A session is one connection in one transaction: the snapshot.
type session struct {
	conn    *pgx.Conn
	tx      pgx.Tx
	takenAt time.Time
	options Options
}

// closeTimeout bounds closing a connection whose server may be gone.
const closeTimeout = 5 * time.Second

func begin(ctx context.Context, o Options, tables []string) (_ *session, err error) {
	config, err := pgx.ParseConfig(o.URL)
	if err != nil {
		return nil, fmt.Errorf("database.url: %w", err)
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "invoicer audit"
	}
	// Behind a pooler, a prepared statement that outlives its execution would collide with those of other sessions.
	config.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	s := &session{conn: conn, options: o}
	defer func() {
		if err != nil {
			_ = s.end(ctx) // the first error says more
		}
	}()
	// The time limits of the server or the role are meant for writers. With row_security off, a policy that would
	// hide rows is an error. The tables are locked against changes of their structure, which a snapshot doesn't
	// cover; the first query after that takes the snapshot. A pooler's session may have temporary tables of other
	// users.
	s.tx, err = conn.BeginTx(ctx, pgx.TxOptions{BeginQuery: `
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SET LOCAL search_path = ` + pgx.Identifier{o.Schema}.Sanitize() + `, pg_temp;
SET LOCAL statement_timeout = 0;
SET LOCAL idle_in_transaction_session_timeout = 0;
SET LOCAL lock_timeout = '30s';
SET LOCAL row_security = off;
LOCK TABLE ` + strings.Join(tables, ", ") + ` IN ACCESS SHARE MODE`})
	if err != nil {
		return nil, fmt.Errorf("schema %q: %w", o.Schema, err)
	}
	if err := s.tx.QueryRow(ctx, "SELECT statement_timestamp()").Scan(&s.takenAt); err != nil {
		return nil, err
	}
	s.takenAt = s.takenAt.UTC()
	return s, s.checkVersion(ctx)
}

// checkVersion refuses a schema whose constraints and triggers this program can't know.
func (s *session) checkVersion(ctx context.Context) error {
	var ours bool
	if err := s.tx.QueryRow(ctx, "SELECT to_regclass('goose_db_version') IS NOT NULL").Scan(&ours); err != nil || !ours {
		return err
	}
	var current int64
	err := s.tx.QueryRow(ctx, "SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied").Scan(&current)
	if err == nil && current > knownVersion() {
		err = &NewerSchemaError{Schema: s.options.Schema, Current: current, Known: knownVersion()}
	}
	return err
}

// readTablesOnly keeps the planner from using indexes: a corrupted index would hide exactly the rows that matter. The
// remaining plans, scans with sorts and hashes, are also the fastest for whole tables.
func (s *session) readTablesOnly(ctx context.Context) error {
	_, err := s.tx.Exec(ctx, `
SET LOCAL enable_indexscan = off;
SET LOCAL enable_indexonlyscan = off;
SET LOCAL enable_bitmapscan = off;
SET LOCAL cursor_tuple_fraction = 1;
SET LOCAL work_mem = '64MB';
SET LOCAL jit = off`)
	return err
}

// end closes the connection, and with it the transaction, which has nothing to commit.
func (s *session) end(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	return s.conn.Close(ctx)
}

// A cursor reads a query's rows in batches, so that several can be read side by side in one session.
type cursor[T any] struct {
	tx    pgx.Tx
	fetch string
	size  int
	scan  func(pgx.CollectableRow) (T, error)
	batch []T
	next  int // in batch
	ended bool
}

func declare[T any](ctx context.Context, tx pgx.Tx, name, sql string, size int, scan func(pgx.CollectableRow) (T, error)) (*cursor[T], error) {
	_, err := tx.Exec(ctx, "DECLARE "+name+" NO SCROLL CURSOR FOR "+sql)
	return &cursor[T]{tx: tx, fetch: fmt.Sprintf("FETCH %d FROM %s", size, name), size: size, scan: scan}, err
}

// peek returns the next row, or nil after the last. It returns the same row until [cursor.take] is called. The row is
// valid until the peek after that.
func (c *cursor[T]) peek(ctx context.Context) (*T, error) {
	if c.next == len(c.batch) && !c.ended {
		rows, err := c.tx.Query(ctx, c.fetch)
		if err != nil {
			return nil, err
		}
		if c.batch, err = pgx.AppendRows(c.batch[:0], rows, c.scan); err != nil {
			return nil, err
		}
		c.next, c.ended = 0, len(c.batch) < c.size
	}
	if c.next == len(c.batch) {
		return nil, nil
	}
	return &c.batch[c.next], nil
}

// take moves to the row after the one that peek returned.
func (c *cursor[T]) take() { c.next++ }
