package dispatch

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"invoicer/invoice/ledger"
)

const (
	// foreignPause is how long a relay pauses if it has only jobs for other installations' queues.
	foreignPause = 500 * time.Millisecond
	// foreignInterval is how often a relay asks whether such a queue still belongs to another installation.
	foreignInterval = 2 * time.Second
)

// foreignQueues are the queues that this ledger's jobs name and other installations own. The jobs stay accepted.
type foreignQueues struct {
	owners Owners
	log    *slog.Logger
	found  map[string]error // by queue: the error that names the owner
	asked  time.Time
}

func (f *foreignQueues) some() bool { return len(f.found) > 0 }

// names returns the foreign queues. It drops those that no longer belong to another installation.
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
			f.log.InfoContext(ctx, "a queue belongs to no other installation any more: its accepted jobs are put into it", "queue", queue)
		}
		return !still
	})
	return slices.Sorted(maps.Keys(f.found)), nil
}

// part separates the jobs that may be sent from those whose queue another installation owns. It logs each such queue
// once. If the owners can't be found out, it returns all jobs as ours, together with the error.
func (f *foreignQueues) part(ctx context.Context, claimed []ledger.Dispatch) (ours, foreign []ledger.Dispatch, err error) {
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
