package postgres_test

import (
	"strings"
	"testing"
	"time"

	"invoicer/invoice"
	"invoicer/invoice/postgres"
)

// A repeat that differs in nothing that matters is a duplicate where the setting says so, and what differs is on record.
func TestRepeatsThatDifferInNothingThatMatters(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.create(t, "first", job(t, "T1"))
	later := func(j *invoice.Job) { j.IssuedAt = j.IssuedAt.Add(time.Hour) }
	renamed := func(j *invoice.Job) { j.CustomerName = "Ada L." }
	described := func(j *invoice.Job) { j.Lines[0].Description = "HOLDER" }
	dearer := func(j *invoice.Job) { j.Lines[0].UnitPrice = decimal(t, "2.56") }
	keyed := func(j *invoice.Job) { j.IdempotencyKey = "another" }
	ask := func(want invoice.Outcome, detail string, change ...func(*invoice.Job)) invoice.Result {
		t.Helper()
		r, err := b.generator.Generate(t.Context(), request("again", job(t, "T1", change...)))
		if err != nil || r.Outcome != want || !strings.Contains(r.Detail, detail) {
			t.Errorf("%s %q, %v; want %s, %q", r.Outcome, r.Detail, err, want, detail)
		}
		return r
	}
	ask(invoice.Conflict, "with another issued_at, and else the same content: the producer probably sends the time of asking", later)
	ask(invoice.Conflict, "with other content: customer_name, lines[0].description (presentation); the invoice stays", renamed, described)
	ask(invoice.Conflict, "with other content: lines[0].unit_price (material); ", dearer)

	ignore := func(issuedAt, presentation bool) {
		t.Helper()
		_, err := b.store.Settings.Change(t.Context(), &postgres.SettingsChange{What: "set", By: "ada", To: func(s invoice.Settings) (invoice.Settings, error) {
			s.IgnoreIssuedAt, s.IgnorePresentation = issuedAt, presentation
			return s, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	ignore(true, false)
	ask(invoice.Duplicate, "", later)
	ask(invoice.Conflict, "(presentation)", renamed)
	ask(invoice.Conflict, "issued_at (material)", renamed, later)
	ask(invoice.Conflict, "time of asking", later, keyed)
	ignore(true, true)
	r := ask(invoice.Duplicate, "", later, renamed, described)
	ask(invoice.Conflict, "(material)", later, renamed, dearer)

	// A job is no duplicate of itself, and what differs in nothing that is named isn't ignored.
	if own, err := b.generator.Generate(t.Context(), request("first", job(t, "T1", later))); err != nil || own.Outcome != invoice.Conflict {
		t.Errorf("%s, %v; want a conflict", own.Outcome, err)
	}
	unnamed := request("unnamed", job(t, "T1"))
	unnamed.Fingerprint = "v2:" + strings.Repeat("0", 64)
	if other, err := b.generator.Generate(t.Context(), unnamed); err != nil || other.Outcome != invoice.Conflict || !strings.Contains(other.Detail, "(material)") {
		t.Errorf("%s %q, %v; want a material conflict", other.Outcome, other.Detail, err)
	}

	e := end("again", invoice.Duplicate, r.Invoice)
	e.TransactionID, e.Differs = "T1", r.Differs
	if err := b.store.Ledger.Record(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	found, err := b.store.Reports.Lookup(t.Context(), "", "T1", 10)
	if err != nil || len(found.DuplicateAttempts) != 1 || strings.Join(found.DuplicateAttempts[0].Differs, " ") != "customer_name issued_at lines[0].description" {
		t.Errorf("%+v, %v", found.DuplicateAttempts, err)
	}
	e = end("plain", invoice.Duplicate, r.Invoice)
	e.TransactionID = "T1"
	if err := b.store.Ledger.Record(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if n := b.Count(t, "SELECT count(*) FROM duplicate_attempts WHERE differs IS NULL"); n != 1 {
		t.Errorf("%d duplicates differ in nothing, want 1", n)
	}
}
