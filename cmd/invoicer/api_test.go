package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
)

// postJob asks a process for an invoice, as a program on the same machine.
func postJob(t *testing.T, url, job string, headers ...string) (*http.Response, map[string]any) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(job))
	must(t, err)
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	must(t, err)
	defer answer.Body.Close()
	var body map[string]any
	must(t, json.NewDecoder(answer.Body).Decode(&body))
	return answer, body
}

// A worker invoices what it was asked for by HTTP, and tells.
func TestAWorkerInvoicesWhatComesByHTTP(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	w := s.start(t, "worker")
	w.awaitReadyz(t, http.StatusOK)
	url := w.pages(t) + "/v1/jobs?queue=" + s.queue
	for i, want := range []int{http.StatusCreated, http.StatusCreated} { // the second is the same request again
		answer, body := postJob(t, url, payloadOf("T1", "GBP"), "Prefer", "wait=30", "Idempotency-Key", "k")
		if answer.StatusCode != want || body["invoice_number"] != "INV-000001" {
			t.Errorf("request %d: %d %v", i, answer.StatusCode, body)
		}
	}
	if answer, body := postJob(t, url, payloadOf("T1", "GBP"), "Prefer", "wait=30"); answer.StatusCode != http.StatusOK || body["invoice_number"] != "INV-000001" || body["outcome"] != "duplicate" {
		t.Errorf("without a key: %d %v", answer.StatusCode, body)
	}
	if answer, body := postJob(t, url, payloadOf("T1", "EUR"), "Prefer", "wait=30", "Idempotency-Key", "other"); answer.StatusCode != http.StatusAccepted || body["outcome"] != "conflict" || body["state"] != "failed" {
		t.Errorf("other content: %d %v", answer.StatusCode, body)
	}
	if answer, body := postJob(t, url, payloadOf("T1", "EUR")); answer.StatusCode != http.StatusUnprocessableEntity || body["job_id"] == "" {
		t.Errorf("other content without a key: %d %v", answer.StatusCode, body)
	}
	s.must(t, "audit")
}

// A process that takes no jobs puts those that it accepts into their queue. Without Redis, a relay does so later.
func TestServeSendsWhatItAccepts(t *testing.T) {
	t.Parallel()
	redis := sandboxtest.PrivateRedis(t)
	d := rig.NewDatabase(t)
	s := newSiteOn(t, d.URL, d.Schema, redis.URL)
	served := s.start(t, "serve")
	served.awaitReadyz(t, http.StatusOK)
	url := served.pages(t) + "/v1/jobs?queue=" + s.queue
	postJob(t, url, payloadOf("T1", "GBP"))
	rdb := rig.Connect(t, redis.URL)
	rig.Eventually(t, "a task in the queue", func() bool {
		n, err := rdb.LLen(t.Context(), "asynq:{"+s.queue+"}:pending").Result()
		return err == nil && n == 1 && s.Count(t, "SELECT count(*) FROM invoice_jobs WHERE state = 'enqueued'") == 1
	})
	must(t, redis.Kill())
	begun := time.Now()
	if answer, body := postJob(t, url, payloadOf("T2", "GBP")); answer.StatusCode != http.StatusAccepted || time.Since(begun) > 5*time.Second {
		t.Errorf("without Redis: %d %v after %v", answer.StatusCode, body, time.Since(begun))
	}
	rig.Eventually(t, "an accepted job that waits for a relay", func() bool {
		return s.Count(t, "SELECT count(*) FROM invoice_jobs WHERE transaction_id = 'T2' AND state = 'accepted'") == 1
	})
}

// The examples of docs/api.md run as they are printed, in processes that have the roles made for them.
func TestTheExamplesOfTheAPI(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("there is no curl")
	}
	i := installOn(t, durablePostgres(t).URL, sandboxtest.PrivateRedis(t).URL)
	s := i.with("INVOICER_WORKER_QUEUES=default=1", "INVOICER_ALLOW_UNSAFE=false")
	i.site = s
	token := func(name string, args ...string) string {
		code, out, stderr := i.of(t, "operator").run(t, "", append([]string{"token", "make", "--name", name}, args...)...)
		if code != exitOK {
			t.Fatal(stderr)
		}
		return strings.TrimSpace(out)
	}
	environ := append(os.Environ(), "TOKEN="+token("checkout", "--role", "enqueue", "--producer", "checkout"),
		"READ_TOKEN="+token("reader", "--role", "read"), "OPERATE_TOKEN="+token("ada", "--role", "operate"))
	w := i.of(t, "worker").with("INVOICER_HTTP_PERSONAL_DATA=read").start(t, "worker")
	w.awaitReadyz(t, http.StatusOK)
	environ = append(environ, "URL="+w.pages(t))
	i.fail(t, "failed", "T1", "failed", "disk full", "checkout", "default", payloadOf("T1", "GBP"), "1h")
	environ = append(environ, "JOB_ID=failed")

	text, err := os.ReadFile("../../docs/api.md")
	must(t, err)
	wants := []string{`"invoice_number":"INV-000001"`, `"pointer":"/lines/0/unit_price"`, `"index":1`, `"series":"INV"`, `  facture.pdf`, `"next":"0"`, `"reason":null`, `"counted":`, `{"handovers":[],"next":""}`, `"secret":"whsec_`}
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(blocks) != len(wants) {
		t.Fatalf("%d examples, and %d answers", len(blocks), len(wants))
	}
	files := t.TempDir()
	for n, block := range blocks {
		cmd := exec.CommandContext(t.Context(), "bash", "-ec", block[1])
		cmd.Env, cmd.Dir = environ, files
		out, err := cmd.CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte(wants[n])) {
			t.Errorf("%s\n%v without %s:\n%s", block[1], err, wants[n], out)
		}
	}
	readme, err := os.ReadFile("../../README.md")
	must(t, err)
	block := regexp.MustCompile("(?s)```sh\n(.*?)```").FindSubmatch(readme)
	cmd := exec.CommandContext(t.Context(), "bash", "-ec", strings.ReplaceAll(string(block[1]), "http://127.0.0.1:8080", w.pages(t)))
	if out, err := cmd.Output(); err != nil || !bytes.Contains(out, []byte(wants[0])) || !bytes.Contains(out, []byte(`"outcome":"duplicate"`)) {
		t.Errorf("%s\n%v: %s", block[1], err, out)
	}
	// As the role that only reads.
	served := i.of(t, "auditor").start(t, "serve")
	served.awaitReadyz(t, http.StatusOK)
	if code, body := get(t, served.pages(t)+"/v1/invoices/INV-000001"); code != http.StatusOK {
		t.Errorf("an invoice: %d %s", code, body)
	}
	if answer, body := postJob(t, served.pages(t)+"/v1/jobs", payloadOf("T2", "GBP")); answer.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body["detail"].(string), "rights") {
		t.Errorf("%d %v", answer.StatusCode, body)
	}
}

// Clients that send again whatever happens, to processes that are killed in between, get exactly one invoice for each transaction, and the
// same number in each answer.
func TestClientsRetryBlindlyThroughKills(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	const transactions, copies, kills = 25, 3, 3
	var addresses [2]atomic.Pointer[string]
	var processes [2]*process
	serve := func(i int) {
		processes[i] = s.start(t, "worker")
		processes[i].awaitReadyz(t, http.StatusOK)
		url := processes[i].pages(t) + "/v1/jobs?queue=" + s.queue
		addresses[i].Store(&url)
	}
	serve(0)
	serve(1)
	var done atomic.Int64
	numbers := make([][copies]string, transactions)
	var clients sync.WaitGroup
	for n := range transactions {
		for c := range copies {
			clients.Go(func() {
				for try := 0; numbers[n][c] == "" && t.Context().Err() == nil; try++ {
					r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, *addresses[(c+try)%2].Load(), strings.NewReader(payloadOf(fmt.Sprint("T", n), "GBP")))
					if err != nil {
						t.Error(err)
						return
					}
					r.Header.Set("Content-Type", "application/json")
					r.Header.Set("Prefer", "wait=5")
					if c > 0 {
						r.Header.Set("Idempotency-Key", fmt.Sprint(n, "-", c/2)) // one of them has no key, and two have the same
					}
					answer, err := http.DefaultClient.Do(r)
					if err != nil {
						continue
					}
					var body struct {
						InvoiceNumber string `json:"invoice_number"`
						Outcome       string
					}
					err = json.NewDecoder(answer.Body).Decode(&body)
					answer.Body.Close()
					if err == nil && (answer.StatusCode == http.StatusOK || answer.StatusCode == http.StatusCreated) {
						numbers[n][c] = body.InvoiceNumber
						done.Add(1)
					} else if answer.StatusCode != http.StatusAccepted && answer.StatusCode != http.StatusConflict && answer.StatusCode != http.StatusServiceUnavailable {
						t.Errorf("%d %+v %v", answer.StatusCode, body, err)
						return
					}
				}
			})
		}
	}
	for k := range kills {
		rig.Eventually(t, "some answers", func() bool { return done.Load() >= int64(k*5) })
		killed := processes[k%2]
		_ = killed.Process.Kill() // it may have ended
		<-killed.ended
		serve(k % 2)
	}
	clients.Wait()
	for n, of := range numbers {
		if of[0] == "" || of[1] != of[0] || of[2] != of[0] {
			t.Errorf("transaction %d: %v", n, of)
		}
	}
	s.awaitCount(t, transactions, "SELECT count(*) FROM invoices")
	s.awaitCount(t, 0, "SELECT count(*) FROM invoice_jobs WHERE state IN ('accepted', 'enqueued', 'failed')")
	s.must(t, "audit")
}

// While Postgres is down, or hangs, requests are answered soon, and nothing is done by halves.
func TestTheAPIWithoutPostgres(t *testing.T) {
	t.Parallel()
	postgres := durablePostgres(t)
	d := rig.DatabaseOn(t, postgres.URL)
	s := newSiteOn(t, d.URL, d.Schema, sandboxtest.Redis(t))
	served := s.start(t, "serve")
	served.awaitReadyz(t, http.StatusOK)
	url := served.pages(t) + "/v1/jobs?queue=" + s.queue
	for i, outage := range []struct{ begin, end func() error }{
		{postgres.Kill, func() error { return postgres.Restart(t.Context()) }},
		{postgres.Pause, postgres.Resume},
	} {
		key, job := fmt.Sprint("k", i), payloadOf(fmt.Sprint("T", i), "GBP")
		must(t, outage.begin())
		begun := time.Now()
		answer, body := postJob(t, url, job, "Idempotency-Key", key, "Prefer", "wait=30")
		if took := time.Since(begun); answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" || took > 15*time.Second {
			t.Errorf("outage %d: %d %v after %v", i, answer.StatusCode, body, took)
		}
		must(t, outage.end())
		rig.Eventually(t, "an accepted job", func() bool {
			answer, body = postJob(t, url, job, "Idempotency-Key", key)
			return answer.StatusCode == http.StatusAccepted
		})
		s.awaitCount(t, 1, "SELECT count(*) FROM invoice_jobs WHERE transaction_id = $1 AND job_id = $2", fmt.Sprint("T", i), body["job_id"])
	}
	s.awaitCount(t, 2, "SELECT count(*) FROM invoice_jobs")
}
