package postgres_test

import (
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"invoicer/internal/report"
	"invoicer/invoice"
	"invoicer/invoice/ledger"
	"invoicer/invoice/postgres"
)

func TestForecast(t *testing.T) {
	t.Parallel()
	b := setup(t)
	made := b.create(t, "first", job(t, "T1"))
	other := func(j *invoice.Job) { j.Currency = "EUR" }
	forecaster := invoice.NewForecaster(b.generator)
	for name, test := range map[string]struct {
		request invoice.Request
		want    invoice.Outcome
		against string
		differs []string
	}{
		"nothing there":       {request("second", job(t, "T2")), invoice.Created, "", nil},
		"its own":             {request("first", job(t, "T1")), invoice.Created, made.Number, nil},
		"same content":        {request("second", job(t, "T1")), invoice.Duplicate, made.Number, nil},
		"other content":       {request("second", job(t, "T1", other)), invoice.Conflict, made.Number, []string{"currency"}},
		"another's key":       {request("second", job(t, "T2", func(j *invoice.Job) { j.IdempotencyKey = "T1" })), invoice.Conflict, made.Number, []string{"transaction_id"}},
		"a key of no invoice": {request("second", job(t, "T1", func(j *invoice.Job) { j.IdempotencyKey = "T2" })), invoice.Duplicate, made.Number, nil},
	} {
		result, err := forecaster.Forecast(t.Context(), test.request)
		if err != nil || result.Outcome != test.want || !slices.Equal(result.Differs, test.differs) {
			t.Errorf("%s: %+v, error %v", name, result, err)
			continue
		}
		all := forecaster.ForecastAll(t.Context(), []invoice.Request{request("before", job(t, "T3")), test.request, request("after", job(t, "T1"))})
		if all[0].Result.Outcome != invoice.Created || !reflect.DeepEqual(all[1], invoice.Forecast{Result: result}) || all[2].Result.Outcome != invoice.Duplicate {
			t.Errorf("%s: among others %+v, by itself %+v", name, all, result)
		}
		if (result.Invoice == nil) != (test.against == "") || result.Invoice != nil && result.Invoice.Number != test.against {
			t.Errorf("%s: against %+v, want %q", name, result.Invoice, test.against)
		}
	}
	var invalid *invoice.InvalidError
	if _, err := forecaster.Forecast(t.Context(), request("second", job(t, "T2", func(j *invoice.Job) { j.Series = "INV-CN" }))); !errors.As(err, &invalid) {
		t.Errorf("the form of a series of the other kind: error %v", err)
	}
	b.Exec(t, "INSERT INTO invoice_series (series, period, kind) VALUES ('CREDITS', '', 'credit_note'), ('YEARLY', '2010', 'credit_note')")
	for _, series := range []string{"CREDITS", "YEARLY"} {
		wrong := request("second", job(t, "T2", func(j *invoice.Job) { j.Series = series }))
		_, err := forecaster.Forecast(t.Context(), wrong)
		_, made := b.generator.Generate(t.Context(), wrong)
		if !errors.As(err, &invalid) || made == nil || made.Error() != err.Error() {
			t.Errorf("%s, which holds the other kind: forecast %v, then %v", series, err, made)
		}
		all := forecaster.ForecastAll(t.Context(), []invoice.Request{request("third", job(t, "T2")), wrong, wrong})
		for i, f := range all {
			if i == 0 && f.Err != nil || i > 0 && (f.Err == nil || f.Err.Error() != err.Error()) {
				t.Errorf("%s: forecast %d of all: %v", series, i, f.Err)
			}
		}
	}
	if n := b.Count(t, "SELECT count(*) FROM invoices") + b.Count(t, "SELECT sum(last_number) FROM invoice_series"); n != 2 {
		t.Errorf("a forecast has written something: %d", n)
	}
}

// Pages are short where payloads are large, and every job is on one of them.
func TestFailedInPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const jobs = 40
	if _, err := b.DB.ExecContext(t.Context(), `
INSERT INTO invoice_jobs (job_id, queue, payload, payload_raw, state, outcome, reason, updated_at)
SELECT 'job-' || n, 'default', CASE WHEN n % 2 = 0 THEN repeat('x', 2000000) END, CASE WHEN n % 2 = 1 AND n % 5 = 1 THEN 'x'::bytea END, 'failed', 'invalid', 'x',
    '2020-01-01'::timestamptz + n / 4 * interval '1 microsecond'
FROM generate_series(1, $1) n`, jobs); err != nil {
		t.Fatal(err)
	}
	var after ledger.FailedJob
	var seen []int64
	pages := 0
	for ; ; pages++ {
		page, err := b.store.Ledger.Failed(t.Context(), ledger.FailedFilter{}, after, 30)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		size := 0
		for _, j := range page {
			seen, size = append(seen, j.ID), size+len(j.Payload)
			if (j.Payload == nil) != (j.ID%2 == 1) || j.NoText != (j.ID%5 == 1 && j.ID%2 == 1) {
				t.Errorf("job %d: %d bytes, no text: %t", j.ID, len(j.Payload), j.NoText)
			}
		}
		if size > 18<<20 || len(page) > 30 {
			t.Errorf("a page of %d jobs with %d bytes", len(page), size)
		}
		after = page[len(page)-1]
	}
	if len(seen) != jobs || !slices.IsSorted(seen) || len(slices.Compact(seen)) != jobs || pages < 3 {
		t.Errorf("on %d pages %v", pages, seen)
	}
}

// What has changed since it was listed is left alone.
func TestReplayOfWhatHasChanged(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, id := range []string{"same", "done", "again", "pruned"} {
		e := end(id, invoice.Failed, nil)
		e.TransactionID, e.IdempotencyKey = "", ""
		if err := b.store.Ledger.Record(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	n, now, err := b.store.Ledger.CountFailed(t.Context(), ledger.FailedFilter{})
	if err != nil || n != 4 || now.IsZero() {
		t.Fatalf("%d failed, error %v", n, err)
	}
	listed, err := b.store.Ledger.Failed(t.Context(), ledger.FailedFilter{Until: now}, ledger.FailedJob{}, 10)
	if err != nil || len(listed) != 4 {
		t.Fatalf("%d listed, error %v", len(listed), err)
	}
	for _, change := range []string{
		"UPDATE invoice_jobs SET state = 'dismissed' WHERE job_id = 'done'",
		"UPDATE invoice_jobs SET dispatch = 2 WHERE job_id = 'again'",
		"UPDATE invoice_jobs SET payload = NULL WHERE job_id = 'pruned'",
	} {
		if _, err := b.DB.ExecContext(t.Context(), change); err != nil {
			t.Fatal(err)
		}
	}
	var replays []ledger.Replay
	for _, f := range listed {
		replays = append(replays, ledger.Replay{Failed: f, Job: job(t, "T7", func(j *invoice.Job) { j.Producer, j.IdempotencyKey = "cron", "K7" })})
	}
	for _, want := range [][]string{{"same"}, nil} {
		sent, err := b.store.Ledger.Replay(t.Context(), replays, ledger.Actor{Name: "a\x00da\xff"})
		if err != nil || !slices.Equal(sent, want) {
			t.Errorf("sent %v, error %v; want %v", sent, err, want)
		}
	}
	if got := b.Text(t, "SELECT concat_ws(' ', state, dispatch, transaction_id, idempotency_key, producer) FROM invoice_jobs WHERE job_id = 'same'"); got != "accepted 1 T7 K7 cron" {
		t.Errorf("the job: %s", got)
	}
	if got := b.Text(t, "SELECT string_agg(concat_ws(' ', job_id, actor, note, dispatch, outcome, reason), ',') FROM invoice_job_actions"); got != "same a\uFFFDda\uFFFD 0 failed currency: XYZ is not known" {
		t.Errorf("on record: %s", got)
	}
	past, err := b.store.Reports.History(t.Context(), "", 10)
	if err != nil || len(past) != 1 || past[0].CameTo != "accepted" || past[0].Outcome != "failed" {
		t.Errorf("history %+v, error %v", past, err)
	}
}

func TestDismiss(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if err := b.store.Ledger.Record(t.Context(), end("a", invoice.Conflict, nil)); err != nil {
		t.Fatal(err)
	}
	by := ledger.Actor{Name: "ada", Note: "credited"}
	if err := b.store.Ledger.Dismiss(t.Context(), "z", by); !errors.Is(err, ledger.ErrNoJob) {
		t.Errorf("an unknown job: error %v", err)
	}
	if err := b.store.Ledger.Dismiss(t.Context(), "a", by); err != nil {
		t.Error(err)
	}
	var other *ledger.StateError
	if err := b.store.Ledger.Dismiss(t.Context(), "a", by); !errors.As(err, &other) || other.State != "dismissed" {
		t.Errorf("a dismissed job: error %v", err)
	}
	if n := b.Count(t, "SELECT count(*) FROM invoice_job_actions"); n != 1 {
		t.Errorf("%d actions on record", n)
	}
}

// A batch tells where the next one begins, also when there was nothing to prune in it.
func TestPruneGoesOn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	made := b.create(t, "first", job(t, "T1"))
	for _, id := range []string{"b", "c", "d"} {
		if err := b.store.Ledger.Record(t.Context(), end(id, invoice.Duplicate, made)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.DB.ExecContext(t.Context(), "UPDATE duplicate_attempts SET attempted_at = now() - interval '2 hours' WHERE job_id <> 'b'"); err != nil {
		t.Fatal(err)
	}
	keep := postgres.Retention{Jobs: time.Hour, Duplicates: time.Hour, FailedPayloads: time.Hour}
	for _, dryRun := range []bool{true, false} {
		after, removed := int64(0), []int{}
		for {
			step, err := b.store.Ledger.Prune(t.Context(), postgres.DuplicateAttempts, keep, after, 1, dryRun)
			if err != nil {
				t.Fatal(err)
			}
			if step.Looked == 0 {
				break
			}
			after, removed = step.Last, append(removed, step.Removed)
		}
		if !slices.Equal(removed, []int{0, 1, 1}) {
			t.Errorf("dry run %t: removed %v", dryRun, removed)
		}
	}
	if n := b.Count(t, "SELECT count(*) FROM duplicate_attempts"); n != 1 {
		t.Errorf("%d attempts are left", n)
	}
	if _, err := b.store.Ledger.Prune(t.Context(), "invoices", keep, 0, 1, false); err == nil {
		t.Error("invoices can be pruned")
	}
}

// A job asks for the series that it states, and else for the default; whatever its payload is, nothing fails.
func TestFailedJobsBySeries(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for id, payload := range map[string]any{
		"uk":         `{"version":1, "series" : "INV-UK","lines":[]}`,
		"uk-late":    `{"metadata":{"series":"OTHER","note":"a \"series\":\"X\" }"},"series":"INV-UK"}`,
		"none":       `{"version":1}`,
		"null":       `{"series":null}`,
		"empty":      `{"series":""}`,
		"metadata":   `{"metadata" : { "a" : "}{" , "series" : "INV-UK" } }`,
		"bad":        `{"series":"INV-UK", and then`,
		"text":       `it says \"series\":\"INV-UK\"`,
		"not a text": nil,
	} {
		b.Exec(t, "INSERT INTO invoice_jobs (job_id, queue, payload, state, outcome, reason) VALUES ($1, 'default', $2, 'failed', 'failed', 'r')", id, payload)
	}
	b.Exec(t, "INSERT INTO invoice_jobs (job_id, queue, payload, state, outcome, reason, task_type) VALUES ('foreign', 'default', '{}', 'failed', 'invalid', 'r', 'x')")
	for _, test := range []struct {
		series, byDefault string
		want              []string
	}{
		{"INV-UK", "INV", []string{"bad", "uk", "uk-late"}},
		{"INV", "INV", []string{"empty", "metadata", "none", "null", "text"}},
		{"OTHER", "INV", nil},
		{"INV", "OTHER", nil},
		{"INV-UK", "INV-UK", []string{"bad", "empty", "metadata", "none", "null", "text", "uk", "uk-late"}},
	} {
		filter := ledger.FailedFilter{Series: test.series, DefaultSeries: test.byDefault}
		n, _, err := b.store.Ledger.CountFailed(t.Context(), filter)
		if err != nil || n != len(test.want) {
			t.Errorf("%+v: %d, %v", test, n, err)
		}
		jobs, err := b.store.Reports.FailedJobs(t.Context(), filter, report.FailedJob{}, 100)
		var ids []string
		for _, j := range jobs {
			ids = append(ids, j.JobID)
		}
		if slices.Sort(ids); err != nil || !slices.Equal(ids, test.want) {
			t.Errorf("%+v: failed jobs %q, %v", test, ids, err)
		}
		for _, state := range []string{"", "failed"} {
			page, err := b.store.Reports.Jobs(t.Context(), report.Filter{Series: test.series, DefaultSeries: test.byDefault, State: state}, "", 100)
			ids = nil
			for _, j := range page.Rows {
				ids = append(ids, j.JobID)
			}
			if slices.Sort(ids); err != nil || !slices.Equal(ids, test.want) {
				t.Errorf("%+v: list of state %q: %q, %v", test, state, ids, err)
			}
		}
	}
}
