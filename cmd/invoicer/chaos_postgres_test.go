package main

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"invoicer/internal/chaos"
	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
)

// Postgres fails over again and again with jobs under way: the primary dies or is shut down, its standby takes over, and the old primary is
// rewound and follows. Commits wait for the standby, so that nothing is lost and no series waits.
func TestChaosPostgresFailover(t *testing.T) {
	t.Parallel()
	if *chaosSeed > 0 {
		t.Skip("-chaos.seed asks for one seed alone")
	}
	const seed = 500
	rounds := 3
	if *chaosFull {
		rounds = 12
	}
	t.Logf("seed %d", seed)
	r := chaos.NewRand(seed)
	p := newPair(t)
	rig.DatabaseOn(t, p.primary.URL)
	s := newSiteOn(t, p.url(t), "invoicer", sandboxtest.Redis(t))
	workers := []*process{s.start(t, "worker"), s.start(t, "worker")}
	for _, w := range workers {
		w.await(t, "worker started")
	}
	primary, standby, asked := p.primary, p.standby, 0
	for round := range rounds {
		must(t, runSQL(primary.URL, "ALTER SYSTEM SET synchronous_standby_names = '"+standby.Name+"'"))
		must(t, runSQL(primary.URL, "SELECT pg_reload_conf()"))
		now := rig.OpenDatabase(t, primary.URL, "invoicer")
		rig.Eventually(t, "a synchronous standby", func() bool {
			return now.Is(t, "SELECT EXISTS (SELECT FROM pg_stat_replication WHERE sync_state = 'sync')")
		})
		rig.Eventually(t, "workers to know of it, if they have looked", func() bool {
			return now.Is(t, "SELECT NOT EXISTS (SELECT FROM seen_server WHERE NOT replicated)")
		})
		var jobs strings.Builder
		const more = 200
		for range more {
			fmt.Fprintln(&jobs, payloadOf(fmt.Sprintf("T%d", asked), "GBP"))
			asked++
		}
		rig.Eventually(t, "jobs that are accepted", func() bool {
			code, _, _ := s.run(t, jobs.String(), "enqueue", "-", "--durable", "--queue", s.queue)
			return code == exitOK && now.Count(t, "SELECT count(DISTINCT transaction_id) FROM invoice_jobs") == asked
		})
		before := asked - more + r.IntN(more)
		rig.Eventually(t, "some invoices", func() bool { return now.Count(t, "SELECT count(*) FROM invoices") >= before })
		planned := r.IntN(2) == 0
		t.Logf("round %d: a failover at %d invoices, planned: %t", round, before, planned)
		if planned {
			must(t, primary.Stop(t.Context()))
		} else {
			must(t, primary.Kill())
		}
		must(t, standby.Promote(t.Context()))
		must(t, runSQL(standby.URL, "ALTER SYSTEM RESET synchronous_standby_names")) // as the primary of an earlier round it had one
		must(t, runSQL(standby.URL, "SELECT pg_reload_conf()"))
		s.Database = rig.OpenDatabase(t, standby.URL, "invoicer")
		s.awaitCount(t, asked, "SELECT count(*) FROM invoices")
		rewound, err := primary.Rewind(t.Context(), standby.Server, "standby"+fmt.Sprint(round+2))
		must(t, err)
		primary, standby = standby.Server, rewound
	}
	for _, w := range workers {
		w.signal(t, syscall.SIGTERM)
		if code := w.exit(t); code != exitOK {
			t.Errorf("worker: exit code %d", code)
		}
	}
	if n := s.Count(t, "SELECT count(*) FROM series WHERE state = 'paused'"); n > 0 {
		t.Error("a series was paused")
	}
	s.must(t, "audit")
}
