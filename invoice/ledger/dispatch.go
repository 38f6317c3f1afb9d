package ledger

import "time"

// A Dispatch is one sending of a ledger's job to its queue. A job that is put back or replayed is dispatched again,
// under the next number.
type Dispatch struct {
	ID      int64 // of the ledger's row
	JobID   string
	Number  int
	Queue   string
	Payload []byte    // nil if it isn't needed
	At      time.Time // when it was dispatched, by the database's clock

	Traceparent string // the span of its producer's trace that it belongs to; "" if there is none, or it isn't needed
	Producer    string // where the payload names none, but the role that asked is bound to one; "" else
}

// A Watch is the right to reconcile a queue with the ledger, together with the last known state of its Redis.
type Watch struct {
	Queue string
	// Marker counts up, in Redis and in the database. If Redis has a lower one, or none, it has lost data.
	Marker int64
	// Server identifies the Redis process that had the marker. Another process may have started from older data.
	Server string
	Open   bool      // some dispatched job, of any queue, has no end yet
	Now    time.Time // by the database's clock
}
