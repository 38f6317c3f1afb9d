package ledger

import (
	"time"

	"invoicer/invoice"
)

// An End is how a job ended. It is recorded before the queue is told. The outcome decides what is recorded: a
// duplicate attempt, a failed job, or, for an invoice, no more than the state of the ledger's row, if the job has
// one.
type End struct {
	JobID   string
	Outcome invoice.Outcome
	Invoice *invoice.Ref   // created, duplicate: the transaction's invoice
	Reason  invoice.Reason // duplicate
	Differs []string       // duplicate: the fields in which it differs from its invoice, which settings allow
	Detail  string         // conflict, invalid, failed: why, in words that hold no personal data

	Issuer         string // "" if the payload states none
	TransactionID  string // "" if the payload doesn't state it
	IdempotencyKey string // likewise
	Producer       string
	Worker         string
	Queue          string
	TaskType       string // "" for an invoice's job; else the task's type in the queue, which the worker doesn't know
	Payload        []byte
	Attempts       int

	// Began is when the attempt that came to this end began, with its monotonic reading. The zero time if that isn't known.
	Began time.Time

	// LedgerOnly refuses a good end of a job that the ledger hasn't accepted.
	LedgerOnly bool
}
