package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"invoicer/internal/sandbox/programs"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/internal/sandbox/servers"
	"invoicer/migrations"
)

// A database that went through a dump is the one that it was: its audit is clean, migrations know it, and workers go on
// where the old ones stopped.
func TestRestoredDatabase(t *testing.T) {
	t.Parallel()
	server := sandboxtest.PrivatePostgres(t)
	for name, test := range map[string]struct {
		schema string
		format string
		before bool // it is a dump of the release before
		only   bool // the schema is dumped, and nothing else
	}{
		"plain":                          {"invoicer", "plain", false, false},
		"of the schema alone":            {"invoicer", "custom", false, true},
		"custom":                         {"invoicer", "custom", false, false},
		"a name that is quoted":          {"order", "custom", false, false},
		"of the release before":          {"invoicer", "custom", true, false},
		"of the release before in plain": {"invoicer", "plain", true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, to := newDatabase(t, server.URL), newDatabase(t, server.URL)
			s := filledSite(t, from, test.schema)
			taken := 0
			if test.before {
				taken = s.releaseBefore(t)
			}
			file := filepath.Join(t.TempDir(), "dump")
			dump := []string{"--dbname=" + from, "--format=" + test.format, "--file=" + file}
			if test.only {
				dump = append(dump, "--schema="+test.schema)
			}
			postgresProgram(t, "pg_dump", dump...)
			if test.format == "plain" {
				postgresProgram(t, "psql", "--dbname="+to, "--set=ON_ERROR_STOP=1", "--quiet", "--file="+file)
			} else {
				postgresProgram(t, "pg_restore", "--dbname="+to, "--exit-on-error", file)
			}
			s.goesOnIn(t, to, taken)
		})
	}
}

func TestHeavyUpgradedDatabase(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("heavy: make test-all runs it")
	}
	for _, before := range []bool{false, true} {
		t.Run(fmt.Sprintf("of the release before %v", before), func(t *testing.T) {
			t.Parallel()
			server := sandboxtest.PrivatePostgres(t)
			s := filledSite(t, server.URL, "invoicer")
			taken := 0
			if before {
				taken = s.releaseBefore(t)
			}
			upgraded, err := servers.UpgradePostgres(t.Context(), server, servers.PostgresOptions{})
			if errors.Is(err, servers.ErrNoUpgrade) {
				t.Skip("NOT TESTED: ", err)
			}
			must(t, err)
			t.Cleanup(func() { must(t, upgraded.Close()) })
			s.goesOnIn(t, upgraded.URL, taken)
		})
	}
}

// releaseBefore takes the migrations back that the release before didn't have, and returns how many.
func (s *site) releaseBefore(t *testing.T) (taken int) {
	t.Helper()
	const newest = 6
	// It knows no chain. What has one can't be taken back to it.
	s.Exec(t, `SET session_replication_role = replica; UPDATE invoices SET chain = NULL, salt = NULL, text_hash = NULL; DELETE FROM invoice_links;
		RESET session_replication_role`)
	migrator, err := migrations.New(s.URL, s.Schema)
	must(t, err)
	for {
		list, err := migrator.Status(t.Context())
		must(t, err)
		applied := slices.DeleteFunc(list, func(m migrations.Migration) bool { return m.AppliedAt == nil })
		if applied[len(applied)-1].Version <= newest {
			return taken
		}
		_, err = migrator.Down(t.Context())
		must(t, err)
		taken++
	}
}

// newDatabase returns the URL of an empty database beside the one of the URL.
func newDatabase(t *testing.T, server string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), server)
	must(t, err)
	defer conn.Close(context.WithoutCancel(t.Context()))
	name := newQueue()
	_, err = conn.Exec(t.Context(), `CREATE DATABASE "`+name+`"`)
	must(t, err)
	address, err := url.Parse(server)
	must(t, err)
	address.Path = "/" + name
	return address.String()
}

// postgresProgram runs one of the programs that come with the server.
func postgresProgram(t *testing.T, name string, args ...string) {
	t.Helper()
	found, err := programs.Find(programs.Postgres)
	must(t, err)
	program := filepath.Join(filepath.Dir(found[programs.Postgres]), name)
	if output, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", program, err, output)
	}
}

// filledSite has three invoices, two duplicates, a failed job, and one that is accepted and waits for a worker.
func filledSite(t *testing.T, database, schema string) *site {
	t.Helper()
	migrator, err := migrations.New(database, schema)
	must(t, err)
	_, err = migrator.Up(t.Context())
	must(t, err)
	s := newSiteOn(t, database, schema, sandboxtest.Redis(t))
	worker := s.start(t, "worker")
	s.enqueue(t, "T1", "T2", "T3", "T1", "T2")
	s.awaitEnds(t, 5)
	worker.signal(t, syscall.SIGTERM)
	if code := worker.exit(t); code != exitOK {
		t.Fatalf("the worker: exit code %d", code)
	}
	s.change(t, `INSERT INTO invoice_jobs (job_id, queue, state, outcome, reason) VALUES ('bad', $1, 'failed', 'invalid', 'payload is no JSON')`, s.queue)
	if code, _, stderr := s.run(t, payloadOf("T4", "GBP"), "enqueue", "-", "--durable", "--queue", s.queue); code != exitOK {
		t.Fatalf("enqueue: exit code %d, %s", code, stderr)
	}
	return s
}

// goesOnIn checks that the site works in another database, which is to be what its own was, but for so many migrations.
func (s *site) goesOnIn(t *testing.T, database string, migrations int) {
	t.Helper()
	restored := newSiteOn(t, database, s.Schema, s.redisURL)
	restored.queue = s.queue
	s = restored.with("INVOICER_WORKER_QUEUES=" + s.queue + "=1")
	audited := func() {
		t.Helper()
		if code, stdout, stderr := s.run(t, "", "audit"); code != exitOK {
			t.Errorf("audit: exit code %d, %s%s", code, stdout, stderr)
		}
	}
	if migrations == 0 {
		audited()
	}
	if applied := s.must(t, "migrate", "up"); strings.Count(applied, "applied 0") != migrations {
		t.Errorf("migrate up: %s", applied)
	}
	audited()

	s.start(t, "worker")
	s.enqueue(t, "T1", "T5")
	s.awaitEnds(t, 9)
	if got := s.Text(t, "SELECT string_agg(number || ':' || transaction_id, ' ' ORDER BY number) FROM invoices WHERE number > 3"); got != "4:T4 5:T5" && got != "4:T5 5:T4" {
		t.Errorf("the next numbers: %s", got)
	}
	for _, statement := range []string{
		"UPDATE invoices SET total_minor = 0", "DELETE FROM invoice_lines", "TRUNCATE invoice_taxes",
		"UPDATE invoice_series SET last_number = 1",
		"INSERT INTO invoice_lines (invoice_id, position, quantity, unit_price, net_minor) SELECT id, 9, 1, 0, 0 FROM invoices",
	} {
		_, err := s.DB.ExecContext(t.Context(), statement)
		if refused := new(pgconn.PgError); !errors.As(err, &refused) || refused.Code != "23000" {
			t.Errorf("%s: %v, want a refusal", statement, err)
		}
	}
	audited()
}
