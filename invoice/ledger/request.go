package ledger

import "errors"

// A Request asks by HTTP for a job to be accepted.
type Request struct {
	JobID                 string // a UUID, for a job that wasn't there
	Queue                 string
	Issuer, TransactionID string // of the job
	Payload               []byte // the job
	Token                 string // whose keys are meant
	Key                   []byte // a hash of the key, in 32 bytes; nil if there is none
	OwnKey                bool   // the key is the job's own: it is free again once the job that it has made has failed, or was dismissed
	Content               []byte // a hash of what is asked for, in 32 bytes; nil without a key
	Traceparent           string // the span that the job belongs to, in the form of W3C Trace Context; "" if there is none
}

// A Standing says what was there of a job's transaction when the job was accepted.
type Standing string

// The standings.
const (
	Inserted  Standing = "inserted"  // nothing: the job will make the invoice
	Known     Standing = "known"     // another job, which has no end yet
	Duplicate Standing = "duplicate" // an invoice
)

// An Acceptance says which job was accepted.
type Acceptance struct {
	JobID         string
	Queue         string
	Standing      Standing
	KnownJobID    string // that job, if Known
	InvoiceNumber string // that invoice's, if Duplicate
	Repeated      bool   // an earlier request with the same key has made the job
}

// ErrOtherContent says that a request has the key of an earlier one, and asks for something else.
var ErrOtherContent = errors.New("the key is that of another request")

// ErrInProgress says that another request with the same key is being worked on.
var ErrInProgress = errors.New("a request with the same key is being worked on")
