package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"invoicer/internal/primary"
)

// tables returns the names of the tables that the audit reads.
func tables() []string {
	return []string{
		"invoices", "invoice_lines", "invoice_taxes", "invoice_links", "invoice_series", "reserved_numbers", "series", "issuers", "duplicate_attempts", "invoice_jobs", "imported_invoices", "erasures",
		"documents", "document_leftovers", "handovers", "handover_log", "handover_channels",
	}
}

// tables are those that the audit locks.
func (o *Options) tables() []string {
	if o.Seals != nil || o.Reached != nil {
		return append(tables(), "database_identity")
	}
	return tables()
}

// A session is one connection in one transaction at a time: the snapshot. Others beside it may see the same one.
type session struct {
	conn      *pgx.Conn
	tx        pgx.Tx
	beside    []*session
	takenAt   time.Time // when the first snapshot was taken
	options   Options
	tables    []string
	began     time.Time // the snapshot, by this machine's clock
	snapshots int
	continued bool // from where an earlier audit has come to
	state     State
}

// several reports whether not everything is seen in one snapshot.
func (s *session) several() bool { return s.snapshots > 1 || s.continued }

// closeTimeout bounds closing a connection whose server may be gone.
const closeTimeout = 5 * time.Second

// begin takes the first snapshot of a schema that this program knows.
func begin(ctx context.Context, o Options, tables []string) (*session, error) {
	s, err := open(ctx, o, tables)
	if err != nil {
		return nil, err
	}
	if err := s.checkVersion(ctx); err != nil {
		_ = s.end(ctx) // the first error says more
		return nil, err
	}
	return s, nil
}

// connect opens a connection that has no transaction yet.
func connect(ctx context.Context, o Options, tables []string) (*session, error) {
	config, err := pgx.ParseConfig(o.URL)
	if err != nil {
		return nil, fmt.Errorf("database.url: %w", err)
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "invoicer audit"
	}
	// Behind a pooler, a prepared statement that outlives its execution would collide with those of other sessions.
	config.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	primary.Choose(ctx, &config.Config)
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	return &session{conn: conn, options: o, tables: tables}, nil
}

// open takes the first snapshot, of whichever schema.
func open(ctx context.Context, o Options, tables []string) (_ *session, err error) {
	s, err := connect(ctx, o, tables)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = s.end(ctx) // the first error says more
		}
	}()
	if err := s.snapshot(ctx); err != nil {
		return nil, err
	}
	if err := s.tx.QueryRow(ctx, "SELECT statement_timestamp()").Scan(&s.takenAt); err != nil {
		return nil, err
	}
	s.takenAt = s.takenAt.UTC()
	return s, nil
}

// besideTimeout bounds how long the audit waits for a connection without which it goes on as well: a pooler may have none to give.
const besideTimeout = 3 * time.Second

// widen opens connections beside this one, so many if they can be had, with the same snapshot now and whenever there is a newer one.
func (s *session) widen(ctx context.Context, wanted int) error {
	opened := s.beside
	for len(s.beside) < wanted {
		within, cancel := context.WithTimeout(ctx, besideTimeout)
		b, err := connect(within, s.options, s.tables)
		cancel()
		if err != nil {
			break
		}
		s.beside = append(s.beside, b)
	}
	if len(s.beside) == len(opened) {
		return nil
	}
	return s.share(ctx)
}

// share has the connections beside this one see its snapshot. It closes those that can't.
func (s *session) share(ctx context.Context) error {
	if len(s.beside) == 0 {
		return nil
	}
	var id string
	if err := s.tx.QueryRow(ctx, "SELECT pg_export_snapshot()").Scan(&id); err != nil {
		return err
	}
	s.beside = slices.DeleteFunc(s.beside, func(b *session) bool {
		if b.tx != nil {
			return false
		}
		within, cancel := context.WithTimeout(ctx, besideTimeout)
		defer cancel()
		err := b.begin(within, "SET TRANSACTION SNAPSHOT "+literal(id)+";")
		if err == nil {
			err = b.readTablesOnly(within)
		}
		if err != nil {
			_ = b.end(ctx) // without it the audit is slower, and no less right
		}
		return err != nil
	})
	return nil
}

// snapshot takes one, and shares it.
func (s *session) snapshot(ctx context.Context) error {
	if err := s.begin(ctx, ""); err != nil {
		return err
	}
	s.began = time.Now()
	s.snapshots++
	return s.share(ctx)
}

// begin begins a transaction, whose first statement is given.
func (s *session) begin(ctx context.Context, first string) (err error) {
	// The time limits of the server or the role are meant for writers. With row_security off, a policy that would
	// hide rows is an error. The tables are locked against changes of their structure, which a snapshot doesn't
	// cover; the first query after that takes the snapshot. A pooler's session may have temporary tables of other
	// users.
	lock := ""
	if len(s.tables) > 0 {
		lock = "; LOCK TABLE " + strings.Join(s.tables, ", ") + " IN ACCESS SHARE MODE"
	}
	s.tx, err = s.conn.BeginTx(ctx, pgx.TxOptions{BeginQuery: `
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;` + first + `
SET LOCAL search_path = ` + pgx.Identifier{s.options.Schema}.Sanitize() + `, pg_temp;
SET LOCAL statement_timeout = 0;
SET LOCAL idle_in_transaction_session_timeout = 0;
SET LOCAL standard_conforming_strings = on;
SET LOCAL lock_timeout = '30s';
SET LOCAL row_security = off` + lock})
	if err != nil {
		return fmt.Errorf("schema %q: %w", s.options.Schema, err)
	}
	return nil
}

// aged reports whether the snapshot is held for long.
func (s *session) aged() bool { return time.Since(s.began) >= s.options.Snapshot }

// renew changes to a newer snapshot, and returns true, if this one is held for long.
func (s *session) renew(ctx context.Context) (bool, error) {
	if !s.aged() {
		return false, nil
	}
	for _, one := range append(s.beside, s) {
		if err := one.tx.Rollback(ctx); err != nil {
			return false, err
		}
		one.tx = nil
	}
	if err := s.snapshot(ctx); err != nil {
		return false, err
	}
	return true, s.readTablesOnly(ctx)
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
SET LOCAL work_mem = '128MB';
SET LOCAL jit = off`)
	return err
}

// end closes the connections, and with them the transactions, which have nothing to commit.
func (s *session) end(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	for _, one := range append(s.beside, s) {
		err = errors.Join(err, one.conn.Close(ctx))
	}
	return err
}

// A cursor reads a query's rows in batches, so that several can be read side by side in one session.
type cursor[T any] struct {
	tx    pgx.Tx
	name  string
	fetch string
	size  int
	scan  func(pgx.CollectableRow) (T, error)
	batch []T
	next  int // in batch
	ended bool
}

func declare[T any](ctx context.Context, tx pgx.Tx, name, sql string, size int, scan func(pgx.CollectableRow) (T, error)) (*cursor[T], error) {
	_, err := tx.Exec(ctx, "DECLARE "+name+" NO SCROLL CURSOR FOR "+sql)
	return &cursor[T]{tx: tx, name: name, fetch: fmt.Sprintf("FETCH %d FROM %s", size, name), size: size, scan: scan}, err
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

// close frees the name for another one.
func (c *cursor[T]) close(ctx context.Context) error {
	_, err := c.tx.Exec(ctx, "CLOSE "+c.name)
	return err
}
