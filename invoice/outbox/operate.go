package outbox

import (
	"errors"
	"time"
)

// ErrNoEndpoint says that there is no endpoint with that name.
var ErrNoEndpoint = errors.New("no such endpoint")

// ErrForeignCursor says that a cursor has a transaction that this server hasn't had: it is of the server from which this one's data was restored.
var ErrForeignCursor = errors.New("is of the database before it was restored: read events from 0 again, and tell those that are known by event_id")

// An EndpointExistsError says that another endpoint has the name.
type EndpointExistsError struct{ Name string }

func (e *EndpointExistsError) Error() string { return "there is an endpoint " + e.Name + " already" }

// What an operator does to an endpoint.
const (
	EnableEndpoint  = "enable"  // what waits is posted
	DisableEndpoint = "disable" // nothing is posted, and events wait
	RemoveEndpoint  = "remove"  // it is told nothing any more, and what waits is given up
	RotateSecret    = "rotate"  // events are signed with the new secret, and with the one before for as long as that isn't replaced, too
)

// A ToldFilter selects what endpoints were told, or are to be told. It satisfies every field that is set.
type ToldFilter struct {
	Endpoint      string
	State         string
	Type          string
	TransactionID string
	EventID       string
	Row           int64     // of the event
	Issuers       []string  // of one of these; nil for all, "" is the one without a name
	Since         time.Time // it happened then or later
	After         Place     // it comes after that in the list, where this isn't its zero value
	Limit         int
}

// A Place is that of a delivery in the list of all: the row of its event and its endpoint.
type Place struct{ Row, Endpoint int64 }

// An Answer is what came of an attempt to post an event.
type Answer struct {
	Status int        // 0 for none
	Error  string     // "" if the event was taken
	At     *time.Time // nil if it isn't known
}
