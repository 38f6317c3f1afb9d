package postgres_test

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// Only erase_invoices changes an invoice: not an UPDATE of the owner's, and nothing that looks like the function.
func TestOnlyErasingChangesInvoices(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.create(t, "made", job(t, "T1", canaries))
	b.Exec(t, "SELECT begin_erasure('customer', NULL, NULL, 'x', 'ada')")
	before := b.dump(t)
	const args = "(a bigint, b text, c text, d timestamptz, e bigint, f integer)"
	for _, statement := range []string{
		"UPDATE invoices SET erasure_id = 1",
		"UPDATE invoices SET customer_name = NULL",
		"UPDATE invoices SET salt = NULL",
		"UPDATE invoice_lines SET description = NULL",
		"DELETE FROM invoices",
		"DO $$ BEGIN UPDATE invoices SET erasure_id = 1; END $$",
		"DO $$ BEGIN UPDATE invoices SET erasure_id = 1 /*\nx erase_invoices(bigint,text,text,timestamp with time zone,bigint,integer) line 1 at SQL statement\n*/; END $$",
		"DO $$ BEGIN EXECUTE E'UPDATE invoices SET erasure_id = 1 /*\\nx erase_invoices(bigint,text,text,timestamp with time zone,bigint,integer) line 1*/'; END $$",
		"SET invoicer.erasing = 'on'; UPDATE invoices SET erasure_id = 1",
		"CREATE FUNCTION pg_temp.erase_invoices" + args + " RETURNS void LANGUAGE plpgsql AS $$ BEGIN UPDATE invoices SET erasure_id = 1; END $$; SELECT pg_temp.erase_invoices(1, NULL, 'C1', NULL, 0, 1)",
		"UPDATE erasures SET reason = 'y'",
		"DELETE FROM erasures",
		"INSERT INTO invoices SELECT * FROM invoices",
	} {
		var refused *pgconn.PgError
		if _, err := b.DB.ExecContext(t.Context(), statement); !errors.As(err, &refused) || refused.Code[:2] != "23" && refused.Code != "428C9" {
			t.Errorf("%s: %v", statement, err)
		}
	}
	if after := b.dump(t); after != before {
		t.Errorf("it was\n%s\nand is\n%s", before, after)
	}
	whole := `INSERT INTO invoices (series, period, number, invoice_number, kind, transaction_id, idempotency_key, job_id, fingerprint, currency, subtotal_minor, tax_minor, total_minor, issued_at, erasure_id)
SELECT series, period, 2, 'X', kind, 'TX', 'TX', 'j', erased_fingerprint(), currency, 0, 0, 0, issued_at, 1 FROM invoices`
	var refused *pgconn.PgError
	if _, err := b.DB.ExecContext(t.Context(), whole); !errors.As(err, &refused) || refused.ConstraintName != "invoices_whole" {
		t.Errorf("an invoice that is erased when it is written: %v", err)
	}
}
