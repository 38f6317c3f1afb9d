package postgres_test

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"invoicer/invoice"
	"invoicer/invoice/ledger"
	"invoicer/invoice/postgres"
	"invoicer/invoice/postgres/audit"
)

// jobTotal is the total of what job returns, in pence.
const jobTotal = 2319

func imported(transactionID, number string, change ...func(*invoice.Import)) invoice.Import {
	i := invoice.Import{TransactionID: transactionID, IdempotencyKey: transactionID, InvoiceNumber: number}
	for _, f := range change {
		f(&i)
	}
	return i
}

func stating(currency string, total int64) func(*invoice.Import) {
	return func(i *invoice.Import) { i.Currency, i.Total = currency, &total }
}

func underKey(key string) func(*invoice.Import) {
	return func(i *invoice.Import) { i.IdempotencyKey = key }
}

// add imports and wants each to be new.
func (b *site) add(t *testing.T, imports ...invoice.Import) {
	t.Helper()
	added, err := b.store.Imports.Add(t.Context(), imports, false)
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range added {
		if a.Known || len(a.Problems) > 0 {
			t.Fatalf("%+v: %+v, want it imported", imports[i], a)
		}
	}
}

// clean fails the test unless the audit finds nothing.
func (b *site) clean(t *testing.T) {
	t.Helper()
	found, err := audit.Run(t.Context(), audit.Options{URL: b.URL, Schema: b.Schema})
	if err != nil {
		t.Fatal(err)
	}
	for _, check := range found.Checks {
		if check.Broken > 0 {
			t.Errorf("audit: %s: %+v", check.Name, check.Findings)
		}
	}
}

// What is known of an import decides; what isn't known can't differ.
func TestImportedTransaction(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.add(t,
		imported("bare", "OLD-1"), imported("currency", "OLD-2", func(i *invoice.Import) { i.Currency = "GBP" }),
		imported("equal", "OLD-3", stating("GBP", jobTotal)), imported("other-total", "OLD-4", stating("GBP", jobTotal+1)),
		imported("other-currency", "OLD-5", stating("EUR", jobTotal)), imported("keyed", "OLD-6", underKey("theirs"), stating("GBP", 1)),
	)
	for _, c := range []struct {
		transaction, key string
		outcome          invoice.Outcome
		number           string
		differs          []string
	}{
		{"bare", "", invoice.Duplicate, "OLD-1", nil},
		{"bare", "another-key", invoice.Duplicate, "OLD-1", nil},
		{"currency", "", invoice.Duplicate, "OLD-2", nil},
		{"equal", "", invoice.Duplicate, "OLD-3", nil},
		{"other-total", "", invoice.Conflict, "OLD-4", []string{"total"}},
		{"other-currency", "", invoice.Conflict, "OLD-5", []string{"currency"}},
		{"new", "theirs", invoice.Conflict, "OLD-6", []string{"transaction_id", "total"}},
		{"new", "bare", invoice.Conflict, "OLD-1", []string{"transaction_id"}},
	} {
		j := job(t, c.transaction, func(j *invoice.Job) { j.IdempotencyKey = cmp.Or(c.key, c.transaction) })
		r := request("job of "+c.transaction+c.key, j)
		for name, ask := range map[string]func() (invoice.Result, error){
			"generate": func() (invoice.Result, error) { return b.generator.Generate(t.Context(), r) },
			"forecast": func() (invoice.Result, error) {
				return invoice.NewForecaster(b.generator).Forecast(t.Context(), r)
			},
		} {
			got, err := ask()
			if err != nil || got.Outcome != c.outcome || got.Invoice == nil || got.Invoice.Number != c.number || got.Invoice.Imported == nil || !slices.Equal(got.Differs, c.differs) {
				t.Errorf("%s %s, key %q: %+v, %v; want %s of %s, differing in %v", name, c.transaction, c.key, got, err, c.outcome, c.number, c.differs)
			} else if c.outcome == invoice.Duplicate && got.Reason != invoice.AlreadyInvoiced { // else a number was tried for it
				t.Errorf("%s %s, key %q: a duplicate because %s", name, c.transaction, c.key, got.Reason)
			}
		}
	}
	if n := b.Count(t, "SELECT count(*) FROM invoices"); n != 0 {
		t.Errorf("%d invoices", n)
	}
	b.clean(t)
}

// The ends name the import, and stay when it is withdrawn; then the transaction is invoiced.
func TestImportIsWithdrawn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.add(t, imported("T1", "OLD-1"), imported("T2", "OLD-2"))
	b.Exec(t, `INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, state, dispatch) VALUES ('job-1', 'T1', 'T1', 'default', 'enqueued', 1)`)
	ask := func(jobID string) invoice.Result {
		result, err := b.generator.Generate(t.Context(), request(jobID, job(t, "T1")))
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
	first, late := ask("job-1"), ask("job-2")
	if err := b.store.Ledger.Record(t.Context(), end("job-1", invoice.Duplicate, first.Invoice)); err != nil {
		t.Fatal(err)
	}
	if !b.Is(t, `SELECT d.imported_id = i.id AND d.invoice_id IS NULL AND j.imported_id = i.id AND j.invoice_id IS NULL AND j.state = 'done' AND j.outcome = 'duplicate'
FROM duplicate_attempts d JOIN imported_invoices i USING (transaction_id) JOIN invoice_jobs j ON j.job_id = d.job_id WHERE d.job_id = 'job-1'`) {
		t.Error("the ends don't name the import alone")
	}

	w, err := b.store.Imports.Withdraw(t.Context(), nil, "T1", ledger.Actor{Name: "ada", Note: "never invoiced"})
	if err != nil || w != (postgres.Withdrawal{TransactionID: "T1", InvoiceNumber: "OLD-1", Duplicates: 1}) {
		t.Fatalf("%+v, %v", w, err)
	}
	if _, err := b.store.Imports.Withdraw(t.Context(), nil, "T1", ledger.Actor{Name: "ada"}); !errors.Is(err, postgres.ErrNotImported) {
		t.Errorf("withdrawn twice: %v", err)
	}
	if got := b.Text(t, "SELECT concat_ws(' ', action, subject, actor, note) FROM actions"); got != "withdraw import T1 ada never invoiced" {
		t.Errorf("on record is %q", got)
	}
	if err := b.store.Ledger.Record(t.Context(), end("job-2", invoice.Duplicate, late.Invoice)); !errors.Is(err, invoice.ErrNotInvoiced) {
		t.Errorf("a duplicate of what is withdrawn: %v", err)
	}
	if again := ask("job-2"); again.Outcome != invoice.Created {
		t.Errorf("then %+v", again)
	}
	b.clean(t)
	if err := b.store.Ledger.Record(t.Context(), end("job-3", invoice.Duplicate, ask("job-3").Invoice)); err != nil {
		t.Fatal(err)
	}
	b.clean(t)
	added, err := b.store.Imports.Add(t.Context(), []invoice.Import{imported("T1", "OLD-1"), imported("T2", "OLD-2")}, false)
	if err != nil || len(added[0].Problems) != 1 || added[0].Problems[0].Field != "transaction_id" || !added[1].Known {
		t.Errorf("imported again: %+v, %v", added, err)
	}
}

func TestImportsMeet(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.create(t, "1", job(t, "T1", func(j *invoice.Job) { j.IdempotencyKey = "K1" }))
	when := time.Date(1970, 1, 1, 0, 0, 0, 1000, time.FixedZone("", 3600))
	full := imported("T2", "Ö 77/2009", stating("JPY", -5), underKey("K2"), func(i *invoice.Import) {
		credited := int64(1)
		i.CreditedTotal, i.IssuedAt = &credited, when
	})
	for _, dry := range []bool{true, false} {
		batch := []invoice.Import{
			full, imported("T1", "OLD-1"), imported("T3", "OLD-2", underKey("K1")), imported("T4", "INV-000001"), imported("T5", "Ö 77/2009"),
			full, imported("T5", "OLD-5"), imported("T6", "OLD-6", underKey("K2")), imported("T7", "OLD-7", underKey("T1")), imported("T8", "OLD-8"),
		}
		want := []string{
			"new", "transaction_id is invoiced here already, as INV-000001", "idempotency_key belongs to transaction_id T1, which is invoiced here as INV-000001",
			"invoice_number is the number of an invoice here, of transaction_id T1", "new",
			"known", "invoice_number", "idempotency_key belongs to transaction_id T2, which is imported", "new", "new",
		}
		check := func(added []invoice.Addition, err error, want []string) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			for i, a := range added {
				got := "new"
				if a.Known {
					got = "known"
				}
				for _, p := range a.Problems {
					got = p.Field + " " + p.Message
				}
				if !strings.HasPrefix(got, want[i]) {
					t.Errorf("dry %t, %+v: %q, want %q", dry, batch[i], got, want[i])
				}
			}
		}
		added, err := b.store.Imports.Add(t.Context(), batch, dry)
		check(added, err, want)
		if n, want := b.Count(t, "SELECT count(*) FROM imported_invoices"), map[bool]int{false: 4}[dry]; n != want {
			t.Fatalf("dry %t: %d are imported, want %d", dry, n, want)
		}
		if dry {
			continue
		}
		want[0], want[4], want[8], want[9] = "known", "known", "known", "known"
		added, err = b.store.Imports.Add(t.Context(), batch, false)
		check(added, err, want)
		other := full
		other.CreditedTotal, other.IssuedAt = nil, when.Add(time.Microsecond)
		added, err = b.store.Imports.Add(t.Context(), []invoice.Import{other}, false)
		if err != nil || len(added[0].Problems) != 2 || added[0].Problems[0].Field != "credited_total" || added[0].Problems[1].Field != "issued_at" {
			t.Errorf("with other facts: %+v, %v", added, err)
		}
	}
	b.clean(t)
}

// Here somebody with psql and every privilege asks, or a worker of the release before.
func TestDatabaseRefusesWhatIsImported(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.create(t, "1", job(t, "T1", func(j *invoice.Job) { j.IdempotencyKey = "K1" }))
	b.Exec(t, `SET session_replication_role = replica; -- a series that could still print a number refuses its import
		INSERT INTO imported_invoices (transaction_id, idempotency_key, invoice_number) VALUES ('OLD', 'K3', 'INV-000002'); RESET session_replication_role`)
	b.Exec(t, "INSERT INTO invoice_series (series, period, kind) VALUES ('OTHER', '', 'invoice')")
	insert := func(columns string) string {
		return "INSERT INTO imported_invoices (transaction_id, idempotency_key, invoice_number) VALUES " + columns
	}
	for _, c := range []struct{ name, statement, code, constraint string }{
		{"invoice of its transaction", insertInvoices("('INV', '', 2, 'INV-000002', 'invoice', 'OLD', 'x', " + values + ")"), "23505", "invoices_not_imported"},
		{"invoice of its key", insertInvoices("('INV', '', 2, 'INV-000002', 'invoice', 'x', 'K3', " + values + ")"), "23505", "invoices_not_imported"},
		{"invoice with its number", insertInvoices("('INV', '', 2, 'INV-000002', 'invoice', 'x', 'x', " + values + ")"), "23505", "invoices_number_not_imported"},
		{"one among others", insertInvoices("('INV', '', 2, 'INV-000002', 'invoice', 'T2', 'T2', "+values+")", "('INV', '', 3, 'INV-000003', 'invoice', 'OLD', 'x', "+values+")", ofOther(1)), "23505", "invoices_not_imported"},
		{"import of an invoiced transaction", insert("('T1', 'x', 'x')"), "23505", "imported_invoices_not_invoiced"},
		{"import of an invoiced key", insert("('x', 'K1', 'x')"), "23505", "imported_invoices_not_invoiced"},
		{"import of a printed number", insert("('x', 'x', 'INV-000001')"), "23505", "imported_invoices_number_not_printed"},
		{"import again", insert("('OLD', 'x', 'x')"), "23505", "imported_invoices_transaction_id_key"},
		{"key again", insert("('x', 'K3', 'x')"), "23505", "imported_invoices_idempotency_key_key"},
		{"change", "UPDATE imported_invoices SET total_minor = 1, currency = 'EUR'", "23000", "imported_invoices_immutable"},
		{"withdrawal with a change", "UPDATE imported_invoices SET withdrawn_at = now(), withdrawn_by = 'me', invoice_number = 'x'", "23000", "imported_invoices_immutable"},
		{"withdrawal by nobody", "UPDATE imported_invoices SET withdrawn_at = now()", "23514", "imported_invoices_withdrawn_check"},
		{"deletion", "DELETE FROM imported_invoices", "23000", "imported_invoices_immutable"},
		{"truncation", "TRUNCATE imported_invoices", "23000", "imported_invoices_immutable"},
		{"amount without a currency", "INSERT INTO imported_invoices (transaction_id, idempotency_key, invoice_number, total_minor) VALUES ('x', 'x', 'x', 1)", "23514", "imported_invoices_amounts_check"},
		{"duplicate of no import", "INSERT INTO duplicate_attempts (job_id, transaction_id, idempotency_key, imported_id, reason, worker) VALUES ('j', 'T', 'K', 999, 'lost_race', 'w')", "23503", "duplicate_attempts_invoice_known"},
		{"duplicate of neither", "INSERT INTO duplicate_attempts (job_id, transaction_id, idempotency_key, reason, worker) VALUES ('j', 'T', 'K', 'lost_race', 'w')", "23514", "duplicate_attempts_of_check"},
		{"duplicate of both", "INSERT INTO duplicate_attempts (job_id, transaction_id, idempotency_key, invoice_id, imported_id, reason, worker) SELECT 'j', 'T', 'K', v.id, i.id, 'lost_race', 'w' FROM invoices v, imported_invoices i", "23514", "duplicate_attempts_of_check"},
		{"good end with no such import", "INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, state, outcome, imported_id) VALUES ('j', 'T', 'K', 'q', 'done', 'duplicate', 999)", "23503", "invoice_jobs_invoice_known"},
		{"created, with an import", "INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, state, outcome, imported_id) SELECT 'j', 'T', 'K', 'q', 'done', 'created', id FROM imported_invoices", "23514", "invoice_jobs_end_check"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b.refuses(t, c.statement, c.code, c.constraint)
		})
	}
}
