package ledger

import (
	"errors"
	"fmt"
)

// An AlteredError says that the payload in the queue differs from the one that the ledger accepted. Nothing was
// decided about the job: it has to be done with the accepted payload.
type AlteredError struct {
	JobID   string
	Payload []byte // as accepted
}

func (e *AlteredError) Error() string {
	return fmt.Sprintf("the queue's copy of job %s differs from what was accepted", e.JobID)
}

// A DismissedError says that the job was dismissed. It isn't worked on until it is restored.
type DismissedError struct{ JobID string }

func (e *DismissedError) Error() string {
	return fmt.Sprintf("job %s is dismissed: `invoicer restore %s` makes it a failed job again", e.JobID, e.JobID)
}

// ErrNoJob says that the ledger has no job with that id.
var ErrNoJob = errors.New("no such job in the ledger")

// A StateError says that a job's state doesn't allow the requested action.
type StateError struct {
	JobID string
	State string // accepted, enqueued, done, failed or dismissed
}

func (e *StateError) Error() string { return fmt.Sprintf("job %s is %s", e.JobID, e.State) }

// An UnknownQueueError says that a job was not accepted, because no worker has ever consumed its queue: mostly the name is mistyped.
type UnknownQueueError struct {
	Queue string
	Known string // the queues that are known, as a list for people
	Err   error  // the database's own
}

func (e *UnknownQueueError) Error() string {
	return fmt.Sprintf("no worker has ever consumed queue %q; known are %s", e.Queue, e.Known)
}

// Unwrap returns what the database said.
func (e *UnknownQueueError) Unwrap() error { return e.Err }
