package ledger

import (
	"errors"
	"time"

	"invoicer/invoice"
)

// A BulkReplay is a replay of all failed jobs that match a filter, with how far it has come. It is kept in the database, and goes on in another
// process if the one that works on it dies.
type BulkReplay struct {
	ID     string // a UUID; later ones have greater ids
	Filter FailedFilter
	Rate   float64 // jobs that are sent in a second at most; 0 for any number
	By     Actor

	State     string
	Counted   *int                    // jobs that matched at the beginning; nil until they are counted
	Replayed  int                     // jobs that are accepted again, exactly
	Refused   int                     // jobs that were left failed, since they still can't be an invoice
	Changed   int                     // jobs that weren't failed any more
	Forecasts map[invoice.Outcome]int // what was predicted of those that are accepted again
	Refusals  []Refusal               // of the first that were refused
	Reason    string                  // why it has failed
	CreatedAt time.Time
	EndedAt   *time.Time

	After FailedJob // its FailedAt and ID say up to where all jobs were looked at; the zero value is before the first
}

// The states of a [BulkReplay].
const (
	ReplayWaiting  = "waiting" // no process has begun
	ReplayRunning  = "running"
	ReplayFinished = "finished"
	ReplayCanceled = "canceled" // what was replayed stays so
	ReplayFailed   = "failed"   // likewise
)

// Ended reports whether nothing is done any more.
func (r *BulkReplay) Ended() bool { return r.State != ReplayWaiting && r.State != ReplayRunning }

// A Refusal says why a job can't be replayed.
type Refusal struct {
	JobID         string            `json:"job_id"`
	Issuer        string            `json:"issuer"`
	TransactionID string            `json:"transaction_id"` // "" if the payload doesn't state it
	Problems      []invoice.Problem `json:"problems"`
}

// MostRefusals is how many refusals a [BulkReplay] names.
const MostRefusals = 50

// A ReplayKey has the same request for a replay make one.
type ReplayKey struct {
	Token        string // whose keys are meant
	Key, Content []byte // hashes of 32 bytes; nil if there is no key
}

// ErrNoReplay says that there is no replay with that id.
var ErrNoReplay = errors.New("no such replay")

// ErrReplayLost says that a replay was canceled, or that another process works on it.
var ErrReplayLost = errors.New("the replay isn't this process's any more")
