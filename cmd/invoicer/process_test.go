package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/internal/sandbox/servers"
)

// A site is a schema and queue of a test's own, and the environment in which the program uses them.
type site struct {
	*rig.Database
	queue, redisURL string
	environ         []string
	rdb             redis.UniversalClient
	inspector       *asynq.Inspector
}

func newSite(t *testing.T, redisURL string) *site {
	t.Helper()
	d := rig.NewDatabase(t)
	return newSiteOn(t, d.URL, d.Schema, redisURL)
}

// newSiteOn takes a schema that is there already.
func newSiteOn(t *testing.T, url, schema, redisURL string) *site {
	t.Helper()
	s := &site{Database: rig.OpenDatabase(t, url, schema), queue: "q_" + uuid.NewString(), redisURL: redisURL}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "INVOICER_") && !strings.HasPrefix(v, "MAKELEVEL=") { // make may run the tests, but not the program
			s.environ = append(s.environ, v)
		}
	}
	s.environ = append(s.environ, "INVOICER_DATABASE_URL="+url, "INVOICER_DATABASE_SCHEMA="+schema, "INVOICER_REDIS_URL="+redisURL,
		"INVOICER_WORKER_QUEUES="+s.queue+"=1", "INVOICER_HTTP_ADDR=127.0.0.1:0", "INVOICER_LOG_FORMAT=text", servers.AllowUnsafe)
	var err error
	if s.rdb, err = openTestRedis(redisURL); err != nil {
		t.Fatal(err)
	}
	s.inspector = asynq.NewInspectorFromRedisClient(s.rdb)
	t.Cleanup(func() { s.rdb.Close() })
	if s.Is(t, "SELECT to_regclass('producer_queues') IS NOT NULL") {
		s.KnowQueue(t, s.queue)
	}
	return s
}

func (s *site) with(environ ...string) *site {
	changed := *s
	changed.environ = append(append([]string{}, s.environ...), environ...)
	return &changed
}

// awaitEnds returns once that many jobs have ended.
func (s *site) awaitEnds(t *testing.T, want int) {
	t.Helper()
	rig.Within(t, 2*time.Minute, func() error {
		got := s.Count(t, "SELECT (SELECT count(*) FROM invoices) + (SELECT count(*) FROM duplicate_attempts) + (SELECT count(*) FROM invoice_jobs WHERE state = 'failed')")
		if got < want {
			return fmt.Errorf("the ends of %d jobs, of which %d are there", want, got)
		}
		return nil
	})
}

// A process is the program, running as its users run it.
type process struct {
	*exec.Cmd
	stdout bytes.Buffer
	stdin  io.WriteCloser

	mu    sync.Mutex
	lines []string // of stderr
	grown chan struct{}
	ended chan struct{}
	err   error
}

func (s *site) start(t *testing.T, args ...string) *process {
	t.Helper()
	return s.startProgram(t, "invoicer", args...)
}

// startProgram starts the program under one of its names.
func (s *site) startProgram(t *testing.T, name string, args ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command(name, args...), grown: make(chan struct{}, 1), ended: make(chan struct{})}
	p.Env, p.Stdout = s.environ, &p.stdout
	dieWithParent(p.Cmd)
	stderr, err := p.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if p.stdin, err = p.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			p.mu.Lock()
			p.lines = append(p.lines, lines.Text())
			p.mu.Unlock()
			select {
			case p.grown <- struct{}{}:
			default:
			}
		}
		p.err = p.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.Process.Kill()
		<-p.ended
		if t.Failed() {
			t.Logf("%s %v:\n%s", name, args, p.stderr())
		}
	})
	return p
}

func (p *process) stderr() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.lines, "\n")
}

// said tells whether a line on stderr contains the text.
func (p *process) said(text string) bool { return strings.Contains(p.stderr(), text) }

// await returns the first line on stderr that contains the text.
func (p *process) await(t *testing.T, text string) string {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		p.mu.Lock()
		for _, line := range p.lines {
			if strings.Contains(line, text) {
				p.mu.Unlock()
				return line
			}
		}
		p.mu.Unlock()
		select {
		case <-p.grown:
		case <-p.ended:
			if !strings.Contains(p.stderr(), text) {
				t.Fatalf("ended (%v) without a word of %q", p.err, text)
			}
		case <-deadline:
			t.Fatalf("not a word of %q", text)
		}
	}
}

// pages returns the URL of a worker's pages.
func (p *process) pages(t *testing.T) string {
	t.Helper()
	_, url, _ := strings.Cut(p.await(t, "pages are served"), " url=")
	url, _, _ = strings.Cut(url, " ")
	return url
}

func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// exit waits for the end and returns the exit code.
func (p *process) exit(t *testing.T) int {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(2 * time.Minute):
		t.Fatal("doesn't end")
	}
	var exit *exec.ExitError
	if errors.As(p.err, &exit) {
		return exit.ExitCode()
	}
	if p.err != nil {
		t.Fatal(p.err)
	}
	return 0
}

// run runs the program to its end with the given standard input.
func (s *site) run(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	p := s.start(t, args...)
	if _, err := io.WriteString(p.stdin, stdin); err != nil {
		t.Fatal(err)
	}
	p.stdin.Close()
	code = p.exit(t)
	return code, p.stdout.String(), p.stderr()
}

// enqueue puts jobs of one line each into the queue.
func (s *site) enqueue(t *testing.T, transactionIDs ...string) {
	t.Helper()
	var lines strings.Builder
	for _, id := range transactionIDs {
		fmt.Fprintf(&lines, `{"transaction_id":%q,"issued_at":"2010-12-01T08:26:00Z","currency":"GBP","lines":[{"quantity":1,"unit_price":"2.55"}]}`+"\n", id)
	}
	if code, _, stderr := s.run(t, lines.String(), "enqueue", "-", "--queue", s.queue); code != 0 {
		t.Fatalf("enqueue exits with %d: %s", code, stderr)
	}
}

func get(t *testing.T, url string, change ...func(*http.Request)) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range change {
		f(r)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func sharedSite(t *testing.T) *site {
	t.Helper()
	return newSite(t, sandboxtest.Redis(t))
}
