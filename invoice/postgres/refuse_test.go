package postgres_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// values are an invoice's columns after its key.
const values = "'j', 'v1:' || repeat('0', 64), 'GBP', 0, 0, 0, now()"

// insertInvoices is one statement for all rows, each in brackets.
func insertInvoices(rows ...string) string {
	return `INSERT INTO invoices (series, period, number, invoice_number, kind, transaction_id, idempotency_key, job_id, fingerprint, currency,
subtotal_minor, tax_minor, total_minor, issued_at) VALUES ` + strings.Join(rows, ", ")
}

func row(number int) string {
	return fmt.Sprintf("('INV', '', %[1]d, 'n%[1]d', 'invoice', 'T%[1]d', 'T%[1]d', %[2]s)", number, values)
}

func ofOther(number int) string {
	return fmt.Sprintf("('OTHER', '', %[1]d, 'o%[1]d', 'invoice', 'O%[1]d', 'O%[1]d', %[2]s)", number, values)
}

// withLines is one statement for an invoice, and for what the query selects of its id, which is written.
func withLines(query string) string {
	return "WITH written AS (" + insertInvoices(ofOther(1)) + " RETURNING id) INSERT INTO invoice_lines (invoice_id, position, quantity, unit_price, net_minor) " + query
}

// What must never be is refused by the database, whoever asks: here somebody with psql and every privilege.
func TestDatabaseRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.create(t, "1", job(t, "T1"))
	b.create(t, "2", job(t, "T2"))
	for _, statement := range []string{
		"INSERT INTO invoice_series (series, period, kind) VALUES ('OTHER', '', 'invoice'), ('CN', '', 'credit_note')",
		"INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, state) VALUES ('waiting', 'T', 'K', 'q', 'enqueued'), ('waiting too', 'T', 'K', 'q', 'enqueued')",
		"INSERT INTO duplicate_attempts (job_id, transaction_id, idempotency_key, invoice_id, reason, worker) SELECT 'again', 'T1', 'K', min(id), 'lost_race', 'w' FROM invoices",
	} {
		if _, err := b.DB.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
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
		{"line of no invoice", "INSERT INTO invoice_lines (invoice_id, position, quantity, unit_price, net_minor) VALUES (999, 1, 1, 1, 100)", "23000", "invoice_lines_complete"},
		{"line of no invoice beside that of one", withLines("SELECT id + more, 9, 1, 1, 100 FROM written, generate_series(0, 1) AS more"), "23000", "invoice_lines_complete"},
		{"line of an earlier invoice beside that of one", withLines("SELECT id, 9, 1, 1, 100 FROM written UNION ALL SELECT max(id), 9, 1, 1, 100 FROM invoices"), "23000", "invoice_lines_complete"},
		{"lines of the lowest and the highest id", "INSERT INTO invoice_lines (invoice_id, position, quantity, unit_price, net_minor) VALUES (-9223372036854775808, 1, 1, 1, 100), (9223372036854775807, 1, 1, 1, 100)", "23000", "invoice_lines_complete"},
		{"tax of no invoice", "INSERT INTO invoice_taxes VALUES (999, 7, 1, 1)", "23000", "invoice_taxes_complete"},
		{"addition of a tax", "INSERT INTO invoice_taxes SELECT id, 7, 1, 1 FROM invoices", "23000", "invoice_taxes_complete"},
		{"second invoice for a transaction", insertInvoices("('INV', '', 3, 'x', 'invoice', 'T1', 'k', " + values + ")"), "23505", "invoices_transaction_id_key"},
		{"second invoice for a key", insertInvoices("('INV', '', 3, 'x', 'invoice', 'T3', 'T1', " + values + ")"), "23505", "invoices_idempotency_key_key"},
		{"number twice", insertInvoices("('INV', '', 2, 'x', 'invoice', 'T3', 'T3', " + values + ")"), "23505", "invoices_series_period_number_key"},
		{"printed number twice", insertInvoices("('INV', '', 3, 'INV-000002', 'invoice', 'T3', 'T3', " + values + ")"), "23505", "invoices_invoice_number_key"},
		{"gap", insertInvoices("('INV', '', 4, 'x', 'invoice', 'T3', 'T3', " + values + ")"), "23000", "invoices_gapless"},
		{
			"kind that the job does not state",
			strings.Replace(insertInvoices("('{\"kind\":\"credit_note\"}', 'INV', '', 3, 'x', 'invoice', 'T3', 'T3', 'j', 'v2:' || repeat('0', 64), 'GBP', -1, 0, -1, now())"), "(series", "(terms, series", 1),
			"23514", "invoices_kind_check",
		},
		{
			"kind that the total does not make it, beside terms",
			strings.Replace(insertInvoices("('{\"due_date\":\"2010-12-31\"}', 'INV', '', 3, 'x', 'invoice', 'T3', 'T3', 'j', 'v2:' || repeat('0', 64), 'GBP', -1, 0, -1, now())"), "(series", "(terms, series", 1),
			"23514", "invoices_kind_check",
		},
		{"other kind", insertInvoices("('INV', '', 3, 'x', 'credit_note', 'T3', 'T3', 'j', 'v1:' || repeat('0', 64), 'GBP', -1, 0, -1, now())"), "23000", "invoices_counted"},
		{"series without a counter", insertInvoices("('NEW', '', 1, 'x', 'invoice', 'T3', 'T3', " + values + ")"), "23000", "invoices_counted"},
		{"period without a counter", insertInvoices("('INV', '2010', 1, 'x', 'invoice', 'T3', 'T3', " + values + ")"), "23000", "invoices_counted"},
		{"kinds in one statement", insertInvoices(row(3), "('INV', '', 4, 'n4', 'credit_note', 'T4', 'T4', 'j', 'v1:' || repeat('0', 64), 'GBP', -1, 0, -1, now())"), "23000", "invoices_counted"},
		{"kinds in one statement about credit notes", insertInvoices("('CN', '', 1, 'x', 'credit_note', 'T3', 'T3', 'j', 'v1:' || repeat('0', 64), 'GBP', -1, 0, -1, now())", "('CN', '', 2, 'y', 'invoice', 'T4', 'T4', "+values+")"), "23000", "invoices_counted"},
		{"hole between rows", insertInvoices(row(3), row(5)), "23000", "invoices_gapless"},
		{"hole before rows", insertInvoices(row(4), row(5)), "23000", "invoices_gapless"},
		{"hole in one series of two", insertInvoices(row(3), row(4), ofOther(1), ofOther(3)), "23000", "invoices_gapless"},
		{"hole before one series of two", insertInvoices(row(3), row(4), ofOther(2), ofOther(3)), "23000", "invoices_gapless"},
		{"kind that doesn't fit the sign", insertInvoices("('INV', '', 3, 'x', 'credit_note', 'T3', 'T3', " + values + ")"), "23514", "invoices_kind_check"},
		{"total that doesn't fit", insertInvoices("('INV', '', 3, 'x', 'invoice', 'T3', 'T3', 'j', 'v1:' || repeat('0', 64), 'GBP', 1, 1, 3, now())"), "23514", "invoices_total_check"},
		{"counter lowered", "UPDATE invoice_series SET last_number = 1", "23000", "invoice_series_forward"},
		{"counter deleted", "DELETE FROM invoice_series", "23000", "invoice_series_forward"},
		{"counter of another kind", "INSERT INTO invoice_series VALUES ('INV', '2010', 'credit_note', 0)", "23000", "invoice_series_one_kind"},
		{"counter that begins later", "INSERT INTO invoice_series VALUES ('NEW', '', 'invoice', 5)", "23000", "invoice_series_begin"},
		{"duplicate of nothing", "INSERT INTO duplicate_attempts (job_id, transaction_id, idempotency_key, invoice_id, reason, worker) VALUES ('j', 'T', 'K', 999, 'lost_race', 'w')", "23503", "duplicate_attempts_invoice_known"},
		{"duplicate that becomes one of nothing", "UPDATE duplicate_attempts SET invoice_id = 999", "23503", "duplicate_attempts_invoice_known"},
		{"good end with no such invoice", "INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, state, outcome, invoice_id) VALUES ('j', 'T', 'K', 'q', 'done', 'created', 999)", "23503", "invoice_jobs_invoice_known"},
		{"end that gets no such invoice", "UPDATE invoice_jobs SET state = 'done', outcome = 'created', invoice_id = CASE job_id WHEN 'waiting' THEN 999 ELSE (SELECT min(id) FROM invoices) END", "23503", "invoice_jobs_invoice_known"},
		{"good end without an invoice", "INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, state, outcome) VALUES ('j', 'T', 'K', 'q', 'done', 'created')", "23514", "invoice_jobs_end_check"},
		{"bad end without a reason", "INSERT INTO invoice_jobs (job_id, queue, state, outcome) VALUES ('j', 'q', 'failed', 'invalid')", "23514", "invoice_jobs_end_check"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b.refuses(t, c.statement, c.code, c.constraint)
		})
	}
}

func (b *site) refuses(t *testing.T, statement, code, constraint string) {
	t.Helper()
	tx, err := b.DB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() //nolint:errcheck // what isn't refused is nothing to the other cases
	_, err = tx.ExecContext(t.Context(), statement)
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		t.Fatalf("error %v, want a refusal", err)
	}
	if pg.Code != code || pg.ConstraintName != constraint {
		t.Errorf("%s %s (%s), want %s %s", pg.Code, pg.ConstraintName, pg.Message, code, constraint)
	}
}

func TestDatabaseRefusesText(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.create(t, "1", job(t, "T1"))
	for column, bad := range map[string]map[string]string{
		"transaction_id": {
			"empty": "''", "too long": "repeat('x', 129)", "decomposed umlaut": `U&'Ju\0308rgen'`, "space at its end": "'T2 '", "no-break space": `U&'T\00A02'`, "newline at its end": `E'T2\n'`, "newline": `E'\n'`,
		},
		"idempotency_key": {
			"empty": "''", "too long": "repeat('x', 256)", "decomposed umlaut": `U&'Ju\0308rgen'`, "space at its end": "'T2 '", "newline at its end": `E'T2\n'`, "newline": `E'\n'`,
		},
		"fingerprint": {
			"empty": "''", "too short": "'v1:' || repeat('0', 63)", "too long": "'v1:' || repeat('0', 65)", "upper case": "'v1:' || repeat('A', 64)",
			"newline at its end": `'v1:' || repeat('0', 64) || E'\n'`, "newline for a digit": `'v1:' || repeat('0', 63) || E'\n'`,
			"no version": "repeat('0', 64)", "version without a number": "'v:' || repeat('0', 64)",
			"something before it": "'xv1:' || repeat('0', 64)", "something after it": "'v1:' || repeat('0', 64) || ':0'",
		},
	} {
		for name, value := range bad {
			t.Run(column+" "+name, func(t *testing.T) {
				t.Parallel()
				columns := map[string]string{"transaction_id": "'T2'", "idempotency_key": "'T2'", "fingerprint": "'v1:' || repeat('0', 64)", column: value}
				statement := insertInvoices(fmt.Sprintf("('INV', '', 2, 'x', 'invoice', %s, %s, 'j', %s, 'GBP', 0, 0, 0, now())",
					columns["transaction_id"], columns["idempotency_key"], columns["fingerprint"]))
				b.refuses(t, statement, "23514", "invoices_"+column+"_check")
			})
		}
	}
}

// What is refused by mistake would stop a group's every invoice.
func TestDatabaseTakes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	widest := `('INV', '', 6, 'x', 'invoice', repeat('x', 128), 'AZaz09._:/@+=-' || repeat('x', 241), 'j', 'v12:' || repeat('0123456789abcdef', 4), 'GBP', 0, 0, 0, now())`
	for _, statement := range []string{
		"INSERT INTO invoice_series (series, period, kind) VALUES ('INV', '', 'invoice'), ('OTHER', '', 'invoice'), ('INV', '2010', 'invoice')",
		insertInvoices(row(1)),
		insertInvoices(row(2)),
		insertInvoices(row(5), ofOther(2), row(3), ofOther(1), row(4), "('INV', '2010', 1, 'y', 'invoice', 'P1', 'P1', "+values+")"),
		insertInvoices(widest),
		`WITH written AS (` + insertInvoices(row(7)) + ` RETURNING id), lines AS (
INSERT INTO invoice_lines (invoice_id, position, quantity, unit_price, net_minor) SELECT id, position, 1, 1, 100 FROM written, generate_series(1, 3) AS position)
INSERT INTO invoice_taxes SELECT id, 7, 1, 1 FROM written`,
	} {
		if _, err := b.DB.ExecContext(t.Context(), statement); err != nil {
			t.Errorf("%s: %v", statement, err)
		}
	}
	if n := b.Count(t, "SELECT count(*) FROM invoices"); n != 10 {
		t.Errorf("%d invoices, want 10", n)
	}
}
