package dispatch_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"invoicer/internal/rig"
	"invoicer/invoice/ledger"
	"invoicer/worker/dispatch"
)

// hooked is a book that tells how often it was asked for jobs, before it answers.
type hooked struct {
	dispatch.Database
	asked atomic.Int64
	hook  func(n int64)
}

func (h *hooked) Enqueued(ctx context.Context, queue string, after ledger.Dispatch, settled time.Duration, limit int) ([]ledger.Dispatch, error) {
	n := h.asked.Add(1)
	if h.hook != nil {
		h.hook(n)
	}
	return h.Database.Enqueued(ctx, queue, after, settled, limit)
}

func TestRedisForgetsEverything(t *testing.T) {
	t.Parallel()
	b, _ := private(t)
	const jobs = 5000
	told, _ := b.reconciler(t, "r")
	told.await(t, dispatch.Swept) // of what was there before it came
	b.accept(t, 1, jobs)
	relayed(t, jobs, b.relay(t))
	if err := b.Redis.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	forgot := time.Now()
	told.await(t, dispatch.Suspected)
	if queues, err := b.Inspector.Queues(); err != nil || !slices.Contains(queues, b.Queue) {
		t.Errorf("asynq knows the queues %q, error %v", queues, err)
	}
	told.await(t, dispatch.Swept)
	t.Logf("%d jobs are found again %s after Redis forgot them", jobs, time.Since(forgot).Round(time.Millisecond))
	b.worker(t)
	b.invoiced(t, jobs)
	t.Logf("and are invoices after %s", time.Since(forgot).Round(time.Millisecond))
}

func TestRedisComesBackEmpty(t *testing.T) {
	t.Parallel()
	b, server := private(t)
	const jobs = 300
	told, _ := b.reconciler(t, "r")
	told.await(t, dispatch.Swept)
	b.accept(t, 1, jobs)
	relayed(t, jobs, b.relay(t))
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	b.restart(t, server)
	told.await(t, dispatch.Suspected)
	b.worker(t)
	b.invoiced(t, jobs)
}

func TestRedisComesBackOlder(t *testing.T) {
	t.Parallel()
	b, server := private(t)
	const jobs = 300
	told, _ := b.reconciler(t, "r")
	told.await(t, dispatch.Swept)
	r := b.relay(t)
	b.accept(t, 1, jobs/2)
	relayed(t, jobs/2, r)
	if err := b.Redis.Save(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	b.accept(t, jobs/2+1, jobs)
	relayed(t, jobs/2, r)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	b.restart(t, server)
	if n := len(b.pending(t)); n != jobs/2 && n < jobs {
		t.Errorf("%d tasks came back", n)
	}
	told.await(t, dispatch.Suspected)
	b.worker(t)
	b.invoiced(t, jobs)
}

// What a sweep has passed already may be forgotten before it ends: then it begins anew, whenever that happens.
func TestRedisForgetsInTheMiddleOfASweep(t *testing.T) {
	t.Parallel()
	b, _ := private(t)
	const jobs = 1200 // three pages
	b.accept(t, 1, jobs)
	relay := b.relay(t)
	relayed(t, jobs, relay)
	book := &hooked{Database: b.store.Ledger, hook: func(n int64) {
		if n == 3 { // the first page is found to be there, and passed
			b.Redis.FlushAll(context.WithoutCancel(t.Context()))
		}
	}}
	told, _ := b.reconciler(t, "r", func(p *reconcilerParts) { p.database = book })
	told.await(t, dispatch.Suspected) // the first look
	told.await(t, dispatch.Suspected) // and what happened meanwhile
	b.worker(t)
	b.invoiced(t, jobs)
}

// Between reading the mark and writing the next one at a sweep's end, Redis may forget just as well.
func TestRedisForgetsRightAfterALook(t *testing.T) {
	t.Parallel()
	b, _ := private(t)
	forget := &afterLook{}
	rdb := rig.Connect(t, b.RedisURL)
	rdb.AddHook(forget)
	r, told := b.newReconciler(t, "r", func(p *reconcilerParts) { p.redis, p.Settled = rdb, 1 })
	round(t, r)
	told.await(t, dispatch.Suspected)
	forget.do = func() { b.Redis.FlushAll(context.WithoutCancel(t.Context())) }
	round(t, r) // which would have ended the sweep
	if e := <-told.c; e.What != dispatch.Suspected {
		t.Errorf("%+v", e)
	}
}

// afterLook does something right after the next look.
type afterLook struct{ do func() }

func (*afterLook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (*afterLook) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (a *afterLook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		if do := a.do; do != nil {
			a.do = nil
			do()
		}
		return err
	}
}

func TestANewLeaderEndsADeadOnesSweep(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const jobs = 1200
	b.accept(t, 1, jobs)
	if claimed, err := b.store.Ledger.Claim(t.Context(), jobs); err != nil || len(claimed) != jobs { // and never sent
		t.Fatalf("%d claimed, error %v", len(claimed), err)
	}
	var stop func()
	reached, stopped := make(chan struct{}), make(chan struct{})
	book := &hooked{Database: b.store.Ledger, hook: func(n int64) {
		if n == 2 {
			close(reached)
			<-stopped
		}
	}}
	first, stop := b.reconciler(t, "r1", func(p *reconcilerParts) {
		p.database, p.Interval = book, time.Minute // in which it doesn't look again
		p.Settled = time.Millisecond
	})
	<-reached
	go func() {
		time.Sleep(10 * time.Millisecond) // its context has ended by then
		close(stopped)
	}()
	stop()
	first.none(t, dispatch.Swept)
	left := b.Count(t, "SELECT count(*) FROM invoice_jobs WHERE state = 'enqueued'")
	if left == 0 || left == jobs {
		t.Errorf("%d of %d jobs are left for the next one", left, jobs)
	}
	second, _ := b.reconciler(t, "r2")
	second.await(t, dispatch.Suspected)
	if e := second.await(t, dispatch.Swept); e.Jobs != left {
		t.Errorf("it found %d jobs, want the other %d", e.Jobs, left)
	}
	if n := b.Count(t, "SELECT count(*) FROM invoice_jobs WHERE state = 'accepted' AND dispatch = 1"); n != jobs {
		t.Errorf("%d jobs are back, want %d", n, jobs)
	}
}

// A sweep that takes longer than the lease is nevertheless brought to its end, though others wait for the lease.
func TestALongSweepKeepsItsLease(t *testing.T) {
	t.Parallel()
	b := setup(t)
	database := &slowDatabase{b.store.Ledger, 60}
	var all []*ledgerEvents
	for _, name := range []string{"r1", "r2"} {
		told, _ := b.reconciler(t, name, func(p *reconcilerParts) {
			p.database, p.Interval, p.Lease = database, 100*time.Millisecond, time.Second
		})
		all = append(all, told)
	}
	for late := time.After(rig.Patience); ; {
		var e dispatch.Event
		select {
		case e = <-all[0].c:
		case e = <-all[1].c:
		case <-late:
			t.Fatal("the sweep never ends")
		}
		if e.What == dispatch.Swept {
			return
		}
	}
}

// slowDatabase has many jobs that the queue doesn't have, but that have ended before they can be put back.
type slowDatabase struct {
	dispatch.Database
	pages int64
}

func (s *slowDatabase) Enqueued(_ context.Context, _ string, after ledger.Dispatch, _ time.Duration, limit int) ([]ledger.Dispatch, error) {
	time.Sleep(50 * time.Millisecond)
	if after.ID >= s.pages*int64(limit) {
		return nil, nil
	}
	jobs := make([]ledger.Dispatch, limit)
	for i := range jobs {
		jobs[i] = ledger.Dispatch{ID: after.ID + int64(i) + 1, JobID: "j", Number: 1}
	}
	return jobs, nil
}

func (*slowDatabase) PutBack(context.Context, []ledger.Dispatch) (int, error) { return 0, nil }

func (*slowDatabase) Open(context.Context, []string) (map[string]int, error) { return nil, nil }

func TestWhoLooksAfterAQueue(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const lease = 500 * time.Millisecond
	marker := int64(0)
	watch := func(holder string) (held []string) {
		t.Helper()
		list, err := b.store.Ledger.Watch(t.Context(), holder, lease, []ledger.Watch{{Queue: "q1", Marker: marker, Server: "s"}, {Queue: "q2"}})
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range list {
			held = append(held, w.Queue)
		}
		slices.Sort(held)
		return held
	}
	both := []string{"q1", "q2"}
	began := time.Now()
	if got := watch("one"); !slices.Equal(got, both) {
		t.Fatalf("one holds %q", got)
	}
	for len(watch("two")) == 0 { // one doesn't renew it any more
	}
	if took := time.Since(began); took < lease-100*time.Millisecond {
		t.Errorf("taken over after %s, although the lease is %s", took, lease)
	}
	if got := watch("one"); len(got) != 0 {
		t.Errorf("one still holds %q", got)
	}
	marker = 7
	watch("one")
	if n := b.Count(t, "SELECT sum(marker) FROM ledger_queues"); n != 0 {
		t.Errorf("who lost the queue has marked it with %d", n)
	}
	watch("two")
	marker = 6 // and an older one comes late
	watch("two")
	if got := b.Text(t, "SELECT string_agg(concat_ws(' ', queue, marker, server), ', ' ORDER BY queue) FROM ledger_queues"); got != "q1 7 s, q2 0 " {
		t.Errorf("who has the queues has marked them: %s", got)
	}
	if err := b.store.Ledger.Unwatch(t.Context(), "two"); err != nil {
		t.Fatal(err)
	}
	if got := watch("one"); !slices.Equal(got, both) {
		t.Errorf("one holds %q after the other gave up", got)
	}
}

func TestAQueueHasOneHolderAtATime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const lease = 20 * time.Millisecond
	type term struct {
		holder string
		from   time.Time // by the database's clock
	}
	var mu sync.Mutex
	var terms []term
	var holders sync.WaitGroup
	for _, holder := range []string{"a", "b", "c", "d"} {
		holders.Go(func() {
			for range 150 {
				held, err := b.store.Ledger.Watch(t.Context(), holder, lease, []ledger.Watch{{Queue: "q"}})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for _, w := range held {
					terms = append(terms, term{holder, w.Now})
				}
				often := len(terms)
				mu.Unlock()
				if len(held) > 0 {
					time.Sleep(lease / 2 * time.Duration(1+often%4)) // now and then too long
				}
			}
		})
	}
	holders.Wait()
	slices.SortFunc(terms, func(a, b term) int { return a.from.Compare(b.from) })
	changes := 0
	for i := 1; i < len(terms); i++ {
		if terms[i].holder == terms[i-1].holder {
			continue
		}
		changes++
		if terms[i].from.Before(terms[i-1].from.Add(lease)) {
			t.Errorf("%s took over from %s %s after it had renewed its lease of %s", terms[i].holder, terms[i-1].holder, terms[i].from.Sub(terms[i-1].from), lease)
		}
	}
	if changes == 0 {
		t.Error("the holder never changed")
	}
}

func TestATaskThatWasDeletedComesBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.accept(t, 1, 3)
	relayed(t, 3, b.relay(t))
	told, _ := b.reconciler(t, "r")
	told.await(t, dispatch.Swept)
	if err := b.Inspector.DeleteTask(b.Queue, b.pending(t)[0]); err != nil {
		t.Fatal(err)
	}
	if e := told.await(t, dispatch.PutBack); e.Jobs != 1 {
		t.Errorf("%d put back", e.Jobs)
	}
	b.worker(t)
	b.invoiced(t, 3)
	b.dispatches(t, 1, 2)
	b.dispatches(t, 2, 1)
}

// However long jobs wait for a worker, none of them is put into its queue twice.
func TestABacklogIsLeftAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const jobs = 3000
	b.accept(t, 1, jobs)
	relayed(t, jobs, b.relay(t))
	book, enough := &hooked{Database: b.store.Ledger}, make(chan struct{})
	book.hook = func(n int64) {
		if n == 60 {
			close(enough)
		}
	}
	told, _ := b.reconciler(t, "r", func(p *reconcilerParts) { p.database, p.Interval, p.Settled = book, 20*time.Millisecond, time.Second })
	moving := b.pending(t)[0]
	for moves := true; moves; {
		select {
		case <-enough:
			moves = false
		default:
			_, err := b.Redis.TxPipelined(t.Context(), func(p redis.Pipeliner) error {
				p.LRem(t.Context(), b.Key("pending"), 0, moving)
				p.RPush(t.Context(), b.Key("pending"), moving)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	told.none(t, dispatch.PutBack)
	b.dispatches(t, jobs, 1)
	if n := len(b.pending(t)); n != jobs {
		t.Errorf("%d tasks", n)
	}
}
