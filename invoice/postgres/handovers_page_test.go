package postgres_test

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"invoicer/internal/report"
	"invoicer/invoice/handover"
)

// paged reads pages on until one is empty, and returns the transactions of their hand-overs with the cursor after them.
func (b *site) paged(t *testing.T, f handover.Filter, after string) (transactions, next string) {
	t.Helper()
	var all []string
	for {
		page, err := b.store.Handovers.Page(t.Context(), f, after)
		if err != nil {
			t.Fatal(err)
		}
		for i := range page.Rows {
			all = append(all, page.Rows[i].Transaction)
		}
		if page.Next == "" || after == page.Next && len(page.Rows) == 0 {
			return strings.Join(all, " "), page.Next
		}
		after = page.Next
	}
}

func TestPagesOfHandovers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if err := b.store.Handovers.Configure(t.Context(), []handover.Rule{{Name: authority, Kind: "https"}, {Name: "archive", Kind: "program"}}); err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		b.invoiced(t, fmt.Sprintf("T%d", n+1))
	}
	c, _ := b.claim(t)
	b.came(t, c, handover.Result{State: handover.Rejected, TheirID: "GW-1"})
	for name, test := range map[string]struct {
		filter         handover.Filter
		newest, oldest string
	}{
		"all":      {handover.Filter{}, "T3 T3 T2 T2 T1 T1", "T1 T1 T2 T2 T3 T3"},
		"channel":  {handover.Filter{Channel: "archive"}, "T3 T2 T1", "T1 T2 T3"},
		"rejected": {handover.Filter{State: handover.Rejected}, "T1", "T1"},
		"sent":     {handover.Filter{State: handover.Sent}, "", ""},
		"both":     {handover.Filter{State: handover.Queued, Channel: authority}, "T3 T2", "T2 T3"},
		"number":   {handover.Filter{Number: "INV-000002", State: handover.Queued, Channel: authority, Issuers: []string{""}}, "T2", "T2"},
		"theirs":   {handover.Filter{TheirID: "GW-1"}, "T1", "T1"},
		"issuer":   {handover.Filter{Issuers: []string{"ACME"}}, "", ""},
		"since":    {handover.Filter{Since: time.Now().Add(time.Hour)}, "", ""},
	} {
		for _, limit := range []int{1, 2, 3, 100} {
			f := test.filter
			f.Limit = limit
			if got, next := b.paged(t, f, ""); got != test.newest || next != "" {
				t.Errorf("%s, %d a page: %s and %q, want %s", name, limit, got, next, test.newest)
			}
			f.Oldest = true
			if got, next := b.paged(t, f, ""); got != test.oldest || next == "" {
				t.Errorf("%s, the oldest first, %d a page: %s and %q, want %s", name, limit, got, next, test.oldest)
			}
		}
	}
	for cursor, oldest := range map[string]bool{
		"x": false, "1": false, "o1_1": false, "-1.1": false, "~": false, "~1.1": false, "1.1~-": false, "x~1.1": false, "1.1~x": false, "-2-1": false, "1.1.2-1": false, "1.1.1-2_3-4": false,
		"1.1": true, "o": true, "o1.1": true, "o1_-1": true, "1_1": true,
	} {
		if _, err := b.store.Handovers.Page(t.Context(), handover.Filter{Oldest: oldest, Limit: 1}, cursor); !errors.Is(err, report.ErrCursor) {
			t.Errorf("cursor %q: %v", cursor, err)
		}
	}
}

// What is owed to an invoice that is committed behind later ones isn't passed over: what was before it is read, and the rest waits.
func TestAPageWaitsForWhoWritesAnInvoice(t *testing.T) {
	t.Parallel()
	b := channelled(t)
	b.invoiced(t, "before")
	if err := b.store.Reports.MarkLists(t.Context()); err != nil { // as a process does now and then
		t.Fatal(err)
	}
	tx := b.hold(t, "LOCK TABLE invoices IN ROW EXCLUSIVE MODE", "SELECT nextval('invoices_id_seq')") // as who writes one
	b.invoiced(t, "after")
	oldest := handover.Filter{Oldest: true, Limit: 1}
	got, next := b.paged(t, oldest, "")
	if got != "before" {
		t.Errorf("while it is open: %s", got)
	}
	if newest, _ := b.paged(t, handover.Filter{Limit: 1}, ""); newest != "after before" {
		t.Errorf("newest first: %s", newest)
	}
	if got, next = b.paged(t, oldest, next); got != "" {
		t.Errorf("while it is still open: %s", got)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if got, _ = b.paged(t, oldest, next); got != "after" {
		t.Errorf("once it is committed: %s", got)
	}
}

// writesLate begins a transaction that writes an invoice of a series of its own, as somebody does whom others overtake.
func (b *site) writesLate(t *testing.T, series string) *sql.Tx {
	t.Helper()
	return b.hold(t, "INSERT INTO invoice_series (series, period, kind) VALUES ('"+series+"', '', 'invoice')",
		`INSERT INTO invoices (series, period, number, invoice_number, kind, transaction_id, idempotency_key, job_id, fingerprint, currency, subtotal_minor, tax_minor, total_minor, issued_at)
VALUES ('`+series+`', '', 1, '`+series+`-1', 'invoice', '`+series+`', '`+series+`', '`+series+`', 'v1:' || repeat('0', 64), 'EUR', 100, 0, 100, now())`,
		"UPDATE invoice_series SET last_number = 1 WHERE series = '"+series+"'")
}

// What is owed to an invoice that is committed while pages are read comes on a later page, wherever it would have been.
func TestPagesOfHandoversWaitForWhatIsWritten(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{1, 2, 3, 4, 10} {
		b := setup(t)
		if err := b.store.Handovers.Configure(t.Context(), []handover.Rule{{Name: authority, Kind: "https"}, {Name: "archive", Kind: "program"}}); err != nil {
			t.Fatal(err)
		}
		b.invoiced(t, "a")
		first := b.writesLate(t, "B")
		b.invoiced(t, "c")
		second := b.writesLate(t, "D")
		b.invoiced(t, "e")
		f := handover.Filter{Limit: limit}
		next, seen := "", map[string]int{}
		var all []string
		read := func() {
			t.Helper()
			page, err := b.store.Handovers.Page(t.Context(), f, next)
			if err != nil || len(page.Rows) > limit {
				t.Fatalf("%d rows, %v", len(page.Rows), err)
			}
			for i := range page.Rows {
				h := &page.Rows[i]
				seen[fmt.Sprint(h.ID)]++
				if all = append(all, h.Transaction); len(all) > 1 && all[len(all)-2] == h.Transaction {
					all = all[:len(all)-1]
				}
			}
			next = page.Next
		}
		for range 6 { // all that is there
			if read(); len(seen) == 6 {
				break
			}
		}
		if got := strings.Join(all, " "); got != "e c a" || next == "" {
			t.Errorf("%d a page, before: %s, %q", limit, got, next)
		}
		for _, tx := range []*sql.Tx{first, second} {
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
		}
		b.invoiced(t, "f") // which begins a list, and isn't of this one
		for pages := 0; next != "" && pages < 10; pages++ {
			read()
		}
		if got := strings.Join(all, " "); got != "e c a D B" || next != "" || len(seen) != 10 {
			t.Errorf("%d a page: %s, %q, %v", limit, got, next, seen)
		}
		for id, n := range seen {
			if n != 1 {
				t.Errorf("%d a page: %s came %d times", limit, id, n)
			}
		}
	}
}
