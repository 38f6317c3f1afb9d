package dispatch_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"invoicer/internal/rig"
	"invoicer/invoice/ledger"
	"invoicer/worker/dispatch"
)

func (b *site) mark() string { return "invoicer:" + b.databaseID + ":mark:{" + b.Queue + "}" }

// Whatever becomes of the keys of a queue, every accepted job has its invoice, no other one is on record, and nothing is
// left behind.
func TestEveryJobOutlastsWhatBecomesOfItsQueue(t *testing.T) {
	t.Parallel()
	for name, do := range breakages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			const jobs = 20
			b.accept(t, 1, jobs)
			relay := b.relay(t)
			relayed(t, jobs, relay)
			told, _ := b.reconciler(t, "r")
			told.await(t, dispatch.Swept)
			if _, err := b.Redis.Pipelined(t.Context(), func(p redis.Pipeliner) error {
				do(t.Context(), b, p, b.pending(t))
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			b.worker(t)
			b.invoiced(t, jobs)
			told.none(t, dispatch.GivenUp)
			b.leftNothing(t)
			if _, err := b.Inspector.GetQueueInfo(b.Queue); err != nil {
				t.Errorf("asynq can't tell about the queue any more: %v", err)
			}
		})
	}
}

// leftNothing fails the test unless, soon, the queue's keys are those of completed tasks.
func (b *site) leftNothing(t testing.TB) {
	t.Helper()
	rig.Await(t, func() error {
		keys, err := b.Redis.Keys(t.Context(), b.Key("*")).Result()
		if err != nil {
			t.Fatal(err)
		}
		completed, err := b.Redis.ZRange(t.Context(), b.Key("completed"), 0, -1).Result()
		if err != nil {
			t.Fatal(err)
		}
		keys = slices.DeleteFunc(keys, func(key string) bool {
			id, isTask := strings.CutPrefix(key, b.Key("t:"))
			return isTask && slices.Contains(completed, id) || key == b.Key("completed") || strings.Contains(key, ":processed")
		})
		if len(keys) > 0 {
			return fmt.Errorf("an end of %q", keys)
		}
		return nil
	})
}

// What is where it says that it is stays there, as the same dispatch.
func TestWhatIsInTheQueueIsNotPutBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const jobs = 12
	b.accept(t, 1, jobs)
	relayed(t, jobs, b.relay(t))
	ids := b.pending(t)
	lives := func(ctx context.Context, b *site, p redis.Pipeliner, id string) { p.LPush(ctx, b.Key("active"), id) }
	_, err := b.Redis.Pipelined(t.Context(), func(p redis.Pipeliner) error {
		says("retry", inSet("retry", 9*time.Minute))(t.Context(), b, p, ids[:2])
		says("active", inSet("lease", 30*time.Second), lives)(t.Context(), b, p, ids[2:4])
		says("active", lives)(t.Context(), b, p, ids[4:6])
		says("active", inSet("lease", 30*time.Second))(t.Context(), b, p, ids[6:8])
		p.HDel(t.Context(), b.Key("t:")+ids[9], "pending_since") // as one that a worker has put back
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	r, told := b.newReconciler(t, "r", func(p *reconcilerParts) { p.Settled = 1 })
	for range 30 {
		round(t, r)
	}
	told.none(t, dispatch.PutBack)
	told.none(t, dispatch.Requeued)
	b.dispatches(t, jobs, 1)
}

// ending has jobs end right after they were listed.
type ending struct {
	dispatch.Database
	end func(job ledger.Dispatch)
}

func (e *ending) Enqueued(ctx context.Context, queue string, after ledger.Dispatch, settled time.Duration, limit int) ([]ledger.Dispatch, error) {
	jobs, err := e.Database.Enqueued(ctx, queue, after, settled, limit)
	for _, j := range jobs {
		e.end(j)
	}
	return jobs, err
}

// What ends while it is looked for keeps its result in the queue.
func TestWhatEndsMeanwhileIsNotDeleted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.accept(t, 1, 1)
	relayed(t, 1, b.relay(t))
	id := b.pending(t)[0]
	r, _ := b.newReconciler(t, "r", func(p *reconcilerParts) {
		p.Settled = 1
		p.database = &ending{b.store.Ledger, func(job ledger.Dispatch) {
			b.Exec(t, "UPDATE invoice_jobs SET state = 'failed', outcome = 'failed', reason = 'seen' WHERE job_id = $1", job.JobID)
			if _, err := b.Redis.Pipelined(t.Context(), func(p redis.Pipeliner) error {
				says("completed", inSet("completed", time.Hour))(t.Context(), b, p, []string{id})
				return nil
			}); err != nil {
				t.Error(err)
			}
		}}
	})
	for range 5 {
		round(t, r)
	}
	if n, err := b.Redis.Exists(t.Context(), b.Key("t:")+id).Result(); err != nil || n != 1 {
		t.Errorf("%d tasks are left, error %v", n, err)
	}
}

// said collects what is logged.
type said struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *said) log() *slog.Logger { return slog.New(slog.NewTextHandler(s, nil)) }

func (s *said) all() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func (s *said) count(what string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Count(s.text.String(), what)
}

// Each key of a wrong type is deleted within a few rounds, and named in one line.
func TestKeysOfAWrongTypeAreDeleted(t *testing.T) {
	t.Parallel()
	b, _ := private(t)
	log := &said{}
	r, _ := b.newReconciler(t, "r", func(p *reconcilerParts) { p.Settled, p.Logger = 1, log.log() })
	round(t, r)
	keys := []string{"asynq:queues", "asynq:servers", "asynq:workers", b.mark(), b.Key("processed"), b.Key("failed")}
	for _, name := range []string{"pending", "active", "lease", "retry", "scheduled", "archived", "completed", "paused"} {
		keys = append(keys, b.Key(name))
	}
	for _, key := range keys {
		if _, err := b.Redis.Pipelined(t.Context(), func(p redis.Pipeliner) error {
			p.Del(t.Context(), key)
			p.HSet(t.Context(), key, "a", "hash")
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	today := b.Key("processed:") + time.Now().UTC().Format(time.DateOnly)
	b.Redis.Set(t.Context(), today, "nonsense", 0)
	for range 6 {
		_ = r.Round(t.Context()) // which fails for them
	}
	for range 5 {
		round(t, r)
	}
	for _, key := range append(keys, today) {
		if kind, err := b.Redis.Type(t.Context(), key).Result(); err != nil || kind == "hash" || key == today && kind != "none" {
			t.Errorf("%s is a %s, error %v", key, kind, err)
		}
		if n := log.count("key=" + key + "\n"); n != 1 {
			t.Errorf("%s is named %d times", key, n)
		}
	}
	if queues, err := b.Inspector.Queues(); err != nil || !slices.Equal(queues, []string{b.Queue}) {
		t.Errorf("queues %q, error %v", queues, err)
	}
}

// Direct jobs have no ledger that would bring them back: what Redis has kept of them is enough.
func TestARetryThatIsTooFarAheadIsDue(t *testing.T) {
	t.Parallel()
	b := setup(t)
	far, near := b.enqueue(t, "T1"), b.enqueue(t, "T2")
	if _, err := b.Redis.Pipelined(t.Context(), func(p redis.Pipeliner) error {
		says("retry", inSet("retry", time.Hour))(t.Context(), b, p, []string{far})
		says("retry", inSet("retry", 9*time.Minute))(t.Context(), b, p, []string{near})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	r, _ := b.newReconciler(t, "r")
	round(t, r)
	now := float64(time.Now().Unix())
	if at, err := b.Redis.ZScore(t.Context(), b.Key("retry"), far).Result(); err != nil || at > now+1 {
		t.Errorf("it is due in %v s, error %v", at-now, err)
	}
	if at, err := b.Redis.ZScore(t.Context(), b.Key("retry"), near).Result(); err != nil || at < now+60 {
		t.Errorf("the other one is due in %v s, error %v", at-now, err)
	}
}

// What was no job isn't written down as a failed one, and goes away.
func TestWhatIsNoJobIsNotRecorded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.Redis.Pipelined(t.Context(), func(p redis.Pipeliner) error {
		ctx := t.Context()
		for i, fields := range [][]any{nil, {"state", "active"}, {"msg", "", "state", "active"}, {"msg", "\xff", "state", "active"}, {"msg", "\x1a\x05other", "state", "active"}} {
			for _, in := range []string{"active", "archived"} {
				id := fmt.Sprint(in, i)
				if fields != nil {
					p.HSet(ctx, b.Key("t:")+id, append(fields, "invoicer_crashes", 10)...)
				}
				if in == "archived" {
					p.HSet(ctx, b.Key("t:")+id, "state", "archived")
					inSet(in, 0)(ctx, b, p, id)
					continue
				}
				p.LPush(ctx, b.Key("active"), id)
				if i%2 == 0 {
					inSet("lease", -time.Minute)(ctx, b, p, id)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	told, _ := b.reconciler(t, "r")
	told.await(t, dispatch.Swept)
	b.leftNothing(t)
	told.none(t, dispatch.GivenUp)
	if n := b.Count(t, "SELECT count(*) FROM invoice_jobs"); n != 0 {
		t.Errorf("%d jobs are on record: %s", n, b.Text(t, "SELECT json_agg(j) FROM invoice_jobs j"))
	}
}

// An entry that was archived in the future must not hide those that come before then.
func TestAnArchivedTaskOfTheFutureHidesNone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	future, now := b.enqueue(t, "T1"), b.enqueue(t, "T2")
	if err := b.Inspector.ArchiveTask(b.Queue, future); err != nil {
		t.Fatal(err)
	}
	b.Redis.ZAdd(t.Context(), b.Key("archived"), redis.Z{Score: float64(time.Now().Add(year).Unix()), Member: future})
	r, told := b.newReconciler(t, "r", func(p *reconcilerParts) { p.Settled = time.Hour })
	round(t, r)
	if e := told.await(t, dispatch.GivenUp); e.JobID != future {
		t.Errorf("%+v", e)
	}
	if err := b.Inspector.ArchiveTask(b.Queue, now); err != nil {
		t.Fatal(err)
	}
	round(t, r)
	round(t, r)
	if e := told.await(t, dispatch.GivenUp); e.JobID != now {
		t.Errorf("%+v", e)
	}
	told.none(t, dispatch.GivenUp)
}

// What has ended, and is in no set any more, would stay for ever.
func TestWhatIsLeftOfEndedTasksGoesAway(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var ids []string
	for i := range 6 {
		ids = append(ids, b.enqueue(t, fmt.Sprint("T", i)))
	}
	_, err := b.Redis.Pipelined(t.Context(), func(p redis.Pipeliner) error {
		says("completed")(t.Context(), b, p, ids[:1])
		says("archived")(t.Context(), b, p, ids[2:3])
		p.LRem(t.Context(), b.Key("pending"), 0, ids[4])
		p.HDel(t.Context(), b.Key("t:")+ids[4], "msg")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	r, told := b.newReconciler(t, "r")
	givenUp := false
	for late := time.Now().Add(rig.Patience); ; {
		round(t, r)
		for len(told.c) > 0 {
			if e := <-told.c; e.What == dispatch.GivenUp {
				givenUp = true
				if e.JobID != ids[2] {
					t.Errorf("%+v", e)
				}
			}
		}
		gone, err := b.Redis.Exists(t.Context(), b.Key("t:")+ids[4]).Result()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Redis.ZScore(t.Context(), b.Key("completed"), ids[0]).Result(); givenUp && err == nil && gone == 0 {
			break
		}
		if time.Now().After(late) {
			t.Fatal("they stay")
		}
	}
	for _, id := range []string{ids[1], ids[3], ids[5]} {
		if !slices.Contains(b.pending(t), id) {
			t.Errorf("%s doesn't wait any more", id)
		}
	}
}
