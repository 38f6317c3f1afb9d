package main

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
)

// One database's queues lie on two Redis: each job reaches the one that its queue lies on, whichever process accepts or relays it, and
// what both are asked for is still invoiced once, in one row of numbers. While one Redis is away its jobs wait, and the others go on.
func TestQueuesOnTwoRedis(t *testing.T) {
	t.Parallel()
	d := rig.NewDatabase(t)
	first, second := sandboxtest.PrivateRedis(t), sandboxtest.PrivateRedis(t)
	one, two := newSiteOn(t, d.URL, d.Schema, first.URL), newSiteOn(t, d.URL, d.Schema, second.URL)
	at := func(s *site) *site { return s.with("INVOICER_REDIS_QUEUES=" + s.queue) }
	served := at(one).start(t, "serve") // it can reach one Redis alone
	workers := []*process{at(one).start(t, "worker"), at(two).start(t, "worker")}
	for _, p := range append(workers, served) {
		p.awaitReadyz(t, http.StatusOK)
	}
	ask := func(s *site, id string) string {
		t.Helper()
		answer, body := postJob(t, served.pages(t)+"/v1/jobs?queue="+s.queue, payloadOf(id, "GBP"), "Prefer", "wait=30")
		if answer.StatusCode >= http.StatusMultipleChoices {
			t.Fatalf("%s: %d %v", id, answer.StatusCode, body)
		}
		number, _ := body["invoice_number"].(string)
		return number
	}
	for i := range 20 {
		s := []*site{one, two}[i%2]
		if got, want := ask(s, fmt.Sprint("T", i)), fmt.Sprintf("INV-%06d", i+1); got != want {
			t.Errorf("T%d on Redis %d is invoiced as %q, want %s", i, i%2, got, want)
		}
	}
	for i := range 20 { // each again, on the other Redis, whose lock knows nothing of it
		if got, want := ask([]*site{two, one}[i%2], fmt.Sprint("T", i)), fmt.Sprintf("INV-%06d", i+1); got != want {
			t.Errorf("T%d again is invoiced as %q, want %s", i, got, want)
		}
	}
	for i := range 40 { // what no process has accepted, the relays take
		s := []*site{one, two}[i%2]
		if code, _, stderr := s.run(t, payloadOf(fmt.Sprint("R", i), "GBP"), "enqueue", "-", "--queue", s.queue, "--durable"); code != exitOK {
			t.Fatal(stderr)
		}
	}
	rig.Eventually(t, "all to be invoiced", func() bool { return one.Count(t, "SELECT count(*) FROM invoices") == 60 })
	if got := one.rdb.SCard(t.Context(), "asynq:queues").Val() + two.rdb.SCard(t.Context(), "asynq:queues").Val(); got != 2 {
		t.Errorf("the two Redis have %d queues in all, want one each", got)
	}

	must(t, second.Kill())
	postJob(t, served.pages(t)+"/v1/jobs?queue="+two.queue, payloadOf("later", "GBP"))
	if got := ask(one, "meanwhile"); got != "INV-000061" {
		t.Errorf("while the other Redis is away: %q", got)
	}
	if one.Is(t, "SELECT EXISTS (SELECT FROM invoices WHERE transaction_id = 'later')") {
		t.Error("a job of the Redis that is away was invoiced")
	}
	must(t, second.Restart(t.Context()))
	rig.Eventually(t, "the job of the Redis that was away is invoiced", func() bool {
		return one.Is(t, "SELECT EXISTS (SELECT FROM invoices WHERE transaction_id = 'later')")
	})
	for _, w := range workers {
		w.signal(t, syscall.SIGTERM)
		if code := w.exit(t); code != exitOK {
			t.Errorf("exit code %d", code)
		}
	}
	one.must(t, "audit")
}

// A worker says which of its queues lies elsewhere, and doesn't wait for jobs that can't come.
func TestWorkerOfAQueueElsewhere(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	code, _, stderr := s.with("INVOICER_REDIS_QUEUES=other").run(t, "", "worker")
	if code != exitUsage || !strings.Contains(stderr, "worker.queues") || !strings.Contains(stderr, s.queue) || !strings.Contains(stderr, "redis.queues") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

// Issuers are split over two installations with a database and a Redis each. A job that reaches the wrong one is refused at its door,
// by HTTP and SQL, and is in no ledger; at the right one its transactions are invoiced as if there were no other.
func TestIssuersOfTwoInstallations(t *testing.T) {
	t.Parallel()
	installations := map[string]*site{}
	bases := map[string]string{}
	for _, issuer := range []string{"ACME-DE", "ACME-FR"} {
		s := newSite(t, sandboxtest.PrivateRedis(t).URL)
		s.must(t, "issuer", "open", issuer)
		served, w := s.start(t, "serve"), s.start(t, "worker")
		served.awaitReadyz(t, http.StatusOK)
		w.awaitReadyz(t, http.StatusOK)
		installations[issuer], bases[issuer] = s, served.pages(t)+"/v1/jobs?queue="+s.queue
	}
	of := func(issuer, id string) string {
		return strings.Replace(payloadOf(id, "GBP"), "{", `{"issuer":"`+issuer+`",`, 1)
	}
	for issuer, other := range map[string]string{"ACME-DE": "ACME-FR", "ACME-FR": "ACME-DE"} {
		s := installations[issuer]
		for i := range 3 { // both have the same ids of transactions, and the same numbers
			answer, body := postJob(t, bases[issuer], of(issuer, fmt.Sprint("T", i)), "Prefer", "wait=30")
			if want := fmt.Sprintf("INV-%06d", i+1); body["invoice_number"] != want {
				t.Errorf("T%d of %s: %d %v, want %s", i, issuer, answer.StatusCode, body, want)
			}
		}
		answer, body := postJob(t, bases[issuer], of(other, "T9"), "Prefer", "wait=30")
		if answer.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(fmt.Sprint(body), other) {
			t.Errorf("a job of %s at %s: %d %v", other, issuer, answer.StatusCode, body)
		}
		if code, _, stderr := s.run(t, of(other, "T9"), "enqueue", "-", "--queue", s.queue, "--durable"); code == exitOK || !strings.Contains(stderr, other) {
			t.Errorf("a job of %s at %s by SQL: exit code %d, %s", other, issuer, code, stderr)
		}
		if n := s.Count(t, "SELECT count(*) FROM invoice_jobs WHERE transaction_id = 'T9'"); n != 0 {
			t.Errorf("the ledger of %s has %d jobs of %s", issuer, n, other)
		}
		s.must(t, "audit")
	}
}
