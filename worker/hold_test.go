package worker_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/internal/sandbox/servers"
	"invoicer/invoice"
	"invoicer/worker"
)

// outage is a site with a Postgres of its own.
func outage(t *testing.T) (*site, *servers.Server) {
	t.Helper()
	server := sandboxtest.PrivatePostgres(t)
	return newSite(t, rig.On(t, rig.DatabaseOn(t, server.URL), sandboxtest.Redis(t))), server
}

// failing tells of each time that the database is away.
type failing struct {
	worker.Generator
	failed chan struct{}
}

func (f *failing) Generate(ctx context.Context, r invoice.Request) (invoice.Result, error) {
	result, err := f.Generator.Generate(ctx, r)
	if errors.Is(err, invoice.ErrUnavailable) {
		select {
		case f.failed <- struct{}{}:
		default:
		}
	}
	return result, err
}

func withFailing(f *failing, timeout time.Duration) func(*parts) {
	return func(p *parts) {
		f.Generator, f.failed = p.generator, make(chan struct{}, 1)
		p.generator = f
		p.JobTimeout, p.ShutdownTimeout = timeout, 2*timeout
	}
}

func TestAJobInHandOutlastsAnOutage(t *testing.T) {
	t.Parallel()
	b, server := outage(t)
	f := &failing{}
	w := b.start(t, "w", withFailing(f, 30*time.Second))
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	b.enqueue(t, job("T1"))
	<-f.failed
	<-f.failed // it asks again
	if e := <-w.waits; !e.Outage() || !errors.Is(e.Err, invoice.ErrUnavailable) {
		t.Errorf("it waits for %v", e.Err)
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if e := w.first(t); e.What != worker.Ended || e.Outcome != invoice.Created || e.Attempt != 1 {
		t.Errorf("%s %s at attempt %d: %v", e.What, e.Outcome, e.Attempt, e.Err)
	}
	b.tally(t, 1, 0, 0)
}

func TestAJobInHandOutlastsAPause(t *testing.T) {
	t.Parallel()
	b, server := outage(t)
	w := b.start(t, "w", func(p *parts) { p.JobTimeout, p.ShutdownTimeout = 30*time.Second, time.Minute })
	if err := server.Pause(); err != nil {
		t.Fatal(err)
	}
	id := b.enqueue(t, job("T1"))
	rig.Eventually(t, "a worker that has the job", func() bool {
		info, err := b.Inspector.GetTaskInfo(b.Queue, id)
		return err == nil && info.State.String() == "active"
	})
	if err := server.Resume(); err != nil {
		t.Fatal(err)
	}
	if e := w.first(t); e.What != worker.Ended || e.Outcome != invoice.Created || e.Attempt != 1 {
		t.Errorf("%s %s at attempt %d: %v", e.What, e.Outcome, e.Attempt, e.Err)
	}
}

// An outage that is longer than the job's time sends it back to the queue, and is no failure of the job's.
func TestAJobThatOutlivesItsTimeGoesBack(t *testing.T) {
	t.Parallel()
	b, server := outage(t)
	f := &failing{}
	w := b.start(t, "w", withFailing(f, time.Second))
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	id := b.enqueue(t, job("T1"))
	if e := w.first(t); e.What != worker.PutBack || e.Attempt != 1 {
		t.Errorf("%s at attempt %d: %v", e.What, e.Attempt, e.Err)
	}
	if info, err := b.Inspector.GetTaskInfo(b.Queue, id); err != nil || info.Retried != 0 {
		t.Errorf("task %+v, error %v", info, err)
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if e := w.ended(t); e.Outcome != invoice.Created || e.Attempt != 1 {
		t.Errorf("%s at attempt %d", e.Outcome, e.Attempt)
	}
	b.tally(t, 1, 0, 0)
}

func TestShutdownDoesNotWaitForAnOutagesEnd(t *testing.T) {
	t.Parallel()
	b, server := outage(t)
	f := &failing{}
	w := b.start(t, "w", withFailing(f, 10*time.Minute))
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	b.enqueue(t, job("T1"))
	<-f.failed
	stopped := make(chan struct{})
	go func() {
		w.Shutdown()
		close(stopped)
	}()
	rig.Receive(t, stopped, "its end, and not the ten minutes that the job has")
	if e := w.first(t); e.What != worker.PutBack {
		t.Errorf("%s: %v", e.What, e.Err)
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if e := b.start(t, "w2").ended(t); e.Outcome != invoice.Created || e.Attempt != 1 {
		t.Errorf("%s at attempt %d", e.Outcome, e.Attempt)
	}
}
