package migrations_test

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// itsRows are a line and a tax for anInvoice, for the same transaction.
const itsRows = `; INSERT INTO invoice_lines (invoice_id, position, quantity, unit_price, net_minor) SELECT id, 1, 1, 0, 0 FROM invoices;
INSERT INTO invoice_taxes SELECT id, 20, 0, 0 FROM invoices`

// nextInvoice comes after anInvoice.
const nextInvoice = `INSERT INTO invoices (series, period, number, invoice_number, kind, transaction_id, idempotency_key, job_id, fingerprint,
	currency, subtotal_minor, tax_minor, total_minor, issued_at)
SELECT series, period, 2, 'INV-000002', kind, 'T-2', 'T-2', job_id, fingerprint, currency, 0, 0, 0, issued_at FROM invoices`

func (b bundle) upTo(t *testing.T, version int64) {
	t.Helper()
	if err := b.UpTo(t.Context(), version); err != nil {
		t.Fatal(err)
	}
}

// catalogue is all that a schema is made of, as Postgres prints it, but for what a step down leaves as it is: what has been
// validated, and pg_temp at the end of a search path.
func (b bundle) catalogue(t *testing.T) map[string]bool {
	t.Helper()
	rows, err := b.DB.QueryContext(t.Context(), `
SELECT concat_ws(' ', 'relation', relname, relkind, reloptions) FROM pg_class WHERE relnamespace = current_schema()::regnamespace
UNION ALL SELECT concat_ws(' ', 'column', attrelid::regclass, attname, format_type(atttypid, atttypmod), attnotnull, attidentity, pg_get_expr(adbin, adrelid))
FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid LEFT JOIN pg_attrdef ON (adrelid, adnum) = (attrelid, attnum)
WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND attnum > 0 AND NOT attisdropped
UNION ALL SELECT concat_ws(' ', 'constraint', conrelid::regclass, conname, regexp_replace(pg_get_constraintdef(oid), ' NOT VALID$', ''))
FROM pg_constraint WHERE connamespace = current_schema()::regnamespace
UNION ALL SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = current_schema()
UNION ALL SELECT concat_ws(' ', 'trigger', tgenabled, pg_get_triggerdef(pg_trigger.oid))
FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid WHERE relnamespace = current_schema()::regnamespace AND NOT tgisinternal
UNION ALL SELECT concat_ws(' ', 'function', replace(pg_get_functiondef(oid), ', ''pg_temp''', ''), proacl) FROM pg_proc WHERE pronamespace = current_schema()::regnamespace`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	all := map[string]bool{}
	for rows.Next() {
		var one string
		if err := rows.Scan(&one); err != nil {
			t.Fatal(err)
		}
		all[one] = true
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// What a step down leaves is what the release before had, with whatever is stored by then.
func TestDownLeavesWhatWasThereBefore(t *testing.T) {
	t.Parallel()
	b := setup(t)
	before := make(map[int64]map[string]bool)
	for _, version := range known {
		b.upTo(t, version)
		before[version] = b.catalogue(t)
	}
	b.Exec(t, anInvoice+itsRows)
	for _, version := range slices.Backward(known[:len(known)-1]) {
		b.down(t)
		after := b.catalogue(t)
		for _, one := range slices.Sorted(maps.Keys(before[version])) {
			if !after[one] {
				t.Errorf("version %d lost %s", version, one)
			}
		}
		for _, one := range slices.Sorted(maps.Keys(after)) {
			if !before[version][one] {
				t.Errorf("version %d has in addition %s", version, one)
			}
		}
	}
}

// Versions 3 and 5 refuse the same, the one by foreign keys, the other by triggers, and what is stored goes through all.
func TestForeignKeysGiveWayToTriggers(t *testing.T) {
	t.Parallel()
	const columns = `INSERT INTO invoices (series, period, number, invoice_number, kind, transaction_id, idempotency_key, job_id, fingerprint, currency, subtotal_minor, tax_minor, total_minor, issued_at) VALUES `
	const rest = `, 'job', 'v1:' || repeat('0', 64), 'GBP', 0, 0, 0, now())`
	type refusal struct{ code, constraint string }
	key := func(name string) refusal { return refusal{"23503", name} }
	trigger := func(name string) refusal { return refusal{"23000", name} }
	check := func(name string) refusal { return refusal{"23514", name} }
	cases := []struct {
		statement  string
		with, then refusal // with foreign keys, with triggers
	}{
		{"INSERT INTO invoice_lines (invoice_id, position, quantity, unit_price, net_minor) VALUES (99, 1, 1, 0, 0)", key("invoice_lines_invoice_id_fkey"), trigger("invoice_lines_complete")},
		{"INSERT INTO invoice_taxes VALUES (99, 20, 0, 0)", key("invoice_taxes_invoice_id_fkey"), trigger("invoice_taxes_complete")},
		{"INSERT INTO invoice_lines (invoice_id, position, quantity, unit_price, net_minor) SELECT id, 2, 1, 0, 0 FROM invoices", trigger("invoice_lines_complete"), trigger("invoice_lines_complete")},
		{"INSERT INTO invoice_taxes SELECT id, 10, 0, 0 FROM invoices", trigger("invoice_taxes_complete"), trigger("invoice_taxes_complete")},
		{columns + `('INV', '2010', 1, 'x', 'invoice', 'T', 'T'` + rest, key("invoices_series_fkey"), trigger("invoices_counted")},
		{columns + `('INV', '', 3, 'x', 'invoice', 'T', 'T'` + rest, trigger("invoices_gapless"), trigger("invoices_gapless")},
		{columns + `('INV', '', 2, 'x', 'invoice', 'T', 'T'` + rest + `, ('INV', '', 4, 'y', 'invoice', 'U', 'U'` + rest, trigger("invoices_gapless"), trigger("invoices_gapless")},
		{columns + `('INV', '', 2, 'x', 'invoice', repeat('T', 129), 'T'` + rest, check("invoices_transaction_id_check"), check("invoices_transaction_id_check")},
		{columns + `('INV', '', 2, 'x', 'invoice', 'T', repeat('T', 256)` + rest, check("invoices_idempotency_key_check"), check("invoices_idempotency_key_check")},
		{columns + `('INV', '', 2, 'x', 'invoice', 'T', 'T', 'job', 'v1:', 'GBP', 0, 0, 0, now())`, check("invoices_fingerprint_check"), check("invoices_fingerprint_check")},
	}
	b := setup(t)
	refuses := func(version int64) {
		t.Helper()
		for _, c := range cases {
			want := c.with
			if version > 3 {
				want = c.then
			}
			_, err := b.DB.ExecContext(t.Context(), c.statement)
			pg := new(pgconn.PgError)
			if !errors.As(err, &pg) || pg.Code != want.code || pg.ConstraintName != want.constraint {
				t.Errorf("version %d: %s: %v, want %v", version, c.statement, err, want)
			}
		}
	}
	b.upTo(t, 3)
	b.Exec(t, anInvoice+itsRows)
	refuses(3)
	b.upTo(t, 4) // between the two, nothing is let in either
	refuses(4)
	b.up(t)
	refuses(newest)
	b.downTo(t, 3)
	refuses(3)
	b.up(t)
	refuses(newest)
	var stored, unchecked int
	err := b.DB.QueryRowContext(t.Context(), `SELECT (SELECT count(*) FROM invoices JOIN invoice_lines ON invoice_lines.invoice_id = id JOIN invoice_taxes ON invoice_taxes.invoice_id = id),
(SELECT count(*) FROM pg_constraint WHERE connamespace = current_schema()::regnamespace AND NOT convalidated)`).Scan(&stored, &unchecked)
	if err != nil || stored != 1 || unchecked != 0 {
		t.Errorf("%d invoices with their line and tax, %d constraints that weren't validated: %v", stored, unchecked, err)
	}
}

// Ends are recorded in the ledger first, and then their invoices are looked for: a migration that locked these the other way
// round would wait for a worker in a circle.
func TestStepsLetEndsBeRecorded(t *testing.T) {
	t.Parallel()
	for name, step := range map[string]func(*testing.T, bundle) error{
		"up":   func(t *testing.T, b bundle) error { t.Helper(); return b.UpTo(t.Context(), 12) },
		"down": func(t *testing.T, b bundle) error { t.Helper(); _, err := b.Down(t.Context()); return err },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.upTo(t, map[string]int64{"up": 11, "down": 12}[name])
			recorder, err := b.DB.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer recorder.Rollback() //nolint:errcheck // it is committed below
			if _, err := recorder.ExecContext(t.Context(), "UPDATE invoice_jobs SET attempts = 1"); err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() { done <- step(t, b) }()
			b.eventually(t, "a step that waits for the recorder", `SELECT EXISTS (SELECT FROM pg_locks
				WHERE NOT granted AND relation IN (SELECT oid FROM pg_class WHERE relnamespace = current_schema()::regnamespace))`)
			if _, err := recorder.ExecContext(t.Context(), "SELECT count(*) FROM invoices"); err != nil {
				t.Errorf("the recorder: %v", err)
			}
			if err := recorder.Commit(); err != nil {
				t.Errorf("the recorder: %v", err)
			}
			if err := <-done; err != nil {
				t.Errorf("the migration: %v", err)
			}
		})
	}
}

// A writer takes the counter first and the invoice then: a migration that took them the other way round would wait for
// it in a circle.
func TestStepsLetWritersFinish(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		from int64
		step func(*testing.T, bundle) error
	}{
		"up":           {3, func(t *testing.T, b bundle) error { t.Helper(); return b.UpTo(t.Context(), 4) }},
		"up, the next": {6, func(t *testing.T, b bundle) error { t.Helper(); return b.UpTo(t.Context(), 9) }},
		"down":         {4, func(t *testing.T, b bundle) error { t.Helper(); _, err := b.Down(t.Context()); return err }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.upTo(t, test.from)
			b.Exec(t, anInvoice+itsRows)
			writer, err := b.DB.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer writer.Rollback() //nolint:errcheck // it is committed below
			if _, err := writer.ExecContext(t.Context(), "INSERT INTO invoice_series (series, period, kind) VALUES ('NEW', '', 'invoice')"); err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() { done <- test.step(t, b) }()
			b.eventually(t, "a step that waits for the writer", `SELECT EXISTS (SELECT FROM pg_locks
				WHERE NOT granted AND relation IN (SELECT oid FROM pg_class WHERE relnamespace = current_schema()::regnamespace))`)
			if _, err := writer.ExecContext(t.Context(), nextInvoice); err != nil {
				t.Errorf("the writer: %v", err)
			}
			if err := writer.Commit(); err != nil {
				t.Errorf("the writer: %v", err)
			}
			if err := <-done; err != nil {
				t.Errorf("the migration: %v", err)
			}
		})
	}
}

// A migration that waits for somebody's long transaction lets others use the tables meanwhile.
func TestMigrationHoldsUpNobody(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.upTo(t, 24)
	reader, err := b.DB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Rollback()                                                            //nolint:errcheck // it is over by then
	if _, err := reader.ExecContext(t.Context(), "SELECT FROM invoices"); err != nil { // as a dump does
		t.Fatal(err)
	}
	waits := make(chan string, 100)
	b.Waits = func(name string) { waits <- name }
	done := make(chan error, 1)
	go func() {
		_, err := b.Up(t.Context())
		done <- err
	}()
	for range 2 {
		if name := <-waits; name != "00025_issuers.sql" {
			t.Errorf("%s waits", name)
		}
		b.Exec(t, "INSERT INTO invoice_series (series, period, kind) VALUES (upper('S' || substr(md5(random()::text), 1, 8)), '', 'invoice')")
		b.Exec(t, "SELECT FROM invoices")
	}
	if err := reader.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
