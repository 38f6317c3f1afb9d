package invoice

// An Outcome is how a job ended. Every ended job has exactly one.
type Outcome string

const (
	// Created means that this job made the invoice, now or in an earlier run of the same job.
	Created Outcome = "created"
	// Duplicate means that another job has already invoiced the same content.
	Duplicate Outcome = "duplicate"
	// Conflict means that the transaction or the idempotency key was already used for other content.
	Conflict Outcome = "conflict"
	// Invalid means that the job, as it is, can never become an invoice.
	Invalid Outcome = "invalid"
	// Failed means that the retries are used up.
	Failed Outcome = "failed"
)

// A Reason says how a duplicate was recognized.
type Reason string

const (
	// LostRace means that the attempt found the lock held, or met a unique violation.
	LostRace Reason = "lost_race"
	// AlreadyInvoiced means that the invoice was there before the attempt began.
	AlreadyInvoiced Reason = "already_invoiced"
)

// A Kind is one of the two kinds of documents. A series holds one kind.
type Kind string

// A document with a negative total is a credit note, any other an invoice.
const (
	KindInvoice    Kind = "invoice"
	KindCreditNote Kind = "credit_note"
)
