package postgres_test

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// What must never be is refused by the database, whoever asks: here somebody with psql and every privilege.
func TestDatabaseRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.create(t, "1", job(t, "T1"))
	b.create(t, "2", job(t, "T2"))
	const columns = "series, period, number, invoice_number, kind, transaction_id, idempotency_key, job_id, fingerprint, currency, subtotal_minor, tax_minor, total_minor, issued_at"
	const values = "'j', 'v1:' || repeat('0', 64), 'GBP', 0, 0, 0, now()"
	for _, c := range []struct{ name, statement, code, constraint string }{
		{"change", "UPDATE invoices SET total_minor = 0", "23000", "invoices_immutable"},
		{"deletion", "DELETE FROM invoices WHERE transaction_id = 'T2'", "23000", "invoices_immutable"},
		{"truncation", "TRUNCATE invoices CASCADE", "23000", "invoices_immutable"},
		{"change of a line", "UPDATE invoice_lines SET quantity = 1", "23000", "invoice_lines_immutable"},
		{"deletion of a line", "DELETE FROM invoice_lines", "23000", "invoice_lines_immutable"},
		{"truncation of lines", "TRUNCATE invoice_lines", "23000", "invoice_lines_immutable"},
		{"addition of a line", "INSERT INTO invoice_lines (invoice_id, position, quantity, unit_price, net_minor) SELECT id, 9, 1, 1, 100 FROM invoices", "23000", "invoice_lines_complete"},
		{"change of a tax", "UPDATE invoice_taxes SET tax_minor = 1", "23000", "invoice_taxes_immutable"},
		{"deletion of a tax", "DELETE FROM invoice_taxes", "23000", "invoice_taxes_immutable"},
		{"truncation of taxes", "TRUNCATE invoice_taxes", "23000", "invoice_taxes_immutable"},
		{"addition of a tax", "INSERT INTO invoice_taxes SELECT id, 7, 1, 1 FROM invoices", "23000", "invoice_taxes_complete"},
		{"second invoice for a transaction", "INSERT INTO invoices (" + columns + ") VALUES ('INV', '', 3, 'x', 'invoice', 'T1', 'k', " + values + ")", "23505", "invoices_transaction_id_key"},
		{"second invoice for a key", "INSERT INTO invoices (" + columns + ") VALUES ('INV', '', 3, 'x', 'invoice', 'T3', 'T1', " + values + ")", "23505", "invoices_idempotency_key_key"},
		{"number twice", "INSERT INTO invoices (" + columns + ") VALUES ('INV', '', 2, 'x', 'invoice', 'T3', 'T3', " + values + ")", "23505", "invoices_series_period_number_key"},
		{"printed number twice", "INSERT INTO invoices (" + columns + ") VALUES ('INV', '', 3, 'INV-000002', 'invoice', 'T3', 'T3', " + values + ")", "23505", "invoices_invoice_number_key"},
		{"gap", "INSERT INTO invoices (" + columns + ") VALUES ('INV', '', 4, 'x', 'invoice', 'T3', 'T3', " + values + ")", "23000", "invoices_gapless"},
		{"other kind", "INSERT INTO invoices (" + columns + ") VALUES ('INV', '', 3, 'x', 'credit_note', 'T3', 'T3', 'j', 'v1:' || repeat('0', 64), 'GBP', -1, 0, -1, now())", "23503", "invoices_series_fkey"},
		{"kind that doesn't fit the sign", "INSERT INTO invoices (" + columns + ") VALUES ('INV', '', 3, 'x', 'credit_note', 'T3', 'T3', " + values + ")", "23514", "invoices_kind_check"},
		{"total that doesn't fit", "INSERT INTO invoices (" + columns + ") VALUES ('INV', '', 3, 'x', 'invoice', 'T3', 'T3', 'j', 'v1:' || repeat('0', 64), 'GBP', 1, 1, 3, now())", "23514", "invoices_total_check"},
		{"counter lowered", "UPDATE invoice_series SET last_number = 1", "23000", "invoice_series_forward"},
		{"counter deleted", "DELETE FROM invoice_series", "23000", "invoice_series_forward"},
		{"counter of another kind", "INSERT INTO invoice_series VALUES ('INV', '2010', 'credit_note', 0)", "23000", "invoice_series_one_kind"},
		{"counter that begins later", "INSERT INTO invoice_series VALUES ('NEW', '', 'invoice', 5)", "23000", "invoice_series_begin"},
		{"duplicate of nothing", "INSERT INTO duplicate_attempts (job_id, transaction_id, idempotency_key, invoice_id, reason, worker) VALUES ('j', 'T', 'K', 999, 'lost_race', 'w')", "23503", "duplicate_attempts_invoice_id_fkey"},
		{"good end without an invoice", "INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, state, outcome) VALUES ('j', 'T', 'K', 'q', 'done', 'created')", "23514", "invoice_jobs_end_check"},
		{"bad end without a reason", "INSERT INTO invoice_jobs (job_id, queue, state, outcome) VALUES ('j', 'q', 'failed', 'invalid')", "23514", "invoice_jobs_end_check"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := b.db.ExecContext(t.Context(), c.statement)
			var pg *pgconn.PgError
			if !errors.As(err, &pg) {
				t.Fatalf("error %v, want a refusal", err)
			}
			if pg.Code != c.code || pg.ConstraintName != c.constraint {
				t.Errorf("%s %s (%s), want %s %s", pg.Code, pg.ConstraintName, pg.Message, c.code, c.constraint)
			}
		})
	}
}
