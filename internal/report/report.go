// Package report has the plain types that commands show and print as JSON: invoices, jobs, sums. JSON keys are named like the
// database's columns. They are part of the program's interface and don't change.
package report

import (
	"encoding/json"
	"time"
)

// Records are all that is on record about one transaction, or about one job.
type Records struct {
	TransactionID     *string     `json:"transaction_id"` // null for a job whose payload states none
	Invoice           *Invoice    `json:"invoice"`
	DuplicateAttempts []Duplicate `json:"duplicate_attempts"`
	Jobs              []Job       `json:"jobs"`
}

// Known reports whether there is any record.
func (r *Records) Known() bool {
	return r.Invoice != nil || len(r.DuplicateAttempts) > 0 || len(r.Jobs) > 0
}

// An Invoice is an invoice's row, with the number of its lines.
type Invoice struct {
	ID                   int64           `json:"id"`
	InvoiceNumber        string          `json:"invoice_number"`
	Kind                 string          `json:"kind"`
	Series               string          `json:"series"`
	Period               string          `json:"period"`
	Number               int64           `json:"number"`
	TransactionID        string          `json:"transaction_id"`
	IdempotencyKey       string          `json:"idempotency_key"`
	JobID                string          `json:"job_id"`
	Fingerprint          string          `json:"fingerprint"`
	CreditsTransactionID *string         `json:"credits_transaction_id"`
	Currency             string          `json:"currency"`
	SubtotalMinor        int64           `json:"subtotal_minor"`
	TaxMinor             int64           `json:"tax_minor"`
	TotalMinor           int64           `json:"total_minor"`
	IssuedAt             time.Time       `json:"issued_at"`
	Metadata             json.RawMessage `json:"metadata"`
	CreatedAt            time.Time       `json:"created_at"`
	Lines                int             `json:"lines"`
}

// A Duplicate is a recorded duplicate.
type Duplicate struct {
	ID             int64     `json:"id"`
	JobID          string    `json:"job_id"`
	IdempotencyKey string    `json:"idempotency_key"`
	InvoiceID      int64     `json:"invoice_id"`
	Reason         string    `json:"reason"`
	Producer       *string   `json:"producer"`
	Worker         string    `json:"worker"`
	AttemptedAt    time.Time `json:"attempted_at"`
}

// A Job is a job of the ledger, with the actions on it.
type Job struct {
	LedgerRow
	// InvoicedSince is set for a failed job whose transaction was invoiced after the failure: the invoice's number.
	InvoicedSince *string `json:"invoiced_since"`
	// Actions are the actions on the job, the latest last.
	Actions []JobAction `json:"actions"`
	// FailedAttempts are those after which the job was tried again, the latest last.
	FailedAttempts []Attempt `json:"failed_attempts"`
}

// A LedgerRow is a job's row in the ledger, without its payload.
type LedgerRow struct {
	ID             int64     `json:"id"`
	JobID          string    `json:"job_id"`
	IdempotencyKey *string   `json:"idempotency_key"`
	Producer       *string   `json:"producer"`
	Queue          string    `json:"queue"`
	State          string    `json:"state"`
	Outcome        *string   `json:"outcome"`
	Reason         *string   `json:"reason"`
	InvoiceID      *int64    `json:"invoice_id"`
	Dispatch       int       `json:"dispatch"`
	Attempts       int       `json:"attempts"`
	AcceptedAt     time.Time `json:"accepted_at"`
	UpdatedAt      time.Time `json:"updated_at"`
}

// A JobAction is an action on a failed job.
type JobAction struct {
	ID       int64     `json:"id"`
	JobID    string    `json:"job_id"`
	Action   string    `json:"action"` // replay, dismiss, restore
	Actor    string    `json:"actor"`
	Role     *string   `json:"role"` // the database's name for the actor; null for an action of an earlier release
	Note     *string   `json:"note"`
	Dispatch int       `json:"dispatch"` // the one that had failed
	Outcome  string    `json:"outcome"`  // of that dispatch
	Reason   string    `json:"reason"`   // of that dispatch
	ActedAt  time.Time `json:"acted_at"`
}

// A PastAction is an action and its result.
type PastAction struct {
	JobAction
	TransactionID *string `json:"transaction_id"`
	// CameTo is the job's outcome, or its state while it has no outcome: as it was before the next action, or, after
	// the last action, as it is now.
	CameTo        string  `json:"came_to"`
	InvoiceNumber *string `json:"invoice_number"` // if an invoice resulted
}

// A Tally counts and sums the documents of one kind and currency.
type Tally struct {
	Kind       string `json:"kind"`
	Currency   string `json:"currency"`
	Documents  int64  `json:"documents"`
	TotalMinor string `json:"total_minor"` // a sum of int64 may exceed int64
}

// Counts are the numbers of ended jobs, by outcome.
type Counts struct {
	Invoices   int64 `json:"invoices"`
	Duplicates int64 `json:"duplicate_attempts"`
	Failed     int64 `json:"failed"`
}

// A Deed is something that somebody did to a job, a queue, a lock or a worker.
type Deed struct {
	ActedAt time.Time `json:"acted_at"`
	Action  string    `json:"action"`
	Subject string    `json:"subject"` // the job's id, the queue's name, the transaction's id, the worker's name
	Actor   string    `json:"actor"`   // as given
	Role    *string   `json:"role"`    // the database's name for the actor; null for an action of an earlier release
	Note    *string   `json:"note"`
	Details *string   `json:"details"`
}
