package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"invoicer/internal/fault"
	"invoicer/internal/rig"
	"invoicer/invoice"
	"invoicer/invoice/postgres"
	"invoicer/invoice/postgres/audit"
)

// unchained writes an invoice as a worker of the release before does, which knows no chain.
func (b *site) unchained(ctx context.Context, t *testing.T, transactionID string) error {
	t.Helper()
	rate := decimal(t, "20")
	j := job(t, transactionID, func(j *invoice.Job) {
		j.Lines = []invoice.Line{{Description: "LANTERN", Quantity: decimal(t, "1"), UnitPrice: decimal(t, "5"), TaxPercent: &rate}}
	})
	_, err := b.DB.ExecContext(ctx, `
WITH counter AS MATERIALIZED (
    SELECT last_number + 1 AS next FROM invoice_series WHERE series = 'INV' AND period = '' FOR NO KEY UPDATE
), written AS (
    INSERT INTO invoices (series, period, number, invoice_number, kind, transaction_id, idempotency_key, job_id, fingerprint,
        customer_id, customer_name, country, currency, subtotal_minor, tax_minor, total_minor, issued_at, metadata)
    SELECT 'INV', '', next, 'INV-' || lpad(next::text, 6, '0'), 'invoice', $1, $1, 'old-' || $1, $2, $3, $4, $5, 'GBP', 500, 100, 600, $6, '{"order": "A-17"}'
    FROM counter RETURNING id
), lines AS (
    INSERT INTO invoice_lines (invoice_id, position, description, quantity, unit_price, tax_percent, net_minor) SELECT id, 1, 'LANTERN', 1, 5, 20, 500 FROM written
), taxes AS (
    INSERT INTO invoice_taxes (invoice_id, tax_percent, net_minor, tax_minor) SELECT id, 20, 500, 100 FROM written
)
UPDATE invoice_series SET last_number = next FROM counter WHERE series = 'INV' AND period = ''`,
		transactionID, j.Fingerprint(), j.CustomerID, j.CustomerName, j.Country, j.IssuedAt)
	return err
}

func (b *site) mustUnchained(t *testing.T, transactions ...string) {
	t.Helper()
	for _, one := range transactions {
		if err := b.unchained(t.Context(), t, one); err != nil {
			t.Fatal(err)
		}
	}
}

// audited wants a clean audit, but for the findings of the check of the chain that it returns.
func (b *site) audited(t *testing.T) (chain []string, unlinked int64) {
	t.Helper()
	report, err := audit.Run(t.Context(), audit.Options{URL: b.URL, Schema: b.Schema})
	if err != nil {
		t.Fatal(err)
	}
	for _, check := range report.Checks {
		for _, f := range check.Findings {
			if check.Name == "chain" {
				chain = append(chain, fmt.Sprintf("%s %v", f.Problem, f.Row))
			} else {
				t.Errorf("%s: %s: %v", check.Name, f.Problem, f.Row)
			}
		}
	}
	return chain, report.Unlinked
}

// linked wants an audit without a finding, and this many invoices without a link.
func (b *site) linked(t *testing.T, unlinked int64) {
	t.Helper()
	if chain, n := b.audited(t); len(chain) > 0 || n != unlinked {
		t.Errorf("%d invoices without a link, want %d; found %v", n, unlinked, chain)
	}
}

// unguarded changes what the triggers guard.
func (b *site) unguarded(t *testing.T, statement string) {
	t.Helper()
	const tables = "invoices,invoice_lines,invoice_taxes,invoice_series,invoice_links"
	for table := range strings.SplitSeq(tables, ",") {
		b.Exec(t, "ALTER TABLE "+table+" DISABLE TRIGGER USER")
	}
	b.Exec(t, statement)
	for table := range strings.SplitSeq(tables, ",") {
		b.Exec(t, "ALTER TABLE "+table+" ENABLE TRIGGER USER")
	}
}

// Links follow numbers, also when writers fail and several write at once.
func TestLinksFollowNumbers(t *testing.T) {
	t.Parallel()
	var hits atomic.Int64
	failing := planted(func(_ context.Context, p fault.Point) error {
		if p == fault.Written && hits.Add(1)%5 == 0 {
			return errors.New("planted")
		}
		return nil
	})
	b := setup(t)
	b.create(t, "first", job(t, "first"))
	generators := []*invoice.Generator{b.generator, generator(t, b.open(t, failing)), generator(t, b.open(t))}
	const each = 30
	var writing sync.WaitGroup
	for w, g := range generators {
		for half := range 2 {
			writing.Go(func() {
				for i := range each {
					id := fmt.Sprintf("%d-%d-%d", w, half, i)
					change := func(j *invoice.Job) {
						if i%3 == 0 { // a credit note
							j.Lines[0].Quantity = j.Lines[0].Quantity.Neg()
						}
					}
					rig.Eventually(t, "an invoice for "+id, func() bool {
						_, err := g.Generate(t.Context(), request(id, job(t, id, change)))
						return err == nil
					})
				}
			})
		}
	}
	writing.Go(func() {
		for i := range each {
			if err := b.unchained(t.Context(), t, fmt.Sprintf("old-%d", i)); err != nil {
				t.Error(err)
			}
		}
	})
	writing.Wait()
	b.create(t, "last", job(t, "last"))
	b.gapless(t)
	b.linked(t, 0)
	if n := b.Count(t, "SELECT count(*) FROM invoice_links"); n != each {
		t.Errorf("%d links were added later, want %d", n, each)
	}
	if b.Is(t, "SELECT count(DISTINCT salt) < count(salt) OR count(DISTINCT text_hash) < count(text_hash) FROM invoices") {
		t.Error("two invoices have one salt")
	}
	if hits.Load() < 5 {
		t.Error("no transaction was rolled back")
	}
}

// The next worker that knows a chain takes over what one of the release before has written.
func TestUnlinkedInvoicesAreLinkedByTheNext(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, change string }{
		{"texts", "UPDATE invoices SET metadata = '{}' WHERE transaction_id = 'old-2'"},
		{"time", "UPDATE invoices SET created_at = created_at - interval '1 s' WHERE transaction_id = 'old-2'"},
		{"salt", "UPDATE invoice_links SET salt = substr(sha256('x'), 1, 16) WHERE invoice_id = (SELECT id FROM invoices WHERE transaction_id = 'old-2')"},
		{"link", "DELETE FROM invoice_links WHERE invoice_id = (SELECT id FROM invoices WHERE transaction_id = 'old-2')"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.create(t, "1", job(t, "new-1"))
			b.mustUnchained(t, "old-1", "old-2")
			b.linked(t, 2)
			b.create(t, "2", job(t, "new-2"))
			b.linked(t, 0)
			b.unguarded(t, c.change)
			if chain, _ := b.audited(t); len(chain) != 1 {
				t.Errorf("found %v", chain)
			}
		})
	}
}

// Invoices of before the chain stay without links: the chain begins after them.
func TestTheChainBeginsAfterWhatIsOlder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.create(t, "0", job(t, "older-0"))
	b.mustUnchained(t, "older-1", "older-2")
	b.unguarded(t, "UPDATE invoices SET chain = NULL, salt = NULL, text_hash = NULL")
	b.create(t, "1", job(t, "new-1"))
	b.create(t, "2", job(t, "new-2"))
	b.linked(t, 3)
	if n := b.Count(t, "SELECT count(*) FROM invoice_links"); n != 0 {
		t.Errorf("%d links were added later", n)
	}
}

// After more than a transaction can take over, a new chain begins.
func TestANewChainBeginsAfterManyWithoutLinks(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.create(t, "1", job(t, "new-1"))
	for i := range postgres.MostLate + 1 {
		b.mustUnchained(t, fmt.Sprintf("old-%d", i))
	}
	b.create(t, "2", job(t, "new-2"))
	b.linked(t, postgres.MostLate+1)
	for i := range postgres.MostLate {
		b.mustUnchained(t, fmt.Sprintf("older-%d", i))
	}
	b.create(t, "3", job(t, "new-3"))
	b.linked(t, postgres.MostLate+1)
}

// What can't be read any more, because somebody has changed it, stops nobody's numbers.
func TestDamagedChainsStopNobody(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, change string }{
		{"unreadable line", "ALTER TABLE invoice_lines DROP CONSTRAINT invoice_lines_quantity_check; UPDATE invoice_lines SET quantity = 'NaN' FROM invoices WHERE id = invoice_id AND transaction_id = 'old-1'"},
		{"unreadable metadata", "UPDATE invoices SET metadata = '{\"a\": 1}' WHERE transaction_id = 'old-1'"},
		{"unreadable link", "UPDATE invoices SET chain = 'v9:' || repeat('0', 64) WHERE transaction_id = 'new-1'"},
		{"infinite time", "UPDATE invoices SET created_at = 'infinity' WHERE transaction_id = 'old-1'"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.create(t, "1", job(t, "new-1"))
			b.mustUnchained(t, "old-1")
			b.unguarded(t, c.change)
			b.create(t, "2", job(t, "new-2"))
			b.create(t, "3", job(t, "new-3"))
			if n := b.Count(t, "SELECT count(*) FROM invoices WHERE chain IS NOT NULL"); n != 3 {
				t.Errorf("%d invoices have links", n)
			}
		})
	}
}

func constraintOf(err error) string {
	var pg *pgconn.PgError
	errors.As(err, &pg)
	if pg == nil {
		return ""
	}
	return pg.ConstraintName
}

// The database refuses a part of a link, a second one, and any change.
func TestLinksAreRefusedAndImmutable(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.create(t, "1", job(t, "T1"))
	b.mustUnchained(t, "old-1")
	const link = "'v1:' || repeat('0', 64), substr(sha256(''), 1, 16), sha256('')"
	add := func(values string) string {
		return `WITH moved AS (UPDATE invoice_series SET last_number = 3 WHERE series = 'INV')
INSERT INTO invoices (series, period, number, invoice_number, kind, transaction_id, idempotency_key, job_id, fingerprint, currency, subtotal_minor, tax_minor, total_minor, issued_at, chain, salt, text_hash)
VALUES ('INV', '', 3, 'INV-000003', 'invoice', 'T3', 'T3', 'job', 'v1:' || repeat('0', 64), 'GBP', 0, 0, 0, now(), ` + values + ")"
	}
	for _, c := range []struct{ statement, constraint string }{
		{add("NULL, substr(sha256(''), 1, 16), sha256('')"), "invoices_linked"},
		{add("'v1:' || repeat('0', 64), NULL, sha256('')"), "invoices_linked"},
		{add("'v1:' || repeat('0', 64), substr(sha256(''), 1, 16), NULL"), "invoices_linked"},
		{add("'v1:', substr(sha256(''), 1, 16), sha256('')"), "invoices_linked"},
		{add("'v1:' || repeat('0', 64), sha256(''), sha256('')"), "invoices_linked"},
		{"UPDATE invoices SET chain = NULL", "invoices_immutable"},
		{"INSERT INTO invoice_links (invoice_id, chain, salt, text_hash) SELECT id, " + link + " FROM invoices WHERE transaction_id = 'T1'", "invoice_links_linked"},
		{"INSERT INTO invoice_links (invoice_id, chain, salt, text_hash) SELECT 99, " + link, "invoice_links_linked"},
		{"INSERT INTO invoice_links (invoice_id, chain, salt, text_hash) SELECT id, " + link + " FROM invoices WHERE transaction_id = 'old-1'", ""},
		{"INSERT INTO invoice_links (invoice_id, chain, salt, text_hash) SELECT id, " + link + " FROM invoices WHERE transaction_id = 'old-1'", "invoice_links_pkey"},
		{"UPDATE invoice_links SET salt = NULL", "invoice_links_immutable"},
		{"DELETE FROM invoice_links", "invoice_links_immutable"},
		{"TRUNCATE invoice_links", "invoice_links_immutable"},
		{add(link), ""},
	} {
		if _, err := b.DB.ExecContext(t.Context(), c.statement); constraintOf(err) != c.constraint {
			t.Errorf("%s: refused by %q, want %q: %v", c.statement, constraintOf(err), c.constraint, err)
		}
	}
}
