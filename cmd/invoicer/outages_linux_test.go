package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/programs"
	"invoicer/internal/sandbox/sandboxtest"
)

// Outages, each made on real servers, are told by /readyz, the log, the metric and the alerts, name what docs/operations.md explains,
// lose no job, and pass by themselves once they are mended.
func TestHeavyOutagesAreToldAndPass(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("heavy: make test-all runs it")
	}
	found, err := programs.Find(programs.Prometheus)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		prepare       func(*testing.T, *site)
		begin, end    func(*testing.T, *site)
		server, cause string
		says          string
	}{
		"a Redis without memory": {
			begin:  func(t *testing.T, s *site) { s.do(t, "CONFIG SET maxmemory 1") },
			end:    func(t *testing.T, s *site) { s.do(t, "CONFIG SET maxmemory 0") },
			server: "redis", cause: "OOM", says: "maxmemory",
		},
		"a Redis that is a replica": {
			begin:  func(t *testing.T, s *site) { s.do(t, "REPLICAOF 127.0.0.1 1") },
			end:    func(t *testing.T, s *site) { s.do(t, "REPLICAOF NO ONE") },
			server: "redis", cause: "READONLY", says: "read-only replica",
		},
		"a Redis that forbids scripts": {
			begin:  func(t *testing.T, s *site) { s.do(t, "ACL SETUSER app -eval -evalsha") },
			end:    func(t *testing.T, s *site) { s.do(t, "ACL SETUSER app +eval +evalsha") },
			server: "redis", cause: "NOPERM", says: "user app may not run",
		},
		"a Postgres whose disk is full": {
			prepare: onSmallDisk,
			begin:   func(t *testing.T, s *site) { s.fillDisk(t) },
			end:     func(t *testing.T, s *site) { s.makeRoom(t) },
			server:  "postgres", cause: "53100", says: "make room on its disk",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := rig.DatabaseOn(t, sandboxtest.PrivatePostgres(t).URL)
			s := newSiteOn(t, d.URL, d.Schema, sandboxtest.PrivateRedis(t).URL)
			s.do(t, "ACL SETUSER app on >pw ~* &* +@all")
			if c.prepare != nil {
				c.prepare(t, s)
			}
			address := freeAddress(t)
			limited := s.asRedisUser(t, "app").with("INVOICER_HTTP_ADDR=" + address)
			w := limited.start(t, "worker")
			w.awaitReadyz(t, http.StatusOK)
			token := s.token(t, "--role", "read", "--name", "prometheus")
			awaitCode(t, http.StatusOK, "http://"+address+"/metrics", bearer(token))
			p := startPrometheus(t, found[programs.Prometheus], address, token)
			s.enqueue(t, "before")
			s.awaitEnds(t, 1)
			const firing = `ALERTS{alertname="%s",alertstate="firing"}`
			outage := fmt.Sprintf(`ALERTS{alertname="InvoicerOutage",alertstate="firing",server=%q,cause=%q}`, c.server, c.cause)
			p.awaitSamples(t, "invoicer_ready == 1", 1)

			const jobs = 40
			c.begin(t, s)
			var ids []string
			for i := range jobs {
				ids = append(ids, fmt.Sprint("T", i))
			}
			if c.server == "redis" { // which takes no jobs: the ledger does
				s.change(t, `SELECT accept(payload := replace($1, 'ID', id), queue := $2) FROM unnest(string_to_array($3, ' ')) id`,
					payloadOf("ID", "GBP"), s.queue, strings.Join(ids, " "))
			} else {
				s.enqueue(t, ids...)
			}
			body := w.awaitReadyz(t, http.StatusServiceUnavailable)
			if line := w.await(t, "level=ERROR"); !strings.Contains(line, c.says) || !strings.Contains(body, c.says) {
				t.Errorf("%q is missed in /readyz or in the log:\n%s\n%s", c.says, body, line)
			}
			p.awaitSamples(t, outage, 1)
			p.awaitSamples(t, fmt.Sprintf(firing, "InvoicerNotReady"), 1)
			w.stays(t, http.StatusServiceUnavailable, 6*time.Second)
			_, shown := get(t, "http://"+address+"/metrics", bearer(token))
			if on := regexp.MustCompile(`(?m)^invoicer_outage\{.*\} 1$`).FindAllString(shown, -1); len(on) != 1 {
				t.Errorf("the causes are %q, want %s alone", on, c.cause)
			}

			c.end(t, s)
			w.awaitReadyz(t, http.StatusOK)
			w.await(t, "jobs go on")
			s.awaitEnds(t, 1+jobs)
			p.awaitSamples(t, outage, 0)
			p.awaitSamples(t, fmt.Sprintf(firing, "InvoicerNotReady"), 0)
			if began, ended := w.logged("ERROR", ""), w.logged("INFO", "jobs go on"); len(began) != 1 || len(ended) != 1 {
				t.Errorf("%d lines tell of its begin, %d of its end:\n%s", len(began), len(ended), w.stderr())
			}
			if made := s.Count(t, "SELECT count(*) FROM invoices"); made != 1+jobs {
				t.Errorf("%d invoices of %d jobs", made, 1+jobs)
			}
			s.must(t, "audit")
			w.signal(t, syscall.SIGTERM)
			if code := w.exit(t); code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// awaitSamples returns once a query has so many samples.
func (s scraper) awaitSamples(t *testing.T, query string, want int) {
	t.Helper()
	rig.Within(t, time.Minute, func() error {
		var data struct{ Result []any }
		if err := s.ask(t, "/api/v1/query?query="+url.QueryEscape(query), &data); err != nil {
			return err
		}
		if len(data.Result) != want {
			return fmt.Errorf("%d samples of %s, and not %v", want, query, data.Result)
		}
		return nil
	})
}

// smallDisk is the folder of the small disk of a site's private Postgres.
func (s *site) smallDisk(t *testing.T) string {
	t.Helper()
	address, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(address.Query().Get("host"), "small")
}

// onSmallDisk moves the schema's tables and indexes to a disk of 32 MB. The log of the database stays where it is, as it would on a
// server that is run well.
func onSmallDisk(t *testing.T, s *site) {
	if os.Geteuid() != 0 {
		t.Skip("only root may mount a small disk")
	}
	small := s.smallDisk(t)
	if err := os.Mkdir(small, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=32m,mode=0755"); errors.Is(err, syscall.EPERM) {
		t.Skip("this root may mount nothing")
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(small, syscall.MNT_DETACH) })
	folder := filepath.Join(small, "tables")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	owner, err := os.Stat(filepath.Join(filepath.Dir(small), "data"))
	if err != nil {
		t.Fatal(err)
	}
	of := owner.Sys().(*syscall.Stat_t)
	if err := os.Chown(folder, int(of.Uid), int(of.Gid)); err != nil {
		t.Fatal(err)
	}
	s.execute(t, "CREATE TABLESPACE small LOCATION '"+folder+"'")
	for _, kind := range []string{"TABLE", "INDEX"} {
		s.execute(t, "ALTER "+kind+" ALL IN TABLESPACE pg_default SET TABLESPACE small")
	}
}

// fillDisk leaves nothing free on the small disk.
func (s *site) fillDisk(t *testing.T) {
	t.Helper()
	f, err := os.Create(filepath.Join(s.smallDisk(t), "full"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 4096); ; {
		if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func (s *site) makeRoom(t *testing.T) {
	t.Helper()
	if err := os.Remove(filepath.Join(s.smallDisk(t), "full")); err != nil {
		t.Fatal(err)
	}
}
