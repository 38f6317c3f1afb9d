package main

import (
	"encoding/json"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"invoicer/worker/client"
)

func TestReplaySelects(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	s.fail(t, "a", "T1", "failed", "given up after 3 attempts: Disk Full", "checkout", "bulk", payloadOf("T1", "GBP"), "1 hour")
	s.fail(t, "b", "T1", "conflict", "100% other content", "", "bulk", payloadOf("T1", "GBP"), "2 hours")
	s.fail(t, "c", "T2", "invalid", "series holds the other kind", "nightly", "default", payloadOf("T2", "GBP"), "3 days")
	s.fail(t, "d", "", "invalid", "payload is not valid JSON", "", "default", "nonsense", "10 days")
	s.fail(t, "e", "T3", "failed", "dealt with", "checkout", "bulk", payloadOf("T3", "GBP"), "1 hour")
	s.change(t, "UPDATE invoice_jobs SET state = 'dismissed' WHERE job_id = 'e'")
	s.change(t, "INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, payload, state) VALUES ('f', 'T1', 'T1', 'bulk', $1, 'accepted')", payloadOf("T1", "GBP"))
	moment := time.Now().Add(-24 * time.Hour).UTC().Format(time.RFC3339)
	for _, test := range []struct {
		args []string
		want string // the jobs' ids, in the order in which they failed
	}{
		{[]string{"--all"}, "d c b a"},
		{[]string{"--job", "c", "--job", "a"}, "c a"},
		{[]string{"--transaction", "T1"}, "b a"},
		{[]string{"--transaction", "T1", "--transaction", "T2", "--outcome", "invalid"}, "c"},
		{[]string{"--outcome", "failed", "--outcome", "conflict"}, "b a"},
		{[]string{"--reason", "disk full"}, "a"},
		{[]string{"--reason", "0%"}, "b"},
		{[]string{"--reason", "_"}, ""},
		{[]string{"--since", "90m"}, "a"},
		{[]string{"--since", "4d"}, "c b a"},
		{[]string{"--since", moment}, "b a"},
		{[]string{"--until", moment}, "d c"},
		{[]string{"--since", "4d", "--until", "90m"}, "c b"},
		{[]string{"--queue", "bulk"}, "b a"},
		{[]string{"--producer", "nightly"}, "c"},
		{[]string{"--all", "--limit", "2"}, "d c"}, // what still is invalid counts
	} {
		told := s.replayJSON(t, append(test.args, "--dry-run")...)
		var ids []string
		for _, j := range told.Jobs {
			ids = append(ids, j.JobID)
		}
		if got := strings.Join(ids, " "); got != test.want || !told.DryRun || !told.Complete {
			t.Errorf("%v: %q, want %q", test.args, got, test.want)
		}
	}
	if n := s.Count(t, "SELECT count(*) FROM invoice_jobs WHERE state = 'failed'") + s.Count(t, "SELECT count(*) FROM invoice_job_actions"); n != 4 {
		t.Errorf("a dry run has changed something: %d", n)
	}
	told := s.replayJSON(t, "--transaction", "T1", "--limit", "1", "--by", "ada", "--note", "TICKET-17")
	if told.Replayed != 1 || told.Forecasts["created"] != 1 || !told.Jobs[0].Replayed {
		t.Errorf("replayed %+v", told)
	}
	if got := s.Text(t, "SELECT string_agg(concat_ws(' ', job_id, action, actor, note, dispatch, outcome, reason), ',') FROM invoice_job_actions"); got != "b replay ada TICKET-17 0 conflict 100% other content" {
		t.Errorf("on record: %s", got)
	}
	if got := s.Text(t, "SELECT concat_ws(' ', state, dispatch, transaction_id, idempotency_key, producer, outcome, reason) FROM invoice_jobs WHERE job_id = 'b'"); got != "accepted 1 T1 T1" {
		t.Errorf("the job: %s", got)
	}
}

// What a replay knows to fail again it leaves: a series of the other kind, and a task that is no invoice's job.
func TestReplayLeavesWhatCantBe(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	s.change(t, "INSERT INTO invoice_series (series, period, kind) VALUES ('CREDITS', '', 'credit_note')")
	worker := s.start(t, "worker")
	series := strings.Replace(payloadOf("T1", "GBP"), "{", `{"series":"CREDITS",`, 1)
	if code, _, stderr := s.run(t, series, "enqueue", "-", "--queue", s.queue); code != exitOK {
		t.Fatal(stderr)
	}
	_, err := asynq.NewClientFromRedisClient(s.rdb).Enqueue(asynq.NewTask("invoice:preview", []byte(payloadOf("T2", "GBP"))), asynq.Queue(s.queue))
	must(t, err)
	s.awaitCount(t, 2, "SELECT count(*) FROM invoice_jobs WHERE state = 'failed' AND outcome = 'invalid'")
	worker.signal(t, syscall.SIGTERM)
	worker.exit(t)
	before := s.Text(t, "SELECT string_agg(j::text, '|' ORDER BY id) FROM invoice_jobs j")
	for _, flag := range []string{"--dry-run", "--by=ada"} {
		code, stdout, stderr := s.run(t, "", "replay", "--all", flag)
		for _, want := range []string{"series CREDITS holds the other kind of document", `task_type is "invoice:preview", which this program doesn't know`, "2 left as they are"} {
			if code != exitOK || !strings.Contains(stdout+stderr, want) {
				t.Errorf("%s: exit code %d, %q isn't in\n%s%s", flag, code, want, stdout, stderr)
			}
		}
	}
	if after := s.Text(t, "SELECT string_agg(j::text, '|' ORDER BY id) FROM invoice_jobs j"); after != before {
		t.Errorf("a replay made of\n%s\n%s", before, after)
	}
}

// What a dry run forecasts is what then happens, and a dry run itself changes nothing.
func TestReplayDoesAsForecast(t *testing.T) {
	t.Parallel()
	s := sharedSite(t).with("INVOICER_WORKER_MAX_RETRY=0")
	s.breakInvoices(t)
	s.start(t, "worker")
	s.enqueue(t, "T1", "T2", "T3")
	bad, err := asynq.NewClientFromRedisClient(s.rdb).Enqueue(asynq.NewTask(client.TaskType, []byte(`{"transaction_id":"T4","currency":"XXX"}`)), asynq.Queue(s.queue))
	if err != nil {
		t.Fatal(err)
	}
	s.awaitCount(t, 4, "SELECT count(*) FROM invoice_jobs WHERE state = 'failed'")
	s.mendInvoices(t)
	s.enqueue(t, "T2")
	if code, _, stderr := s.run(t, payloadOf("T3", "EUR"), "enqueue", "-", "--queue", s.queue); code != exitOK {
		t.Fatal(stderr)
	}
	s.awaitCount(t, 2, "SELECT count(*) FROM invoices")
	number := func(transactionID string) string {
		return s.Text(t, "SELECT invoice_number FROM invoices WHERE transaction_id = $1", transactionID)
	}

	rows := "SELECT string_agg(j::text, '|' ORDER BY id) FROM invoice_jobs j"
	before := s.Text(t, rows)
	dry := regexp.MustCompile(" {2,}").ReplaceAllString(s.must(t, "replay", "--all", "--dry-run"), "  ")
	for _, want := range []string{
		"  T1  would create\n", "  T2  duplicate of " + number("T2") + "\n", "  T3  conflict with " + number("T3") + ": currency\n",
		bad.ID + "  T4  still invalid: issued_at is required; ",
		"3 jobs would be replayed (forecast: 1 would create, 1 duplicate, 1 conflict); 1 left as it is: still invalid\n",
	} {
		if !strings.Contains(dry, want) {
			t.Errorf("%q isn't in\n%s", want, dry)
		}
	}
	forecasts := map[string]string{}
	for _, j := range s.replayJSON(t, "--all", "--dry-run").Jobs {
		forecasts[*j.TransactionID] = j.Forecast
	}
	if after := s.Text(t, rows); after != before {
		t.Errorf("a dry run made of\n%s\n%s", before, after)
	}

	code, stdout, stderr := s.run(t, "", "replay", "--all", "--by", "ada")
	if code != exitOK || stdout != "3 jobs were replayed (forecast: 1 would create, 1 duplicate, 1 conflict); 1 left as it is: still invalid\n" {
		t.Errorf("exit code %d, %s", code, stdout)
	}
	if !strings.Contains(stderr, "invoicer: "+bad.ID+"  T4  still invalid: ") {
		t.Errorf("stderr %s", stderr)
	}
	s.awaitIdle(t)
	for transactionID, want := range map[string]string{"T1": "created", "T2": "duplicate", "T3": "conflict", "T4": "invalid"} {
		if got := s.Text(t, "SELECT outcome FROM invoice_jobs WHERE transaction_id = $1", transactionID); got != want || forecasts[transactionID] != want {
			t.Errorf("%s: forecast %s, came to %s, want %s", transactionID, forecasts[transactionID], got, want)
		}
	}
	if invoices, attempts := s.Count(t, "SELECT count(*) FROM invoices"), s.Count(t, "SELECT count(*) FROM duplicate_attempts"); invoices != 3 || attempts != 1 {
		t.Errorf("%d invoices, %d duplicate attempts", invoices, attempts)
	}
	if n := s.Count(t, "SELECT count(*) FROM invoices i JOIN invoice_jobs j USING (job_id) WHERE i.transaction_id = 'T1'"); n != 1 {
		t.Error("T1's invoice isn't that job's")
	}

	history := s.must(t, "replay", "history")
	for _, want := range []string{
		"T1 failed created " + number("T1") + " -", "T2 failed duplicate " + number("T2") + " -", "T3 failed conflict - -",
	} {
		if !strings.Contains(strings.Join(strings.Fields(history), " "), want) {
			t.Errorf("%q isn't in\n%s", want, history)
		}
	}
	// What came of the first is what was on record before the second.
	s.must(t, "replay", "--transaction", "T3", "--note", "again")
	s.awaitIdle(t)
	var past []struct {
		Outcome, Actor string
		CameTo         string `json:"came_to"`
	}
	jobID := s.Text(t, "SELECT job_id FROM invoice_jobs WHERE transaction_id = 'T3'")
	if err := json.Unmarshal([]byte(s.must(t, "replay", "history", "--job", jobID, "--json")), &past); err != nil || len(past) != 2 || past[1].CameTo != "conflict" || past[1].Actor != "ada" {
		t.Errorf("history %+v, %v", past, err)
	}
	s.must(t, "audit")
}

// The cause of a bad end lies in the configuration, and is mended there.
func TestReplayAfterTheCauseIsMended(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	w := s.start(t, "worker")
	payload := strings.Replace(payloadOf("T1", "GBP"), "{", `{"series":"INV-CN","producer":"checkout","idempotency_key":"K1",`, 1)
	jobID := s.Text(t, "SELECT accept($1, $2)", payload, s.queue)
	s.awaitCount(t, 1, "SELECT count(*) FROM invoice_jobs WHERE state = 'failed' AND outcome = 'invalid'")
	if told := s.replayJSON(t, "--all"); told.Replayed != 0 || told.StillInvalid != 1 || told.Jobs[0].Problems[0].Field != "series" {
		t.Errorf("before: %+v", told)
	}
	_ = w.Process.Kill()
	<-w.ended
	s.change(t, "UPDATE invoice_jobs SET transaction_id = NULL, idempotency_key = NULL, producer = NULL") // as of a payload that an older worker couldn't read
	mended := s.with("INVOICER_NUMBERING_CREDIT_NOTE_SERIES=CN-{series}")
	mended.start(t, "worker")
	if told := mended.replayJSON(t, "--reason", "SERIES"); told.Replayed != 1 {
		t.Errorf("after: %+v", told)
	}
	s.awaitIdle(t)
	if got := s.Text(t, "SELECT concat_ws(' ', j.state, j.outcome, j.transaction_id, j.idempotency_key, j.producer, i.invoice_number, i.job_id) FROM invoice_jobs j JOIN invoices i ON i.id = j.invoice_id"); got != "done created T1 K1 checkout INV-CN-000001 "+jobID {
		t.Errorf("came to %s", got)
	}
	mended.must(t, "audit")
}

// Two people replay everything at the same moment, and then once more.
func TestReplayTwice(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	const transactions, copies = 120, 3
	s.change(t, `INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, payload, state, outcome, reason)
SELECT 'job-' || t || '-' || c, 'T' || t, 'T' || t, $1, replace($2, '"T0"', '"T' || t || '"'), 'failed', 'failed', 'planted'
FROM generate_series(1, $3) t, generate_series(1, $4) c`, s.queue, payloadOf("T0", "GBP"), transactions, copies)
	first, second := s.start(t, "replay", "--all", "--json"), s.start(t, "replay", "--all", "--json")
	total := 0
	for _, p := range []*process{first, second} {
		if code := p.exit(t); code != exitOK {
			t.Fatalf("exit code %d", code)
		}
		var told replayedJobs
		if err := json.Unmarshal(p.stdout.Bytes(), &told); err != nil {
			t.Fatal(err)
		}
		total += told.Replayed
	}
	if actions := s.Count(t, "SELECT count(*) FROM invoice_job_actions"); total != transactions*copies || actions != total {
		t.Errorf("%d replayed and %d on record, want %d", total, actions, transactions*copies)
	}
	if stdout := s.must(t, "replay", "--all"); stdout != "no failed job matches these flags\n" {
		t.Errorf("the third says %s", stdout)
	}
	s.start(t, "worker")
	s.awaitIdle(t)
	if invoices, attempts := s.Count(t, "SELECT count(*) FROM invoices"), s.Count(t, "SELECT count(*) FROM duplicate_attempts"); invoices != transactions || attempts != transactions*(copies-1) {
		t.Errorf("%d invoices, %d duplicate attempts", invoices, attempts)
	}
	if told := s.replayJSON(t, "--all"); told.Replayed+told.StillInvalid+len(told.Jobs) != 0 {
		t.Errorf("after the end: %+v", told)
	}
	s.must(t, "audit")
}

// asynqmon has a button of its own for a task in the archive, which runs it again as it is.
func TestRunTaskEndsInTheSameRecords(t *testing.T) {
	t.Parallel()
	s := sharedSite(t).with("INVOICER_WORKER_MAX_RETRY=0")
	s.breakInvoices(t)
	s.start(t, "worker")
	s.enqueue(t, "T1")
	s.Text(t, "SELECT accept($1, $2)", payloadOf("T2", "GBP"), s.queue)
	replayed := s.Text(t, "SELECT accept($1, $2)", payloadOf("T3", "GBP"), s.queue)
	s.awaitCount(t, 3, "SELECT count(*) FROM invoice_jobs WHERE state = 'failed'")
	tasks := s.awaitArchived(t, 3)
	s.mendInvoices(t)
	// One was replayed before somebody pressed the button.
	s.must(t, "replay", "--job", replayed)
	s.awaitCount(t, 1, "SELECT count(*) FROM invoices")
	for _, task := range tasks {
		if err := s.inspector.RunTask(s.queue, task.ID); err != nil {
			t.Fatal(err)
		}
	}
	s.awaitArchived(t, 0)
	s.awaitCount(t, 3, "SELECT count(*) FROM invoice_jobs j JOIN invoices i ON i.job_id = j.job_id AND i.id = j.invoice_id WHERE j.state = 'done' AND j.outcome = 'created' AND j.reason IS NULL")
	if told := s.replayJSON(t, "--all"); len(told.Jobs) != 0 {
		t.Errorf("still failed: %+v", told)
	}
	if n := s.Count(t, "SELECT count(*) FROM duplicate_attempts"); n != 0 {
		t.Errorf("%d duplicates of themselves", n)
	}
	s.must(t, "audit")
}

func TestDismissedJobsStay(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	s.fail(t, "a", "T1", "conflict", "other content", "", s.queue, payloadOf("T1", "GBP"), "1 hour")
	s.fail(t, "b", "T2", "failed", "planted", "", s.queue, payloadOf("T2", "GBP"), "1 hour")
	s.start(t, "worker")
	if stdout := s.must(t, "dismiss", "a", "--reason", "credited by hand", "--by", "ada"); stdout != "job a is dismissed\n" {
		t.Errorf("says %s", stdout)
	}
	if stdout := s.must(t, "dismiss", "a", "--reason", "once more"); stdout != "job a was dismissed already; nothing is changed\n" {
		t.Errorf("says %s", stdout)
	}
	s.must(t, "replay", "--all")
	s.awaitIdle(t)
	if got := s.Text(t, "SELECT concat_ws(' ', state, outcome, reason, payload IS NOT NULL) FROM invoice_jobs WHERE job_id = 'a'"); got != "dismissed conflict other content t" {
		t.Errorf("the dismissed job: %s", got)
	}
	if got := s.Text(t, "SELECT string_agg(concat_ws(' ', job_id, action, actor, note, outcome, reason), ',') FROM invoice_job_actions WHERE job_id = 'a'"); got != "a dismiss ada credited by hand conflict other content" {
		t.Errorf("on record: %s", got)
	}
	for job, says := range map[string]string{
		"b": "invoicer: job b has not failed, it is done; only a failed job can be dismissed",
		"z": "invoicer: the ledger of schema " + s.Schema + " has no job z",
	} {
		if code, _, stderr := s.run(t, "", "dismiss", job, "--reason", "x"); code != exitFailed || !strings.Contains(stderr, says) {
			t.Errorf("%s: exit code %d, %s", job, code, stderr)
		}
	}
	if history := s.must(t, "replay", "history", "--job", "a"); !strings.Contains(strings.Join(strings.Fields(history), " "), "dismiss ada a T1 conflict dismissed - credited by hand") {
		t.Errorf("history\n%s", history)
	}
	s.must(t, "audit")
}
