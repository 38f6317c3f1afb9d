package client_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"invoicer/internal/rig"
	"invoicer/invoice"
	"invoicer/worker/client"
)

func ofTransaction(id string) *invoice.Job {
	j := job()
	j.TransactionID = id
	return j
}

// The way of a job by HTTP: it is accepted, looked up, waited for, and found again.
func TestHTTP(t *testing.T) {
	t.Parallel()
	s := serve(t, rig.New(t))
	h := s.over(t, s.address, "all", func(o *client.HTTPOptions) { o.Producer = "checkout" })
	job := job()
	job.IssuedAt = job.IssuedAt.Add(time.Nanosecond) // as of a clock
	receipt, err := h.Accept(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	if want := (client.Receipt{JobID: receipt.JobID, Queue: s.Queue, Status: client.Inserted}); receipt != want {
		t.Errorf("receipt %+v, want %+v", receipt, want)
	}
	if got := s.Text(t, "SELECT concat_ws(' ', transaction_id, producer, queue) FROM invoice_jobs"); got != "T1 checkout "+s.Queue {
		t.Errorf("accepted as %s", got)
	}
	if j, err := h.LookupJob(t.Context(), receipt.JobID); err != nil || j.State != client.Accepted || j.End != nil || j.TransactionID != "T1" || j.Queue != s.Queue {
		t.Errorf("job %+v, error %v", j, err)
	}
	again, err := h.Accept(t.Context(), job)
	if err != nil || again.JobID == receipt.JobID || again.Status != client.Inserted || again.KnownJobID != receipt.JobID {
		t.Errorf("receipt %+v, error %v", again, err)
	}
	if stands, err := h.Lookup(t.Context(), "T1"); err != nil || stands.State != client.Accepted || stands.Waiting != 2 {
		t.Errorf("it stands %+v, error %v", stands, err)
	}
	s.work(t, receipt.JobID)
	s.Exec(t, "UPDATE invoice_jobs SET state = 'done', outcome = 'duplicate', reason = 'already_invoiced', invoice_id = (SELECT id FROM invoices) WHERE job_id = $1", again.JobID)
	end, err := h.Wait(t.Context(), receipt.JobID)
	if err != nil || end.Outcome != invoice.Created || end.InvoiceNumber != "INV-000001" || end.At.IsZero() || end.Document == nil || end.Document.TotalMinor != 1530 {
		t.Errorf("ended as %+v, error %v", end, err)
	}
	if end, err := h.Wait(t.Context(), again.JobID); err != nil || end.Outcome != invoice.Duplicate || end.InvoiceNumber != "INV-000001" || end.TransactionID != "T1" {
		t.Errorf("ended as %+v, error %v", end, err)
	}
	stands, err := h.Lookup(t.Context(), "T1")
	direct, err2 := mustClient(t, s).Lookup(t.Context(), s.DB, "T1")
	if err != nil || err2 != nil || !stands.InvoicedAt.Equal(direct.InvoicedAt) {
		t.Errorf("%+v, %v; %+v, %v", stands, err, direct, err2)
	}
	if stands.InvoicedAt, direct.InvoicedAt = (time.Time{}), (time.Time{}); stands != direct || stands.State != client.Invoiced {
		t.Errorf("it stands %+v, in the database %+v", stands, direct)
	}
	if d, err := h.LookupInvoice(t.Context(), "INV-000001"); err != nil || d.TransactionID != "T1" || d.TotalMinor != 1530 || d.JobID != receipt.JobID {
		t.Errorf("document %+v, error %v", d, err)
	}
	if receipt, err := h.Accept(t.Context(), job); err != nil || receipt.InvoiceNumber != "INV-000001" {
		t.Errorf("receipt %+v, error %v", receipt, err)
	}
}

func mustClient(t *testing.T, s *apiSite) *client.Client {
	t.Helper()
	c, err := client.New(nil, client.Options{Schema: s.Schema})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// What isn't there is told apart from what can't be asked.
func TestHTTPOfTheUnknown(t *testing.T) {
	t.Parallel()
	s := serve(t, rig.New(t))
	h := s.over(t, s.address, "all")
	if _, err := h.LookupJob(t.Context(), "nobody"); !errors.Is(err, client.ErrUnknownJob) {
		t.Errorf("error %v", err)
	}
	if _, err := h.Wait(t.Context(), "no/body"); !errors.Is(err, client.ErrUnknownJob) {
		t.Errorf("error %v", err)
	}
	for _, id := range []string{"T1", "..", "a/b", "50% off?"} {
		if stands, err := h.Lookup(t.Context(), id); err != nil || stands.State != client.Unknown {
			t.Errorf("%s stands %+v, error %v", id, stands, err)
		}
	}
	if _, err := h.LookupInvoice(t.Context(), "INV-1"); !errors.Is(err, client.ErrNoInvoice) {
		t.Errorf("error %v", err)
	}
	elsewhere := httptest.NewServer(http.NotFoundHandler())
	defer elsewhere.Close()
	wrong := s.over(t, elsewhere.Listener.Addr().String(), "all")
	var p *client.ProblemError
	if stands, err := wrong.Lookup(t.Context(), "T1"); !errors.As(err, &p) || p.Status != http.StatusNotFound {
		t.Errorf("another server: %+v, error %v", stands, err)
	}
}

// A token that only hands jobs in hears how its jobs have ended.
func TestHTTPInvoice(t *testing.T) {
	t.Parallel()
	s := serve(t, rig.New(t))
	h := s.over(t, s.address, "checkout")
	ended := make(chan client.End, 1)
	var asking sync.WaitGroup
	asking.Go(func() {
		end, err := h.Invoice(t.Context(), job())
		if err != nil {
			t.Error(err)
		}
		ended <- end
	})
	rig.Eventually(t, "an accepted job", func() bool { return s.Count(t, "SELECT count(*) FROM invoice_jobs") == 1 })
	id := s.Text(t, "SELECT job_id FROM invoice_jobs")
	s.work(t, id)
	asking.Wait()
	end := <-ended
	if end.JobID != id || end.Outcome != invoice.Created || end.InvoiceNumber != "INV-000001" || end.TransactionID != "T1" || !end.Invoiced() || end.Document == nil || end.At.IsZero() {
		t.Errorf("ended as %+v", end)
	}
	if n := s.requests.Load(); n > 2 {
		t.Errorf("it took %d requests", n)
	}
	s.ledgerHas(t, 1)
}

// A context that ends while the job has no end names the job's way, and leaves the job as it is.
func TestHTTPInvoiceThatTakesTooLong(t *testing.T) {
	t.Parallel()
	s := serve(t, rig.New(t))
	h := s.over(t, s.address, "checkout")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	begun := time.Now()
	if _, err := h.Invoice(ctx, job()); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) > 5*time.Second {
		t.Errorf("after %v: %v", time.Since(begun), err)
	}
	s.ledgerHas(t, 1)
}

// One key, for the same job whenever it is asked for.
func TestHTTPKey(t *testing.T) {
	t.Parallel()
	s := serve(t, rig.New(t))
	h := s.over(t, s.address, "checkout", func(o *client.HTTPOptions) {
		o.Key = func(j *invoice.Job) string { return j.TransactionID + ` "ß\` }
	})
	first, err := h.Accept(t.Context(), job())
	if err != nil || first.Status != client.Inserted {
		t.Fatalf("%+v, %v", first, err)
	}
	again, err := h.Accept(t.Context(), job())
	if err != nil || again.JobID != first.JobID || again.Status != client.Known {
		t.Errorf("%+v, %v", again, err)
	}
	other := job()
	other.Currency = "EUR"
	var p *client.ProblemError
	if _, err := h.Accept(t.Context(), other); !errors.As(err, &p) || p.Status != http.StatusUnprocessableEntity || p.Errors[0].Header != "Idempotency-Key" || errors.As(err, new(*invoice.InvalidError)) {
		t.Errorf("error %v", err)
	}
	s.ledgerHas(t, 1)
	for own, want := range map[string]*invoice.Job{
		" T1": {TransactionID: "T1"}, "ACME K1": {Issuer: "ACME", TransactionID: "T1", IdempotencyKey: "K1"},
	} {
		if got := client.JobKey(want); got != own {
			t.Errorf("the key of %+v is %q", want, got)
		}
	}
	none := s.over(t, s.address, "checkout", func(o *client.HTTPOptions) { o.Key = func(*invoice.Job) string { return "" } })
	if _, err := none.Accept(t.Context(), job()); err == nil {
		t.Error("an empty key is taken")
	}
}

// What can't become an invoice is refused before it is sent, or by the API, with every field.
func TestHTTPRefusals(t *testing.T) {
	t.Parallel()
	s := serve(t, rig.New(t))
	h := s.over(t, s.address, "checkout")
	bad := job()
	bad.Currency, bad.TransactionID = "XYZ", ""
	var invalid *invoice.InvalidError
	if _, err := h.Accept(t.Context(), bad); !errors.As(err, &invalid) || len(invalid.Problems) != 2 || s.requests.Load() != 0 {
		t.Errorf("error %v", err)
	}
	if _, err := h.Accept(t.Context(), nil); !errors.As(err, &invalid) {
		t.Errorf("error %v", err)
	}
	late := job()
	late.IssuedAt = time.Now().Add(100 * 24 * time.Hour) // beyond a setting of the database
	late.Issuer = "NOBODY"
	var p *client.ProblemError
	if _, err := h.Accept(t.Context(), late); !errors.As(err, &p) || p.Status != http.StatusUnprocessableEntity || p.Errors[0].Pointer != "/issuer" ||
		!errors.As(err, &invalid) || invalid.Problems[0].Field != "issuer" || !strings.Contains(err.Error(), "/issuer") {
		t.Errorf("error %v", err)
	}
	other := job()
	other.Producer = "another"
	if _, err := h.Accept(t.Context(), other); !errors.As(err, &p) || p.Status != http.StatusForbidden {
		t.Errorf("error %v", err)
	}
	if _, err := h.Accept(t.Context(), job(), "mistyped"); !errors.As(err, &p) || p.Status != http.StatusUnprocessableEntity || p.Errors[0].Parameter != "queue" {
		t.Errorf("error %v", err)
	}
	if _, err := h.Lookup(t.Context(), "T1"); !errors.As(err, &p) || p.Status != http.StatusForbidden {
		t.Errorf("error %v", err)
	}
	nobody := s.over(t, s.address, "nobody")
	if _, err := nobody.Accept(t.Context(), job()); !errors.As(err, &p) || p.Status != http.StatusUnauthorized || strings.Contains(err.Error(), "nobody") {
		t.Errorf("error %v", err)
	}
	if n := s.requests.Load(); n > 4 {
		t.Errorf("%d requests: a refusal was tried again", n)
	}
	s.ledgerHas(t, 0)
}
