package dispatch_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"invoicer/internal/dropproxy"
	"invoicer/internal/fault"
	"invoicer/invoice"
	"invoicer/invoice/ledger"
	"invoicer/worker"
	"invoicer/worker/client"
	"invoicer/worker/dispatch"
)

func TestAnAcceptedJobBecomesAnInvoice(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.relay(t)
	w := b.worker(t)
	c, err := client.New(nil, client.Options{Queue: b.Queue, Schema: b.Schema, Producer: "checkout"})
	if err != nil {
		t.Fatal(err)
	}
	tx, err := b.DB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	receipt, err := c.Accept(t.Context(), tx, &invoice.Job{
		TransactionID: "T1", IssuedAt: time.Date(2010, 12, 1, 8, 26, 0, 0, time.UTC), Currency: "GBP",
		Lines: []invoice.Line{{Quantity: invoice.MustDecimal("6"), UnitPrice: invoice.MustDecimal("2.55")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if e := w.await(t, worker.Ended); e.JobID != receipt.JobID || e.Outcome != invoice.Created || e.Producer != "checkout" || e.Attempt != 1 {
		t.Errorf("%+v", e)
	}
	got := b.Text(t, `SELECT concat_ws(' ', state, outcome, dispatch, attempts, i.transaction_id, i.job_id = j.job_id)
		FROM invoice_jobs j JOIN invoices i ON i.id = j.invoice_id WHERE j.job_id = $1`, receipt.JobID)
	if got != "done created 1 1 T1 t" {
		t.Error(got)
	}
}

func TestManyRelays(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const jobs = 2000
	b.accept(t, 1, jobs)
	var relays []*ledgerEvents
	for range 8 {
		relays = append(relays, b.relay(t, func(p *relayParts) { p.Batch = 37 }))
	}
	relayed(t, jobs, relays...)
	b.dispatches(t, jobs, 1)
	ids := b.pending(t)
	slices.Sort(ids)
	if n := len(slices.Compact(ids)); n != jobs || len(b.pending(t)) != jobs {
		t.Errorf("%d tasks with %d ids", len(b.pending(t)), n)
	}
}

func TestRelayOutlastsADeadRedis(t *testing.T) {
	t.Parallel()
	b, server := private(t)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	const jobs = 300
	b.accept(t, 1, jobs)
	r := b.relay(t, func(p *relayParts) { p.Batch = 100 })
	if e := r.await(t, dispatch.PutBack); e.Jobs != 100 {
		t.Errorf("%d of a batch of 100 put back", e.Jobs)
	}
	if n := b.Count(t, "SELECT count(*) FROM invoice_jobs WHERE state = 'accepted'"); n != jobs {
		t.Errorf("%d jobs are accepted while Redis is away, want %d", n, jobs)
	}
	b.restart(t, server)
	b.reconciler(t, "r")
	b.worker(t)
	b.invoiced(t, jobs)
}

// What Redis was sent before it stopped, it does after all when it goes on, and nobody can know: such jobs run twice.
func TestRelayOutlastsAPausedRedis(t *testing.T) {
	t.Parallel()
	b, server := private(t)
	const jobs = 60
	r := b.relay(t)
	b.accept(t, 1, 1)
	relayed(t, 1, r) // connections are open, scripts are loaded
	if err := server.Pause(); err != nil {
		t.Fatal(err)
	}
	b.accept(t, 2, jobs)
	r.await(t, dispatch.PutBack)
	if err := server.Resume(); err != nil {
		t.Fatal(err)
	}
	b.reconciler(t, "r")
	b.worker(t)
	b.invoiced(t, jobs)
}

func TestALostReplyToTheRelayIsNoSecondDispatch(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if err := b.Inspector.DeleteTask(b.Queue, b.enqueue(t, "warm")); err != nil { // or Redis wouldn't know the script yet
		t.Fatal(err)
	}
	rdb, proxy := b.Through(t, dropproxy.First(client.TaskType))
	r := b.relay(t, func(p *relayParts) { p.redis = rdb })
	b.accept(t, 1, 1)
	relayed(t, 1, r)
	if proxy.Dropped() != 1 {
		t.Errorf("%d replies dropped", proxy.Dropped())
	}
	b.dispatches(t, 1, 1)
	if ids := b.pending(t); len(ids) != 1 {
		t.Errorf("tasks %q", ids)
	}
}

// forgetful loses what is to be put back, as a relay does that dies.
type forgetful struct{ dispatch.Outbox }

func (forgetful) PutBack(context.Context, []ledger.Dispatch) (int, error) {
	return 0, errors.New("died")
}

func TestARelayThatDiesWithJobsInHand(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.accept(t, 1, 3)
	died := make(chan struct{}, 1000)
	b.relay(t, func(p *relayParts) {
		p.Batch = 2
		p.outbox = forgetful{b.store.Ledger}
		p.Fault = func(_ context.Context, at fault.Point) error {
			if at != fault.Claimed {
				return nil
			}
			died <- struct{}{}
			return errors.New("died")
		}
	})
	<-died // with two
	<-died // with the third
	if n := b.Count(t, "SELECT count(*) FROM invoice_jobs WHERE state = 'enqueued' AND dispatch = 1"); n != 3 {
		t.Fatalf("%d jobs are thought to be in the queue", n)
	}
	told, _ := b.reconciler(t, "r")
	for found := 0; found < 3; {
		found += told.await(t, dispatch.PutBack).Jobs
	}
	// The broken relay claims them again, so another one may be too late: only that they come back is told here.
}

func TestPutBackComesTooLate(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.accept(t, 1, 1)
	claim := func() []ledger.Dispatch {
		t.Helper()
		claimed, err := b.store.Ledger.Claim(t.Context(), 10)
		if err != nil || len(claimed) != 1 {
			t.Fatalf("claimed %v, error %v", claimed, err)
		}
		return claimed
	}
	putBack := func(d []ledger.Dispatch, want int, state string) {
		t.Helper()
		if n, err := b.store.Ledger.PutBack(t.Context(), d); err != nil || n != want {
			t.Errorf("%d put back, error %v; want %d", n, err, want)
		}
		if got := b.Text(t, "SELECT state FROM invoice_jobs"); got != state {
			t.Errorf("state %s, want %s", got, state)
		}
	}
	first := claim()
	putBack(first, 1, "accepted")
	putBack(first, 0, "accepted")
	second := claim()
	putBack(first, 0, "enqueued")
	if second[0].Number != 2 || second[0].JobID != first[0].JobID {
		t.Errorf("dispatched as %+v after %+v", second, first)
	}
	for _, end := range []string{"'failed', outcome = 'failed', reason = 'r'", "'dismissed', outcome = 'failed', reason = 'r'"} {
		b.Exec(t, "UPDATE invoice_jobs SET state = "+end)
		putBack(second, 0, b.Text(t, "SELECT state FROM invoice_jobs"))
	}
}

// Whatever plan the server thinks of, a claim takes no more than it is told.
func TestClaimKeepsItsLimit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.accept(t, 1, 100)
	for _, plan := range []string{"", "-c enable_hashagg=off -c enable_sort=off -c enable_hashjoin=off -c enable_mergejoin=off -c enable_material=off -c enable_indexscan=off -c enable_bitmapscan=off"} {
		store := b.open(t, plan)
		claimed, err := store.Ledger.Claim(t.Context(), 7)
		if err != nil || len(claimed) != 7 {
			t.Errorf("%d jobs claimed, error %v, want 7, with %q", len(claimed), err, plan)
		}
	}
	if n := b.Count(t, "SELECT count(*) FROM invoice_jobs WHERE state = 'enqueued' AND id > 14"); n != 0 {
		t.Errorf("%d younger jobs were claimed before the oldest ones", n)
	}
}

func TestAJobInAQueueThatNobodyConsumesWaits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.accept(t, 1, 1)
	other := b.Queue + "_other"
	b.Exec(t, "UPDATE invoice_jobs SET queue = $1", other)
	b.accept(t, 2, 2)
	b.worker(t)
	relayed(t, 2, b.relay(t))
	r, _ := b.newReconciler(t, "r")
	for range 5 {
		round(t, r)
	}
	if n := b.Count(t, "SELECT count(*) FROM invoice_jobs WHERE queue = $1 AND state = 'enqueued' AND dispatch = 1", other); n != 1 {
		t.Error("the job doesn't wait")
	}
	tasks, err := b.Inspector.ListPendingTasks(other)
	if err != nil || len(tasks) != 1 || tasks[0].Type != client.TaskType {
		t.Errorf("tasks %v, error %v", tasks, err)
	}
}

// A restored database dispatches again under a number whose task Redis has already, completed.
func TestADispatchThatRedisHasCompletedAlready(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.accept(t, 1, 1)
	id := b.Text(t, "SELECT job_id FROM invoice_jobs")
	_, err := asynq.NewClientFromRedisClient(b.Redis).EnqueueContext(t.Context(), asynq.NewTask(client.TaskType, nil),
		asynq.Queue(b.Queue), asynq.TaskID(id+".1"))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Redis.HSet(t.Context(), b.Key("t:")+id+".1", "state", "completed").Err(); err != nil {
		t.Fatal(err)
	}
	b.Redis.Del(t.Context(), b.Key("pending"))
	b.relay(t)
	b.reconciler(t, "r")
	b.worker(t)
	b.invoiced(t, 1)
	b.dispatches(t, 1, 2)
}
