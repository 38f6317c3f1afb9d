package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"

	"github.com/hibiken/asynq"

	"invoicer/worker/client"
)

// canary is planted wherever a job may hold personal data, and in the database's password. Nothing that the program says may contain it.
const canary = "Canary"

// withPassword is the site with a password for the database, which asks for none.
func (s *site) withPassword(t *testing.T, password string) *site {
	t.Helper()
	address, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	query := address.Query()
	query.Set("password", password)
	address.RawQuery = query.Encode()
	return s.with("INVOICER_DATABASE_URL=" + address.String())
}

// planted returns a job with canaries in all that may be personal.
func planted(transactionID, name string, more ...string) string {
	return fmt.Sprintf(`{"transaction_id":%q,"producer":"shop","customer_id":"Canary-id","customer_name":"Canary %s","country":"Canary-land","issued_at":"2010-12-01T08:26:00Z",`+
		`"currency":"GBP","lines":[{"sku":"Canary-sku","description":"Canary cage","quantity":1,"unit_price":"2.55"}],"metadata":{"Canary-key":"Canary-value"}%s}`+"\n",
		transactionID, name, strings.Join(more, ""))
}

// What a job may hold of persons is on no page, in no metric, in no log line and in no output of a command, whatever became of the job. The
// exception is `status --json`, which has the invoice whole.
func TestPersonalDataIsNowhere(t *testing.T) {
	t.Parallel()
	s := sharedSite(t).withPassword(t, "Canary-password").with("INVOICER_LOG_LEVEL=debug", "INVOICER_WORKER_MAX_RETRY=0")
	said := map[string]string{}
	run := func(stdin string, args ...string) string {
		t.Helper()
		_, stdout, stderr := s.run(t, stdin, args...)
		said[strings.Join(args, " ")] = stdout + stderr
		return stdout
	}
	w := s.start(t, "worker")
	pages := w.pages(t)
	enqueue := func(jobs string, ends int, args ...string) {
		t.Helper()
		run(jobs, append([]string{"enqueue", "-", "--queue", s.queue}, args...)...)
		s.awaitEnds(t, ends)
	}
	s.change(t, "ALTER TABLE invoices ADD CONSTRAINT planted CHECK (transaction_id <> 'refused')")
	enqueue(planted("T1", "Ada"), 1, "--durable")
	enqueue(planted("T1", "Ada"), 2)                   // a duplicate
	enqueue(planted("T1", "Bob"), 3, "--durable")      // a conflict
	enqueue(planted("T2", "Ada"), 4)                   // a twin
	enqueue(planted("refused", "Ada"), 5, "--durable") // the database's words quote the row
	producer := asynq.NewClientFromRedisClient(s.rdb)
	for i, payload := range []string{ // which enqueue would refuse
		planted("T3", "Ada", `,"more":{"Canary":["Canary"]}`), planted("T4", strings.Repeat("Ada", 2000)),
		`{"transaction_id":"T5","lines":"Canary","currency":"Canary"}`, "Canary",
	} {
		if _, err := producer.EnqueueContext(t.Context(), asynq.NewTask(client.TaskType, []byte(payload)), asynq.Queue(s.queue)); err != nil {
			t.Fatal(err)
		}
		s.awaitEnds(t, 6+i)
	}

	failed := s.Text(t, "SELECT job_id FROM invoice_jobs WHERE outcome = 'conflict'")
	for _, args := range [][]string{
		{"status", "T1"},
		{"status", "T5"},
		{"status", failed},
		{"status", "refused"},
		{"queues"},
		{"workers", "--json"},
		{"races"},
		{"races", "--json"},
		{"list", "jobs", "-o", "json"},
		{"list", "jobs", "-o", "wide"},
		{"list", "jobs", "--group", "reason"},
		{"list", "invoices", "-o", "csv"},
		{"list", "duplicates", "-o", "json"},
		{"audit"},
		{"audit", "--json"},
		{"config"},
		{"replay", "--outcome", "conflict", "--dry-run"},
		{"replay", "--outcome", "conflict", "--rate", "100"},
		{"replay", "history"},
		{"history"},
		{"lock", "show", "T1"},
		{"dismiss", failed, "--reason", "x"},
		{"migrate", "status"},
		{"prune", "--dry-run"},
	} {
		run("", args...)
	}
	for _, path := range []string{
		"/", "/failed", "/queues", "/workers", "/races", "/invoices", "/invoices.csv", "/invoices.json", "/series", "/actions", "/handovers", "/search?q=T1", "/search?q=refused", "/search?q=T5",
		"/search?q=" + failed, "/metrics", "/readyz", "/monitor/api/servers", "/monitor/api/queues/" + s.queue,
		"/monitor/api/queues/" + s.queue + "/archived_tasks", "/monitor/api/queues/" + s.queue + "/completed_tasks", "/monitor/api/queues/" + s.queue + "/tasks/" + failed,
	} {
		code, page := get(t, pages+path)
		if code != http.StatusOK {
			t.Errorf("%s: %d %s", path, code, page)
		}
		said[path] = page
	}
	if page := said["/monitor/api/queues/"+s.queue+"/tasks/"+failed]; !strings.Contains(page, `T1`) || !strings.Contains(page, `2.55 GBP`) {
		t.Errorf("asynqmon doesn't say what job %s asks for: %s", failed, page)
	}
	if page := said["/monitor/api/queues/"+s.queue+"/completed_tasks"]; !strings.Contains(page, `created INV`) {
		t.Errorf("asynqmon doesn't say what became of jobs: %s", page)
	}
	w.signal(t, syscall.SIGTERM)
	w.exit(t)
	said["worker"] = w.stderr() + w.stdout.String()
	for what, text := range said {
		for line := range strings.Lines(text) {
			if strings.Contains(line, canary) {
				t.Errorf("%s says %s", what, line)
				break
			}
		}
	}
}

// Who may see personal data, and looks, is on record.
func TestPersonalDataIsShownOnRecord(t *testing.T) {
	t.Parallel()
	s := sharedSite(t).beyondLoopback(t, "INVOICER_HTTP_INSECURE=true", "INVOICER_HTTP_PERSONAL_DATA=operate")
	reader, operator := s.token(t, "--role", "read", "--name", "r"), s.token(t, "--role", "operate", "--name", "o")
	if code, _, stderr := s.run(t, planted("T1", "Ada"), "enqueue", "-", "--queue", s.queue, "--durable"); code != exitOK {
		t.Fatal(stderr)
	}
	served := s.start(t, "serve")
	address := served.pages(t)
	awaitCode(t, http.StatusOK, address+"/", bearer(operator))
	jobID := s.Text(t, "SELECT job_id FROM invoice_jobs")
	look := func(token string) (int, string) {
		return get(t, address+"/payload", bearer(token), func(r *http.Request) {
			body := strings.NewReader(url.Values{"job": {jobID}, "note": {"asked by the customer"}}.Encode())
			post, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address+"/payload", body)
			if err != nil {
				t.Fatal(err)
			}
			r.Method, r.Body, r.ContentLength = post.Method, post.Body, post.ContentLength
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		})
	}
	if code, page := look(reader); code != http.StatusForbidden || strings.Contains(page, canary) {
		t.Errorf("a reader: %d %s", code, page)
	}
	if n := s.Count(t, "SELECT count(*) FROM actions"); n != 0 {
		t.Errorf("%d looks are on record", n)
	}
	if code, page := look(operator); code != http.StatusOK || !strings.Contains(page, "Canary cage") {
		t.Errorf("an operator: %d %s", code, page)
	}
	if got := s.Text(t, "SELECT concat_ws('|', action, subject, actor, note) FROM actions"); got != "see personal data|"+jobID+"|o|asked by the customer" {
		t.Errorf("on record: %s", got)
	}
}
