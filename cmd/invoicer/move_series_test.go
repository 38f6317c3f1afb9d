package main

import (
	"strings"
	"syscall"
	"testing"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
)

// secondDatabase makes an empty database of the same administrator.
func (i installed) secondDatabase(t *testing.T) (address string) {
	t.Helper()
	i.execute(t, "CREATE DATABASE second OWNER dba")
	return strings.Replace(i.URL, "/invoicer", "/second", 1)
}

// Last night's backup is restored as docs/backup.md says, on another database and beside the same Redis. What was invoiced since keeps its
// number when it is asked for again, and nobody else gets it.
func TestDocumentedRestore(t *testing.T) {
	t.Parallel()
	i := installOn(t, sandboxtest.PrivatePostgres(t).URL, sandboxtest.PrivateRedis(t).URL)
	ask := func(s *site, id string) {
		t.Helper()
		if code, _, stderr := s.run(t, payloadOf(id, "GBP"), "enqueue", "-", "--durable", "--queue", i.queue); code != exitOK {
			t.Fatal(stderr)
		}
	}
	worker := i.of(t, "worker").start(t, "worker")
	ask(i.of(t, "shop"), "T1")
	i.awaitCount(t, 1, "SELECT count(*) FROM invoices")
	backup, restore := documentedScripts(t, "backup.md", "Back up"), documentedScripts(t, "backup.md", "Restore")
	folder := t.TempDir()
	i.shell(t, "cd "+folder+"; "+backup[0])
	ask(i.of(t, "shop"), "T2")
	i.awaitCount(t, 2, "SELECT count(*) FROM invoices")
	worker.signal(t, syscall.SIGTERM)
	worker.exit(t)

	second := i.secondDatabase(t)
	i.second = newSiteOn(t, second, "invoicer", i.redisURL)
	i.shell(t, "cd "+folder+"; "+restore[0])
	i.second = i.second.with("INVOICER_WORKER_QUEUES=" + i.queue + "=1")
	i.second.with("INVOICER_DATABASE_URL="+i.second.urlOf(t, "worker")).start(t, "worker").await(t, "worker started")
	shop, operator := i.second.with("INVOICER_DATABASE_URL="+i.second.urlOf(t, "shop")), i.second.with("INVOICER_DATABASE_URL="+i.second.urlOf(t, "operator"))
	ask(shop, "T3")
	i.second.awaitCount(t, 1, "SELECT count(*) FROM invoice_series WHERE state = 'paused'")
	operator.must(t, "series", "recover", "INV", "--yes", "--note", "restored")
	ask(shop, "T2")
	i.second.awaitCount(t, 3, "SELECT count(*) FROM invoices")
	if got := i.second.Text(t, "SELECT string_agg(transaction_id || ' ' || invoice_number, ', ' ORDER BY number) FROM invoices"); got != "T1 INV-000001, T2 INV-000002, T3 INV-000003" {
		t.Errorf("invoices are %s", got)
	}
	operator.must(t, "audit")
}

// A series moves to another database as docs/operations.md says: the new one goes on where the old one ended, knows what was invoiced, and
// the old one gives out no number any more.
func TestMoveASeries(t *testing.T) {
	t.Parallel()
	server := sandboxtest.PrivatePostgres(t).URL
	i := installOn(t, server, sandboxtest.PrivateRedis(t).URL)
	i.queue = "default"
	i.site = i.with("INVOICER_WORKER_QUEUES=default=1")
	second := i.secondDatabase(t)
	i.second = newSiteOn(t, second, "invoicer", sandboxtest.PrivateRedis(t).URL).with("INVOICER_WORKER_QUEUES=default=1")
	i.second.must(t, "migrate", "up")
	must(t, runSQL(second, rolesSQL("invoicer", "invoicer", (app{}).databaseRoles("invoicer"))))

	i.of(t, "worker").start(t, "worker").await(t, "worker started")
	ask := func(s *site, id string, want int) {
		t.Helper()
		if code, _, stderr := s.run(t, payloadOf(id, "GBP"), "enqueue", "-", "--durable"); code != exitOK {
			t.Fatal(stderr)
		}
		s.awaitCount(t, want, "SELECT (SELECT count(*) FROM invoices) + (SELECT count(*) FROM duplicate_attempts) + (SELECT count(*) FROM invoice_jobs WHERE state = 'failed')")
	}
	for n, id := range []string{"T1", "T2", "T3"} {
		ask(i.site, id, n+1)
	}
	script := documentedScript(t, "Move a series to another database")
	// The commands are for two installations, each with a Redis of its own.
	script = strings.ReplaceAll(script, "export INVOICER_DATABASE_URL=postgres://operator@db2.example/invoicer",
		"export INVOICER_REDIS_URL="+i.second.redisURL+" INVOICER_DATABASE_URL=postgres://operator@db2.example/invoicer")
	i.shell(t, script)

	i.second.start(t, "worker").await(t, "worker started")
	ask(i.second, "T4", 1)
	ask(i.second, "T2", 2)
	ask(i.site, "T5", 4)
	if got := i.second.Text(t, "SELECT string_agg(invoice_number, ' ' ORDER BY id) FROM invoices"); got != "INV-000004" {
		t.Errorf("the new database has %s", got)
	}
	if got := i.second.Text(t, "SELECT imported.transaction_id || ' ' || invoice_number FROM duplicate_attempts JOIN imported_invoices AS imported ON imported.id = imported_id"); got != "T2 INV-000002" {
		t.Errorf("the duplicates are %s", got)
	}
	if got := i.Text(t, "SELECT reason FROM invoice_jobs WHERE transaction_id = 'T5' AND state = 'failed'"); !strings.Contains(got, "closed") {
		t.Errorf("the old database says %s", got)
	}
	i.of(t, "auditor").must(t, "audit")
	i.second.must(t, "audit")
}

// A managed server may refuse to tell whose history it has. Workers work all the same, also once it was restarted, and a series is recovered.
func TestServerThatTellsNoHistory(t *testing.T) {
	t.Parallel()
	server := sandboxtest.PrivatePostgres(t)
	i := installOn(t, server.URL, sandboxtest.Redis(t))
	for _, function := range []string{"pg_control_system()", "pg_control_checkpoint()", "pg_walfile_name(pg_lsn)", "pg_current_wal_insert_lsn()"} {
		i.execute(t, "REVOKE EXECUTE ON FUNCTION "+function+" FROM PUBLIC")
	}
	w := i.of(t, "worker").start(t, "worker")
	w.await(t, "worker started")
	ask := func(id string, want int) {
		t.Helper()
		if code, _, stderr := i.of(t, "shop").run(t, payloadOf(id, "GBP"), "enqueue", "-", "--durable", "--queue", i.queue); code != exitOK {
			t.Fatal(stderr)
		}
		i.awaitCount(t, want, "SELECT count(*) FROM invoices")
	}
	ask("T1", 1)
	must(t, server.Kill())
	must(t, server.Restart(t.Context()))
	rig.Eventually(t, "the server answers", func() bool { return i.DB.PingContext(t.Context()) == nil })
	ask("T2", 2)
	i.of(t, "operator").must(t, "series", "recover", "INV", "--yes")
	i.of(t, "auditor").must(t, "audit")
}
