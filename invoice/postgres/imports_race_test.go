package postgres_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"invoicer/internal/rig"
	"invoicer/invoice"
	"invoicer/invoice/postgres"
)

// In a transaction with a single snapshot, neither side would see what the other has committed since.
func TestOneSnapshotIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Exec(t, "INSERT INTO invoice_series (series, period, kind) VALUES ('INV', '', 'invoice')")
	for statement, constraint := range map[string]string{
		insertInvoices(row(1)): "invoices_not_imported",
		"INSERT INTO imported_invoices (transaction_id, idempotency_key, invoice_number) VALUES ('T', 'T', 'x')": "imported_invoices_not_invoiced",
	} {
		tx, err := b.DB.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
		if err != nil {
			t.Fatal(err)
		}
		_, err = tx.ExecContext(t.Context(), statement)
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || pg.Code != "25000" || pg.ConstraintName != constraint {
			t.Errorf("%s: %v", statement, err)
		}
		if err := tx.Rollback(); err != nil {
			t.Error(err)
		}
	}
}

// Whoever comes second waits for the first's commit, and is refused by what it finds then.
func TestImportOrInvoiceWhicheverComesFirst(t *testing.T) {
	t.Parallel()
	const anImport = "INSERT INTO imported_invoices (transaction_id, idempotency_key, invoice_number) VALUES ('T1', 'T1', 'OLD-1')"
	for name, c := range map[string]struct{ first, second, constraint string }{
		"the import":  {anImport, insertInvoices(row(1)), "invoices_not_imported"},
		"the invoice": {insertInvoices(row(1)), anImport, "imported_invoices_not_invoiced"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.Exec(t, "INSERT INTO invoice_series (series, period, kind) VALUES ('INV', '', 'invoice')")
			one, err := b.DB.BeginTx(t.Context(), nil)
			if err == nil {
				_, err = one.ExecContext(t.Context(), c.first)
			}
			if err != nil {
				t.Fatal(err)
			}
			second := make(chan error, 1)
			go func() {
				_, err := b.DB.ExecContext(context.WithoutCancel(t.Context()), c.second)
				second <- err
			}()
			rig.Eventually(t, "the second to wait for the lock", func() bool {
				return b.Count(t, "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND NOT granted AND query = $1", c.second) > 0
			})
			if err := one.Commit(); err != nil {
				t.Fatal(err)
			}
			var pg *pgconn.PgError
			if err := <-second; !errors.As(err, &pg) || pg.ConstraintName != c.constraint {
				t.Errorf("the second: %v, want a violation of %s", err, c.constraint)
			}
		})
	}
}

// An import gives up waiting for a writer soon and tries again, so that no writer waits behind it for long.
func TestImportDoesNotHoldUpWriters(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.waitsBesideWriters(t, func(ctx context.Context, patient *postgres.DB) error {
		_, err := patient.Imports.Add(ctx, []invoice.Import{imported("OLD", "OLD-1")}, false)
		return err
	})
	if n := b.Count(t, "SELECT count(*) FROM imported_invoices"); n != 1 {
		t.Errorf("%d imports, want 1", n)
	}
}

func TestSettingsDoNotHoldUpWriters(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.waitsBesideWriters(t, func(ctx context.Context, patient *postgres.DB) error {
		_, err := patient.Settings.Change(ctx, &postgres.SettingsChange{What: "set", By: "ada", To: func(s invoice.Settings) (invoice.Settings, error) {
			s.Latest *= 2
			return s, nil
		}})
		return err
	})
	b.create(t, "after", job(t, "after"))
	if n := b.Count(t, "SELECT max(settings_version) FROM invoices"); n != 2 {
		t.Errorf("the invoice after it was made under version %d", n)
	}
}

// waitsBesideWriters does something that waits until an open transaction, which has written an invoice, ends. Others write meanwhile.
func (b *site) waitsBesideWriters(t *testing.T, do func(ctx context.Context, patient *postgres.DB) error) {
	t.Helper()
	patient := b.open(t, func(o *postgres.Options) { o.LockTimeout = time.Minute })
	b.create(t, "1", job(t, "T1"))
	slow, err := b.DB.BeginTx(t.Context(), nil) // it writes into a series of its own, and takes its time
	if err == nil {
		_, err = slow.ExecContext(t.Context(), "INSERT INTO invoice_series (series, period, kind) VALUES ('OTHER', '', 'invoice'); "+insertInvoices(ofOther(1)))
	}
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Rollback() //nolint:errcheck // it was only in the way
	tried := make(chan error, 1)
	go func() { tried <- do(context.WithoutCancel(t.Context()), patient) }()
	rig.Eventually(t, "it to wait", func() bool {
		return b.Count(t, `SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' AND NOT granted AND application_name = $1`, b.Schema) > 0
	})
	for n := range 3 {
		b.create(t, fmt.Sprint("beside-", n), job(t, fmt.Sprint("beside-", n)))
	}
	select {
	case err := <-tried:
		t.Fatalf("it didn't wait for the writer: %v", err)
	default:
	}
	if err := slow.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := <-tried; err != nil {
		t.Errorf("then: %v", err)
	}
}

// Two workers and two imports of the same transactions: each is invoiced or imported, and every job ends by that.
func TestStormBesideImports(t *testing.T) {
	t.Parallel()
	setup(t).stormBesideImports(t, "")
}

// The transactions of two issuers have the same ids. What one has imported, the other one may invoice.
func TestStormBesideImportsOfIssuers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.openIssuers(t, "ACME-DE", "ACME-FR")
	b.stormBesideImports(t, "ACME-DE", "ACME-FR")
	later := imported("LATER", "OLD-LATER", stating("GBP", jobTotal), ofIssuer("ACME-DE"))
	if _, err := b.store.Imports.Add(t.Context(), []invoice.Import{later}, false); err != nil {
		t.Fatal(err)
	}
	b.create(t, "later", job(t, "LATER", of("ACME-FR")))
	b.clean(t)
}

func (b *site) stormBesideImports(t *testing.T, issuers ...string) {
	t.Helper()
	const transactions = 400
	other := b.open(t)
	stores := []*postgres.DB{b.store, other}
	id := func(n int) string { return fmt.Sprintf("T%03d", n/len(issuers)) }
	issuer := func(n int) string { return issuers[n%len(issuers)] }
	ended := make(chan struct{}, 2*transactions)
	var all sync.WaitGroup
	for s, store := range stores {
		made := generator(t, store)
		for lane := range 8 {
			all.Go(func() {
				for n := lane; n < transactions; n += 8 {
					jobID := fmt.Sprintf("job-%d-%d", s, n)
					asked := job(t, id(n), of(issuer(n)))
					result, err := made.Generate(t.Context(), request(jobID, asked))
					for errors.Is(err, invoice.ErrUnavailable) {
						result, err = made.Generate(t.Context(), request(jobID, asked))
					}
					if err == nil && !result.Recorded {
						e := end(jobID, result.Outcome, result.Invoice)
						e.Issuer, e.TransactionID, e.IdempotencyKey = issuer(n), id(n), id(n)
						err = store.Ledger.Record(t.Context(), e)
					}
					if err != nil {
						t.Errorf("%s: %+v, %v", jobID, result, err)
					}
					ended <- struct{}{}
				}
			})
		}
		all.Go(func() { // one from the front, one from the back
			for from := 0; from < transactions; from += 10 {
				for range 8 { // else the imports were over before the first invoice
					<-ended
				}
				var batch []invoice.Import
				for n := from; n < from+10; n++ {
					at := n
					if s == 1 {
						at = transactions - 1 - n
					}
					batch = append(batch, imported(id(at), "OLD-"+id(at), stating("GBP", jobTotal), ofIssuer(issuer(at))))
				}
				_, err := store.Imports.Add(t.Context(), batch, false)
				for errors.Is(err, invoice.ErrUnavailable) {
					_, err = store.Imports.Add(t.Context(), batch, false)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	invoiced, imports := b.Count(t, "SELECT count(*) FROM invoices"), b.Count(t, "SELECT count(*) FROM imported_invoices")
	both := b.Count(t, "SELECT count(*) FROM invoices JOIN imported_invoices USING (issuer, transaction_id)")
	if invoiced+imports != transactions || both != 0 {
		t.Errorf("%d are invoiced, %d imported, %d both, of %d", invoiced, imports, both, transactions)
	}
	if n := b.Count(t, "SELECT count(*) FROM duplicate_attempts"); n != 2*transactions-invoiced {
		t.Errorf("%d duplicates, want %d", n, 2*transactions-invoiced)
	}
	t.Logf("%d invoiced, %d imported", invoiced, imports)
	b.clean(t)
}
