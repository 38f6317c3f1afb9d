package postgres_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"invoicer/invoice"
	"invoicer/invoice/postgres"
)

// amounts replaces the lines by one for each pair of a net price and a tax rate, "" for none.
func amounts(t *testing.T, pairs ...string) func(*invoice.Job) {
	t.Helper()
	return func(j *invoice.Job) {
		j.Lines = nil
		for i := 0; i < len(pairs); i += 2 {
			line := invoice.Line{SKU: "A", Quantity: decimal(t, "1"), UnitPrice: decimal(t, pairs[i])}
			if pairs[i+1] != "" {
				rate := decimal(t, pairs[i+1])
				line.TaxPercent = &rate
			}
			j.Lines = append(j.Lines, line)
		}
	}
}

func credits(transactionID string) func(*invoice.Job) {
	return func(j *invoice.Job) { j.CreditsTransactionID = transactionID }
}

func inCurrency(code string) func(*invoice.Job) { return func(j *invoice.Job) { j.Currency = code } }

// refused generates the job's invoice and expects that it is invalid, and that no number is spent.
func (b *site) refused(t *testing.T, j *invoice.Job, want string) {
	t.Helper()
	before := b.Count(t, "SELECT coalesce(sum(last_number), 0) FROM invoice_series")
	_, err := b.generator.Generate(t.Context(), request("refused "+j.TransactionID, j))
	var invalid *invoice.InvalidError
	if !errors.As(err, &invalid) || len(invalid.Problems) != 1 || invalid.Problems[0].Field != "credits_transaction_id" || !invalid.Replayable {
		t.Fatalf("%s: %v, want it to be invalid", j.TransactionID, err)
	}
	if !strings.Contains(invalid.Problems[0].Message, want) {
		t.Errorf("%s: %q, want %q", j.TransactionID, invalid.Problems[0].Message, want)
	}
	if after := b.Count(t, "SELECT coalesce(sum(last_number), 0) FROM invoice_series"); after != before {
		t.Errorf("%s: %d numbers were spent", j.TransactionID, after-before)
	}
}

// plantOld writes a document as a worker of the release before does, which knows nothing of credits.
func plantOld(t *testing.T, db interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}, series string, number int, kind, transactionID, credited string, total int,
) error {
	t.Helper()
	_, err := db.ExecContext(t.Context(), `
WITH counter AS (
    INSERT INTO invoice_series (series, period, kind, last_number) VALUES ($1::text, '', $3::text, 0) ON CONFLICT DO NOTHING
), made AS (
    INSERT INTO invoices (series, period, number, invoice_number, kind, transaction_id, idempotency_key, job_id, fingerprint, credits_transaction_id,
        currency, subtotal_minor, tax_minor, total_minor, issued_at)
    VALUES ($1::text, '', $2::bigint, $1::text || '-' || lpad($2::bigint::text, 6, '0'), $3, $4, $4, $4, 'v1:' || repeat('0', 64), nullif($5, ''), 'GBP', $6::bigint, 0, $6::bigint, '2010-12-01T08:26:00Z') RETURNING id
) INSERT INTO invoice_lines (invoice_id, position, quantity, unit_price, net_minor) SELECT id, 1, 1, trim_scale($6::numeric / 100), $6::bigint FROM made`,
		series, number, kind, transactionID, credited, total)
	return err
}

// A document is credited once, in parts or as a whole: never by more than it comes to, in all or at a rate.
func TestCreditsStayWithinTheirInvoice(t *testing.T) {
	t.Parallel()
	b := setup(t, patient)
	b.create(t, "sale", job(t, "ord-1", amounts(t, "100", "20")))
	b.create(t, "part", job(t, "ref-1", credits("ord-1"), amounts(t, "-99", "20")))
	b.refused(t, job(t, "ref-2", credits("ord-1"), amounts(t, "-100", "20")), "credits INV-000001 by more than is left of it: 1.20 GBP of 120.00, and this comes to -120.00")
	b.refused(t, job(t, "ref-usd", credits("ord-1"), amounts(t, "-1", "20"), inCurrency("USD")), "names INV-000001, which is in GBP, and this is in USD")
	b.refused(t, job(t, "ref-early", credits("ord-1"), amounts(t, "-1", "20"), issued(time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC))), "names INV-000001, which is of 2010-12-01T08:26:00Z: issued_at must not be before that")
	b.refused(t, job(t, "ref-self", credits("ref-self"), amounts(t, "-1", "20")), "names a document that credits this one")
	b.refused(t, job(t, "surcharge", credits("ord-1"), amounts(t, "200", "20")), "gives back to INV-000001 more than was credited of it: 1.20 GBP of 120.00 are left, and this comes to 240.00")
	b.create(t, "older system", job(t, "ref-old", credits("OLD-2018-0077"), amounts(t, "-5", "20")))
	b.create(t, "the rest", job(t, "ref-3", credits("ord-1"), amounts(t, "-1", "20")))
	b.refused(t, job(t, "ref-4", credits("ord-1"), amounts(t, "-0.01", "")), "0.00 GBP of 120.00")

	b.create(t, "two rates", job(t, "ord-2", amounts(t, "100", "20", "50", "5", "10", "")))
	b.refused(t, job(t, "ref-5", credits("ord-2"), amounts(t, "-51", "5")), "by more than is left of it at 5 %: 52.50 GBP of 52.50, and this comes to -53.55 at 5 %")
	b.refused(t, job(t, "ref-6", credits("ord-2"), amounts(t, "-1", "7")), "at 7 %: 0.00 GBP of 0.00")
	b.refused(t, job(t, "ref-7", credits("ord-2"), amounts(t, "-11", "")), "without a tax rate: 10.00 GBP of 10.00, and this comes to -11.00 without a tax rate")
	b.create(t, "of one rate", job(t, "ref-8", credits("ord-2"), amounts(t, "-50", "5")))
	b.create(t, "of none", job(t, "ref-9", credits("ord-2"), amounts(t, "-10", "")))
	b.refused(t, job(t, "ref-10", credits("ord-2"), amounts(t, "-10", "")), "without a tax rate: 0.00 GBP of 10.00")
	b.gapless(t)

	// Who asks again gets the same answer, whatever is left by now.
	if r, err := b.generator.Generate(t.Context(), request("again", job(t, "ref-3", credits("ord-1"), amounts(t, "-1", "20")))); err != nil || r.Outcome != invoice.Duplicate {
		t.Errorf("%s, %v", r.Outcome, err)
	}
}

// Cancelling a credit note gives its room back, once, to all above it.
func TestCancelledCreditsGiveBack(t *testing.T) {
	t.Parallel()
	b := setup(t, patient)
	b.create(t, "sale", job(t, "ord-1", amounts(t, "100", "20")))
	b.create(t, "credit", job(t, "ref-1", credits("ord-1"), amounts(t, "-60", "20")))
	b.refused(t, job(t, "more", credits("ref-1"), amounts(t, "61", "20")), "credits INV-CN-000001 by more than is left of it: -72.00 GBP of -72.00, and this comes to 73.20")
	b.create(t, "cancelled", job(t, "ref-1-storno", credits("ref-1"), amounts(t, "60", "20")))
	b.refused(t, job(t, "twice", credits("ref-1"), amounts(t, "60", "20")), "0.00 GBP of -72.00")
	b.create(t, "whole", job(t, "ref-2", credits("ord-1"), amounts(t, "-100", "20")))
	b.refused(t, job(t, "deep", credits("ref-1-storno"), amounts(t, "-1", "20")), "credits INV-000001 by more than is left of it: 0.00 GBP")
	b.gapless(t)
}

// Of many at once, also in one group, those are made for which there is room.
func TestCreditsAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *postgres.Options) { o.LockTimeout, o.StatementTimeout = time.Minute, time.Minute })
	b.create(t, "sale", job(t, "ord-1", amounts(t, "100", "20")))
	b.create(t, "credit", job(t, "ref-1", credits("ord-1"), amounts(t, "-30", "20")))
	stores := []*postgres.DB{b.store, b.open(t, func(o *postgres.Options) { o.LockTimeout, o.StatementTimeout = time.Minute, time.Minute })}
	var storm sync.WaitGroup
	var mu sync.Mutex
	made := make(map[string]int)
	for n, store := range stores {
		g := generator(t, store)
		for i := range 20 {
			storm.Go(func() {
				id := fmt.Sprintf("r%d-%d", n, i)
				j := job(t, id, credits("ord-1"), amounts(t, "-10", "20"), inSeries(fmt.Sprintf("S%d", i%3)))
				if i%5 == 0 {
					j = job(t, id, credits("ref-1"), amounts(t, "10", "20"))
				}
				r, err := g.Generate(t.Context(), request(id, j))
				for errors.Is(err, invoice.ErrHeld) {
					r, err = g.Generate(t.Context(), request(id, j))
				}
				if err != nil && !errors.As(err, new(*invoice.InvalidError)) {
					t.Errorf("%s: %v", id, err)
				}
				mu.Lock()
				defer mu.Unlock()
				made[j.CreditsTransactionID+" "+string(r.Outcome)]++
			})
		}
	}
	storm.Wait()
	back := made["ref-1 created"]
	left := b.Count(t, "SELECT sum(total_minor) FROM invoices")
	if back != 3 || left < 0 || left > 12000 || made["ord-1 created"] < 7 || left != 12000-3600+1200*back-1200*made["ord-1 created"] {
		t.Errorf("%v are made, and %d is left", made, left)
	}
	b.gapless(t)
}

// Who credits an invoice that another transaction is crediting waits for it, and counts it.
func TestCreditsTakeTurns(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.create(t, "sale", job(t, "ord-1", amounts(t, "100", "")))
	first, err := b.DB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Rollback() //nolint:errcheck // it is committed below
	if err := plantOld(t, first, "OLD-CN", 1, "credit_note", "ref-1", "ord-1", -6000); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	blocked := b.blocked(t)
	go func() {
		asked := request("second", job(t, "ref-2", credits("ord-1"), amounts(t, "-60", "")))
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
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "40.00 GBP of 100.00, and this comes to -60.00") {
		t.Errorf("%v, want it to be refused", err)
	}
}

// What was imported is credited as far as its total is known, less what was credited of it before.
func TestCreditsOfImports(t *testing.T) {
	t.Parallel()
	b := setup(t)
	known, unknown := imported("old-1", "OLD-1"), imported("old-2", "OLD-2")
	known.Currency, known.Total, known.CreditedTotal, known.IssuedAt = "GBP", new(int64(12000)), new(int64(2000)), time.Date(2010, 1, 1, 0, 0, 0, 0, time.UTC)
	unknown.Currency, unknown.Total, unknown.CreditedTotal, unknown.IssuedAt = "", nil, nil, time.Time{}
	if _, err := b.store.Imports.Add(t.Context(), []invoice.Import{known, unknown}, false); err != nil {
		t.Fatal(err)
	}
	b.refused(t, job(t, "r1", credits("old-1"), amounts(t, "-100.01", "")), "credits OLD-1 by more than is left of it: 100.00 GBP of 120.00, and this comes to -100.01")
	b.refused(t, job(t, "r2", credits("old-1"), amounts(t, "-1", ""), issued(time.Date(2009, 12, 31, 0, 0, 0, 0, time.UTC))), "names OLD-1, which is of 2010-01-01")
	b.create(t, "all of it", job(t, "r3", credits("old-1"), amounts(t, "-50", "20", "-40", "")))
	b.refused(t, job(t, "r4", credits("old-1"), amounts(t, "-0.01", "")), "0.00 GBP")
	b.create(t, "unlimited", job(t, "r5", credits("old-2"), amounts(t, "-1000000", "")))
}

// An invoice that comes after its credit note is made, and counts what is there. What is out of bounds by then can be mended, not made worse.
func TestInvoiceAfterItsCredits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.create(t, "early", job(t, "ref-1", credits("ord-1"), amounts(t, "-150", "")))
	b.create(t, "late", job(t, "ord-1", amounts(t, "100", "")))
	b.refused(t, job(t, "worse", credits("ord-1"), amounts(t, "-1", "")), "-50.00 GBP of 100.00")
	b.create(t, "mended", job(t, "storno", credits("ref-1"), amounts(t, "100", "")))
	b.create(t, "again", job(t, "ref-2", credits("ord-1"), amounts(t, "-50", "")))
	b.refused(t, job(t, "ref-3", credits("ord-1"), amounts(t, "-1", "")), "0.00 GBP of 100.00")

	// Both name what isn't here yet; the second would close a circle.
	b.create(t, "first", job(t, "a", credits("b"), amounts(t, "-1", "")))
	b.refused(t, job(t, "b", credits("a"), amounts(t, "1", "")), "names a document that credits this one")
}

// What was there before a document counts with it, before the write as in it.
func TestDocumentBetweenItsFamily(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.create(t, "i1", job(t, "i1", amounts(t, "100", "")))
	b.create(t, "c2", job(t, "c2", credits("c1"), amounts(t, "-10", "")))
	asked := job(t, "c1", credits("i1"), amounts(t, "-100", ""))
	if _, err := invoice.NewForecaster(b.generator).Forecast(t.Context(), request("c1", asked)); !errors.As(err, new(*invoice.InvalidError)) {
		t.Errorf("forecast %v, want it to be invalid", err)
	}
	b.refused(t, asked, "90.00 GBP of 100.00")
	b.create(t, "i2", job(t, "i2", amounts(t, "100", "")))
	b.create(t, "d0", job(t, "d0", credits("i2"), amounts(t, "-20", "")))
	b.create(t, "d2", job(t, "d2", credits("d1"), amounts(t, "50", "")))
	b.create(t, "d1", job(t, "d1", credits("i2"), amounts(t, "-100", "")))
}

// Neither depth nor amounts without measure keep anybody from an answer.
func TestCreditsWithoutMeasure(t *testing.T) {
	t.Parallel()
	b := setup(t, patient)
	b.create(t, "top", job(t, "n0", amounts(t, "100", "")))
	for i := 1; i <= 50; i++ {
		price := "-1"
		if i%2 == 0 {
			price = "1"
		}
		b.create(t, fmt.Sprint("n", i), job(t, fmt.Sprint("n", i), credits(fmt.Sprint("n", i-1)), amounts(t, price, "")))
	}
	b.refused(t, job(t, "n51", credits("n50"), amounts(t, "-1", "")), "by way of more than 50 others: credit the invoice itself")

	huge := func(j *invoice.Job) {
		j.Lines = []invoice.Line{{SKU: "A", Quantity: decimal(t, "-90000000000"), UnitPrice: decimal(t, "1000000")}}
	}
	for i := range 3 {
		b.create(t, fmt.Sprint("huge", i), job(t, fmt.Sprint("huge", i), credits("big"), huge))
	}
	b.create(t, "big", job(t, "big", amounts(t, "1", "")))
	b.refused(t, job(t, "one more", credits("big"), amounts(t, "-1", "")), "credits INV-0000")
	r, err := b.store.Reports.Lookup(t.Context(), "", "big", 10)
	if err != nil || r.Family.LeftMinor == nil || *r.Family.LeftMinor != math.MinInt64 {
		t.Errorf("%+v, %v", r, err)
	}
}

// The database refuses such a credit note, whoever writes it. It counts the families of each issuer apart.
func TestDatabaseKeepsCredits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, one := range []struct {
		series, kind, id, credited string
		number, total              int
		refused                    bool
	}{
		{"OLD", "invoice", "o1", "", 1, 100, false},
		{"OLD-CN", "credit_note", "c1", "o1", 1, -60, false},
		{"OLD-CN", "credit_note", "c2", "o1", 2, -60, true},
		{"OLD-CN", "credit_note", "c2", "", 2, -60, false},
		{"OLD-CN", "credit_note", "c3", "o1", 3, -40, false},
	} {
		err := plantOld(t, b.DB, one.series, one.number, one.kind, one.id, one.credited, one.total)
		if refused := err != nil; refused != one.refused || refused && !strings.Contains(err.Error(), "it can't credit transaction_id o1") {
			t.Errorf("%s: %v", one.id, err)
		}
	}
	b.openIssuers(t, "ACME-DE")
	b.create(t, "of another issuer", job(t, "c4", of("ACME-DE"), credits("o1"), amounts(t, "-60", "")))
}

// A credit note waits for an invoice that is under way, and fails with one that has failed.
func TestCreditWaitsForItsInvoice(t *testing.T) {
	t.Parallel()
	b := setup(t)
	under := func(id, transactionID, state, credited string) {
		payload, err := job(t, transactionID, credits(credited)).Encode()
		if err != nil {
			t.Fatal(err)
		}
		b.Exec(t, `INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, payload, state, outcome, reason) VALUES ($1, $2, $2, 'default', $3, $4, CASE WHEN $4 = 'failed' THEN 'failed' END, CASE WHEN $4 = 'failed' THEN 'broken' END)`,
			id, transactionID, string(payload), state)
	}
	asked := request("credit", job(t, "ref-1", credits("ord-1"), amounts(t, "-4", "")))
	under("j1", "ord-1", "enqueued", "")
	var waits *invoice.CreditWaitsError
	if _, err := b.generator.Generate(t.Context(), asked); !errors.As(err, &waits) || waits.JobID != "j1" {
		t.Fatalf("%v, want it to wait", err)
	}
	forecaster := invoice.NewForecaster(b.generator)
	if f, err := forecaster.Forecast(t.Context(), asked); err != nil || f.Outcome != invoice.Created {
		t.Errorf("forecast %s, %v", f.Outcome, err)
	}
	b.Exec(t, "UPDATE invoice_jobs SET state = 'failed', outcome = 'failed', reason = 'broken'")
	if _, err := forecaster.Forecast(t.Context(), asked); !errors.As(err, new(*invoice.InvalidError)) {
		t.Errorf("the forecast of the credit note alone: %v, want it to be invalid", err)
	}
	for _, f := range forecaster.ForecastAll(t.Context(), []invoice.Request{asked, request("j1", job(t, "ord-1"))}) {
		if f.Err != nil || f.Result.Outcome != invoice.Created {
			t.Errorf("the forecast of both: %s, %v", f.Result.Outcome, f.Err)
		}
	}
	b.refused(t, asked.Job, "names transaction_id ord-1, which isn't invoiced: its job j1 has failed; replay both")
	under("j2", "ord-1", "accepted", "")
	if _, err := b.generator.Generate(t.Context(), asked); !errors.As(err, &waits) || waits.JobID != "j2" {
		t.Errorf("%v, want it to wait for the other job", err)
	}
	b.create(t, "j3", job(t, "ord-1"))
	b.create(t, "credit", asked.Job)

	under("c1", "x", "enqueued", "y")
	under("c2", "y", "enqueued", "z")
	b.refused(t, job(t, "z", credits("x"), amounts(t, "-1", "")), "names a document that credits this one")
}

// By the settings, a credit note must name what it credits, and a document may not consist of zeros. The database refuses such
// documents, whoever writes them.
func TestSettingsOfCredits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.create(t, "before", job(t, "T0", amounts(t, "-1", "")))
	b.create(t, "free", job(t, "Z0", amounts(t, "0", "20")))
	_, err := b.store.Settings.Change(t.Context(), &postgres.SettingsChange{What: "set", By: "ada", To: func(s invoice.Settings) (invoice.Settings, error) {
		s.MustCredit, s.RefuseZero = true, true
		return s, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	b.refused(t, job(t, "T1", amounts(t, "-1", "")), "is required: by the setting credit_notes")
	b.create(t, "named", job(t, "T2", credits("elsewhere"), amounts(t, "-1", "")))
	b.create(t, "no zeros", job(t, "T3", amounts(t, "1", "", "-1", "")))
	_, err = b.generator.Generate(t.Context(), request("zero", job(t, "Z1", amounts(t, "0", "20"))))
	var invalid *invoice.InvalidError
	if !errors.As(err, &invalid) || invalid.Problems[0].Field != "lines" || !strings.Contains(err.Error(), "come to nothing but zeros") {
		t.Errorf("%v, want it to be invalid", err)
	}
	b.create(t, "the real one", job(t, "Z1"))
	for id, total := range map[string]int{"must credit": -1, "zeros": 0} {
		kind, series := "invoice", "OLD"
		if total < 0 {
			kind, series = "credit_note", "OLD-CN"
		}
		if err := plantOld(t, b.DB, series, 1, kind, "planted", "", total); err == nil || !strings.Contains(err.Error(), "by the setting") {
			t.Errorf("%s: %v, want the database to refuse it", id, err)
		}
	}
	if r, err := b.generator.Generate(t.Context(), request("again", job(t, "T0", amounts(t, "-1", "")))); err != nil || r.Outcome != invoice.Duplicate {
		t.Errorf("%s, %v", r.Outcome, err)
	}
}
