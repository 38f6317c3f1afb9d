package main

import (
	"net/http"
	"strings"
	"syscall"
	"testing"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/internal/sandbox/servers"
)

// A worker refuses a database that may lose what it has committed, naming the setting and how to mend it. If that is allowed, it works,
// and says so.
func TestWorkerRefusesADatabaseThatMayLoseCommits(t *testing.T) {
	t.Parallel()
	d := rig.DatabaseOn(t, durablePostgres(t).URL)
	allowed := newSiteOn(t, d.URL, d.Schema, sandboxtest.PrivateRedis(t).URL)
	s := allowed.with("INVOICER_ALLOW_UNSAFE=false")
	const reload, commit = "SELECT pg_reload_conf()", "ALTER DATABASE invoicer SET synchronous_commit = "

	w := s.start(t, "worker")
	if body := w.awaitReadyz(t, http.StatusOK); body != "ready\nversion: (devel)\n" || len(w.logged("WARN", "allow_unsafe")) > 0 {
		t.Errorf("on a safe database /readyz says %s", body)
	}
	w.signal(t, syscall.SIGTERM)
	w.exit(t)
	for _, c := range []struct {
		setting, value string
		begin, end     []string
	}{
		{"fsync", "off", []string{"ALTER SYSTEM SET fsync = off", reload}, []string{"ALTER SYSTEM RESET fsync", reload}},
		{"full_page_writes", "off", []string{"ALTER SYSTEM SET full_page_writes = off", reload}, []string{"ALTER SYSTEM RESET full_page_writes", reload}},
		{
			"synchronous_commit", "local",
			[]string{commit + "local", "ALTER SYSTEM SET synchronous_standby_names = 'gone'", reload},
			[]string{"ALTER SYSTEM RESET synchronous_standby_names", reload, commit + "on"},
		},
		{"synchronous_commit", "off", []string{commit + "off"}, nil}, // the last, for what follows
	} {
		for _, statement := range c.begin {
			s.execute(t, statement)
		}
		rig.Eventually(t, "the setting to hold", func() bool {
			fresh := rig.OpenDatabase(t, d.URL, d.Schema)
			defer fresh.DB.Close()
			return fresh.Text(t, "SELECT current_setting($1)", c.setting) == c.value
		})
		code, _, stderr := s.run(t, "", "worker")
		for _, want := range []string{"postgres at ", c.setting + " is " + c.value, c.setting + " ", "allow_unsafe"} {
			if code != exitFailed || !strings.Contains(stderr, want) || strings.Contains(strings.TrimSpace(stderr), "\n") {
				t.Errorf("%s %s: exit code %d, %s; want %q", c.setting, c.value, code, stderr, want)
			}
		}
		for _, statement := range c.end {
			s.execute(t, statement)
		}
	}
	code, stdout, stderr := s.run(t, "", "demo", "--transactions", "10")
	if code != exitFailed || stdout != "" || !strings.Contains(stderr, "synchronous_commit is off") {
		t.Errorf("demo: exit code %d, %s%s", code, stdout, stderr)
	}

	w = allowed.start(t, "worker")
	if body := w.awaitReadyz(t, http.StatusOK); body != "ready\nunsafe: synchronous_commit off\nversion: (devel)\n" {
		t.Errorf("/readyz says %s", body)
	}
	if lines := w.logged("WARN", "as allow_unsafe allows"); len(lines) != 1 || !strings.Contains(lines[0], `settings="synchronous_commit off"`) {
		t.Errorf("the log has %q", lines)
	}
	s.enqueue(t, "T1")
	s.awaitEnds(t, 1)
}

// A worker begins no job while a setting that was changed since its start may lose commits.
func TestNoJobBeginsWhileCommitsMayBeLost(t *testing.T) {
	t.Parallel()
	d := rig.DatabaseOn(t, durablePostgres(t).URL)
	allowed := newSiteOn(t, d.URL, d.Schema, sandboxtest.Redis(t))
	s := newSiteOn(t, d.URL, d.Schema, sandboxtest.Redis(t)).with("INVOICER_ALLOW_UNSAFE=false")
	w := s.start(t, "worker")
	w.awaitReadyz(t, http.StatusOK)
	allowed.start(t, "worker").awaitReadyz(t, http.StatusOK)
	s.execute(t, "ALTER SYSTEM SET synchronous_commit = off")
	s.execute(t, "SELECT pg_reload_conf()")
	if body := w.awaitReadyz(t, http.StatusServiceUnavailable); !strings.Contains(body, "synchronous_commit is off") {
		t.Errorf("/readyz says %s", body)
	}
	s.enqueue(t, "T1")
	allowed.enqueue(t, "A1") // by its end, the other one would have ended, too
	allowed.awaitEnds(t, 1)
	s.execute(t, "ALTER SYSTEM RESET synchronous_commit")
	safe := s.Text(t, "SELECT clock_timestamp()::text")
	s.execute(t, "SELECT pg_reload_conf()")
	s.awaitEnds(t, 2)
	if !s.Is(t, "SELECT created_at > $1::timestamptz FROM invoices WHERE transaction_id = 'T1'", safe) {
		t.Error("a job was invoiced while its commit could get lost")
	}
	w.awaitReadyz(t, http.StatusOK)
}

// After a failover to a server that may lose commits, nothing is written there, not even by the first job that reaches it: each connection is
// looked at before it is used.
func TestNothingIsWrittenOnANewPrimaryThatMayLoseIt(t *testing.T) {
	t.Parallel()
	p := &pair{primary: durablePostgres(t, servers.PostgresOptions{Durable: true, TCP: true})}
	var err error
	p.standby, err = servers.StartStandby(t.Context(), p.primary, "standby1", servers.PostgresOptions{Durable: true, TCP: true})
	must(t, err)
	t.Cleanup(func() { must(t, p.standby.Close()) })
	rig.DatabaseOn(t, p.primary.URL)
	s := newSiteOn(t, p.url(t), "invoicer", sandboxtest.Redis(t)).with("INVOICER_ALLOW_UNSAFE=false")
	w := s.start(t, "worker")
	w.awaitReadyz(t, http.StatusOK)
	s.enqueue(t, "T0")
	s.awaitEnds(t, 1)
	after := *s
	after.Database = rig.OpenDatabase(t, p.standby.URL, s.Schema)
	rig.Eventually(t, "an invoice on the standby", func() bool { return after.numbers(t) == s.numbers(t) })
	for _, statement := range []string{"ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()"} {
		must(t, runSQL(p.standby.URL, statement))
	}
	must(t, s.inspector.PauseQueue(s.queue))
	jobs := jobsOf("T", 200)
	if code, _, stderr := s.run(t, jobs+payloadOf("T0", "GBP")+"\n", "enqueue", "-", "--queue", s.queue); code != exitOK {
		t.Fatalf("enqueue: exit code %d, %s", code, stderr)
	}
	must(t, p.primary.Kill())
	must(t, s.inspector.UnpauseQueue(s.queue))
	must(t, p.standby.Promote(t.Context()))
	const ends = "SELECT (SELECT count(*) FROM invoices) + (SELECT count(*) FROM duplicate_attempts)"
	rig.Eventually(t, "a worker that says why it waits", func() bool {
		_, body := get(t, w.pages(t)+"/readyz")
		return strings.Contains(body, "fsync is off")
	})
	if n := after.Count(t, ends); n != 1 {
		t.Errorf("%d jobs have ended where they may get lost", n-1)
	}
	must(t, runSQL(p.standby.URL, "ALTER SYSTEM SET fsync = on"))
	must(t, runSQL(p.standby.URL, "SELECT pg_reload_conf()"))
	after.awaitCount(t, 402, ends)
	w.awaitReadyz(t, http.StatusOK)
}

// What tests use as it is fast is allowed for tests alone.
func TestSandboxIsUnsafe(t *testing.T) {
	t.Parallel()
	d := rig.DatabaseOn(t, sandboxtest.PrivatePostgres(t).URL)
	s := newSiteOn(t, d.URL, d.Schema, sandboxtest.Redis(t)).with("INVOICER_ALLOW_UNSAFE=")
	code, _, stderr := s.run(t, "", "worker")
	if code != exitUsage {
		t.Errorf("an empty value: exit code %d, %s", code, stderr)
	}
	code, _, stderr = s.with("INVOICER_ALLOW_UNSAFE=false").run(t, "", "worker")
	if code != exitFailed || !strings.Contains(stderr, "fsync is off, and full_page_writes is off: ALTER SYSTEM SET fsync = on") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	s.with(servers.AllowUnsafe).start(t, "worker").awaitReadyz(t, http.StatusOK)
}
