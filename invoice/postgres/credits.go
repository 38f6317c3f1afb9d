package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"invoicer/invoice"
)

// mostWaits is how many documents may wait for one another.
const mostWaits = 50

// Credit implements [invoice.CreditBook].
func (s *Invoices) Credit(ctx context.Context, j *invoice.Job, totals *invoice.Totals) (invoice.Credit, error) {
	var rates, amounts array
	unrated := totals.Total
	for i := 0; i < len(totals.Taxes); {
		percent, amount := totals.Taxes[i].Percent, int64(0)
		for ; i < len(totals.Taxes) && totals.Taxes[i].Percent == percent; i++ {
			amount += totals.Taxes[i].Net + totals.Taxes[i].Tax
		}
		rates.decimal(&percent)
		amounts.integer(amount)
		unrated -= amount
	}
	if !j.HasSeveralTaxes() { // else what is without a rate can't be told from the rows of those documents either
		rates.addNull()
		amounts.integer(unrated)
	}
	var found struct {
		Problem         *string
		Here            bool
		Waiting, Failed *string
		Payload         *string
	}
	err := s.db.WithContext(ctx).Raw(`
SELECT invoicer.credit_problem(@issuer, @transaction, @credited, @currency, @dated, @total, CAST(@rates AS numeric[]), CAST(@amounts AS numeric[]), NULL)::text AS problem,
    EXISTS (SELECT FROM invoicer.invoices WHERE issuer = @issuer AND transaction_id = @credited)
        OR EXISTS (SELECT FROM invoicer.imported_invoices WHERE issuer = @issuer AND transaction_id = @credited AND withdrawn_at IS NULL) AS here,
    waiting.job_id AS waiting, waiting.payload,
    (SELECT job_id FROM invoicer.invoice_jobs WHERE issuer = @issuer AND transaction_id = @credited AND state = 'failed' ORDER BY id DESC LIMIT 1) AS failed
FROM (SELECT) AS one LEFT JOIN LATERAL (`+waitingJob+`) AS waiting ON true`, map[string]any{
		"issuer": j.Issuer, "transaction": j.TransactionID, "credited": j.CreditsTransactionID, "currency": j.Currency, "dated": j.IssuedAt,
		"total": totals.Total, "rates": &rates, "amounts": &amounts,
	}).Scan(&found).Error
	switch {
	case err != nil:
		return invoice.Credit{}, classify(err)
	case found.Problem != nil:
		problem, err := creditProblem(*found.Problem)
		return invoice.Credit{Problem: problem}, err
	case found.Here:
		return invoice.Credit{}, nil
	case found.Waiting != nil:
		return s.waits(ctx, j, *found.Waiting, found.Payload)
	}
	return invoice.Credit{Failed: text(found.Failed)}, nil
}

// waitingJob selects a job that is under way for the document to be credited.
const waitingJob = `SELECT job_id, payload FROM invoicer.invoice_jobs WHERE issuer = @issuer AND transaction_id = @credited AND state IN ('accepted', 'enqueued') ORDER BY id LIMIT 1`

// waits says of a document whose credited one is waited for whether that waits for this one, perhaps through others.
func (s *Invoices) waits(ctx context.Context, j *invoice.Job, jobID string, payload *string) (invoice.Credit, error) {
	waits := invoice.Credit{Waits: jobID}
	for range mostWaits {
		if payload == nil {
			return waits, nil
		}
		waiting, err := invoice.Decode([]byte(*payload))
		if err != nil || waiting.CreditsTransactionID == "" {
			return waits, nil //nolint:nilerr // a job that is invalid waits for nothing
		}
		if waiting.CreditsTransactionID == j.TransactionID {
			return invoice.Credit{Circle: true}, nil
		}
		var next []struct{ Payload *string }
		err = s.db.WithContext(ctx).Raw(waitingJob, map[string]any{"issuer": j.Issuer, "credited": waiting.CreditsTransactionID}).Scan(&next).Error
		if err != nil {
			return invoice.Credit{}, classify(err)
		}
		if len(next) == 0 {
			return waits, nil
		}
		payload = next[0].Payload
	}
	return invoice.Credit{Problem: invoice.TooDeepCredit()}, nil
}

func creditProblem(text string) (*invoice.CreditProblem, error) {
	problem := new(invoice.CreditProblem)
	if err := json.Unmarshal([]byte(text), problem); err != nil {
		return nil, fmt.Errorf("the database's answer about a credit: %w", err)
	}
	return problem, nil
}

// refusedCredit returns the [*invoice.InvalidError] of a document that the database refused because of what it credits.
func refusedCredit(err error, currency string) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return err
	}
	problem, err := creditProblem(pg.Detail)
	if err != nil {
		return err
	}
	return problem.Invalid(currency)
}
