package migrations

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/pressly/goose/v3"
)

// ahead are indexes of tables that may be large. They are built before the migration that needs them, while others write; within a
// migration, building them would keep writers out. The migration builds those that aren't there, since the table is small or new.
//
//nolint:gochecknoglobals // a constant table
var ahead = []struct {
	before                         int64 // the migration
	kind, table, index, definition string
}{
	{27, "INDEX", "invoices", "invoices_credits_idx", "(issuer, credits_transaction_id) WHERE credits_transaction_id IS NOT NULL"},
	{31, "UNIQUE INDEX", "invoice_taxes", "invoice_taxes_rows_key", "(invoice_id, tax_percent, code, category)"},
	{31, "INDEX", "invoices", "invoices_replaces_idx", "(issuer, (terms ->> 'replaces_transaction_id')) WHERE terms ->> 'replaces_transaction_id' IS NOT NULL"},
}

// largeTable is how many rows a table has from which on indexes are built ahead.
const largeTable = 50_000

// upAhead applies the migrations before one that needs an index, and builds that index, if the table is large.
func (m *Migrator) upAhead(ctx context.Context, p *goose.Provider) ([]*goose.MigrationResult, error) {
	var all []*goose.MigrationResult
	for _, one := range ahead {
		version, err := p.GetDBVersion(ctx)
		if err != nil || version == 0 || version >= one.before {
			return all, err
		}
		results, err := p.UpTo(ctx, one.before-1)
		if err != nil {
			return all, err // it has the results
		}
		all = append(all, results...)
		if err := m.buildAhead(ctx, one.kind, one.table, one.index, one.definition); err != nil {
			return all, err
		}
	}
	return all, nil
}

func (m *Migrator) buildAhead(ctx context.Context, kind, table, index, definition string) (err error) {
	db := m.open(ctx)
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	var large bool
	err = db.QueryRowContext(ctx, "SELECT count(*) >= $1 FROM (SELECT FROM "+quote(m.schema)+"."+quote(table)+" LIMIT $1) AS rows", m.large).Scan(&large)
	if err != nil || !large {
		return err
	}
	return m.buildIndex(ctx, db, kind, table, index, definition)
}

// buildIndex builds an index while others write. What a broken-off build has left is removed first.
func (m *Migrator) buildIndex(ctx context.Context, db *sql.DB, kind, table, index, definition string) error {
	schema := quote(m.schema)
	var valid sql.NullBool
	err := db.QueryRowContext(ctx, `SELECT (SELECT indisvalid FROM pg_catalog.pg_index WHERE indexrelid = to_regclass($1))`, schema+"."+quote(index)).Scan(&valid)
	if err != nil || valid.Bool {
		return err
	}
	if valid.Valid {
		if _, err := db.ExecContext(ctx, "DROP INDEX CONCURRENTLY "+schema+"."+quote(index)); err != nil {
			return err
		}
	}
	_, err = db.ExecContext(ctx, "CREATE "+strings.Replace(kind, "INDEX", "INDEX CONCURRENTLY", 1)+" "+quote(index)+" ON "+schema+"."+quote(table)+" "+definition)
	return err
}
