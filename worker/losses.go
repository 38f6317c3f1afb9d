package worker

import (
	"hash/maphash"
	"sync"
)

// A loss is a job that has found its lock held.
type loss struct{ jobID, holderID, holderWorker string }

// losses remember which job has lost to which holder. A job that waits for a lock comes back and loses again, many times over
// as long as nobody frees it, and that is no news.
type losses struct {
	mu   sync.Mutex
	seed maphash.Seed
	// Digests of losses: the latest, and those from before there were mostLosses of them.
	latest, before map[uint64]struct{}
}

// mostLosses bounds their memory to a few megabytes. Beyond twice as many jobs that wait at once, some are told of again.
const mostLosses = 50_000

func newLosses() *losses { return &losses{seed: maphash.MakeSeed(), latest: make(map[uint64]struct{})} }

// first tells whether this is the first time, and remembers it.
func (l *losses) first(one loss) bool {
	digest := maphash.Comparable(l.seed, one)
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.latest[digest]; known {
		return false
	}
	if len(l.latest) >= mostLosses {
		l.latest, l.before = make(map[uint64]struct{}), l.latest
	}
	_, known := l.before[digest]
	l.latest[digest] = struct{}{} // also if it is known: it is of use for as long again
	return !known
}
