// Package demo shows what invoicer is for. Workers with a naive lock and invoicer's own workers get the same jobs, and one of
// invoicer's is killed. The package counts in the database which invoices both have made.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"time"

	"github.com/redis/go-redis/v9"

	"invoicer/internal/lifecycle"
	"invoicer/internal/term"
	"invoicer/invoice"
)

// Options say what is played, and where. All are required.
type Options struct {
	Redis     redis.UniversalClient
	OwnerURL  string // of the database, as a role that may make tables: the naive workers' role
	ReaderURL string // as a role that may read what our workers have made
	Schema    string // holds invoicer's tables; the naive workers' table is added, and dropped at the end

	// Queue is our workers'. The naive ones have a queue of their own, with this name and -naive, which is deleted at the
	// end.
	Queue     string
	Retention time.Duration // of tasks that have ended; negative: none

	Jobs     []*invoice.Job // each is asked for by Copies producers
	Mistakes [][]byte       // payloads that one of the producers sends as well; may be empty
	Copies   int
	Workers  int // of each kind

	// Command makes the command of a worker that isn't started yet: one that consumes Queue, and logs JSON to stderr at the
	// level debug.
	Command func() *exec.Cmd

	Out io.Writer // for the progress; [io.Discard] for none
}

// ErrStopped is the error of a demo whose context ended before all jobs had.
var ErrStopped = errors.New("stopped before every job had ended")

// A Story is what happened. The tallies are counted in the database; the rest is what our workers have logged.
type Story struct {
	Transactions int // that were asked for
	Asked        int // jobs, for each kind of worker
	Took         time.Duration
	Outcomes     map[invoice.Outcome]int // of our workers' jobs
	Reasons      map[invoice.Reason]int  // of the duplicates
	RacesLost    int                     // attempts that found the lock held
	PutBack      int                     // jobs that went back to the queue
	Naive, Ours  Tally
	Killed       Killing

	naiveRace, race race
}

// A Killing describes the worker that was killed, and how its jobs went on.
type Killing struct {
	Worker, PID int
	InHand      int           // jobs that it had, and that others took over
	BackAfter   time.Duration // after which the last one of them had ended
}

// A play is a demo that runs.
type play struct {
	Options
	tables   *tables
	naive    *naive
	recorder *recorder
	crew     *crew
	asked    int
}

// Play gives all jobs to both kinds of workers, and returns once every job has ended at both. It leaves the invoices of our
// workers in the database, and deletes what the naive workers have stored. It returns [ErrStopped] if ctx ends before.
func Play(ctx context.Context, o Options) (_ *Story, err error) {
	p := &play{Options: o, recorder: newRecorder(), asked: len(o.Jobs)*o.Copies + len(o.Mistakes)}
	p.crew = newCrew(o.Command, p.recorder.observe)
	if p.tables, err = openTables(ctx, o); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.tables.close(ctx)) }()
	p.naive = &naive{rdb: o.Redis, tables: p.tables, queue: o.Queue + "-naive", workers: o.Workers}
	defer func() { err = errors.Join(err, p.naive.tidy(ctx)) }()
	if err := p.run(ctx); err != nil {
		return nil, err
	}
	return p.story(ctx)
}

// run returns once every job has ended.
func (p *play) run(ctx context.Context) error {
	playing, end := context.WithCancel(ctx)
	defer end()
	naiveOnes := lifecycle.Part{Name: "the naive workers", Start: p.naive.start, Run: p.naive.run}
	ours := lifecycle.Part{Name: "the workers", Start: func(context.Context) error { return p.crew.start(p.Workers) }, Run: p.crew.run}
	everyone := lifecycle.Part{Name: "the producers", Run: func(ctx context.Context) error {
		err := p.compete(ctx)
		if err == nil {
			end() // nothing else is left to do
			<-ctx.Done()
		}
		return err
	}}
	if err := lifecycle.Run(playing, lifecycle.Stage{naiveOnes, ours}, lifecycle.Stage{everyone}); err != nil {
		return err
	}
	if !p.over() {
		return ErrStopped
	}
	return nil
}

func (p *play) over() bool {
	return p.recorder.ended() >= p.asked && p.naive.ended.Load() >= int64(p.asked)
}

// compete has the producers ask for everything, kills a worker meanwhile, and returns once every job has ended.
func (p *play) compete(ctx context.Context) error {
	asking, cancel := context.WithCancel(ctx)
	failed := make(chan error, p.Copies)
	wait := p.produce(asking, failed)
	defer wait()
	defer cancel()
	view := newView(p.Out, len(transactions(p.Jobs)), p.asked)

	const refresh, stalled = 100 * time.Millisecond, 60 * time.Second
	tick := time.NewTicker(refresh)
	defer tick.Stop()
	last, lastAt := -1, time.Now()
	for {
		if err := p.killInTheMiddle(view); err != nil {
			return err
		}
		done := p.recorder.ended() + int(p.naive.ended.Load())
		view.show(int(p.naive.written.Load()), p.recorder.created(), p.asked-p.recorder.ended())
		if p.over() {
			p.recorder.finish()
			return nil
		}
		if done != last {
			last, lastAt = done, time.Now()
		} else if time.Since(lastAt) > stalled {
			return fmt.Errorf("nothing has ended for %s, and %s of %s jobs are still open: are both servers well?%s",
				stalled, term.Thousands(2*p.asked-done), term.Thousands(2*p.asked), p.crew.complaint())
		}
		select {
		case <-tick.C:
		case err := <-failed:
			return err
		case err := <-p.crew.failed:
			return err
		case <-ctx.Done():
			return ErrStopped
		}
	}
}

// killShare is after which share of the jobs a worker is killed: early, as its jobs wait for ten seconds then.
const killShare = 10

// killInTheMiddle kills the first worker, once, and starts another one in its place, as an orchestrator does.
func (p *play) killInTheMiddle(v *view) error {
	if p.recorder.killed.PID != 0 || p.recorder.ended() < max(1, p.asked/killShare) {
		return nil
	}
	pid, err := p.crew.kill(1)
	if err != nil {
		return err
	}
	p.recorder.kill(1, pid)
	v.say(fmt.Sprintf("kill -9 %d: our worker 1 is dead, with the jobs that it has in hand.", pid))
	return p.crew.start(1)
}

// story counts what is stored.
func (p *play) story(ctx context.Context) (_ *Story, err error) {
	s := p.recorder.story()
	ids := transactions(p.Jobs)
	s.Transactions, s.Asked = len(ids), p.asked
	if s.Naive, err = p.tables.count(ctx, p.tables.db, p.tables.naive, ids); err != nil {
		return nil, err
	}
	if s.Ours, err = p.tables.count(ctx, p.tables.reader, p.tables.ours, ids); err != nil {
		return nil, err
	}
	s.naiveRace, err = p.tables.naiveRace(ctx)
	return s, err
}
