package postgres_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"invoicer/internal/fault"
	"invoicer/invoice"
	"invoicer/invoice/ledger"
	"invoicer/invoice/outbox"
)

// listen adds an endpoint.
func (b *site) listen(t *testing.T, name string, issuers []string, types ...string) {
	t.Helper()
	if err := b.store.Outbox.Add(t.Context(), outbox.Endpoint{Name: name, URL: "https://receiver.example/", Types: types, Issuers: issuers, Secrets: []string{"whsec_x"}}, ledger.Actor{Name: "ada"}); err != nil {
		t.Fatal(err)
	}
}

// told is what an endpoint is to be told: type, transaction and job of each event.
func (b *site) told(t *testing.T, endpoint string) string {
	t.Helper()
	return b.Text(t, `SELECT coalesce(string_agg(concat_ws(' ', e.type, nullif(e.issuer, ''), e.transaction_id, e.job_id), ', ' ORDER BY e.id), '') FROM events e JOIN event_deliveries d ON d.event_id = e.id
JOIN event_endpoints p ON p.id = d.endpoint_id WHERE p.name = $1 AND d.state = 'pending' AND d.issuer = e.issuer AND d.transaction_id IS NOT DISTINCT FROM e.transaction_id`, endpoint)
}

func (b *site) recorded(t *testing.T, e ledger.End) {
	t.Helper()
	if err := b.store.Ledger.Record(t.Context(), e); err != nil {
		t.Fatal(err)
	}
}

func TestEventsOfEachEnd(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.create(t, "unheard", job(t, "T0"))
	b.listen(t, "all", nil, outbox.Types()...)
	b.listen(t, "failures", nil, outbox.JobFailed, outbox.JobConflict)
	made := b.create(t, "first", job(t, "T1"))
	b.create(t, "back", job(t, "T2", func(j *invoice.Job) {
		j.CreditsTransactionID = "T1"
		for i := range j.Lines {
			j.Lines[i].Quantity = decimal(t, "-1")
		}
	}))
	for range 2 { // what is recorded again is told once
		b.recorded(t, end("again", invoice.Duplicate, made))
		b.recorded(t, end("other", invoice.Conflict, nil))
		b.recorded(t, end("broken", invoice.Invalid, nil))
	}
	later := end("broken", invoice.Failed, nil)
	later.Attempts++
	b.recorded(t, later) // it has failed again
	if got, want := b.told(t, "all"), "invoice.created T1 first, credit_note.created T2 back, job.duplicate T1 again, job.conflict T1 other, job.failed T1 broken, job.failed T1 broken"; got != want {
		t.Errorf("told:\n%s, want\n%s", got, want)
	}
	if got, want := b.told(t, "failures"), "job.conflict T1 other, job.failed T1 broken, job.failed T1 broken"; got != want {
		t.Errorf("told:\n%s, want\n%s", got, want)
	}
	for query, want := range map[string]map[string]any{
		"type = 'invoice.created'": {
			"issuer": "", "transaction_id": "T1", "invoice_number": "INV-000002", "kind": "invoice", "series": "INV", "period": "", "number": 2.0, "job_id": "first", "currency": "GBP",
			"subtotal_minor": 2013.0, "tax_minor": 306.0, "total_minor": 2319.0, "payable_minor": 2319.0, "issued_at": "2010-12-01T08:26:00.000000Z",
		},
		"type = 'credit_note.created'":                      {"invoice_number": "INV-CN-000001", "credits_transaction_id": "T1", "kind": "credit_note"},
		"type = 'job.duplicate'":                            {"reason": "lost_race", "invoice_number": "INV-000002", "producer": "checkout", "job_id": "again"},
		"type = 'job.conflict'":                             {"outcome": "conflict", "reason": "currency: XYZ is not known", "producer": "checkout", "queue": "default", "attempts": 3.0},
		"job_id = 'broken' AND data->>'outcome' = 'failed'": {"attempts": 4.0},
	} {
		var got map[string]any
		if err := json.Unmarshal([]byte(b.Text(t, "SELECT data::text FROM events WHERE "+query)), &got); err != nil {
			t.Fatal(err)
		}
		for key, value := range want {
			if got[key] != value {
				t.Errorf("%s: %s is %v, want %v", query, key, got[key], value)
			}
		}
	}
	// Nobody's name is in it.
	if dump := b.Text(t, "SELECT string_agg(e::text, '') FROM events e"); strings.Contains(dump, "Ada") || strings.Contains(dump, "17850") || strings.Contains(dump, "T-LIGHT") {
		t.Errorf("personal data: %s", dump)
	}
}

// An event is there if and only if what it tells is.
func TestEventsGoWithTheirTransaction(t *testing.T) {
	t.Parallel()
	failing := true
	b := setup(t, planted(func(_ context.Context, p fault.Point) error {
		if p == fault.Written && failing {
			return fmt.Errorf("at %s", p)
		}
		return nil
	}))
	b.listen(t, "all", nil, outbox.Types()...)
	if result, err := b.generator.Generate(t.Context(), request("first", job(t, "T1"))); err == nil {
		t.Fatal(result.Outcome)
	}
	if n := b.Count(t, "SELECT (SELECT count(*) FROM events) + (SELECT count(*) FROM event_deliveries)"); n != 0 {
		t.Errorf("%d events of what was rolled back", n)
	}
	failing = false
	b.create(t, "first", job(t, "T1"))
	if got := b.told(t, "all"); got != "invoice.created T1 first" {
		t.Error(got)
	}
	if !b.Is(t, "SELECT e.xid::text = i.xmin::text FROM events e, invoices i") {
		t.Error("the event was written by another transaction")
	}
}

func TestEventsOfIssuers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.openIssuers(t, "ACME-DE", "ACME-FR")
	b.listen(t, "de", []string{"ACME-DE"}, outbox.Types()...)
	b.listen(t, "nobody", []string{""}, outbox.Types()...)
	for _, issuer := range []string{"", "ACME-DE", "ACME-FR"} {
		b.create(t, "job-"+issuer, job(t, "T1", func(j *invoice.Job) { j.Issuer = issuer }))
		e := end("bad-"+issuer, invoice.Invalid, nil)
		e.Issuer = issuer
		b.recorded(t, e)
	}
	if got, want := b.told(t, "de"), "invoice.created ACME-DE T1 job-ACME-DE, job.failed ACME-DE T1 bad-ACME-DE"; got != want {
		t.Errorf("told:\n%s, want\n%s", got, want)
	}
	if got, want := b.told(t, "nobody"), "invoice.created T1 job-, job.failed T1 bad-"; got != want {
		t.Errorf("told:\n%s, want\n%s", got, want)
	}
	if n := b.Count(t, "SELECT count(*) FROM events"); n != 4 {
		t.Errorf("%d events, and four are wanted", n)
	}
}

// Nobody who reads events on and on passes one whose transaction is committed late.
func TestNoEventIsPassedOver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Exec(t, "INSERT INTO event_recording VALUES ('job.failed')")
	tell := func(tx interface {
		ExecContext(context.Context, string, ...any) (sql.Result, error)
	}, job string,
	) {
		t.Helper()
		if _, err := tx.ExecContext(t.Context(), "SELECT "+b.Schema+".tell('job.failed', '', 'T1', '"+job+"', '{}')"); err != nil {
			t.Fatal(err)
		}
	}
	var seen []string
	var cursor outbox.Cursor
	read := func() {
		t.Helper()
		for {
			list, next, err := b.store.Outbox.Events(t.Context(), nil, cursor, nil, 2)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range list {
				seen = append(seen, e.JobID)
			}
			if cursor = next; len(list) == 0 {
				return
			}
			if text, err := list[len(list)-1].Cursor.String(), cursor.UnmarshalText([]byte(list[len(list)-1].Cursor.String())); err != nil || cursor != next {
				t.Fatal(text, err)
			}
		}
	}
	late, early := b.begin(t), b.begin(t)
	tell(late, "late 1")
	tell(early, "early")
	tell(late, "late 2")
	if err := early.Commit(); err != nil {
		t.Fatal(err)
	}
	read() // whichever it returns, none may be lost
	if err := late.Commit(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(time.Minute) // other tests' transactions of this server may be under way
	for len(seen) < 3 && time.Now().Before(deadline) {
		read()
	}
	if got := strings.Join(seen, ", "); got != "late 1, late 2, early" {
		t.Errorf("read: %s", got)
	}
	last, err := b.store.Outbox.LastEvent(t.Context())
	if err != nil || last != cursor {
		t.Errorf("the last is %v, %v, want %v", last, err, cursor)
	}
	for _, bad := range []string{"", "1", "1-", "-1", "1--1", "x-1", "99999999999999999999-1"} {
		if err := new(outbox.Cursor).UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q is a cursor", bad)
		}
	}
}

func TestPruneEvents(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.listen(t, "all", nil, outbox.Types()...)
	for n := range 7 {
		b.create(t, fmt.Sprint("job-", n), job(t, fmt.Sprint("T", n)))
	}
	b.Exec(t, "UPDATE events SET created_at = now() - interval '30 days' WHERE transaction_id <> 'T6'")
	b.Exec(t, "UPDATE event_deliveries SET state = 'delivered', ended_at = now() WHERE transaction_id <> 'T5'")
	prune := func(most int, dryRun bool) int {
		t.Helper()
		n, err := b.store.Outbox.Prune(t.Context(), 30*24*time.Hour, most, dryRun)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if would, first, second, third := prune(3, true), prune(3, false), prune(3, false), prune(3, false); would != 5 || first != 3 || second != 2 || third != 0 {
		t.Errorf("%d would go, and %d, %d, %d went", would, first, second, third)
	}
	if got := b.Text(t, "SELECT string_agg(e.transaction_id || ' ' || d.state, ', ' ORDER BY e.id) FROM events e JOIN event_deliveries d ON d.event_id = e.id"); got != "T5 pending, T6 delivered" {
		t.Errorf("left: %s", got)
	}
	if n := b.Count(t, "SELECT count(*) FROM event_deliveries"); n != 2 {
		t.Errorf("%d deliveries are left", n)
	}
	if err := b.store.Outbox.Change(t.Context(), "all", outbox.RemoveEndpoint, "", ledger.Actor{Name: "ada"}); err != nil {
		t.Fatal(err)
	}
	if n := prune(3, false); n != 1 {
		t.Errorf("%d went of an endpoint that was removed", n)
	}
}
