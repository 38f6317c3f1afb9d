// Package fault names points in the processing of a job at which tests inject faults: they wait, fail, panic or kill the process
// there. The parts that have such points take a [Hook] as an option. In production the hook is nil; passing a point then costs one
// comparison.
package fault

import "context"

// A Point is a place in the code that processes a job.
type Point string

// The points on the way from the ledger into a queue.
const (
	// Claimed: accepted jobs are committed as enqueued, none of them is in its queue.
	Claimed Point = "claimed"
	// Relayed: the jobs are in their queue, and committed as enqueued.
	Relayed Point = "relayed"
)

// The points, in the order in which a job that makes an invoice passes them.
const (
	// Locked: the lock is held, nothing has been read or written.
	Locked Point = "locked"
	// Numbered: inside the transaction, the series' counter is locked, nothing is written.
	Numbered Point = "numbered"
	// Written: inside the transaction, everything is written, nothing is committed.
	Written Point = "written"
	// Committed: the invoice is committed, the lock is still held, the done entry isn't there.
	Committed Point = "committed"
	// Finished: the lock is released and the done entry stored, the outcome isn't recorded.
	Finished Point = "finished"
	// Recorded: the end is committed in the database, the task isn't acknowledged to the queue.
	Recorded Point = "recorded"

	// Remembering: documents are committed, and nothing outside of the database remembers them. It is passed beside the points above.
	Remembering Point = "remembering"
	// Stored: the bytes of a document are in a folder or bucket, and nothing in the database says so but that they were announced.
	Stored Point = "stored"
	// Held: the attempt found the lock held by another job, and hasn't begun to wait.
	Held Point = "held"
)

// A Hook is called at every point that is passed, from many goroutines at once. If it returns an error, the code at the point fails
// with that error in place of the next step. A nil Hook does nothing.
type Hook func(ctx context.Context, p Point) error

// Hit passes point p: it calls h and returns what h returns, or does nothing if h is nil. The context is that of the work
// at the point. Where jobs share the work, they share one hit.
func (h Hook) Hit(ctx context.Context, p Point) error {
	if h == nil {
		return nil
	}
	return h(ctx, p)
}
