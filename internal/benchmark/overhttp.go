package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

// doors are jobs in the ledger beforehand, and jobs that come in batches while the worker works.
func doors(o options) (list []variant) {
	for _, v := range []struct {
		title string
		door  door
	}{
		{"in the ledger beforehand", door{}},
		{"in batches of 1,000, which the worker itself takes", door{batch: 1000}},
		{"in batches of 1,000, which `invoicer serve` takes", door{batch: 1000, serve: true}},
	} {
		list = append(list, variant{
			title:  v.title,
			entry:  entry{contestant: contestant{name: invoicerName, guess: 3000, open: v.door.open}, setting: o.common},
			source: always(fiveLines),
		})
	}
	return list
}

// A door is how jobs come to the program: into the ledger before it starts, or by HTTP, so many in a request.
type door struct {
	batch int
	serve bool // they come to a process of their own
}

// posters is how many requests are under way at once.
const posters = 4

func (d door) open(ctx context.Context, b *bench, s setting, schema string) (_ *system, err error) {
	if err := b.migrate(ctx, schema); err != nil {
		return nil, err
	}
	var running []*program
	stop := func() {
		for _, p := range running {
			p.stop()
		}
		running, b.programs.workers = nil, nil
	}
	launch := func(command string) error {
		p, err := b.launch(ctx, s, schema, command)
		if err == nil {
			running = append(running, p)
			b.programs.workers = append(b.programs.workers, p.command.Process.Pid)
		}
		return err
	}
	if d.batch > 0 {
		if err = launch("worker"); err == nil && d.serve {
			err = launch("serve")
		}
		if err != nil {
			stop()
			return nil, err
		}
	}
	var bodies [][]byte
	var working errgroup.Group
	quit := make(chan struct{})
	end := sync.OnceFunc(func() {
		close(quit)
		_ = working.Wait() // the jobs that are missing tell
		stop()
	})
	return &system{
		load: func(ctx context.Context, j jobs) error {
			if d.batch == 0 {
				return b.accept(ctx, schema, j)
			}
			return j.chunks(d.batch, func(payloads [][]byte) error {
				bodies = append(bodies, append(append([]byte("["), bytes.Join(payloads, []byte(","))...), ']'))
				return nil
			})
		},
		start: func(ctx context.Context, ended func()) error {
			if d.batch == 0 {
				if err := launch("worker"); err != nil {
					return err
				}
			}
			working.Go(func() error { return b.follow(ctx, schema, quit, ended) })
			if d.batch > 0 {
				working.Go(func() error { return postBatches(ctx, running[len(running)-1].url, bodies) })
			}
			return nil
		},
		stop: end,
		check: func(ctx context.Context, j jobs) error {
			if err := b.count(ctx, schema, j.n, true); err != nil {
				return err
			}
			return b.countEnds(ctx, schema, j.n, 0, true)
		},
		close: end,
	}, nil
}

// follow calls ended for each number that is given out, until quit is closed.
func (b *bench) follow(ctx context.Context, schema string, quit <-chan struct{}, ended func()) error {
	query := "SELECT coalesce(sum(last_number), 0)::bigint FROM " + pgx.Identifier{schema, "invoice_series"}.Sanitize()
	ticks := time.NewTicker(5 * time.Millisecond)
	defer ticks.Stop()
	for told := 0; ; {
		select {
		case <-quit:
			return nil
		case <-ticks.C:
		}
		var n int
		if err := b.db.QueryRow(ctx, query).Scan(&n); err != nil {
			return err
		}
		for ; told < n; told++ {
			ended()
		}
	}
}

func postBatches(ctx context.Context, url string, bodies [][]byte) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(posters)
	client := newClient()
	defer client.CloseIdleConnections()
	for _, body := range bodies {
		group.Go(func() error {
			status, answer, err := post(ctx, client, url+"/v1/jobs/batch?queue="+queue, "", body)
			if err == nil && status != http.StatusOK {
				err = fmt.Errorf("a batch was answered %d: %.500s", status, answer)
			}
			return err
		})
	}
	return group.Wait()
}

func newClient() *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2048, DisableCompression: true}}
}

// post posts a body, and again while it is refused for the moment.
func post(ctx context.Context, client *http.Client, url, prefer string, body []byte) (status int, answer []byte, err error) {
	for {
		if status, answer, err = postOnce(ctx, client, url, prefer, body); err != nil || status != http.StatusServiceUnavailable {
			return status, answer, err
		}
		select {
		case <-ctx.Done():
			return 0, nil, ctx.Err()
		case <-time.After(time.Second): // as Retry-After has it
		}
	}
}

func postOnce(ctx context.Context, client *http.Client, url, prefer string, body []byte) (status int, answer []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	if prefer != "" {
		request.Header.Set("Prefer", prefer)
	}
	got, err := client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer got.Body.Close()
	answer, err = io.ReadAll(got.Body)
	return got.StatusCode, answer, err
}

// posts measures single jobs by HTTP: until they are accepted, and until their invoices are there.
func (b *bench) posts(ctx context.Context, o options, rate int) (list []latency, err error) {
	for _, prefer := range []string{"", "wait=10"} {
		l, err := b.single(ctx, o, rate, prefer)
		if err != nil {
			return nil, err
		}
		list = append(list, *l)
	}
	return list, nil
}

// single posts one job in a request at random times, on average so many in a second, whether or not earlier ones were answered. A job's time
// begins when it was due, and ends when its answer was read: 202 once it is accepted, or 201 with its invoice if the request prefers to wait.
func (b *bench) single(ctx context.Context, o options, rate int, prefer string) (*latency, error) {
	if err := b.empty(ctx, schema); err != nil {
		return nil, err
	}
	if err := b.migrate(ctx, schema); err != nil {
		return nil, err
	}
	p, err := b.launch(ctx, o.common, schema, "worker")
	if err != nil {
		return nil, err
	}
	defer p.stop()
	want := http.StatusAccepted
	if prefer != "" {
		want = http.StatusCreated
	}
	client := newClient()
	defer client.CloseIdleConnections()
	b.programs.workers = []int{p.command.Process.Pid}
	defer func() { b.programs.workers = nil }()
	watched := b.programs.watch()
	warm := max(10, int(float64(rate)*b.seconds/3)) // these aren't counted
	n := warm + max(100, int(float64(rate)*2*b.seconds))
	took := make([]time.Duration, n)
	group, ctx := errgroup.WithContext(ctx)
	err = arrivals(ctx, rate, n, func(i int, due time.Time) {
		group.Go(func() error {
			payload, err := synthetic("T", i, 5)
			if err != nil {
				return err
			}
			status, answer, err := post(ctx, client, p.url+"/v1/jobs?queue="+queue, prefer, payload)
			took[i] = time.Since(due)
			if err == nil && status != want {
				err = fmt.Errorf("a job was answered %d, want %d: %.500s", status, want, answer)
			}
			return err
		})
	})
	if failed := group.Wait(); failed != nil {
		return nil, failed
	}
	if err != nil {
		return nil, err
	}
	l := newLatency(rate, took[warm:])
	b.tell("posted at %d jobs/s, %q: p50 %.1f ms, p99 %.1f ms, longest %.1f ms%s", rate, prefer, l.P50, l.P99, l.Longest, busy(watched.others()))
	return &l, nil
}

// arrivals calls arrive at random times, on average so often in a second, in all n times. It must not wait.
func arrivals(ctx context.Context, rate, n int, arrive func(i int, due time.Time)) error {
	random := rand.New(rand.NewPCG(uint64(rate), 0))
	due := time.Now()
	for i := range n {
		due = due.Add(time.Duration(random.ExpFloat64() / float64(rate) * float64(time.Second)))
		time.Sleep(time.Until(due))
		if ctx.Err() != nil {
			return ctx.Err()
		}
		arrive(i, due)
	}
	return nil
}

func newLatency(rate int, took []time.Duration) latency {
	slices.Sort(took)
	ms := func(share float64) float64 {
		return took[min(len(took)-1, int(share*float64(len(took))))].Seconds() * 1000
	}
	return latency{Rate: rate, Jobs: len(took), P50: ms(0.5), P99: ms(0.99), Longest: ms(1)}
}

func (f *full) postsTable() table {
	t := table{title: "One job in a request, from when it was due, ms", header: []string{"until", "requests/s", "p50", "p99", "longest", "jobs"}}
	for i, until := range []string{"it is accepted (202)", "its invoice is there (201, with `Prefer: wait`)"} {
		if i < len(f.Posts) {
			t.rows = append(t.rows, append([]string{until}, f.Posts[i].cells()...))
		}
	}
	return t
}

func (l *latency) cells() []string {
	return []string{thousands(float64(l.Rate)), fmt.Sprintf("%.1f", l.P50), fmt.Sprintf("%.1f", l.P99), fmt.Sprintf("%.1f", l.Longest), thousands(float64(l.Jobs))}
}
