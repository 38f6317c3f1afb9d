package main

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/internal/sandbox/servers"
)

// After a failover the workers find the new primary by themselves, whether the old one is dead, hangs or goes on. Nothing that was acknowledged is
// lost where commits wait for a standby, and no series is paused then; else the series waits for `series recover`, and no number is on
// two documents. The old primary, which comes back where it hung, and which nobody has stopped where it goes on, isn't asked any more.
func TestFailovers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		synchronous bool
		hit         func(*servers.Server) error
	}{
		"synchronous, killed":   {true, (*servers.Server).Kill},
		"synchronous, hanging":  {true, (*servers.Server).Pause},
		"synchronous, running":  {true, func(*servers.Server) error { return nil }},
		"asynchronous, killed":  {false, (*servers.Server).Kill},
		"asynchronous, running": {false, func(*servers.Server) error { return nil }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			rig.DatabaseOn(t, p.primary.URL)
			if c.synchronous {
				p.awaitSynchronous(t)
			}
			s := newSiteOn(t, p.url(t), "invoicer", sandboxtest.Redis(t))
			workers := []*process{s.start(t, "worker"), s.start(t, "worker")}
			var jobs strings.Builder
			const asked = 400
			for i := range asked {
				fmt.Fprintln(&jobs, payloadOf(fmt.Sprintf("T%d", i), "GBP"))
			}
			if code, _, stderr := s.run(t, jobs.String(), "enqueue", "-", "--durable", "--queue", s.queue); code != exitOK {
				t.Fatalf("enqueue: exit code %d, %s", code, stderr)
			}
			after := *s
			after.Database = rig.OpenDatabase(t, p.standby.URL, s.Schema)
			rig.Eventually(t, "jobs and invoices on the standby", func() bool {
				return after.Is(t, "SELECT to_regclass('invoice_jobs') IS NOT NULL") && after.Count(t, "SELECT count(*) FROM invoice_jobs") == asked && after.Count(t, "SELECT count(*) FROM invoices") >= 50
			})
			must(t, c.hit(p.primary))
			must(t, p.standby.Promote(t.Context()))
			promoted := time.Now()
			after.Exec(t, "SELECT invoicer.accept(payload := $1, queue := $2)", payloadOf("after", "GBP"), s.queue)
			rig.Eventually(t, "the new primary to be found: a worker takes the job that it has accepted", func() bool {
				return after.Is(t, "SELECT state <> 'accepted' FROM invoice_jobs WHERE transaction_id = 'after'")
			})
			found := time.Since(promoted)
			rig.Eventually(t, "the job's invoice on the new primary, or a pause of its series", func() bool {
				return after.Is(t, `SELECT EXISTS (SELECT FROM invoices WHERE transaction_id = 'after') OR EXISTS (SELECT FROM series WHERE state = 'paused')`)
			})
			t.Logf("the new primary is found %v after its promotion, and gives out numbers, or refuses to, after %v",
				found.Round(time.Millisecond), time.Since(promoted).Round(time.Millisecond))
			if c.synchronous && after.Count(t, "SELECT count(*) FROM series WHERE state = 'paused'") > 0 {
				t.Error("a synchronous failover has paused a series")
			}
			if strings.HasSuffix(name, "hanging") {
				must(t, p.primary.Resume())
			}
			rig.Within(t, 2*time.Minute, func() error {
				// Until it leaves the old primary, which may be after the first recovery, the other worker gives out numbers there.
				if !c.synchronous && after.Is(t, "SELECT EXISTS (SELECT FROM series s WHERE state = 'paused' AND version = (SELECT max(version) FROM series WHERE series = s.series))") {
					after.must(t, "series", "recover", "INV", "--yes")
				}
				if n := after.Count(t, "SELECT count(*) FROM invoices"); n != asked+1 {
					return fmt.Errorf("%d invoices of %d", n, asked+1)
				}
				return nil
			})
			for _, w := range workers {
				w.signal(t, syscall.SIGTERM)
				if code := w.exit(t); code != exitOK {
					t.Errorf("worker: exit code %d", code)
				}
			}
			if code, stdout, stderr := after.run(t, "", "audit"); code != exitOK {
				t.Errorf("audit: exit code %d, %s%s", code, stdout, stderr)
			}
		})
	}
}

// A worker whose very first job hangs at a primary that stops answering breaks it off once another one is promoted: it needn't have looked
// at the old one's counters before.
func TestAFirstJobLeavesAPrimaryThatHangs(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	rig.DatabaseOn(t, p.primary.URL)
	p.awaitSynchronous(t)
	s := newSiteOn(t, p.url(t), "invoicer", sandboxtest.Redis(t))
	s.must(t, "series", "open", "INV")
	s.hold(t)
	s.start(t, "worker")
	s.enqueue(t, "T1")
	rig.Eventually(t, "a job that waits for its counter", func() bool {
		return s.Is(t, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock')")
	})
	must(t, p.primary.Pause())
	must(t, p.standby.Promote(t.Context()))
	promoted := time.Now()
	after := *s
	after.Database = rig.OpenDatabase(t, p.standby.URL, "invoicer")
	after.awaitCount(t, 1, "SELECT count(*) FROM invoices")
	took := time.Since(promoted).Round(time.Millisecond)
	must(t, p.primary.Resume())
	if t.Logf("the job is invoiced %v after the promotion", took); took > 10*time.Second {
		t.Errorf("the job is invoiced %v after the promotion", took)
	}
}

// A command uses the primary that was promoted last, though nobody has stopped the one that its URL names first.
func TestCommandsUseTheNewestPrimary(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	rig.DatabaseOn(t, p.primary.URL)
	s := newSiteOn(t, p.url(t), "invoicer", sandboxtest.Redis(t))
	next := rig.OpenDatabase(t, p.standby.URL, "invoicer")
	const migrated = "SELECT CASE WHEN to_regclass('goose_db_version') IS NULL THEN 0 ELSE (xpath('//row/n/text()', query_to_xml('SELECT count(*) AS n FROM goose_db_version', false, true, '')))[1]::text::int END"
	rig.Eventually(t, "a standby that has all", func() bool { return next.Count(t, migrated) == s.Count(t, migrated) })
	must(t, p.standby.Promote(t.Context()))
	s.must(t, "series", "open", "NEW")
	s.with("INVOICER_DATABASE_SCHEMA=other").must(t, "migrate", "up")
	must(t, runSQL(p.primary.URL, "ALTER TABLE invoicer.invoices DISABLE TRIGGER invoices_immutable"))
	s.must(t, "audit")
	for url, want := range map[string]int{p.primary.URL: 0, p.standby.URL: 1} {
		database := rig.OpenDatabase(t, url, "invoicer")
		if got := database.Count(t, "SELECT count(*) FROM series WHERE series = 'NEW'"); got != want {
			t.Errorf("%s has %d", url, got)
		}
		if got := database.Count(t, "SELECT count(*) FROM pg_namespace WHERE nspname = 'other'"); got != want {
			t.Errorf("%s has %d migrated schemas", url, got)
		}
	}
}

// After a failover the old primary is rewound and follows the new one, and a planned switch makes it the primary again. Nobody restarts a
// worker meanwhile, nothing is lost, and no series is paused.
func TestSwitchBack(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	rig.DatabaseOn(t, p.primary.URL)
	p.awaitSynchronous(t)
	s := newSiteOn(t, p.url(t), "invoicer", sandboxtest.Redis(t))
	worker := s.start(t, "worker")
	worker.await(t, "worker started")
	asked := 0
	ask := func() {
		for range 20 {
			asked++
			s.enqueueSoon(t, fmt.Sprintf("T%d", asked))
		}
	}
	ask()
	must(t, p.primary.Kill())
	must(t, p.standby.Promote(t.Context()))
	ask()
	s.Database = rig.OpenDatabase(t, p.standby.URL, "invoicer")
	s.awaitCount(t, asked, "SELECT count(*) FROM invoices")

	rewound, err := p.primary.Rewind(t.Context(), p.standby.Server, "standby2")
	must(t, err)
	ask()
	must(t, p.standby.Stop(t.Context()))
	must(t, rewound.Promote(t.Context()))
	ask()
	s.Database = rig.OpenDatabase(t, p.primary.URL, "invoicer")
	s.awaitCount(t, asked, "SELECT count(*) FROM invoices")
	if n := s.Count(t, "SELECT count(*) FROM series WHERE state = 'paused'"); n > 0 {
		t.Error("a series was paused")
	}
	worker.signal(t, syscall.SIGTERM)
	if code := worker.exit(t); code != exitOK {
		t.Errorf("worker: exit code %d", code)
	}
	s.must(t, "audit")
}

// awaitSynchronous has commits wait for the standby.
func (p *pair) awaitSynchronous(t *testing.T) {
	t.Helper()
	must(t, runSQL(p.primary.URL, "ALTER SYSTEM SET synchronous_standby_names = 'standby1'"))
	must(t, runSQL(p.primary.URL, "SELECT pg_reload_conf()"))
	rig.Eventually(t, "a synchronous standby", func() bool {
		return rig.OpenDatabase(t, p.primary.URL, "invoicer").Is(t, "SELECT EXISTS (SELECT FROM pg_stat_replication WHERE sync_state = 'sync')")
	})
}
