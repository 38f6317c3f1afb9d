package pages

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"invoicer/internal/term"
	"invoicer/invoice"
	"invoicer/invoice/ledger"
	"invoicer/web/access"
	"invoicer/worker/dispatch"
)

// What can be done to all failed jobs that match a filter.
type action string

const (
	forecast action = "forecast"
	replay   action = "replay"
	dismiss  action = "dismiss"
)

// How many runs are kept, the ended ones included, and how many may be under way. A run takes a connection to the database.
const (
	mostRuns     = 50
	mostUnderWay = 3
)

// runs are the forecasts and dismissals that were started from these pages. They are forgotten when the process ends; what they did to jobs
// is on record. Replays are in the database: see [Replays].
type runs struct {
	mu     sync.Mutex
	all    []*run // the oldest first
	last   int
	closed bool
	under  sync.WaitGroup
}

func newRuns() *runs { return &runs{} }

// A run does something to all failed jobs that match a filter, in the background.
type run struct {
	id      int
	action  action
	by      ledger.Actor
	shown   filter
	filter  ledger.FailedFilter
	rate    float64
	begun   time.Time
	stop    context.CancelCauseFunc
	stopped <-chan struct{} // closed when it has ended

	mu       sync.Mutex
	total    int
	counts   map[string]int
	done     int
	problems []string // of jobs that were left as they are, the first ones
	ended    bool
	failed   error
}

var errStopped = errors.New("stopped")

// mostProblems is how many jobs that were left a run names.
const mostProblems = 20

// start starts a run. It refuses if too many are under way.
func (rs *runs) start(r *run, work func(context.Context, *run) error) error {
	ctx, cancel := context.WithCancelCause(context.Background())
	ended := make(chan struct{})
	r.stop, r.stopped, r.counts, r.begun = cancel, ended, make(map[string]int), time.Now()
	rs.mu.Lock()
	defer rs.mu.Unlock()
	under := 0
	for _, other := range rs.all {
		if !other.hasEnded() {
			under++
		}
	}
	if under >= mostUnderWay || rs.closed {
		cancel(nil)
		return problemf("%d forecasts or dismissals are under way already: wait until one has ended, or stop it", under)
	}
	rs.last++
	r.id = rs.last
	if len(rs.all) >= mostRuns {
		oldest := slices.IndexFunc(rs.all, (*run).hasEnded)
		rs.all = slices.Delete(rs.all, oldest, oldest+1)
	}
	rs.all = append(rs.all, r)
	rs.under.Go(func() {
		defer close(ended)
		defer cancel(nil)
		err := work(ctx, r)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.ended, r.failed = true, err
	})
	return nil
}

func (rs *runs) get(id int) *run {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	i := slices.IndexFunc(rs.all, func(r *run) bool { return r.id == id })
	if i < 0 {
		return nil
	}
	return rs.all[i]
}

// close stops all runs and waits for their end.
func (rs *runs) close() {
	rs.mu.Lock()
	rs.closed = true
	for _, r := range rs.all {
		r.stop(errStopped)
	}
	rs.mu.Unlock()
	rs.under.Wait()
}

// keepsTo reports whether the run is about jobs of some issuers alone.
func (r *run) keepsTo(issuers access.Issuers) bool {
	of := access.Issuers(r.filter.Issuers)
	if r.filter.Issuer != nil {
		of = access.Issuers{*r.filter.Issuer}
	}
	return !issuers.Limited() || of.Limited() && !slices.ContainsFunc(of, func(code string) bool { return !issuers.Has(code) })
}

func (r *run) hasEnded() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ended
}

// count records what became of a job.
func (r *run) count(result, left string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done++
	r.counts[result]++
	if left != "" && len(r.problems) < mostProblems {
		r.problems = append(r.problems, left)
	}
}

func (r *run) setTotal(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.total = n
}

func (p *Pages) forecastAll(ctx context.Context, r *run) error {
	_, err := p.o.Replayer.Run(ctx, dispatch.ReplayOptions{
		Filter: r.filter, DryRun: true, Begin: r.setTotal,
		Observe: func(one dispatch.Replayed) {
			if len(one.Problems) == 0 {
				r.count(expected(one.Forecast.Outcome), "")
				return
			}
			var problems []string
			for _, problem := range one.Problems {
				problems = append(problems, problem.Field+" "+problem.Message)
			}
			r.count("still invalid, left failed", "job "+one.Failed.JobID+": "+strings.Join(problems, "; "))
		},
	})
	return err
}

func expected(outcome invoice.Outcome) string {
	switch outcome {
	case invoice.Created:
		return "would become an invoice"
	case invoice.Duplicate:
		return "would be a duplicate of an invoice that exists"
	default:
		return "would be a " + string(outcome)
	}
}

// dismissBatch is how many jobs are read at once.
const dismissBatch = 100

func (p *Pages) dismissAll(ctx context.Context, r *run) error {
	total, _, err := p.o.Failures.CountFailed(ctx, r.filter)
	if err != nil {
		return err
	}
	r.setTotal(total)
	var after ledger.FailedJob
	for {
		jobs, err := p.o.Failures.Failed(ctx, r.filter, after, dismissBatch)
		if err != nil || len(jobs) == 0 {
			return err
		}
		for _, job := range jobs {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			var other *ledger.StateError
			switch err := p.o.Failures.Dismiss(ctx, job.JobID, r.by); {
			case errors.As(err, &other), errors.Is(err, ledger.ErrNoJob):
				r.count("not failed any more", "")
			case err != nil:
				return err
			default:
				r.count("dismissed", "")
			}
		}
		after = jobs[len(jobs)-1]
	}
}

// shownRun is what a run's page shows.
type shownRun struct {
	ID          string
	Sentence    string
	Total, Done int
	Rows        []shownCount
	Problems    []string
	Back        string
	Ended       bool
}

type shownCount struct {
	Name string
	N    string
}

func (r *run) show() shownRun {
	r.mu.Lock()
	defer r.mu.Unlock()
	shown := shownRun{
		ID: strconv.Itoa(r.id), Total: max(r.total, r.done), Done: r.done, Problems: slices.Clone(r.problems), Back: r.shown.path(), Ended: r.ended,
	}
	for _, name := range slices.Sorted(maps.Keys(r.counts)) {
		shown.Rows = append(shown.Rows, shownCount{name, term.Thousands(r.counts[name])})
	}
	shown.Sentence = sentence(r.action, shown.Total, r.by.Name, r.ended, r.failed)
	return shown
}

// sentence says how a forecast, a replay or a dismissal stands.
func sentence(what action, total int, by string, ended bool, failed error) string {
	doing := map[action][2]string{forecast: {"A forecast", "looked at"}, replay: {"A replay", "sent"}, dismiss: {"A dismissal", "dismissed"}}[what]
	who := ""
	if what != forecast {
		who = " by " + by
	}
	state := "is under way"
	switch {
	case !ended:
	case errors.Is(failed, errStopped), errors.Is(failed, context.Canceled):
		state = fmt.Sprintf("was stopped; what it had %s stays so, and the rest stays failed", doing[1])
	case failed != nil:
		state = fmt.Sprintf("ended early, because the database didn't answer as expected; what it had %s stays so, and the rest stays failed", doing[1])
	default:
		state = "has ended"
	}
	return fmt.Sprintf("%s of %s failed jobs%s %s.", doing[0], term.Thousands(total), who, state)
}
