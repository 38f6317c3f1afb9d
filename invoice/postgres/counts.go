package postgres

import (
	"slices"
	"sync"
)

// windowStart is the start of the five minutes in which a transaction began. Each end of a job is counted there, by the
// transaction that records it.
const windowStart = "to_timestamp(floor(extract(epoch FROM now()) / 300) * 300)"

// addToCounts completes an INSERT into producer_counts.
const addToCounts = `ON CONFLICT ON CONSTRAINT producer_counts_pkey DO UPDATE SET ended = producer_counts.ended + excluded.ended,
        duplicates = producer_counts.duplicates + excluded.duplicates, lost_races = producer_counts.lost_races + excluded.lost_races,
        conflicts = producer_counts.conflicts + excluded.conflicts`

// countLanes give each transaction that is under way a lane of its own in producer_counts, so that none waits for a row that
// another one has changed.
type countLanes struct {
	mu   sync.Mutex
	free []int64
	next int64
}

// take returns the lowest lane that is free.
func (l *countLanes) take() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.free) > 0 {
		lane := l.free[0]
		l.free = l.free[1:]
		return lane
	}
	l.next++
	return l.next - 1
}

// put gives a lane back after its transaction. If the transaction failed, it isn't used again: the server may still be busy
// with the transaction, and hold the row.
func (l *countLanes) put(lane int64, err error) {
	if err != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	at, _ := slices.BinarySearch(l.free, lane)
	l.free = slices.Insert(l.free, at, lane)
}
