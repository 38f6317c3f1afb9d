// Package events tells endpoints what has happened: it posts the events of the outbox, signed, at least once each, and those of a transaction
// in their order. Any number of processes may deliver from one database.
package events

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"invoicer/invoice/outbox"
)

const (
	// atOnce is how many events a process posts to an endpoint at the same time.
	atOnce = 16
	// dialTimeout and postTimeout bound an attempt: until there is a connection, and altogether.
	dialTimeout = 5 * time.Second
	postTimeout = 10 * time.Second
	// lease is for how long no other process posts an event that this one has claimed. It is longer than an attempt and its record take.
	lease = 30 * time.Second
	// claimAhead is how many events are claimed at a time for an endpoint that answers within quick, and recorded at a time.
	claimAhead = 128
	quick      = 200 * time.Millisecond
	// gather is for how long results are gathered, so that they are recorded together.
	gather = 20 * time.Millisecond
	// mostAnswer is how many bytes of an answer are read.
	mostAnswer = 64 << 10

	// lookInterval is how often the endpoints are read, which bounds when a new one counts.
	lookInterval = 2 * time.Second
	// countInterval is how often what waits is counted.
	countInterval = 15 * time.Second
	// pollInterval is how often an endpoint's due events are looked for while none are.
	pollInterval = 75 * time.Millisecond

	// GivenUpAfter is how long an event is tried.
	GivenUpAfter = 3 * 24 * time.Hour
	// DisabledAfter is how long an endpoint may take nothing until it is disabled.
	DisabledAfter = 24 * time.Hour
)

// An Outbox is what a deliverer asks of the store.
type Outbox interface {
	Endpoints(ctx context.Context, counts bool) ([]outbox.Endpoint, error)
	Secrets(ctx context.Context) (map[int64][]string, error)
	Claim(ctx context.Context, endpoint int64, most int, lease time.Duration) ([]outbox.Delivery, error)
	Settle(ctx context.Context, endpoint int64, attempts []outbox.Attempt) (failingSince, now time.Time, err error)
	Disable(ctx context.Context, endpoint int64, reason string) (bool, error)
}

// Options of a deliverer. Zero values mean the defaults, unless required.
type Options struct {
	Outbox Outbox // required
	// Secrets are those that the configuration states, by endpoint. An endpoint of another process's configuration, whose secrets are not
	// here, is left to that process.
	Secrets map[string][]string
	// Allow are networks that may be called though they aren't public, and without TLS. Default: none.
	Allow []netip.Prefix
	// Link returns a link to the document that an event tells of, which is added as it is posted, and when it expires; "" adds none. Default: none
	// is added.
	Link func(to *outbox.Endpoint, e *outbox.Event) (link string, until time.Time, err error)
	// Version is in the User-Agent. Default: none.
	Version string
	// Attempted is called after each attempt. Default: it isn't called.
	Attempted func(endpoint, state string, waited time.Duration)
	// Seen is called now and then with all endpoints, with counts. Default: it isn't called.
	Seen func([]outbox.Endpoint)
	// Now is the time of an attempt, which its signature covers. Default: time.Now.
	Now func() time.Time
	// Random returns a number from 0 up to 1, by which attempts are spread. Default: 0.5.
	Random func() float64
	Logger *slog.Logger // required
}

// A Deliverer posts events to their endpoints.
type Deliverer struct {
	options Options
	caller  Caller
	counted time.Time // when what waits was counted last
}

// New returns a deliverer. Its Run delivers.
func New(o Options) (*Deliverer, error) {
	if o.Outbox == nil || o.Logger == nil {
		return nil, errors.New("events: an outbox and a logger are required")
	}
	if o.Attempted == nil {
		o.Attempted = func(string, string, time.Duration) {}
	}
	if o.Seen == nil {
		o.Seen = func([]outbox.Endpoint) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = func() float64 { return 0.5 }
	}
	return &Deliverer{options: o, caller: NewCaller(o.Allow, postTimeout, atOnce)}, nil
}

// Run delivers until ctx ends, and returns when no attempt is under way. Each endpoint is told by a goroutine of its own, so that none waits for another.
func (d *Deliverer) Run(ctx context.Context) error {
	defer d.caller.Close()
	var running sync.WaitGroup
	defer running.Wait()
	lines := make(map[int64]*line)
	look := time.NewTicker(lookInterval)
	defer look.Stop()
	var failed bool
	for {
		err := d.look(ctx, lines, &running)
		if err != nil && ctx.Err() == nil && !failed {
			d.options.Logger.Warn("events can't be delivered", "error", err)
		}
		failed = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
		}
	}
}

// A line is the goroutine that tells an endpoint.
type line struct {
	endpoint outbox.Endpoint
	stop     context.CancelFunc
}

// look starts and stops lines as endpoints come, change and go.
func (d *Deliverer) look(ctx context.Context, lines map[int64]*line, running *sync.WaitGroup) error {
	counts := time.Since(d.counted) >= countInterval
	endpoints, err := d.options.Outbox.Endpoints(ctx, counts)
	if err != nil {
		return err
	}
	if counts {
		d.counted = time.Now()
		d.options.Seen(endpoints)
	}
	secrets := make(map[int64][]string)
	for i := range endpoints {
		if endpoints[i].Origin == outbox.OfOperator {
			if secrets, err = d.options.Outbox.Secrets(ctx); err != nil {
				return err
			}
			break
		}
	}
	there := make(map[int64]bool)
	for i := range endpoints {
		e := &endpoints[i]
		if e.Secrets = secrets[e.ID]; e.Origin == outbox.OfConfiguration {
			e.Secrets = d.options.Secrets[e.Name]
		}
		if e.State != outbox.Enabled || len(e.Secrets) == 0 {
			continue
		}
		there[e.ID] = true
		if old := lines[e.ID]; old != nil {
			if same(&old.endpoint, e) {
				continue
			}
			old.stop()
		}
		own, stop := context.WithCancel(ctx)
		lines[e.ID] = &line{endpoint: *e, stop: stop}
		endpoint := *e
		running.Go(func() { d.tell(own, &endpoint) })
	}
	for id, old := range lines {
		if !there[id] {
			old.stop()
			delete(lines, id)
		}
	}
	return nil
}

func same(a, b *outbox.Endpoint) bool {
	return a.URL == b.URL && a.State == b.State && fmt.Sprint(a.Secrets) == fmt.Sprint(b.Secrets)
}

// A result is a delivery together with what came of it.
type result struct {
	delivery outbox.Delivery
	answer   answer
}

// tell tells an endpoint what is due until ctx ends.
func (d *Deliverer) tell(ctx context.Context, to *outbox.Endpoint) {
	l := teller{Deliverer: d, to: to, results: make(chan result, atOnce)}
	poll := time.NewTimer(0)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			l.finish(ctx)
			return
		case one := <-l.results:
			l.came(one)
		case <-poll.C:
		}
		l.settle(ctx, false)
		l.tellNext(ctx)
		poll.Reset(l.pause())
	}
}

// A teller is the state of the goroutine that tells an endpoint.
type teller struct {
	*Deliverer

	to      *outbox.Endpoint
	results chan result
	claimed []outbox.Delivery // that aren't begun yet
	until   time.Time         // until then they are nobody else's, with time left to post them
	busy    int               // attempts under way
	ended   []result          // that aren't recorded yet
	settled time.Time         // when the last ones were
	failed  int               // attempts in a row
	slowest time.Duration     // of the attempts that were recorded last
	asked   time.Time         // when the last claim was made
	more    bool              // it has brought as many as it could
	away    bool              // the database couldn't be asked last
	quiet   time.Time
}

func (l *teller) came(one result) {
	for {
		l.busy--
		l.ended = append(l.ended, one)
		if l.failed++; one.answer.taken() {
			l.failed = 0
		}
		if l.failed == trusted {
			l.claimed = nil // they are due again soon, and then one at a time
		}
		select {
		case one = <-l.results:
		default:
			return
		}
	}
}

// trusted is how many failures in a row an endpoint may have until it is called less often.
const trusted = 5

// tellNext begins to post what is due. An endpoint that takes nothing is posted one event at a time, and less and less often.
func (l *teller) tellNext(ctx context.Context) {
	l.claim(ctx)
	for ; len(l.claimed) > 0 && l.busy < l.most(); l.claimed = l.claimed[1:] {
		if time.Now().After(l.until) { // who comes next posts them
			l.claimed = nil
			return
		}
		one := l.claimed[0]
		l.busy++
		go func() { // finish waits for it; results has room for all
			l.results <- result{one, l.post(context.WithoutCancel(ctx), l.to, l.to.Secrets, &one)}
		}()
	}
}

// most is how many attempts may be under way.
func (l *teller) most() int {
	if l.failed >= trusted {
		return 1
	}
	return atOnce
}

// claim claims what is due if too little is claimed to keep all attempts going. Of an endpoint that answers at once it claims more than can be under way.
func (l *teller) claim(ctx context.Context) {
	most := l.most()
	if len(l.claimed) > 0 || l.busy >= most || l.away && len(l.ended) > 0 || time.Now().Before(l.quiet) || !l.more && time.Since(l.asked) < pollInterval {
		return
	}
	if most -= l.busy; l.failed == 0 && l.slowest > 0 && l.slowest < quick {
		most = claimAhead
	}
	begun := time.Now()
	list, err := l.options.Outbox.Claim(ctx, l.to.ID, most, lease)
	if l.away = err != nil; l.away {
		return // the next look says so
	}
	l.claimed, l.more, l.asked, l.until = list, len(list) == most, begun, begun.Add(lease-2*postTimeout)
	if l.failed >= trusted && len(list) > 0 {
		l.quiet = time.Now().Add(min(time.Second<<min(l.failed-trusted, 6), time.Minute))
	}
}

// pause is how long there is nothing to do, unless an attempt ends.
func (l *teller) pause() time.Duration {
	switch {
	case l.away && len(l.ended) > 0:
		return pollInterval
	case len(l.ended) > 0:
		return gather
	case l.more && l.busy < l.most() && !l.away && !time.Now().Before(l.quiet):
		return 0
	case l.busy >= l.most():
		return time.Second
	default:
		return pollInterval
	}
}

// settle records what came of attempts, many at a time while there are more. What can't be recorded now is recorded later; if the process ends before, it is posted
// again.
func (l *teller) settle(ctx context.Context, now bool) {
	if len(l.ended) == 0 || !now && len(l.ended) < claimAhead && l.busy+len(l.claimed) > 0 && time.Since(l.settled) < gather {
		return
	}
	attempts := make([]outbox.Attempt, len(l.ended))
	gone, slowest := false, time.Duration(0)
	for i := range l.ended {
		attempts[i] = l.attempt(&l.ended[i])
		gone = gone || l.ended[i].answer.status == http.StatusGone
		slowest = max(slowest, l.ended[i].answer.took)
	}
	failingSince, at, err := l.options.Outbox.Settle(ctx, l.to.ID, slices.Clone(attempts))
	l.settled = time.Now()
	if l.away = err != nil; l.away {
		return
	}
	for i := range l.ended {
		one := &l.ended[i]
		l.options.Attempted(l.to.Name, attempts[i].State, max(0, one.delivery.Now.Sub(one.delivery.CreatedAt)))
		if attempts[i].State == outbox.Dead {
			l.options.Logger.Error("an event was given up", "endpoint", l.to.Name, "type", one.delivery.Type, "event_id", one.delivery.ID, "error", one.answer.err)
		}
	}
	l.ended, l.slowest = l.ended[:0], slowest
	switch {
	case gone:
		l.disable(ctx, "it answered 410 Gone")
	case !failingSince.IsZero() && at.Sub(failingSince) >= DisabledAfter:
		l.disable(ctx, fmt.Sprintf("it has taken nothing since %s", failingSince.UTC().Format(time.RFC3339)))
	}
}

func (l *teller) disable(ctx context.Context, reason string) {
	l.claimed = nil
	if disabled, err := l.options.Outbox.Disable(ctx, l.to.ID, reason); err == nil && disabled {
		l.options.Logger.Error("an endpoint was disabled", "endpoint", l.to.Name, "reason", reason)
	}
}

func (l *teller) attempt(r *result) outbox.Attempt {
	a := outbox.Attempt{Row: r.delivery.Row, State: outbox.Delivered, Status: r.answer.status}
	if r.answer.taken() {
		return a
	}
	a.State, a.Error = outbox.Pending, r.answer.err.Error()
	if a.Again = retryAfter(r.delivery.Attempts, l.options.Random()); r.delivery.Now.Sub(r.delivery.Since)+a.Again > GivenUpAfter {
		a.State, a.Again = outbox.Dead, 0
	}
	return a
}

// retryAfter returns how long after the nth attempt the next one comes: 5 s at first, and then twice as long each time, 6 hours at most, a fifth more or less.
func retryAfter(attempts int, random float64) time.Duration {
	wait := min(5*time.Second<<min(attempts-1, 20), 6*time.Hour)
	return time.Duration(float64(wait) * (0.8 + 0.4*random))
}

// finish records what is under way, so that it isn't posted again for no reason, and gives back what wasn't begun.
func (l *teller) finish(ctx context.Context) {
	for l.busy > 0 {
		l.came(<-l.results)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dialTimeout)
	defer cancel()
	l.settle(ctx, true)
	back := make([]outbox.Attempt, len(l.claimed))
	for i := range l.claimed {
		back[i] = outbox.Attempt{Row: l.claimed[i].Row, State: outbox.Pending}
	}
	if len(back) > 0 {
		_, _, _ = l.options.Outbox.Settle(ctx, l.to.ID, back) // else they are due once the lease is over
	}
}
