package inquiry_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"invoicer/internal/report"
	"invoicer/internal/rig"
	"invoicer/invoice"
	"invoicer/invoice/ledger"
	"invoicer/worker/queue"
)

// create makes an invoice, and ask has a job end in another way.
func (b *site) create(t *testing.T, jobID, payload string) *invoice.Ref {
	t.Helper()
	job, err := invoice.Decode([]byte(payload))
	must(t, err)
	request := invoice.NewRequest(jobID, 1, job)
	request.Payload = []byte(payload)
	result, err := b.generator(t).Generate(t.Context(), request)
	must(t, err)
	must(t, b.store.Ledger.Record(t.Context(), ledger.End{
		JobID: jobID, Outcome: result.Outcome, Invoice: result.Invoice, Reason: result.Reason, Detail: result.Detail, TransactionID: job.TransactionID,
		IdempotencyKey: job.IdempotencyKey, Producer: job.Producer, Worker: "w1", Queue: b.Queue, Payload: []byte(payload), Attempts: 1,
	}))
	return result.Invoice
}

const first = `{"transaction_id":"T1","idempotency_key":"K1","producer":"checkout","customer_name":"Ada Lovelace","issued_at":"2010-12-01T08:26:00Z","currency":"GBP","lines":[{"quantity":1,"unit_price":"2.55","description":"lamp"}]}`

func TestAnIdIsWhateverItMayBe(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.create(t, "job-1", first)
	b.create(t, "job-2", first)
	b.create(t, "INV-000001", `{"transaction_id":"K1","idempotency_key":"K3","issued_at":"2010-12-01T08:26:00Z","currency":"GBP","lines":[{"quantity":1,"unit_price":"1"}]}`)
	accepted := b.accept(t, "T4")
	for id, want := range map[string]string{
		"T1":             "transaction_id T1",
		"K1":             "transaction_id K1, idempotency_key T1",
		"K3":             "idempotency_key K1",
		"job-1":          "job_id T1 job-1",
		"job-2":          "job_id T1 job-2",
		"INV-000001":     "job_id K1 INV-000001, invoice_number T1",
		accepted:         "job_id T4 " + accepted,
		accepted + ".17": "task_id T4 " + accepted,
		"nope":           "",
		"' OR ''='":      "",
	} {
		s := b.story(t, id)
		var got []string
		for _, m := range s.Matches {
			text := m.Kind + " " + *m.TransactionID
			if m.JobID != nil {
				text += " " + *m.JobID
			}
			got = append(got, text)
		}
		if strings.Join(got, ", ") != want || s.Known() != (want != "") {
			t.Errorf("%s: %q, want %q; known: %v", id, got, want, s.Known())
		}
	}
}

func TestStoryOfARace(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.create(t, "job-1", first)
	b.create(t, "job-2", first)
	b.create(t, "job-3", strings.NewReplacer("2.55", "2.56", "Ada Lovelace", "Grace Hopper", "lamp", "light").Replace(first))
	s := b.story(t, "job-2")
	var happened []string
	for _, e := range s.Events {
		happened = append(happened, e.JobID+" "+e.What)
	}
	if got := strings.Join(happened, ", "); got != "job-1 invoiced, job-2 duplicate, job-3 failed" || len(s.Waits) != 0 {
		t.Errorf("%s; waits %+v", got, s.Waits)
	}
	if text := s.Events[1].Text; !strings.Contains(text, "job-1") || !strings.Contains(text, "INV-000001") {
		t.Errorf("%q doesn't name the winner", text)
	}
	encoded, err := json.Marshal(s.Conflicts)
	must(t, err)
	want := `[{"job_id":"job-3","invoice_number":"INV-000001","fields":[{"field":"customer_name","invoiced":null,"asked":null},` +
		`{"field":"lines[0].description","invoiced":null,"asked":null},{"field":"lines[0].unit_price","invoiced":"2.55","asked":"2.56"}]}]`
	if string(encoded) != want {
		t.Errorf("%s, want %s", encoded, want)
	}
	whole, err := json.Marshal(s)
	must(t, err)
	for _, name := range []string{"Lovelace", "Hopper"} {
		if strings.Contains(string(whole), name) {
			t.Errorf("%s is in %s", name, whole)
		}
	}
}

func TestStoryOfManyShowsTheNewest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for n := range 25 {
		b.create(t, fmt.Sprintf("job-%d", n), first)
	}
	s := b.story(t, "job-1") // the first duplicate, beyond the newest 20
	if n := len(s.DuplicateAttempts); n != 21 || !s.More || s.DuplicateAttempts[20].JobID != "job-1" {
		t.Errorf("%d duplicates, more: %v", n, s.More)
	}
}

func TestQueues(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for n := range 3 {
		b.accept(t, fmt.Sprintf("T%d", n))
	}
	b.send(t)
	b.Exec(t, "UPDATE invoice_jobs SET accepted_at = now() - interval '1 hour' WHERE transaction_id = 'T1'")
	b.accept(t, "T9")
	must(t, b.Redis.RPush(t.Context(), b.Key("active"), "x").Err())
	must(t, b.Redis.ZAdd(t.Context(), b.Key("retry"), redis.Z{Score: 1, Member: "y"}).Err())
	must(t, b.Redis.Set(t.Context(), b.Key("processed"), 1000, 0).Err())
	must(t, b.Redis.HSet(t.Context(), "invoicer:samples:{"+b.Queue+"}", "1", fmt.Sprintf("%d:%d", time.Now().Unix()-60, 400)).Err())

	q := b.queue(t)
	if *q.Pending != 3 || *q.Active != 1 || *q.Retry != 1 || *q.Archived != 0 || q.Accepted != 1 || q.Estimated || q.Waiting() != 5 || q.Owner != nil {
		t.Errorf("%+v", q)
	}
	if age := time.Since(*q.OldestAt); age < 59*time.Minute || age > 62*time.Minute {
		t.Errorf("the oldest is %s old", age)
	}
	if q.Rate == nil || *q.Rate < 9 || *q.Rate > 10.2 || q.EmptyIn != nil {
		t.Errorf("rate %v, empty in %v without a worker", q.Rate, q.EmptyIn)
	}
	b.own(t, b.store, b.databaseID, "w1")
	if q := b.queue(t); q.Consumers != 1 || !q.Ours || q.EmptyIn == nil || *q.EmptyIn < 0.4 || *q.EmptyIn > 0.7 {
		t.Errorf("with a worker: %+v", q)
	}
	_, err := queue.KeysOf(b.Queue).Pause(t.Context(), b.Redis)
	must(t, err)
	if q := b.queue(t); !q.Paused || q.EmptyIn != nil {
		t.Errorf("paused: %+v", q)
	}
}

func (b *site) queue(t *testing.T) report.Queue {
	t.Helper()
	found, err := b.reporter.Queues(t.Context())
	must(t, err)
	for _, q := range found.Queues {
		if q.Queue == b.Queue {
			return q
		}
	}
	t.Fatalf("no queue %s in %+v, problems %q", b.Queue, found.Queues, found.Problems)
	return report.Queue{}
}

func TestManyAcceptedJobsAreEstimated(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Exec(t, `INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, payload, state)
SELECT 'j' || n, 't' || n, 't' || n, CASE WHEN n % 4 = 0 THEN 'bulk' ELSE $1 END, '{}', 'accepted' FROM generate_series(1, 20000) n`, b.Queue)
	b.Exec(t, "ANALYZE invoice_jobs")
	if q := b.queue(t); !q.Estimated || q.Accepted < 13_000 || q.Accepted > 17_000 {
		t.Errorf("%+v, want about 15,000", q)
	}
}

func TestWorkers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.own(t, b.store, b.databaseID, "keeper")
	for n, ttl := range []string{"15s", "20s"} {
		p, err := queue.NewPresence(b.Redis, report.Worker{
			Name: fmt.Sprintf("w%d-%s", n, b.Queue), Version: "v1", Installation: b.databaseID, Schema: b.Schema,
			Queues: map[string]int{b.Queue: 2}, Concurrency: 4, Settings: map[string]string{"lock.ttl": ttl, "lock.wait": "1s"},
		}, nil)
		must(t, err)
		must(t, p.Show(t.Context()))
		if n == 0 {
			must(t, queue.SetQuiet(t.Context(), b.Redis, "w0-"+b.Queue, true))
			must(t, p.Show(t.Context()))
			if !p.Quiet() {
				t.Error("the worker isn't quiet")
			}
		}
	}
	found, err := b.reporter.Workers(t.Context())
	must(t, err)
	var ours []report.Worker
	for _, w := range found.Workers {
		if (w.Installation == b.databaseID) != w.Ours {
			t.Errorf("ours: %t, of installation %s", w.Ours, w.Installation)
		}
		if w.Ours {
			ours = append(ours, w)
		}
	}
	if len(ours) != found.Ours() || len(ours) != 2 || !ours[0].Quiet || ours[1].Quiet || ours[0].Digest == ours[1].Digest || ours[0].Version != "v1" {
		t.Errorf("%+v", ours)
	}
	if d := found.Differs; len(d) != 1 || d[0].Key != "lock.ttl" || d[0].Values["15s"][0] != "w0-"+b.Queue {
		t.Errorf("differs: %+v", d)
	}
	if q := b.queue(t); q.Consumers != 0 {
		t.Errorf("%d consumers, but the only one is quiet", q.Consumers)
	}
}

func TestWorkersShowWhatTheyDo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	name := "w-" + b.Queue
	p, err := queue.NewPresence(b.Redis, report.Worker{Name: name, Queues: map[string]int{b.Queue: 1}, Installation: b.databaseID}, nil)
	must(t, err)
	must(t, p.Show(t.Context()))
	id := b.accept(t, "T1")
	b.send(t)
	gate := rig.NewGate("locked")
	b.work(t, name, nil, gate.Hook)
	t.Cleanup(gate.Open)
	gate.Await(t)
	rig.Await(t, func() error {
		must(t, p.Show(t.Context()))
		found, err := b.reporter.Workers(t.Context())
		must(t, err)
		for _, w := range found.Workers {
			if w.Name == name && w.Active == 1 && w.Doing[0].JobID == id && w.Doing[0].Queue == b.Queue {
				return nil
			}
		}
		return fmt.Errorf("job %s at %s in %+v", id, name, found.Workers)
	})
}
