package dispatch_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"

	"invoicer/internal/rig"
	"invoicer/invoice"
	"invoicer/invoice/ledger"
	"invoicer/worker"
	"invoicer/worker/client"
	"invoicer/worker/dispatch"
)

// An ownedElsewhere says that a queue is another installation's.
type ownedElsewhere struct {
	queue string
	over  atomic.Bool
}

func (o *ownedElsewhere) Refuse(_ context.Context, queues []string) (map[string]error, error) {
	for _, queue := range queues {
		if queue == o.queue && !o.over.Load() {
			return map[string]error{queue: errors.New("it is somebody else's")}, nil
		}
	}
	return nil, nil
}

// A claiming outbox tells whenever jobs are claimed in vain.
type claiming struct {
	dispatch.Outbox
	vain chan struct{}
}

func (c *claiming) Claim(ctx context.Context, limit int, except ...string) ([]ledger.Dispatch, error) {
	claimed, err := c.Outbox.Claim(ctx, limit, except...)
	if err == nil && len(claimed) == 0 {
		select {
		case c.vain <- struct{}{}:
		default:
		}
	}
	return claimed, err
}

// Jobs for another installation's queue stay accepted, however many they are, and hold up nobody.
func TestNothingIsRelayedIntoOthersQueues(t *testing.T) {
	t.Parallel()
	b := setup(t)
	theirs := b.Queue + "_theirs"
	b.accept(t, 1, 300)
	b.Exec(t, "UPDATE invoice_jobs SET queue = $1", theirs)
	b.accept(t, 301, 310)
	owners, outbox := &ownedElsewhere{queue: theirs}, &claiming{Outbox: b.store.Ledger, vain: make(chan struct{})}
	told := b.relay(t, func(p *relayParts) { p.outbox, p.Owners, p.Installation = outbox, owners, b.databaseID })
	relayed(t, 10, told)
	if n := b.Redis.Exists(t.Context(), "asynq:{"+theirs+"}:pending").Val(); n != 0 {
		t.Error("jobs are in another installation's queue")
	}
	if n := b.Count(t, "SELECT count(*) FROM invoice_jobs WHERE queue = $1 AND state = 'accepted'", theirs); n != 300 {
		t.Errorf("%d of 300 jobs are accepted", n)
	}
	dispatched, begun := b.Count(t, "SELECT sum(dispatch) FROM invoice_jobs WHERE queue = $1", theirs), time.Now()
	for range 8 {
		<-outbox.vain
	}
	if took := time.Since(begun); took < 2*time.Second { // the server's wait alone would be over in half a second
		t.Errorf("8 claims in vain in %s", took)
	}
	if n := b.Count(t, "SELECT sum(dispatch) FROM invoice_jobs WHERE queue = $1", theirs); n != dispatched {
		t.Errorf("rows are written in vain: %d dispatches, then %d", dispatched, n)
	}
	b.accept(t, 311, 320)
	relayed(t, 10, told)
	owners.over.Store(true)
	relayed(t, 300, told)
	info, err := b.Inspector.ListPendingTasks(theirs, asynq.PageSize(1))
	if err != nil || len(info) != 1 || info[0].Headers[client.InstallationHeader] != b.databaseID {
		t.Errorf("the first task is %+v, %v", info, err)
	}
}

// Another installation's task is no job here, in whichever way it comes; one that names none, as an earlier release puts it
// there, is.
func TestOthersTasksAreLeftAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const payload = `{"transaction_id":"T1","issued_at":"2010-12-01T08:26:00Z","currency":"GBP","lines":[{"quantity":6,"unit_price":"2.55"}]}`
	queue := asynq.NewClientFromRedisClient(b.Redis)
	put := func(payload, installation string, more ...asynq.Option) string {
		t.Helper()
		headers := map[string]string{client.JobIDHeader: uuid.NewString()}
		if installation != "" {
			headers[client.InstallationHeader] = installation
		}
		info, err := queue.EnqueueContext(t.Context(), asynq.NewTaskWithHeaders(client.TaskType, []byte(payload), headers), append(more, asynq.Queue(b.Queue))...)
		if err != nil {
			t.Fatal(err)
		}
		return info.ID
	}
	theirs := uuid.NewString()
	ids := []string{
		put(payload, theirs), put("{}", theirs), put(payload, theirs, asynq.MaxRetry(0)),
		put(payload, theirs, asynq.Deadline(time.Now().Add(-time.Hour))),
	}
	archived := put(payload, theirs)
	if err := b.Inspector.ArchiveTask(b.Queue, archived); err != nil {
		t.Fatal(err)
	}
	told := b.worker(t, func(o *worker.Options) { o.Installation = b.databaseID })
	put(payload, "")
	if e := told.await(t, worker.Ended); e.Outcome != invoice.Created {
		t.Errorf("ended as %+v", e)
	}
	for _, id := range ids[:3] { // the queue itself ends what has a deadline that has passed
		rig.Eventually(t, "the end of task "+id, func() bool { return b.Redis.Exists(t.Context(), b.Key("t:")+id).Val() == 0 })
	}
	r, seen := b.newReconciler(t, "r")
	round(t, r)
	round(t, r)
	seen.none(t, dispatch.GivenUp)
	told.none(t, worker.Ended)
	if n := b.Count(t, "SELECT (SELECT count(*) FROM invoices) * 1000 + count(*) FROM invoice_jobs"); n != 1000 {
		t.Errorf("invoices and jobs on record: %d, want one invoice and no job", n)
	}
}

// While its queues aren't known to be its own, a worker takes no job.
func TestAWorkerThatOwnsNothingTakesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var owns atomic.Bool
	asked := make(chan struct{}, 1)
	told := b.worker(t, func(o *worker.Options) {
		o.Owns = func() bool {
			select {
			case asked <- struct{}{}:
			default:
			}
			return owns.Load()
		}
	})
	b.enqueue(t, "T1")
	for range 3 {
		<-asked
	}
	if n := len(b.pending(t)); n != 1 {
		t.Errorf("%d jobs wait", n)
	}
	told.none(t, worker.Ended)
	owns.Store(true)
	told.await(t, worker.Ended)
}
