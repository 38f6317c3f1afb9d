package invoice

// An Outcome is how a job ended. Every ended job has exactly one.
type Outcome string

const (
	// Created means that this job made the invoice, now or in an earlier run of the same job.
	Created Outcome = "created"
	// Duplicate means that another job had invoiced the same content before.
	Duplicate Outcome = "duplicate"
	// Conflict means that the transaction or the idempotency key stands for other content.
	Conflict Outcome = "conflict"
	// Invalid means that the job can never become an invoice as it is.
	Invalid Outcome = "invalid"
	// Failed means that the retries are used up.
	Failed Outcome = "failed"
)

// A Reason says how a duplicate was found to be one.
type Reason string

const (
	// LostRace means that the attempt found the lock held, or met a unique violation.
	LostRace Reason = "lost_race"
	// AlreadyInvoiced means that the invoice was there before the attempt began.
	AlreadyInvoiced Reason = "already_invoiced"
)

// Kind tells the two documents apart. A series holds one kind.
type Kind string

// A negative total makes a credit note, any other an invoice.
const (
	KindInvoice    Kind = "invoice"
	KindCreditNote Kind = "credit_note"
)
