package queue

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"invoicer/internal/report"
)

// presentWorkers is the set of the workers that have shown themselves, by when, in Unix seconds.
const presentWorkers = "invoicer:workers"

// presenceKey has what a worker tells about itself. It expires soon after the worker's end.
func presenceKey(worker string) string { return "invoicer:worker:{" + worker + "}" }

// quietKey exists while a worker is told to take no more jobs.
func quietKey(worker string) string { return "invoicer:quiet:{" + worker + "}" }

const (
	// presenceInterval is how often a worker shows itself, and learns whether it is to be quiet.
	presenceInterval = 2 * time.Second
	// presenceExpiry is how long a worker that shows itself no more counts as present.
	presenceExpiry = 10 * time.Second
	// forgottenAfter is how long the name of a worker that is gone stays in the set.
	forgottenAfter = time.Hour
)

// A Presence shows a worker in Redis, to people who ask who is there: its name, version and settings. It also records how much
// was done in its queues, and learns whether somebody has told the worker to be quiet. Nothing depends on it: while Redis
// doesn't answer, the worker works on, and stays as quiet as it is.
type Presence struct {
	// Cache, if set before [Presence.Run], is called whenever the worker shows itself, and returns how it uses its done entries.
	Cache func() report.WorkerCache

	rdb   redis.UniversalClient
	self  report.Worker
	queue []string
	log   *slog.Logger
	quiet atomic.Bool
}

// NewPresence returns a presence of a worker with the given name, queues, version and so on; times, Digest, Quiet and Doing are
// filled in. Settings must hold no secrets, and be few.
func NewPresence(rdb redis.UniversalClient, w report.Worker, log *slog.Logger) (*Presence, error) {
	if w.Name == "" || len(w.Queues) == 0 {
		return nil, errors.New("queue: a presence needs a Name and Queues")
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	w.StartedAt, w.Digest, w.Doing = time.Now().UTC(), digestOf(w.Settings), nil
	return &Presence{rdb: rdb, self: w, queue: slices.Sorted(maps.Keys(w.Queues)), log: log}, nil
}

// digestOf returns a short text that differs for different settings.
func digestOf(settings map[string]string) string {
	h := sha256.New()
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		_, _ = fmt.Fprintf(h, "%q=%q\n", key, settings[key])
	}
	return hex.EncodeToString(h.Sum(nil)[:4])
}

// Quiet reports whether the worker is told to take no more jobs. It returns at once.
func (p *Presence) Quiet() bool { return p.quiet.Load() }

// Show shows the worker once.
func (p *Presence) Show(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	self := p.self
	if p.Cache != nil {
		cache := p.Cache()
		self.Cache = &cache
	}
	encoded, err := json.Marshal(self)
	if err != nil {
		return err
	}
	var quiet *redis.IntCmd
	now := time.Now()
	_, err = p.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.Set(ctx, presenceKey(p.self.Name), encoded, presenceExpiry)
		pipe.ZAdd(ctx, presentWorkers, redis.Z{Score: float64(now.Unix()), Member: p.self.Name})
		pipe.ZRemRangeByScore(ctx, presentWorkers, "-inf", strconv.FormatInt(now.Add(-forgottenAfter).Unix(), 10))
		quiet = pipe.Exists(ctx, quietKey(p.self.Name))
		for _, name := range p.queue {
			sampleScript.Eval(ctx, pipe, []string{KeysOf(name).Processed(), KeysOf(name).samples()})
		}
		return nil
	})
	if quiet.Err() == nil {
		if is := quiet.Val() > 0; p.quiet.Swap(is) != is {
			p.log.InfoContext(ctx, "worker is told to take no more jobs, or to take jobs again", "worker", p.self.Name, "quiet", is)
		}
	}
	return err
}

// Run shows the worker every two seconds until ctx ends.
func (p *Presence) Run(ctx context.Context) error {
	for {
		if err := p.Show(ctx); err != nil && ctx.Err() == nil {
			p.log.DebugContext(ctx, "the worker can't show itself in Redis", "error", err)
		}
		if !pause(ctx, presenceInterval) {
			break
		}
	}
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), renewTimeout)
	defer cancel()
	_, err := p.rdb.Pipelined(clean, func(pipe redis.Pipeliner) error {
		pipe.Del(clean, presenceKey(p.self.Name))
		pipe.ZRem(clean, presentWorkers, p.self.Name)
		return nil
	})
	if err != nil {
		p.log.DebugContext(clean, "the worker's presence stays in Redis until it expires", "error", err)
	}
	return nil
}

// quietFor is how long a worker stays quiet if nobody tells it to take jobs again: a name is never used twice, so the key of a
// worker that is gone is of no use.
const quietFor = 30 * 24 * time.Hour

// SetQuiet tells a worker to take no more jobs, or to take jobs again. The worker learns it within seconds.
func SetQuiet(ctx context.Context, rdb redis.UniversalClient, worker string, quiet bool) error {
	if quiet {
		return rdb.Set(ctx, quietKey(worker), time.Now().Unix(), quietFor).Err()
	}
	return rdb.Del(ctx, quietKey(worker)).Err()
}

const (
	// mostWorkers bounds the workers that are read, the latest.
	mostWorkers = 1000
	// mostOfPresence bounds what is read of one of them.
	mostOfPresence = 64 << 10
	// mostDoing bounds the tasks in hand that are read of all workers.
	mostDoing = 2000
)

// Workers returns the workers that have shown themselves in the last ten seconds, with the tasks that they have in hand.
func Workers(ctx context.Context, rdb redis.UniversalClient) ([]report.Worker, error) {
	names, err := rdb.ZRevRangeByScoreWithScores(ctx, presentWorkers, &redis.ZRangeBy{Min: "-inf", Max: "+inf", Count: mostWorkers}).Result()
	if err = unlessReply(err); err != nil || len(names) == 0 {
		return nil, err
	}
	shown, quiet := make([]*redis.StringCmd, len(names)), make([]*redis.IntCmd, len(names))
	commands, err := rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, z := range names {
			name, _ := z.Member.(string)
			shown[i], quiet[i] = p.GetRange(ctx, presenceKey(name), 0, mostOfPresence-1), p.Exists(ctx, quietKey(name))
		}
		return nil
	})
	if err = unlessReply(err, commands...); err != nil {
		return nil, err
	}
	var workers []report.Worker
	for i, z := range names {
		var w report.Worker
		if json.Unmarshal([]byte(shown[i].Val()), &w) != nil || w.Name != z.Member {
			continue // it is gone, or somebody else has written there
		}
		w.SeenAt, w.Quiet, w.Doing = time.Unix(int64(z.Score), 0).UTC(), quiet[i].Val() > 0, []report.Doing{}
		workers = append(workers, w)
	}
	slices.SortFunc(workers, func(a, b report.Worker) int { return strings.Compare(a.Name, b.Name) })
	return workers, addDoing(ctx, rdb, workers)
}

// addDoing adds to the workers the tasks that the heartbeats of asynq's servers name. A server doesn't name its worker, but each
// task does.
func addDoing(ctx context.Context, rdb redis.UniversalClient, workers []report.Worker) error {
	servers, err := heartbeats(ctx, rdb, AllWorkers)
	if err != nil || len(servers) == 0 {
		return err
	}
	reads := make([]*redis.StringSliceCmd, len(servers))
	commands, err := rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, key := range servers {
			reads[i] = p.HVals(ctx, key)
		}
		return nil
	})
	if err = unlessReply(err, commands...); err != nil {
		return err
	}
	var tasks []workerInfo
	for _, read := range reads {
		for _, encoded := range read.Val() {
			if info := readWorkerInfo(encoded); info.task != "" && len(tasks) < mostDoing {
				tasks = append(tasks, info)
			}
		}
	}
	return assign(ctx, rdb, tasks, workers)
}

// assign gives each task to the worker that has fetched it.
func assign(ctx context.Context, rdb redis.UniversalClient, tasks []workerInfo, workers []report.Worker) error {
	if len(tasks) == 0 {
		return nil
	}
	by := make(map[string]*report.Worker, len(workers))
	for i := range workers {
		by[workers[i].Name] = &workers[i]
	}
	reads := make([]*redis.SliceCmd, len(tasks))
	commands, err := rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, task := range tasks {
			reads[i] = p.HMGet(ctx, KeysOf(task.queue).Task(task.task), HolderField, stateField)
		}
		return nil
	})
	if err = unlessReply(err, commands...); err != nil {
		return err
	}
	for i, task := range tasks {
		fields := append(reads[i].Val(), nil, nil)
		name, _ := fields[0].(string)
		w := by[name]
		if w == nil || fields[1] != report.TaskActive {
			continue // it has ended since the heartbeat
		}
		w.Doing = append(w.Doing, report.Doing{Queue: task.queue, TaskID: task.task, JobID: jobOf(task.task), Since: task.begun})
		w.Active++
	}
	for i := range workers {
		slices.SortFunc(workers[i].Doing, func(a, b report.Doing) int { return a.Since.Compare(b.Since) })
	}
	return nil
}

// jobOf returns the id of a task's job, as far as the task's id tells: the messages, which may be long, aren't read.
func jobOf(task string) string {
	if parts := dispatched.FindStringSubmatch(task); parts != nil {
		return parts[1]
	}
	return task
}

// dispatched matches the ledger's task ids: a job's id, and the number of the dispatch.
var dispatched = regexp.MustCompile(`(?s)^([0-9a-f]{8}-[0-9a-f-]{27})\.[1-9][0-9]{0,9}$`)
