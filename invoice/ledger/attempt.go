package ledger

// A FailedAttempt is an attempt at a job that failed, after which the job is tried again.
type FailedAttempt struct {
	JobID    string
	Dispatch int // 0 for a job that was enqueued directly
	Attempt  int // from 1 in each dispatch
	Worker   string
	Reason   string // in words that hold no personal data
}
