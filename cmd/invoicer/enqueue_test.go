package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"

	"github.com/hibiken/asynq"

	"invoicer/internal/rig"
	"invoicer/internal/sample"
	"invoicer/internal/sandbox/servers"
	"invoicer/invoice"
)

// payloads are those of all jobs that wait in the site's queue, in order.
func (s *site) payloads(t *testing.T) (all []string) {
	t.Helper()
	for page := 1; ; page++ {
		tasks, err := s.inspector.ListPendingTasks(s.queue, asynq.Page(page), asynq.PageSize(1000))
		if err != nil {
			t.Fatal(err)
		}
		if len(tasks) == 0 {
			return all
		}
		for _, task := range tasks {
			all = append(all, string(task.Payload))
		}
	}
}

// awaitQueued returns once that many jobs wait in the queue.
func (s *site) awaitQueued(t *testing.T, want int) {
	t.Helper()
	rig.Await(t, func() error {
		got, err := countQueued(s.redisURL, s.queue)
		if err != nil {
			t.Fatal(err)
		}
		if got < want {
			return fmt.Errorf("%d jobs in the queue, of which %d are there", want, got)
		}
		return nil
	})
}

func sampleLines(t *testing.T, n int) []string {
	t.Helper()
	g := sample.New(sample.Options{MaxLines: 10})
	lines := make([]string, n)
	for i := range lines {
		job := g.Next()
		payload, err := job.Encode()
		if err != nil {
			t.Fatal(err)
		}
		lines[i] = string(payload)
	}
	return lines
}

func write(t *testing.T, w io.Writer, lines []string) {
	t.Helper()
	for _, line := range lines {
		if _, err := io.WriteString(w, line+"\n"); err != nil {
			t.Fatal(err)
		}
	}
}

// wantCopies wants every line in the queue, so many times at least and, from the given line on, so many times more at
// most.
func (s *site) wantCopies(t *testing.T, lines []string, copies, more, from int) {
	t.Helper()
	count := make(map[string]int)
	for _, payload := range s.payloads(t) {
		count[payload]++
	}
	for i, line := range lines {
		atMost := copies
		if i+1 >= from {
			atMost += more
		}
		if got := count[line]; got < copies || got > atMost {
			t.Errorf("line %d is in the queue %d times, want %d to %d", i+1, got, copies, atMost)
		}
		delete(count, line)
	}
	for payload := range count {
		t.Errorf("in the queue, and no line: %.100s", payload)
	}
}

func TestEnqueueSendsALineAsItIs(t *testing.T) {
	t.Parallel()
	const (
		odd   = `{ "lines":[{"unit_price":2.50,"quantity":"1e1","sku":null}],"currency":"GBP", "issued_at":"2010-12-01t09:26:00+01:00","transaction_id":"\u0041"}`
		named = `{"producer":"checkout","lines":[{"unit_price":2.50,"quantity":1}],"currency":"GBP","issued_at":"2010-12-01T09:26:00Z","transaction_id":"B"}`
	)
	s := sharedSite(t)
	if code, _, stderr := s.run(t, odd+"\r\n"+named, "enqueue", "-", "--queue", s.queue); code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	if got := s.payloads(t); len(got) != 2 || got[0]+got[1] != odd+named && got[1]+got[0] != odd+named {
		t.Errorf("queued %q", got)
	}

	s = sharedSite(t)
	if code, _, stderr := s.run(t, odd+"\n"+named, "enqueue", "-", "--queue", s.queue, "--producer", "nightly"); code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	producers := make(map[string]string)
	for _, payload := range s.payloads(t) {
		job, err := invoice.Decode([]byte(payload))
		if err != nil {
			t.Fatal(err)
		}
		producers[job.TransactionID] = job.Producer
		if original, err := invoice.Decode([]byte(odd)); err != nil || job.TransactionID == "A" && job.Fingerprint() != original.Fingerprint() {
			t.Errorf("naming a producer made it other content: %s, %v", payload, err)
		}
	}
	if want := map[string]string{"A": "nightly", "B": "checkout"}; fmt.Sprint(producers) != fmt.Sprint(want) {
		t.Errorf("producers %v, want %v", producers, want)
	}
}

// Redis goes away while jobs are on their way, and comes back in time.
func TestEnqueueOutlivesAnOutage(t *testing.T) {
	t.Parallel()
	for name, outage := range map[string]struct {
		begin, end func(*testing.T, *servers.Server)
	}{
		"killed": {
			func(t *testing.T, redis *servers.Server) { must(t, redis.Kill()) },
			func(t *testing.T, redis *servers.Server) { must(t, redis.Restart(t.Context())) },
		},
		"hung": {
			func(t *testing.T, redis *servers.Server) { must(t, redis.Pause()) },
			func(t *testing.T, redis *servers.Server) { must(t, redis.Resume()) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			redis, s := durableSite(t)
			const copies = 3
			lines := sampleLines(t, 200)
			p := s.start(t, "enqueue", "-", "--queue", s.queue, "--copies", fmt.Sprint(copies), "--wait", "1m")
			write(t, p.stdin, lines[:100])
			s.awaitQueued(t, 100*copies)
			outage.begin(t, redis)
			write(t, p.stdin, lines[100:])
			must(t, p.stdin.Close())
			if line := p.await(t, "waiting up to 1m0s for redis at "); !strings.Contains(line, redis.URL[len("unix://"):]) {
				t.Errorf("%q doesn't say where Redis is", line)
			}
			outage.end(t, redis)
			if code := p.exit(t); code != exitOK {
				t.Fatalf("exit code %d: %s", code, p.stderr())
			}
			if n := strings.Count(p.stderr(), "waiting up to"); n != 1 {
				t.Errorf("it says %d times that it waits", n)
			}
			// Whose answer was lost is asked for again, and so may be there twice.
			s.wantCopies(t, lines, copies, copies, 101)
		})
	}
}

// Redis stays away for too long; afterwards the same input is enqueued from the line that was named.
func TestEnqueueNamesTheLineToResumeFrom(t *testing.T) {
	t.Parallel()
	redis, s := durableSite(t)
	const copies, before = 2, 60
	lines := sampleLines(t, 100)
	enqueue := []string{"enqueue", "-", "--queue", s.queue, "--copies", fmt.Sprint(copies), "--json", "--wait", "200ms"}

	p := s.start(t, enqueue...)
	write(t, p.stdin, lines[:before])
	s.awaitQueued(t, before*copies)
	must(t, redis.Kill())
	write(t, p.stdin, lines[before:])
	if code := p.exit(t); code != exitFailed {
		t.Fatalf("exit code %d: %s", code, p.stderr())
	}
	p.await(t, "does not answer (waited for 200ms): connect: ") // and not what the queue's library makes of it
	p.await(t, fmt.Sprintf("go on with --from-line %d; that is safe", before+1))
	var summary enqueueSummary
	must(t, json.Unmarshal(p.stdout.Bytes(), &summary))
	if summary.Resume == nil || *summary.Resume != before+1 || summary.Enqueued != before*copies {
		t.Fatalf("summary %s", p.stdout.String())
	}

	must(t, redis.Restart(t.Context()))
	code, _, stderr := s.run(t, strings.Join(lines, "\n"), append(enqueue, "--from-line", fmt.Sprint(*summary.Resume))...)
	if code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	s.wantCopies(t, lines, copies, copies, before+1)
}

func TestEnqueueEndsOnASignal(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			s := sharedSite(t)
			lines := sampleLines(t, 10)
			p := s.start(t, "enqueue", "-", "--queue", s.queue)
			write(t, p.stdin, lines)
			s.awaitQueued(t, len(lines))
			p.signal(t, signal) // while it waits for more
			if code := p.exit(t); code != exitFailed {
				t.Errorf("exit code %d", code)
			}
			p.await(t, "stopped by a signal")
			p.await(t, "go on with --from-line 11; that is safe")
			if want := "10 jobs of 10 lines enqueued"; !strings.HasPrefix(p.stdout.String(), want) {
				t.Errorf("stdout %q, want %q", p.stdout.String(), want)
			}
		})
	}
}

// To wait for these would be in vain.
func TestEnqueueGivesUpAtOnce(t *testing.T) {
	t.Parallel()
	redis, err := servers.StartRedis(t.Context(), servers.RedisOptions{Settings: map[string]string{"requirepass": "sesame"}})
	must(t, err)
	t.Cleanup(func() { must(t, redis.Close()) })
	path := strings.TrimPrefix(redis.URL, "unix://")
	for url, says := range map[string]string{
		redis.URL:                "invoicer: redis at " + path + ": NOAUTH ",
		"unix://:mellon@" + path: "invoicer: redis at " + path + ": WRONGPASS ",
		"unix://:sesame@" + path + "?db=99999999": "invoicer: redis at " + path + ": ERR DB index is out of range",
	} {
		code, stdout, stderr := runCommand(t, []string{"INVOICER_REDIS_URL=" + url}, "enqueue", "-", "--wait", "1h")
		if code != exitFailed || !strings.HasPrefix(stderr, says) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("exit code %d, stderr %q, want %q", code, stderr, says)
		}
		if strings.Contains(stdout+stderr, "sesame") || strings.Contains(stdout+stderr, "mellon") {
			t.Errorf("a password is in %q", stdout+stderr)
		}
	}
}

// durableSite has a Redis of its own that forgets nothing it has confirmed.
func durableSite(t *testing.T) (*servers.Server, *site) {
	t.Helper()
	redis, err := servers.StartRedis(t.Context(), servers.RedisOptions{Durable: true})
	must(t, err)
	t.Cleanup(func() { must(t, redis.Close()) })
	return redis, newSite(t, redis.URL)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
