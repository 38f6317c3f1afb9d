package main

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	upgradetest "invoicer/internal/upgrade"
)

// jobsOf makes a file of jobs, each of which is there twice.
func jobsOf(prefix string, n int) string {
	var b strings.Builder
	for range 2 {
		for i := range n {
			b.WriteString(payloadOf(fmt.Sprintf("%s-%d", prefix, i), "GBP") + "\n")
		}
	}
	return b.String()
}

// runProgram is as run, with the program of another release.
func (s *site) runProgram(t *testing.T, program, stdin string, args ...string) {
	t.Helper()
	p := s.startProgram(t, program, args...)
	if _, err := p.stdin.Write([]byte(stdin)); err != nil {
		t.Fatal(err)
	}
	p.stdin.Close()
	if code := p.exit(t); code != exitOK {
		t.Fatalf("%s %v: exit code %d: %s", program, args, code, p.stderr())
	}
}

// TestHeavyBesideTheReleaseBefore upgrades under load and rolls the program back: the release before works on the schema before, while it
// is migrated, after it, beside this release, and after this release is gone again.
func TestHeavyBesideTheReleaseBefore(t *testing.T) {
	if testing.Short() {
		t.Skip("it is a heavy one")
	}
	t.Parallel()
	before := upgradetest.Program(t)
	s := newSiteWithout(t)
	s.runProgram(t, before, "", "migrate", "up")
	const n = 100
	ends := 0
	// load asks by one release for invoices, through Redis and through the ledger, for each of them twice.
	load := func(program, prefix string) {
		t.Helper()
		s.runProgram(t, program, jobsOf(prefix+"-direct", n), "enqueue", "-", "--queue", s.queue)
		s.runProgram(t, program, jobsOf(prefix+"-durable", n), "enqueue", "-", "--queue", s.queue, "--durable")
		ends += 4 * n
	}
	stop := func(p *process) {
		t.Helper()
		p.signal(t, syscall.SIGTERM)
		if code := p.exit(t); code != exitOK {
			t.Errorf("exit code %d: %s", code, p.stderr())
		}
	}
	pending := s.startProgram(t, "invoicer", "migrate", "status").exit(t) == exitFailed
	if pending { // this release says what it needs, and doesn't work on the schema before
		if code, _, stderr := s.run(t, "", "worker"); code != exitFailed || !strings.Contains(stderr, "run `invoicer migrate up`") {
			t.Errorf("exit code %d, stderr %s", code, stderr)
		}
	}
	old := s.startProgram(t, before, "worker")
	old.await(t, "worker started")
	load(before, "schema-before")
	s.awaitEnds(t, ends)

	load(before, "migrating")
	s.must(t, "migrate", "up")
	if code := s.startProgram(t, "invoicer", "migrate", "status").exit(t); code != exitOK {
		t.Errorf("migrate status exits with %d after migrate up", code)
	}
	s.awaitEnds(t, ends)
	load(before, "schema-after")
	s.awaitEnds(t, ends)

	recent := s.start(t, "worker")
	recent.await(t, "worker started")
	load(before, "both-asked-by-the-old")
	load("invoicer", "both-asked-by-the-new")
	s.awaitEnds(t, ends)
	erase := []string{"erase", "--customer", "17850", "--reason", "a test", "--yes", "--by", "ada"}
	if code, _, stderr := s.run(t, "", erase...); code != exitFailed || !strings.Contains(stderr, "workers of an earlier release run") {
		t.Errorf("erase beside the release before: exit code %d, stderr %s", code, stderr)
	}
	stop(old)
	s.must(t, erase...)
	load("invoicer", "new-alone")
	s.awaitEnds(t, ends)

	stop(recent)
	old = s.startProgram(t, before, "worker")
	old.await(t, "worker started")
	load(before, "rolled-back")
	s.awaitEnds(t, ends)
	stop(old)

	if invoices, attempts := s.Count(t, "SELECT count(*) FROM invoices"), s.Count(t, "SELECT count(*) FROM duplicate_attempts"); invoices != ends/2 || attempts != ends/2 {
		t.Errorf("%d invoices and %d duplicates of %d jobs", invoices, attempts, ends)
	}
	if code, stdout, stderr := s.run(t, "", "audit"); code != exitOK {
		t.Errorf("audit: exit code %d\n%s%s", code, stdout, stderr)
	}
}
