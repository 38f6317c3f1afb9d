package main

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"testing"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/internal/sandbox/servers"

	"github.com/hibiken/asynq"
)

func TestMigrateWaitsForTheDatabase(t *testing.T) {
	t.Parallel()
	postgres, err := servers.StartPostgres(t.Context(), servers.PostgresOptions{TCP: true})
	must(t, err)
	t.Cleanup(func() { must(t, postgres.Close()) })
	address, err := url.Parse(postgres.URL)
	must(t, err)
	must(t, postgres.Kill())

	s := &site{environ: []string{"INVOICER_DATABASE_URL=" + postgres.URL}}
	p := s.start(t, "migrate", "up", "--wait", "1m")
	p.await(t, "invoicer: waiting up to 1m0s for postgres at "+address.Host+"/invoicer: connect: connection refused")
	must(t, postgres.Restart(t.Context()))
	if code := p.exit(t); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	p.await(t, "answers after")
	if got := p.stdout.String(); !strings.HasPrefix(got, "applied 00001_invoices.sql\n") {
		t.Errorf("stdout %q", got)
	}
}

func TestMigrateMistakes(t *testing.T) {
	t.Parallel()
	database, err := url.Parse(sandboxtest.Database(t))
	must(t, err)
	missing := *database
	missing.Path = "/nowhere"
	for address, says := range map[string]string{
		missing.String():                    `database "nowhere" does not exist: create it first, by createdb or by CREATE DATABASE in psql`,
		"postgres://u:sesame@127.0.0.1:1/x": "postgres at 127.0.0.1:1/x does not answer (waited for 1ms): connect: connection refused",
	} {
		for _, step := range []string{"up", "down", "status"} {
			code, out, errs := runCommand(t, []string{"INVOICER_DATABASE_URL=" + address}, "migrate", step, "--wait", "1ms")
			if code != exitFailed || out != "" || !strings.HasSuffix(errs, says+"\n") || strings.Contains(errs, "sesame") {
				t.Errorf("%s %s: exit code %d, stdout %q, stderr %q, want %q", address, step, code, out, errs, says)
			}
		}
	}
}

func (s *site) version(t *testing.T) int {
	t.Helper()
	return s.Count(t, "SELECT max(version_id) FROM goose_db_version")
}

// A step down takes from under a worker what it works with.
func TestMigrateDownBesideAWorker(t *testing.T) {
	t.Parallel()
	t.Run("that the ledger knows", func(t *testing.T) {
		t.Parallel()
		s := sharedSite(t)
		worker := s.start(t, "worker")
		s.awaitCount(t, 1, "SELECT count(*) FROM ledger_queues WHERE expires_at > now()")
		before := s.version(t)
		want := "worker " + s.Text(t, "SELECT holder FROM ledger_queues") + " is alive (" + s.queue + ")"
		// Redis doesn't matter then.
		for _, environ := range []string{"", "INVOICER_REDIS_URL=redis://127.0.0.1:1/0"} {
			if code, stdout, stderr := s.with(environ).run(t, "y\n", "migrate", "down"); code != exitFailed || stdout != "" || !strings.Contains(stderr, want) || !strings.Contains(stderr, "--force") {
				t.Errorf("exit code %d, stdout %q, stderr %q, want %q", code, stdout, stderr, want)
			}
		}
		worker.signal(t, syscall.SIGTERM)
		worker.exit(t)
		if got := s.version(t); got != before {
			t.Errorf("version %d, want %d", got, before)
		}
		s.must(t, "migrate", "down")
		if got := s.version(t); got >= before {
			t.Errorf("version %d after the worker's end, want less than %d", got, before)
		}
	})
	t.Run("that only Redis knows", func(t *testing.T) {
		t.Parallel()
		s := sharedSite(t)
		worker := s.start(t, "worker")
		worker.await(t, "worker started")
		s.awaitCount(t, 1, "SELECT count(*) FROM ledger_queues WHERE expires_at > now()")
		rig.Eventually(t, "the worker's first heartbeat", func() bool {
			servers, err := s.inspector.Servers()
			must(t, err)
			return slices.ContainsFunc(servers, func(one *asynq.ServerInfo) bool { return one.PID == worker.Process.Pid })
		})
		worker.signal(t, syscall.SIGSTOP) // it renews nothing any more, and may go on at any time
		s.change(t, "UPDATE ledger_queues SET expires_at = now()")
		want := fmt.Sprintf(", process %d, within the last 10 seconds", worker.Process.Pid)
		if code, _, stderr := s.run(t, "", "migrate", "down"); code != exitFailed || !strings.Contains(stderr, want) {
			t.Errorf("exit code %d, stderr %q, want %q", code, stderr, want)
		}
	})
	t.Run("of another schema", func(t *testing.T) {
		t.Parallel()
		other := sharedSite(t)
		other.start(t, "worker")
		other.awaitCount(t, 1, "SELECT count(*) FROM ledger_queues WHERE expires_at > now()")
		sharedSite(t).must(t, "migrate", "down")
	})
}

func TestMigrateDownOverInvoices(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	worker := s.start(t, "worker")
	s.enqueue(t, "T1", "T2", "T2")
	s.awaitEnds(t, 3)
	worker.signal(t, syscall.SIGTERM)
	worker.exit(t)
	before := s.version(t)
	for range 2 { // each time
		code, stdout, stderr := s.run(t, "", "migrate", "down")
		if code != exitFailed || stdout != "" || !strings.Contains(stderr, "it holds 2 invoices, 1 recorded duplicate\n") || s.version(t) != before {
			t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
		}
	}
	s.must(t, "migrate", "down", "--force")
	if s.version(t) == before {
		t.Error("--force takes nothing back")
	}
}
