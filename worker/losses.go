package worker

import (
	"hash/maphash"
	"sync"
)

// A loss says that a job has found its lock held, and by whom.
type loss struct{ jobID, holderID, holderWorker string }

// losses remembers which losses were logged. A job that waits for a lock returns and loses again, many times until
// the lock is freed, and is logged only once.
type losses struct {
	mu   sync.Mutex
	seed maphash.Seed
	// Digests of losses. Once latest has mostLosses of them, it becomes before.
	latest, before map[uint64]struct{}
}

// mostLosses bounds the memory to a few megabytes. If more than twice as many jobs wait at once, some are logged
// again.
const mostLosses = 50_000

func newLosses() *losses { return &losses{seed: maphash.MakeSeed(), latest: make(map[uint64]struct{})} }

// first reports whether the loss is new, and remembers it.
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
	l.latest[digest] = struct{}{} // also if it is in before: it was used recently
	return !known
}
