package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"invoicer/internal/lifecycle"
	"invoicer/internal/metrics"
	"invoicer/internal/term"
	"invoicer/invoice"
	"invoicer/worker"
	"invoicer/worker/client"
)

// A demoJob is one transaction that the demo's producers ask for.
type demoJob struct{ job *invoice.Job }

// The producers that compete, as they do in a real company.
var producers = [...]string{"checkout", "webhook", "nightly-cron", "replay", "support-desk"} //nolint:gochecknoglobals // a constant list

// mistaken is the producer that gets things wrong.
const mistaken = "typo"

// A story is what happened in the demo.
type story struct {
	asked   int
	took    time.Duration
	ended   map[invoice.Outcome]int
	reasons map[invoice.Reason]int
	lost    int // attempts that found the lock held
	putBack int
	race    []moment // of one transaction, in order
}

// A moment is an event and when it happened, counted from the beginning.
type moment struct {
	at time.Duration
	worker.Event
}

// A recorder keeps what the workers tell.
type recorder struct {
	begun time.Time
	done  atomic.Int64

	mu      sync.Mutex
	story   story
	moments map[string][]moment // by transaction
}

func (r *recorder) observe(e worker.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch e.What {
	case worker.Ended:
		r.story.ended[e.Outcome]++
		if e.Reason != "" {
			r.story.reasons[e.Reason]++
		}
		r.done.Add(1)
	case worker.LostRace:
		r.story.lost++
	case worker.PutBack:
		r.story.putBack++
	}
	// A race shows from its first lost attempt on, but it began with the winner's; so all are kept until it is clear
	// which one is told.
	r.moments[e.TransactionID] = append(r.moments[e.TransactionID], moment{time.Since(r.begun), e})
}

// play asks for everything, several times over, and returns once every job has ended.
func (d *demo) play(ctx context.Context, jobs []demoJob, m *metrics.Metrics) (*story, error) {
	mistakes := d.mistakes(jobs)
	r := &recorder{begun: time.Now(), moments: map[string][]moment{}, story: story{
		asked: len(jobs)*d.copies + len(mistakes),
		ended: map[invoice.Outcome]int{}, reasons: map[invoice.Reason]int{},
	}}
	observe := func(e worker.Event) {
		m.ObserveWorker(e)
		r.observe(e)
	}
	queues := map[string]int{d.queue(): 1}
	ownership, err := d.keep(workerName(), queues)
	if err != nil {
		return nil, err
	}
	var workers lifecycle.Stage
	for _, name := range d.workerNames() {
		server, err := d.newWorker(name, queues, observe)
		if err != nil {
			return nil, err
		}
		workers = append(workers, workerPart(name, server))
	}
	playing, end := context.WithCancel(ctx)
	defer end()
	producers := lifecycle.Part{Name: "the producers", Run: func(ctx context.Context) error {
		err := d.compete(ctx, jobs, mistakes, r)
		if err == nil {
			end() // nothing else is left to do
			<-ctx.Done()
		}
		return err
	}}
	if err := lifecycle.Run(playing, lifecycle.Stage{ownership}, workers, lifecycle.Stage{producers}); err != nil {
		return nil, err
	}
	if r.done.Load() < int64(r.story.asked) {
		return nil, d.stopped()
	}
	r.story.race = bestRace(r.moments) // nobody tells anything any more
	return &r.story, nil
}

// stopped is the error of a demo that is stopped by a signal.
func (d *demo) stopped() error {
	return errors.New("stopped before every job had ended; the workers' jobs are safe in the queue " + d.queue())
}

// compete has the producers ask for everything, and returns once every job has ended.
func (d *demo) compete(ctx context.Context, jobs []demoJob, mistakes [][]byte, r *recorder) error {
	if !d.json {
		_, _ = fmt.Fprintf(d.out, `Billing systems ask twice: here %d producers ask for the invoices of the same %s transactions at once.
Done naively, that makes %s invoices, and customers are billed %d times. Watch %d workers make one of each.
`, d.copies, term.Thousands(len(jobs)), term.Thousands(len(jobs)*d.copies), d.copies, d.workers)
		if len(mistakes) > 0 {
			_, _ = fmt.Fprintf(d.out, "%d more are mistakes: other amounts for transactions that have an invoice, and jobs without a currency.\n", len(mistakes))
		}
		_, _ = fmt.Fprintln(d.out)
	}
	failed := make(chan error, d.copies)
	var sent atomic.Int64
	var producing sync.WaitGroup
	defer producing.Wait()
	asking, cancel := context.WithCancel(ctx)
	defer cancel()
	for i := range d.copies {
		producing.Go(func() {
			err := d.produce(asking, i, jobs, &sent)
			if err == nil && i == 0 {
				err = d.err(asking, mistakes, &sent)
			}
			if err != nil {
				failed <- err
			}
		})
	}
	if err := d.follow(ctx, r, &sent, failed); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.story.took = time.Since(r.begun)
	return nil
}

// produce asks for every transaction once, nearly in order, so that the producers keep meeting.
func (d *demo) produce(ctx context.Context, number int, jobs []demoJob, sent *atomic.Int64) error {
	name := producers[number%len(producers)]
	if number >= len(producers) {
		name = fmt.Sprintf("%s-%d", name, number/len(producers)+1)
	}
	c, err := client.New(d.redis, client.Options{Queue: d.queue(), Retention: noneIfZero(d.cfg.Worker.Retention)})
	if err != nil {
		return err
	}
	order := rand.New(rand.NewPCG(uint64(number), 0)) //nolint:gosec // any order will do
	const neighbours = 8
	for chunk := range slices.Chunk(jobs, neighbours) {
		chunk = slices.Clone(chunk)
		order.Shuffle(len(chunk), func(i, j int) { chunk[i], chunk[j] = chunk[j], chunk[i] })
		for _, j := range chunk {
			named := *j.job
			named.Producer = name
			if _, err := c.Enqueue(ctx, &named); err != nil {
				return err
			}
			sent.Add(1)
		}
	}
	return nil
}

// mistakes are what producers get wrong: they ask again with other amounts, or send what no invoice can be made of. A
// given input has its own.
func (d *demo) mistakes(jobs []demoJob) [][]byte {
	if d.input != "" {
		return nil
	}
	var payloads [][]byte
	for _, j := range jobs[:min(3, len(jobs))] {
		changed := *j.job
		changed.Producer = mistaken
		changed.Lines = slices.Clone(changed.Lines)
		changed.Lines[0].Quantity++
		if payload, err := changed.Encode(); err == nil {
			payloads = append(payloads, payload)
		}
	}
	for i := range 2 {
		payloads = append(payloads, fmt.Appendf(nil, `{"transaction_id":"%s-bad-%d","producer":"`+mistaken+`","issued_at":"2010-12-01T08:26:00Z","lines":[{"quantity":1,"unit_price":"1.00"}]}`,
			jobs[0].job.TransactionID, i))
	}
	return payloads
}

// err makes the mistakes, unchecked, as a foreign producer does.
func (d *demo) err(ctx context.Context, mistakes [][]byte, sent *atomic.Int64) error {
	c, err := client.New(d.redis, client.Options{Queue: d.queue(), Retention: noneIfZero(d.cfg.Worker.Retention)})
	if err != nil {
		return err
	}
	for _, payload := range mistakes {
		if _, err := c.EnqueuePayload(ctx, payload); err != nil {
			return err
		}
		sent.Add(1)
	}
	return nil
}

// follow shows the progress until every job has ended.
func (d *demo) follow(ctx context.Context, r *recorder, sent *atomic.Int64, failed <-chan error) error {
	view := newDemoView(d.out, int64(r.story.asked), d.json)
	defer view.stop()
	const refresh, stalled = 100 * time.Millisecond, 60 * time.Second
	tick := time.NewTicker(refresh)
	defer tick.Stop()
	last, lastAt := int64(-1), time.Now()
	for {
		r.mu.Lock()
		view.show(sent.Load(), r.story)
		r.mu.Unlock()
		done := r.done.Load()
		if done >= int64(r.story.asked) {
			return nil
		}
		if done != last {
			last, lastAt = done, time.Now()
		} else if time.Since(lastAt) > stalled {
			return fmt.Errorf("nothing has ended for %s, %s of %s jobs are still open: are both servers well?", stalled, term.Thousands(r.story.asked-int(done)), term.Thousands(r.story.asked))
		}
		select {
		case <-tick.C:
		case err := <-failed:
			return err
		case <-ctx.Done():
			return d.stopped()
		}
	}
}

// bestRace picks a transaction whose jobs met, on two workers if there is one, and puts its moments in order.
func bestRace(moments map[string][]moment) []moment {
	var best []moment
	most := 0
	for _, all := range moments {
		happened, jobs, workers, clean := map[string]int{}, map[string]bool{}, map[string]bool{}, true
		for _, m := range all {
			happened[m.What]++
			jobs[m.JobID], workers[m.Worker] = true, true
			clean = clean && m.Producer != mistaken
		}
		// Long stories tell no more than short ones.
		if happened[worker.LostRace] == 0 || happened[worker.Invoiced] == 0 || !clean || len(all) > 12 {
			continue
		}
		if score := 10*len(workers) + 3*happened[worker.LostRace] + len(jobs); score > most {
			best, most = all, score
		}
	}
	slices.SortStableFunc(best, func(a, b moment) int { return int(a.at - b.at) })
	return best
}
