package ledger

import (
	"time"

	"invoicer/invoice"
)

// A FailedJob is the ledger's record of a job that has failed.
type FailedJob struct {
	ID            int64 // of the ledger's row
	JobID         string
	Issuer        string // "" if the payload stated none
	TransactionID string // "" if the payload didn't state it
	Producer      string // likewise
	Queue         string
	Payload       []byte // nil if it was pruned or isn't text
	NoText        bool   // the payload is kept, but its bytes aren't valid text
	TaskType      string // "" for a job that asks for an invoice; else the task's type in the queue, which the worker didn't know
	Outcome       invoice.Outcome
	Reason        string
	Dispatch      int
	AcceptedAt    time.Time // by the database's clock; of a job that was enqueued directly, when its first failure was recorded
	FailedAt      time.Time // by the database's clock
}

// A FailedFilter selects failed jobs. A job matches if it satisfies every field that is set; it satisfies a list if
// it equals one of the elements.
type FailedFilter struct {
	JobIDs         []string          `json:"job_ids,omitempty"`
	TransactionIDs []string          `json:"transaction_ids,omitempty"`
	Outcomes       []invoice.Outcome `json:"outcomes,omitempty"`
	Reason         string            `json:"reason,omitempty"` // contained in the reason, ignoring case
	Since          time.Time         `json:"since,omitzero"`   // failed then or later
	Until          time.Time         `json:"until,omitzero"`   // failed then or earlier
	Queue          string            `json:"queue,omitempty"`
	Producer       string            `json:"producer,omitempty"`
	Issuer         *string           `json:"issuer,omitempty"` // nil for all; "" is the one without a name
	Issuers        []string          `json:"issuers"`          // nil for all: those that whoever asks may see
	// Series is what the job asks for. A job that states none asks for DefaultSeries, and a credit note for that of the invoices. A job
	// whose payload isn't kept matches none.
	Series        string `json:"series,omitempty"`
	DefaultSeries string `json:"default_series,omitempty"` // not a condition by itself
	Cause         string `json:"cause,omitempty"`          // the reason without what differs from job to job, as reports show it
}

// A Replay is a failed job that is to be sent again, together with the job that its payload asks for.
type Replay struct {
	Failed FailedJob
	Job    *invoice.Job
}

// An Actor is the person or program that acts on failed jobs, with a note on why.
type Actor struct {
	Name string // required
	Note string // optional for a replay
}
