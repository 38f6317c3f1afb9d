package audit_test

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/servers"
	"invoicer/internal/seals"
	"invoicer/invoice/postgres/audit"
)

// since audits with the seals of a folder, and computes nothing again of what the first seals have.
func (b *bundle) since(t *testing.T, dir string, seal int) *audit.Report {
	t.Helper()
	folder, err := seals.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	report, err := audit.Run(t.Context(), audit.Options{URL: b.URL, Schema: b.Schema, Seals: folder, Since: seal})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func examined(report *audit.Report, check string) int64 {
	return report.Checks[slices.IndexFunc(report.Checks, func(c audit.Check) bool { return c.Name == check })].Examined
}

func TestSinceASeal(t *testing.T) {
	t.Parallel()
	b, dir := setup(t), t.TempDir()
	b.invoiced(t, "A", "B") // ids 6 and 7
	// What is wrong already when it is sealed is never computed again.
	b.unlink(t, "true")
	b.unguarded(t, "UPDATE invoices SET subtotal_minor = subtotal_minor + 1, tax_minor = tax_minor - 1, fingerprint = 'v1:' || repeat('0', 64) WHERE id = 7")
	b.mustSeal(t, dir)
	b.invoiced(t, "C")
	b.mustSeal(t, dir)
	b.invoiced(t, "D")
	for seal, hashed := range []int64{0, 7, 8} {
		report := b.since(t, dir, seal)
		if got := examined(report, "fingerprints"); got != 9-hashed || report.Seals.Hashed != hashed || report.Seals.Since != seal || examined(report, "chain") != 2 || examined(report, "seals") != 8 {
			t.Errorf("since seal %d: %d fingerprints, %d links, %d compared with seals: %+v", seal, got, examined(report, "chain"), examined(report, "seals"), report.Seals)
		}
		if found := broken(report); (len(found["sums"]) == 2 && len(found["fingerprints"]) == 1) != (seal == 0) || (seal > 0) != report.OK() {
			t.Errorf("since seal %d: found %v", seal, found)
		}
	}
}

// Whatever is changed behind the triggers is found, be it sealed or not.
func TestSinceASealFindsChanges(t *testing.T) {
	t.Parallel()
	// Ids: of the bundle 1 to 5, A 6, B 7, C 8, D 9; the first seal has A and B, the second C.
	for _, c := range []struct {
		name, change string
		want         map[string]string
	}{
		{"an amount of a sealed one", "UPDATE invoice_lines SET unit_price = 13 WHERE invoice_id = 7 AND position = 1", map[string]string{"chain": "id=7 ", "seals": "id=7 "}},
		{"a total of a sealed one", "UPDATE invoices SET subtotal_minor = subtotal_minor + 1, tax_minor = tax_minor - 1 WHERE id = 1", map[string]string{"chain": "id=1 ", "seals": "id=1 "}},
		{"a text of a sealed one", "UPDATE invoices SET customer_name = 'Eve' WHERE id = 8", map[string]string{"chain": "id=8 ", "seals": "id=8 "}},
		{"a tax of a sealed one", "UPDATE invoice_taxes SET tax_minor = tax_minor + 1 WHERE invoice_id = 6", map[string]string{"chain": "id=6 ", "seals": "id=6 "}},
		{"an amount of an open one", "UPDATE invoice_lines SET unit_price = 13 WHERE invoice_id = 9 AND position = 1", map[string]string{"chain": "id=9 ", "fingerprints": "id=9 ", "sums": "id=9 ", "lines": "invoice_id=9 "}},
		{"a total of an open one", "UPDATE invoices SET subtotal_minor = subtotal_minor + 1, tax_minor = tax_minor - 1 WHERE id = 9", map[string]string{"chain": "id=9 ", "sums": "id=9 "}},
		{"a line of nothing", "INSERT INTO invoice_lines (invoice_id, position, quantity, unit_price, net_minor) VALUES (99, 1, 1, 1, 100)", map[string]string{"lines": "invoice_id=99 "}},
		{"a sealed one is removed", "DELETE FROM invoice_lines WHERE invoice_id = 6; DELETE FROM invoice_taxes WHERE invoice_id = 6; DELETE FROM invoices WHERE id = 6", map[string]string{"numbers": "number=6 ", "seals": "number=5 ", "chain": "id=7 "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b, dir := setup(t), t.TempDir()
			b.invoiced(t, "A", "B")
			b.mustSeal(t, dir)
			b.invoiced(t, "C")
			b.mustSeal(t, dir)
			b.invoiced(t, "D")
			b.unguarded(t, c.change)
			found := broken(b.since(t, dir, 2))
			for check, row := range c.want {
				if !slices.ContainsFunc(found[check], func(f string) bool { return strings.Contains(f, row) }) {
					t.Errorf("%s: nothing is found with %q", check, row)
				}
				delete(found, check)
			}
			if len(found) > 0 {
				t.Errorf("found as well: %v", found)
			}
		})
	}
}

// untimed is what two audits of the same must have in common.
func untimed(t *testing.T, report *audit.Report) string {
	t.Helper()
	r := *report
	r.TakenAt, r.ContinuedAt, r.Snapshots = time.Time{}, nil, 0
	r.Waiting = slices.Clone(r.Waiting)
	for i := range r.Waiting {
		r.Waiting[i].AgeSeconds = 0
	}
	text, err := json.MarshalIndent(&r, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// twoSealed has findings in every part of the audit.
func twoSealed(t *testing.T) (*bundle, audit.Options) {
	t.Helper()
	b, dir := setup(t), t.TempDir()
	b.invoiced(t, "A", "B")
	b.mustSeal(t, dir)
	b.unlink(t, "id = 6")
	b.invoiced(t, "C", "D")
	b.unguarded(t, `UPDATE invoice_lines SET unit_price = 13 WHERE invoice_id IN (2, 8) AND position = 1; UPDATE invoices SET customer_name = 'Eve' WHERE id IN (4, 7);
UPDATE invoice_series SET last_number = 2 WHERE series = 'INV-CN'`)
	folder, err := seals.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b, audit.Options{URL: b.URL, Schema: b.Schema, Seals: folder, Since: 1, Limit: 50}
}

// TestBrokenOff breaks an audit off wherever it can be, and continues it: the report is that of one that wasn't.
func TestBrokenOff(t *testing.T) {
	t.Parallel()
	b, options := twoSealed(t)
	whole, err := audit.Run(t.Context(), options)
	if err != nil || whole.OK() || whole.ContinuedAt != nil {
		t.Fatalf("%v, %v", err, broken(whole))
	}
	want := untimed(t, whole)
	options.Piece = 1
	stop := errors.New("enough")
	var state *audit.State
	parts, early := 0, 0
	for done := false; !done; parts++ {
		options.Continue = state
		calls := 0
		options.Reached = func(s *audit.State) error {
			text, err := json.Marshal(s)
			if err != nil {
				return err
			}
			if state, err = audit.ReadState(text); err != nil {
				return err
			}
			if calls++; calls > parts%3 { // after one, two or three
				return stop
			}
			return nil
		}
		if parts == 12 { // what is written meanwhile is looked at by the next audit
			b.invoiced(t, "E")
		}
		report, err := audit.Run(t.Context(), options)
		switch {
		case errors.Is(err, stop):
			if state.Pass == nil {
				early++
			}
		case err != nil:
			t.Fatal(err)
		default:
			done = true
			if report.ContinuedAt == nil || !report.TakenAt.Before(*report.ContinuedAt) {
				t.Errorf("taken at %v, continued at %v", report.TakenAt, report.ContinuedAt)
			}
			report.Totals, report.Jobs, report.Waiting = whole.Totals, whole.Jobs, whole.Waiting // of the last snapshot
			if diff := cmp.Diff(want, untimed(t, report)); diff != "" {
				t.Errorf("in parts (-whole +parts):\n%s", diff)
			}
		}
	}
	if early < 5 || parts < early+4 {
		t.Errorf("%d parts, of which %d ended before invoices were read", parts, early)
	}
}

// TestOtherState: an audit of something else isn't continued.
func TestOtherState(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var state audit.State
	stop := errors.New("enough")
	options := audit.Options{URL: b.URL, Schema: b.Schema, Reached: func(s *audit.State) error { state = *s; return stop }}
	if _, err := audit.Run(t.Context(), options); !errors.Is(err, stop) {
		t.Fatal(err)
	}
	for name, change := range map[string]func(s *audit.State, o *audit.Options){
		"a release":  func(s *audit.State, _ *audit.Options) { s.Form = "other" },
		"a database": func(s *audit.State, _ *audit.Options) { s.Database = "other" },
		"a schema":   func(s *audit.State, _ *audit.Options) { s.Schema = "other" },
		"a version":  func(s *audit.State, _ *audit.Options) { s.Version-- },
		"seals":      func(s *audit.State, _ *audit.Options) { s.Seals++ },
		"a limit":    func(_ *audit.State, o *audit.Options) { o.Limit++ },
	} {
		other, o := state, options
		o.Limit, o.Continue = 20, &other
		change(&other, &o)
		var refused *audit.OtherStateError
		if _, err := audit.Run(t.Context(), o); !errors.As(err, &refused) {
			t.Errorf("of another one of %s: %v", name, err)
		}
	}
}

// TestManySnapshots: invoices that are written between two snapshots are neither missing nor too many, and nothing is overlooked.
func TestManySnapshots(t *testing.T) {
	t.Parallel()
	b, options := twoSealed(t)
	whole, err := audit.Run(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	written, open := 0, 0 // the latter when the invoices began to be read
	options.Snapshot, options.Piece = 1, 1
	options.Progress = func(check string, _, _ int64) {
		if written++; check == "lines" && open == 0 {
			open = b.Count(t, "SELECT count(*) FROM invoices") - int(whole.Seals.Sealed)
		}
		b.invoiced(t, fmt.Sprintf("M%d", written))
		b.create(t, fmt.Sprintf("job-C%d", written), fmt.Sprintf(`{"transaction_id":"C%d","series":"EARLY%d","issued_at":"2011-01-02T03:04:05Z","currency":"GBP","lines":[{"quantity":-2,"unit_price":"1.25"}]}`, written, written))
	}
	report, err := audit.Run(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(broken(whole), broken(report)); diff != "" {
		t.Errorf("findings (-in one +in many):\n%s", diff)
	}
	if report.Snapshots < 15 || whole.Snapshots != 1 || written < 10 {
		t.Errorf("%d snapshots and %d, %d invoices written", report.Snapshots, whole.Snapshots, written)
	}
	if report.Seals.Unsealed != int64(open) || int64(open) <= whole.Seals.Unsealed {
		t.Errorf("%d invoices without a seal, want %d", report.Seals.Unsealed, open)
	}
}

// TestHeavyAuditAtSize: the audit needs no temporary file, and reads each block about once.
func TestHeavyAuditAtSize(t *testing.T) {
	if testing.Short() {
		t.Skip("it is a heavy one")
	}
	t.Parallel()
	server, err := servers.StartPostgres(t.Context(), servers.PostgresOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	d := rig.DatabaseOn(t, server.URL)
	invoices := 150_000
	if asked := os.Getenv("INVOICER_AUDIT_INVOICES"); asked != "" {
		var err error
		if invoices, err = strconv.Atoi(asked); err != nil {
			t.Fatalf("INVOICER_AUDIT_INVOICES: %v", err)
		}
	}
	large(t, d, invoices)
	d.Exec(t, "SELECT pg_stat_reset()") // what filling the tables took
	began := time.Now()
	report, err := audit.Run(t.Context(), audit.Options{URL: d.URL, Schema: d.Schema})
	if err != nil || !report.OK() {
		t.Fatalf("%v, %v", err, report)
	}
	t.Logf("%d invoices in %v, %d snapshots", invoices, time.Since(began), report.Snapshots)
	temp := 0
	rig.Eventually(t, "the server's count of this audit", func() bool {
		temp = d.Count(t, "SELECT temp_bytes FROM pg_stat_database WHERE datname = current_database()")
		return d.Is(t, "SELECT tup_returned > $1 FROM pg_stat_database WHERE datname = current_database()", 5*invoices)
	})
	if temp > max(10<<20, 100*invoices) {
		t.Errorf("%d MB of temporary files", temp>>20)
	}
}

// Rows of one piece may be in parts of a table that are far from each other, since a transaction that is rolled back uses up ids: here in
// the first block alone, and then in others.
func TestIdsThatWereUsedUp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	wide := func(id string, lines int) {
		t.Helper()
		var all []string
		for range lines { // of which four fill a block
			all = append(all, fmt.Sprintf(`{"quantity":1,"unit_price":"1","description":"%s"}`, strings.Repeat(rand.Text(), 1800/len(rand.Text()))))
		}
		b.create(t, "job-"+id, `{"transaction_id":"`+id+`","issued_at":"2011-01-02T03:04:05Z","currency":"GBP","lines":[`+strings.Join(all, ",")+`]}`)
	}
	block := func(id string) string {
		t.Helper()
		return b.Text(t, "SELECT coalesce(string_agg(DISTINCT split_part(l.ctid::text, ',', 1), ' '), '') FROM invoice_lines l JOIN invoices i ON i.id = invoice_id WHERE transaction_id = $1", id)
	}
	wide("FIRST", 1)
	n := 0
	for ; block(fmt.Sprint("N", n)) == "" || block(fmt.Sprint("N", n)) == "(0"; wide(fmt.Sprint("N", n), 1) {
		n++
		b.Exec(t, "SELECT setval('invoices_id_seq', $1)", 5000*n)
	}
	if block("FIRST") != "(0" || n < 2 {
		t.Fatalf("the first one is in block %s, and the last of %d in %s", block("FIRST"), n, block(fmt.Sprint("N", n)))
	}
	if report := b.audit(t); !report.OK() {
		t.Errorf("broken: %v", broken(report))
	}
}
