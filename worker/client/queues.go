package client

import (
	"fmt"
	"regexp"
)

// An UnknownQueueError says that jobs were not accepted, because no worker has ever consumed their queue: mostly its name is mistyped.
type UnknownQueueError struct {
	Queue string
	Known string // the queues that are known, as a list for people
	Err   error  // the database's own
}

// Error says what to do.
func (e *UnknownQueueError) Error() string {
	return fmt.Sprintf("no worker has ever consumed queue %q; known are %s: correct the name, or set Options.NewQueue", e.Queue, e.Known)
}

// Unwrap returns what the database said.
func (e *UnknownQueueError) Unwrap() error { return e.Err }

// aRefusedQueue is what the function accept says of a queue: drivers have different types for errors.
var aRefusedQueue = regexp.MustCompile(`no worker has ever consumed queue "([a-z0-9_-]+)"; known are ([^:]*): `)

// unknownQueue returns an [*UnknownQueueError] if the database says that it doesn't know the queue, else nil.
func unknownQueue(queue string, err error) *UnknownQueueError {
	said := aRefusedQueue.FindStringSubmatch(err.Error())
	if said == nil || said[1] != queue {
		return nil
	}
	return &UnknownQueueError{Queue: queue, Known: said[2], Err: err}
}
