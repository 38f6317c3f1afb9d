// Package handover has the words of how invoices are handed over to customers' and authorities' systems, and of what these answer.
//
// Package invoice/postgres keeps hand-overs: triggers write one in the transaction of its invoice. Package internal/handovers does them.
package handover

import (
	"errors"
	"time"
)

// A State is how a hand-over stands.
type State string

// The states.
const (
	Queued    State = "queued"    // it is to be handed over, or waits for a clearance
	Sent      State = "sent"      // the other side has it, and may answer later
	Cleared   State = "cleared"   // an authority has cleared it, with an id
	Accepted  State = "accepted"  // whom it was for has accepted it
	Rejected  State = "rejected"  // the other side doesn't want it
	Failed    State = "failed"    // it wasn't taken for so long that it was given up
	Cancelled State = "cancelled" // an operator has given it up, or it was erased before
)

// States are all of them.
func States() []State { return []State{Queued, Sent, Cleared, Accepted, Rejected, Failed, Cancelled} }

// The bounds of texts, in bytes.
const (
	MostID      = 200
	MostAddress = 320
	MostAnswer  = 4000
	MostError   = 2000
	MostReason  = 2000
)

var (
	// ErrNone says that an invoice isn't handed over through a channel.
	ErrNone = errors.New("there is no such hand-over")
	// ErrStep says that a hand-over can't get from its state to the wanted one.
	ErrStep = errors.New("that is no step that a hand-over takes from where it is")
	// ErrGone says that another process has taken a hand-over in hand since, or an operator has decided about it.
	ErrGone = errors.New("somebody else has the hand-over in hand")
)

// An InHandError says that a process is handing an invoice over, which can't be called back: what comes of it decides what can be done.
type InHandError struct{ Until time.Time } // at the latest

func (e *InHandError) Error() string {
	return "a worker is handing it over at this moment, until " + e.Until.Truncate(time.Second).Add(time.Second).Format(time.RFC3339) + " at the latest: wait for what comes of it, and then try again if that is still needed"
}

// A Rule is what a channel is owed: invoices that satisfy every field that is set.
type Rule struct {
	Name           string   `json:"name"`
	Kind           string   `json:"kind"`
	AwaitClearance bool     `json:"await_clearance"` // a credit note waits for the clearance of what it credits
	Issuers        []string `json:"issuers"`         // "" is the one without a name
	Series         []string `json:"series"`
	Kinds          []string `json:"kinds"` // invoice, credit_note
}

// A Claim is a hand-over that a process has in hand.
type Claim struct {
	ID        int64
	Turn      int64 // which time it is in hand
	Attempts  int   // in vain in its state, with the one that begins
	Doubts    int   // how often nobody knew whether the other side took it
	State     State // queued: to be handed over; else to be asked about
	Key       string
	InvoiceID int64
	Issuer    string
	Number    string
	Kind      string
	Address   string
	TheirID   string
	Clearance string // of what a credit note credits, "" if there is none
	Since     time.Time
	Waited    time.Duration // since when it has its state, or doesn't wait for a clearance any more
}

// A Result is what came of a claim.
type Result struct {
	State     State
	Err       string        // what went wrong, "" if nothing did
	Again     time.Duration // when it is in hand again, 0 for never
	TheirID   string        // "" leaves it as it is
	Clearance string        // likewise
	Answer    string        // what the other side said; "" leaves it as it is
	Answered  bool          // the other side said something
	Uncertain bool          // nobody knows whether it took it
}

// A Handover is one as operators see it.
type Handover struct {
	ID          int64      `json:"id"`
	Channel     string     `json:"channel"`
	Issuer      string     `json:"issuer"`
	Number      string     `json:"invoice_number"`
	Kind        string     `json:"kind"`
	Address     string     `json:"address"`
	State       State      `json:"state"`
	WaitsFor    string     `json:"waits_for,omitempty"` // the number of the invoice for whose clearance it waits
	Blocked     bool       `json:"blocked,omitempty"`   // that won't come by itself: the invoice has ended without
	Key         string     `json:"key"`
	Attempts    int        `json:"attempts"`
	Error       string     `json:"error,omitempty"`
	TheirID     string     `json:"their_id,omitempty"`
	Clearance   string     `json:"clearance,omitempty"`
	Answer      string     `json:"answer,omitempty"`
	Since       time.Time  `json:"since"`
	ChangedAt   time.Time  `json:"changed_at"`
	DueAt       *time.Time `json:"due_at"`
	InHand      bool       `json:"in_hand,omitempty"` // by a process, which is handing it over or asking about it
	AnsweredAt  *time.Time `json:"answered_at"`
	ErasedAt    *time.Time `json:"erased_at,omitempty"`
	InvoiceID   int64      `json:"-"`
	Transaction string     `json:"transaction_id"`
}

// A Change is a line of a hand-over's history.
type Change struct {
	At        time.Time `json:"at"`
	Channel   string    `json:"channel"`
	State     State     `json:"state"`
	Key       string    `json:"key"`
	Attempts  int       `json:"attempts"`
	Error     string    `json:"error,omitempty"`
	TheirID   string    `json:"their_id,omitempty"`
	Clearance string    `json:"clearance,omitempty"`
	Answer    string    `json:"answer,omitempty"`
	ChangedBy string    `json:"changed_by,omitempty"` // "" for a worker
	Reason    string    `json:"reason,omitempty"`
}

// A Filter selects hand-overs. One satisfies every field that is set.
type Filter struct {
	State   State
	Channel string
	Issuers []string // nil for all
	Number  string
	TheirID string
	Since   time.Time // it has its state since then or later
	ID      int64     // 0 for all
	Limit   int       // 0 for all
	Oldest  bool      // of a page: those of the oldest invoices come first, and not those of the newest
}

// An Order is what an operator decides about a hand-over.
type Order struct {
	To        State  // queued: send it again; cancelled; cleared, accepted or rejected: that is what the other side said
	Anyway    bool   // it doesn't wait for a clearance any more
	Address   string // of queued: to whom from now on, "" leaves it as it is
	TheirID   string
	Clearance string
	Answer    string
	By        string // required
	Reason    string
}

// WhyNot says why an order can't be done, of which [ErrStep] was returned.
func (o *Order) WhyNot(h *Handover) string {
	switch {
	case h.ErasedAt != nil && o.To == Queued:
		return "its personal data was erased, so that it has no document any more"
	case h.WaitsFor != "" && o.To == Queued:
		return "it waits for the clearance of " + h.WaitsFor
	case o.To == Queued && h.State == Queued:
		return "it is sent anyway"
	case o.To == Queued:
		return "the other side has it, and has taken it"
	case o.To == Cancelled:
		return "only what is queued, rejected or failed can be cancelled"
	}
	return "no other answer can follow that"
}

// A Count is how many hand-overs of a channel stand how.
type Count struct {
	Channel string
	State   string // a state, or waiting, or blocked
	Failing int    // of them, those that failed at the last try
	N       int
	Oldest  time.Time
}
