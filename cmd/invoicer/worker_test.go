package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"invoicer/internal/await"
	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
)

// hold locks the counters, so that every job stops in the middle of its transaction; release lets them go on.
func (s *site) hold(t *testing.T) (release func()) {
	t.Helper()
	tx, err := s.DB.BeginTx(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback() })
	if _, err := tx.ExecContext(t.Context(), "INSERT INTO invoice_series (series, period, kind) VALUES ('INV', '', 'invoice')"); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := tx.Rollback(); err != nil {
			t.Error(err)
		}
	}
}

// awaitInHand returns once that many jobs are being worked on.
func (s *site) awaitInHand(t *testing.T, want int) {
	t.Helper()
	rig.Eventually(t, fmt.Sprintf("%d jobs in hand", want), func() bool {
		info, err := s.inspector.GetQueueInfo(s.queue)
		return err == nil && info.Active == want
	})
}

func TestWorkerDrains(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	s.must(t, "series", "open", "INV") // jobs of a series that is made go back to the queue while it is held
	s.enqueue(t, "T1", "T2", "T3")
	release := s.hold(t)
	w := s.start(t, "worker")
	s.awaitInHand(t, 3)
	w.signal(t, syscall.SIGTERM)
	w.await(t, "draining")
	release()
	if code := w.exit(t); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if n := s.Count(t, "SELECT count(*) FROM invoices"); n != 3 {
		t.Errorf("%d invoices of the 3 jobs in hand", n)
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	s.enqueue(t, "T1")
	release := s.hold(t)
	w := s.start(t, "worker")
	s.awaitInHand(t, 1)
	w.signal(t, syscall.SIGTERM)
	w.await(t, "draining")
	w.signal(t, syscall.SIGTERM)
	if code := w.exit(t); code != 1 { // while the job can't go on
		t.Errorf("exit code %d, want 1", code)
	}
	release()
	// Nothing is lost: once its lease has run out, the job is taken up by the next worker that starts.
	tasks, err := s.inspector.ListActiveTasks(s.queue)
	if err != nil || len(tasks) != 1 {
		t.Fatalf("%d jobs in hand, error %v", len(tasks), err)
	}
	rig.ExpireLease(t, s.rdb, s.queue, tasks[0].ID)
	s.start(t, "worker")
	s.awaitEnds(t, 1)
	if n := s.Count(t, "SELECT count(*) FROM invoices"); n != 1 {
		t.Errorf("%d invoices", n)
	}
}

func TestWorkerPages(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	w := s.start(t, "worker")
	url := w.pages(t)
	s.enqueue(t, "T1", "T1", "T1")
	s.awaitEnds(t, 3)
	for path, want := range map[string]string{
		"/livez":                         "alive",
		"/readyz":                        "ready",
		"/metrics":                       `invoicer_jobs_total{outcome="created",queue="` + s.queue + `"`,
		"/monitor/":                      "Asynq",
		"/monitor/api/queues/" + s.queue: s.queue,
	} {
		if code, body := get(t, url+path); code != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d %.200s", path, code, body)
		}
	}
	foreignHost := func(r *http.Request) { r.Host = "evil.example" }
	if code, _ := get(t, url+"/monitor/", foreignHost); code != http.StatusForbidden {
		t.Errorf("the monitor answers a page of another name with %d", code)
	}
	foreignPage := func(r *http.Request) {
		r.Method = http.MethodPost
		r.Header.Set("Origin", "https://evil.example")
	}
	if code, _ := get(t, url+"/monitor/api/queues/"+s.queue+":pause", foreignPage); code != http.StatusForbidden {
		t.Errorf("another page's button is answered with %d", code)
	}
	taken := s.with("INVOICER_HTTP_ADDR=" + strings.TrimPrefix(url, "http://"))
	if code, _, stderr := taken.run(t, "", "worker"); code != 1 || !strings.Contains(stderr, "http.addr") || !strings.Contains(stderr, "address already in use") {
		t.Errorf("with a taken address: exit code %d, %s", code, stderr)
	}
}

func TestProfilesAreOffUnlessAskedFor(t *testing.T) {
	t.Parallel()
	const page = "/debug/pprof/goroutine?debug=1"
	s := sharedSite(t)
	off := s.start(t, "worker").pages(t)
	if code, _ := get(t, off+page); code != http.StatusNotFound {
		t.Errorf("by default: %d, want 404", code)
	}
	on := s.with("INVOICER_HTTP_PPROF=on").start(t, "worker").pages(t)
	if code, body := get(t, on+page); code != http.StatusOK || !strings.Contains(body, "goroutine profile") {
		t.Errorf("when asked for: %d %.80s", code, body)
	}
	if code, _ := get(t, on+page, func(r *http.Request) { r.Host = "elsewhere.example" }); code != http.StatusForbidden {
		t.Errorf("from elsewhere: %d, want 403", code)
	}
}

func TestWorkerOutlivesRedis(t *testing.T) {
	t.Parallel()
	server := sandboxtest.PrivateRedis(t)
	s := newSite(t, server.URL)
	w := s.start(t, "worker")
	url := w.pages(t)
	w.await(t, "worker started")
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	w.await(t, "is away")
	if code, body := get(t, url+"/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "redis") {
		t.Errorf("/readyz: %d %s", code, body)
	}
	if code, _ := get(t, url+"/livez"); code != http.StatusOK {
		t.Errorf("/livez: %d", code)
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.await(t, "is back")
	s.enqueue(t, "T1")
	s.awaitEnds(t, 1)
	w.signal(t, syscall.SIGTERM)
	if code := w.exit(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if n := strings.Count(w.stderr(), "level=ERROR"); n != 1 {
		t.Errorf("%d errors are logged for one outage:\n%s", n, w.stderr())
	}
}

func TestWorkerRefusesServersThatAreNotFit(t *testing.T) {
	t.Parallel()
	t.Run("not migrated", func(t *testing.T) {
		t.Parallel()
		_, empty := sandboxtest.Schema(t)
		s := sharedSite(t).with("INVOICER_DATABASE_SCHEMA=" + empty)
		if code, _, stderr := s.run(t, "", "worker"); code != 1 || !strings.Contains(stderr, "invoicer migrate up") {
			t.Errorf("exit code %d, %s", code, stderr)
		}
	})
	t.Run("an evicting Redis", func(t *testing.T) {
		t.Parallel()
		server := sandboxtest.PrivateRedis(t)
		s := newSite(t, server.URL)
		if err := s.rdb.ConfigSet(t.Context(), "maxmemory-policy", "volatile-lru").Err(); err != nil {
			t.Fatal(err)
		}
		if code, _, stderr := s.run(t, "", "worker"); code != 1 || !strings.Contains(stderr, "noeviction") {
			t.Errorf("exit code %d, %s", code, stderr)
		}
	})
	t.Run("a Redis that wants a password", func(t *testing.T) {
		t.Parallel()
		server := sandboxtest.PrivateRedis(t)
		s := newSite(t, server.URL)
		if err := s.rdb.ConfigSet(t.Context(), "requirepass", "secret").Err(); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		code, _, stderr := s.run(t, "", "worker")
		if code != 1 || !strings.Contains(stderr, "redis at") || time.Since(begun) > await.DefaultTimeout {
			t.Errorf("exit code %d after %s, %s", code, time.Since(begun), stderr)
		}
	})
	t.Run("a schema of a newer release", func(t *testing.T) {
		t.Parallel()
		s := sharedSite(t)
		if _, err := s.DB.ExecContext(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)"); err != nil {
			t.Fatal(err)
		}
		s.start(t, "worker").pages(t)
	})
}

// The address of a server that isn't there is named, and its password isn't.
func TestErrorsTellNoPassword(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close() // nobody answers there any more
	s := sharedSite(t)
	for name, changed := range map[string]*site{
		"postgres": s.with("INVOICER_DATABASE_URL=postgres://me:s3cr3t@" + address + "/invoicer"),
		"redis":    s.with("INVOICER_REDIS_URL=redis://me:s3cr3t@" + address + "/0"),
	} {
		p := changed.start(t, "worker")
		line := p.await(t, "waiting up to")
		if !strings.Contains(line, name+" at "+address) {
			t.Errorf("%s: %s", name, line)
		}
		p.signal(t, syscall.SIGTERM)
		if code := p.exit(t); code != 1 {
			t.Errorf("%s: exit code %d", name, code)
		}
		if strings.Contains(p.stderr()+p.stdout.String(), "s3cr3t") {
			t.Errorf("%s: the password is told: %s", name, p.stderr())
		}
	}
}
