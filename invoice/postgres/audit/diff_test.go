package audit_test

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"invoicer/internal/rig"
	"invoicer/invoice/postgres/audit"
)

// A twin is two schemas with the same documents: those of [setupIssuers], of which some are in several issuers.
type twin struct{ here, there *bundle }

func setupTwin(t *testing.T) twin {
	t.Helper()
	b := setupIssuers(t)
	return twin{b, b.copied(t)}
}

// copied returns a copy of the schema's documents.
func (b *bundle) copied(t *testing.T) *bundle {
	t.Helper()
	d := rig.NewDatabase(t)
	d.OpenIssuers(t, "ACME-DE", "ACME-FR")
	conn, err := pgx.Connect(t.Context(), d.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(t.Context()) })
	other := &bundle{Database: d, conn: conn}
	other.exec(t, "SET search_path = "+d.Schema)
	other.exec(t, "SET session_replication_role = replica") // no trigger refuses what is planted
	other.exec(t, "DELETE FROM database_identity")
	for _, table := range []string{"database_identity", "invoices", "invoice_links"} {
		other.exec(t, fmt.Sprintf("INSERT INTO %s OVERRIDING SYSTEM VALUE SELECT * FROM %s.%s", table, b.Schema, table))
	}
	b.exec(t, "SET session_replication_role = replica")
	return other
}

// diff returns the differences, each in a line: check: here | there: what differs.
func (w twin) diff(t *testing.T, change func(*audit.DiffOptions)) (*audit.DiffReport, []string) {
	t.Helper()
	var lines []string
	said := func(d *audit.Document) string {
		if d == nil {
			return "-"
		}
		return strings.TrimSpace(fmt.Sprintf("%s %s %s", d.Issuer, d.InvoiceNumber, d.TransactionID))
	}
	o := audit.DiffOptions{
		Here: audit.Place{URL: w.here.URL, Schema: w.here.Schema}, There: audit.Place{URL: w.there.URL, Schema: w.there.Schema},
		Found: func(d *audit.Difference) error {
			line := fmt.Sprintf("%s: %s | %s", d.Check, said(d.Here), said(d.There))
			if len(d.Differs) > 0 {
				line += ": " + strings.Join(d.Differs, " ")
			}
			lines = append(lines, line)
			return nil
		},
	}
	if change != nil {
		change(&o)
	}
	report, err := audit.Diff(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	counted := make(map[string]int64)
	for _, line := range lines {
		check, _, _ := strings.Cut(line, ":")
		counted[check]++
	}
	for _, c := range report.Checks {
		if c.Found != counted[c.Name] {
			t.Errorf("%s: %d differences, and %d were told", c.Name, c.Found, counted[c.Name])
		}
	}
	slices.Sort(lines)
	return report, lines
}

func TestDiffOfTheSame(t *testing.T) {
	t.Parallel()
	w := setupTwin(t)
	for name, change := range map[string]func(*audit.DiffOptions){
		"at once":      nil,
		"in pieces":    func(o *audit.DiffOptions) { o.Piece = 1 },
		"in snapshots": func(o *audit.DiffOptions) { o.Piece, o.Snapshot = 1, 1 },
	} {
		report, lines := w.diff(t, change)
		if len(lines) > 0 || !report.OK() || report.SameDatabase || !report.SameInstallation || !report.SameCluster || len(report.Notes) > 0 {
			t.Errorf("%s: %v, %+v", name, lines, report)
		}
		if report.Here.Invoices != 10 || report.There.Invoices != 10 {
			t.Errorf("%s: %d documents here, %d there", name, report.Here.Invoices, report.There.Invoices)
		}
		for i, c := range report.Checks {
			if c.Examined != 10 {
				t.Errorf("%s: check %d, %s, has examined %d", name, i, c.Name, c.Examined)
			}
		}
		if many := report.There.Snapshots > 3; many != (name == "in snapshots") {
			t.Errorf("%s: %d snapshots", name, report.There.Snapshots)
		}
	}
	report, lines := twin{w.here, w.here}.diff(t, nil)
	if !report.SameDatabase || len(lines) > 0 {
		t.Errorf("with itself: %v, %+v", lines, report)
	}
}

func TestDiffFindsWhatDiffers(t *testing.T) {
	t.Parallel()
	const t5 = " WHERE issuer = '' AND transaction_id = 'T5'"
	cases := map[string]struct {
		here, there string
		want        []string
	}{
		"lost there": {there: "DELETE FROM invoices" + t5, want: []string{"only_here: INV-000004 T5 | -"}},
		"lost here":  {here: "DELETE FROM invoices" + t5, want: []string{"only_there: - | INV-000004 T5"}},
		"lost of an issuer": {there: "DELETE FROM invoices WHERE issuer = 'ACME-DE' AND transaction_id = 'T1'", want: []string{
			"only_here: ACME-DE INV-000001 T1 | -",
		}},
		"the last one lost there": {there: "DELETE FROM invoices WHERE issuer = 'ACME-FR' AND transaction_id = 'T2'", want: []string{
			"only_here: ACME-FR INV-000002 T2 | -",
		}},
		"a number twice": {there: "UPDATE invoices SET transaction_id = 'OTHER'" + t5, want: []string{
			"numbers: INV-000004 T5 | INV-000004 OTHER", "only_here: INV-000004 T5 | -", "only_there: - | INV-000004 OTHER",
		}},
		"another number": {there: "UPDATE invoices SET number = 9, invoice_number = 'INV-000009'" + t5, want: []string{
			"transactions: INV-000004 T5 | INV-000009 T5",
		}},
		"another number and content": {here: "UPDATE invoices SET number = 9, invoice_number = 'INV-000009', subtotal_minor = subtotal_minor + 1, total_minor = total_minor + 1" + t5, want: []string{
			"content: INV-000009 T5 | INV-000004 T5: total_minor", "transactions: INV-000009 T5 | INV-000004 T5",
		}},
		"another series": {there: "UPDATE invoices SET series = 'NEW', number = 1, invoice_number = 'NEW-000001'" + t5, want: []string{
			"transactions: INV-000004 T5 | NEW-000001 T5",
		}},
		"a number twice of an issuer": {there: "UPDATE invoices SET transaction_id = 'TWO' WHERE issuer = 'ACME-DE' AND transaction_id = 'ONE'", want: []string{
			"numbers: ACME-DE INV-000003 ONE | ACME-DE INV-000003 TWO", "only_here: ACME-DE INV-000003 ONE | -", "only_there: - | ACME-DE INV-000003 TWO",
		}},
		"another content": {there: "UPDATE invoices SET fingerprint = 'v1:' || repeat('0', 64), currency = 'EUR', subtotal_minor = subtotal_minor + 1, total_minor = total_minor + 1, chain = 'v1:0'" + t5, want: []string{
			"content: INV-000004 T5 | INV-000004 T5: fingerprint currency total_minor",
		}},
		"printed otherwise": {here: "UPDATE invoices SET invoice_number = 'R-4'" + t5, want: []string{"content: R-4 T5 | INV-000004 T5: invoice_number"}},
		"made twice":        {here: "UPDATE invoices SET chain = 'v1:0'" + t5, want: []string{"links: INV-000004 T5 | INV-000004 T5: chain"}},
		"forgotten": {here: "UPDATE invoices SET erasure_id = 1, fingerprint = erased_fingerprint()" + t5, want: []string{
			"erased: INV-000004 T5 | INV-000004 T5",
		}},
	}
	w := setupTwin(t)
	for _, b := range []*bundle{w.here, w.there} {
		b.exec(t, "CREATE TABLE original AS TABLE invoices")
	}
	restored := func(t *testing.T) {
		t.Helper()
		for _, b := range []*bundle{w.here, w.there} {
			b.exec(t, "DELETE FROM invoices; INSERT INTO invoices OVERRIDING SYSTEM VALUE SELECT * FROM original")
		}
	}
	for name, c := range cases {
		restored(t)
		w.here.exec(t, c.here)
		w.there.exec(t, c.there)
		report, lines := w.diff(t, nil)
		if diff := cmp.Diff(c.want, lines); diff != "" || report.OK() {
			t.Errorf("%s: ok %v, differences (-want +got):\n%s", name, report.OK(), diff)
		}
	}

	restored(t)
	for _, sql := range []string{
		"DELETE FROM invoices WHERE issuer = 'ACME-DE' AND transaction_id = 'T1'",
		"UPDATE invoices SET transaction_id = 'OTHER' WHERE issuer = 'ACME-DE' AND transaction_id = 'ONE'",
		"UPDATE invoices SET number = number + 100 WHERE issuer = '' AND transaction_id IN ('T1', 'T2')",
		"UPDATE invoices SET subtotal_minor = subtotal_minor + 5, total_minor = total_minor + 5 WHERE issuer = '' AND transaction_id = 'T3'",
		"UPDATE invoices SET chain = 'v1:0' WHERE issuer = '' AND transaction_id = 'T5'",
		"UPDATE invoices SET erasure_id = 1 WHERE issuer = 'ACME-FR' AND transaction_id = 'T2'",
	} {
		w.there.exec(t, sql)
	}
	w.here.exec(t, "DELETE FROM invoices WHERE issuer = 'ACME-FR' AND transaction_id = 'T1'")
	want := []string{
		"content: INV-000003 T3 | INV-000003 T3: total_minor",
		"erased: ACME-FR INV-000002 T2 | ACME-FR INV-000002 T2",
		"links: INV-000004 T5 | INV-000004 T5: chain",
		"numbers: ACME-DE INV-000003 ONE | ACME-DE INV-000003 OTHER",
		"only_here: ACME-DE INV-000001 T1 | -", "only_here: ACME-DE INV-000003 ONE | -",
		"only_there: - | ACME-DE INV-000003 OTHER", "only_there: - | ACME-FR INV-000001 T1",
		"transactions: INV-000001 T1 | INV-000001 T1", "transactions: INV-000002 T2 | INV-000002 T2",
	}
	for _, change := range []func(*audit.DiffOptions){nil, func(o *audit.DiffOptions) { o.Piece, o.Snapshot = 1, 1 }} {
		if _, lines := w.diff(t, change); !slices.Equal(lines, want) {
			t.Errorf("all together: differences (-want +got):\n%s", cmp.Diff(want, lines))
		}
	}
}

// What an older schema doesn't have isn't compared, and the report says so.
func TestDiffOfOtherReleases(t *testing.T) {
	t.Parallel()
	w := setupTwin(t)
	w.there.exec(t, "DELETE FROM invoices WHERE issuer <> ''")
	w.here.exec(t, "DELETE FROM invoices WHERE issuer <> ''")
	w.there.exec(t, "ALTER TABLE invoices DROP COLUMN issuer CASCADE, DROP COLUMN chain CASCADE, DROP COLUMN erasure_id CASCADE; DROP TABLE invoice_links CASCADE")
	w.there.exec(t, "UPDATE goose_db_version SET is_applied = false WHERE version_id > 21")
	report, lines := w.diff(t, nil)
	said := strings.Join(report.Notes, "\n")
	for _, want := range []string{"and there up to 21", "there the schema knows no issuers", "there the schema has no links", "of what is forgotten", "the links of 5 documents couldn't be compared"} {
		if !strings.Contains(said, want) {
			t.Errorf("nothing says %q:\n%s", want, said)
		}
	}
	if len(lines) > 0 || report.Checks[5].Examined != 0 {
		t.Errorf("differences: %v, and %d links compared", lines, report.Checks[5].Examined)
	}
	w.there.exec(t, "UPDATE invoices SET number = 9 WHERE transaction_id = 'T5'; INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)")
	report, lines = w.diff(t, func(o *audit.DiffOptions) { o.Piece = 1 })
	if !slices.Equal(lines, []string{"transactions: INV-000004 T5 | INV-000004 T5"}) || !strings.Contains(strings.Join(report.Notes, "\n"), "is newer than this program") {
		t.Errorf("differences: %v, notes %q", lines, report.Notes)
	}
	w.there.exec(t, "ALTER TABLE invoices DROP COLUMN total_minor CASCADE")
	_, err := audit.Diff(t.Context(), audit.DiffOptions{Here: audit.Place{URL: w.here.URL, Schema: w.here.Schema}, There: audit.Place{URL: w.there.URL, Schema: w.there.Schema}})
	if there := (*audit.PlaceError)(nil); !errors.As(err, &there) || !strings.Contains(err.Error(), "has no column total_minor") {
		t.Errorf("without its totals: %v", err)
	}
}

// Links that were added later are compared as those of the invoices' own rows, and what has none on one side alone isn't.
func TestDiffOfLaterLinks(t *testing.T) {
	t.Parallel()
	w := setupTwin(t)
	w.there.exec(t, `INSERT INTO invoice_links (invoice_id, chain, salt, text_hash) SELECT id, chain, salt, text_hash FROM invoices WHERE issuer = '';
UPDATE invoices SET chain = NULL, salt = NULL, text_hash = NULL`)
	report, lines := w.diff(t, nil)
	if len(lines) > 0 || report.Checks[5].Examined != 5 {
		t.Errorf("differences: %v, and %d links compared", lines, report.Checks[5].Examined)
	}
	w.there.exec(t, "UPDATE invoice_links SET chain = 'v1:' || repeat('0', 64) WHERE invoice_id = (SELECT id FROM invoices WHERE issuer = '' AND transaction_id = 'T5')")
	if _, lines = w.diff(t, nil); !slices.Equal(lines, []string{"links: INV-000004 T5 | INV-000004 T5: chain"}) {
		t.Errorf("differences: %v", lines)
	}
}

// Many documents whose numbers don't meet are looked for in several rounds.
func TestDiffOfManyThatDiffer(t *testing.T) {
	t.Parallel()
	here, there := rig.NewDatabase(t), rig.NewDatabase(t)
	const all = 2500
	large(t, here, all)
	large(t, there, all)
	there.Exec(t, "SET session_replication_role = replica; UPDATE invoices SET number = number + 100000; DELETE FROM invoices WHERE id % 10 = 0; RESET session_replication_role")
	report, err := audit.Diff(t.Context(), audit.DiffOptions{
		Here: audit.Place{URL: here.URL, Schema: here.Schema}, There: audit.Place{URL: there.URL, Schema: there.Schema}, Piece: 600, Snapshot: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]int64)
	for _, c := range report.Checks {
		if c.Found > 0 {
			got[c.Name] = c.Found
		}
	}
	if want := map[string]int64{audit.Transactions: all * 9 / 10, audit.OnlyHere: all / 10}; !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if report.SameInstallation {
		t.Error("two installations are taken for one")
	}

	// One side waits in the middle of its only piece until the other one has come so far, and holds no snapshot for that.
	report, err = audit.Diff(t.Context(), audit.DiffOptions{
		Here: audit.Place{URL: here.URL, Schema: here.Schema}, There: audit.Place{URL: there.URL, Schema: there.Schema}, Snapshot: 1,
	})
	if err != nil || report.There.Snapshots < 4 || report.There.Invoices != all*9/10 || report.Here.Invoices != all {
		t.Errorf("%v, %+v", err, report)
	}
}

// The servers may sort texts otherwise: here a hyphen counts, and there it doesn't.
func TestDiffOfOtherCollations(t *testing.T) {
	t.Parallel()
	here := rig.NewDatabase(t)
	if here.Count(t, "SELECT current_setting('server_version_num')::int") < 150000 {
		t.Skip("NOT TESTED: a database has no ICU collation of its own before Postgres 15")
	}
	name := "c_" + here.Schema
	here.Exec(t, "CREATE DATABASE "+name+" TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-u-ka-shifted' LOCALE 'C'")
	t.Cleanup(func() { here.Exec(t, "DROP DATABASE "+name+" WITH (FORCE)") })
	address, err := url.Parse(here.URL)
	if err != nil {
		t.Fatal(err)
	}
	address.Path = "/" + name
	there := rig.DatabaseOn(t, address.String())
	if sorted := "SELECT string_agg(s, ' ' ORDER BY s) FROM unnest(ARRAY['A-C', 'AB']) AS s"; here.Text(t, sorted) == there.Text(t, sorted) {
		t.Fatal("both sort in the same way")
	}
	for d, third := range map[*rig.Database]string{here: "T3", there: "OTHER"} {
		d.Exec(t, `SET session_replication_role = replica;
INSERT INTO invoices (series, period, number, invoice_number, kind, transaction_id, idempotency_key, job_id, fingerprint, currency, subtotal_minor, tax_minor, total_minor, issued_at)
SELECT series, '', 1, series || '-1', 'invoice', id, id, id, 'v1:' || repeat('0', 64), 'GBP', 1, 0, 1, now()
FROM unnest(ARRAY['A-C', 'AB', 'A-D', 'AA'], ARRAY['T1', 'T2', '`+third+`', 'T4']) AS of (series, id);
RESET session_replication_role`)
	}
	_, lines := twin{&bundle{Database: here}, &bundle{Database: there}}.diff(t, func(o *audit.DiffOptions) { o.Piece = 1 })
	if want := []string{"numbers: A-D-1 T3 | A-D-1 OTHER", "only_here: A-D-1 T3 | -", "only_there: - | A-D-1 OTHER"}; !slices.Equal(lines, want) {
		t.Errorf("differences: %q, want %q", lines, want)
	}
}
