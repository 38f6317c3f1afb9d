package postgres

import (
	"context"
	"strings"
	"time"

	"gorm.io/gorm"

	"invoicer/internal/report"
	"invoicer/invoice"
	"invoicer/invoice/ledger"
)

// CountFailed returns the number of failed jobs that match the filter, and the time by the database's clock.
func (s *Ledger) CountFailed(ctx context.Context, f ledger.FailedFilter) (n int, now time.Time, err error) {
	where, values := failedWhere(f)
	err = s.db.WithContext(ctx).Raw("SELECT count(*), now() FROM invoicer.invoice_jobs WHERE "+where, values...).Row().Scan(&n, &now)
	return n, now, classify(err)
}

// pageBytes bounds the payloads of one page; a page may exceed it by one payload.
const pageBytes = 16 << 20

// Failed returns up to limit of the failed jobs that match the filter, in the order in which they failed, beginning
// after the given job (its FailedAt and ID). A page with large payloads is shorter; it is empty only after the last
// job.
func (s *Ledger) Failed(ctx context.Context, f ledger.FailedFilter, after ledger.FailedJob, limit int) ([]ledger.FailedJob, error) {
	where, values := failedWhere(f)
	values = append(values, after.FailedAt, after.ID, limit, pageBytes)
	var rows []failedRow
	err := s.db.WithContext(ctx).Raw(`
SELECT * FROM (
    SELECT *, sum(coalesce(octet_length(payload), 0)) OVER (ORDER BY updated_at, id) - coalesce(octet_length(payload), 0) AS before FROM (
        SELECT id, job_id, issuer, transaction_id, producer, queue, payload, payload_raw IS NOT NULL AS no_text, task_type, outcome, reason, dispatch, accepted_at, updated_at
        FROM invoicer.invoice_jobs WHERE `+where+` AND (updated_at, id) > (?, ?) ORDER BY updated_at, id LIMIT ?
    ) listed
) page WHERE before <= ? ORDER BY updated_at, id`, values...).Scan(&rows).Error
	if err != nil {
		return nil, classify(err)
	}
	jobs := make([]ledger.FailedJob, len(rows))
	for i, r := range rows {
		jobs[i] = ledger.FailedJob{
			ID: r.ID, JobID: r.JobID, Issuer: r.Issuer, TransactionID: text(r.TransactionID), Producer: text(r.Producer), Queue: r.Queue,
			NoText: r.NoText, TaskType: text(r.TaskType), Outcome: invoice.Outcome(r.Outcome), Reason: r.Reason, Dispatch: r.Dispatch, AcceptedAt: r.AcceptedAt,
			FailedAt: r.UpdatedAt,
		}
		if r.Payload != nil {
			jobs[i].Payload = []byte(*r.Payload)
		}
	}
	return jobs, nil
}

type failedRow struct {
	ID            int64
	JobID         string
	Issuer        string
	TransactionID *string
	Producer      *string
	Queue         string
	Payload       *string
	NoText        bool
	TaskType      *string
	Outcome       string
	Reason        string
	Dispatch      int
	AcceptedAt    time.Time
	UpdatedAt     time.Time
}

// failedWhere returns the filter as SQL conditions, with their values.
func failedWhere(f ledger.FailedFilter) (where string, values []any) {
	conditions := []string{"state = 'failed'"}
	add := func(set bool, condition string, value any) {
		if set {
			conditions, values = append(conditions, condition), append(values, value)
		}
	}
	add(len(f.JobIDs) > 0, "job_id = ANY(?::text[])", &f.JobIDs)
	add(len(f.TransactionIDs) > 0, "transaction_id = ANY(?::text[])", &f.TransactionIDs)
	outcomes := make([]string, len(f.Outcomes))
	for i, o := range f.Outcomes {
		outcomes[i] = string(o)
	}
	add(len(outcomes) > 0, "outcome = ANY(?::text[])", &outcomes)
	add(f.Reason != "", "strpos(lower(reason), lower(?)) > 0", f.Reason)
	add(!f.Since.IsZero(), "updated_at >= ?", f.Since)
	add(!f.Until.IsZero(), "updated_at <= ?", f.Until)
	add(f.Queue != "", "queue = ?", f.Queue)
	add(f.Producer != "", "producer = ?", f.Producer)
	add(f.Issuer != nil, "issuer = ?", f.Issuer)
	add(f.Issuers != nil, "issuer = ANY(?::text[])", textsOrNull(f.Issuers))
	if f.Series != "" {
		condition, wanted := asksFor(f.Series, f.DefaultSeries)
		conditions, values = append(conditions, condition), append(values, wanted...)
	}
	add(f.Cause != "", causeOf+" = ?", f.Cause)
	return strings.Join(conditions, " AND "), values
}

// statedSeries is the series that a job's payload states, as an SQL expression: empty or NULL if it states none. It takes the payload for
// a text, because not each is JSON and a cast of the others would be an error. The key is found by its form. It might be one of
// metadata, which is the only object within with keys that producers choose.
const statedSeries = `CASE WHEN strpos(payload, '"series"') = 0 THEN ''
    WHEN strpos(payload, '"metadata"') = 0 OR strpos(payload, '"metadata"') > strpos(payload, '"series"') THEN substring(payload FROM '"series"\s*:\s*"([^"\\]*)"')
    ELSE substring(regexp_replace(payload, '"metadata"\s*:\s*\{([\s,:]*"([^"\\]|\\.)*")*\s*\}', '') FROM '"series"\s*:\s*"([^"\\]*)"') END`

// asksFor returns the condition that a row of invoice_jobs is a job which asks for a series, with its values.
func asksFor(series, byDefault string) (condition string, values []any) {
	condition = "payload IS NOT NULL AND task_type IS NULL AND coalesce(nullif(" + statedSeries + ", ''), ?) = ?"
	if series == byDefault {
		return condition, []any{byDefault, series}
	}
	// Most jobs of other series don't have its name, which takes a tenth of the time to see.
	return "CASE WHEN strpos(payload, ?) > 0 THEN " + condition + " ELSE false END", []any{`"` + series + `"`, byDefault, series}
}

// Replay makes failed jobs accepted again, so that a relay dispatches them anew. It updates each row from the job's
// payload, and records the actor. It changes all jobs in one transaction, but skips a job whose row has changed since it was
// listed. It returns the ids of the jobs that it changed.
func (s *Ledger) Replay(ctx context.Context, jobs []ledger.Replay, by ledger.Actor) (replayed []string, err error) {
	err = s.autocommit(ctx, func(db *gorm.DB) (err error) {
		replayed, err = replay(db, jobs, by)
		return err
	})
	return replayed, classify(err)
}

func replay(db *gorm.DB, jobs []ledger.Replay, by ledger.Actor) (replayed []string, err error) {
	ids, dispatches := make([]int64, len(jobs)), make([]int64, len(jobs))
	issuers, transactions, keys, producers := make([]string, len(jobs)), make([]string, len(jobs)), make([]string, len(jobs)), make([]*string, len(jobs))
	for i, r := range jobs {
		ids[i], dispatches[i] = r.Failed.ID, int64(r.Failed.Dispatch)
		issuers[i], transactions[i], keys[i], producers[i] = r.Job.Issuer, r.Job.TransactionID, r.Job.IdempotencyKey, nullable(r.Job.Producer)
	}
	// The rows are locked in the order of their ids, so that two replays of the same jobs can't deadlock.
	err = db.Raw(`
WITH asked AS (
    SELECT * FROM unnest(?::bigint[], ?::bigint[], ?::text[], ?::text[], ?::text[], ?::text[])
        AS asked (id, dispatch, issuer, transaction_id, idempotency_key, producer)
), was AS (
    SELECT jobs.id, jobs.job_id, jobs.dispatch, jobs.outcome, jobs.reason FROM invoicer.invoice_jobs jobs JOIN asked USING (id)
    WHERE jobs.state = 'failed' AND jobs.dispatch = asked.dispatch AND jobs.payload IS NOT NULL
    ORDER BY jobs.id FOR UPDATE OF jobs
), replayed AS (
    UPDATE invoicer.invoice_jobs jobs SET state = 'accepted', dispatch = jobs.dispatch + 1, attempts = 0, outcome = NULL, reason = NULL, invoice_id = NULL,
        issuer = asked.issuer, transaction_id = asked.transaction_id, idempotency_key = asked.idempotency_key, producer = asked.producer, updated_at = now()
    FROM was JOIN asked ON asked.id = was.id WHERE jobs.id = was.id AND jobs.state = 'failed'
    RETURNING jobs.id
)
INSERT INTO invoicer.invoice_job_actions (job_id, action, actor, note, dispatch, outcome, reason)
SELECT was.job_id, 'replay', ?, ?, was.dispatch, was.outcome, was.reason FROM was JOIN replayed USING (id) ORDER BY was.id
RETURNING job_id`,
		&ids, &dispatches, &issuers, &transactions, &keys, &producers, storable(by.Name), nullable(storable(by.Note))).Scan(&replayed).Error
	return replayed, err
}

// History returns up to limit actions, the latest first: those on one job, or on all jobs if jobID is "".
func (s *Reports) History(ctx context.Context, jobID string, limit int) ([]report.PastAction, error) {
	where, values := "", []any{limit}
	if jobID != "" {
		where, values = "WHERE job_id = ?", []any{jobID, limit}
	}
	past := []report.PastAction{}
	err := s.db.WithContext(ctx).Raw(`
SELECT acts.*, jobs.transaction_id,
    CASE WHEN acts.action = 'dismiss' THEN 'dismissed' WHEN next.id IS NOT NULL THEN next.outcome ELSE coalesce(jobs.outcome, jobs.state) END AS came_to,
    CASE WHEN next.id IS NULL THEN coalesce(invoices.invoice_number, imported.invoice_number) END AS invoice_number
FROM (SELECT * FROM invoicer.invoice_job_actions `+where+` ORDER BY id DESC LIMIT ?) acts
JOIN invoicer.invoice_jobs jobs ON jobs.job_id = acts.job_id
LEFT JOIN invoicer.invoices ON invoices.id = jobs.invoice_id
LEFT JOIN invoicer.imported_invoices imported ON imported.id = jobs.imported_id
LEFT JOIN LATERAL (
    SELECT later.id, later.outcome FROM invoicer.invoice_job_actions later WHERE later.job_id = acts.job_id AND later.id > acts.id ORDER BY later.id LIMIT 1
) next ON true
ORDER BY acts.id DESC`, values...).Scan(&past).Error
	return past, classify(err)
}
