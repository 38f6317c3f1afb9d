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
