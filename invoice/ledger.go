package invoice

import "time"

// A Dispatch is a job of the ledger on its way into a queue. Each time a job is put back or replayed it is dispatched
// anew, under the next number.
type Dispatch struct {
	ID      int64 // of the ledger's row
	JobID   string
	Number  int
	Queue   string
	Payload []byte    // nil where it isn't needed
	At      time.Time // when it was dispatched, by the database's clock
}

// A Watch is the right to look after a queue, and what was last known about its Redis.
type Watch struct {
	Queue string
	// Marker counts up, in Redis and in the database. Where Redis has a lower one, or none, it has forgotten something.
	Marker int64
	// Server identifies the Redis process that had the marker. Another one may have come back older.
	Server string
	Open   bool      // some dispatched job has no end yet, in whichever queue
	Now    time.Time // by the database's clock
}
