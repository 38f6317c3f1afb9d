package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"invoicer/events"
	"invoicer/internal/chaos"
	"invoicer/internal/checker"
	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/internal/sandbox/servers"
	"invoicer/invoice"
	"invoicer/worker/client"
)

// Clients of the HTTP API retry blindly, by one address behind which a server of pages and two workers take turns, while each of these, Redis
// and Postgres are killed and started again. Afterwards each job that was accepted has its end, each transaction one invoice, all answers name
// it, and each event was received.
func TestChaosClients(t *testing.T) {
	t.Parallel()
	seeds := []uint64{3}
	if everything() {
		seeds = []uint64{1, 2, 3, 4, 5, 6, 7, 8}
	}
	var scenes []scene
	for _, seed := range seeds {
		scenes = append(scenes, scene{fmt.Sprintf("seed=%d", seed), func(t *testing.T) { playClients(t, seed) }})
	}
	playTogether(t, scenes)
}

const (
	clientsJobs   = 400
	clientsAtOnce = 12
	clientsKills  = 14
)

// A clientsRun is a seed under way.
type clientsRun struct {
	*trial
	rand            *rand.Rand
	redis, postgres *servers.Server
	hears           *hearing
	front           *balancer
	processes       []*process // a server of pages, and two workers
	addresses       []string

	plain, keyed *client.HTTP
	retried      atomic.Int64
	done         atomic.Int64 // jobs whose end a client knows

	mu      sync.Mutex
	answers []answer
}

// An answer is what a client was told of one job.
type answer struct {
	asking chaos.Asking
	end    client.End
}

func playClients(t *testing.T, seed uint64) {
	t.Helper()
	t.Logf("seed %d", seed)
	secret := events.NewSecret()
	x := &clientsRun{rand: chaos.NewRand(seed), redis: sandboxtest.PrivateRedis(t), postgres: sandboxtest.PrivatePostgres(t), hears: startHearing(t, secret)}
	d := rig.DatabaseOn(t, x.postgres.URL)
	x.trial = newTrial(t, newSiteOn(t, d.URL, d.Schema, x.redis.URL).with(
		`INVOICER_EVENTS_ENDPOINTS=[{"name":"chaos","url":"`+x.hears.URL+`/hook","secret":"`+secret+`","types":["invoice.created","credit_note.created","job.duplicate","job.conflict"]}]`,
		"INVOICER_EVENTS_ALLOW=127.0.0.1",
	))
	for i := range 3 {
		x.addresses = append(x.addresses, freeAddress(t))
		x.processes = append(x.processes, nil)
		x.begin(t, i)
		x.processes[i].awaitReadyz(t, http.StatusOK)
	}
	x.front = startBalancer(t, x.addresses)
	options := client.HTTPOptions{Queue: x.queue, Timeout: 5 * time.Second, Retrying: func(error, time.Duration) { x.retried.Add(1) }}
	x.plain = x.over(t, options)
	options.Key = func(j *invoice.Job) string { return j.TransactionID + " " + j.Producer + " " + j.Fingerprint() }
	x.keyed = x.over(t, options)

	var asking sync.WaitGroup
	draws := x.rand.Uint64() // of its own, since the kills draw at the same time
	asking.Go(func() { x.askAll(t, draws) })
	t.Cleanup(asking.Wait) // also if it is the kills that fail
	x.killAll(t)
	asking.Wait()
	x.judge(t)
}

func (x *clientsRun) over(t *testing.T, o client.HTTPOptions) *client.HTTP {
	t.Helper()
	h, err := client.OverHTTP("http://"+x.front.Addr().String(), "", o)
	must(t, err)
	t.Cleanup(h.Close)
	return h
}

// begin starts a process, the first of which only serves.
func (x *clientsRun) begin(t *testing.T, i int) {
	t.Helper()
	x.processes[i] = x.with("INVOICER_HTTP_ADDR="+x.addresses[i]).start(t, []string{"serve", "worker", "worker"}[i])
}

// askAll asks for all jobs, several at a time, and returns when each has its end.
func (x *clientsRun) askAll(t *testing.T, seed uint64) {
	r := chaos.NewRand(seed)
	all, err := chaos.Askings(r, clientsJobs, chaos.Conflicts, 0)
	if err != nil {
		t.Error(err)
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), seedPatience+trialPatience)
	defer cancel()
	slots := make(chan struct{}, clientsAtOnce)
	var clients sync.WaitGroup
	for len(all) > 0 {
		n, way := 1, r.IntN(5)
		if way == 0 {
			n = min(len(all), 1+r.IntN(20))
		}
		batch := all[:n]
		all = all[n:]
		slots <- struct{}{}
		clients.Go(func() {
			defer func() { <-slots }()
			if err := x.ask(ctx, batch, way); err != nil {
				t.Error(err)
			}
		})
	}
	clients.Wait()
}

// ask asks for jobs in one of the ways that there are, and notes their ends.
func (x *clientsRun) ask(ctx context.Context, batch []chaos.Asking, way int) error {
	jobs := make([]*invoice.Job, len(batch))
	for i := range batch {
		var err error
		if jobs[i], err = invoice.Decode(batch[i].Payload); err != nil {
			return err
		}
		if batch[i].Payload, err = jobs[i].Encode(); err != nil { // as it is sent, without what is the default
			return err
		}
	}
	ids := make([]string, len(jobs))
	switch way {
	case 0:
		results, err := x.plain.AcceptMany(ctx, jobs)
		if err != nil {
			return err
		}
		for i, r := range results {
			if r.Err != nil {
				return r.Err
			}
			ids[i] = r.JobID
		}
	case 1:
		receipt, err := x.plain.Accept(ctx, jobs[0])
		if err != nil {
			return err
		}
		ids[0] = receipt.JobID
	case 2:
		end, err := x.keyed.Invoice(ctx, jobs[0])
		if err == nil {
			x.note(batch[0], end)
		}
		return err
	default:
		end, err := x.plain.Invoice(ctx, jobs[0])
		if err == nil {
			x.note(batch[0], end)
		}
		return err
	}
	for i, id := range ids {
		end, err := x.plain.Wait(ctx, id)
		if err != nil {
			return err
		}
		x.note(batch[i], end)
	}
	return nil
}

func (x *clientsRun) note(a chaos.Asking, end client.End) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.answers = append(x.answers, answer{a, end})
	x.done.Add(1)
}

// killAll kills processes and servers, one or several at once, whenever some more jobs have ended, and starts them again.
func (x *clientsRun) killAll(t *testing.T) {
	t.Helper()
	const victims = 5 // the processes, Redis, Postgres
	for round := range clientsKills {
		next := int64(clientsJobs * round / (clientsKills + 2))
		rig.Within(t, seedPatience, func() error {
			if n := x.done.Load(); n < next {
				return fmt.Errorf("%d ends of jobs that clients know, of which there are %d", next, n)
			}
			return nil
		})
		killed := 1 << (round % victims) // at first each by itself
		if round >= victims {
			killed = 1 + x.rand.IntN(1<<victims-1)
		}
		for i := range x.processes {
			if killed>>i&1 == 1 {
				_ = x.processes[i].Process.Kill() // without a server at its start it may have ended
				<-x.processes[i].ended
			}
		}
		for i, server := range []*servers.Server{x.redis, x.postgres} {
			if killed>>(3+i)&1 == 1 {
				must(t, server.Kill())
			}
		}
		time.Sleep(time.Duration(x.rand.IntN(1500)) * time.Millisecond) // so long they are gone
		for i, server := range []*servers.Server{x.redis, x.postgres} {
			if killed>>(3+i)&1 == 1 {
				must(t, server.Restart(t.Context()))
			}
		}
		x.beginEnded(t)
	}
	rig.Within(t, time.Minute, func() error {
		x.beginEnded(t)
		for _, address := range x.addresses {
			answer, err := http.Get("http://" + address + "/readyz")
			if err != nil {
				return err
			}
			answer.Body.Close()
			if answer.StatusCode != http.StatusOK {
				return fmt.Errorf("%s is ready: %s", address, answer.Status)
			}
		}
		return nil
	})
}

// beginEnded starts the processes that were killed, and those that have ended because a server went away while they started, as a supervisor does.
func (x *clientsRun) beginEnded(t *testing.T) {
	t.Helper()
	for i, p := range x.processes {
		select {
		case <-p.ended:
			x.begin(t, i)
		default:
		}
	}
}

// judge compares what clients were told, and what was heard, with what is stored.
func (x *clientsRun) judge(t *testing.T) {
	t.Helper()
	certain := make(map[string]bool)
	numbers := make(map[string]string)
	for _, a := range x.answers {
		if id := a.end.JobID; !certain[id] {
			certain[id] = true
			x.jobs = append(x.jobs, checker.Job{ID: id, Ledger: true, Payload: a.asking.Payload})
		}
		if !a.end.Invoiced() {
			if a.end.Outcome != invoice.Conflict {
				t.Errorf("%s: %+v", a.asking.TransactionID, a.end)
			}
			continue
		}
		if known := numbers[a.asking.TransactionID]; known != "" && known != a.end.InvoiceNumber || a.end.InvoiceNumber == "" {
			t.Errorf("%s: one answer names %s, another one %s", a.asking.TransactionID, known, a.end.InvoiceNumber)
		}
		numbers[a.asking.TransactionID] = a.end.InvoiceNumber
	}
	// A batch whose answer was lost has made jobs of which its client doesn't know.
	rows, err := x.DB.QueryContext(t.Context(), "SELECT job_id, payload FROM invoice_jobs")
	must(t, err)
	defer rows.Close()
	for rows.Next() {
		var id, payload string
		must(t, rows.Scan(&id, &payload))
		if !certain[id] {
			x.jobs = append(x.jobs, checker.Job{ID: id, Ledger: true, Payload: []byte(payload), Unknown: true})
		}
	}
	must(t, rows.Err())
	x.settle(t)
	for id, number := range numbers {
		if !x.Is(t, "SELECT count(*) = 1 AND min(invoice_number) = $2 FROM invoices WHERE transaction_id = $1", id, number) {
			t.Errorf("%s isn't invoiced as %s, and once", id, number)
		}
	}
	x.awaitEvents(t)
	x.processes[0].signal(t, syscall.SIGTERM)
	if code := x.processes[0].exit(t); code != exitOK {
		t.Errorf("serve exits with %d", code)
	}
	x.stopAll(t, x.processes[1:])
	report := x.verdict(t)
	t.Logf("%d answers by %d attempts more; %d jobs of which no client knows; %d invoices, %d duplicates, %d conflicts", len(x.answers), x.retried.Load(),
		len(x.jobs)-len(certain), report.Invoices, report.Duplicates, report.Conflicts)
	if len(x.answers) != clientsJobs+chaos.Conflicts || x.retried.Load() == 0 {
		t.Errorf("%d of %d jobs were answered, by %d attempts more", len(x.answers), clientsJobs+chaos.Conflicts, x.retried.Load())
	}
}

// awaitEvents returns once each event was received.
func (x *clientsRun) awaitEvents(t *testing.T) {
	t.Helper()
	ends := x.Count(t, "SELECT (SELECT count(*) FROM invoices) + (SELECT count(*) FROM duplicate_attempts) + (SELECT count(*) FROM invoice_jobs WHERE outcome = 'conflict')")
	rig.Within(t, 4*time.Minute, func() error { // whoever was killed has left claims
		if heard, forged := x.hears.count(); heard != ends || forged != 0 {
			return fmt.Errorf("%d events, of which %d were heard (%d forged)", ends, heard, forged)
		}
		return nil
	})
	x.hears.mu.Lock()
	defer x.hears.mu.Unlock()
	made := make(map[string]bool)
	for _, data := range x.hears.heard {
		if id, number := data["transaction_id"], data["invoice_number"]; number != nil {
			made[fmt.Sprint(id, " ", number)] = true
		}
	}
	if n := x.Count(t, "SELECT count(*) FROM invoices"); len(made) != n {
		t.Errorf("%d invoices were heard of, of %d", len(made), n)
	}
}
