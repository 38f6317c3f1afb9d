package ledger

import (
	"context"
	"hash/maphash"
	"maps"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"invoicer/invoice"
)

// A queue's list of pending tasks can't be asked whether it has one, only be read. A short one is read whenever some job
// says that it waits there. A long one is read piece by piece, and what isn't found there has to be missing a second time.
const (
	// shortList is how many tasks are read at once.
	shortList = 10_000
	// listPage is how many are read at once of a longer list, and how many such pages in a round; in a sweep there are more.
	listPage            = 5_000
	pagesOfList         = 2
	pagesOfListInASweep = 20
	mostSuspects        = 100_000
)

// A suspect is a job that may be lost, and where it said that it was.
type suspect struct {
	job  invoice.Dispatch
	seen string
	at   time.Time // by the database's clock
}

// A roll is what a queue's list of pending tasks has, or had: their ids' hashes, in order, for a million of them need to
// be known.
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

// A list is what is known of the tasks that wait in a queue.
type list struct {
	length   int64
	now      *roll // in this round, of a short list; nil if it wasn't read
	last     *roll // of a long list; nil if it was never read to its end
	reading  *roll // nil if nothing asks for it
	read     int64 // how far
	wanted   bool
	suspects map[string]suspect // jobs that were missing in a long list, by their task ids
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

// missing returns those of the jobs that say that they wait, and that the list doesn't have. Those that a long list
// doesn't have are kept until it was read once more.
func (l *list) missing(ctx context.Context, rdb redis.Cmdable, key string, jobs []suspect, settled time.Duration) ([]suspect, error) {
	if len(jobs) == 0 {
		return nil, nil
	}
	if l.long() {
		for _, s := range jobs {
			// What was dispatched after the list was begun to be read needn't be on that roll.
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
			return nil, nil // it has grown since this round began
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

// readOn reads some more pages of a long list, if somebody has to know. It returns the jobs that were missing before it was
// begun to be read, and still are at its end.
//
// It reads from the head, where tasks are added: what is read may then come again, but nothing is passed over. Only who
// deletes tasks that wait may have others passed over, and these would have to be so twice.
func (l *list) readOn(ctx context.Context, rdb redis.Cmdable, key string, now time.Time, pages int) ([]suspect, error) {
	if !l.long() {
		// What was missing in the long list is missing in the short one, or the next look at it tells.
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

// resolve returns those of the suspects that were missing before the list was read, and are in it nowhere.
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
