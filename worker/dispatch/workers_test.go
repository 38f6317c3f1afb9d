package dispatch_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"invoicer/internal/fault"
	"invoicer/internal/rig"
	"invoicer/internal/sandbox/servers"
	"invoicer/invoice"
	"invoicer/worker"
	"invoicer/worker/dispatch"
)

func TestDead(t *testing.T) {
	t.Parallel()
	extended := func(ago time.Duration) string { // when a worker with a right clock last gave a sign of life
		return strconv.FormatInt(time.Now().Add(30*time.Second-ago).Unix(), 10)
	}
	const after = 10 * time.Second
	for name, test := range map[string]struct {
		score   string
		watched time.Duration
		dead    bool
	}{
		"just seen":                            {extended(0), 0, false},
		"silent as living workers are":         {extended(5 * time.Second), 5 * time.Second, false},
		"long gone, but just seen":             {extended(time.Minute), 0, false},
		"long gone, watched for 5s":            {extended(time.Minute), 5 * time.Second, false},
		"long gone, watched for longer":        {extended(time.Minute), 6 * time.Second, true},
		"silent for 9s":                        {extended(9 * time.Second), 9 * time.Second, false},
		"silent for 11s":                       {extended(11 * time.Second), 11 * time.Second, true},
		"its clock is 20s late, and it lives":  {extended(25 * time.Second), 5 * time.Second, false},
		"its clock is early, and it lives":     {extended(-time.Hour), 5 * time.Second, false},
		"its clock is early, and it is silent": {extended(-time.Hour), 10 * time.Second, true},
		"no lease, just seen":                  {"", 6 * time.Second, false},
		"no lease":                             {"", 10 * time.Second, true},
		"a lease of another kind":              {"1.5", 6 * time.Second, false},
	} {
		if got := dispatch.Dead(test.score, test.watched, 0, after); got != test.dead {
			t.Errorf("%s: dead is %t", name, got)
		}
	}
	for _, ahead := range []time.Duration{time.Hour, -time.Hour} {
		if dispatch.Dead(extended(6*time.Second-ahead), 6*time.Second, ahead, after) {
			t.Errorf("Redis's clock is ahead by %s: who lives is dead", ahead)
		}
		if !dispatch.Dead(extended(11*time.Second-ahead), 6*time.Second, ahead, after) {
			t.Errorf("Redis's clock is ahead by %s: who is dead lives", ahead)
		}
	}
}

// held stops the first job behind its lock until the test lets it go.
type held struct {
	reached, open chan struct{}
	first         chan struct{}
}

func (b *site) hold(t *testing.T, change ...func(*worker.Options)) (*held, *workerEvents) {
	t.Helper()
	h := &held{make(chan struct{}), make(chan struct{}), make(chan struct{}, 1)}
	h.first <- struct{}{}
	w := b.worker(t, append(change, func(o *worker.Options) {
		o.JobTimeout, o.ShutdownTimeout = time.Minute, 2*time.Minute
		o.Fault = func(_ context.Context, at fault.Point) error {
			if at == fault.Locked {
				select {
				case <-h.first:
					close(h.reached)
					<-h.open
				default:
				}
			}
			return nil
		}
	})...)
	t.Cleanup(h.release)
	return h, w
}

func (h *held) release() {
	select {
	case <-h.open:
	default:
		close(h.open)
	}
}

func TestAJobThatIsWorkedOnForLongIsLeftAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	job, w := b.hold(t)
	id := b.enqueue(t, "T1")
	<-job.reached
	told, _ := b.reconciler(t, "r", func(p *reconcilerParts) { p.DeadAfter = 10 * time.Second })
	leases := map[float64]bool{}
	rig.Eventually(t, "three signs of life", func() bool { // in 15s
		score, err := b.Redis.ZScore(t.Context(), b.Key("lease"), id).Result()
		if err != nil {
			t.Fatal(err)
		}
		leases[score] = true
		return len(leases) == 4
	})
	told.none(t, dispatch.Requeued)
	job.release()
	if e := w.await(t, worker.Ended); e.Attempt != 1 {
		t.Errorf("attempt %d", e.Attempt)
	}
}

func TestJobsOfDeadWorkersComeBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.accept(t, 1, 1)
	relayed(t, 1, b.relay(t))
	dispatched := b.pending(t)[0]
	direct, poison, garbage := b.enqueue(t, "T2"), b.enqueue(t, "T3"), "garbage"
	orphan := b.enqueue(t, "T4")
	if err := b.Redis.HSet(t.Context(), b.Key("t:")+poison, "invoicer_crashes", 10).Err(); err != nil {
		t.Fatal(err)
	}
	// What asynq can't decode stops its own recovery. In the archive and in hand it must not stop ours.
	for list, id := range map[string]string{"active": garbage, "archived": garbage + "2", "poison": garbage + "3"} {
		b.Redis.HSet(t.Context(), b.Key("t:")+id, "msg", "\xff\xfe", "state", list)
		if list == "archived" {
			b.Redis.ZAdd(t.Context(), b.Key("archived"), redis.Z{Score: 1, Member: id})
			continue
		}
		b.Redis.HSet(t.Context(), b.Key("t:")+id, "invoicer_crashes", 10)
		b.takenByTheDead(t, id)
	}
	for _, id := range []string{dispatched, direct, poison, orphan} {
		b.takenByTheDead(t, id)
	}
	b.Redis.ZRem(t.Context(), b.Key("lease"), orphan)

	told, _ := b.reconciler(t, "r")
	back := map[string]bool{}
	for len(back) < 3 {
		back[told.await(t, dispatch.Requeued).JobID] = true
	}
	for _, id := range []string{dispatched, direct, orphan} {
		if !back[id] {
			t.Errorf("task %s isn't back: %v", id, back)
		}
		if n, err := b.Redis.HGet(t.Context(), b.Key("t:")+id, "invoicer_crashes").Int(); err != nil || n != 1 {
			t.Errorf("task %s: %d crashes, error %v", id, n, err)
		}
	}
	rig.Eventually(t, "the record of the poison job", func() bool { return b.Count(t, "SELECT count(*) FROM invoice_jobs WHERE state = 'failed'") > 0 })
	got := b.Text(t, "SELECT concat_ws(' ', job_id, transaction_id, outcome, reason) FROM invoice_jobs WHERE state = 'failed'")
	if want := poison + " T3 failed given up: 11 workers died or lost touch with Redis while they worked on it"; got != want {
		t.Errorf("recorded as %s, want %s", got, want)
	}
	rig.Eventually(t, "the poison task in the archive", func() bool {
		info, err := b.Inspector.GetTaskInfo(b.Queue, poison)
		return err == nil && info.State == asynq.TaskStateArchived
	})
	w := b.worker(t)
	for range 3 {
		if e := w.await(t, worker.Ended); e.Outcome != invoice.Created {
			t.Errorf("%+v", e)
		}
	}
}

// Of a direct job in hand, Redis has lost the list's part: its lease tells that somebody had it.
func TestADirectJobThatOnlyHasALeaseComesBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.enqueue(t, "T1")
	b.takenByTheDead(t, id)
	b.Redis.Del(t.Context(), b.Key("active"))
	told, _ := b.reconciler(t, "r")
	if e := told.await(t, dispatch.Requeued); e.JobID != id {
		t.Errorf("%+v", e)
	}
	w := b.worker(t)
	if e := w.await(t, worker.Ended); e.Outcome != invoice.Created {
		t.Errorf("%+v", e)
	}
}

// Jobs that lose worker after worker together don't come back together: one of them may be what kills them.
func TestJobsThatLoseWorkersComeBackApart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	apart, jobs := make(map[string]bool), 40
	for i := range jobs {
		id := b.enqueue(t, "T"+strconv.Itoa(i))
		if i%2 == 0 {
			apart[id] = true
			b.Redis.HSet(t.Context(), b.Key("t:")+id, "invoicer_crashes", 2)
		} else {
			b.Redis.HSet(t.Context(), b.Key("t:")+id, "invoicer_crashes", 1)
		}
		b.takenByTheDead(t, id)
	}
	told, _ := b.reconciler(t, "r")
	for range jobs {
		told.await(t, dispatch.Requeued)
	}
	for _, id := range b.pending(t) {
		if apart[id] {
			t.Errorf("%s came back at once", id)
		}
	}
	back, err := b.Redis.ZRangeWithScores(t.Context(), b.Key("retry"), 0, -1).Result()
	if err != nil || len(back) != len(apart) {
		t.Fatalf("%d jobs come back later, want %d; error %v", len(back), len(apart), err)
	}
	moments, now := make(map[float64]bool), float64(time.Now().Unix())
	for _, z := range back {
		moments[z.Score] = true
		if z.Score > now+10 {
			t.Errorf("%s comes back %v s later", z.Member, z.Score-now)
		}
	}
	if len(moments) < 3 {
		t.Errorf("they come back at %v", moments)
	}
	w := b.worker(t)
	for range jobs {
		if e := w.await(t, worker.Ended); e.Outcome != invoice.Created {
			t.Errorf("%+v", e)
		}
	}
}

// While Redis doesn't answer, nobody can give a sign of life.
func TestWorkersOutlastAnOutageOfRedis(t *testing.T) {
	t.Parallel()
	server, err := servers.StartRedis(t.Context(), servers.RedisOptions{Durable: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	b := newSite(t, server.URL)
	job, w := b.hold(t)
	id := b.enqueue(t, "T1")
	<-job.reached
	told, _ := b.reconciler(t, "r")
	told.await(t, dispatch.Swept)
	lease, err := b.Redis.ZScore(t.Context(), b.Key("lease"), id).Result()
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(1500 * time.Millisecond) // the file is flushed each second
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(8 * time.Second) // longer than what makes a worker dead
	b.restart(t, server)
	for late := time.Now().Add(rig.Patience); ; time.Sleep(10 * time.Millisecond) {
		if now, err := b.Redis.ZScore(t.Context(), b.Key("lease"), id).Result(); err == nil && now > lease+8 {
			break
		}
		if time.Now().After(late) {
			t.Fatal("the worker gives no sign of life")
		}
	}
	told.none(t, dispatch.Requeued)
	job.release()
	w.await(t, worker.Ended)
}

func TestWhatTheQueueGaveUpIsRecorded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.accept(t, 1, 2)
	relayed(t, 2, b.relay(t))
	tasks := b.pending(t)
	// A foreign task whose worker dies at its last try: asynq's recoverer archives it without calling anybody.
	foreign, err := asynq.NewClientFromRedisClient(b.Redis).EnqueueContext(t.Context(),
		asynq.NewTask("invoice:generate", []byte(`{"transaction_id":"T3"}`)), asynq.Queue(b.Queue), asynq.MaxRetry(0))
	if err != nil {
		t.Fatal(err)
	}
	recorded := b.enqueue(t, "T4")
	b.Exec(t, `INSERT INTO invoice_jobs (job_id, transaction_id, queue, state, outcome, reason) VALUES ($1, 'T4', $2, 'dismissed', 'failed', 'seen')`, recorded, b.Queue)
	for _, id := range append(tasks, foreign.ID, recorded) {
		if err := b.Inspector.ArchiveTask(b.Queue, id); err != nil {
			t.Fatal(err)
		}
	}
	jobID := func(task string) string { id, _, _ := strings.Cut(task, "."); return id }
	replayed := jobID(tasks[1])
	b.Exec(t, "UPDATE invoice_jobs SET dispatch = 2 WHERE job_id = $1", replayed)

	r, told := b.newReconciler(t, "r", func(p *reconcilerParts) { p.Settled = time.Hour })
	round(t, r)
	for id, want := range map[string]string{
		jobID(tasks[0]): "failed failed archived in the queue",
		foreign.ID:      "failed failed archived in the queue",
		replayed:        "enqueued",
		recorded:        "dismissed failed seen",
	} {
		if got := b.Text(t, "SELECT coalesce(string_agg(concat_ws(' ', state, outcome, reason), '; '), 'nothing') FROM invoice_jobs WHERE job_id = $1", id); got != want {
			t.Errorf("job %s: %s; want %s", id, got, want)
		}
	}
	told.await(t, dispatch.GivenUp)
	told.await(t, dispatch.GivenUp)
	told.none(t, dispatch.GivenUp)

	// One that was archived by a machine whose clock is late.
	late := b.enqueue(t, "T5")
	if err := b.Inspector.ArchiveTask(b.Queue, late); err != nil {
		t.Fatal(err)
	}
	b.Redis.ZAdd(t.Context(), b.Key("archived"), redis.Z{Score: float64(time.Now().Add(-30 * time.Second).Unix()), Member: late})
	round(t, r)
	round(t, r)
	if e := told.await(t, dispatch.GivenUp); e.JobID != late {
		t.Errorf("%+v; want job %s", e, late)
	}
	told.none(t, dispatch.GivenUp)
}

// The archive was read, and then the server went away: nothing in it may be taken for done.
func TestAnOutageWhileTheArchiveIsRead(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.enqueue(t, "T1")
	if err := b.Inspector.ArchiveTask(b.Queue, id); err != nil {
		t.Fatal(err)
	}
	rdb := rig.Connect(t, b.RedisURL)
	cut := &cutAfterLook{}
	rdb.AddHook(cut)
	r, told := b.newReconciler(t, "r", func(p *reconcilerParts) { p.redis, p.Settled = rdb, time.Hour })
	cut.armed.Store(true)
	_ = r.Round(t.Context())
	cut.On.Store(false)
	round(t, r)
	if e := told.await(t, dispatch.GivenUp); e.JobID != id {
		t.Errorf("%+v", e)
	}
}
