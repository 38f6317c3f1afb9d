package main

import (
	"strings"
	"testing"

	"invoicer/internal/report"
	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/worker/queue"
)

// A job of version 1 that the release before refuses waits until no worker of it lives. One of version 2 needn't wait, as that release puts
// it back.
func TestIdentifiersWaitForOlderWorkers(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandboxtest.Redis(t))
	id := s.Text(t, "SELECT id::text FROM database_identity")
	rdb := rig.Connect(t, s.redisURL)
	old, err := queue.NewPresence(rdb, report.Worker{Name: "old@" + s.Schema, Version: "v1.9.0", Migration: 28, Installation: id, Schema: s.Schema, Queues: map[string]int{"q": 1}}, nil)
	if err == nil {
		err = old.Show(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	s.start(t, "worker")
	for version, prefix := range map[string]string{"1": "{", "2": `{"version":2,`} {
		if code, _, stderr := s.run(t, strings.Replace(payloadOf("#"+version, "GBP"), "{", prefix, 1), "enqueue", "-", "--queue", s.queue); code != exitOK {
			t.Fatal(stderr)
		}
	}
	s.awaitCount(t, 1, "SELECT count(*) FROM invoices WHERE transaction_id = '#2'")
	if n := s.Count(t, "SELECT count(*) FROM invoices WHERE transaction_id = '#1'") + s.Count(t, "SELECT count(*) FROM invoice_jobs WHERE state = 'failed'") + s.Count(t, "SELECT count(*) FROM capabilities"); n != 0 {
		t.Errorf("a worker of the release before lives, and there are %d invoices, failed jobs and capabilities", n)
	}
	// It isn't shown any more, and is forgotten in half a minute. Then the job is begun.
	s.awaitCount(t, 1, "SELECT count(*) FROM invoices WHERE transaction_id = '#1'")
	if n := s.Count(t, "SELECT count(*) FROM capabilities"); n != 1 {
		t.Errorf("%d capabilities", n)
	}
}
