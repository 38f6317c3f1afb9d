package postgres_test

import (
	"fmt"
	"strings"
	"testing"

	"invoicer/internal/report"
	"invoicer/invoice"
)

// A story shows a family both ways, with what is left.
func TestFamilyOfADocument(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.create(t, "sale", job(t, "ord-1", amounts(t, "100", "20")))
	b.create(t, "part", job(t, "ref-1", credits("ord-1"), amounts(t, "-60", "20")))
	b.create(t, "storno", job(t, "storno", credits("ref-1"), amounts(t, "60", "20")))
	b.create(t, "part 2", job(t, "ref-2", credits("ord-1"), amounts(t, "-10", "20")))
	for id, want := range map[string]string{
		"ord-1":  "up  down INV-CN-000001 1 -7200, INV-000002 2 7200, INV-CN-000002 1 -1200 left 10800",
		"ref-1":  "up INV-000001 1 12000 down INV-000002 1 7200 left 0",
		"storno": "up INV-CN-000001 1 -7200, INV-000001 2 12000 down  left -",
		"ref-2":  "up INV-000001 1 12000 down  left -",
	} {
		r, err := b.store.Reports.Lookup(t.Context(), "", id, 10)
		if err != nil {
			t.Fatal(err)
		}
		say := func(list []report.Relative) string {
			var said []string
			for _, d := range list {
				said = append(said, fmt.Sprint(d.InvoiceNumber, " ", d.Depth, " ", *d.TotalMinor))
			}
			return strings.Join(said, ", ")
		}
		left := "-"
		if r.Family.LeftMinor != nil {
			left = fmt.Sprint(*r.Family.LeftMinor)
		}
		if got := fmt.Sprintf("up %s down %s left %s", say(r.Family.Credits), say(r.Family.CreditedBy), left); got != want {
			t.Errorf("%s: %s, want %s", id, got, want)
		}
	}
	known := imported("old-1", "OLD-1")
	known.Currency, known.Total, known.CreditedTotal = "GBP", new(int64(12000)), new(int64(2000))
	if _, err := b.store.Imports.Add(t.Context(), []invoice.Import{known}, false); err != nil {
		t.Fatal(err)
	}
	b.create(t, "of an import", job(t, "ref-3", credits("old-1"), amounts(t, "-30", "")))
	r, err := b.store.Reports.Lookup(t.Context(), "", "old-1", 10)
	if err != nil || r.Family.LeftMinor == nil || *r.Family.LeftMinor != 7000 {
		t.Errorf("%+v, %v; want 70.00 left", r.Family, err)
	}
	if r, err = b.store.Reports.Lookup(t.Context(), "", "ref-3", 10); err != nil || len(r.Family.Credits) != 1 || r.Family.Credits[0].Kind != "" {
		t.Errorf("%+v, %v; want an import", r.Family, err)
	}
}

// A corrected invoice, and the one that it stands in for, know each other.
func TestReplacedDocuments(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const line = `"lines":[{"quantity":1,"unit_price":"100"}]`
	b.create(t, "wrong", termsJob(t, "ord-9", line))
	b.create(t, "storno", job(t, "ord-9-storno", credits("ord-9"), func(j *invoice.Job) { j.Currency = "EUR" }, amounts(t, "-100", "")))
	b.create(t, "right", termsJob(t, "ord-9:2", `"replaces_transaction_id":"ord-9","prepaid":"10.00",`+line))
	for id, want := range map[string]string{"ord-9": " INV-000002 true", "ord-9:2": "INV-000001  false"} {
		r, err := b.store.Reports.Lookup(t.Context(), "", id, 10)
		if err != nil {
			t.Fatal(err)
		}
		say := func(list []report.Relative) (said string) {
			for _, d := range list {
				said += d.InvoiceNumber
			}
			return said
		}
		if got := fmt.Sprint(say(r.Family.Replaces), " ", say(r.Family.ReplacedBy), " ", r.Invoice.PayableMinor == r.Invoice.TotalMinor); got != want {
			t.Errorf("%s: %s, want %s", id, got, want)
		}
	}
	old := imported("old-1", "OLD-1")
	if _, err := b.store.Imports.Add(t.Context(), []invoice.Import{old}, false); err != nil {
		t.Fatal(err)
	}
	b.create(t, "anew", termsJob(t, "new-1", `"replaces_transaction_id":"old-1",`+line))
	if r, err := b.store.Reports.Lookup(t.Context(), "", "old-1", 10); err != nil || len(r.Family.ReplacedBy) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := b.store.Reports.Lookup(t.Context(), "", "new-1", 10); err != nil || len(r.Family.Replaces) != 1 || r.Family.Replaces[0].InvoiceNumber != "OLD-1" {
		t.Errorf("%+v, %v", r, err)
	}
}
