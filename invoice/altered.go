package invoice

import "fmt"

// An AlteredError says that a queue's copy of a job differs from what the ledger has accepted. Nothing was decided about
// the job: it has to be done as it was accepted.
type AlteredError struct {
	JobID   string
	Payload []byte // the accepted one
}

func (e *AlteredError) Error() string {
	return fmt.Sprintf("the queue's copy of job %s differs from what was accepted", e.JobID)
}

// A DismissedError says that somebody has dismissed the job, which stays as it is until it is restored.
type DismissedError struct{ JobID string }

func (e *DismissedError) Error() string {
	return fmt.Sprintf("job %s is dismissed: `invoicer restore %s` makes it a failed job again", e.JobID, e.JobID)
}
