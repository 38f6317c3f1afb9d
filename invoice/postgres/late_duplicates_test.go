package postgres_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"invoicer/internal/fit"
	"invoicer/invoice"
)

// late records a duplicate that came some time after the invoice was made.
func (b *site) late(t *testing.T, jobID string, made *invoice.Ref, gap string, reason invoice.Reason) {
	t.Helper()
	e := end(jobID, invoice.Duplicate, made)
	e.Reason = reason
	if err := b.store.Ledger.Record(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	b.Exec(t, `UPDATE duplicate_attempts SET attempted_at = (SELECT created_at FROM invoices WHERE id = invoice_id) + $2::interval WHERE job_id = $1`,
		jobID, gap)
}

func (b *site) observed(t *testing.T, most int, times ...time.Duration) fit.Observed {
	t.Helper()
	o, err := b.store.Reports.Late(t.Context(), most, times)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestLateDuplicates(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if o := b.observed(t, 10, time.Hour, time.Minute); len(o.Gaps) != 0 || !slices.Equal(o.Entries, []int64{0, 0}) {
		t.Errorf("of nothing: %+v", o)
	}
	one, two := b.create(t, "one", job(t, "T1")), b.create(t, "two", job(t, "T2"))
	for _, d := range []struct {
		made   *invoice.Ref
		gap    string
		reason invoice.Reason
	}{
		{one, "2 hours", invoice.AlreadyInvoiced},
		{two, "1 second", invoice.LostRace},
		{two, "90 days", invoice.AlreadyInvoiced},
		{one, "1.5 seconds", invoice.AlreadyInvoiced},
		{two, "-1 second", invoice.AlreadyInvoiced}, // as after a clock was set back
		{one, "2 seconds", invoice.LostRace},
	} {
		b.late(t, fmt.Sprintf("%s after %s", d.gap, d.made.TransactionID), d.made, d.gap, d.reason)
	}
	o := b.observed(t, 10)
	if want := []time.Duration{0, 1500 * time.Millisecond, 2 * time.Hour, 90 * 24 * time.Hour}; !slices.Equal(o.Gaps, want) {
		t.Errorf("the gaps are %v, want %v", o.Gaps, want)
	}
	o = b.observed(t, 2)
	if want := []time.Duration{0, 1500 * time.Millisecond}; !slices.Equal(o.Gaps, want) {
		t.Errorf("the two newest gaps are %v, want %v", o.Gaps, want)
	}
}

func TestInvoicesMadeWithin(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const made = 20
	for i := range made {
		b.create(t, fmt.Sprint("j", i), job(t, fmt.Sprint("T", i)))
	}
	// The oldest is 20 hours and 30 minutes old, and each later one is younger by an hour.
	b.Exec(t, `ALTER TABLE invoices DISABLE TRIGGER invoices_immutable`)
	b.Exec(t, `UPDATE invoices SET created_at = now() - (21 - place) * interval '1 hour' - interval '30 minutes'
		FROM (SELECT id, row_number() OVER (ORDER BY id) AS place FROM invoices) AS places WHERE places.id = invoices.id`)
	times, want := []time.Duration{90 * 24 * time.Hour, time.Second}, []int64{made, 0}
	for n := range int64(made) {
		times, want = append(times, time.Duration(n+1)*time.Hour), append(want, n)
	}
	o := b.observed(t, 1, times...)
	if !slices.Equal(o.Entries, want) {
		t.Errorf("within %v: %v, want %v", times, o.Entries, want)
	}
	if o.EntryBytes < 350 || o.EntryBytes > 800 {
		t.Errorf("an entry needs %d bytes", o.EntryBytes)
	}
}
