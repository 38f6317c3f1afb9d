package audit_test

import (
	"net/url"
	"os"
	"strconv"
	"testing"
	"time"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/invoice/postgres/audit"
)

// TestHeavyDiffAtSize: a comparison needs no temporary file, and reads the invoices of each side about twice.
func TestHeavyDiffAtSize(t *testing.T) {
	if testing.Short() {
		t.Skip("it is a heavy one")
	}
	t.Parallel()
	server := sandboxtest.PrivatePostgres(t)
	here := rig.DatabaseOn(t, server.URL)
	here.DB.SetMaxIdleConns(0) // a session would keep the database from being copied
	invoices := 150_000
	if asked := os.Getenv("INVOICER_AUDIT_INVOICES"); asked != "" {
		var err error
		if invoices, err = strconv.Atoi(asked); err != nil {
			t.Fatalf("INVOICER_AUDIT_INVOICES: %v", err)
		}
	}
	large(t, here, invoices)
	address, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	address.Path = "/postgres"
	maintenance := rig.OpenDatabase(t, address.String(), "public")
	maintenance.Exec(t, "CREATE DATABASE there TEMPLATE invoicer")
	address.Path = "/there"
	there := rig.OpenDatabase(t, address.String(), "invoicer")
	compare := func(what string, differ int64) {
		t.Helper()
		for _, d := range []*rig.Database{here, there} {
			d.Exec(t, "SELECT pg_stat_reset()")
		}
		began := time.Now()
		report, err := audit.Diff(t.Context(), audit.DiffOptions{Here: audit.Place{URL: here.URL}, There: audit.Place{URL: there.URL}})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d documents in %v, %d snapshots", what, invoices, time.Since(began), report.Here.Snapshots)
		if got := report.Checks[3].Found; got != differ || report.Here.Invoices != int64(invoices) {
			t.Errorf("%s: %d have other numbers, want %d", what, got, differ)
		}
		for _, d := range []*rig.Database{here, there} {
			read := 0
			rig.Eventually(t, "the server's count of this comparison", func() bool {
				read = d.Count(t, "SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'invoices' AND schemaname = 'invoicer'")
				return read >= invoices
			})
			t.Logf("%s: %d rows were read, of %d", what, read, invoices)
			if read > 3*invoices {
				t.Errorf("%s: %d rows were read, of %d", what, read, invoices)
			}
			if temp := d.Count(t, "SELECT temp_bytes FROM pg_stat_database WHERE datname = current_database()"); temp > 10<<20 {
				t.Errorf("%s: %d MB of temporary files", what, temp>>20)
			}
		}
	}
	compare("the same", 0)
	there.Exec(t, "ALTER TABLE invoices DISABLE TRIGGER USER")
	there.Exec(t, "UPDATE invoices SET number = number + 10000000, invoice_number = invoice_number || 'B' WHERE id % 2 = 0")
	there.Exec(t, "VACUUM (ANALYZE) invoices")
	compare("every second one has another number", int64(invoices/2))
}
