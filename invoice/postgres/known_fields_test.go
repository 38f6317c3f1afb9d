package postgres_test

import (
	"errors"
	"strings"
	"testing"

	"invoicer/invoice"
)

// A worker of the release before, to which a job is invalid for a field that it doesn't know, is told to leave the job to others, whether the
// ledger has accepted it or not.
func TestWorkersThatKnowNoCreditor(t *testing.T) {
	t.Parallel()
	b := setup(t)
	job := termsJob(t, "T1", `"payment":{"means_code":"59","iban":"DE02120300000000202051","mandate":"M","creditor_id":"DE98ZZZ09999999999"},"lines":[{"quantity":1,"unit_price":"9.99"}]`)
	id := b.accepted(t, string(encoded(t, job)), "enqueued")
	const reason = `'invalid job: due_date must be a date such as 2010-12-31; payment.creditor_id is no field of this object; correct this in the billing service and send the job again'`
	const direct = `INSERT INTO invoice_jobs (job_id, transaction_id, queue, payload, state, outcome, reason, attempts) VALUES ('direct', 'T2', 'default', '{}', 'failed', `
	b.refuses(t, direct+`'invalid', `+reason+`, 1)`, "55P03", "invoice_jobs_known")
	b.refuses(t, `UPDATE invoice_jobs SET state = 'failed', outcome = 'invalid', reason = `+reason, "55P03", "invoice_jobs_known")
	b.Exec(t, direct+`'invalid', 'payment.mandate must not have more than 200 characters', 1), ('poison', NULL, 'default', NULL, 'failed', 'failed', `+reason+`, 1)`)
	if got := b.Text(t, "SELECT string_agg(job_id, ' ' ORDER BY id) FROM invoice_jobs WHERE state = 'failed'"); got != "direct poison" {
		t.Errorf("failed: %s", got)
	}
	r := request(id, job)
	r.Payload = encoded(t, job)
	if _, err := b.generator.Generate(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if state := b.Text(t, "SELECT state || ' ' || outcome FROM invoice_jobs WHERE job_id = $1", id); state != "done created" {
		t.Errorf("the job is %s", state)
	}
}

// What this program finds invalid is recorded, whatever a job calls its fields, and goes on as other failed jobs do.
func TestAFieldThatSoundsUnknownIsRecorded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	payload := strings.Replace(good, "{", `{"version":2,"payment":{"payment.creditor_id is no field of this object":1},`, 1)
	_, err := invoice.Decode([]byte(payload))
	var invalid *invoice.InvalidError
	if !errors.As(err, &invalid) {
		t.Fatal(err)
	}
	e := end("direct", invoice.Invalid, nil)
	e.Payload, e.Detail = []byte(payload), err.Error()
	if err := b.store.Ledger.Record(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	b.Exec(t, "UPDATE invoice_jobs SET state = 'dismissed', updated_at = now()")
	if got := b.Text(t, "SELECT outcome || ' ' || (reason LIKE '%payment.creditor_id is no field of this object%') FROM invoice_jobs"); got != "invalid true" {
		t.Errorf("recorded: %s", got)
	}
}
