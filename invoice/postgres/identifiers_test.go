package postgres_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"invoicer/invoice"
	"invoicer/invoice/identifier"
)

// The database takes for an identifier what the program takes for one: of single characters those of the first three planes, and of texts some thousand.
func TestDatabaseKnowsIdentifiers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var want strings.Builder
	for _, one := range identifier.Ranges() {
		for r := one[0]; r <= one[1]; r++ {
			if s := "a" + string(r) + "b"; r <= 0x323af && identifier.Problem(s, 3) == "" {
				fmt.Fprintf(&want, "%x ", r)
			}
		}
	}
	got := b.Text(t, `SELECT string_agg(to_hex(n), ' ' ORDER BY n) FROM generate_series(1, 205743) AS n
WHERE n NOT BETWEEN 55296 AND 57343 AND is_identifier('a' || chr(n) || 'b', 3)`)
	if got+" " != want.String() {
		t.Errorf("of single characters, the database takes %d bytes of code points, and the program %d", len(got), want.Len())
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	ranges := identifier.Ranges()
	var texts []string
	for range 20_000 {
		var s strings.Builder
		for range 1 + random.IntN(4) {
			one := ranges[random.IntN(len(ranges))]
			r := one[0] + random.Int32N(one[1]-one[0]+1)
			if random.IntN(3) == 0 { // marks, which compose
				r = rune(0x300 + random.IntN(0x70))
			}
			s.WriteRune(r)
		}
		texts = append(texts, s.String())
	}
	rows, err := b.DB.QueryContext(t.Context(), "SELECT value, is_identifier(value, 128) FROM unnest($1::text[]) AS value", texts)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	taken := 0
	for rows.Next() {
		var s string
		var ok bool
		if err := rows.Scan(&s, &ok); err != nil {
			t.Fatal(err)
		}
		if ok != (identifier.Problem(s, 128) == "") {
			t.Errorf("%+q: the database says %t, and the program %q", s, ok, identifier.Problem(s, 128))
		}
		if ok {
			taken++
		}
	}
	if err := rows.Err(); err != nil || taken < 1000 || taken > 19_000 {
		t.Errorf("%d are taken, %v", taken, err)
	}
}

// Ids of any script are invoiced, found again, credited and imported.
func TestIdentifiersOfAnyScript(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for n, id := range []string{"#1030", "BG 1030", "注文-0001", "}{%", `a"b\c,d`, "NULL", "😀", "Zoë's №5", strings.Repeat("注", 128)} {
		j := job(t, id, func(j *invoice.Job) { j.IdempotencyKey = id + "!" })
		if n == 8 {
			j.IdempotencyKey = id
		}
		made := b.create(t, fmt.Sprint("job-", n), j)
		if r, err := b.store.Reports.Lookup(t.Context(), "", id, 10); err != nil || r.Invoice == nil || r.Invoice.InvoiceNumber != made.Number {
			t.Errorf("%s: %+v, %v", id, r, err)
		}
		again, err := b.generator.Generate(t.Context(), request(fmt.Sprint("again-", n), j))
		if err != nil || again.Outcome != invoice.Duplicate {
			t.Errorf("%s: %+v, %v", id, again, err)
		}
		b.create(t, fmt.Sprint("credit-", n), job(t, "C"+fmt.Sprint(n), credits(id), amounts(t, "-1", "")))
	}
	if _, err := b.store.Imports.Add(t.Context(), []invoice.Import{imported("旧-1", "OLD-1")}, false); err != nil {
		t.Error(err)
	}
	result, err := b.generator.Generate(t.Context(), request("of an import", job(t, "旧-1", amounts(t, "1", ""))))
	if err != nil || result.Invoice == nil || result.Invoice.Imported == nil {
		t.Errorf("%+v, %v", result, err)
	}
	b.clean(t)
}

// What the release before refuses in version 1, accept takes once it is on record that no worker of it lives, and of version 2 at once.
func TestAcceptWaitsForTheReleaseBefore(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const job = `{%s"transaction_id":%s,"issued_at":%q,"currency":%q,"lines":[{"quantity":1,"unit_price":1}]}`
	spelled := map[string]string{
		"transaction_id": fmt.Sprintf(job, "", `"#1"`, "2010-12-01T08:26:00Z", "GBP"),
		"an integer":     fmt.Sprintf(job, "", "7", "2010-12-01T08:26:00Z", "GBP"),
		"currency":       fmt.Sprintf(job, "", `"T1"`, "2010-12-01T08:26:00Z", "gbp"),
		"issued_at":      fmt.Sprintf(job, "", `"T2"`, "2010-12-01T08:26:00.1234567Z", "GBP"),
	}
	for name, payload := range spelled {
		if _, err := b.accept(t, payload); err == nil || !strings.Contains(err.Error(), "workers of the release before refuse") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := b.accept(t, strings.Replace(payload, "{", `{"version":2,`, 1)); err != nil {
			t.Errorf("%s, in version 2: %v", name, err)
		}
	}
	if err := b.store.Ledger.TakeIdentifiers(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, payload := range spelled {
		if _, err := b.accept(t, payload); err != nil {
			t.Errorf("%s, once none lives: %v", name, err)
		}
	}
	for _, id := range []string{`" a"`, `"Zoe\u0308"`, "1.5", `"a\u00a0b"`} {
		if _, err := b.accept(t, fmt.Sprintf(job, "", id, "2010-12-01T08:26:00Z", "GBP")); err == nil || !strings.Contains(err.Error(), "transaction_id must ") {
			t.Errorf("%s: %v", id, err)
		}
	}
	if n := b.Count(t, "SELECT count(*) FROM invoice_jobs WHERE transaction_id = '7'"); n != 2 {
		t.Errorf("%d jobs of transaction 7", n)
	}
}

// A job of version 2 may have two MiB, and one of version 1 one.
func TestAcceptBoundsSizesByVersion(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const job = `{"version":%d,"transaction_id":"T","issued_at":"2010-12-01T08:26:00Z","currency":"GBP","lines":[{"quantity":1,"unit_price":1}]}`
	for _, tt := range []struct {
		version, size int
		taken         bool
	}{{1, 1 << 20, true}, {1, 1<<20 + 1, false}, {2, 1<<20 + 1, true}, {2, 2 << 20, true}, {2, 2<<20 + 1, false}} {
		payload := fmt.Sprintf(job, tt.version)
		payload += strings.Repeat(" ", tt.size-len(payload))
		_, accepted := b.accept(t, payload)
		_, decoded := invoice.Decode([]byte(payload))
		if (accepted == nil) != tt.taken || (decoded == nil) != tt.taken {
			t.Errorf("version %d, %d bytes: accepted: %v; decoded: %v", tt.version, tt.size, accepted, decoded)
		}
	}
}
