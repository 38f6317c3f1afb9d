package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"invoicer/internal/report"
	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/worker/queue"
)

// The first issuer isn't opened while a worker runs that would number its jobs in another one's series.
func TestOlderWorkersKnowNoIssuer(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandboxtest.Redis(t))
	id := s.Text(t, "SELECT id::text FROM database_identity")
	old, err := queue.NewPresence(rig.Connect(t, s.redisURL), report.Worker{Name: "old@" + s.Schema, Version: "v1.9.0", Migration: 24, Installation: id, Schema: s.Schema, Queues: map[string]int{"q": 1}}, nil)
	if err == nil {
		err = old.Show(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := s.run(t, "", "issuer", "open", "ACME-DE")
	if code != 1 || stdout != "" || !strings.Contains(stderr, "workers of an earlier release run, which know no issuers: old@"+s.Schema+" (v1.9.0)") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	if s.Text(t, "SELECT issuers_apart()::text") != "false" {
		t.Error("what is unique was changed")
	}
	s.start(t, "worker") // it doesn't stop that
	rig.Within(t, time.Minute, func() error {
		if code, _, stderr := s.run(t, "", "issuer", "open", "ACME-DE"); code != exitOK {
			return errors.New(stderr)
		}
		return nil
	})
	if s.Text(t, "SELECT issuers_apart()::text") != "true" {
		t.Error("what is unique wasn't changed")
	}
}

// A worker of an earlier release knows no issuers: it refuses jobs that name one, and takes another issuer's invoice for that of a job.
// Such jobs are replayed for the issuer that they name, whatever that worker has put on record.
func TestReplayOfWhatAnEarlierReleaseRefused(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	s.must(t, "issuer", "open", "ACME-DE")
	s.start(t, "worker")
	named := strings.Replace(payloadOf("T1", "GBP"), "{", `{"issuer":"ACME-DE",`, 1)
	s.Exec(t, "SELECT accept($1, $2)", named, s.queue)
	s.awaitCount(t, 1, "SELECT count(*) FROM invoices")
	s.fail(t, "direct", "T2", "invalid", "invalid job: issuer is no field of a job", "", s.queue, strings.Replace(named, "T1", "T2", 1), "1 hour")
	s.fail(t, "unnamed", "T1", "conflict", "transaction_id T1 is invoiced as INV-000001 with other content: currency", "", s.queue, payloadOf("T1", "EUR"), "1 hour")
	if told := s.replayJSON(t, "--all", "--dry-run"); told.Forecasts["created"] != 2 || told.StillInvalid != 0 {
		t.Errorf("forecast %+v", told)
	}
	s.must(t, "replay", "--all")
	s.awaitCount(t, 3, "SELECT count(*) FROM invoices")
	if got := s.Text(t, "SELECT string_agg(issuer || '/' || transaction_id || ' ' || currency, ', ' ORDER BY issuer, transaction_id) FROM invoices"); got != "/T1 EUR, ACME-DE/T1 GBP, ACME-DE/T2 GBP" {
		t.Error(got)
	}
	s.must(t, "audit")
}
