package report

import "time"

// A Queue is the state of one queue, in Redis and in the ledger.
type Queue struct {
	Queue string `json:"queue"`

	// In Redis, null if Redis doesn't answer.
	Pending   *int64 `json:"pending"`
	Active    *int64 `json:"active"`
	Retry     *int64 `json:"retry"`
	Scheduled *int64 `json:"scheduled"`
	Archived  *int64 `json:"archived"`  // failed, and visible in Redis
	Completed *int64 `json:"completed"` // done, and kept for people
	Paused    bool   `json:"paused"`
	Consumers int    `json:"consumers"` // workers that consume it
	Owner     *Owner `json:"owner"`     // null if nobody owns it
	Ours      bool   `json:"ours"`      // the owner is this installation

	// In the ledger.
	Accepted  int64      `json:"accepted"`  // accepted, and not sent to the queue yet
	Estimated bool       `json:"estimated"` // Accepted is the planner's estimate: there are too many to count
	OldestAt  *time.Time `json:"oldest_at"` // when the oldest job without an end was accepted, null if there is none

	// Per second, over the seconds in RateOver. Null if no worker has recorded how much was done.
	Rate     *float64 `json:"rate"`
	RateOver float64  `json:"rate_over_seconds"`
	// EmptyIn is in how many seconds the queue is empty if it is worked on at this rate and nothing is added. Null if that
	// can't be known: the queue is paused, has no consumer, or nothing was done lately.
	EmptyIn *float64 `json:"empty_in_seconds"`
}

// Waiting returns how many jobs wait for a worker, in the ledger and in Redis.
func (q *Queue) Waiting() int64 {
	n := q.Accepted
	for _, part := range []*int64{q.Pending, q.Retry, q.Scheduled} {
		if part != nil {
			n += *part
		}
	}
	return n
}

// Concerns reports whether the queue has to do with the installation that asks: it owns the queue, or has jobs for it. Others may use
// the same Redis.
func (q *Queue) Concerns() bool { return q.Ours || q.Accepted > 0 || q.OldestAt != nil }

// The states of an owner, in [Owner].State.
const (
	OwnerAlive   = "alive"
	OwnerDead    = "dead"
	OwnerGivenUp = "given_up"
)

// An Owner is the installation that owns a queue.
type Owner struct {
	State        string    `json:"state"`
	Installation string    `json:"installation"` // the identity of its database
	Database     string    `json:"database"`
	Schema       string    `json:"schema"`
	Worker       string    `json:"worker"` // the process that renewed the claim last
	LastSeen     time.Time `json:"last_seen"`
}

// Queues are all queues, and what couldn't be asked.
type Queues struct {
	Queues []Queue `json:"queues"`
	// PausedSeries are those that accepted jobs wait for, whichever their queue. Nil if nobody has looked.
	PausedSeries []PausedSeries `json:"paused_series,omitempty"`
	Problems     []string       `json:"problems"`
}

// Workers are all workers that have shown themselves lately.
type Workers struct {
	Workers []Worker `json:"workers"`
	// Differs are the settings that aren't the same for all workers of this installation.
	Differs  []Setting `json:"differs"`
	Problems []string  `json:"problems"`
}

// Ours returns how many are of the installation that asks: others may use the same Redis.
func (w *Workers) Ours() (n int) {
	for i := range w.Workers {
		if w.Workers[i].Ours {
			n++
		}
	}
	return n
}

// A Worker is a worker process.
type Worker struct {
	Name         string            `json:"name"`
	Host         string            `json:"host"`
	PID          int               `json:"pid"`
	Version      string            `json:"version"`
	Migration    int64             `json:"migration"`    // the newest that it knows; 0 for releases that don't tell
	Installation string            `json:"installation"` // the identity of its database
	Schema       string            `json:"schema"`
	Ours         bool              `json:"ours"`   // it is of the installation that asks
	Queues       map[string]int    `json:"queues"` // with their weights
	Concurrency  int               `json:"concurrency"`
	StartedAt    time.Time         `json:"started_at"`
	SeenAt       time.Time         `json:"seen_at"`
	Quiet        bool              `json:"quiet"`  // it takes no more jobs until it is told to
	Digest       string            `json:"digest"` // of its settings
	Settings     map[string]string `json:"settings"`
	Doing        []Doing           `json:"doing"` // at most a few seconds old
	Active       int               `json:"active"`
	Cache        *WorkerCache      `json:"cache"` // null if the worker doesn't tell
}

// A WorkerCache says how a worker uses done entries, by which Redis remembers invoices.
type WorkerCache struct {
	TTLSeconds     float64 `json:"ttl_seconds"`     // how long Redis is to remember an invoice that is made now
	LateDuplicates int64   `json:"late_duplicates"` // since the worker's start: duplicates that found their invoice made already
	Hits           int64   `json:"hits"`            // of these: Redis remembered the invoice
}

// Doing is a task that a worker has in hand.
type Doing struct {
	Queue  string    `json:"queue"`
	TaskID string    `json:"task_id"`
	JobID  string    `json:"job_id"`
	Since  time.Time `json:"since"`
}

// A Setting is a key of the configuration with the workers that have each value.
type Setting struct {
	Key    string              `json:"key"`
	Values map[string][]string `json:"values"`
}
