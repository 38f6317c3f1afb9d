package invoice

import (
	"context"
	"fmt"
)

// Replaced says how the document stands that another one is to stand in for. Of a document that isn't here, and whose job the ledger
// doesn't have either, nothing is known, and the zero value says that nothing is in the way.
type Replaced struct {
	Left   *LeftOver // nil if it is credited in full, or nobody can know
	Waits  *Awaited  // a job under way that is to make it, or to credit it
	Failed string    // the job that was to make it, if it has failed
	Circle bool      // a job that is waited for waits for this one, at the end
}

// LeftOver is what is left of a document that isn't credited in full. Amounts are in minor units of its currency, tax included.
type LeftOver struct {
	Number   string `json:"number"`
	Currency string `json:"currency"`
	Full     int64  `json:"full"` // what it comes to
	Left     int64  `json:"left"`
}

// Awaited is a job under way.
type Awaited struct{ JobID, TransactionID string }

const replacesField = "replaces_transaction_id"

// Invalid returns the [*InvalidError] of a job that replaces the transaction's document.
func (l *LeftOver) Invalid(transactionID string) error {
	return notReplaced("names transaction_id %s, of which %s %s of %s are left (%s): by the setting replaces, it has to be credited in full; credit the rest first, then replay this job",
		transactionID, FormatMinor(l.Left, l.Currency), l.Currency, FormatMinor(l.Full, l.Currency), l.Number)
}

func notReplaced(format string, args ...any) error {
	return &InvalidError{Replayable: true, Problems: []Problem{{Field: replacesField, Message: fmt.Sprintf(format, args...)}}}
}

// Replaces returns the transaction that the job's document stands in for, "" for none.
func (j *Job) Replaces() string {
	if j.Terms == nil {
		return ""
	}
	return j.Terms.ReplacesTransactionID
}

// checkReplaced returns an [*InvalidError] if the settings want what the job's document replaces to be credited in full, and it isn't, and
// a [*CreditWaitsError] while a job is under way that is to make or to credit it, unless dry.
func (g *Generator) checkReplaced(ctx context.Context, j *Job, settings *Settings, dry bool) error {
	id := j.Replaces()
	if !settings.CreditReplaced || id == "" {
		return nil
	}
	replaced, err := g.store.Replaced(ctx, j)
	switch {
	case err != nil:
		return err
	case replaced.Circle:
		return notReplaced("names transaction_id %s, which waits for this one: state what this one replaces, or leave it out", id)
	case replaced.Waits != nil && dry:
		return nil // it is credited by then
	case replaced.Waits != nil && replaced.Waits.TransactionID == id:
		return &CreditWaitsError{TransactionID: id, JobID: replaced.Waits.JobID, Why: "which it replaces"}
	case replaced.Waits != nil:
		return &CreditWaitsError{TransactionID: replaced.Waits.TransactionID, JobID: replaced.Waits.JobID, Why: "which credits transaction_id " + id + ", which it replaces"}
	case replaced.Left != nil:
		return replaced.Left.Invalid(id)
	case replaced.Failed != "":
		return notReplaced("names transaction_id %s, which isn't invoiced: its job %s has failed; replay both, or dismiss that one if it was invoiced elsewhere", id, replaced.Failed)
	}
	return nil
}
