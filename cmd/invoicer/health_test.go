package main

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/internal/sandbox/servers"
)

// execute runs a statement as the schema's owner, also where the database is read-only.
func (s *site) execute(t *testing.T, statement string) {
	t.Helper()
	connection, err := s.DB.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	for _, one := range []string{"SET default_transaction_read_only = off", statement} {
		if _, err := connection.ExecContext(context.Background(), one); err != nil {
			t.Fatalf("%s: %v", one, err)
		}
	}
}

// do runs commands of Redis, one on each line.
func (s *site) do(t *testing.T, commands string) {
	t.Helper()
	for line := range strings.Lines(commands) {
		var command []any
		for word := range strings.FieldsSeq(line) {
			command = append(command, word)
		}
		if err := s.rdb.Do(context.Background(), command...).Err(); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
}

// awaitReadyz returns once /readyz answers with that status, and what it says.
func (p *process) awaitReadyz(t *testing.T, status int) (body string) {
	t.Helper()
	url := p.pages(t) + "/readyz"
	rig.Await(t, func() error {
		var code int
		if code, body = get(t, url); code != status {
			return fmt.Errorf("%d of /readyz, which answers %d: %s", status, code, body)
		}
		return nil
	})
	return body
}

// lines returns what the process has logged at a level.
func (p *process) logged(level, text string) (lines []string) {
	for line := range strings.Lines(p.stderr()) {
		if strings.Contains(line, "level="+level) && strings.Contains(line, text) {
			lines = append(lines, line)
		}
	}
	return lines
}

// What keeps jobs from being worked on has one line when it begins, which names it, turns /readyz red, and has one line
// when it ends; the jobs end then.
func TestReadinessNamesWhatIsInTheWay(t *testing.T) {
	t.Parallel()
	onPostgres := func(begin, end string) func(*testing.T, *site) (func(), func()) {
		return func(t *testing.T, s *site) (func(), func()) {
			return func() { s.execute(t, begin); s.execute(t, "SELECT pg_reload_conf()") },
				func() { s.execute(t, end); s.execute(t, "SELECT pg_reload_conf()") }
		}
	}
	onRedis := func(begin, end string) func(*testing.T, *site) (func(), func()) {
		return func(t *testing.T, s *site) (func(), func()) {
			return func() { s.do(t, begin) }, func() { s.do(t, end) }
		}
	}
	for name, c := range map[string]struct {
		fault func(*testing.T, *site) (begin, end func())
		names []string
		takes bool // jobs can be enqueued while it lasts
	}{
		"a read-only database": {
			fault: onPostgres("ALTER SYSTEM SET default_transaction_read_only = on", "ALTER SYSTEM RESET default_transaction_read_only"),
			names: []string{"postgres at", "read-only", "default_transaction_read_only"}, takes: true,
		},
		"a role without a right": {
			fault: onPostgres("REVOKE INSERT ON invoicer.invoices FROM PUBLIC", "GRANT INSERT ON invoicer.invoices TO PUBLIC"),
			names: []string{"postgres at", "lacks rights to invoices", "GRANT INSERT ON TABLE"}, takes: true,
		},
		"a table that is gone": {
			fault: onPostgres("ALTER TABLE invoicer.invoice_taxes RENAME TO gone", "ALTER TABLE invoicer.gone RENAME TO invoice_taxes"),
			names: []string{"postgres at", "missing in schema", "invoice_taxes"}, takes: true,
		},
		"a standby that confirms no commit": {
			fault: onPostgres("ALTER SYSTEM SET synchronous_standby_names = 'gone'", "ALTER SYSTEM RESET synchronous_standby_names"),
			names: []string{"postgres at", "commits are not confirmed", "synchronous_standby_names"}, takes: true,
		},
		"a Redis without memory": {
			fault: onRedis("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"),
			names: []string{"redis at", "OOM", "maxmemory"},
		},
		"a Redis that evicts": {
			fault: onRedis("CONFIG SET maxmemory-policy allkeys-random", "CONFIG SET maxmemory-policy noeviction"),
			names: []string{"redis at", "maxmemory-policy is allkeys-random", "noeviction"}, takes: true,
		},
		"a Redis that is a replica": {
			fault: onRedis("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
			names: []string{"redis at", "read-only replica"},
		},
		"no right to run scripts": {
			fault: onRedis("ACL SETUSER app -eval -evalsha", "ACL SETUSER app +eval +evalsha"),
			names: []string{"redis at", "user app may not run", "evalsha", "ACL SETUSER app"},
		},
		"no right to a command of a script": {
			fault: onRedis("ACL SETUSER app -zadd", "ACL SETUSER app +zadd"),
			names: []string{"redis at", "user app may not run zadd", "ACL SETUSER app"},
		},
		"no right to the keys": {
			fault: onRedis("ACL SETUSER app resetkeys ~asynq:*", "ACL SETUSER app allkeys"),
			names: []string{"redis at", "use the keys", "ACL SETUSER app"}, takes: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := rig.DatabaseOn(t, sandboxtest.PrivatePostgres(t).URL)
			s := newSiteOn(t, d.URL, d.Schema, sandboxtest.PrivateRedis(t).URL)
			s.do(t, "ACL SETUSER app on >pw ~* &* +@all")
			limited, role := s.asRole(t)
			s.execute(t, "GRANT USAGE ON SCHEMA invoicer TO "+role)
			s.execute(t, "GRANT SELECT, UPDATE ON ALL TABLES IN SCHEMA invoicer TO "+role)
			s.execute(t, "GRANT USAGE ON ALL SEQUENCES IN SCHEMA invoicer TO "+role)
			s.execute(t, "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA invoicer TO "+role)
			s.execute(t, "GRANT INSERT ON ALL TABLES IN SCHEMA invoicer TO PUBLIC")
			w := limited.asRedisUser(t, "app").start(t, "worker")
			if body := w.awaitReadyz(t, http.StatusOK); !strings.HasPrefix(body, "ready\n") {
				t.Errorf("/readyz: %s", body)
			}

			begin, end := c.fault(t, s)
			begin()
			body := w.awaitReadyz(t, http.StatusServiceUnavailable)
			if c.takes {
				s.enqueue(t, "T1")
			}
			line := w.await(t, "level=ERROR")
			for _, word := range c.names {
				if !strings.Contains(body, word) || !strings.Contains(line, word) {
					t.Errorf("%q is missed in /readyz or in the log:\n%s\n%s", word, body, line)
				}
			}
			w.stays(t, http.StatusServiceUnavailable, 4*time.Second+2*time.Second) // jobs meet it as well meanwhile
			end()
			w.await(t, "jobs go on")
			w.awaitReadyz(t, http.StatusOK)
			if !c.takes {
				s.enqueue(t, "T1")
			}
			s.awaitEnds(t, 1)
			w.signal(t, syscall.SIGTERM)
			if code := w.exit(t); code != 0 {
				t.Errorf("exit code %d", code)
			}
			if began, ended := w.logged("ERROR", ""), w.logged("INFO", "jobs go on"); len(began) != 1 || len(ended) != 1 {
				t.Errorf("%d lines tell of its begin, %d of its end:\n%s", len(began), len(ended), w.stderr())
			}
			if n := s.Count(t, "SELECT count(*) FROM invoice_jobs WHERE state = 'failed'"); n != 0 {
				t.Errorf("%d jobs have failed", n)
			}
		})
	}
}

// A worker that starts in an outage says so, and what it waits for, and starts when that is over.
func TestWorkerStartsInAnOutage(t *testing.T) {
	t.Parallel()
	d := rig.DatabaseOn(t, sandboxtest.PrivatePostgres(t).URL)
	s := newSiteOn(t, d.URL, d.Schema, sandboxtest.PrivateRedis(t).URL)
	s.execute(t, "ALTER SYSTEM SET default_transaction_read_only = on")
	s.execute(t, "SELECT pg_reload_conf()")
	s.do(t, "CONFIG SET maxmemory 1")
	w := s.start(t, "worker")
	for _, word := range []string{"the database is read-only", "OOM"} { // two at once are two
		if line := w.await(t, word); !strings.Contains(line, "waiting up to") {
			t.Errorf("the line is %s", line)
		}
	}
	s.execute(t, "ALTER SYSTEM RESET default_transaction_read_only")
	s.execute(t, "SELECT pg_reload_conf()")
	s.do(t, "CONFIG SET maxmemory 0")
	w.awaitReadyz(t, http.StatusOK)
	s.enqueue(t, "T1")
	s.awaitEnds(t, 1)
	if told := w.logged("WARN", "waiting up to"); len(told) != 2 {
		t.Errorf("%d lines tell of what it waits for:\n%s", len(told), w.stderr())
	}
}

// stays makes sure that /readyz goes on to answer so.
func (p *process) stays(t *testing.T, status int, d time.Duration) {
	t.Helper()
	url := p.pages(t) + "/readyz"
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if code, body := get(t, url); code != status {
			t.Fatalf("/readyz answers %d: %s", code, body)
		}
	}
}

// What no probe looks for, the jobs tell of.
func TestJobsTellWhatIsInTheWay(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	w := s.start(t, "worker")
	w.awaitReadyz(t, http.StatusOK)
	s.execute(t, `CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = '53100'; END $$`)
	s.execute(t, "CREATE TRIGGER full_disk BEFORE INSERT ON invoices EXECUTE FUNCTION full_disk()")
	s.enqueue(t, "T1", "T2", "T3")
	if line := w.await(t, "level=ERROR"); !strings.Contains(line, "no space left (SQLSTATE 53100): make room on its disk") {
		t.Errorf("the line is %s", line)
	}
	if body := w.awaitReadyz(t, http.StatusServiceUnavailable); !strings.Contains(body, "no space left") {
		t.Errorf("/readyz: %s", body)
	}
	_, metrics := get(t, w.pages(t)+"/metrics")
	for _, want := range []string{`invoicer_outage{cause="53100",server="postgres"} 1`, "invoicer_ready 0"} {
		if !strings.Contains(metrics, want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
	s.execute(t, "DROP TRIGGER full_disk ON invoices")
	s.awaitEnds(t, 3)
	w.await(t, "jobs go on")
	w.awaitReadyz(t, http.StatusOK)
	// On a slow disk the server may really give no answer for a while, which is another outage, and said as well.
	if all, of := len(w.logged("ERROR", "")), len(w.logged("ERROR", "53100")); of != 1 || all-of != len(w.logged("ERROR", "no answer within")) {
		t.Errorf("%d errors are logged, %d of them of it", all, of)
	}
	_, metrics = get(t, w.pages(t)+"/metrics")
	for _, want := range []string{`invoicer_outage{cause="53100",server="postgres"} 0`, "invoicer_ready 1"} {
		if !strings.Contains(metrics, want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
}

// Jobs that wait in a queue which no worker consumes are measured by the workers of other queues: nobody else could tell of them.
func TestJobsInNobodysQueueAreMeasured(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	w := s.start(t, "worker")
	w.awaitReadyz(t, http.StatusOK)
	nobodys := s.queue + "_nobodys"
	s.Exec(t, "SELECT accept($1, $2, new_queue := true)", payloadOf("T1", "GBP"), nobodys)
	rig.Within(t, time.Minute, func() error {
		_, metrics := get(t, w.pages(t)+"/metrics")
		if want := fmt.Sprintf("invoicer_queue_pending{queue=%q} 1\n", nobodys); !strings.Contains(metrics, want) {
			return fmt.Errorf("/metrics lacks %s", want)
		}
		if strings.Contains(metrics, "invoicer_ledger_oldest_seconds 0\n") {
			return fmt.Errorf("no job waits, by invoicer_ledger_oldest_seconds")
		}
		return nil
	})
}

// A relay that can't get on says so as well.
func TestRelayTellsWhatIsInItsWay(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	w := s.start(t, "worker")
	w.awaitReadyz(t, http.StatusOK)
	s.execute(t, `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'an own trigger refuses'; END $$`)
	s.execute(t, "CREATE TRIGGER refuse BEFORE UPDATE ON invoice_jobs EXECUTE FUNCTION refuse()")
	s.execute(t, `SELECT accept('{"transaction_id":"T1","issued_at":"2010-12-01T08:26:00Z","currency":"GBP","lines":[{"quantity":1,"unit_price":"2.55"}]}', '`+s.queue+`')`)
	if line := w.await(t, "level=ERROR"); !strings.Contains(line, "an own trigger refuses") {
		t.Errorf("the line is %s", line)
	}
	if body := w.awaitReadyz(t, http.StatusServiceUnavailable); !strings.Contains(body, "an own trigger refuses") || !strings.Contains(body, "(reported by relay)") {
		t.Errorf("/readyz: %s", body)
	}
	s.execute(t, "DROP TRIGGER refuse ON invoice_jobs")
	s.awaitEnds(t, 1)
	w.await(t, "jobs go on")
	if n := len(w.logged("ERROR", "")); n != 1 {
		t.Errorf("%d errors are logged", n)
	}
}

// Nor is a reconciler silent.
func TestReconcilerTellsWhatIsInItsWay(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	w := s.start(t, "worker")
	w.awaitReadyz(t, http.StatusOK)
	s.execute(t, `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'an own trigger refuses'; END $$`)
	s.execute(t, "CREATE TRIGGER refuse BEFORE UPDATE ON ledger_queues EXECUTE FUNCTION refuse()")
	if line := w.await(t, "level=ERROR"); !strings.Contains(line, "an own trigger refuses") {
		t.Errorf("the line is %s", line)
	}
	s.execute(t, "DROP TRIGGER refuse ON ledger_queues")
	w.await(t, "jobs go on")
}

// everyEnd has a worker come to each kind of end, by each way that a job can go.
func (s *site) everyEnd(t *testing.T) {
	t.Helper()
	const job = `{"transaction_id":"%ID%","issued_at":"2010-12-01T08:26:00Z","currency":"GBP","lines":[{"quantity":1,"unit_price":"%PRICE%"}]}`
	line := func(id, price string) string {
		return strings.NewReplacer("%ID%", id, "%PRICE%", price).Replace(job)
	}
	s.enqueue(t, "T1", "T1")
	s.awaitEnds(t, 2)
	for _, payload := range []string{line("T1", "3.00"), line("T2", "2.55"), line("T2", "2.55"), line("T3", "-1.00")} {
		s.execute(t, "SELECT accept('"+payload+"', '"+s.queue+"')")
	}
	s.awaitEnds(t, 6)
	if got := s.Text(t, "SELECT concat_ws(' ', (SELECT count(*) FROM invoices), (SELECT count(*) FROM duplicate_attempts), (SELECT string_agg(outcome, ' ') FROM invoice_jobs WHERE state = 'failed'))"); got != "3 2 conflict" {
		t.Errorf("the ends are %s", got)
	}
}

// A worker that could do nothing doesn't start, and what it says is enough to make it.
func TestWorkerNamesTheRightsThatItLacks(t *testing.T) {
	t.Parallel()
	t.Run("to the database", func(t *testing.T) {
		t.Parallel()
		s := sharedSite(t)
		limited, role := s.asRole(t)
		code, _, stderr := limited.run(t, "", "worker")
		grants := regexp.MustCompile(`GRANT [^;]*;`).FindAllString(stderr, -1)
		if code != 1 || len(grants) == 0 || strings.Count(stderr, "\n") != 0 {
			t.Fatalf("exit code %d, %s", code, stderr)
		}
		for _, grant := range grants {
			s.execute(t, grant)
		}
		w := limited.start(t, "worker")
		w.awaitReadyz(t, http.StatusOK)
		s.everyEnd(t)
		s.execute(t, "REVOKE UPDATE ON invoice_jobs FROM "+role)
		if body := w.awaitReadyz(t, http.StatusServiceUnavailable); !strings.Contains(body, "GRANT UPDATE ON TABLE") {
			t.Errorf("/readyz: %s", body)
		}
	})
	t.Run("to a Redis without scripts", func(t *testing.T) {
		t.Parallel()
		server, err := servers.StartRedis(t.Context(), servers.RedisOptions{Settings: map[string]string{"rename-command EVALSHA": ""}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { server.Close() })
		if code, _, stderr := newSite(t, server.URL).run(t, "", "worker"); code != 1 || !strings.Contains(stderr, "does not know evalsha") {
			t.Errorf("exit code %d, %s", code, stderr)
		}
	})
	t.Run("to Redis", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, sandboxtest.PrivateRedis(t).URL)
		s.do(t, "ACL SETUSER app on >pw +ping")
		limited := s.asRedisUser(t, "app")
		code, _, stderr := limited.run(t, "", "worker")
		advice := regexp.MustCompile(`ACL SETUSER app .*`).FindString(stderr)
		if code != 1 || advice == "" || strings.Count(stderr, "\n") != 0 {
			t.Fatalf("exit code %d, %s", code, stderr)
		}
		s.do(t, advice)
		limited.start(t, "worker").awaitReadyz(t, http.StatusOK)
		s.everyEnd(t)
	})
}
