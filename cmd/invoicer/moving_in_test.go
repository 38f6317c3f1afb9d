package main

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/invoice"
	"invoicer/invoice/postgres"
)

// A group of four companies moves in: each with the counter, the format and the years that it has, all with the same order numbers, one
// Redis and one worker. What each has invoiced before is asked for again, and isn't invoiced again. Then an administrator rewrites one
// invoice, so that nothing in the database shows it, and an auditor finds it with the seals.
func TestFourCompaniesMoveIn(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandboxtest.Redis(t))
	ok := func(stdin string, args ...string) string {
		t.Helper()
		code, stdout, stderr := s.run(t, stdin, args...)
		if code != exitOK {
			t.Fatalf("%v: exit code %d: %s%s", args, code, stdout, stderr)
		}
		return stdout
	}
	companies := []struct{ code, currency, first, format, period, month, firstPeriod, zone, old, new string }{
		{"ACME-DE", "EUR", "48214", "R-{number}", "none", "1", "", "Europe/Berlin", "R-%d", "R-48214 R-48219"},
		{"ACME-IN", "INR", "1", "INV/{period}/{number:04}", "year", "4", "2010-11", "Asia/Kolkata", "INV/2009-10/%04d", "INV/2010-11/0001 INV/2010-11/0006"},
		{"ACME-IT", "EUR", "77", "DDLI{number:05}/{year}", "year", "1", "2010", "Europe/Rome", "DDLI%05d/2009", "DDLI00077/2010 DDLI00082/2010"},
		{"ACME-UK", "GBP", "9000", "{year}{number:05}", "year", "4", "2010-11", "Europe/London", "2009%05d", "201009000 201009005"},
	}
	var past, jobs strings.Builder
	for _, c := range companies {
		ok("", "issuer", "open", c.code, "--currency", c.currency, "--timezone", c.zone)
		open := []string{"series", "open", "INV", "--issuer", c.code, "--first", c.first, "--format", c.format, "--period", c.period, "--date", "issued_at"}
		if c.period != "none" {
			open = append(open, "--first-month", c.month, "--first-period", c.firstPeriod)
		}
		ok("", open...)
		for order := 1001; order <= 1012; order++ {
			if order <= 1006 {
				fmt.Fprintf(&past, `{"issuer":%q,"transaction_id":"%d","invoice_number":%q,"currency":%q,"total":"2.55"}`+"\n", c.code, order, fmt.Sprintf(c.old, order-1000), c.currency)
			}
			fmt.Fprintf(&jobs, `{"issuer":%q,"transaction_id":"%d","issued_at":"2010-12-01T08:26:00Z","currency":%q,"lines":[{"quantity":1,"unit_price":"2.55"}]}`+"\n", c.code, order, c.currency)
		}
	}
	ok(past.String(), "import", "-", "--note", "moved in")
	s.start(t, "worker")
	for range 3 {
		ok(jobs.String(), "enqueue", "-", "--durable", "--queue", s.queue)
	}
	s.awaitCount(t, 3*12*len(companies), "SELECT count(*) FROM invoice_jobs WHERE state = 'done'")
	for _, c := range companies {
		if got := s.Text(t, "SELECT min(invoice_number) || ' ' || max(invoice_number) FROM invoices WHERE issuer = $1", c.code); got != c.new {
			t.Errorf("%s: %s, want %s", c.code, got, c.new)
		}
		for what, query := range map[string]string{
			"invoices": "SELECT count(*) / 6 FROM invoices WHERE issuer = $1",
			"duplicates of what was invoiced elsewhere": "SELECT count(*) / 18 FROM duplicate_attempts d JOIN imported_invoices i ON i.id = imported_id WHERE d.issuer = $1 AND i.issuer = $1",
			"duplicates of its own":                     "SELECT count(*) / 12 FROM duplicate_attempts d JOIN invoices i ON i.id = invoice_id WHERE d.issuer = $1 AND i.issuer = $1",
		} {
			if s.Count(t, query, c.code) != 1 {
				t.Errorf("%s: another number of %s", c.code, what)
			}
		}
	}
	// Redis remembers each issuer's transaction apart, under the name that other releases look for.
	rdb, id := rig.Connect(t, s.redisURL), s.Text(t, "SELECT id::text FROM database_identity")
	for _, c := range companies {
		made := s.Text(t, "SELECT transaction_id FROM invoices WHERE issuer = $1 LIMIT 1", c.code)
		if n := rdb.Exists(t.Context(), "invoicer:"+id+":done:"+c.code+":{"+made+"}").Val(); n != 1 {
			t.Errorf("%s: Redis doesn't remember %s", c.code, made)
		}
	}
	folder, key := t.TempDir(), filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(key, []byte(sealingKey), 0o600); err != nil {
		t.Fatal(err)
	}
	ok("", "seal", "--key", key, "--to", folder)
	ok("", "audit", "--seals", folder)
	rewritten := s.Text(t, "SELECT transaction_id FROM invoices WHERE issuer = 'ACME-IN' ORDER BY number DESC LIMIT 1")
	s.rewrite(t, "ACME-IN", rewritten)
	ok("", "audit")
	code, stdout, stderr := s.run(t, "", "audit", "--seals", folder)
	if found := strings.Count(stdout, "it is not what was sealed"); code != 3 || found != 1 || !strings.Contains(stdout, "issuer=ACME-IN") || !strings.Contains(stdout, "transaction_id="+rewritten) {
		t.Errorf("exit code %d, found %d\n%s%s", code, found, stdout, stderr)
	}
}

const sealingKey = `-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f
-----END PRIVATE KEY-----
`

// rewrite gives the last invoice of a series another customer, and makes everything in the database fit that.
func (s *site) rewrite(t *testing.T, issuer, transactionID string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	exec := func(statement string, values ...any) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), statement, values...); err != nil {
			t.Fatal(err)
		}
	}
	exec("SET search_path = " + pgx.Identifier{s.Schema}.Sanitize())
	exec("SET session_replication_role = replica") // no trigger
	exec("UPDATE invoices SET customer_name = 'A friend' WHERE issuer = $1 AND transaction_id = $2", issuer, transactionID)
	exec("UPDATE invoice_jobs SET payload = NULL WHERE issuer = $1 AND transaction_id = $2", issuer, transactionID) // as after a while
	var before, salt []byte
	read := func() *postgres.StoredRecord {
		t.Helper()
		var chain string
		rows, err := conn.Query(t.Context(), `SELECT salt, (SELECT chain FROM invoices p WHERE p.issuer = i.issuer AND p.series = i.series AND p.period = i.period AND p.number = i.number - 1), `+
			postgres.RecordColumns()+" FROM invoices i WHERE issuer = $1 AND transaction_id = $2", issuer, transactionID)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		rows.Next()
		stored, err := postgres.ScanRecord(rows, &salt, &chain)
		if err != nil {
			t.Fatal(err)
		}
		if before, err = hex.DecodeString(strings.TrimPrefix(chain, "v1:")); err != nil {
			t.Fatal(err)
		}
		return stored
	}
	exec("UPDATE invoices SET fingerprint = $3 WHERE issuer = $1 AND transaction_id = $2", issuer, transactionID, read().Job.Fingerprint())
	stored := read()
	var hasher invoice.Hasher
	texts := hasher.Texts(&stored.Record, salt)
	link := invoice.FormatLink(invoice.Link(invoice.Hash(before), hasher.Digest(&stored.Record, texts)))
	exec("UPDATE invoices SET text_hash = $3, chain = $4 WHERE issuer = $1 AND transaction_id = $2", issuer, transactionID, texts[:], link)
}
