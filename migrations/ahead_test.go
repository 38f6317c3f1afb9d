package migrations_test

import (
	"testing"
)

// An index of a large table is built before its migration, while others write. What a broken-off build has left is replaced.
func TestIndexIsBuiltAhead(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.upTo(t, 25)
	b.Exec(t, anInvoice+itsRows)
	b.WithLarge(1)
	b.Exec(t, "CREATE INDEX invoices_credits_idx ON invoices (issuer)")
	b.Exec(t, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'invoices_credits_idx'::regclass")
	writer, err := b.DB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Rollback() //nolint:errcheck // it is committed below
	if _, err := writer.ExecContext(t.Context(), nextInvoice); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := b.Up(t.Context())
		done <- err
	}()
	b.eventually(t, "a build that waits for the writer", `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE '%INDEX CONCURRENTLY%' || current_schema() || '%' AND wait_event_type = 'Lock')`)
	b.Exec(t, "INSERT INTO invoice_series (series, period, kind) VALUES ('OTHER', '', 'invoice')") // others write meanwhile
	if err := writer.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	var definition string
	err = b.DB.QueryRowContext(t.Context(), "SELECT indexdef FROM pg_indexes WHERE schemaname = current_schema() AND indexname = 'invoices_credits_idx'").Scan(&definition)
	if want := "USING btree (issuer, credits_transaction_id) WHERE (credits_transaction_id IS NOT NULL)"; err != nil || len(definition) < len(want) || definition[len(definition)-len(want):] != want {
		t.Errorf("%q, %v", definition, err)
	}
	if !b.Is(t, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'invoices_credits_idx'::regclass") {
		t.Error("the index isn't valid")
	}
}
