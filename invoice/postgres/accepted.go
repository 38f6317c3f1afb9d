package postgres

import "context"

// Accepted returns the payload that the ledger has accepted under a job id, nil if the payload isn't kept any more.
// ok reports whether the ledger has accepted the job.
func (s *Ledger) Accepted(ctx context.Context, jobID string) (payload []byte, ok bool, err error) {
	var rows []struct{ Payload *string }
	err = s.db.WithContext(ctx).Raw("SELECT payload FROM invoicer.invoice_jobs WHERE job_id = ? AND "+ours, jobID).Scan(&rows).Error
	if err != nil || len(rows) == 0 {
		return nil, false, classify(err)
	}
	if rows[0].Payload != nil {
		payload = []byte(*rows[0].Payload)
	}
	return payload, true, nil
}

// CountAttempt counts a failed attempt at a job of the ledger, and returns the number of failed attempts since the
// job was accepted or replayed. It returns 0 for a job that the ledger doesn't have, or that has ended well. If the
// payload differs from the accepted one, it counts nothing and returns an [*ledger.AlteredError].
func (s *Ledger) CountAttempt(ctx context.Context, jobID string, payload []byte) (int, error) {
	var rows []struct {
		Attempts int
		Altered  bool
		Accepted *string
	}
	err := s.db.WithContext(ctx).Raw(`
WITH job AS (
    SELECT id, payload, encode(sha256(convert_to(payload, 'UTF8')), 'hex') <> ? AS altered FROM invoicer.invoice_jobs
    WHERE job_id = ? AND state IN ('enqueued', 'failed') AND `+ours+`
), counted AS (
    UPDATE invoicer.invoice_jobs SET attempts = attempts + 1 FROM job WHERE invoice_jobs.id = job.id AND job.altered IS NOT TRUE AND state IN ('enqueued', 'failed')
    RETURNING attempts
)
SELECT coalesce((SELECT attempts FROM counted), 0) AS attempts, coalesce(altered, false) AS altered, CASE WHEN altered THEN payload END AS accepted
FROM job`, digest(payload), jobID).Scan(&rows).Error
	if err != nil || len(rows) == 0 {
		return 0, classify(err)
	}
	if rows[0].Altered {
		return 0, altered(jobID, rows[0].Accepted)
	}
	return rows[0].Attempts, nil
}
