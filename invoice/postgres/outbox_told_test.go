package postgres_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"invoicer/invoice"
	"invoicer/invoice/ledger"
	"invoicer/invoice/outbox"
)

// A list of what endpoints were told is read on from a place, keeps to issuers, and each field of a filter counts.
func TestTold(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.openIssuers(t, "ACME-DE")
	b.listen(t, "all", nil, outbox.Types()...)
	b.listen(t, "bills", nil, outbox.InvoiceCreated)
	for n := range 5 {
		b.create(t, fmt.Sprint("job-", n), job(t, fmt.Sprint("T", n)))
	}
	b.create(t, "job-de", job(t, "T-DE", func(j *invoice.Job) { j.Issuer = "ACME-DE" }))
	b.recorded(t, end("bad", invoice.Invalid, nil))
	b.Exec(t, "UPDATE event_deliveries d SET state = 'dead', ended_at = now() FROM events e WHERE e.id = d.event_id AND e.transaction_id = 'T0'")
	list := func(f outbox.ToldFilter) string {
		t.Helper()
		if f.Limit == 0 {
			f.Limit = 100
		}
		told, err := b.store.Outbox.Told(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		var jobs []string
		for _, one := range told {
			jobs = append(jobs, one.JobID+" "+one.Endpoint)
		}
		return strings.Join(jobs, ", ")
	}
	event, row := b.Text(t, "SELECT event_id FROM events WHERE job_id = 'job-3'"), int64(b.Count(t, "SELECT id FROM events WHERE job_id = 'job-3'"))
	for name, c := range map[string]struct {
		filter outbox.ToldFilter
		want   string
	}{
		"endpoint":    {outbox.ToldFilter{Endpoint: "bills", Limit: 2}, "job-de bills, job-4 bills"},
		"state":       {outbox.ToldFilter{State: outbox.Dead}, "job-0 bills, job-0 all"},
		"type":        {outbox.ToldFilter{Type: outbox.JobFailed}, "bad all"},
		"transaction": {outbox.ToldFilter{TransactionID: "T4"}, "job-4 bills, job-4 all"},
		"event":       {outbox.ToldFilter{EventID: strings.ToUpper(event)}, "job-3 bills, job-3 all"},
		"row":         {outbox.ToldFilter{Row: row}, "job-3 bills, job-3 all"},
		"issuers":     {outbox.ToldFilter{Issuers: []string{"ACME-DE"}}, "job-de bills, job-de all"},
		"none":        {outbox.ToldFilter{Issuers: []string{}}, ""},
		"since":       {outbox.ToldFilter{Since: time.Now().Add(time.Hour)}, ""},
		"two":         {outbox.ToldFilter{Endpoint: "all", Issuers: []string{"", "ACME-FR"}, State: outbox.Dead}, "job-0 all"},
	} {
		if got := list(c.filter); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	var all []string
	f := outbox.ToldFilter{Limit: 2}
	for {
		told, err := b.store.Outbox.Told(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		if len(told) == 0 {
			break
		}
		for _, one := range told {
			all = append(all, one.JobID+" "+one.Endpoint)
		}
		f.After = told[len(told)-1].Place
	}
	if got := strings.Join(all, ", "); got != list(outbox.ToldFilter{}) || len(all) != 13 {
		t.Errorf("in pages: %s", got)
	}
	n, err := b.store.Outbox.Replay(t.Context(), outbox.ToldFilter{State: outbox.Dead, Endpoint: "all", Issuers: []string{"ACME-DE"}}, false, ledger.Actor{Name: "ada"})
	if n != 0 || err != nil {
		t.Errorf("%d of another issuer are replayed, %v", n, err)
	}
	if n, err = b.store.Outbox.Replay(t.Context(), outbox.ToldFilter{Endpoint: "all", Row: row}, true, ledger.Actor{}); n != 1 || err != nil {
		t.Errorf("%d would be replayed, %v", n, err)
	}
}

// What an endpoint that takes nothing answered last is that to the delivery that was tried last.
func TestLastAnswers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, name := range []string{"fails", "takes", "new"} {
		b.listen(t, name, nil, map[string]string{"fails": outbox.InvoiceCreated, "takes": outbox.InvoiceCreated, "new": outbox.JobFailed}[name])
	}
	for n := range 3 {
		b.create(t, fmt.Sprint("job-", n), job(t, fmt.Sprint("T", n)))
	}
	ids := make(map[string]int64)
	endpoints, err := b.store.Outbox.Endpoints(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range endpoints {
		ids[e.Name] = e.ID
	}
	tell := func(name, state string, again time.Duration, status int, text string) {
		t.Helper()
		claimed, err := b.store.Outbox.Claim(t.Context(), ids[name], 1, time.Minute)
		if err != nil || len(claimed) != 1 {
			t.Fatal(claimed, err)
		}
		if _, _, err := b.store.Outbox.Settle(t.Context(), ids[name], []outbox.Attempt{{Row: claimed[0].Row, State: state, Again: again, Status: status, Error: text}}); err != nil {
			t.Fatal(err)
		}
	}
	tell("takes", outbox.Delivered, 0, 204, "")
	tell("fails", outbox.Delivered, 0, 200, "")
	tell("fails", outbox.Pending, time.Hour, 503, "it answered 503 Service Unavailable")
	answers, err := b.store.Outbox.LastAnswers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if a := answers[ids["takes"]]; a.Status != 204 || a.Error != "" || a.At == nil {
		t.Errorf("one that takes: %+v", a)
	}
	if a := answers[ids["fails"]]; a.Status != 503 || a.Error == "" {
		t.Errorf("one that fails: %+v", a)
	}
	if a, ok := answers[ids["new"]]; ok {
		t.Errorf("one that was told nothing: %+v", a)
	}
}

// Events are neglected if they are due for long, and nobody claims any: not those that wait for an earlier one of their transaction.
func TestNeglectedEvents(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.listen(t, "erp", nil, outbox.Types()...)
	b.create(t, "first", job(t, "T1"))
	b.recorded(t, end("bad", invoice.Invalid, nil)) // of the same transaction
	erp := int64(b.Count(t, "SELECT id FROM event_endpoints"))
	neglected := func() bool {
		t.Helper()
		since, err := b.store.Outbox.Neglected(t.Context(), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		at, ok := since[erp]
		if ok && time.Since(at) < time.Minute {
			t.Errorf("due since %s", at)
		}
		return ok
	}
	if neglected() {
		t.Error("what is due now is neglected")
	}
	b.Exec(t, "UPDATE event_deliveries SET due_at = now() - interval '2 minutes'")
	if !neglected() {
		t.Error("what is due for two minutes isn't neglected")
	}
	if claimed, err := b.store.Outbox.Claim(t.Context(), erp, 10, 30*time.Second); len(claimed) != 1 || err != nil {
		t.Fatal(claimed, err)
	}
	if neglected() {
		t.Error("it is neglected though somebody posts")
	}
	b.Exec(t, "UPDATE event_deliveries SET due_at = now() + interval '1 hour' WHERE event_id = (SELECT min(event_id) FROM event_deliveries)")
	if neglected() {
		t.Error("what waits for an earlier event is neglected")
	}
	b.Exec(t, "UPDATE event_deliveries SET due_at = now() - interval '2 minutes'")
	if err := b.store.Outbox.Change(t.Context(), "erp", outbox.DisableEndpoint, "", ledger.Actor{Name: "ada"}); err != nil {
		t.Fatal(err)
	}
	if neglected() {
		t.Error("what a disabled endpoint is to be told is neglected")
	}
}
