package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"invoicer/internal/report"
	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/invoice"
	"invoicer/web/api"
)

// counting counts questions about the ends of jobs.
type counting struct {
	api.Reports
	questions, asked atomic.Int64
}

func (c *counting) JobStates(ctx context.Context, ids []string, ended bool) (map[string]*report.JobState, error) {
	if ended {
		c.questions.Add(1)
		c.asked.Add(int64(len(ids)))
	}
	return c.Reports.JobStates(ctx, ids, ended)
}

// A thousand clients that wait cost a few statements, and none once nobody waits.
func TestAThousandWait(t *testing.T) {
	t.Parallel()
	const clients = 1000
	var counted *counting
	s := setup(t, func(o *api.Options) {
		counted = &counting{Reports: o.Reports}
		o.Reports = counted
	})
	s.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}} // the oracle would take most of the time
	t.Cleanup(s.client.CloseIdleConnections)
	const wait = 30 * time.Second
	replies := make(chan reply, clients)
	var ended atomic.Bool
	var toldByWaiting atomic.Int64 // of clients whose request had begun before the jobs ended
	begun := time.Now()
	for i := range clients {
		go func() {
			for attempt := 1; ; attempt++ {
				began, before := time.Now(), !ended.Load()
				r, err := s.try(t.Context(), "nightly", http.MethodPost, "/v1/jobs?queue="+s.Queue, bytes.NewReader(jobOf(fmt.Sprintf("T%d", i))), "Prefer", fmt.Sprintf("wait=%.0f", wait.Seconds()), "Idempotency-Key", fmt.Sprint(i))
				switch took := time.Since(began); {
				case err != nil:
					t.Error(err)
				case r.StatusCode == http.StatusServiceUnavailable: // so many at once
					after, _ := strconv.Atoi(r.Header.Get("Retry-After"))
					time.Sleep(time.Duration(after*min(attempt, 10)) * time.Second) // a thousand that don't wait, as they are asked to, keep a small machine from all else
					continue
				case stillWaits(r) && before && took >= wait: // on a busy machine its wait is over before all have begun, or before the end is seen
					continue
				case before:
					toldByWaiting.Add(1)
				}
				replies <- r
				return
			}
		}()
	}
	rig.Within(t, 4*time.Minute, func() error { // some dozens of them at a time, on however busy a machine
		if n := s.Count(t, "SELECT count(*) FROM invoice_jobs"); n < clients {
			return fmt.Errorf("%d of %d jobs are in the ledger", n, clients)
		}
		return nil
	})
	waitBegan := counted.questions.Load()
	time.Sleep(2 * time.Second) // in which they wait
	if n := counted.questions.Load() - waitBegan; n == 0 || n > 60 {
		t.Errorf("%d questions in two seconds", n)
	}
	s.Exec(t, "UPDATE invoice_jobs SET state = 'failed', outcome = 'failed', reason = 'r'")
	ended.Store(true)
	for range clients {
		r := <-replies
		var a api.JobAnswer
		if err := json.Unmarshal(r.body, &a); err != nil || r.StatusCode != http.StatusAccepted || a.State != "failed" {
			t.Errorf("%s", r)
		}
	}
	after := counted.questions.Load()
	t.Logf("%d questions about %d jobs in %v, %d clients told by the request that waited", after, counted.asked.Load(), time.Since(begun), toldByWaiting.Load())
	if toldByWaiting.Load() < clients/2 { // the waits of others were over in that moment
		t.Errorf("%d of %d clients were told of the end by the request that waited", toldByWaiting.Load(), clients)
	}
	time.Sleep(100 * time.Millisecond) // nothing tells that nothing is asked
	if n := counted.questions.Load(); n != after {
		t.Errorf("%d questions while nobody waits", n-after)
	}
}

// stillWaits reports whether an answer came before its job has ended.
func stillWaits(r reply) bool {
	var a api.JobAnswer
	return r.StatusCode == http.StatusAccepted && json.Unmarshal(r.body, &a) == nil && a.State == ""
}

// The limit of a token is one for all processes. Without Redis there is none.
func TestTheLimitIsOneForAllProcesses(t *testing.T) {
	t.Parallel()
	r := rig.New(t)
	const rate = 20
	limited := func(o *api.Options) {
		l := api.NewRedisLimit(r.Redis, func(context.Context) (string, error) { return r.Schema, nil }, rate)
		l.Patience = rig.Patience // however busy the machine is
		o.Limit = l
	}
	one, other := serve(t, r, limited), serve(t, r, limited)
	var passed, refused atomic.Int64
	begun := time.Now()
	var clients sync.WaitGroup
	for i := range 4 * rate {
		s := []*site{one, other}[i%2]
		clients.Go(func() {
			switch answer := s.ask(t, "reader", http.MethodGet, "/v1/series", nil); answer.StatusCode {
			case http.StatusOK:
				passed.Add(1)
			case http.StatusTooManyRequests:
				if refused.Add(1); answer.Header.Get("Retry-After") == "" || !strings.Contains(answer.Header.Get("RateLimit-Policy"), "q=20;w=1") {
					t.Errorf("%s", answer)
				}
			default:
				t.Errorf("%s", answer)
			}
		})
	}
	clients.Wait()
	if most := rate + int64(rate*time.Since(begun).Seconds()) + 1; passed.Load() > most || refused.Load() == 0 {
		t.Errorf("%d passed, and %d were refused, in %v", passed.Load(), refused.Load(), time.Since(begun))
	}
	if r := one.ask(t, "operator", http.MethodGet, "/v1/series", nil); r.StatusCode != http.StatusOK {
		t.Errorf("another token: %s", r)
	}
	if r := one.ask(t, "local", http.MethodGet, "/v1/series", nil); r.StatusCode != http.StatusOK || r.Header.Get("RateLimit") != "" {
		t.Errorf("without a token: %s", r)
	}
	gone := rig.Connect(t, sandboxtest.Redis(t))
	gone.Close()
	without := serve(t, r, func(o *api.Options) {
		o.Limit = api.NewRedisLimit(gone, func(context.Context) (string, error) { return r.Schema, nil }, 1)
	})
	for range 5 {
		if r := without.ask(t, "reader", http.MethodGet, "/v1/series", nil); r.StatusCode != http.StatusOK {
			t.Errorf("without Redis: %s", r)
		}
	}
}

// A client that lost the answer, since the process died before or after the commit, gets the one answer that counts.
func TestACrashAroundTheCommit(t *testing.T) {
	t.Parallel()
	r := rig.New(t)
	var lost atomic.Bool
	s := serve(t, r, func(o *api.Options) { o.Ledger = forgetful{o.Ledger, &lost} })
	lost.Store(true)
	if r := s.post(t, "nightly", jobOf("T1"), "Idempotency-Key", "k"); r.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("%s", r)
	}
	s.ledgerHas(t, 1) // it was committed, and the answer was lost
	lost.Store(false)
	next := serve(t, r)
	first := into[api.JobAnswer](t, next.post(t, "nightly", jobOf("T1"), "Idempotency-Key", "k"), http.StatusAccepted)
	again := into[api.JobAnswer](t, s.post(t, "nightly", jobOf("T1"), "Idempotency-Key", "k"), http.StatusAccepted)
	if first != again || first.Status != "inserted" {
		t.Errorf("%+v, %+v", first, again)
	}
	s.ledgerHas(t, 1)
	if first.JobID != s.Text(t, "SELECT job_id FROM invoice_jobs") {
		t.Error("the answer names another job")
	}
}

// What the description calls a job is what the command schema prints.
func TestTheDescribedJobIsThatOfTheSchema(t *testing.T) {
	t.Parallel()
	a, err := api.New(api.Options{})
	if err != nil {
		t.Fatal(err)
	}
	text, err := a.Description()
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Components struct{ Schemas map[string]map[string]any }
	}
	schema, err := invoice.Schema()
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]any
	for into, text := range map[any][]byte{&document: text, &want: schema} {
		if err := json.Unmarshal(text, into); err != nil {
			t.Fatal(err)
		}
	}
	delete(want, "$schema")
	got, _ := json.Marshal(document.Components.Schemas["JobRequest"])
	if wanted, _ := json.Marshal(want); !slices.Equal(got, wanted) {
		t.Errorf("%.300s\nwant\n%.300s", got, wanted)
	}
}
