package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"invoicer/internal/given"
	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/internal/sandbox/servers"
	"invoicer/invoice"
	"invoicer/worker"
)

// A drill is a site whose Postgres is lost under load, and restored to an earlier moment from a base backup and the archive of its log.
type drill struct {
	*site // on the server that is lost

	old, redis *servers.Server
	asked      int // transactions so far
}

func newDrill(t *testing.T) *drill {
	t.Helper()
	old, err := servers.StartPostgres(t.Context(), servers.PostgresOptions{Archive: true})
	must(t, err)
	t.Cleanup(func() { must(t, old.Close()) })
	rig.DatabaseOn(t, old.URL)
	redis := sandboxtest.PrivateRedis(t)
	return &drill{site: newSiteOn(t, old.URL, "invoicer", redis.URL), old: old, redis: redis}
}

// accept has more jobs accepted, each for another transaction.
func (d *drill) accept(t *testing.T, s *site, jobs int) {
	t.Helper()
	var lines strings.Builder
	for range jobs {
		fmt.Fprintln(&lines, payloadOf(fmt.Sprintf("T%d", d.asked), "GBP"))
		d.asked++
	}
	if code, _, stderr := s.run(t, lines.String(), "enqueue", "-", "--durable", "--queue", d.queue); code != exitOK {
		t.Fatalf("enqueue: exit code %d, %s", code, stderr)
	}
}

// awaitMore returns once that many more invoices are made, or all.
func (d *drill) awaitMore(t *testing.T, invoices int) {
	t.Helper()
	want := min(d.Count(t, "SELECT count(*) FROM invoices")+invoices, d.asked)
	rig.Within(t, 2*time.Minute, func() error {
		if n := d.Count(t, "SELECT count(*) FROM invoices"); n < want {
			return fmt.Errorf("%d invoices of at least %d", n, want)
		}
		return nil
	})
}

// save has Redis keep a copy of what it has now, with which it starts again after it was killed.
func (d *drill) save(t *testing.T) {
	t.Helper()
	must(t, d.rdb.Save(t.Context()).Err())
}

// remembered returns the transactions of the numbers that done entries have.
func (s *site) remembered(t *testing.T) map[int64]string {
	t.Helper()
	known := make(map[int64]string)
	prefix := "invoicer:" + s.Text(t, "SELECT id::text FROM database_identity") + ":done:"
	names := s.rdb.Scan(t.Context(), 0, prefix+"*", 1000).Iterator()
	for names.Next(t.Context()) {
		if ref, n, ok := worker.DecodeDone(s.rdb.Get(t.Context(), names.Val()).Val()); ok && n.Known() {
			known[n.Number] = ref.TransactionID
		}
	}
	must(t, names.Err())
	return known
}

// A compared is what `audit --against` finds.
type compared struct {
	SameCluster bool `json:"same_cluster"`
	There       struct{ Invoices int }
	Differences []struct {
		Check string
		Here  struct{ Number int64 }
	}
}

// numbers returns the numbers of the differences that a check has found.
func (c *compared) numbers(check string) (list []int64) {
	for _, d := range c.Differences {
		if d.Check == check {
			list = append(list, d.Here.Number)
		}
	}
	return list
}

// comparedWith compares the documents of two databases.
func (s *site) comparedWith(t *testing.T, other *site) (c compared) {
	t.Helper()
	_, out, errs := s.run(t, "", "audit", "--against", other.URL, "--json")
	if err := json.Unmarshal([]byte(out), &c); err != nil || !c.SameCluster {
		t.Fatalf("audit --against: %v: %s%s", err, out, errs)
	}
	return c
}

// A restore to an earlier moment loses no job that was accepted by then, and no number that is still remembered goes to another
// transaction. The cases say what is left of Redis, which is what remembers. What it has forgotten is given out again: only a witness beside
// it would know.
func TestChaosRestore(t *testing.T) {
	if testing.Short() {
		t.Skip("heavy: make test-all runs it")
	}
	t.Parallel()
	const before, after = "before the moment", "after the moment"
	for name, c := range map[string]struct {
		saved   string // when Redis was copied
		byTime  bool   // instead of by a restore point
		witness bool
		what    func(t *testing.T, d *drill)
		recalls bool                         // numbers above the restored counter are known
		forgets bool                         // numbers that were remembered are given out again
		before  func(t *testing.T, d *drill) // what was so until the disaster
	}{
		"Redis as it is": {byTime: true, what: func(*testing.T, *drill) {}, recalls: true},
		"Redis empty":    {what: func(t *testing.T, d *drill) { must(t, d.rdb.FlushAll(t.Context()).Err()) }, forgets: true},
		"Redis empty, commits replicated": {
			before: func(t *testing.T, d *drill) { // and as if workers saw that until the disaster
				d.Exec(t, "UPDATE seen_server SET replicated = true")
				d.Exec(t, `CREATE FUNCTION still_replicated() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
					RETURN CASE WHEN (NEW.system, NEW.timeline) = (OLD.system, OLD.timeline) THEN OLD ELSE NEW END; END $$`)
				d.Exec(t, "CREATE TRIGGER still_replicated BEFORE UPDATE ON seen_server FOR EACH ROW EXECUTE FUNCTION still_replicated()")
			},
			what: func(t *testing.T, d *drill) { must(t, d.rdb.FlushAll(t.Context()).Err()) }, forgets: true,
		},
		"Redis empty, with a witness": {witness: true, what: func(t *testing.T, d *drill) { must(t, d.rdb.FlushAll(t.Context()).Err()) }, recalls: true},
		"Redis of before":             {saved: before, what: restartRedis, forgets: true},
		"Redis of after, and less":    {saved: after, what: restartRedis, recalls: true, forgets: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDrill(t)
			if c.witness {
				d.site = d.with("INVOICER_WITNESS_FOLDER=" + t.TempDir())
			}
			s := d.with("INVOICER_WORKER_CONCURRENCY=4")
			workers := []*process{s.start(t, "worker"), s.start(t, "worker")}
			d.accept(t, d.site, 100)
			d.awaitMore(t, 20)
			if c.before != nil {
				c.before(t, d)
			}
			must(t, d.old.BackUp(t.Context()))
			d.accept(t, d.site, 300)
			if c.saved == before {
				d.save(t)
			}
			d.awaitMore(t, 20)
			d.Exec(t, "SELECT pg_create_restore_point('the_moment')")
			until := servers.Moment{Name: "the_moment"}
			if c.byTime {
				until = servers.Moment{}
				must(t, d.DB.QueryRowContext(t.Context(), "SELECT clock_timestamp()").Scan(&until.Time))
			}
			accepted := d.asked
			d.accept(t, d.site, 400)
			d.awaitMore(t, 20)
			if c.saved == after {
				d.save(t)
			}
			d.awaitMore(t, 20)
			for _, w := range workers {
				must(t, w.Process.Kill()) // with jobs under way
				<-w.ended
			}
			must(t, d.old.Archive(t.Context()))
			must(t, d.old.Kill())

			c.what(t, d)
			restored, err := servers.StartRestored(t.Context(), d.old, until, servers.PostgresOptions{})
			must(t, err)
			t.Cleanup(func() { must(t, restored.Close()) })
			s = d.with("INVOICER_DATABASE_URL=" + restored.URL)
			s.Database = rig.OpenDatabase(t, restored.URL, s.Schema)
			recalled, forgotten := d.goOn(t, s, accepted)
			if (recalled > 0) != c.recalls || forgotten == 0 && c.forgets {
				t.Errorf("%d numbers were recalled, and %d given out again", recalled, forgotten)
			}
		})
	}
}

func restartRedis(t *testing.T, d *drill) {
	t.Helper()
	must(t, d.redis.Kill())
	must(t, d.redis.Restart(t.Context()))
}

// goOn starts workers on the restored database, and asks again for every transaction that the lost one was asked for. It checks that each job
// that was accepted by the moment has ended, and that no number that Redis remembers has gone to another transaction. It returns how many
// numbers `series recover` has reserved, and how many numbers are on two documents.
func (d *drill) goOn(t *testing.T, s *site, accepted int) (recalled, twice int) {
	t.Helper()
	const isOpen = "SELECT count(*) FROM invoice_jobs WHERE state IN ('accepted', 'enqueued')"
	known, numbered, open := s.remembered(t), s.Count(t, "SELECT count(*) FROM invoices"), s.Count(t, isOpen)
	memory, err := given.Highest(t.Context(), s.rdb, s.Text(t, "SELECT id::text FROM database_identity"))
	must(t, err)
	highest := memory[invoice.SlotKey{Series: "INV"}]
	if got := s.Count(t, "SELECT count(*) FROM invoice_jobs"); got != accepted || open == 0 {
		t.Fatalf("restored: %d jobs of %d, %d of them open", got, accepted, open)
	}

	workers := []*process{s.start(t, "worker"), s.start(t, "worker")}
	s.awaitCount(t, 1, "SELECT count(*) FROM series WHERE series = 'INV' AND state = 'paused'")
	if got := s.Count(t, "SELECT count(*) FROM invoices"); got != numbered {
		t.Errorf("%d numbers were given out before the pause", got-numbered)
	}
	s.must(t, "series", "recover", "INV", "--yes", "--note", "restored")
	recalled = s.Count(t, "SELECT count(*) FROM reserved_numbers")
	s.awaitCount(t, 0, isOpen)
	if got := s.Count(t, "SELECT count(*) FROM invoice_jobs WHERE state = 'done' AND outcome IN ('created', 'duplicate')"); got < accepted {
		t.Errorf("%d of %d jobs are invoiced", got, accepted)
	}
	all := d.asked
	d.asked = 0
	d.accept(t, s, all) // whoever asked for what is lost asks again
	s.awaitCount(t, 0, isOpen)
	s.awaitCount(t, all, "SELECT count(*) FROM invoices")
	for number, id := range known {
		if got := s.Text(t, "SELECT coalesce(min(transaction_id), '') FROM invoices WHERE series = 'INV' AND number = $1", number); got != id {
			t.Errorf("number %d was %s's, and is %q's", number, id, got)
		}
	}
	for _, w := range workers {
		w.signal(t, syscall.SIGTERM)
		if code := w.exit(t); code != exitOK {
			t.Errorf("worker: exit code %d", code)
		}
	}
	s.must(t, "audit")

	must(t, d.old.Restart(t.Context()))
	c := s.comparedWith(t, d.site)
	for _, number := range c.numbers("numbers") {
		if number <= highest {
			t.Errorf("number %d is on two documents, and Redis knew that it was given out", number)
		}
	}
	if lost := append(c.numbers("only_there"), c.numbers("content")...); len(lost) > 0 {
		t.Errorf("not invoiced again, or with another content: %v", lost)
	}
	twice = len(c.numbers("numbers"))
	t.Logf("%d numbers were given out, Redis knew %d, and %d were restored, with %d jobs open; %d numbers were recalled, and %d given out twice",
		c.There.Invoices, highest, numbered, open, recalled, twice)
	return recalled, twice
}
