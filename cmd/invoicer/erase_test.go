package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"invoicer/internal/report"
	"invoicer/internal/rig"
	"invoicer/worker/client"
	"invoicer/worker/queue"
)

// patienceOfErase is how long a busy machine may take.
const patienceOfErase = time.Minute

// everything is all that the schema's tables and, of this installation, Redis hold, as text.
func (s *site) everything(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for table := range strings.FieldsSeq(s.Text(t, "SELECT string_agg(relname, ' ') FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'")) {
		all.WriteString(s.Text(t, "SELECT coalesce(string_agg($1 || row_to_json(t)::text, E'\n'), '') FROM "+table+" t", table+": ") + "\n")
	}
	ctx, id := t.Context(), s.Text(t, "SELECT id::text FROM database_identity")
	for _, pattern := range []string{"*" + s.queue + "*", "*" + id + "*"} {
		keys := s.rdb.Scan(ctx, 0, pattern, 10_000).Iterator()
		for keys.Next(ctx) {
			key := keys.Val()
			var value any
			switch s.rdb.Type(ctx, key).Val() {
			case "string":
				value = s.rdb.Get(ctx, key).Val()
			case "hash":
				value = s.rdb.HGetAll(ctx, key).Val()
			case "list":
				value = s.rdb.LRange(ctx, key, 0, -1).Val()
			case "set":
				value = s.rdb.SMembers(ctx, key).Val()
			case "zset":
				value = s.rdb.ZRange(ctx, key, 0, -1).Val()
			}
			fmt.Fprintf(&all, "redis %s: %q\n", key, fmt.Sprint(value))
		}
		if err := keys.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return all.String()
}

func (s *site) wantForgotten(t *testing.T) {
	t.Helper()
	for line := range strings.Lines(s.everything(t)) {
		if strings.Contains(line, canary) {
			t.Errorf("left behind: %s", line)
		}
	}
}

func (s *site) eraseJSON(t *testing.T, args ...string) (sum eraseSummary) {
	t.Helper()
	if err := json.Unmarshal([]byte(s.must(t, append([]string{"erase", "--json"}, args...)...)), &sum); err != nil {
		t.Fatal(err)
	}
	return sum
}

// Nothing is erased while a worker runs that knows nothing of it: it would put the payloads of later jobs on record.
func TestEraseRefusesBesideAnOlderWorker(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	old, err := queue.NewPresence(s.rdb, report.Worker{
		Name: "old@" + s.Schema, Version: "v1.9.0", Migration: firstWithErasures - 1, Installation: s.Text(t, "SELECT id::text FROM database_identity"),
		Schema: s.Schema, Queues: map[string]int{s.queue: 1},
	}, nil)
	must(t, err)
	must(t, old.Show(t.Context()))
	erase := []string{"erase", "--customer", "17850", "--reason", "a test", "--by", "ada", "--yes"}
	code, stdout, stderr := s.run(t, "", erase...)
	if code != exitFailed || stdout != "" || !strings.Contains(stderr, "old@"+s.Schema+" (v1.9.0): upgrade or stop them") {
		t.Errorf("exit code %d, %s%s", code, stdout, stderr)
	}
	if n := s.Count(t, "SELECT count(*) FROM erasures"); n != 0 {
		t.Errorf("%d erasures have begun", n)
	}
	s.must(t, append(erase, "--dry-run")...)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	must(t, old.Run(gone)) // which leaves
	s.must(t, erase...)
}

// Of a customer who is erased nothing is left, in no table and in no key of Redis, whatever became of the customer's jobs, and whatever
// they ask for later. All else is as it was, and the audit proves it.
func TestErase(t *testing.T) {
	t.Parallel()
	s := sharedSite(t).with("INVOICER_WORKER_MAX_RETRY=0", "INVOICER_WORKER_RETENTION=1h")
	w := s.start(t, "worker")
	ends := 0
	ask := func(jobs string, args ...string) {
		t.Helper()
		if code, _, stderr := s.run(t, jobs, append([]string{"enqueue", "-", "--queue", s.queue}, args...)...); code != exitOK {
			t.Fatal(stderr)
		}
		ends++
		s.awaitEnds(t, ends)
	}
	bad := func(transactionID string) { // which enqueue would refuse
		t.Helper()
		producer := asynq.NewClientFromRedisClient(s.rdb)
		if _, err := producer.EnqueueContext(t.Context(), asynq.NewTask(client.TaskType, []byte(planted(transactionID, "Ada", `,"more":1`))), asynq.Queue(s.queue)); err != nil {
			t.Fatal(err)
		}
		ends++
		s.awaitEnds(t, ends)
	}
	ask(planted("T1", "Ada"), "--durable")
	ask(planted("T1", "Ada"))              // a duplicate
	ask(planted("T1", "Ada"), "--durable") // another
	ask(planted("T1", "Bob"), "--durable") // a conflict
	ask(planted("T2", "Ada"))              // a twin
	ask(strings.ReplaceAll(planted("T3", "Cy"), "Canary", "Sparrow"))
	bad("T1")
	bad("T9") // invoiced nowhere
	w.signal(t, syscall.SIGTERM)
	w.exit(t)
	s.change(t, "SELECT accept($1, $2)", planted("T1", "Dee"), s.queue) // under way while it is erased
	chain := "SELECT string_agg(concat_ws('|', invoice_number, transaction_id, total_minor, chain), ';' ORDER BY id) FROM invoices"
	before := s.Text(t, chain)
	for _, place := range []string{"invoices: ", "invoice_lines: ", "invoice_jobs: ", "redis asynq:"} {
		if !strings.Contains(s.everything(t), place) {
			t.Fatalf("nothing is in %s", place)
		}
	}

	if code, _, stderr := s.run(t, "", "erase", "--customer", "Canary-id"); code != exitUsage || !strings.Contains(stderr, "--reason is missing") {
		t.Errorf("without a reason: %d %s", code, stderr)
	}
	if got := s.eraseJSON(t, "--customer", "Canary-id", "--dry-run"); got.Erased != 2 || !got.DryRun || len(got.Erasures) > 0 {
		t.Errorf("a dry run: %+v", got)
	}
	if got := s.eraseJSON(t, "--customer", "Canary-id", "--reason", "TICKET-1", "--by", "ada"); got.Erased != 2 || got.Payloads < 4 || !got.Complete || len(got.Erasures) != 1 {
		t.Errorf("erased %+v", got)
	}
	if after := s.Text(t, chain); after != before {
		t.Errorf("it was %s, and is %s", before, after)
	}

	w = s.start(t, "worker") // what was under way ends
	ends++
	s.awaitEnds(t, ends)
	ask(planted("T1", "Ada"))
	ask(planted("T1", "Ada"), "--durable")
	ask(planted("T1", "Eve"), "--durable")
	bad("T1")
	rig.Within(t, patienceOfErase, func() error {
		if n := s.rdb.LLen(t.Context(), "asynq:{"+s.queue+"}:active").Val(); n > 0 {
			return fmt.Errorf("the acknowledgement of %d tasks", n)
		}
		return nil
	})
	s.wantForgotten(t)
	if n := s.Count(t, "SELECT count(*) FROM duplicate_attempts WHERE erased AND reason = 'already_invoiced'"); n != 4 {
		t.Errorf("%d duplicates say that the invoice was erased, want 4", n)
	}
	if left := s.everything(t); !strings.Contains(left, "Sparrow cage") || !strings.Contains(left, `done:{T1}: "{\"id\"`) || !strings.Contains(left, `\"erased\":true`) {
		t.Error("what should stay is gone, or the done entry doesn't say that the invoice was erased")
	}
	if stdout := s.must(t, "audit"); !strings.Contains(stdout, "\nerased: 2, ") {
		t.Errorf("the audit says %s", stdout)
	}
	if stdout := s.must(t, "status", "T1"); !strings.Contains(stdout, "already_invoiced, the invoice was erased") {
		t.Errorf("status says %s", stdout)
	}
	if stdout := s.must(t, "history"); !strings.Contains(stdout, "TICKET-1") || !strings.Contains(stdout, "2 invoices erased") {
		t.Errorf("history says %s", stdout)
	}
	if stdout := s.must(t, "erase", "--customer", "Canary-id", "--reason", "again"); stdout != "0 invoices erased\n" {
		t.Errorf("the second time: %s", stdout)
	}
	w.signal(t, syscall.SIGTERM)
	w.exit(t)
	if said := w.stderr() + w.stdout.String(); strings.Contains(said, canary) || !strings.Contains(said, "the invoice was erased") {
		t.Errorf("the worker says %s", said)
	}
}

// What an erasure that was broken off has left in Redis goes with the next one, which erases the rest.
func TestEraseGoesOn(t *testing.T) {
	t.Parallel()
	s := sharedSite(t).with("INVOICER_WORKER_RETENTION=1h")
	w := s.start(t, "worker")
	for n, id := range []string{"T1", "T2", "T3"} {
		if code, _, stderr := s.run(t, planted(id, "Ada"), "enqueue", "-", "--queue", s.queue); code != exitOK {
			t.Fatal(stderr)
		}
		s.awaitEnds(t, n+1)
	}
	w.signal(t, syscall.SIGTERM)
	w.exit(t)
	// As if it was killed after its first step, before it came to Redis.
	s.change(t, "SELECT erase_invoices(begin_erasure('customer', NULL, NULL, 'killed', 'ada'), NULL, 'Canary-id', NULL, 0, 1)")
	if got := s.eraseJSON(t, "--customer", "Canary-id", "--reason", "again"); got.Erased != 2 || !got.Complete {
		t.Errorf("the second time %+v", got)
	}
	s.wantForgotten(t)
	id := s.Text(t, "SELECT id::text FROM database_identity")
	if keys := s.rdb.Keys(t.Context(), "invoicer:"+id+":done:*").Val(); len(keys) > 0 {
		t.Errorf("done entries are left: %v", keys)
	}
	s.must(t, "audit")
}

func TestEraseHolds(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	w := s.start(t, "worker")
	for n, id := range []string{"T1", "T2"} {
		if code, _, stderr := s.run(t, planted(id, "Ada"), "enqueue", "-", "--queue", s.queue); code != exitOK {
			t.Fatal(stderr)
		}
		s.awaitEnds(t, n+1)
	}
	w.signal(t, syscall.SIGTERM)
	w.exit(t)
	if stdout := s.must(t, "erase", "--hold", "--transaction", "T1", "--reason", "in court"); !strings.HasPrefix(stdout, "transaction T1 of all issuers is held") {
		t.Error(stdout)
	}
	if stdout := s.must(t, "erase", "--customer", "Canary-id", "--reason", "asked"); stdout != "1 invoice erased; 1 held\n" {
		t.Errorf("beside a hold: %s", stdout)
	}
	if code, _, stderr := s.run(t, "", "erase", "--release", "--transaction", "T2", "--reason", "x"); code != exitFailed || !strings.Contains(stderr, "nothing holds transaction T2") {
		t.Errorf("release of another one: %d %s", code, stderr)
	}
	if stdout := s.must(t, "export", "--customer", "Canary-id"); strings.Count(stdout, `"invoice_number"`) != 1 || !strings.Contains(stdout, "Canary cage") || !json.Valid([]byte(stdout)) {
		t.Errorf("the export: %s", stdout)
	}
	s.must(t, "erase", "--release", "--transaction", "T1", "--reason", "closed")

	due := s.with("INVOICER_RETENTION_INVOICES=*=30d")
	if stdout := due.must(t, "erase", "--due", "--reason", "retention"); stdout != "0 invoices erased\n" {
		t.Errorf("nothing is due yet: %s", stdout)
	}
	if code, _, stderr := s.run(t, "", "erase", "--due", "--reason", "retention"); code != exitUsage || !strings.Contains(stderr, "no retention.invoices is set") {
		t.Errorf("without the key: %d %s", code, stderr)
	}
	for _, args := range [][]string{{"--customer", "x", "--due"}, {"--customer", ""}, {"--older-than", "x"}, {"--older-than", "0s"}, {"--transaction", "T1"}, {"--hold"}, {"--hold", "--release", "--customer", "x"}, {}} {
		if code, _, _ := s.run(t, "", append([]string{"erase", "--reason", "x"}, args...)...); code != exitUsage {
			t.Errorf("%v: exit code %d", args, code)
		}
	}
	rig.Within(t, patienceOfErase, func() error {
		if got := s.eraseJSON(t, "--older-than", "1s", "--dry-run"); got.Erased != 1 {
			return fmt.Errorf("an invoice that is a second old: %+v", got)
		}
		return nil
	})
	if stdout := s.must(t, "erase", "--older-than", "1s", "--reason", "old"); stdout != "1 invoice erased\n" {
		t.Errorf("by age: %s", stdout)
	}
	if stdout := s.must(t, "history"); !strings.Contains(stdout, "in court") || !strings.Contains(stdout, "closed") {
		t.Errorf("history says %s", stdout)
	}
	s.must(t, "audit")
}

// Two issuers may have the same customers and transactions: the issuer without a name is one of them, and who names none means all of them, whether it is
// to erase or to hold.
func TestEraseOfIssuers(t *testing.T) {
	t.Parallel()
	s := sharedSite(t).with("INVOICER_RETENTION_INVOICES=*=30d")
	s.must(t, "issuer", "open", "ACME-DE")
	w := s.start(t, "worker")
	for n, of := range []string{"", `,"issuer":"ACME-DE"`} {
		if code, _, stderr := s.run(t, planted("T1", "Ada", of), "enqueue", "-", "--queue", s.queue); code != exitOK {
			t.Fatal(stderr)
		}
		s.awaitEnds(t, n+1)
	}
	w.signal(t, syscall.SIGTERM)
	w.exit(t)
	s.change(t, "ALTER TABLE invoices DISABLE TRIGGER USER")
	s.change(t, "UPDATE invoices SET created_at = created_at - interval '40 days'") // as if it were long ago
	s.change(t, "ALTER TABLE invoices ENABLE TRIGGER USER")
	for _, what := range [][]string{{"--customer", "Canary-id"}, {"--older-than", "30d"}, {"--due"}} {
		for issuer, want := range map[string]int{"--issuer=": 1, "--issuer=ACME-DE": 1, "--json": 2} {
			if got := s.eraseJSON(t, append(what, "--dry-run", issuer)...); got.Erased != want {
				t.Errorf("%v of %s: %+v, want %d", what, issuer, got, want)
			}
		}
	}
	change := func(action string, args ...string) (stdout, stderr string) {
		t.Helper()
		code, stdout, stderr := s.run(t, "", append([]string{"erase", action, "--reason", "in court"}, args...)...)
		if code != exitOK {
			t.Fatal(stderr)
		}
		return stdout, stderr
	}
	held := func(what string, want int) {
		t.Helper()
		if got := s.eraseJSON(t, "--customer", "Canary-id", "--dry-run"); got.Held != want {
			t.Errorf("%s: %+v, want %d held", what, got, want)
		}
	}
	for _, c := range []struct {
		flags []string
		said  string
		want  int
	}{
		{[]string{"--customer", "Canary-id"}, "the customer of all issuers is held", 2},
		{[]string{"--customer", "Canary-id", "--issuer", ""}, "the customer of the issuer without a name is held", 1},
		{[]string{"--transaction", "T1"}, "transaction T1 of all issuers is held", 2},
		{[]string{"--transaction", "T1", "--issuer", "ACME-DE"}, "transaction T1 of issuer ACME-DE is held", 1},
		{[]string{"--issuer", ""}, "all of the issuer without a name is held", 1},
		{[]string{"--issuer", "ACME-DE"}, "all of issuer ACME-DE is held", 1},
	} {
		if stdout, stderr := change("--hold", c.flags...); !strings.HasPrefix(stdout, c.said) || stderr != "" {
			t.Errorf("%v: %s%s", c.flags, stdout, stderr)
		}
		held(c.said, c.want)
		change("--release", c.flags...)
		held("after the release", 0)
	}
	for _, nobodys := range [][]string{{"--customer", "nobody"}, {"--transaction", "T2"}, {"--transaction", "T2", "--issuer", "ACME-DE"}, {"--issuer", "ACME"}} {
		if stdout, stderr := change("--hold", nobodys...); !strings.Contains(stdout, "is held") || !strings.Contains(stderr, "nothing of it is there yet") {
			t.Errorf("a hold of what isn't there: %s%s", stdout, stderr)
		}
		change("--release", nobodys...)
	}
}
