package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"invoicer/invoice"
)

// awaited is a job under way.
type awaited struct {
	JobID         string
	TransactionID string
	Payload       *string
}

// Replaced implements [invoice.CreditBook].
func (s *Invoices) Replaced(ctx context.Context, j *invoice.Job) (invoice.Replaced, error) {
	replaced, waits, err := s.standing(ctx, j)
	if err != nil || len(waits) == 0 {
		return replaced, err
	}
	replaced.Waits = &invoice.Awaited{JobID: waits[0].JobID, TransactionID: waits[0].TransactionID}
	replaced.Circle, err = s.closesCircle(ctx, j, waits)
	return replaced, err
}

// mostLooked is how many jobs of each queue, and how many that aren't sent yet, are looked through for one that credits a document: those
// that were sent first.
const mostLooked = 10_000

// crediting selects the jobs under way that are to credit a document of which something is left, or what credits it.
const crediting = `WITH RECURSIVE family (transaction_id) AS (
    SELECT CAST(@replaced AS text)
    UNION
    SELECT i.transaction_id FROM family JOIN invoicer.invoices i ON i.issuer = @issuer AND i.credits_transaction_id = family.transaction_id
), jobs AS NOT MATERIALIZED (
    (SELECT * FROM invoicer.invoice_jobs WHERE state = 'accepted' AND paused_series IS NULL ORDER BY id LIMIT @looked)
    UNION ALL
    (SELECT * FROM invoicer.invoice_jobs WHERE paused_series IS NOT NULL ORDER BY paused_series, id LIMIT @looked)
    UNION ALL
    SELECT sent.* FROM (` + distinctQueues + `) AS queues CROSS JOIN LATERAL (
        SELECT * FROM invoicer.invoice_jobs WHERE state = 'enqueued' AND queue = queues.queue ORDER BY updated_at, id LIMIT @looked
    ) AS sent
)
SELECT job_id, transaction_id, payload FROM jobs
WHERE document.left_over IS NOT NULL AND issuer = @issuer AND transaction_id <> @transaction AND position('credits_transaction_id' IN payload) > 0
    AND invoicer.job_field(payload, 'credits_transaction_id') IN (SELECT transaction_id FROM family)
    AND NOT EXISTS (SELECT FROM invoicer.invoices i WHERE i.issuer = @issuer AND i.transaction_id = jobs.transaction_id)
ORDER BY id LIMIT @most`

// standing returns how the document stands that the job's one replaces, and the jobs under way that it waits for. All is of one
// snapshot: in any other order of reads, a credit note that is made between two of them could be missed.
func (s *Invoices) standing(ctx context.Context, j *invoice.Job) (invoice.Replaced, []awaited, error) {
	var rows []struct {
		LeftOver, Failed *string
		Here             bool
		JobID            *string
		TransactionID    *string
		Payload          *string
	}
	err := s.db.WithContext(ctx).Raw(`
SELECT document.left_over::text, document.failed, document.here, waiting.*
FROM (SELECT invoicer.replace_problem(@issuer, @transaction, @replaced) AS left_over,
    EXISTS (SELECT FROM invoicer.invoices WHERE issuer = @issuer AND transaction_id = @replaced)
        OR EXISTS (SELECT FROM invoicer.imported_invoices WHERE issuer = @issuer AND transaction_id = @replaced AND withdrawn_at IS NULL) AS here,
    (SELECT job_id FROM invoicer.invoice_jobs WHERE issuer = @issuer AND transaction_id = @replaced AND state = 'failed' ORDER BY id DESC LIMIT 1) AS failed
    OFFSET 0
) AS document LEFT JOIN LATERAL (
    (SELECT job_id, transaction_id, payload FROM invoicer.invoice_jobs
    WHERE NOT document.here AND issuer = @issuer AND transaction_id = @replaced AND state IN ('accepted', 'enqueued') ORDER BY id LIMIT 1)
    UNION ALL
    (`+crediting+`)
) AS waiting ON true`, map[string]any{
		"issuer": j.Issuer, "transaction": j.TransactionID, "replaced": j.Replaces(), "looked": mostLooked, "most": mostWaits,
	}).Scan(&rows).Error
	if err != nil || len(rows) == 0 {
		return invoice.Replaced{}, nil, classify(err)
	}
	var replaced invoice.Replaced
	if left := rows[0].LeftOver; left != nil {
		if replaced.Left, err = leftOver(*left); err != nil {
			return invoice.Replaced{}, nil, err
		}
	}
	if !rows[0].Here {
		replaced.Failed = text(rows[0].Failed)
	}
	var waits []awaited
	for _, row := range rows {
		if row.JobID != nil {
			waits = append(waits, awaited{*row.JobID, text(row.TransactionID), row.Payload})
		}
	}
	return replaced, waits, nil
}

// closesCircle says whether one of the jobs that a job waits for waits for the job's own document, perhaps by way of others. Of so many
// that not all can be followed, the rest is followed once these have ended.
func (s *Invoices) closesCircle(ctx context.Context, j *invoice.Job, waits []awaited) (bool, error) {
	seen := make(map[string]struct{})
	for n := 0; n < len(waits) && len(seen) < mostWaits; n++ {
		next := waits[n]
		if next.TransactionID == j.TransactionID {
			return true, nil
		}
		if _, known := seen[next.TransactionID]; known || next.Payload == nil {
			continue
		}
		seen[next.TransactionID] = struct{}{}
		waiting, err := invoice.Decode([]byte(*next.Payload))
		if err != nil {
			continue // a job that is invalid waits for nothing
		}
		if waiting.CreditsTransactionID != "" {
			var credited []awaited
			err := s.db.WithContext(ctx).Raw(`SELECT waiting.job_id, CAST(@credited AS text) AS transaction_id, waiting.payload FROM (`+waitingJob+`) AS waiting
WHERE NOT EXISTS (SELECT FROM invoicer.invoices WHERE issuer = @issuer AND transaction_id = @credited)`,
				map[string]any{"issuer": j.Issuer, "credited": waiting.CreditsTransactionID}).Scan(&credited).Error
			if err != nil {
				return false, classify(err)
			}
			waits = append(waits, credited...)
		}
		if waiting.Replaces() != "" {
			_, behind, err := s.standing(ctx, waiting)
			if err != nil {
				return false, err
			}
			waits = append(waits, behind...)
		}
	}
	return false, nil
}

func leftOver(text string) (*invoice.LeftOver, error) {
	left := new(invoice.LeftOver)
	if err := json.Unmarshal([]byte(text), left); err != nil {
		return nil, fmt.Errorf("the database's answer about a replaced document: %w", err)
	}
	return left, nil
}

// refusedReplacement returns the [*invoice.InvalidError] of a document that the database refused because of what it replaces.
func refusedReplacement(err error, replaced string) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return err
	}
	left, err := leftOver(pg.Detail)
	if err != nil {
		return err
	}
	return left.Invalid(replaced)
}
