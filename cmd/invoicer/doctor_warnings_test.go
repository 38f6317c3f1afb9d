package main

import (
	"fmt"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"invoicer/internal/doctor"
	"invoicer/internal/report"
	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/internal/sandbox/servers"
	"invoicer/worker/queue"
)

// What isn't broken but may become so is a warning where it is provoked, beside nothing that is broken.
func TestDoctorWarns(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	for name, test := range map[string]struct {
		fault          func(*testing.T, *site) *site
		check, setting string
		words          []string
	}{
		"a series for which a job waits": {
			fault: func(t *testing.T, s *site) *site {
				s.must(t, "series", "open", "INV")
				s.must(t, "series", "pause", "INV", "--by", "ada")
				s.start(t, "worker").await(t, "worker started")
				if code, _, stderr := s.run(t, payloadOf("T1", "GBP"), "enqueue", "-", "--durable", "--queue", s.queue); code != exitOK {
					t.Fatal(stderr)
				}
				rig.Eventually(t, "a job that waits for the series", func() bool {
					return s.Is(t, "SELECT EXISTS (SELECT FROM invoice_jobs WHERE paused_series IS NOT NULL)")
				})
				return s
			},
			check: "paused", setting: "INV", words: []string{"1 job waits for series INV", "ada", "invoicer series resume INV"},
		},
		"an endpoint that is disabled": {
			fault: func(t *testing.T, s *site) *site {
				s.toldByNobody(t)
				s.must(t, "events", "endpoint", "disable", "erp", "--by", "ada")
				return s
			},
			check: "endpoints", setting: "erp", words: []string{"is disabled since", "by ada; 1 event waits for it", "invoicer events endpoint enable erp"},
		},
		"events that nobody posts": {
			fault: func(t *testing.T, s *site) *site {
				s.toldByNobody(t)
				s.in(t, "UPDATE event_deliveries SET due_at = now() - interval '2 minutes'")
				return s
			},
			check: "events", setting: "erp", words: []string{"nobody posts to endpoint erp: 1 event waits for it, and one is due since 20", "start a worker"},
		},
		"events of an endpoint that no worker has": {
			fault: func(t *testing.T, s *site) *site {
				s.toldByNobody(t)
				s.in(t, "UPDATE event_endpoints SET origin = 'configuration'; DELETE FROM event_secrets; UPDATE event_deliveries SET due_at = now() - interval '2 minutes'")
				s.start(t, "worker").await(t, "worker started")
				return s
			},
			check: "events", setting: "erp", words: []string{"nobody posts to endpoint erp", "start a worker that has erp in events.endpoints"},
		},
		"events that were given up": {
			fault: func(t *testing.T, s *site) *site {
				s.toldByNobody(t)
				s.in(t, "UPDATE event_deliveries SET state = 'dead', attempts = 19, ended_at = now()")
				return s
			},
			check: "dead_events", setting: "erp", words: []string{"endpoint erp took 1 event at no attempt", "invoicer events replay --endpoint erp"},
		},
		"workers of two releases": {
			fault: func(t *testing.T, s *site) *site {
				old, err := queue.NewPresence(s.rdb, report.Worker{
					Name: "old@" + s.Schema, Version: "v1.9.0", Migration: 28, Installation: s.Text(t, "SELECT id::text FROM database_identity"), Schema: s.Schema, Queues: map[string]int{s.queue: 1},
				}, nil)
				must(t, err)
				must(t, old.Show(t.Context()))
				s.start(t, "worker").await(t, "worker started")
				return s
			},
			check: "versions", words: []string{"1 worker of v1.9.0", "finish the upgrade"},
		},
		"statements that stay prepared behind a pooler": {
			fault: func(t *testing.T, s *site) *site {
				pooler := sandboxtest.PgBouncer(t, s.URL, servers.PgBouncerOptions{Mode: "session"})
				return s.with("INVOICER_DATABASE_URL=" + rig.With(t, pooler.URL, "default_query_exec_mode", "cache_statement"))
			},
			check: "pooler", setting: "default_query_exec_mode", words: []string{"max_prepared_statements"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := test.fault(t, c.patient(t)).diagnose(t)
			d.has(t, doctor.Warning, test.check, test.setting, test.words...)
			if !d.OK {
				t.Errorf("something is broken: %+v, %q", d.of(doctor.Broken, ""), d.Problems)
			}
		})
	}
}

// toldByNobody adds an endpoint with an event that waits for it, and no worker.
func (s *site) toldByNobody(t *testing.T) {
	t.Helper()
	s.must(t, "events", "endpoint", "add", "erp", "--url", "https://127.0.0.1:1/hook", "--type", "invoice.created")
	s.execute(t, "SELECT invoicer.test_endpoint(id) FROM invoicer.event_endpoints")
	if found := s.diagnose(t).of(doctor.Warning, ""); slices.ContainsFunc(found, func(f doctor.Finding) bool { return f.Setting == "erp" }) {
		t.Errorf("an event that was written just now is a finding: %+v", found)
	}
}

func TestDoctorWarnsOfFewConnections(t *testing.T) {
	t.Parallel()
	s := newClinic(t).patient(t)
	const few = 12
	most := s.Count(t, "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int")
	for open := s.Count(t, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"); open < most-few; open++ {
		conn, err := pgx.Connect(t.Context(), s.URL)
		must(t, err)
		t.Cleanup(func() { _ = conn.Close(t.Context()) }) // the server ends before
	}
	s.diagnose(t).has(t, doctor.Warning, "connections", "max_connections", "can still be opened", "raise max_connections")
}

// A standby is told of by how it replicates, and by how far it is behind. One that doesn't answer has commits wait.
func TestDoctorLooksAtStandbys(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	rig.DatabaseOn(t, p.primary.URL)
	s := newSiteOn(t, p.primary.URL, "invoicer", sandboxtest.PrivateRedis(t).URL)
	s.diagnose(t).has(t, doctor.Warning, "standby", "synchronous_standby_names", "its standbys replicate asynchronously")

	must(t, runSQL(p.standby.URL, "SELECT pg_wal_replay_pause()"))
	const piece, pieces = 1_000_000, 110
	s.execute(t, fmt.Sprintf("SELECT pg_logical_emit_message(false, 'load', repeat('x', %d)) FROM generate_series(1, %d)", piece, pieces))
	rig.Eventually(t, "a standby that is behind", func() bool {
		return s.Is(t, "SELECT EXISTS (SELECT FROM pg_stat_replication WHERE pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) > 104857600)")
	})
	s.diagnose(t).has(t, doctor.Warning, "lag", "standby1", "standby standby1 is ", " behind")
	must(t, runSQL(p.standby.URL, "SELECT pg_wal_replay_resume()"))

	s.execute(t, "ALTER SYSTEM SET synchronous_standby_names = 'gone'")
	s.execute(t, "SELECT pg_reload_conf()")
	rig.Eventually(t, "the setting to hold", func() bool { return s.Text(t, "SELECT current_setting('synchronous_standby_names')") == "gone" })
	s.diagnose(t).has(t, doctor.Broken, "commits", "synchronous_standby_names", "standby")
}
