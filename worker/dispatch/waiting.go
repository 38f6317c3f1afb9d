package dispatch

import (
	"context"
	"hash/maphash"
	"maps"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"invoicer/invoice/ledger"
)

// Redis can't look up a task in a queue's list of waiting tasks; the list has to be read. A short list is read in
// each round in which some job says that it waits there. A long list is read in pages over several rounds, and a job
// that isn't in it counts as lost only if it is missing again at the next reading.
const (
	// shortList is the largest number of tasks in a list that is read whole.
	shortList = 10_000
	// listPage is the number of tasks in a page of a longer list; pagesOfList is the number of pages in a round,
	// which is larger in a sweep.
	listPage            = 5_000
	pagesOfList         = 2
	pagesOfListInASweep = 20
	mostSuspects        = 100_000
)

// A suspect is a job that may be lost, with what its task says about its place.
type suspect struct {
	job  ledger.Dispatch
	seen string
	at   time.Time // by the database's clock
}

// A roll holds the hashes of the ids in a queue's list of waiting tasks, in ascending order. Hashes save memory, as a
// list may have a million tasks.
type roll struct {
	began time.Time // by the database's clock
	seed  maphash.Seed
	ids   []uint64
}

func newRoll(now time.Time) *roll { return &roll{began: now, seed: maphash.MakeSeed()} }

func (r *roll) add(ids []string) {
	for _, id := range ids {
		r.ids = append(r.ids, maphash.String(r.seed, id))
	}
}

func (r *roll) has(id string) bool {
	_, found := slices.BinarySearch(r.ids, maphash.String(r.seed, id))
	return found
}

// A list is what is known about the waiting tasks of a queue.
type list struct {
	length   int64
	now      *roll // of a short list, read in this round; nil if it wasn't read
	last     *roll // of a long list, at the last complete reading; nil if there was none
	reading  *roll // of the current reading; nil if there is none
	read     int64 // number of tasks read in the current reading
	wanted   bool
	suspects map[string]suspect // by task id: jobs that were missing in a long list
}

// begin begins a round.
func (l *list) begin(length int64) {
	l.length, l.now = length, nil
	if !l.long() {
		l.last, l.reading, l.wanted = nil, nil, false
	}
	if l.suspects == nil {
		l.suspects = make(map[string]suspect)
	}
}

func (l *list) long() bool { return l.length > shortList }

// missing returns the jobs that say that they wait, but aren't in the list. If the list is long, it returns none and
// keeps the missing jobs as suspects until the list has been read once more.
func (l *list) missing(ctx context.Context, rdb redis.Cmdable, key string, jobs []suspect, settled time.Duration) ([]suspect, error) {
	if len(jobs) == 0 {
		return nil, nil
	}
	if l.long() {
		for _, s := range jobs {
			// A job that was dispatched after the reading began may be missing in its roll.
			if l.last != nil && s.job.At.Before(l.last.began.Add(-settled)) && !l.last.has(taskID(s.job)) && len(l.suspects) < mostSuspects {
				l.suspects[taskID(s.job)] = s
			}
		}
		return nil, nil
	}
	if l.now == nil {
		ids, err := rdb.LRange(ctx, key, 0, 2*shortList).Result()
		if err != nil {
			return nil, err
		}
		if len(ids) > 2*shortList {
			return nil, nil // the list has grown since this round began
		}
		l.now = newRoll(jobs[0].at)
		l.now.add(ids)
		slices.Sort(l.now.ids)
	}
	var missing []suspect
	for _, s := range jobs {
		if !l.now.has(taskID(s.job)) {
			missing = append(missing, s)
		}
	}
	return missing, nil
}

// readOn reads some more pages of a long list, if a reading is wanted. When the reading is complete, it returns the
// jobs that were missing before the reading began and are still missing.
//
// It reads from the head, where tasks are added: a task may then be read twice, but none is skipped. Only deleting
// waiting tasks can make it skip others, and a task would have to be skipped twice to count as lost.
func (l *list) readOn(ctx context.Context, rdb redis.Cmdable, key string, now time.Time, pages int) ([]suspect, error) {
	if !l.long() {
		// Jobs that were missing in the long list are missing in the short one, or the check before putting back
		// finds them.
		all := slices.Collect(maps.Values(l.suspects))
		clear(l.suspects)
		return all, nil
	}
	if l.reading == nil {
		if !l.wanted && len(l.suspects) == 0 {
			return nil, nil
		}
		l.reading, l.read, l.wanted = newRoll(now), 0, false
	}
	for range pages {
		ids, err := rdb.LRange(ctx, key, l.read, l.read+listPage-1).Result()
		if err != nil {
			return nil, err
		}
		l.reading.add(ids)
		if l.read += int64(len(ids)); len(ids) == listPage {
			continue
		}
		slices.Sort(l.reading.ids)
		l.last, l.reading = l.reading, nil
		return l.resolve(), nil
	}
	return nil, nil
}

// resolve returns the suspects that were missing before the last reading began and aren't in its roll.
func (l *list) resolve() (lost []suspect) {
	for id, s := range l.suspects {
		if !s.at.Before(l.last.began) {
			continue
		}
		delete(l.suspects, id)
		if !l.last.has(id) {
			lost = append(lost, s)
		}
	}
	return lost
}
