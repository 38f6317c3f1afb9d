package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"

	"github.com/google/uuid"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
)

// on returns the site with another one's queue.
func (s *site) on(queue string) *site {
	changed := s.with("INVOICER_WORKER_QUEUES=" + queue + "=1")
	changed.queue = queue
	return changed
}

// databaseOfItsOwn is a site in another database of the same server.
func databaseOfItsOwn(t *testing.T) *site {
	t.Helper()
	server := sandboxtest.Database(t)
	name := "db_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	if err := runSQL(server, "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := runSQL(server, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	address, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	address.Path = "/" + name
	d := rig.DatabaseOn(t, address.String())
	return newSiteOn(t, d.URL, d.Schema, sandboxtest.Redis(t))
}

const oneJob = `{"transaction_id":"X1","issued_at":"2010-12-01T08:26:00Z","currency":"GBP","lines":[{"quantity":1,"unit_price":"2.55"}]}` + "\n"

// refused checks that a command ended with one line that tells whose the queue is and what to do.
func refused(t *testing.T, owner *site, code int, stderr string) {
	t.Helper()
	if code != 1 || strings.Count(strings.TrimSpace(stderr), "\n") != 0 {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	for _, want := range []string{"queue " + owner.queue + " belongs to", "schema " + owner.Schema, "last seen alive", "worker.queues", "redis.url", "`invoicer queue take " + owner.queue + "`"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("without a word of %q: %s", want, stderr)
		}
	}
}

func TestTwoInstallationsInOneRedis(t *testing.T) {
	t.Parallel()
	for name, second := range map[string]func(*testing.T) *site{"two schemas": sharedSite, "two databases": databaseOfItsOwn} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := sharedSite(t)
			b := second(t).on(a.queue)
			w := a.start(t, "worker")
			w.await(t, "worker started")

			code, _, stderr := b.run(t, "", "worker")
			refused(t, a, code, stderr)
			code, stdout, stderr := b.run(t, oneJob, "enqueue", "-", "--queue", a.queue)
			refused(t, a, code, stderr)
			code, more, stderr := b.run(t, oneJob, "enqueue", "-", "--queue", a.queue, "--durable")
			refused(t, a, code, stderr)
			if n := b.Count(t, "SELECT count(*) FROM invoice_jobs"); n != 0 || stdout+more != "" {
				t.Errorf("%d jobs are accepted: %s%s", n, stdout, more)
			}
			code, _, stderr = b.with("INVOICER_DATABASE_URL=postgres://127.0.0.1:1/none").run(t, oneJob, "enqueue", "-", "--queue", a.queue)
			if code != 0 || !strings.Contains(stderr, "queue "+a.queue+" belongs to") || !strings.Contains(stderr, "schema "+a.Schema) {
				t.Errorf("without a database: exit code %d, %s", code, stderr)
			}
			a.awaitEnds(t, 1) // that job was for whoever owns the queue

			// What the second one's ledger has for the queue stays there, and holds up nobody.
			own := second(t)
			other := own.start(t, "worker")
			other.await(t, "worker started")
			if _, err := own.DB.ExecContext(t.Context(), "SELECT accept($1, $2, new_queue := true), accept(replace($1, 'X1', 'X2'), $3)", oneJob, a.queue, own.queue); err != nil {
				t.Fatal(err)
			}
			own.awaitEnds(t, 1)
			other.await(t, "aren't put into their queue")
			if state := own.Text(t, "SELECT state FROM invoice_jobs WHERE transaction_id = 'X1'"); state != "accepted" {
				t.Errorf("the job for another installation's queue is %s", state)
			}
			if n := a.Count(t, "SELECT count(*) FROM invoices"); n != 1 {
				t.Errorf("%d invoices", n)
			}

			// The second one first: its relay would put that job into the queue as soon as nobody owns it.
			for _, p := range []*process{other, w} {
				p.signal(t, syscall.SIGTERM)
				if code := p.exit(t); code != 0 {
					t.Errorf("exit code %d", code)
				}
			}
			b.start(t, "worker").await(t, "worker started")
		})
	}
}

// The development loop: the database is dropped and made anew, and the old one's tasks are still there.
func TestQueueTake(t *testing.T) {
	t.Parallel()
	a := sharedSite(t)
	b := sharedSite(t).on(a.queue)
	w := a.start(t, "worker")
	w.await(t, "worker started")
	code, _, stderr := b.run(t, "", "queue", "take", a.queue, "--yes")
	if code != 1 || !strings.Contains(stderr, "in use") || !strings.Contains(stderr, a.Schema) {
		t.Errorf("of a living owner: exit code %d, %s", code, stderr)
	}
	release := a.hold(t)
	if code, _, stderr := a.run(t, strings.ReplaceAll(oneJob, "X1", "L1"), "enqueue", "-", "--queue", a.queue, "--durable"); code != 0 {
		t.Fatal(stderr)
	}
	a.awaitInHand(t, 1)
	if err := w.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	w.exit(t)
	release()
	a.enqueue(t, "D1")

	code, _, stderr = b.run(t, "", "worker")
	if refused(t, a, code, stderr); !strings.Contains(stderr, "with 2 tasks left") {
		t.Errorf("it doesn't tell of the tasks: %s", stderr)
	}
	if code, _, stderr := b.run(t, "y\n", "queue", "take", a.queue); code != 2 || !strings.Contains(stderr, "--yes") {
		t.Errorf("without being asked: exit code %d, %s", code, stderr)
	}
	var listed []queueListed
	code, stdout, stderr := b.run(t, "", "queue", "list", "--json")
	if err := json.Unmarshal([]byte(stdout), &listed); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v, %s", code, err, stderr)
	}
	found := false
	for _, l := range listed {
		if l.Queue == a.queue {
			found = l.State == "dead" && *l.Schema == a.Schema && l.Waiting == 1 && l.Active == 1
		}
	}
	if !found {
		t.Errorf("the list is %s", stdout)
	}
	code, stdout, stderr = b.run(t, "", "queue", "take", a.queue, "--yes")
	if code != 0 || !strings.Contains(stdout, "belongs to this installation now") {
		t.Fatalf("exit code %d, %s%s", code, stdout, stderr)
	}
	for _, want := range []string{"schema " + a.Schema, "1 task of another installation's ledger", "1 task enqueued straight"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("it doesn't tell of %q: %s", want, stderr)
		}
	}
	if code, stdout, _ := b.run(t, "", "queue", "take", a.queue, "--yes"); code != 0 || !strings.Contains(stdout, "already") {
		t.Errorf("a second time: exit code %d, %s", code, stdout)
	}
	b.start(t, "worker").await(t, "worker started")
	b.awaitEnds(t, 1)
	if got := b.Text(t, "SELECT string_agg(transaction_id, ' ') FROM invoices"); got != "D1" {
		t.Errorf("invoiced: %s", got)
	}
	if state := a.Text(t, "SELECT state FROM invoice_jobs"); state != "enqueued" {
		t.Errorf("the job in the old ledger is %s", state)
	}
	code, _, stderr = a.run(t, "", "worker")
	refused(t, b.on(a.queue), code, stderr)
	if code, stdout, _ := b.run(t, "", "queue", "list"); code != 0 || !strings.Contains(stdout, b.Schema) || !strings.Contains(stdout, "alive") {
		t.Errorf("exit code %d, the list is %s", code, stdout)
	}
}

// A worker that was stopped for so long that another installation has taken its queue ends when it goes on.
func TestAWorkerThatHasLostItsQueueEnds(t *testing.T) {
	t.Parallel()
	a := sharedSite(t)
	b := sharedSite(t).on(a.queue)
	w := a.start(t, "worker")
	w.await(t, "worker started")
	w.signal(t, syscall.SIGSTOP)
	successor := b.start(t, "worker")
	successor.await(t, "worker started")
	b.enqueue(t, "T1", "T2", "T3")
	w.signal(t, syscall.SIGCONT)
	if code := w.exit(t); code != 1 || !strings.Contains(w.stderr(), "invoicer: queue "+a.queue+" belongs to") {
		t.Errorf("exit code %d, %s", code, w.stderr())
	}
	b.awaitEnds(t, 3)
	if n := a.Count(t, "SELECT count(*) FROM invoices"); n != 0 {
		t.Errorf("%d invoices of another installation's jobs", n)
	}
}

// A queue is given up when nobody works on its jobs any more, and not when no more are taken.
func TestADrainingWorkerOwnsItsQueue(t *testing.T) {
	t.Parallel()
	a := sharedSite(t)
	b := sharedSite(t).on(a.queue)
	a.enqueue(t, "T1")
	release := a.hold(t)
	w := a.start(t, "worker")
	a.awaitInHand(t, 1)
	w.signal(t, syscall.SIGTERM)
	w.await(t, "draining")
	w.awaitReadyz(t, http.StatusServiceUnavailable)
	code, _, stderr := b.run(t, "", "worker")
	refused(t, a, code, stderr)
	release()
	if code := w.exit(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	b.start(t, "worker").await(t, "worker started")
}
