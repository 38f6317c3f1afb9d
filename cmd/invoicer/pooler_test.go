package main

import (
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/internal/sandbox/servers"
)

// droppedParameters are those that a PgBouncer is told to drop, as every guide to it says.
const droppedParameters = "extra_float_digits, search_path, statement_timeout, lock_timeout, idle_in_transaction_session_timeout, " +
	"default_transaction_isolation, enable_seqscan, enable_hashjoin, enable_mergejoin, plan_cache_mode, jit"

// poolers are PgBouncers as people have them. In the last one's sessions is what another client has left.
func poolers() map[string]servers.PgBouncerOptions {
	return map[string]servers.PgBouncerOptions{
		"session":                      {Mode: "session"},
		"session, dropping parameters": {Mode: "session", Settings: map[string]string{"ignore_startup_parameters": droppedParameters}},
		"transaction":                  {Mode: "transaction", Settings: map[string]string{"server_round_robin": "1"}},
		"transaction, dropping parameters": {
			Mode: "transaction", Settings: map[string]string{"ignore_startup_parameters": droppedParameters, "server_round_robin": "1"},
			ConnectQuery: "SET search_path = public; SET default_transaction_isolation = serializable; SET lock_timeout = '1ms'",
		},
	}
}

// Two companies share a database behind a pooler. Each command does its work in its own schema, and nothing anywhere else.
func TestCommandsBehindAPooler(t *testing.T) {
	t.Parallel()
	redis := sandboxtest.PrivateRedis(t)
	for name, o := range poolers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			database := sandboxtest.PrivatePostgres(t)
			pooler := sandboxtest.PgBouncer(t, database.URL, o)
			companies := []string{"company_a", "company_b"}
			for _, schema := range companies {
				s := newSiteOn(t, database.URL, schema, redis.URL).with("INVOICER_DATABASE_URL=" + pooler.URL)
				s.everyCommand(t)
			}
			for _, schema := range companies {
				s := newSiteOn(t, database.URL, schema, redis.URL)
				if n := s.Count(t, "SELECT count(*) FROM invoices WHERE number = 1 AND transaction_id IN ('T1', 'T2')"); n != 1 {
					t.Errorf("%s has %d invoices number 1", schema, n)
				}
				if n := s.Count(t, `SELECT count(*) FROM pg_class WHERE relnamespace NOT IN ('company_a'::regnamespace, 'company_b'::regnamespace,
					'pg_catalog'::regnamespace, 'information_schema'::regnamespace, 'pg_toast'::regnamespace)`); n > 0 {
					t.Errorf("%d relations are in neither company's schema", n)
				}
			}
		})
	}
}

// everyCommand runs each, beside a worker, in a schema that isn't there yet.
func (s *site) everyCommand(t *testing.T) {
	t.Helper()
	if told := s.must(t, "migrate", "up"); !strings.Contains(told, "applied 00001_invoices.sql") {
		t.Errorf("migrate up: %s", told)
	}
	s.must(t, "migrate", "down")
	s.must(t, "migrate", "up")
	if told := s.must(t, "migrate", "status"); strings.Contains(told, "pending") {
		t.Errorf("migrate status: %s", told)
	}
	worker := s.start(t, "worker")
	lines := payloadOf("T1", "GBP") + "\n" + payloadOf("T2", "GBP") + "\n"
	for range 2 {
		if code, _, stderr := s.run(t, lines, "enqueue", "--durable", "-", "--queue", s.queue, "--new-queue"); code != exitOK {
			t.Fatalf("enqueue --durable: exit code %d, %s", code, stderr)
		}
		s.awaitIdle(t)
	}
	s.enqueue(t, "T1", "T3")
	s.awaitEnds(t, 6)

	for range 2 {
		answer, body := postJob(t, worker.pages(t)+"/v1/jobs?queue="+s.queue, payloadOf("T6", "GBP"), "Prefer", "wait=30", "Idempotency-Key", "k")
		if answer.StatusCode != http.StatusCreated {
			t.Errorf("by HTTP: %d %v", answer.StatusCode, body)
		}
	}
	if answer, body := postJob(t, worker.pages(t)+"/v1/jobs/batch?queue="+s.queue, "["+payloadOf("T6", "GBP")+"]"); body["accepted"] != 1.0 {
		t.Errorf("a batch: %d %v", answer.StatusCode, body)
	}
	s.awaitIdle(t)

	s.fail(t, "f1", "T4", "failed", "planted", "", s.queue, payloadOf("T4", "GBP"), "1 second")
	s.fail(t, "f2", "T5", "invalid", "planted", "", s.queue, payloadOf("T5", "XXX"), "1 second")
	s.must(t, "replay", "--job", "f1")
	s.must(t, "dismiss", "f2", "--reason", "planted")
	s.awaitIdle(t)
	for _, id := range []string{"T1", "T4"} {
		if told := s.must(t, "status", id); !strings.Contains(told, "INV-") {
			t.Errorf("status %s: %s", id, told)
		}
	}
	s.must(t, "replay", "history")
	s.must(t, "prune")
	if told := s.must(t, "audit"); !strings.Contains(told, "ok") {
		t.Errorf("audit: %s", told)
	}
	worker.signal(t, syscall.SIGTERM)
	if code := worker.exit(t); code != exitOK {
		t.Errorf("the worker's exit code is %d", code)
	}
	if invoices, duplicates := s.Count(t, "SELECT count(*) FROM invoices"), s.Count(t, "SELECT count(*) FROM duplicate_attempts"); invoices != 5 || duplicates != 4 {
		t.Errorf("%d invoices and %d duplicates; the worker said\n%s", invoices, duplicates, worker.stderr())
	}
	if said := worker.stderr(); strings.Contains(said, "level=ERROR") || len(worker.logged("WARN", "")) != len(worker.logged("WARN", "as allow_unsafe allows")) {
		t.Errorf("the worker said\n%s", said)
	}
}

func TestDemoBehindAPooler(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandboxtest.PrivateRedis(t).URL)
	pooler := sandboxtest.PgBouncer(t, s.URL, servers.PgBouncerOptions{Mode: "transaction", Settings: map[string]string{"server_round_robin": "1"}})
	s.leavesRoles(t)
	told := s.with("INVOICER_DATABASE_URL="+pooler.URL).must(t, "demo", "--transactions", "60", "--copies", "3")
	if !strings.Contains(told, "The audit") || s.Count(t, "SELECT count(*) FROM invoices") != 60 {
		t.Errorf("told\n%s", told)
	}
}

// One of two processes that migrate at once through a pooler is killed in the middle: the lock goes with it, and the other
// one goes on.
func TestMigrateGoesOnAfterAKill(t *testing.T) {
	t.Parallel()
	url, schema := sandboxtest.Schema(t)
	pooler := sandboxtest.PgBouncer(t, url, servers.PgBouncerOptions{Mode: "transaction", Settings: map[string]string{"server_round_robin": "1"}})
	direct := newSiteOn(t, url, schema, sandboxtest.Redis(t))
	s := direct.with("INVOICER_DATABASE_URL=" + pooler.URL)
	// The first one stops in the middle of migration 4, which needs the table for itself.
	s.must(t, "migrate", "up")
	for range s.Count(t, "SELECT count(DISTINCT version_id) FROM goose_db_version WHERE version_id > 3") {
		s.must(t, "migrate", "down")
	}
	holder, err := s.DB.BeginTx(t.Context(), nil)
	must(t, err)
	defer holder.Rollback() //nolint:errcheck // it is over by then
	_, err = holder.ExecContext(t.Context(), "LOCK TABLE invoices IN ACCESS SHARE MODE")
	must(t, err)
	first := s.start(t, "migrate", "up")
	s.awaitCount(t, 1, "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'invoices'::regclass")
	second := s.start(t, "migrate", "up")
	// It has asked for the lock in vain, and rolled back.
	s.awaitCount(t, 1, `SELECT count(DISTINCT query) FROM pg_stat_activity WHERE query = 'rollback'
		AND query_start > (SELECT max(xact_start) FROM pg_stat_activity WHERE wait_event_type = 'Lock')`)
	must(t, first.Process.Kill())
	first.exit(t)
	must(t, holder.Rollback())
	select {
	case <-second.ended:
	case <-time.After(20 * time.Second):
		t.Fatal("the second one still waits")
	}
	if code := second.exit(t); code != exitOK || !strings.Contains(second.stdout.String(), "applied 00004_checks.sql") {
		t.Errorf("exit code %d, %s%s", code, second.stdout.String(), second.stderr())
	}
}

// What waiting doesn't heal is told at once, with what to set.
func TestPoolerMistakes(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	start := func(o servers.PgBouncerOptions) string { return sandboxtest.PgBouncer(t, s.URL, o).URL }
	transaction := start(servers.PgBouncerOptions{Mode: "transaction"})
	for name, c := range map[string]struct{ url, says string }{
		"statement pooling": {start(servers.PgBouncerOptions{Mode: "statement"}), "set pool_mode = transaction or session in PgBouncer"},
		"another parameter": {transaction + "&work_mem=8MB", "take work_mem out of database.url, or name it in ignore_startup_parameters of PgBouncer"},
		"no such database": {
			// It tells only one client, and the others when it has asked again.
			strings.Replace(start(servers.PgBouncerOptions{Settings: map[string]string{"server_login_retry": "0"}}), "/invoicer?", "/nowhere?", 1),
			"create it first, by createdb",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, args := range [][]string{{"worker"}, {"audit"}, {"enqueue", "--durable", "-"}, {"status", "T1"}} {
				begun := time.Now()
				code, stdout, stderr := s.with("INVOICER_DATABASE_URL="+c.url).run(t, payloadOf("T1", "GBP"), args...)
				if code != exitFailed || !strings.Contains(stderr, c.says) || strings.Contains(stderr, "waiting") {
					t.Errorf("%v: exit code %d after %s, stdout %q, stderr %q; want %q", args, code, time.Since(begun), stdout, stderr, c.says)
				}
			}
		})
	}
}
