package queue

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
)

// A scriptRecorder is a Redis that writes down the keys and arguments of the scripts that it runs.
type scriptRecorder struct {
	mu   sync.Mutex
	runs []scriptRun
}

type scriptRun struct {
	keys []string
	args []any
}

func (r *scriptRecorder) DialHook(next redis.DialHook) redis.DialHook { return next }

func (r *scriptRecorder) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if all := cmd.Args(); strings.HasPrefix(cmd.Name(), "eval") {
			run, n := scriptRun{}, all[2].(int)
			for _, key := range all[3 : 3+n] {
				run.keys = append(run.keys, fmt.Sprint(key))
			}
			run.args = slices.Clone(all[3+n:])
			r.mu.Lock()
			r.runs = append(r.runs, run)
			r.mu.Unlock()
		}
		return next(ctx, cmd)
	}
}

func (r *scriptRecorder) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// find waits for a run that is the one.
func (r *scriptRecorder) find(is func(scriptRun) bool) (found scriptRun, ok bool) {
	for deadline := time.Now().Add(30 * time.Second); !ok && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		r.mu.Lock()
		if i := slices.IndexFunc(r.runs, is); i >= 0 {
			found, ok = r.runs[i], true
		}
		r.mu.Unlock()
	}
	return found, ok
}

// An upstream is asynq, as it is, on a queue of its own.
type upstream struct {
	name   string
	keys   Keys
	rdb    *redis.Client
	client *asynq.Client
	held   chan struct{} // lets go of the tasks of type "hold"
	*scriptRecorder
}

func newUpstream(t *testing.T) *upstream {
	t.Helper()
	name := "q_" + uuid.NewString()
	u := &upstream{name: name, keys: KeysOf(name), rdb: rig.Connect(t, sandboxtest.Redis(t)), held: make(chan struct{}), scriptRecorder: &scriptRecorder{}}
	u.rdb.AddHook(u)
	u.client = asynq.NewClientFromRedisClient(u.rdb)
	return u
}

func (u *upstream) enqueue(t *testing.T, kind string, o ...asynq.Option) string {
	t.Helper()
	task := asynq.NewTaskWithHeaders(kind, []byte("the payload of "+kind), map[string]string{"header": "value of " + kind})
	info, err := u.client.Enqueue(task, append(o, asynq.Queue(u.name), asynq.MaxRetry(7))...)
	if err != nil {
		t.Fatal(err)
	}
	return info.ID
}

// start runs asynq's server until the test ends.
func (u *upstream) start(t *testing.T) {
	t.Helper()
	server := asynq.NewServerFromRedisClient(u.rdb, asynq.Config{
		Concurrency: 10, Queues: map[string]int{u.name: 1}, TaskCheckInterval: 20 * time.Millisecond, DelayedTaskCheckInterval: 20 * time.Millisecond, LogLevel: asynq.FatalLevel,
		RetryDelayFunc: func(int, error, *asynq.Task) time.Duration { return time.Hour },
	})
	if err := server.Start(asynq.HandlerFunc(func(_ context.Context, task *asynq.Task) error {
		switch task.Type() {
		case "retry":
			return errors.New("planted")
		case "archive":
			return asynq.SkipRetry
		case "hold":
			<-u.held
		}
		return nil
	})); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		close(u.held)
		server.Shutdown()
	})
}

// await waits until a key has a member, "" for any value, and wants the key to be of the type.
func (u *upstream) await(t *testing.T, key, kind, member string) {
	t.Helper()
	has := func() bool {
		var err error
		switch kind {
		case "list":
			err = u.rdb.LPos(t.Context(), key, member, redis.LPosArgs{}).Err()
		case "set":
			return u.rdb.SIsMember(t.Context(), key, member).Val()
		case "zset":
			err = u.rdb.ZScore(t.Context(), key, member).Err()
		case "hash":
			err = u.rdb.HGet(t.Context(), key, member).Err()
		default:
			err = u.rdb.Get(t.Context(), key).Err()
		}
		return err == nil
	}
	rig.Eventually(t, fmt.Sprintf("asynq to write %q into the %s %s", member, kind, key), has)
	if got := u.rdb.Type(t.Context(), key).Val(); got != kind {
		t.Errorf("%s is a %s, want a %s", key, got, kind)
	}
}

// task wants asynq's message of a task to be read as it was meant.
func (u *upstream) task(t *testing.T, id, kind, state string) *asynq.TaskInfo {
	t.Helper()
	fields, err := u.rdb.HGetAll(t.Context(), u.keys.Task(id)).Result()
	if err != nil {
		t.Fatal(err)
	}
	if got := fields[stateField]; got != state {
		t.Errorf("%s: state %q, want %q", kind, got, state)
	}
	info, err := ReadTask(fields[messageField])
	if err != nil {
		t.Fatalf("%s: %v", kind, err)
	}
	if info.ID != id || info.Queue != u.name || info.Type != kind || string(info.Payload) != "the payload of "+kind || info.MaxRetry != 7 ||
		!maps.Equal(info.Headers, map[string]string{"header": "value of " + kind}) {
		t.Errorf("%s: read as %+v", kind, info)
	}
	return info
}

// What this package names is what asynq writes. Whoever takes up another release of it learns here what has changed.
func TestAsynqWritesWhatIsNamedHere(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	k, inspector := u.keys, asynq.NewInspectorFromRedisClient(u.rdb)

	pending := u.enqueue(t, "pending")
	u.await(t, AllQueues, "set", u.name)
	u.await(t, k.Pending(), "list", pending)
	u.await(t, k.Task(pending), "hash", messageField)
	u.await(t, k.Task(pending), "hash", "pending_since")
	u.task(t, pending, "pending", "pending")
	later := u.enqueue(t, "later", asynq.ProcessIn(time.Hour))
	u.await(t, k.Scheduled(), "zset", later)
	u.task(t, later, "later", "scheduled")

	if err := inspector.PauseQueue(u.name); err != nil {
		t.Fatal(err)
	}
	u.await(t, k.Paused(), "string", "")
	if err := inspector.UnpauseQueue(u.name); err != nil {
		t.Fatal(err)
	}

	hold, retry := u.enqueue(t, "hold"), u.enqueue(t, "retry")
	archive, complete := u.enqueue(t, "archive"), u.enqueue(t, "complete", asynq.Retention(time.Hour))
	begun := time.Now()
	u.start(t)
	u.await(t, k.Active(), "list", hold)
	u.await(t, k.Lease(), "zset", hold)
	u.task(t, hold, "hold", InHand)
	if lasts := time.Unix(int64(u.rdb.ZScore(t.Context(), k.Lease(), hold).Val()), 0).Sub(begun); lasts < leaseDuration-2*time.Second || lasts > leaseDuration+30*time.Second {
		t.Errorf("a lease lasts %s, want %s", lasts, leaseDuration)
	}
	u.await(t, k.Retry(), "zset", retry)
	if info := u.task(t, retry, "retry", Retried); info.Retried != 1 || info.LastErr != "planted" {
		t.Errorf("retried %d times, last error %q", info.Retried, info.LastErr)
	}
	u.await(t, k.Archived(), "zset", archive)
	u.task(t, archive, "archive", Archived)
	u.await(t, k.Completed(), "zset", complete)
	u.task(t, complete, "complete", "completed")
	for _, count := range []string{k.Processed(), k.ProcessedOn(begun), k.Failed(), k.FailedOn(begun)} {
		u.await(t, count, "string", "")
	}

	u.wantKeysNamed(t)
	u.wantScriptsKnown(t, map[string]string{"pending": pending, "archive": archive, "complete": complete})
	u.wantHeartbeatKnown(t, hold)
}

// wantKeysNamed wants asynq to have no key that isn't named.
func (u *upstream) wantKeysNamed(t *testing.T) {
	t.Helper()
	k := u.keys
	named := append(k.tasks(), k.Paused(), k.Processed(), k.ProcessedOn(time.Now()), k.ProcessedOn(time.Now().Add(-time.Minute)),
		k.Failed(), k.FailedOn(time.Now()), k.FailedOn(time.Now().Add(-time.Minute)))
	all, err := u.rdb.Keys(t.Context(), k.prefix+"*").Result()
	if err != nil || len(all) == 0 {
		t.Fatalf("keys %q, error %v", all, err)
	}
	for _, key := range all {
		if !slices.Contains(named, key) && !strings.HasPrefix(key, k.taskPrefix()) {
			t.Errorf("asynq has the key %s, which isn't named", key)
		}
	}
}

// wantScriptsKnown wants the fetch, and the scripts that end tasks, to be known by their keys.
func (u *upstream) wantScriptsKnown(t *testing.T, ended map[string]string) {
	t.Helper()
	k := u.keys
	fetch, ok := u.find(func(run scriptRun) bool { return slices.Equal(run.keys, k.fetch()) })
	if !ok || len(fetch.args) != 2 || fetch.args[1] != k.taskPrefix() {
		t.Errorf("a fetch has the keys %q? %t, and the arguments %v", k.fetch(), ok, fetch.args)
	} else if _, isTime := fetch.args[0].(int64); !isTime {
		t.Errorf("a fetch sets leases to %v", fetch.args[0])
	}
	for how, id := range ended {
		if _, ok := u.find(func(run scriptRun) bool {
			task, active, lease := endOf(run.keys)
			return task == k.Task(id) && active == k.Active() && lease == k.Lease() && len(run.args) > 0 && run.args[0] == id
		}); !ok {
			t.Errorf("the script that ends a task isn't known: %s", how)
		}
	}
	for _, delayed := range []string{k.Retry(), k.Scheduled()} {
		if _, ok := u.find(func(run scriptRun) bool { return slices.Equal(run.keys, []string{delayed, k.Pending()}) }); !ok {
			t.Errorf("asynq doesn't take up what is due in %s", delayed)
		}
	}
}

// wantHeartbeatKnown wants a heartbeat that names the task in hand to be where it is looked for, and to be what it is taken for.
func (u *upstream) wantHeartbeatKnown(t *testing.T, id string) {
	t.Helper()
	beat, ok := u.find(func(run scriptRun) bool { return isHeartbeat(run.keys, run.args) && slices.Contains(run.args, any(id)) })
	if !ok {
		t.Fatal("no heartbeat names the task in hand")
	}
	for i, register := range []string{AllServers, AllWorkers} {
		u.await(t, register, "zset", beat.keys[i])
	}
	sign := u.rdb.Get(t.Context(), beat.keys[0]).Val()
	if !strings.Contains(sign, u.name) {
		t.Errorf("a server's heartbeat doesn't name its queue: %q", sign)
	}
	left, _ := beat.args[slices.Index(beat.args, any(id))+1].([]byte)
	payload, encoded := "", string(left)
	for encoded != "" {
		f, err := nextField(&encoded)
		if err != nil {
			t.Fatal(err)
		}
		if f.number == fieldTaskPayload {
			payload = f.bytes
		}
	}
	if payload != "the payload of hold" {
		t.Errorf("a heartbeat has the payload %q", payload)
	}
}

// The numbers of asynq's own messages are in the registry.
func TestFieldsAreAsynqs(t *testing.T) {
	t.Parallel()
	for name, fields := range map[protoreflect.FullName]map[protoreflect.Name]protoreflect.FieldNumber{
		"asynq.TaskMessage": {
			"type": fieldKind, "payload": fieldPayload, "id": fieldID, "queue": fieldQueue, "retry": fieldRetry, "retried": fieldRetried,
			"error_msg": fieldLastError, "unique_key": fieldUniqueKey, "group_key": fieldGroup, "headers": fieldHeaders,
		},
		"asynq.WorkerInfo": {"task_payload": fieldTaskPayload},
	} {
		kind, err := protoregistry.GlobalTypes.FindMessageByName(name)
		if err != nil {
			t.Fatal(err)
		}
		for field, number := range fields {
			if d := kind.Descriptor().Fields().ByName(field); d == nil || d.Number() != number {
				t.Errorf("%s of %s is %v, want field %d", field, name, d, number)
			}
		}
	}
}
