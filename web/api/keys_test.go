package api_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"invoicer/internal/rig"
	"invoicer/invoice"
	"invoicer/invoice/ledger"
	"invoicer/invoice/postgres"
	"invoicer/web/api"
)

// other is a job of the transaction with another amount.
func other(transactionID string, members ...string) []byte {
	return []byte(strings.Replace(string(jobOf(transactionID, members...)), "2.55", "2.56", 1))
}

// Without a header, the job's own key counts.
func TestAJobsOwnKeyMakesOneJob(t *testing.T) {
	t.Parallel()
	s := setup(t)
	first := s.post(t, "nightly", jobOf("T1"))
	posted := into[api.JobAnswer](t, first, http.StatusAccepted)
	if first.Header.Get("Idempotency-Replayed") != "" {
		t.Errorf("%s", first)
	}
	same := func(name string, r reply) {
		t.Helper()
		if into[api.JobAnswer](t, r, http.StatusAccepted) != posted || r.Header.Get("Idempotency-Replayed") != "true" || string(r.body) != string(first.body) {
			t.Errorf("%s: %s", name, r)
		}
	}
	same("in another form", s.post(t, "nightly", []byte(strings.Replace(string(jobOf("T1", `"metadata":{"a":"b"}`)), `"2.55"`, "2.550", 1))))
	refused := func(name, field string, r reply) {
		t.Helper()
		p := into[api.ProblemError](t, r, http.StatusUnprocessableEntity)
		if len(p.Errors) != 1 || p.Errors[0].Pointer != "/"+field || p.JobID != posted.JobID {
			t.Errorf("%s: %s", name, r)
		}
	}
	refused("other content", "transaction_id", s.post(t, "nightly", other("T1")))
	s.work(t, posted.JobID)
	same("once it is invoiced", s.post(t, "nightly", jobOf("T1")))
	refused("other content, once it is invoiced", "transaction_id", s.post(t, "nightly", other("T1")))
	if made := into[api.JobAnswer](t, s.post(t, "nightly", jobOf("T1"), "Prefer", "wait=20"), http.StatusCreated); made.InvoiceNumber != "INV-000001" || made.JobID != posted.JobID {
		t.Errorf("%+v", made)
	}
	s.ledgerHas(t, 1)

	posted = into[api.JobAnswer](t, s.post(t, "nightly", jobOf("T2", `"idempotency_key":"K"`)), http.StatusAccepted)
	refused("another transaction", "idempotency_key", s.post(t, "nightly", jobOf("T3", `"idempotency_key":"K"`)))
	s.ledgerHas(t, 2)
	if of := into[api.JobAnswer](t, s.post(t, "nightly", jobOf("T3"), "Idempotency-Key", "T1"), http.StatusAccepted); of.Status != "inserted" {
		t.Errorf("a header's key is a job's own: %+v", of)
	}
	if of := into[api.JobAnswer](t, s.post(t, "checkout", jobOf("T2", `"idempotency_key":"K"`)), http.StatusAccepted); of.Status != "known" || of.KnownJobID != posted.JobID {
		t.Errorf("another token has the same keys: %+v", of)
	}
	s.OpenIssuers(t, "ACME-FR")
	if of := into[api.JobAnswer](t, s.post(t, "nightly", other("T1", `"issuer":"ACME-FR"`)), http.StatusAccepted); of.Status != "inserted" {
		t.Errorf("another issuer has the same keys: %+v", of)
	}
	s.ledgerHas(t, 5)
}

func TestJobsWithOneOwnKeyAtOnce(t *testing.T) {
	t.Parallel()
	s := setup(t)
	var clients sync.WaitGroup
	replies := make([]reply, 20)
	for i := range replies {
		clients.Go(func() {
			replies[i] = s.post(t, "nightly", [][]byte{jobOf("T1"), other("T1")}[i%2])
		})
	}
	clients.Wait()
	accepted := 0
	for _, r := range replies {
		if r.StatusCode == http.StatusAccepted {
			accepted++
		} else if r.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("%s", r)
		}
	}
	if accepted != len(replies)/2 {
		t.Errorf("%d of %d are accepted, want those with one of the contents", accepted, len(replies))
	}
	s.ledgerHas(t, 1)

	// While the first one isn't committed, others wait for a bounded time.
	tx, err := s.DB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() //nolint:errcheck // nothing is to be kept
	if _, err := tx.ExecContext(t.Context(), `INSERT INTO api_requests (token, key, content, job_id, queue, status) VALUES ('nightly', sha256('\x00005432'), sha256('?'), 'j', 'q', 'inserted')`); err != nil {
		t.Fatal(err)
	}
	r := s.post(t, "nightly", jobOf("T2"))
	if p := into[api.ProblemError](t, r, http.StatusConflict); r.Header.Get("Retry-After") == "" || len(p.Errors) != 1 || p.Errors[0].Pointer != "/transaction_id" {
		t.Errorf("%s", r)
	}
}

// Whoever has mended what made a job fail can ask again, once.
func TestAnOwnKeyIsFreeAgainAfterAFailure(t *testing.T) {
	t.Parallel()
	s := serveWaiting(t, rig.New(t), rig.Patience) // however busy the machine is
	first := into[api.JobAnswer](t, s.post(t, "nightly", jobOf("T1")), http.StatusAccepted)
	s.fail(t, first.JobID)
	tx, err := s.DB.BeginTx(t.Context(), nil) // has several find the key free at the same moment
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() //nolint:errcheck // it was rolled back
	var holder int
	if err := tx.QueryRowContext(t.Context(), "SELECT pg_backend_pid() FROM api_requests FOR UPDATE").Scan(&holder); err != nil {
		t.Fatal(err)
	}
	var clients sync.WaitGroup
	replies := make([]reply, 3)
	for i := range replies {
		clients.Go(func() { replies[i] = s.post(t, "nightly", other("T1")) })
	}
	rig.Eventually(t, "all waiting", func() bool {
		return s.Count(t, `WITH RECURSIVE waiting AS (SELECT $1::integer AS pid UNION
			SELECT a.pid FROM waiting w JOIN pg_stat_activity a ON w.pid = ANY (pg_blocking_pids(a.pid))) SELECT count(*) - 1 FROM waiting`, holder) == len(replies)
	})
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	clients.Wait()
	second := into[api.JobAnswer](t, replies[0], http.StatusAccepted)
	for _, r := range replies {
		if again := into[api.JobAnswer](t, r, http.StatusAccepted); again != second || again.JobID == first.JobID || again.Status != "inserted" {
			t.Errorf("%s", r)
		}
	}
	s.ledgerHas(t, 2)
	into[api.ProblemError](t, s.post(t, "nightly", jobOf("T1")), http.StatusUnprocessableEntity)
	s.fail(t, second.JobID)
	if err := s.store.Ledger.Dismiss(t.Context(), second.JobID, ledger.Actor{Name: "ada", Note: "n"}); err != nil {
		t.Fatal(err)
	}
	third := into[api.JobAnswer](t, s.post(t, "nightly", jobOf("T1")), http.StatusAccepted)
	s.ledgerHas(t, 3)

	// A duplicate's own key is bound for its transaction alone.
	s.work(t, third.JobID)
	duplicate := into[api.JobAnswer](t, s.post(t, "nightly", jobOf("T1", `"idempotency_key":"K"`)), http.StatusAccepted)
	if duplicate.Status != "duplicate" {
		t.Errorf("%+v", duplicate)
	}
	s.Exec(t, "UPDATE invoice_jobs SET state = 'done', outcome = 'duplicate', invoice_id = (SELECT id FROM invoices) WHERE job_id = $1", duplicate.JobID)
	into[api.ProblemError](t, s.post(t, "nightly", other("T1", `"idempotency_key":"K"`)), http.StatusUnprocessableEntity)
	if of := into[api.JobAnswer](t, s.post(t, "nightly", jobOf("T2", `"idempotency_key":"K"`)), http.StatusAccepted); of.Status != "inserted" {
		t.Errorf("%+v", of)
	}
}

// What an issuer's settings ignore is for the worker to see.
func TestAnOwnKeyIsNoBoundWhereDifferencesAreIgnored(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.OpenIssuers(t, "ACME-FR")
	first := into[api.JobAnswer](t, s.post(t, "nightly", jobOf("T1", `"issuer":"ACME-FR"`)), http.StatusAccepted)
	if _, err := s.store.Settings.Change(t.Context(), &postgres.SettingsChange{Issuer: "ACME-FR", What: "ignore", By: "ada", To: func(s invoice.Settings) (invoice.Settings, error) {
		s.IgnoreIssuedAt = true
		return s, nil
	}}); err != nil {
		t.Fatal(err)
	}
	later := []byte(strings.Replace(string(jobOf("T1", `"issuer":"ACME-FR"`)), "2010-12-01T08:26", "2010-12-02T08:26", 1))
	if of := into[api.JobAnswer](t, s.post(t, "nightly", later), http.StatusAccepted); of.Status != "known" || of.KnownJobID != first.JobID {
		t.Errorf("%+v", of)
	}
	s.ledgerHas(t, 2)
}
