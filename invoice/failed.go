package invoice

import "time"

// A FailedJob is a job of the ledger that has failed, as it is on record.
type FailedJob struct {
	ID            int64 // of the ledger's row
	JobID         string
	TransactionID string // "" where the payload didn't tell
	Producer      string // likewise
	Queue         string
	Payload       []byte // nil where it has been pruned, or is no text
	NoText        bool   // the payload is kept, but is bytes that are no text
	TaskType      string // "" for an invoice's job; else what the queue called it, which its worker didn't know
	Outcome       Outcome
	Reason        string
	Dispatch      int
	FailedAt      time.Time // by the database's clock
}

// A FailedFilter says which failed jobs are meant: a job matches if it satisfies every field that is set. Of a list it is enough
// that one is true.
type FailedFilter struct {
	JobIDs         []string
	TransactionIDs []string
	Outcomes       []Outcome
	Reason         string    // contained in the reason, in whatever case
	Since          time.Time // failed then or later
	Until          time.Time // failed then or earlier
	Queue          string
	Producer       string
}

// A Replay is a failed job that is to be sent again, and what its payload says.
type Replay struct {
	Failed FailedJob
	Job    *Job
}

// An Actor is who does something about failed jobs, and why.
type Actor struct {
	Name string // required
	Note string // optional for a replay
}
