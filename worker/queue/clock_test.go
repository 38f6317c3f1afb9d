package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
)

// A world is a local clock and a server's, both of which a test can set.
type world struct {
	passed        time.Duration
	local, server time.Time
	way           time.Duration // to the server and back
}

func newWorld() *world {
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	return &world{local: noon, server: noon}
}

func (w *world) pass(d time.Duration) {
	w.passed += d
	w.local, w.server = w.local.Add(d), w.server.Add(d)
}

func (w *world) clock() *serverClock {
	return &serverClock{local: localClock{now: func() time.Time { return w.local }, elapsed: func() time.Duration { return w.passed }}}
}

func (w *world) ask() (time.Time, error) {
	w.pass(w.way / 2)
	said := w.server
	w.pass(w.way - w.way/2)
	return said, nil
}

func (w *world) read(t *testing.T, c *serverClock) (set time.Duration) {
	t.Helper()
	set, err := c.read(w.ask)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func wantAhead(t *testing.T, c *serverClock, want, within time.Duration) {
	t.Helper()
	if got, _ := c.ahead(); (got - want).Abs() > within {
		t.Errorf("the server's clock is ahead by %s, want %s", got, want)
	}
}

// Nobody has to be asked for anything for a jump of the local clock to make no difference.
func TestLocalClockJumps(t *testing.T) {
	t.Parallel()
	w := newWorld()
	c := w.clock()
	wantAhead(t, c, 0, 0)
	w.server = w.server.Add(time.Minute)
	w.read(t, c)
	wantAhead(t, c, time.Minute, 0)
	for _, jump := range []time.Duration{time.Hour, -2 * time.Hour, 365 * 24 * time.Hour} {
		before, _ := c.ahead()
		w.local = w.local.Add(jump)
		wantAhead(t, c, before-jump, 0)
		w.pass(time.Second)
		wantAhead(t, c, before-jump, 0)
		if set := w.read(t, c); set != 0 || c.unsettled() {
			t.Errorf("the server's clock is said to have been set by %s", set)
		}
	}
}

func TestServerClockIsSet(t *testing.T) {
	t.Parallel()
	for _, by := range []time.Duration{time.Hour, -time.Hour, 3 * time.Second, -3 * time.Second} {
		w := newWorld()
		c := w.clock()
		w.read(t, c)
		w.pass(time.Second)
		w.server = w.server.Add(by)
		if set := w.read(t, c); set != by {
			t.Errorf("set by %s, want %s", set, by)
		}
		wantAhead(t, c, by, 0)
		if !c.unsettled() {
			t.Error("it's taken for settled at once")
		}
		w.pass(unsettledFor)
		if c.unsettled() {
			t.Error("it never settles")
		}
	}
}

// The way to a server is no difference of clocks, however long it takes.
func TestSlowAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld()
	c := w.clock()
	w.read(t, c)
	for _, w.way = range []time.Duration{time.Millisecond, 3 * time.Second, 10 * time.Second} {
		if set := w.read(t, c); set != 0 {
			t.Errorf("%s on the way: set by %s", w.way, set)
		}
		wantAhead(t, c, 0, 0)
	}
	w = newWorld()
	w.way = 8 * time.Second
	w.server = w.server.Add(time.Second)
	c = w.clock()
	w.read(t, c)
	wantAhead(t, c, time.Second, 0)
	w.way = 0
	w.read(t, c)
	if _, exact := c.ahead(); exact != 0 {
		t.Errorf("exact to %s only, after a better reading", exact)
	}
	if _, err := c.read(func() (time.Time, error) { return time.Time{}, errors.New("planted") }); err == nil {
		t.Error("a failed reading counts")
	}
	wantAhead(t, c, time.Second, 0)
}

// clockBench is a real Redis, the clocks of a worker on one queue of it, and what they log.
type clockBench struct {
	*clocks
	rdb    *redis.Client
	queue  string
	prefix string
	clock  *serverClock
	log    *lockedBuffer
}

func newClockBench(t *testing.T) *clockBench {
	t.Helper()
	b := &clockBench{rdb: rig.Connect(t, sandboxtest.Redis(t)), queue: "q_" + uuid.NewString(), log: &lockedBuffer{}}
	b.prefix = KeysOf(b.queue).prefix
	b.clocks = newClocks(b.rdb, ConsumerOptions{Worker: "w1", Queues: map[string]int{b.queue: 1}, Logger: slog.New(slog.NewTextHandler(b.log, nil))})
	b.clock = b.queues[b.prefix]
	return b
}

// skewed is timeScript on a server whose clock is ahead by so many seconds.
func skewed(seconds int) *redis.Script {
	const time = `local now = redis.call("TIME")`
	if !strings.Contains(timeScript, time) {
		panic("timeScript has changed")
	}
	return redis.NewScript(strings.Replace(timeScript, time, fmt.Sprintf(`%s now[1] = string.format("%%d", now[1] + %d)`, time, seconds), 1))
}

// now is Redis's time.
func (b *clockBench) now(t *testing.T) float64 {
	t.Helper()
	now, err := b.rdb.Time(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	return float64(now.Unix())
}

func (b *clockBench) add(t *testing.T, kind, id string, at float64) {
	t.Helper()
	if err := b.rdb.ZAdd(t.Context(), b.prefix+kind, redis.Z{Score: at, Member: id}).Err(); err != nil {
		t.Fatal(err)
	}
}

// wantAt wants a member's time, give or take what a slow machine needs.
func (b *clockBench) wantAt(t *testing.T, kind, id string, want float64) {
	t.Helper()
	got, err := b.rdb.ZScore(t.Context(), b.prefix+kind, id).Result()
	if err != nil || math.Abs(got-want) > 30 {
		t.Errorf("%s %s: %.0f, %v; want %.0f", kind, id, got, err, want)
	}
}

// What a wrong clock has written is put right: nothing waits longer than it can have been told to.
func TestWrongTimesArePutRight(t *testing.T) {
	t.Parallel()
	b := newClockBench(t)
	now := b.now(t)
	for i := range 2*mostAtOnce + 1 {
		b.add(t, "retry", fmt.Sprint("hour", i), now+3600)
	}
	b.add(t, "retry", "for ever", math.Inf(1))
	b.add(t, "retry", "soon", now+500)
	b.add(t, "retry", "due", now-100)
	b.add(t, "scheduled", "tomorrow", now+86400)
	b.add(t, "lease", "hour", now+3600)
	b.add(t, "lease", "living", now+20)
	b.add(t, "lease", "dead", now-3600)
	b.askRedis(t.Context(), b.prefix, b.clock)
	for i := range 2*mostAtOnce + 1 {
		b.wantAt(t, "retry", fmt.Sprint("hour", i), now)
	}
	b.wantAt(t, "retry", "for ever", now)
	b.wantAt(t, "retry", "soon", now+500)
	b.wantAt(t, "retry", "due", now-100)
	b.wantAt(t, "scheduled", "tomorrow", now+86400)
	b.wantAt(t, "lease", "hour", now+30)
	b.wantAt(t, "lease", "living", now+20)
	b.wantAt(t, "lease", "dead", now-3600)
}

// The time is told whatever stands under the queue's keys.
func TestForeignTypesTellTheTime(t *testing.T) {
	t.Parallel()
	b := newClockBench(t)
	for _, kind := range []string{"retry", "lease"} {
		if err := b.rdb.Set(t.Context(), b.prefix+kind, "garbage", 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	b.askRedis(t.Context(), b.prefix, b.clock)
	if !b.clock.isKnown() {
		t.Error("the clock isn't known")
	}
}

// When Redis's clock is set back, as by a failover to a replica with another clock, what was put back before doesn't wait
// for that much longer.
func TestRedisIsSetBack(t *testing.T) {
	t.Parallel()
	b := newClockBench(t)
	b.askRedis(t.Context(), b.prefix, b.clock)
	now := b.now(t)
	b.add(t, "retry", "minute", now+60)
	b.askRedis(t.Context(), b.prefix, b.clock)
	b.wantAt(t, "retry", "minute", now+60)
	b.script = skewed(-300)
	b.askRedis(t.Context(), b.prefix, b.clock)
	b.wantAt(t, "retry", "minute", now-300)
	wantAhead(t, b.clock, -300*time.Second, 30*time.Second)
}

// A clock that was set makes no lease an expired one: a living worker keeps its job.
func TestLivingLeasesAreNotTakenWhenAClockIsSet(t *testing.T) {
	t.Parallel()
	b := newClockBench(t)
	b.add(t, "lease", "T1", b.now(t)+20)
	if err := b.rdb.HSet(t.Context(), b.prefix+"t:T1", "msg", "T1's").Err(); err != nil {
		t.Fatal(err)
	}
	view := b.correct(b.rdb)
	expired := func(script *redis.Script) int {
		t.Helper()
		list, err := script.Run(t.Context(), view, []string{b.prefix + "lease"}, time.Now().Unix()-30).Slice()
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	list := redis.NewScript(`return redis.call("ZRANGEBYSCORE", KEYS[1], "-inf", ARGV[1])`)
	b.askRedis(t.Context(), b.prefix, b.clock)
	if n := expired(list); n != 0 {
		t.Errorf("%d leases have expired, want none", n)
	}
	b.script = skewed(3600)
	b.askRedis(t.Context(), b.prefix, b.clock)
	if n := expired(list); n != 0 {
		t.Errorf("%d leases have expired just after Redis's clock was set", n)
	}
	b.clock.settled = 0
	if n := expired(list); n != 1 {
		t.Errorf("%d leases have expired, want 1: its worker hasn't extended it", n)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

// take returns the lines since it was last called.
func (b *lockedBuffer) take() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	lines := strings.Split(strings.TrimSuffix(b.b.String(), "\n"), "\n")
	b.b.Reset()
	if lines[0] == "" {
		return nil
	}
	return lines
}

// One line tells that two clocks come apart, and one that they are together again.
func TestClocksApartAreToldOnce(t *testing.T) {
	t.Parallel()
	b := newClockBench(t)
	var wrong, database time.Duration
	b.local.now = func() time.Time { return time.Now().Add(wrong) }
	b.clock.local, b.postgres.local = b.local, b.local
	b.database = func(context.Context) (time.Time, error) { return time.Now().Add(database), nil }
	step := func(what string, want ...string) {
		t.Helper()
		for range 2 {
			b.askRedis(t.Context(), b.prefix, b.clock)
			b.askPostgres(t.Context())
			b.compare(t.Context())
		}
		got := b.log.take()
		if len(got) != len(want) {
			t.Errorf("%s: %d lines, want %d: %q", what, len(got), len(want), got)
			return
		}
		for i := range want {
			if !strings.Contains(got[i], want[i]) || !strings.Contains(got[i], "machine=") {
				t.Errorf("%s: %q doesn't say %q", what, got[i], want[i])
			}
		}
	}
	step("all the same")
	wrong = time.Second
	step("a second")
	wrong = time.Hour
	step("the worker is ahead", "behind=redis ahead=worker by=", "behind=postgres ahead=worker by=")
	wrong = -time.Hour
	step("still apart")
	wrong = 1500 * time.Millisecond
	step("nearly together")
	wrong = 0
	step("together", "level=INFO", "level=INFO")
	database = -time.Hour
	step("the database is behind", "level=WARN", "behind=postgres ahead=redis by=1h0m0s")
	database = 0
	step("together", "level=INFO", "level=INFO")
	b.script = skewed(-3600)
	step("Redis is behind", "behind=redis ahead=worker", "behind=redis ahead=postgres")
}

// Who may not ask for the time is told once, and works by this machine's clock.
func TestTimeIsRefused(t *testing.T) {
	t.Parallel()
	b := newClockBench(t)
	name := "u" + uuid.NewString()
	if err := b.rdb.Do(t.Context(), "ACL", "SETUSER", name, "on", "nopass", "~*", "+@all", "-time").Err(); err != nil {
		t.Fatal(err)
	}
	o := *b.rdb.Options()
	o.Username, o.Password = name, "any"
	rdb := redis.NewClient(&o)
	t.Cleanup(func() { rdb.Close() })
	b.clocks.rdb = rdb
	for range 3 {
		b.askRedis(t.Context(), b.prefix, b.clock)
		b.compare(t.Context())
	}
	if lines := b.log.take(); len(lines) != 1 || !strings.Contains(lines[0], "allow TIME") {
		t.Errorf("it logs %q, want one line", lines)
	}
	wantAhead(t, b.clock, 0, 0)
}
