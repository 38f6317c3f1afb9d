package migrations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pressly/goose/v3"
)

// separations are the unique constraints that know issuers. Each takes the place, and the name, of one that doesn't. The
// columns by which rows are looked up come first, so that they are found whatever their issuer.
//
//nolint:gochecknoglobals // a constant table
var separations = []struct{ table, constraint, index, columns string }{
	{"invoices", "invoices_transaction_id_key", "invoices_transaction_id_issuer_idx", "transaction_id, issuer"},
	{"invoices", "invoices_idempotency_key_key", "invoices_idempotency_key_issuer_idx", "idempotency_key, issuer"},
	{"invoices", "invoices_series_period_number_key", "invoices_series_issuer_number_idx", "series, period, issuer, number"},
	{"invoices", "invoices_invoice_number_key", "invoices_invoice_number_issuer_idx", "invoice_number, issuer"},
	{"invoice_series", "invoice_series_pkey", "invoice_series_issuer_idx", "issuer, series, period"},
	{"series", "series_pkey", "series_issuer_version_idx", "issuer, series, version"},
}

const (
	// swapWait bounds the wait for the tables. Whoever wants to write an invoice meanwhile waits behind it.
	swapWait = 200 * time.Millisecond
	// swapPause is the time until it is tried again, in which the others get on.
	swapPause = time.Second
)

// SeparateIssuers lets each issuer have transactions, keys, numbers and series of its own. It builds new unique indexes while others
// write invoices. Then one short transaction replaces the old indexes with them. A call that was interrupted can be repeated: it keeps
// the indexes that are complete. A call after the first successful one changes nothing. The role must own the tables. SeparateIssuers
// calls progress with a sentence about each step.
func (m *Migrator) SeparateIssuers(ctx context.Context, progress func(string)) error {
	return m.exclusively(ctx, false, func(*goose.Provider) (err error) {
		db := m.open(ctx)
		defer func() { err = errors.Join(err, db.Close()) }()
		db.SetMaxOpenConns(1)
		schema := quote(m.schema)
		var apart bool
		if err := db.QueryRowContext(ctx, "SELECT "+schema+".issuers_apart()").Scan(&apart); err != nil || apart {
			return owners(err)
		}
		for _, s := range separations {
			progress(fmt.Sprintf("builds a unique index of %s (%s)", s.table, s.columns))
			if err := m.buildIndex(ctx, db, "UNIQUE INDEX", s.table, s.index, "("+s.columns+")"); err != nil {
				return owners(err)
			}
		}
		progress("puts them into the place of those that know no issuer")
		for {
			err := m.swap(ctx, db)
			if pg := new(pgconn.PgError); !errors.As(err, &pg) || pg.Code != "55P03" {
				return owners(err)
			}
			select {
			case <-time.After(swapPause):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
}

// swap puts the indexes into the place of the constraints.
func (m *Migrator) swap(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	schema := quote(m.schema)
	statements := []string{
		fmt.Sprintf("SET LOCAL lock_timeout = %d", swapWait.Milliseconds()),
		// In the order in which a writer takes them: else the two might wait for each other.
		fmt.Sprintf("LOCK TABLE %[1]s.invoice_series, %[1]s.invoices, %[1]s.series IN ACCESS EXCLUSIVE MODE", schema),
	}
	for _, s := range separations {
		kind := "UNIQUE"
		if strings.HasSuffix(s.constraint, "_pkey") {
			kind = "PRIMARY KEY"
		}
		statements = append(statements, fmt.Sprintf("ALTER TABLE %s.%s DROP CONSTRAINT %[3]s, ADD CONSTRAINT %[3]s %s USING INDEX %s",
			schema, quote(s.table), quote(s.constraint), kind, quote(s.index)))
	}
	for _, statement := range statements {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return errors.Join(err, ended(tx.Rollback()))
		}
	}
	return tx.Commit()
}

// Newest returns the version of the newest migration that this program knows.
func Newest() int64 {
	names, _ := fs.Glob(files, "*.sql") // the pattern is good
	newest, _ := strconv.ParseInt(strings.SplitN(names[len(names)-1], "_", 2)[0], 10, 64)
	return newest
}

// owners says what to do about a missing right.
func owners(err error) error {
	if pg := new(pgconn.PgError); errors.As(err, &pg) && pg.Code == "42501" {
		return fmt.Errorf("opening the first issuer changes unique constraints, so it needs the role that migrates, which owns the tables: %w", pg)
	}
	return err
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }
