package client

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"strconv"
)

// A Querier is a place to run a statement in: a [*sql.Tx], [*sql.Conn] or [*sql.DB], the Statement.ConnPool of a GORM
// transaction, or what [Pgx] returns.
type Querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// PgxRows has the methods of a pgx.Rows that [Pgx] needs.
type PgxRows interface {
	Next() bool
	Values() ([]any, error)
	Err() error
	Close()
}

// PgxQuerier has the method of a pgx.Tx, *pgx.Conn or *pgxpool.Pool that [Pgx] needs.
type PgxQuerier[R PgxRows] interface {
	Query(ctx context.Context, query string, args ...any) (R, error)
}

// Pgx returns a place to run statements in for a pgx.Tx, *pgx.Conn or *pgxpool.Pool, which stays the caller's:
//
//	receipt, err := c.Accept(ctx, client.Pgx(tx), job)
//
// Errors are those of pgx. This package doesn't import pgx: a service that uses another driver doesn't link it.
func Pgx[R PgxRows](tx PgxQuerier[R]) Querier {
	return pgxPlace(func(ctx context.Context, query string, args []any) (PgxRows, error) {
		return tx.Query(ctx, query, args...)
	})
}

// A pgxPlace is a driver of database/sql with one connection, which pgx keeps: only database/sql makes a *sql.Row.
type pgxPlace func(ctx context.Context, query string, args []any) (PgxRows, error)

func (p pgxPlace) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	db := sql.OpenDB(p)
	defer db.Close() // it ends a goroutine of database/sql; the row has been read
	return db.QueryRowContext(ctx, query, args...)
}

// Connect implements [driver.Connector].
func (p pgxPlace) Connect(context.Context) (driver.Conn, error) { return p, nil }

// Driver implements [driver.Connector].
func (p pgxPlace) Driver() driver.Driver { return p }

// Open implements [driver.Driver].
func (p pgxPlace) Open(string) (driver.Conn, error) { return p, nil }

// Close implements [driver.Conn]. The connection is the caller's, and stays open.
func (p pgxPlace) Close() error { return nil }

var errOnlyQueries = errors.New("client: a place of pgx's only runs queries")

// Prepare implements [driver.Conn]; database/sql calls QueryContext instead.
func (p pgxPlace) Prepare(string) (driver.Stmt, error) { return nil, errOnlyQueries }

// Begin implements [driver.Conn]; the transaction is the caller's.
func (p pgxPlace) Begin() (driver.Tx, error) { return nil, errOnlyQueries }

// QueryContext implements [driver.QueryerContext]. It reads all rows at once, since the transaction can't run the caller's next
// statement before that.
func (p pgxPlace) QueryContext(ctx context.Context, query string, named []driver.NamedValue) (driver.Rows, error) {
	args := make([]any, len(named))
	for i := range named {
		args[i] = named[i].Value
	}
	rows, err := p(ctx, query, args)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all pgxValues
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			return nil, err
		}
		all = append(all, values)
	}
	rows.Close()
	return &all, rows.Err()
}

// pgxValues are rows that were read.
type pgxValues [][]any

// Columns implements [driver.Rows].
func (v *pgxValues) Columns() []string {
	if len(*v) == 0 {
		return nil
	}
	names := make([]string, len((*v)[0]))
	for i := range names {
		names[i] = "column" + strconv.Itoa(i+1)
	}
	return names
}

// Close implements [driver.Rows].
func (v *pgxValues) Close() error { return nil }

// Next implements [driver.Rows].
func (v *pgxValues) Next(dest []driver.Value) error {
	if len(*v) == 0 {
		return io.EOF
	}
	for i, value := range (*v)[0] {
		dest[i] = value
	}
	*v = (*v)[1:]
	return nil
}
