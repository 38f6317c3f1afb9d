package audit_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"invoicer/internal/seals"
	"invoicer/invoice"
	"invoicer/invoice/postgres"
	"invoicer/invoice/postgres/audit"
)

func sealKey() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)) }

// seal adds a seal of what is new to the folder.
func (b *bundle) seal(t *testing.T, dir string) error {
	t.Helper()
	folder, err := seals.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	w, err := folder.Create()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	key := sealKey()
	sign := func(_ context.Context, message []byte) ([]byte, error) { return ed25519.Sign(key, message), nil }
	return audit.Seal(t.Context(), audit.Options{URL: b.URL, Schema: b.Schema}, folder, w, func(ctx context.Context, s audit.Snapshot) error {
		_, err := w.Commit(ctx, s.Database, s.TakenAt, sign, key.Public().(ed25519.PublicKey), nil)
		return err
	})
}

func (b *bundle) mustSeal(t *testing.T, dir string) {
	t.Helper()
	if err := b.seal(t, dir); err != nil {
		t.Fatal(err)
	}
}

// sealed audits with the seals of a folder.
func (b *bundle) sealed(t *testing.T, dir string) *audit.Report {
	t.Helper()
	folder, err := seals.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	report, err := audit.Run(t.Context(), audit.Options{URL: b.URL, Schema: b.Schema, Seals: folder, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// invoiced adds invoices to series INV: the first is number 5.
func (b *bundle) invoiced(t *testing.T, ids ...string) {
	t.Helper()
	for _, id := range ids {
		b.create(t, "job-"+id, `{"transaction_id":"`+id+`","customer_name":"Ada","issued_at":"2011-01-02T03:04:05Z","currency":"GBP","metadata":{"order":"`+id+
			`"},"lines":[{"quantity":2,"unit_price":"12.50","tax_percent":"20","description":"LANTERN"},{"quantity":1,"unit_price":"1"}]}`)
	}
}

// unlink makes invoices as an earlier release has written them.
func (b *bundle) unlink(t *testing.T, where string) {
	t.Helper()
	b.unguarded(t, "UPDATE invoices SET chain = NULL, salt = NULL, text_hash = NULL WHERE "+where)
}

func TestSealedAndUntouched(t *testing.T) {
	t.Parallel()
	b, dir := setup(t), t.TempDir()
	b.unlink(t, "true")
	b.invoiced(t, "A", "B")
	b.mustSeal(t, dir)
	b.mustSeal(t, dir) // nothing is new
	b.invoiced(t, "C", "D")
	b.mustSeal(t, dir)
	b.invoiced(t, "E")
	report := b.sealed(t, dir)
	if found := broken(report); !report.OK() {
		t.Errorf("broken: %v", found)
	}
	if s := report.Seals; s == nil || s.Seals != 2 || s.Sealed != 9 || s.Unsealed != 1 || s.TakenAt.IsZero() {
		t.Errorf("seals: %+v", s)
	}
	if report.Unlinked != 5 {
		t.Errorf("%d invoices without a link, want 5", report.Unlinked)
	}
	if report := b.audit(t); report.Seals != nil {
		t.Errorf("seals without a folder: %+v", report.Seals)
	}
}

// What an owner of the tables does is found, and each invoice is named.
func TestSealsFindWhatAnOwnerDid(t *testing.T) {
	t.Parallel()
	const differs, gone, inserted = "invoices: it is not what was sealed: id=%d ", "invoices: it was sealed, and is not there: series=%s period= number=%d ", "invoices: it was not sealed, although later ones of its series were: id=%d "
	// Of the bundle, INV has ids 1, 2, 3, 5; A to F are 6 to 11, with numbers 5 to 10; seal 2 has D and E, and F isn't sealed.
	for _, c := range []struct {
		name, change string
		want         []string
	}{
		{"an amount", "UPDATE invoice_lines SET unit_price = 13 WHERE invoice_id = 7 AND position = 1", []string{fmt.Sprintf(differs, 7)}},
		{"a text", "UPDATE invoices SET customer_name = 'Eve' WHERE id = 10", []string{fmt.Sprintf(differs, 10)}},
		{"the text of one without a link", "UPDATE invoices SET metadata = '{\"order\": \"B-1\"}' WHERE id = 1", []string{fmt.Sprintf(differs, 1)}},
		{"the amount of one without a link", "UPDATE invoice_lines SET quantity = 4 WHERE invoice_id = 2", []string{fmt.Sprintf(differs, 2)}},
		{"several", "UPDATE invoices SET country = 'France' WHERE id IN (3, 6, 9, 11)", []string{fmt.Sprintf(differs, 3), fmt.Sprintf(differs, 6), fmt.Sprintf(differs, 9)}},
		{"a time", "UPDATE invoices SET created_at = created_at - interval '1 day' WHERE id = 8", []string{fmt.Sprintf(differs, 8)}},
		{"a line's order", `UPDATE invoice_lines SET position = 9 WHERE invoice_id = 8 AND position = 1; UPDATE invoice_lines SET position = 1 WHERE invoice_id = 8 AND position = 2;
UPDATE invoice_lines SET position = 2 WHERE invoice_id = 8 AND position = 9`, []string{fmt.Sprintf(differs, 8)}},
		{"an unsealed one, which nothing protects yet", "UPDATE invoices SET customer_name = 'Eve' WHERE id = 11", nil},
		{"the last ones are removed", removed("10, 11"), []string{fmt.Sprintf(gone, "INV", 9)}},
		{
			"one is removed, and those after it are renumbered", removed("8") + renumbered("- 1", "> 7"),
			[]string{fmt.Sprintf(differs, 9), fmt.Sprintf(differs, 10), fmt.Sprintf(differs, 11)},
		},
		{
			"one is put in, and those after it are renumbered", renumbered("+ 1", "> 6") + put("7"),
			[]string{fmt.Sprintf(differs, 12), fmt.Sprintf(differs, 8), fmt.Sprintf(differs, 9)},
		},
		{"a whole series is removed", removed("SELECT id FROM invoices WHERE series = 'INV-CN'"), []string{fmt.Sprintf(gone, "INV-CN", 1)}},
		{
			"a whole series is issued again", "UPDATE invoices SET created_at = created_at + interval '1 s'",
			[]string{fmt.Sprintf(differs, 1), fmt.Sprintf(differs, 2), fmt.Sprintf(differs, 3), fmt.Sprintf(differs, 4), fmt.Sprintf(differs, 5), fmt.Sprintf(differs, 6), fmt.Sprintf(differs, 7), fmt.Sprintf(differs, 8), fmt.Sprintf(differs, 9), fmt.Sprintf(differs, 10)},
		},
		{"one is put in below the first", put("0"), []string{fmt.Sprintf(inserted, 12)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b, dir := setup(t), t.TempDir()
			b.unlink(t, "true")
			b.invoiced(t, "A", "B", "C")
			b.mustSeal(t, dir)
			b.invoiced(t, "D", "E")
			b.mustSeal(t, dir)
			b.invoiced(t, "F")
			b.exec(t, "ALTER TABLE invoices DROP CONSTRAINT invoices_number_check")
			b.owner(t, c.change)
			b.expectSeals(t, dir, c.want)
		})
	}
}

// expectSeals wants exactly these findings of the check of the seals, and none of that of the chain.
func (b *bundle) expectSeals(t *testing.T, dir string, want []string) {
	t.Helper()
	found := broken(b.sealed(t, dir))
	if len(found["chain"]) > 0 {
		t.Errorf("the owner's chains don't fit: %v", found["chain"])
	}
	got := found["seals"]
	if len(got) != len(want) {
		t.Errorf("%d findings, want %d", len(got), len(want))
	}
	for _, beginning := range want {
		if !slices.ContainsFunc(got, func(f string) bool { return strings.HasPrefix(f, beginning) }) {
			t.Errorf("nothing begins with %q", beginning)
		}
	}
	if t.Failed() {
		t.Logf("found:\n\t%s", strings.Join(got, "\n\t"))
	}
}

// A change of links alone, with which every chain fits, is found as well.
func TestSealsFindOtherLinks(t *testing.T) {
	t.Parallel()
	b, dir := setup(t), t.TempDir()
	b.mustSeal(t, dir)
	b.unlink(t, "series = 'INV' AND number = 1")
	var salted []string
	rows, err := b.conn.Query(t.Context(), "SELECT text_hash, "+postgres.RecordColumns()+" FROM invoices i WHERE series = 'INV' AND number > 1 ORDER BY number")
	if err != nil {
		t.Fatal(err)
	}
	var hasher invoice.Hasher
	var link invoice.Hash
	for rows.Next() {
		var texts []byte
		r, err := postgres.ScanRecord(rows, &texts)
		if err != nil {
			t.Fatal(err)
		}
		link = invoice.Link(link, hasher.Digest(&r.Record, invoice.Hash(texts)))
		salted = append(salted, "UPDATE invoices SET chain = '"+invoice.FormatLink(link)+"' WHERE id = "+strconv.FormatInt(r.ID, 10))
	}
	b.unguarded(t, strings.Join(salted, "; "))
	b.expectSeals(t, dir, []string{"invoices: it is not what was sealed: it has no link any more: id=1 "})

	b.unguarded(t, "UPDATE invoices SET chain = 'v1:' || repeat('0', 64) WHERE series = 'INV-CN'")
	found := broken(b.sealed(t, dir))["seals"]
	if !slices.ContainsFunc(found, func(f string) bool { return strings.HasPrefix(f, "invoices: its link is not what was sealed: id=4 ") }) {
		t.Errorf("found %v", found)
	}
}

// Nothing is sealed on top of what was changed, and of nothing else.
func TestSealRefuses(t *testing.T) {
	t.Parallel()
	b, dir := setup(t), t.TempDir()
	b.invoiced(t, "A")
	b.mustSeal(t, dir)
	b.invoiced(t, "B")
	b.owner(t, removed("6, 7"))
	var backward *audit.BackwardError
	if err := b.seal(t, dir); !errors.As(err, &backward) || len(backward.Heads) != 1 || backward.Heads[0].Series != "INV" || backward.Heads[0].Number != 5 {
		t.Errorf("error %v", err)
	}
	names, err := os.ReadDir(dir)
	if err != nil || len(names) != 3 {
		t.Errorf("the folder has %v, %v", names, err)
	}

	other := setup(t)
	var foreign *audit.ForeignFolderError
	if err := other.seal(t, dir); !errors.As(err, &foreign) {
		t.Errorf("error %v", err)
	}
	folder, err := seals.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := audit.Run(t.Context(), audit.Options{URL: other.URL, Schema: other.Schema, Seals: folder}); !errors.As(err, &foreign) {
		t.Errorf("error %v", err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	if err := os.Truncate(files[0], 10); err != nil {
		t.Fatal(err)
	}
	var wrong *seals.FolderError
	if _, err := audit.Run(t.Context(), audit.Options{URL: b.URL, Schema: b.Schema, Seals: folder}); !errors.As(err, &wrong) {
		t.Errorf("error %v", err)
	}
}

// TestSealsFindRandomTampering changes what an owner could, at random, and wants each invoice that differs to be named.
func TestSealsFindRandomTampering(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	if given := os.Getenv("INVOICER_SEED"); given != "" {
		var err error
		if seed, err = strconv.ParseUint(given, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("INVOICER_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 4 {
		b, dir := setup(t), t.TempDir()
		if random.IntN(2) == 0 {
			b.unlink(t, "true")
		}
		next := 0
		for range 1 + random.IntN(3) {
			for range 1 + random.IntN(4) {
				b.invoiced(t, fmt.Sprintf("R%d", next))
				next++
			}
			b.mustSeal(t, dir)
		}
		changes := map[string]string{
			"text": "UPDATE invoices SET customer_name = coalesce(customer_name, '') || 'x' WHERE id = %d", "key": "UPDATE invoices SET idempotency_key = 'other-' || id WHERE id = %[1]d",
			"amount": "UPDATE invoice_lines SET quantity = quantity * 2 WHERE invoice_id = %d AND quantity <> 0 AND unit_price <> 0", "currency": "UPDATE invoices SET currency = 'EUR' WHERE id = %d",
			"description": "UPDATE invoice_lines SET description = coalesce(description, '') || '.' WHERE invoice_id = %d", "date": "UPDATE invoices SET issued_at = issued_at - interval '1 day' WHERE id = %d",
		}
		names := slices.Sorted(func(yield func(string) bool) {
			for name := range changes {
				if !yield(name) {
					return
				}
			}
		})
		touched := make(map[int]bool)
		var statements []string
		for range 1 + random.IntN(3) {
			id := []int{1, 2, 4, 5, 6}[random.IntN(5)] // 3 is of no worth
			statements = append(statements, fmt.Sprintf(changes[names[random.IntN(len(names))]], id))
			touched[id] = true
		}
		b.owner(t, strings.Join(statements, ";\n"))
		var want []string
		for id := range touched {
			want = append(want, fmt.Sprintf("invoices: it is not what was sealed: id=%d ", id))
		}
		if b.expectSeals(t, dir, want); t.Failed() {
			t.Fatalf("after\n%s", strings.Join(statements, "\n"))
		}
	}
}
