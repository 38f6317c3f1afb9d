package report

import (
	"errors"
	"time"
)

// A Filter selects records. A record matches if it satisfies every field that is set; what a kind of record doesn't have is
// ignored.
type Filter struct {
	State    string   // of a job
	Outcome  string   // of a job
	Reason   string   // contained in the reason, ignoring case
	Queue    string   // of a job
	Producer string   // of a job, or of a duplicate
	Series   string   // of an invoice; of a job the one that it asks for, as in ledger.FailedFilter
	Issuer   *string  // nil for all; "" is the one without a name
	Issuers  []string // nil for all: those that whoever asks may see

	DefaultSeries string // the one that jobs ask for which state none; not a condition by itself
	// Since and Until bound when a failed or dismissed job ended, if State says so, and else when a job was accepted; when an
	// invoice was made; when a duplicate was recorded.
	Since, Until time.Time

	// Oldest has the records come in the order in which they were recorded, and none that may still get one before it. The cursor after them
	// is always given, and is of no use for the other order. Default: the newest first.
	Oldest bool
	// Patient has records that others were writing when a page was read, and that would have been on it, come first on a later page, where the
	// order is that of ids. Default: they may be on none.
	Patient bool
}

// A ListedJob is a job of the ledger in a list.
type ListedJob struct {
	LedgerRow

	TransactionID *string `json:"transaction_id"`
}

// A ListedDuplicate is a recorded duplicate in a list.
type ListedDuplicate struct {
	Duplicate

	TransactionID string `json:"transaction_id"`
	InvoiceNumber string `json:"invoice_number"`
	WinnerJobID   string `json:"winner_job_id"` // the job that made the invoice
}

// ErrCursor says that a text isn't the Next of a [Page].
var ErrCursor = errors.New("is not a cursor that a list has printed")

// A Page is a part of a list, the newest first.
type Page[T any] struct {
	Rows []T `json:"rows"`
	// Next continues the list after this page, "" after the last. A page may have fewer rows than were asked for, or none, and
	// yet have a next: only so many records are looked at for one page.
	Next string `json:"next"`
}

// A Group are records of a list that have a value in common.
type Group struct {
	Value   string    `json:"value"` // "" for records without any
	Count   int64     `json:"count"`
	FirstAt time.Time `json:"first_at"`
	LastAt  time.Time `json:"last_at"`
	Example string    `json:"example"` // the latest one's job, or the number of the latest invoice
}

// Groups are the records of a list by the value that they have in common, the most frequent first.
type Groups struct {
	By      string  `json:"by"`
	Groups  []Group `json:"groups"`
	Records int64   `json:"records"`  // those that match, in all groups
	LeftOut int     `json:"left_out"` // number of groups that aren't listed, because they have the fewest records
	// AtLeast is true if there are more records than are looked at, which are the latest.
	AtLeast bool `json:"at_least"`
}

// A Cause is what failed jobs have in common.
type Cause struct {
	Outcome string    `json:"outcome"`
	Reason  string    `json:"reason"` // with # in place of ids and numbers
	Jobs    int64     `json:"jobs"`
	FirstAt time.Time `json:"first_at"`
	LastAt  time.Time `json:"last_at"`
	JobID   string    `json:"job_id"` // the latest, as an example
}

// Causes are the failed jobs by cause, the most frequent first.
type Causes struct {
	Causes []Cause `json:"causes"`
	Jobs   int     `json:"jobs"` // how many failed jobs were looked at
	// AtLeast is true if there are more failed jobs than are looked at, which are the latest.
	AtLeast bool `json:"at_least"`
}
