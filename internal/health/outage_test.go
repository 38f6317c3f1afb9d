package health

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/prometheus/client_golang/prometheus"

	"invoicer/invoice"
	"invoicer/invoice/postgres"
	"invoicer/worker"
)

// A watchedOutages is one whose log can be read. Its time is the bubble's of synctest.
type watchedOutages struct {
	*outages
	log bytes.Buffer
}

func newWatchedOutages() *watchedOutages {
	w := &watchedOutages{}
	logger := slog.New(slog.NewTextHandler(&w.log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == "after" {
			return slog.Attr{}
		}
		return a
	}}))
	w.outages = newOutages(logger, 20*time.Second, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "outage"}, []string{"server", "cause"}))
	return w
}

// lines returns the log's lines, without what they all have.
func (w *watchedOutages) lines() []string {
	lines := strings.Split(strings.TrimSpace(w.log.String()), "\n")
	if lines[0] == "" {
		return nil
	}
	return lines
}

// pass lets time pass, with a probe that finds the same each second.
func (w *watchedOutages) pass(ctx context.Context, d time.Duration, found *cause) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(time.Second) {
		w.probed(ctx, "probe", found)
	}
}

func TestOutages(t *testing.T) {
	t.Parallel()
	oom := cause{server: "redis at r", code: "OOM", text: "no memory left"}
	gone := cause{server: "redis at r", code: away, text: "connection refused"}
	late := cause{server: "redis at r", code: slow, text: "no answer"}
	held := cause{server: "postgres at p", code: "55P03", text: "lock timeout", partial: true}
	full := cause{server: "postgres at p", code: "53100", text: "disk full"}
	for name, c := range map[string]struct {
		run  func(context.Context, *watchedOutages)
		want []string // a word of each line
	}{
		"a probe and many jobs tell of one": {
			run: func(ctx context.Context, w *watchedOutages) {
				for range 30 {
					for range 100 {
						w.report("jobs", oom, true)
					}
					w.report("relay", oom, false)
					w.pass(ctx, time.Second, &oom)
				}
				w.pass(ctx, time.Minute, nil)
			},
			want: []string{"level=ERROR", "jobs go on"},
		},
		"what is over at once is no outage": {
			run: func(ctx context.Context, w *watchedOutages) {
				w.report("jobs", oom, false)
				time.Sleep(time.Second)
				w.report("jobs", oom, false)
				w.pass(ctx, time.Minute, nil)
			},
		},
		"a job that was put back has waited": {
			run: func(ctx context.Context, w *watchedOutages) {
				w.report("jobs", oom, true)
				w.pass(ctx, time.Minute, nil)
			},
			want: []string{"level=ERROR", "jobs go on"},
		},
		"a job that tells late of an outage that is over begins none": {
			run: func(ctx context.Context, w *watchedOutages) {
				w.pass(ctx, 10*time.Second, &oom)
				w.pass(ctx, 2*time.Second, nil)
				w.report("jobs", oom, true)
				w.pass(ctx, time.Minute, nil)
			},
			want: []string{"level=ERROR", "jobs go on"},
		},
		"two causes at two servers are two": {
			run: func(ctx context.Context, w *watchedOutages) {
				for range 10 {
					w.report("jobs", full, false)
					w.pass(ctx, time.Second, &oom)
				}
				w.pass(ctx, time.Minute, nil)
			},
			want: []string{"no memory left", "disk full", "go on", "go on"},
		},
		"jobs that get no answer from a server in an outage tell nothing new": {
			run: func(ctx context.Context, w *watchedOutages) {
				for range 10 {
					w.report("jobs", late, true)
					w.report("jobs", cause{server: "postgres at p", code: slow, text: "no answer"}, true)
					w.report("jobs", gone, true)
					w.pass(ctx, time.Second, &oom)
				}
				w.pass(ctx, time.Minute, nil)
			},
			want: []string{"no memory left", "jobs go on"},
		},
		"a probe that flaps is believed after longer and longer": {
			run: func(ctx context.Context, w *watchedOutages) {
				for range 150 {
					w.pass(ctx, time.Second, &oom)
					w.pass(ctx, time.Second, nil)
				}
				w.pass(ctx, 2*time.Minute, nil)
			},
			want: []string{"no memory left", "go on", "no memory left", "go on"},
		},
		"another cause at the same server is another": {
			run: func(ctx context.Context, w *watchedOutages) {
				w.pass(ctx, 5*time.Second, &gone)
				w.pass(ctx, 5*time.Second, &oom)
				w.pass(ctx, time.Minute, nil)
			},
			want: []string{"is away", "", "", "no memory left"},
		},
		"other jobs that go on end no cause that is still met": {
			run: func(ctx context.Context, w *watchedOutages) {
				for range 60 {
					w.report("jobs", full, true)
					w.succeeded("jobs")
					w.pass(ctx, 5*time.Second, nil)
				}
				w.pass(ctx, time.Minute, nil)
			},
			want: []string{"disk full", "jobs go on"},
		},
		"a lock that somebody holds is told of, and others go on": {
			run: func(ctx context.Context, w *watchedOutages) {
				for range 3 {
					w.report("jobs", held, true)
					w.pass(ctx, 3*time.Second, nil)
				}
				if list := w.obstacles(); len(list) != 0 {
					w.outages.log.Error("not ready", "list", list)
				}
				w.pass(ctx, time.Minute, nil)
			},
			want: []string{"lock timeout", "jobs go on"},
		},
		"a relay that always fails for another reason is told of once": {
			run: func(ctx context.Context, w *watchedOutages) {
				for i := range 60 {
					w.partFailed("relay", cause{server: "postgres at p", code: fmt.Sprint(i), text: "always something new"})
					w.pass(ctx, 2*time.Second, nil)
				}
				if list := w.obstacles(); len(list) != 1 || list[0] != "relay: postgres at p: always something new" {
					w.outages.log.Error("the obstacles", "list", list)
				}
				w.partSucceeded(ctx, "relay")
			},
			want: []string{"level=WARN msg=\"relay fails each time", "relay works again"},
		},
		"a relay that fails now and then is not told of": {
			run: func(ctx context.Context, w *watchedOutages) {
				for i := range 60 {
					w.partFailed("relay", cause{server: "postgres at p", code: fmt.Sprint(i), text: "always something new"})
					w.pass(ctx, 20*time.Second, nil)
					w.partSucceeded(ctx, "relay")
				}
			},
		},
		"a relay that fails in an outage tells nothing new, also when it notices the end late": {
			run: func(ctx context.Context, w *watchedOutages) {
				for range 30 {
					w.partFailed("relay", gone)
					w.pass(ctx, 2*time.Second, &oom)
				}
				if list := w.obstacles(); len(list) != 1 || list[0] != "redis at r: no memory left" {
					w.outages.log.Error("the obstacles", "list", list)
				}
				w.pass(ctx, 10*time.Second, nil)
				w.partSucceeded(ctx, "relay")
			},
			want: []string{"no memory left", "jobs go on"},
		},
		"a relay that waits for what others hold isn't ready, and jobs are": {
			run: func(ctx context.Context, w *watchedOutages) {
				for range 10 {
					w.partFailed("relay", held)
					w.pass(ctx, 5*time.Second, nil)
				}
				if list := w.obstacles(); len(list) != 1 || list[0] != "relay: postgres at p: lock timeout" {
					w.outages.log.Error("the obstacles", "list", list)
				}
				w.partSucceeded(ctx, "relay")
				w.pass(ctx, time.Minute, nil)
			},
			want: []string{"lock timeout", "jobs go on"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWatchedOutages()
				c.run(t.Context(), w)
				got := w.lines()
				if len(got) != len(c.want) {
					t.Fatalf("%d lines, want %d:\n%s", len(got), len(c.want), &w.log)
				}
				for i, word := range c.want {
					if !strings.Contains(got[i], word) {
						t.Errorf("line %d is %s, want %q", i+1, got[i], word)
					}
				}
				if list := w.obstacles(); len(list) != 0 {
					t.Errorf("still in the way: %v", list)
				}
			})
		})
	}
}

func TestCauses(t *testing.T) {
	t.Parallel()
	pg := func(code string) error { return fmt.Errorf("write: %w", &pgconn.PgError{Code: code, Message: "words"}) }
	unavailable := errors.Join(invoice.ErrUnavailable, context.DeadlineExceeded)
	for name, c := range map[string]struct {
		err          error
		server, code string
		lasting      bool
	}{
		"read-only":                 {pg("25006"), "pg", "25006", false},
		"no privilege":              {pg("42501"), "pg", "42501", true},
		"shutting down":             {pg("57P01"), "pg", away, false},
		"starting":                  {pg("57P03"), "pg", away, false},
		"a role that is unknown":    {pg("28000"), "pg", "28000", true},
		"postgres in no time":       {unavailable, "pg", slow, false},
		"redis in no time":          {context.DeadlineExceeded, "redis", slow, false},
		"redis refuses connections": {&net.OpError{Op: "dial", Err: errors.New("connection refused")}, "redis", away, false},
		"redis hangs up":            {io.EOF, "redis", away, false},
		"asynq is refused":          {errors.New("UNKNOWN: redis eval error: dial tcp 127.0.0.1:6379: connect: connection refused"), "redis", away, false},
		"text of asynq's":           {errors.New("UNKNOWN: redis eval error: OOM command not allowed"), "redis", "OOM", false},
		"a script's command":        {errors.New("ERR The user executing the script can't run this command or subcommand script: 12"), "redis", "NOPERM", true},
		"loading":                   {errors.New("LOADING Redis is loading the dataset in memory"), "redis", away, false},
		"a probe of postgres":       {&postgres.UnfitError{Code: "3F000", What: "there is no schema"}, "pg", "3F000", true},
		"a probe of redis":          {&worker.UnfitError{Code: worker.Evicts, What: "it evicts"}, "redis", worker.Evicts, true},
		"something unheard of":      {errors.New("what?"), "redis", other, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := Servers{Postgres: "pg", Redis: "redis"}.cause(c.err)
			if got.server != c.server || got.code != c.code || got.lasting != c.lasting || got.text == "" || got.partial {
				t.Errorf("got %+v", got)
			}
			if strings.HasPrefix(got.text, "UNKNOWN") && got.code != away || strings.Contains(got.text, "script: ") {
				t.Errorf("it says %q, with more than Redis's own words", got.text)
			}
		})
	}
	for _, code := range []string{"55P03", "57014", "40001"} { // others go on beside what is held
		if got := (Servers{Postgres: "pg"}).cause(pg(code)); !got.partial || got.lasting || got.code != code {
			t.Errorf("%s: got %+v", code, got)
		}
	}
}
