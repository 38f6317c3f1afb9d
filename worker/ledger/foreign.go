package ledger

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"invoicer/invoice"
)

const (
	// foreignPause is for how long a relay has nothing to do that has only jobs for other installations' queues.
	foreignPause = 500 * time.Millisecond
	// foreignInterval is how often it asks whether such a queue is still another installation's.
	foreignInterval = 2 * time.Second
)

// foreignQueues are those that jobs of this ledger name, and that belong to other installations. Their jobs stay accepted.
type foreignQueues struct {
	owners Owners
	log    *slog.Logger
	found  map[string]error // and whose they are
	asked  time.Time
}

func (f *foreignQueues) some() bool { return len(f.found) > 0 }

// names are the queues to leave alone. Those that are somebody else's no more are left out.
func (f *foreignQueues) names(ctx context.Context) ([]string, error) {
	if !f.some() {
		return nil, nil
	}
	names := slices.Sorted(maps.Keys(f.found))
	if time.Since(f.asked) < foreignInterval {
		return names, nil
	}
	refused, err := f.owners.Refuse(ctx, names)
	if err != nil {
		return nil, err
	}
	f.asked = time.Now()
	maps.DeleteFunc(f.found, func(queue string, _ error) bool {
		_, still := refused[queue]
		if !still {
			f.log.InfoContext(ctx, "a queue is no other installation's any more: its accepted jobs are put into it", "queue", queue)
		}
		return !still
	})
	return slices.Sorted(maps.Keys(f.found)), nil
}

// part tells jobs that may be sent from those whose queue is somebody else's, of which it tells once. Where that can't be
// found out, all come back together with the error.
func (f *foreignQueues) part(ctx context.Context, claimed []invoice.Dispatch) (ours, foreign []invoice.Dispatch, err error) {
	if f.owners == nil {
		return claimed, nil, nil
	}
	queues := make(map[string]bool)
	for _, d := range claimed {
		queues[d.Queue] = true
	}
	asking, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	refused, err := f.owners.Refuse(asking, slices.Sorted(maps.Keys(queues)))
	if err != nil {
		return claimed, nil, err
	}
	for queue, why := range refused {
		if _, known := f.found[queue]; !known {
			f.log.ErrorContext(ctx, "accepted jobs aren't put into their queue: it belongs to another installation", "queue", queue, "error", why)
		}
	}
	if len(refused) == 0 {
		return claimed, nil, nil
	}
	if f.found == nil {
		f.found = make(map[string]error)
	}
	maps.Copy(f.found, refused)
	f.asked = time.Now()
	for _, d := range claimed {
		if refused[d.Queue] != nil {
			foreign = append(foreign, d)
		} else {
			ours = append(ours, d)
		}
	}
	return ours, foreign, nil
}
