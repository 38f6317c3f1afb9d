package postgres

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"invoicer/invoice"
)

// schemaToken is how this package's statements name the schema. Names are qualified, since a pooler between us and the
// server may drop the search path that a session asked for.
const schemaToken = "invoicer."

// qualifier is what stands before a name in the schema.
func qualifier(schema string) string {
	if schema+"." == schemaToken {
		return schemaToken // and statements stay as they are
	}
	return pgx.Identifier{schema}.Sanitize() + "."
}

// qualify puts the configured schema in the place of the one that the statement names. Values never stand in a
// statement's text, so it changes no content.
func qualify(query, schema string) string {
	if schema == schemaToken {
		return query
	}
	return strings.ReplaceAll(query, schemaToken, schema)
}

// A conn is one connection. [database/sql.Conn.Raw] hands it out: its Conn method returns pgx's own.
type conn struct {
	*stdlib.Conn
	schema         string
	local          string        // settings, each transaction's first statement behind a pooler; else ""
	statementLimit time.Duration // with a statement out of a transaction, behind a pooler
}

func (c *conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	return c.Conn.PrepareContext(ctx, qualify(query, c.schema))
}

// ExecContext runs a statement. One that committed by itself, and whose wait for a standby was cancelled, has an unknown
// outcome.
func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	c.forget()
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	result, err := c.Conn.ExecContext(ctx, qualify(query, c.schema), args)
	if err == nil {
		err = c.unreplicated()
	}
	return result, err
}

func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	c.forget()
	ctx, cancel := c.bounded(ctx)
	rows, err := c.Conn.QueryContext(ctx, qualify(query, c.schema), args)
	if err != nil {
		cancel()
		return nil, err
	}
	return &watchedRows{Rows: rows.(*stdlib.Rows), conn: c, cancel: cancel}, nil
}

func (c *conn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	begin := c.Conn.BeginTx
	if c.local != "" {
		begin = c.beginLocally
	}
	tx, err := begin(ctx, o)
	if err != nil {
		return nil, err
	}
	return &watchedTx{Tx: tx, conn: c}, nil
}

// A watchedRows ends with an error where its statement committed by itself, and only on this server.
type watchedRows struct {
	*stdlib.Rows
	conn   *conn
	cancel context.CancelFunc
}

func (r *watchedRows) Next(values []driver.Value) error {
	err := r.Rows.Next(values)
	if errors.Is(err, io.EOF) {
		if lost := r.conn.unreplicated(); lost != nil {
			return lost
		}
	}
	return err
}

func (r *watchedRows) Close() error {
	defer r.cancel()
	return errors.Join(r.Rows.Close(), r.conn.unreplicated())
}

// A watchedTx doesn't take a commit for done that the server answered together with a warning.
type watchedTx struct {
	driver.Tx
	conn *conn
}

func (t *watchedTx) Commit() error {
	t.conn.forget()
	if err := t.Tx.Commit(); err != nil {
		return err
	}
	return commitWarning(t.conn.Conn.Conn().PgConn())
}

// warning is the key of a connection's latest warning in pgx's data of it.
const warning = "invoicer.warning"

// noticeWarning keeps the server's warning until the statement that caused it is over. pgx calls it while the statement
// runs, on the same goroutine.
func noticeWarning(c *pgconn.PgConn, n *pgconn.Notice) {
	if n.SeverityUnlocalized == "WARNING" && n.Code == "01000" {
		c.CustomData()[warning] = n
	}
}

func (c *conn) forget() { forgetWarning(c.Conn.Conn()) }

func forgetWarning(c *pgx.Conn) { delete(c.PgConn().CustomData(), warning) }

// commitWarning returns an [*unreplicatedError] if the server answered COMMIT together with a warning: a backend that is
// cancelled while it waits for a standby has committed on this server, and says so in no other way.
func commitWarning(c *pgconn.PgConn) error {
	if n, ok := c.CustomData()[warning].(*pgconn.Notice); ok {
		return &unreplicatedError{notice: n}
	}
	return nil
}

// unreplicated is [commitWarning] of a statement that commits by itself. A trigger of somebody else's may warn as well, so
// the warning must come from the wait for a standby.
func (c *conn) unreplicated() error {
	pg := c.Conn.Conn().PgConn()
	if n, ok := pg.CustomData()[warning].(*pgconn.Notice); ok && n.Routine == "SyncRepWaitForLSN" && pg.TxStatus() == 'I' {
		return &unreplicatedError{notice: n}
	}
	return nil
}

// An unreplicatedError says that a commit is on this server, and perhaps on no other one.
type unreplicatedError struct{ notice *pgconn.Notice }

func (e *unreplicatedError) Error() string {
	return "committed on this server, but perhaps not on its standby: " + e.notice.Message
}

func (e *unreplicatedError) Is(target error) bool { return target == invoice.ErrUnavailable }
