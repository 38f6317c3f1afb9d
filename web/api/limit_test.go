package api_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"invoicer/internal/rig"
	"invoicer/web/api"
)

// A metered limiter notes what is counted.
type metered struct {
	mu       sync.Mutex
	requests int
	charged  []int
}

func (m *metered) Allow(context.Context, string) (api.Verdict, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests++
	return api.Verdict{Allowed: true, Rate: 100, Remaining: 99, Reset: 10 * time.Millisecond}, true
}

func (m *metered) Charge(_ context.Context, _ string, jobs int) (api.Verdict, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.charged = append(m.charged, jobs)
	return api.Verdict{Allowed: true, Rate: 100, Remaining: 42, Reset: time.Second}, true
}

// Each job of a batch counts, the first with its request.
func TestEachJobOfABatchCounts(t *testing.T) {
	t.Parallel()
	m := &metered{}
	s := setup(t, func(o *api.Options) { o.Limit = m })
	path := "/v1/jobs/batch?queue=" + s.Queue
	jobs := [][]byte{jobOf("T1"), jobOf("T2"), []byte("{}"), jobOf("T3")}
	r := s.ask(t, "nightly", http.MethodPost, path, fmt.Appendf(nil, "[%s]", bytes.Join(jobs, []byte(","))))
	if into[api.Batch](t, r, http.StatusOK); r.Header.Get("RateLimit") != `"token";r=42;t=1` {
		t.Errorf("%s", r)
	}
	into[api.Batch](t, s.ask(t, "nightly", http.MethodPost, path, []byte("["+string(jobs[0])+"]")), http.StatusOK)
	into[api.Batch](t, s.ask(t, "local", http.MethodPost, path, fmt.Appendf(nil, "[%s]", bytes.Join(jobs, []byte(",")))), http.StatusOK)
	s.ask(t, "nightly", http.MethodPost, path, bytes.Join(jobs, []byte("\n")), "Content-Type", "application/x-ndjson")
	s.ask(t, "nightly", http.MethodPost, path, []byte("{"))
	m.mu.Lock()
	defer m.mu.Unlock()
	sum := 0
	for _, n := range m.charged {
		sum += n
	}
	if m.requests != 4 || sum != 3+3 {
		t.Errorf("%d requests, and beside them %v", m.requests, m.charged)
	}
}

// Jobs of a batch beyond the limit are made up for by whoever sends next.
func TestABatchIsMadeUpFor(t *testing.T) {
	t.Parallel()
	r := rig.New(t)
	const rate = 20
	limit := api.NewRedisLimit(r.Redis, func(context.Context) (string, error) { return r.Schema, nil }, rate)
	limit.Patience = rig.Patience // however busy the machine is
	charge := func(token string, jobs int) api.Verdict {
		t.Helper()
		v, ok := limit.Charge(t.Context(), token, jobs)
		if !ok {
			t.Fatal("nothing is counted")
		}
		return v
	}
	if v := charge("few", 5); !v.Allowed || v.Remaining != rate-5 || v.Retry != 0 {
		t.Errorf("%+v", v)
	}
	if v := charge("all", rate); v.Allowed || v.Remaining != 0 || v.Retry <= 0 || v.Retry > time.Second/rate {
		t.Errorf("%+v", v)
	}
	v := charge("many", 10*rate)
	if v.Allowed || v.Remaining != 0 || v.Reset < 9*time.Second || v.Reset > 10*time.Second || v.Retry < 8*time.Second || v.Retry > v.Reset {
		t.Errorf("%+v", v)
	}
	if next, ok := limit.Allow(t.Context(), "many"); !ok || next.Allowed || next.Remaining != 0 || (next.Retry-v.Retry).Abs() > rig.Patience {
		t.Errorf("%+v", next)
	}

	s := serve(t, r, func(o *api.Options) { o.Limit = limit })
	const many = 30 * rate // for which it takes longer than the machine may be busy
	var jobs [][]byte
	for i := range many {
		jobs = append(jobs, jobOf(fmt.Sprint("T", i)))
	}
	batch := s.ask(t, "nightly", http.MethodPost, "/v1/jobs/batch?queue="+s.Queue, fmt.Appendf(nil, "[%s]", bytes.Join(jobs, []byte(","))))
	if into[api.Batch](t, batch, http.StatusOK).Accepted != many || !strings.HasPrefix(batch.Header.Get("RateLimit"), `"token";r=0;t=`) || batch.Header.Get("RateLimit") == `"token";r=0;t=0` || batch.Header.Get("RateLimit-Policy") != `"token";q=20;w=1` {
		t.Errorf("%s", batch.Header)
	}
	refused := s.post(t, "nightly", jobOf("T"))
	after, err := strconv.Atoi(refused.Header.Get("Retry-After"))
	if into[api.ProblemError](t, refused, http.StatusTooManyRequests); err != nil || after < 1 || after > many/rate {
		t.Errorf("%s", refused)
	}
}

// A stream is slowed down to its token's limit.
func TestAStreamIsSlowedDown(t *testing.T) {
	t.Parallel()
	r := rig.New(t)
	const rate = 20
	s := serve(t, r, func(o *api.Options) {
		limit := api.NewRedisLimit(r.Redis, func(context.Context) (string, error) { return r.Schema, nil }, rate)
		limit.Patience = rig.Patience
		o.Limit = limit
	})
	body, write := io.Pipe()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/v1/jobs/batch?queue="+s.Queue, body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-ndjson")
	request.Header.Set("Authorization", "Bearer nightly")
	go func() {
		var all strings.Builder
		for i := range 3 * rate {
			all.Write(append(jobOf(fmt.Sprint("T", i)), '\n'))
		}
		_, _ = io.WriteString(write, all.String())
		_, _ = write.Write(append(jobOf("last"), '\n'))
		write.Close()
	}()
	begun := time.Now()
	answer, err := s.oracle.next.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	n := 0
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); n++ {
		var one api.BatchResult
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil || one.Index != n || one.Status != "inserted" {
			t.Errorf("%v: %s", err, lines.Text())
		}
	}
	// The limit lets a second's worth through at once.
	if took := time.Since(begun); n != 3*rate+1 || took < 1900*time.Millisecond {
		t.Errorf("%d results after %v", n, took)
	}
}
