// Package outbox has the words of the outbox, the database's record of events and of what endpoints are told of them.
//
// It holds types, and what they must be like. Package invoice/postgres keeps the outbox: triggers write an event in the transaction of what it tells. Package events
// delivers.
package outbox

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The types of events.
const (
	InvoiceCreated    = "invoice.created"
	CreditNoteCreated = "credit_note.created"
	JobDuplicate      = "job.duplicate"
	JobConflict       = "job.conflict"
	JobFailed         = "job.failed"
	EndpointDisabled  = "endpoint.disabled"

	EndpointTest = "endpoint.test" // on demand, to one endpoint
)

// Types returns the types of events that an endpoint may be told of.
func Types() []string {
	return []string{InvoiceCreated, CreditNoteCreated, JobDuplicate, JobConflict, JobFailed, EndpointDisabled}
}

// An Event is what has happened. It holds references and totals, and no personal data.
type Event struct {
	ID            string          `json:"event_id"` // a UUID, by which receivers tell repeats
	Type          string          `json:"type"`
	Issuer        string          `json:"issuer,omitempty"`
	TransactionID string          `json:"transaction_id,omitempty"`
	JobID         string          `json:"job_id,omitempty"`
	Data          json.RawMessage `json:"data"`
	CreatedAt     time.Time       `json:"created_at"` // in UTC
}

// An Endpoint is who is told of events.
type Endpoint struct {
	ID      int64
	Name    string
	URL     string
	Secrets []string // with which events are signed, the newest first
	Types   []string
	Issuers []string // nil for all; "" is the one without a name
	Origin  string   // configuration or operator
	State   string   // enabled or disabled
	Reason  string   // why it is disabled

	FailingSince time.Time // the zero time if it took what it was posted last
	CreatedAt    time.Time
	ChangedAt    time.Time // by a person or a deliverer: if it is disabled, since when
	Pending      int       // events that it is still to be told
	Dead         int       // events that it took at no attempt
	Oldest       time.Time // since when the oldest of the pending ones waits
}

// Changes are what is changed of an endpoint: what is set.
type Changes struct {
	URL     *string
	Types   []string
	Issuers *[]string // of which nil is all
	// Within has an endpoint that is told of other issuers than these stay as it is; nil: none.
	Within []string
}

// The origins of an endpoint.
const (
	OfConfiguration = "configuration"
	OfOperator      = "operator"
)

// The states of an endpoint that wasn't removed.
const (
	Enabled  = "enabled"
	Disabled = "disabled"
)

// A Delivery is an event that an endpoint is to be told now.
type Delivery struct {
	Event

	Row      int64 // of the event
	Attempts int   // with the one that is due
	Since    time.Time
	Now      time.Time // by the database's clock
}

// The states of a delivery.
const (
	Pending   = "pending"
	Delivered = "delivered"
	Dead      = "dead"
)

// An Attempt is what came of a delivery.
type Attempt struct {
	Row    int64 // of the event
	State  string
	Again  time.Duration // until the next one, if it is still pending
	Status int           // of the answer; 0 for none
	Error  string        // "" if it was taken
}

// A Told is an event together with what an endpoint was told of it.
type Told struct {
	Event

	Endpoint string     `json:"endpoint"`
	State    string     `json:"state"`
	Attempts int        `json:"attempts"`
	Status   int        `json:"status,omitempty"`
	Error    string     `json:"error,omitempty"`
	DueAt    *time.Time `json:"due_at,omitempty"`   // if it is pending
	EndedAt  *time.Time `json:"ended_at,omitempty"` // if it isn't
	Place    Place      `json:"-"`
}

// A Cursor is a position among events: after one of them. The zero value is before the first.
type Cursor struct {
	XID uint64 // the database's transaction that wrote the event
	Row int64
}

// String returns the cursor as a text, which [Cursor.UnmarshalText] reads.
func (c Cursor) String() string {
	if c == (Cursor{}) {
		return "0"
	}
	return fmt.Sprintf("%d-%d", c.XID, c.Row)
}

// UnmarshalText implements [encoding.TextUnmarshaler]. 0 is before the first event.
func (c *Cursor) UnmarshalText(text []byte) error {
	if string(text) == "0" {
		*c = Cursor{}
		return nil
	}
	xid, row, ok := strings.Cut(string(text), "-")
	x, err := strconv.ParseUint(xid, 10, 63)
	r, err2 := strconv.ParseInt(row, 10, 64)
	if !ok || err != nil || err2 != nil || r < 0 {
		return fmt.Errorf("%q is no cursor of an event; 0 is before the first", text)
	}
	*c = Cursor{x, r}
	return nil
}

// A ReadEvent is an event with the cursor after it.
type ReadEvent struct {
	Event

	Cursor Cursor
}
