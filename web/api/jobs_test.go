package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"invoicer/internal/report"
	"invoicer/internal/rig"
	"invoicer/invoice"
	"invoicer/invoice/invoicetest"
	"invoicer/web/api"
)

func TestAPostedJobIsInTheLedger(t *testing.T) {
	t.Parallel()
	var told []string
	s := setup(t, func(o *api.Options) { o.Accepted = func(ids ...string) { told = append(told, ids...) } })
	const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	r := s.post(t, "checkout", jobOf("T1"), "Traceparent", trace)
	posted := into[api.JobAnswer](t, r, http.StatusAccepted)
	if posted.Status != "inserted" || posted.Queue != s.Queue || r.Header.Get("Location") != "/v1/jobs/"+posted.JobID {
		t.Errorf("%s", r)
	}
	if !slices.Equal(told, []string{posted.JobID}) {
		t.Errorf("the dispatcher is told of %v", told)
	}
	if got := s.Text(t, "SELECT concat_ws(' ', job_id, transaction_id, idempotency_key, producer, queue, state) FROM invoice_jobs"); got != posted.JobID+" T1 T1 checkout "+s.Queue+" accepted" {
		t.Errorf("the ledger has %s", got)
	}
	if got := s.Text(t, "SELECT coalesce(traceparent, '') FROM invoice_jobs"); got != trace {
		t.Errorf("its trace is %q", got)
	}
	again := into[api.JobAnswer](t, s.post(t, "nightly", jobOf("T1"), "Traceparent", "none"), http.StatusAccepted)
	if again.Status != "known" || again.KnownJobID != posted.JobID || again.JobID == posted.JobID {
		t.Errorf("while the first is under way: %+v", again)
	}
	s.work(t, posted.JobID)
	third := into[api.JobAnswer](t, s.post(t, "all", jobOf("T1")), http.StatusAccepted)
	if third.Status != "duplicate" || third.InvoiceNumber != "INV-000001" {
		t.Errorf("once it is invoiced: %+v", third)
	}
	state := into[report.JobState](t, s.ask(t, "checkout", http.MethodGet, "/v1/jobs/"+posted.JobID, nil), http.StatusOK)
	if state.State != "done" || state.Document == nil || state.Document.InvoiceNumber != "INV-000001" || *state.InvoiceNumber != "INV-000001" {
		t.Errorf("the job is %+v", state)
	}
	if r := s.ask(t, "checkout", http.MethodGet, "/v1/jobs/"+third.JobID, nil); r.StatusCode != http.StatusNotFound {
		t.Errorf("another producer's job: %s", r)
	}
}

// Every payload that is bad by itself is refused in the words of the decoder, with the places of all that is wrong, and leaves nothing.
func TestBadJobsAreRefusedInTheDecodersWords(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for _, bad := range invoicetest.Bad() {
		_, err := invoice.Decode(bad.Payload)
		r := s.post(t, "nightly", bad.Payload)
		switch {
		case len(bad.Payload) == 0:
			into[api.ProblemError](t, r, http.StatusBadRequest)
			continue
		case len(bad.Payload) > invoice.MaxPayload:
			into[api.ProblemError](t, r, http.StatusRequestEntityTooLarge)
			continue
		}
		p := into[api.ProblemError](t, r, http.StatusUnprocessableEntity)
		var got []string
		for _, f := range p.Errors {
			got = append(got, f.Field+" "+f.Detail)
		}
		var want []string
		if invalid, ok := err.(*invoice.InvalidError); ok { //nolint:errorlint // Decode doesn't wrap it
			for _, p := range invalid.Problems {
				want = append(want, p.Field+" "+p.Message)
			}
		} else {
			continue // of a newer version
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", bad.Name, got, want)
		}
	}
	deep := append([]byte(strings.Repeat(`{"metadata":`, 100_000)), '1')
	into[api.ProblemError](t, s.post(t, "nightly", deep), http.StatusUnprocessableEntity)
	into[api.ProblemError](t, s.ask(t, "nightly", http.MethodPost, "/v1/jobs/batch", append([]byte("["), deep...)), http.StatusUnprocessableEntity)
	s.ledgerHas(t, 0)
}

func TestFaultsHavePointers(t *testing.T) {
	t.Parallel()
	s := setup(t)
	p := into[api.ProblemError](t, s.post(t, "nightly", []byte(`{"version":2,"transaction_id":"","currency":"XYZ","issued_at":"2010-12-01T08:26:00Z","a/b~c.d":1,
		"lines":[{"quantity":"x","unit_price":1},{"quantity":1,"unit_price":1,"taxes":[{"percent":"101"}]}],"metadata":{"a.b":1},"buyer":{"street":1}}`)), http.StatusUnprocessableEntity)
	got := make(map[string]string)
	for _, f := range p.Errors {
		got[f.Field] = f.Pointer
	}
	for field, want := range map[string]string{
		"transaction_id": "/transaction_id", "currency": "/currency", "lines[0].quantity": "/lines/0/quantity", "lines[1].taxes[0].percent": "/lines/1/taxes/0/percent",
		`metadata."a.b"`: "/metadata/a.b", `"a/b~c.d"`: "/a~1b~0c.d", "buyer.street": "/buyer/street",
	} {
		if got[field] != want {
			t.Errorf("%s: %q, want %q", field, got[field], want)
		}
	}
	if len(p.Errors) != len(got) {
		t.Errorf("%d errors about %d fields", len(p.Errors), len(got))
	}
}

func TestOneKeyMakesOneJob(t *testing.T) {
	t.Parallel()
	s := setup(t)
	key := []string{"Idempotency-Key", `"8e03978e-40d5"`}
	first := s.post(t, "checkout", jobOf("T1"), key...)
	posted := into[api.JobAnswer](t, first, http.StatusAccepted)
	s.work(t, posted.JobID) // the answer stays the same
	for name, again := range map[string]reply{
		"again":              s.post(t, "checkout", jobOf("T1"), key...),
		"in another form":    s.post(t, "checkout", []byte(" "+string(jobOf("T1", `"producer":null`))), key...),
		"without the quotes": s.post(t, "checkout", jobOf("T1"), "Idempotency-Key", "8e03978e-40d5"),
	} {
		if into[api.JobAnswer](t, again, http.StatusAccepted) != posted || again.Header.Get("Idempotency-Replayed") != "true" || string(again.body) != string(first.body) ||
			again.Header.Get("Location") != first.Header.Get("Location") {
			t.Errorf("%s: %s", name, again)
		}
	}
	s.ledgerHas(t, 1)
	for name, other := range map[string]reply{
		"other content": s.post(t, "checkout", jobOf("T2"), key...),
		"another queue": func() reply {
			s.KnowQueue(t, "other_"+s.Queue)
			return s.ask(t, "checkout", http.MethodPost, "/v1/jobs?queue=other_"+s.Queue, jobOf("T1"), key...)
		}(),
	} {
		p := into[api.ProblemError](t, other, http.StatusUnprocessableEntity)
		if len(p.Errors) != 1 || p.Errors[0].Header != "Idempotency-Key" {
			t.Errorf("%s: %s", name, other)
		}
	}
	s.ledgerHas(t, 1)
	of := into[api.JobAnswer](t, s.post(t, "nightly", jobOf("T2"), key...), http.StatusAccepted)
	if of.JobID == posted.JobID {
		t.Error("another token has the same keys")
	}
	into[api.ProblemError](t, s.post(t, "nightly", jobOf("T2"), "Idempotency-Key", strings.Repeat("k", 256)), http.StatusUnprocessableEntity)
	into[api.ProblemError](t, s.post(t, "nightly", jobOf("T2"), "Idempotency-Key", `"open`), http.StatusUnprocessableEntity)
	s.ledgerHas(t, 2)
	if s.Is(t, "SELECT string_agg(r::text, ' ') ~ '85123A|HOLDER|8e03978e|T1' FROM api_requests r") {
		t.Error("the key or the content is kept")
	}
}

// A request that is refused binds no key.
func TestARefusedRequestBindsNoKey(t *testing.T) {
	t.Parallel()
	s := setup(t)
	into[api.ProblemError](t, s.post(t, "nightly", jobOf("T1", `"issuer":"NOBODY"`), "Idempotency-Key", "k"), http.StatusUnprocessableEntity)
	into[api.ProblemError](t, s.ask(t, "nightly", http.MethodPost, "/v1/jobs?queue=unheard_of", jobOf("T1"), "Idempotency-Key", "k"), http.StatusUnprocessableEntity)
	if n := s.Count(t, "SELECT count(*) FROM api_requests"); n != 0 {
		t.Errorf("%d keys are bound", n)
	}
	into[api.JobAnswer](t, s.post(t, "nightly", jobOf("T1"), "Idempotency-Key", "k"), http.StatusAccepted)
}

func TestRequestsWithOneKeyAtOnce(t *testing.T) {
	t.Parallel()
	s := setup(t)
	replies := make([]reply, 20)
	var clients sync.WaitGroup
	for i := range replies {
		clients.Go(func() { replies[i] = s.post(t, "nightly", jobOf("T1"), "Idempotency-Key", "k") })
	}
	clients.Wait()
	for _, r := range replies {
		if string(r.body) != string(replies[0].body) || r.StatusCode != http.StatusAccepted {
			t.Errorf("%s\n%s", replies[0], r)
		}
	}
	s.ledgerHas(t, 1)

	// While the first one isn't committed, others wait for a bounded time.
	tx, err := s.DB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() //nolint:errcheck // it was rolled back
	if _, err := tx.ExecContext(t.Context(), `INSERT INTO api_requests (token, key, content, job_id, queue, status) VALUES ('nightly', sha256('slow'), sha256('?'), 'j', 'q', 'inserted')`); err != nil {
		t.Fatal(err)
	}
	r := s.post(t, "nightly", jobOf("T2"), "Idempotency-Key", "slow")
	if into[api.ProblemError](t, r, http.StatusConflict); r.Header.Get("Retry-After") == "" {
		t.Errorf("%s", r)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	into[api.JobAnswer](t, s.post(t, "nightly", jobOf("T2"), "Idempotency-Key", "slow"), http.StatusAccepted)
	s.ledgerHas(t, 2)
}

func TestWaitingForAnInvoice(t *testing.T) {
	t.Parallel()
	s := setup(t)
	next := func(transaction string) string {
		var id string
		rig.Eventually(t, "a job of "+transaction, func() bool {
			return s.Count(t, "SELECT count(*) FROM invoice_jobs WHERE transaction_id = $1 AND state = 'accepted'", transaction) == 1
		})
		id = s.Text(t, "SELECT job_id FROM invoice_jobs WHERE transaction_id = $1 AND state = 'accepted'", transaction)
		return id
	}
	wait := func(token, transaction string, do func(jobID string), members ...string) reply {
		t.Helper()
		var worker sync.WaitGroup
		worker.Go(func() { do(next(transaction)) })
		defer worker.Wait()
		return s.post(t, token, jobOf(transaction, members...), "Prefer", "respond-async, wait=20", "Idempotency-Key", transaction+strings.Join(members, ""))
	}
	r := wait("checkout", "T1", func(id string) { s.work(t, id) })
	made := into[api.JobAnswer](t, r, http.StatusCreated)
	if made.Outcome != "created" || made.InvoiceNumber != "INV-000001" || made.Invoice == nil || made.Invoice.TotalMinor != 1836 || r.Header.Get("Preference-Applied") != "wait=20" {
		t.Errorf("%s", r)
	}
	same := into[api.JobAnswer](t, s.post(t, "checkout", jobOf("T1"), "Prefer", "wait=20", "Idempotency-Key", "T1"), http.StatusCreated)
	if same.InvoiceNumber != made.InvoiceNumber || same.JobID != made.JobID {
		t.Errorf("the same again: %+v", same)
	}
	failed := into[api.JobAnswer](t, wait("checkout", "T2", func(id string) { s.fail(t, id) }), http.StatusAccepted)
	if failed.State != "failed" || failed.Reason != "the printer is on fire" || failed.Invoice != nil {
		t.Errorf("%+v", failed)
	}
	begun := time.Now()
	r = s.post(t, "checkout", jobOf("T3"), "Prefer", "wait=1")
	late := into[api.JobAnswer](t, r, http.StatusAccepted)
	if took := time.Since(begun); late.State != "" || took < time.Second || took > 20*time.Second || r.Header.Get("Retry-After") == "" || r.Header.Get("Preference-Applied") != "wait=1" {
		t.Errorf("after %v: %s", took, r)
	}
	into[api.ProblemError](t, s.post(t, "checkout", jobOf("T4"), "Prefer", "wait=soon"), http.StatusUnprocessableEntity)
}

// A client may wait for longer than others may take to send a request, or to read its answer.
func TestWaitingForLong(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	s := setup(t)
	for _, seconds := range []time.Duration{12, 60} { // the most is 30
		t.Run(fmt.Sprint(int(seconds)), func(t *testing.T) {
			t.Parallel()
			begun := time.Now()
			r := s.post(t, "checkout", jobOf(fmt.Sprint("T", int(seconds))), "Prefer", fmt.Sprintf("wait=%d", seconds))
			into[api.JobAnswer](t, r, http.StatusAccepted)
			want := min(seconds, 30) * time.Second
			if took := time.Since(begun); took < want || took > want+5*time.Second || r.Header.Get("Preference-Applied") != fmt.Sprintf("wait=%d", min(seconds, 30)) {
				t.Errorf("after %v: %s", took, r)
			}
		})
	}
}

// A process that stops lets nobody wait.
func TestTheProcessStopsWhileSomebodyWaits(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	asked := make(chan struct{}, 1000)
	w := api.NewWaiters(func(context.Context, []string) (map[string]*report.JobState, error) {
		asked <- struct{}{}
		return nil, nil
	})
	var run sync.WaitGroup
	run.Go(func() { w.Run(ctx) })
	ended := make(chan *report.JobState)
	go func() { ended <- w.Await(t.Context(), "j") }()
	<-asked
	cancel()
	if end := <-ended; end != nil {
		t.Errorf("%+v", end)
	}
	run.Wait()
	if end := w.Await(t.Context(), "j"); end != nil {
		t.Errorf("afterwards %+v", end)
	}
}

func TestATokenBindsProducerAndIssuers(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.OpenIssuers(t, "ACME-FR", "ACME-DE")
	p := into[api.ProblemError](t, s.post(t, "checkout", jobOf("T1", `"producer":"nightly"`)), http.StatusForbidden)
	if len(p.Errors) != 1 || p.Errors[0].Pointer != "/producer" {
		t.Errorf("%+v", p)
	}
	for _, issuer := range []string{`"issuer":"ACME-DE"`, `"issuer":null`} {
		p := into[api.ProblemError](t, s.post(t, "paris", jobOf("T1", issuer)), http.StatusForbidden)
		if len(p.Errors) != 1 || p.Errors[0].Pointer != "/issuer" {
			t.Errorf("%+v", p)
		}
	}
	s.ledgerHas(t, 0)
	posted := into[api.JobAnswer](t, s.post(t, "paris", jobOf("T1", `"issuer":"ACME-FR"`)), http.StatusAccepted)
	s.work(t, posted.JobID)
	other := into[api.JobAnswer](t, s.post(t, "nightly", jobOf("T1", `"issuer":"ACME-DE"`)), http.StatusAccepted)
	s.work(t, other.JobID)
	if r := s.ask(t, "paris", http.MethodGet, "/v1/jobs/"+other.JobID, nil); r.StatusCode != http.StatusNotFound {
		t.Errorf("a job of another issuer: %s", r)
	}
	for path, number := range map[string]string{"/v1/transactions/T1": "", "/v1/invoices/INV-000001": "INV-000001"} {
		p := into[api.ProblemError](t, s.ask(t, "reader", http.MethodGet, path, nil), http.StatusConflict)
		if !slices.Equal(p.Issuers, []string{"ACME-DE", "ACME-FR"}) {
			t.Errorf("%s: %+v", path, p)
		}
		for _, r := range []reply{s.ask(t, "reader", http.MethodGet, path+"?issuer=ACME-FR", nil), s.ask(t, "paris", http.MethodGet, path, nil)} {
			var of struct {
				Issuer        string
				InvoiceNumber string `json:"invoice_number"`
			}
			if err := json.Unmarshal(r.body, &of); err != nil || of.Issuer != "ACME-FR" || of.InvoiceNumber != number {
				t.Errorf("%s: %s", path, r)
			}
		}
		into[api.ProblemError](t, s.ask(t, "paris", http.MethodGet, path+"?issuer=ACME-DE", nil), http.StatusForbidden)
		into[api.ProblemError](t, s.ask(t, "reader", http.MethodGet, path+"?issuer=none", nil), http.StatusNotFound)
	}
	list := into[report.Page[report.ListedJob]](t, s.ask(t, "paris", http.MethodGet, "/v1/jobs", nil), http.StatusOK)
	if len(list.Rows) != 1 || list.Rows[0].JobID != posted.JobID {
		t.Errorf("%+v", list)
	}
}
