package audit

import (
	"context"
	"encoding/json"
	"maps"
	"strings"

	"github.com/jackc/pgx/v5"

	"invoicer/invoice"
)

// jobBatch is small enough for memory even if every payload has the largest size.
const jobBatch = 64

// A doneJob is a job of the ledger that has ended well, together with its invoice or its import.
type doneJob struct {
	jobID, issuer, outcome, payload            string
	number, fingerprint, idempotencyKey, extra string
	isImported, mayDiffer                      bool
	imported                                   invoice.Imported
}

// selectDoneJobs leaves out invoices of another transaction or issuer, which the ledger's check finds, and jobs that were
// enqueued directly: if the row of such a job records an earlier failed run, the payload is that run's.
const selectDoneJobs = `
SELECT jobs.job_id, jobs.issuer, jobs.outcome, jobs.payload, coalesce(invoice_number, ''), coalesce(fingerprint, ''), coalesce(invoices.idempotency_key, ''), coalesce(metadata::text, ''),
    false, EXISTS (SELECT FROM duplicate_attempts d WHERE d.job_id = jobs.job_id AND d.differs IS NOT NULL), '', NULL::bigint
FROM invoice_jobs jobs JOIN invoices ON invoices.id = jobs.invoice_id AND invoices.issuer = jobs.issuer AND invoices.transaction_id = jobs.transaction_id
` + ofLedger + `
UNION ALL
SELECT jobs.job_id, jobs.issuer, jobs.outcome, jobs.payload, coalesce(invoice_number, ''), '', '', '', true, false, coalesce(imported.currency, ''), imported.total_minor
FROM invoice_jobs jobs JOIN imported_invoices imported ON imported.id = jobs.imported_id AND imported.issuer = jobs.issuer AND imported.transaction_id = jobs.transaction_id
` + ofLedger

const ofLedger = `WHERE jobs.state = 'done' AND jobs.dispatch > 0 AND jobs.payload IS NOT NULL AND jobs.outcome IS NOT NULL AND jobs.job_id IS NOT NULL`

func scanDoneJob(row pgx.CollectableRow) (j doneJob, err error) {
	err = row.Scan(&j.jobID, &j.issuer, &j.outcome, &j.payload, &j.number, &j.fingerprint, &j.idempotencyKey, &j.extra, &j.isImported, &j.mayDiffer, &j.imported.Currency, &j.imported.Total)
	return j, err
}

// accepted compares the payloads that the ledger accepted, as far as they are kept, with the invoices made from them.
func (s *session) accepted(ctx context.Context, total int64) (Check, error) {
	check := Check{
		Name: "accepted", Promises: []int{2, 7}, limit: s.options.Limit,
		Proves: "a done job's invoice is what the ledger had accepted",
	}
	s.options.Progress(check.Name, 0, total)
	jobs, err := declare(ctx, s.tx, "audit_jobs", selectDoneJobs, jobBatch, scanDoneJob)
	if err != nil {
		return check, err
	}
	for {
		job, err := jobs.peek(ctx)
		if err != nil || job == nil {
			return check, err
		}
		check.Examined++
		if problem := job.differs(); problem != "" {
			check.add("invoice_jobs", problem, append(append(Row{{"job_id", job.jobID}}, issued(job.issuer)...), Row{{"outcome", job.outcome}, {"invoice_number", job.number}}...))
		}
		jobs.take()
		if check.Examined%progressEvery == 0 {
			s.options.Progress(check.Name, check.Examined, total)
		}
	}
}

// differs returns how the invoice differs from the one that the job asked for, "" if it doesn't. Fields that aren't
// content are compared only with the job that made the invoice.
func (j *doneJob) differs() string {
	asked, err := invoice.Decode([]byte(j.payload))
	if err != nil {
		return "it was accepted with a payload that can't be an invoice, and is done"
	}
	if asked.Issuer != j.issuer {
		return "its invoice is of another issuer than was accepted"
	}
	if j.isImported {
		differs, err := j.imported.Differs(asked)
		if err != nil || len(differs) > 0 {
			return "its import has another " + strings.Join(differs, ", ") + " than was accepted"
		}
		return ""
	}
	if asked.Fingerprint() != j.fingerprint && (!j.mayDiffer || asked.IdempotencyKey != j.idempotencyKey) {
		return "its invoice has other content than was accepted"
	}
	if j.outcome != string(invoice.Created) {
		return ""
	}
	if asked.IdempotencyKey != j.idempotencyKey {
		return "its invoice has another idempotency key than was accepted"
	}
	if j.extra == "{}" && len(asked.Metadata) == 0 {
		return ""
	}
	var stored map[string]string
	if json.Unmarshal([]byte(j.extra), &stored) != nil || !maps.Equal(stored, asked.Metadata) {
		return "its invoice has other metadata than was accepted"
	}
	return ""
}
