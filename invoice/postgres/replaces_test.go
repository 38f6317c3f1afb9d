package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"invoicer/invoice"
	"invoicer/invoice/postgres"
)

// mustCreditReplaced has documents credited in full before another one replaces them.
func (b *site) mustCreditReplaced(t *testing.T) {
	t.Helper()
	b.settle(t, func(s *invoice.Settings) { s.CreditReplaced = true })
}

// corrected returns the job of a document over 90 that replaces another one.
func corrected(t *testing.T, id, replaced string) *invoice.Job {
	t.Helper()
	return termsJob(t, id, `"currency":"GBP","replaces_transaction_id":"`+replaced+`","lines":[{"quantity":1,"unit_price":"90"}]`)
}

// left refuses the job, as something of what it replaces is left.
func (b *site) left(t *testing.T, j *invoice.Job, want string) {
	t.Helper()
	before := b.Count(t, "SELECT coalesce(sum(last_number), 0) FROM invoice_series")
	_, err := b.generator.Generate(t.Context(), request("left "+j.TransactionID, j))
	var invalid *invoice.InvalidError
	if !errors.As(err, &invalid) || len(invalid.Problems) != 1 || invalid.Problems[0].Field != "replaces_transaction_id" || !invalid.Replayable || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: %v, want it to be invalid: %s", j.TransactionID, err, want)
	}
	if after := b.Count(t, "SELECT coalesce(sum(last_number), 0) FROM invoice_series"); after != before {
		t.Errorf("%s: %d numbers were spent", j.TransactionID, after-before)
	}
}

// A document is replaced once it is credited in full, by whatever parts, or if it isn't here.
func TestReplacedIsCreditedFirst(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.create(t, "free", job(t, "ord-0", amounts(t, "100", "20")))
	b.create(t, "taken", corrected(t, "ord-0:2", "ord-0"))
	b.mustCreditReplaced(t)

	b.create(t, "sale", job(t, "ord-1", amounts(t, "100", "20")))
	b.left(t, corrected(t, "ord-1:2", "ord-1"),
		"names transaction_id ord-1, of which 120.00 GBP of 120.00 are left (INV-000003): by the setting replaces, it has to be credited in full; credit the rest first, then replay this job")
	b.create(t, "part", job(t, "ord-1-a", credits("ord-1"), amounts(t, "-60", "20")))
	b.left(t, corrected(t, "ord-1:2", "ord-1"), "48.00 GBP of 120.00 are left")
	b.create(t, "rest", job(t, "ord-1-b", credits("ord-1"), amounts(t, "-40", "20")))
	b.create(t, "corrected", corrected(t, "ord-1:2", "ord-1"))

	// What gives back is counted, at any depth.
	b.create(t, "cancelled", job(t, "ord-1-a-storno", credits("ord-1-a"), amounts(t, "10", "20")))
	b.left(t, corrected(t, "ord-1:3", "ord-1"), "12.00 GBP of 120.00 are left")
	b.create(t, "again", job(t, "ord-1-c", credits("ord-1"), amounts(t, "-10", "20")))
	b.create(t, "another", corrected(t, "ord-1:3", "ord-1"))

	// A credit note is replaced once it is cancelled, and what isn't here at all is of an older system.
	b.create(t, "credit", job(t, "ref-1", credits("elsewhere"), amounts(t, "-50", "")))
	b.left(t, corrected(t, "ref-1:2", "ref-1"), "-50.00 GBP of -50.00 are left")
	b.create(t, "of the older system", corrected(t, "new-1", "OLD-2018-0077"))
	b.create(t, "sale", job(t, "ord-2", amounts(t, "100", "")))
	own := corrected(t, "ord-2:2", "ord-2")
	own.CreditsTransactionID = "ord-2"
	own.Lines[0].UnitPrice = decimal(t, "-100")
	b.left(t, own, "100.00 GBP of 100.00 are left")

	// Who asks again gets the same answer, whatever is left by now, and the issuers are apart.
	if r, err := b.generator.Generate(t.Context(), request("repeat", corrected(t, "ord-0:2", "ord-0"))); err != nil || r.Outcome != invoice.Duplicate {
		t.Errorf("%s, %v", r.Outcome, err)
	}
	b.openIssuers(t, "ACME-DE")
	elsewhere := corrected(t, "ord-2:3", "ord-2")
	elsewhere.Issuer = "ACME-DE"
	b.create(t, "of another issuer", elsewhere)
	b.gapless(t)
}

// What was imported is replaced once that, and what was credited here, come to its total. Without a total it isn't limited.
func TestReplacedImports(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.mustCreditReplaced(t)
	known, settled, unknown := imported("old-1", "OLD-1"), imported("old-2", "OLD-2"), imported("old-3", "OLD-3")
	known.Currency, known.Total, known.CreditedTotal, known.IssuedAt = "GBP", new(int64(12000)), new(int64(2000)), time.Date(2010, 1, 1, 0, 0, 0, 0, time.UTC)
	settled.Currency, settled.Total, settled.CreditedTotal = "GBP", new(int64(12000)), new(int64(12000))
	unknown.Currency, unknown.Total, unknown.CreditedTotal = "", nil, nil
	if _, err := b.store.Imports.Add(t.Context(), []invoice.Import{known, settled, unknown}, false); err != nil {
		t.Fatal(err)
	}
	b.left(t, corrected(t, "old-1:2", "old-1"), "names transaction_id old-1, of which 100.00 GBP of 120.00 are left (OLD-1)")
	b.create(t, "rest", job(t, "old-1-storno", credits("old-1"), amounts(t, "-100", "")))
	b.create(t, "known", corrected(t, "old-1:2", "old-1"))
	b.create(t, "settled", corrected(t, "old-2:2", "old-2"))
	b.create(t, "unknown", corrected(t, "old-3:2", "old-3"))
}

// The database refuses such a document by itself, also from a worker whose settings are of before, or that knows of none.
func TestDatabaseKeepsReplaced(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.mustCreditReplaced(t)
	b.create(t, "sale", job(t, "ord-1", amounts(t, "100", "")))
	numbering, err := invoice.NewNumbering(invoice.NumberingOptions{})
	if err != nil {
		t.Fatal(err)
	}
	unaware := invoice.NewGenerator(unawareStore{b.store.Invoices}, numbering)
	asked := request("corrected", corrected(t, "ord-1:2", "ord-1"))
	var invalid *invoice.InvalidError
	if _, err := unaware.Generate(t.Context(), asked); !errors.As(err, &invalid) || !strings.Contains(err.Error(), "replaces_transaction_id names transaction_id ord-1, of which 100.00 GBP of 100.00 are left (INV-000001)") {
		t.Errorf("%v, want the database to refuse it", err)
	}
	b.create(t, "storno", job(t, "ord-1-storno", credits("ord-1"), amounts(t, "-100", "")))
	if r, err := unaware.Generate(t.Context(), asked); err != nil || r.Outcome != invoice.Created {
		t.Errorf("%s, %v", r.Outcome, err)
	}
	b.gapless(t)
}

// An unawareStore is of a worker that doesn't look at what a document replaces.
type unawareStore struct{ *postgres.Invoices }

func (s unawareStore) Replaced(context.Context, *invoice.Job) (invoice.Replaced, error) {
	return invoice.Replaced{}, nil
}

// Who replaces a document while another transaction cancels its credit note waits for that, and counts it.
func TestReplacementsTakeTurns(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.mustCreditReplaced(t)
	b.create(t, "sale", job(t, "ord-1", amounts(t, "100", "")))
	b.create(t, "storno", job(t, "ord-1-storno", credits("ord-1"), amounts(t, "-100", "")))
	first, err := b.DB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Rollback() //nolint:errcheck // it is committed below
	if err := plantOld(t, first, "OLD", 1, "invoice", "cancelled", "ord-1-storno", 4000); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	blocked := b.blocked(t)
	go func() {
		asked := request("corrected", corrected(t, "ord-1:2", "ord-1"))
		_, err := b.generator.Generate(t.Context(), asked)
		for errors.Is(err, invoice.ErrHeld) {
			_, err = b.generator.Generate(t.Context(), asked)
		}
		ended <- err
	}()
	select {
	case <-blocked:
	case err := <-ended:
		t.Fatalf("it ended before the other one: %v", err)
	}
	if err := first.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "40.00 GBP of 100.00 are left") {
		t.Errorf("%v, want it to be refused", err)
	}
}

// A corrected invoice waits for jobs under way that are to make or to credit what it replaces, unless they wait for it.
func TestReplacementWaits(t *testing.T) {
	t.Parallel()
	b := setup(t, patient)
	b.mustCreditReplaced(t)
	var ids atomic.Int64
	under := func(state string, j *invoice.Job) string {
		payload, err := j.Encode()
		if err != nil {
			t.Fatal(err)
		}
		id := fmt.Sprint("j", ids.Add(1))
		b.Exec(t, `INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, payload, state, outcome, reason) VALUES ($1, $2, $2, 'default', $3, $4, CASE WHEN $4 = 'failed' THEN 'failed' END, CASE WHEN $4 = 'failed' THEN 'broken' END)`,
			id, j.TransactionID, string(payload), state)
		return id
	}
	asked := request("corrected", corrected(t, "ord-1:2", "ord-1"))
	sale, storno := job(t, "ord-1", amounts(t, "100", "")), job(t, "ord-1-storno", credits("ord-1"), amounts(t, "-100", ""))
	waitsFor := func(jobID, why string) {
		t.Helper()
		var waits *invoice.CreditWaitsError
		if _, err := b.generator.Generate(t.Context(), asked); !errors.As(err, &waits) || waits.JobID != jobID || !strings.Contains(err.Error(), why) {
			t.Fatalf("%v, want it to wait for job %s, %s", err, jobID, why)
		}
		if f, err := invoice.NewForecaster(b.generator).Forecast(t.Context(), asked); err != nil || f.Outcome != invoice.Created {
			t.Errorf("forecast %s, %v", f.Outcome, err)
		}
	}
	end := func(jobID string, j *invoice.Job) {
		t.Helper()
		b.create(t, "made by "+jobID, j)
		b.Exec(t, "UPDATE invoice_jobs SET state = 'done', outcome = 'created', invoice_id = (SELECT id FROM invoices WHERE transaction_id = $2) WHERE job_id = $1 AND state <> 'done'", jobID, j.TransactionID)
	}

	failed := under("failed", sale)
	b.left(t, asked.Job, "names transaction_id ord-1, which isn't invoiced: its job "+failed+" has failed; replay both")
	first := under("accepted", sale)
	waitsFor(first, "waits for the invoice of transaction_id ord-1, which it replaces")
	end(first, sale)
	b.Exec(t, `INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, payload, state) VALUES ('broken', 'x', 'x', 'default', '{"credits_transaction_id":"ord-1"', 'enqueued')`)
	b.left(t, asked.Job, "100.00 GBP of 100.00 are left")
	second := under("enqueued", storno)
	waitsFor(second, "waits for the invoice of transaction_id ord-1-storno, which credits transaction_id ord-1, which it replaces: job "+second+" is under way")

	// Once it has failed, the corrected invoice is refused, unless both are replayed together.
	b.Exec(t, "UPDATE invoice_jobs SET state = 'failed', outcome = 'failed', reason = 'broken' WHERE job_id = $1", second)
	b.left(t, asked.Job, "100.00 GBP of 100.00 are left")
	for _, f := range invoice.NewForecaster(b.generator).ForecastAll(t.Context(), []invoice.Request{asked, request(second, storno)}) {
		if f.Err != nil || f.Result.Outcome != invoice.Created {
			t.Errorf("the forecast of both: %s, %v", f.Result.Outcome, f.Err)
		}
	}
	b.Exec(t, "UPDATE invoice_jobs SET state = 'accepted', outcome = NULL, reason = NULL, paused_series = 'INV-CN' WHERE job_id = $1", second)
	waitsFor(second, "ord-1-storno")
	end(second, storno)
	end("corrected", asked.Job)

	// Each of these waits for the next one, and the last one for the first.
	b.create(t, "sale", job(t, "ord-2", amounts(t, "100", "")))
	circle := corrected(t, "ord-2:2", "ord-2")
	under("enqueued", circle)
	crediting := termsJob(t, "ord-2-storno", `"currency":"GBP","credits_transaction_id":"ord-2","replaces_transaction_id":"ord-2:3","lines":[{"quantity":-1,"unit_price":"100"}]`)
	under("enqueued", crediting)
	under("enqueued", job(t, "ord-2:3", credits("ord-2:2"), amounts(t, "-1", "")))
	b.left(t, circle, "names transaction_id ord-2, which waits for this one")
	b.left(t, crediting, "names transaction_id ord-2:3, which waits for this one")
}
