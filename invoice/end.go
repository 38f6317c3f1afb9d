package invoice

// An End is what a job came to, as it is written down before the queue is told. What kind of record it makes depends
// on the outcome: a duplicate attempt, a failed job, or, for an invoice, nothing beside the ledger's row if there is one.
type End struct {
	JobID   string
	Outcome Outcome
	Invoice *Ref   // created, duplicate: the transaction's invoice
	Reason  Reason // duplicate
	Detail  string // conflict, invalid, failed: why, in words that hold no personal data

	TransactionID  string // "" where the payload doesn't tell
	IdempotencyKey string // likewise
	Producer       string
	Worker         string
	Queue          string
	TaskType       string // "" for an invoice's job; else the queue's type of a task that the worker doesn't know
	Payload        []byte
	Attempts       int

	// LedgerOnly: a good end counts only of a job that the ledger has accepted.
	LedgerOnly bool
}
