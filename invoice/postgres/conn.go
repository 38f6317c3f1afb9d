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

// schemaToken stands for the schema in this package's statements. Names are qualified, since a pooler in front of the
// server may drop the search path that a session asked for.
const schemaToken = "invoicer."

// qualifier returns the prefix of a name in the schema.
func qualifier(schema string) string {
	if schema+"." == schemaToken {
		return schemaToken // qualify then changes nothing
	}
	return pgx.Identifier{schema}.Sanitize() + "."
}

// qualify replaces the schema that the statement names with the configured one. It changes no content, since a
// statement's text never contains values.
func qualify(query, schema string) string {
	if schema == schemaToken {
		return query
	}
	return strings.ReplaceAll(query, schemaToken, schema)
}

// A conn is one connection. [database/sql.Conn.Raw] passes it to its callback; its Conn method returns pgx's
// connection.
type conn struct {
	*stdlib.Conn
	schema         string
	local          string        // behind a pooler: the first statement of each transaction, with the settings; else ""
	statementLimit time.Duration // behind a pooler: the limit of a statement outside of a transaction
}

func (c *conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	return c.Conn.PrepareContext(ctx, qualify(query, c.schema))
}

// ExecContext runs a statement. It returns an error if the statement committed by itself and the wait for a standby
// was cancelled: its outcome is then unknown.
func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	c.forget()
	query = qualify(query, c.schema)
	limited, cancel := c.bounded(ctx)
	defer cancel()
	result, err := c.Conn.ExecContext(limited, query, args)
	if c.limitedByOthers(limited, query, err) {
		return c.execLocally(ctx, query, args)
	}
	if err == nil {
		err = c.unreplicated()
	}
	return result, err
}

func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	c.forget()
	query = qualify(query, c.schema)
	limited, cancel := c.bounded(ctx)
	rows, err := c.Conn.QueryContext(limited, query, args)
	var own driver.Tx
	if c.limitedByOthers(limited, query, err) {
		rows, own, err = c.queryLocally(ctx, query, args)
	}
	if err != nil {
		cancel()
		return nil, err
	}
	return &watchedRows{Rows: rows.(*stdlib.Rows), conn: c, own: own, cancel: cancel}, nil
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

// A watchedRows ends with an error if its statement committed by itself, but on this server only.
type watchedRows struct {
	*stdlib.Rows
	conn   *conn
	own    driver.Tx // of a statement that runs in a transaction of its own: see [conn.queryLocally]
	cancel context.CancelFunc
}

func (r *watchedRows) Next(values []driver.Value) error {
	err := r.Rows.Next(values)
	if errors.Is(err, io.EOF) {
		if lost := r.end(); lost != nil {
			return lost
		}
	}
	return err
}

func (r *watchedRows) Close() error {
	defer r.cancel()
	return errors.Join(r.Rows.Close(), r.end())
}

// end commits the statement's own transaction, if there is one.
func (r *watchedRows) end() error {
	own := r.own
	if r.own = nil; own != nil {
		return own.Commit()
	}
	return r.conn.unreplicated()
}

// A watchedTx returns an error from Commit if the server's answer came with a warning.
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

// warning is the key of a connection's latest warning in pgx's CustomData.
const warning = "invoicer.warning"

// noticeWarning keeps a warning of the server until the statement that caused it is over. pgx calls it while the
// statement runs, on the same goroutine.
func noticeWarning(c *pgconn.PgConn, n *pgconn.Notice) {
	if n.SeverityUnlocalized == "WARNING" && n.Code == "01000" {
		c.CustomData()[warning] = n
	}
}

func (c *conn) forget() { forgetWarning(c.Conn.Conn()) }

func forgetWarning(c *pgx.Conn) { delete(c.PgConn().CustomData(), warning) }

// commitWarning returns an [*unreplicatedError] if the server's answer to COMMIT came with a warning. A backend that
// is cancelled while it waits for a standby has committed on this server, and reports it in no other way.
func commitWarning(c *pgconn.PgConn) error {
	if n, ok := c.CustomData()[warning].(*pgconn.Notice); ok {
		return &unreplicatedError{notice: n}
	}
	return nil
}

// unreplicated is [commitWarning] for a statement that commits by itself. Since a foreign trigger may warn as well,
// the warning must be the one about the wait for a standby.
func (c *conn) unreplicated() error {
	pg := c.Conn.Conn().PgConn()
	if n, ok := pg.CustomData()[warning].(*pgconn.Notice); ok && n.Routine == "SyncRepWaitForLSN" && pg.TxStatus() == 'I' {
		return &unreplicatedError{notice: n}
	}
	return nil
}

// An unreplicatedError says that a transaction is committed on this server, and perhaps on no standby.
type unreplicatedError struct{ notice *pgconn.Notice }

func (e *unreplicatedError) Error() string {
	return "committed on this server, but perhaps not on its standby: " + e.notice.Message
}

func (e *unreplicatedError) Is(target error) bool { return target == invoice.ErrUnavailable }
