package report

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// A Story is all that is known about a transaction, or about one job, and why its jobs wait. Its records are those of the ledger.
type Story struct {
	Records

	Asked string `json:"asked"` // the id that was looked up
	// Matches says what the id is, the best match first. The story is about the first; others are of other transactions.
	Matches []Match `json:"matches"`
	// Waits says of each job that isn't at its end why it isn't.
	Waits []Wait `json:"waits"`
	// Events are what happened, in order of time.
	Events []Event `json:"events"`
	// Conflicts are the fields in which failed jobs differ from the invoice.
	Conflicts []Conflict `json:"conflicts"`
	// Lock is the transaction's lock. It is null if nobody has it, and for a transaction whose jobs are all at their end.
	Lock *Lock `json:"lock"`
	// Tasks are what Redis has of the jobs.
	Tasks []Task `json:"tasks"`
	// More is true if there are more duplicate attempts or jobs than the story shows.
	More bool `json:"more"`
	// Problems name what couldn't be asked: the story lacks its answers.
	Problems []string `json:"problems"`
}

// Known reports whether there is any record or task.
func (s *Story) Known() bool {
	return s.Records.Known() || len(s.Tasks) > 0 || len(s.Waits) > 0 || s.Lock != nil
}

// What an id may be, in [Match].Kind.
const (
	ByTransaction = "transaction_id"
	ByJob         = "job_id"
	ByTask        = "task_id"
	ByKey         = "idempotency_key"
	ByNumber      = "invoice_number"
)

// A Lock is a transaction's lock.
type Lock struct {
	Issuer        string    `json:"issuer,omitempty"`
	TransactionID string    `json:"transaction_id"`
	JobID         string    `json:"job_id"`
	Worker        string    `json:"worker"`
	Until         time.Time `json:"until"`   // zero for a lock without an expiry
	Expires       bool      `json:"expires"` // false for a lock that a worker hasn't set: the next attempt gives it an expiry
}

// ErrNotHeld says that nobody has a lock, or that somebody else has it by now.
var ErrNotHeld = errors.New("nobody has the lock, or somebody else has it by now")

// An AmbiguousError says that an id is that of several issuers.
type AmbiguousError struct {
	ID      string
	Issuers []string // "" is the one without a name
}

func (e *AmbiguousError) Error() string {
	codes := make([]string, len(e.Issuers))
	for i, code := range e.Issuers {
		if codes[i] = code; code == "" {
			codes[i] = "'' (the one without a name)"
		}
	}
	return fmt.Sprintf("%q is an id of several issuers: %s", e.ID, strings.Join(codes, ", "))
}

// A Match is a meaning of an id.
type Match struct {
	Kind          string  `json:"kind"`
	Issuer        string  `json:"issuer,omitempty"`
	TransactionID *string `json:"transaction_id"` // null for a job whose payload states none
	JobID         *string `json:"job_id"`         // of a job or a task
}

// An Attempt is a failed attempt at a job, after which the job was tried again.
type Attempt struct {
	JobID    string    `json:"job_id"`
	Dispatch int       `json:"dispatch"` // 0 for a job that was enqueued directly
	Attempt  int       `json:"attempt"`  // from 1 in each dispatch
	Worker   string    `json:"worker"`
	Reason   string    `json:"reason"`
	FailedAt time.Time `json:"failed_at"`
}

// Why a job isn't at its end, in [Wait].Code.
const (
	WaitsForSeries   = "series_paused"     // accepted, and its series is paused
	WaitsForRelay    = "not_sent"          // accepted, and not yet sent to its queue
	WaitsForPlace    = "in_queue"          // the next worker that is free takes the jobs ahead of it first
	WaitsForResume   = "queue_paused"      // no worker takes jobs from the queue until it is resumed
	WaitsForConsumer = "no_consumer"       // no worker consumes the queue
	WaitsForLock     = "lock_held"         // another job works on the same transaction
	WaitsForRetry    = "retry_due"         // it failed, and is tried again later
	WaitsForInvoice  = "invoice_not_made"  // it credits or replaces an invoice whose job isn't at its end, or replaces one whose credit note isn't made
	WaitsForTime     = "scheduled"         // it was enqueued for a later time
	IsInWork         = "in_work"           // a worker has it
	WaitsForRepair   = "lost_from_queue"   // the queue has lost it, and the ledger sends it again
	WaitsForOwner    = "queue_not_ours"    // its queue belongs to another installation
	WaitsForRedis    = "redis_unreachable" // Redis doesn't answer, and only Redis knows
	WaitsForPerson   = "failed"            // it has failed, and stays so until somebody replays it
)

// A Wait is a reason why a job isn't at its end.
type Wait struct {
	Code  string `json:"code"`
	JobID string `json:"job_id"`
	// Text says it in one sentence.
	Text string `json:"text"`
	// The facts, as far as they are known and belong to the code.
	Queue       string     `json:"queue,omitempty"`
	Worker      string     `json:"worker,omitempty"`        // in_work, lock_held: who has it
	HolderJobID string     `json:"holder_job_id,omitempty"` // lock_held
	Since       *time.Time `json:"since,omitempty"`
	Until       *time.Time `json:"until,omitempty"`   // lock_held: the lock expires; retry_due, scheduled: when it is due
	Attempt     int        `json:"attempt,omitempty"` // retry_due: the failed one
	Reason      string     `json:"reason,omitempty"`
	Ahead       *int64     `json:"ahead,omitempty"`          // in_queue: how many tasks come first; at least as many if AheadAtLeast
	AtLeast     bool       `json:"ahead_at_least,omitempty"` // the place was looked for among the next tasks only
	Owner       string     `json:"owner,omitempty"`          // queue_not_ours: the other installation's database and schema
}

// What happened, in [Event].What.
const (
	WasAccepted  = "accepted"  // committed to the ledger
	WasSent      = "sent"      // put into its queue
	HasFailed    = "attempt"   // an attempt failed, and the job is tried again
	WasInvoiced  = "invoiced"  // its invoice was committed
	WasDuplicate = "duplicate" // it was recorded as a duplicate of the invoice
	WasRefused   = "failed"    // it ended as a conflict, invalid or failed
	WasImported  = "imported"  // the transaction was imported as invoiced elsewhere
	WasWithdrawn = "withdrawn" // its import was withdrawn
	WasActedOn   = "action"    // somebody replayed, dismissed or restored it
)

// An Event is something that happened to a job.
type Event struct {
	At       time.Time `json:"at"`
	What     string    `json:"what"`
	JobID    string    `json:"job_id"`
	Text     string    `json:"text"` // in one sentence
	Producer string    `json:"producer,omitempty"`
	Queue    string    `json:"queue,omitempty"`
	Worker   string    `json:"worker,omitempty"`
	Actor    string    `json:"actor,omitempty"`
	Attempt  int       `json:"attempt,omitempty"`
	Reason   string    `json:"reason,omitempty"`
}

// A Conflict is what a failed job asks for in comparison with the invoice that exists.
type Conflict struct {
	JobID         string       `json:"job_id"`
	InvoiceNumber string       `json:"invoice_number"`
	Fields        []Difference `json:"fields"`
}

// A Difference is one field. Personal texts are left out: both values are null.
type Difference struct {
	Field    string  `json:"field"`
	Invoiced *string `json:"invoiced"`
	Asked    *string `json:"asked"`
}

// Where a queue has a task, in [Task].State.
const (
	TaskPending   = "pending"
	TaskActive    = "active"
	TaskRetry     = "retry"
	TaskScheduled = "scheduled"
	TaskArchived  = "archived"
	TaskCompleted = "completed"
	TaskLost      = "lost" // it isn't where its state says
)

// A Task is what Redis has of a job. Times are by Redis's clock, or by that of the worker that set them.
type Task struct {
	TaskID        string     `json:"task_id"`
	JobID         string     `json:"job_id"`
	Queue         string     `json:"queue"`
	State         string     `json:"state"`
	Type          string     `json:"type"`
	Issuer        string     `json:"issuer,omitempty"` // as its payload states it
	TransactionID *string    `json:"transaction_id"`   // likewise
	Producer      *string    `json:"producer"`         // likewise
	Failures      int        `json:"failures"`         // as the queue counts them
	LastError     *string    `json:"last_error"`
	Since         *time.Time `json:"since"`  // pending: when it came into the queue; active: when work on it began
	Until         *time.Time `json:"until"`  // retry, scheduled: when it is due; active: when its lease ends; completed: until when it is kept
	Worker        *string    `json:"worker"` // the worker that fetched it last
	Ahead         *int64     `json:"ahead"`  // pending: how many tasks come first, null if more than are looked at
	Looked        int64      `json:"-"`      // how many tasks were looked at to find the place
	Direct        bool       `json:"direct"` // it was enqueued directly, and not sent by the ledger
}
