package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/internal/sandbox/servers"
	upgradetest "invoicer/internal/upgrade"
)

// TestHeavyUpgradeOfMany upgrades a database of many invoices from the release before to this one, while its workers invoice, jobs are
// accepted and people read: no statement of theirs takes longer than a second, no job is lost, and an upgrade that is killed goes on where
// it was. INVOICER_UPGRADE_INVOICES is how many there are.
func TestHeavyUpgradeOfMany(t *testing.T) { //nolint:paralleltest // it says how long others wait for it, which other tests beside it would decide
	if testing.Short() {
		t.Skip("it is a heavy one")
	}
	invoices := 50_000
	if given := os.Getenv("INVOICER_UPGRADE_INVOICES"); given != "" {
		var err error
		invoices, err = strconv.Atoi(given)
		must(t, err)
	}
	before := upgradetest.Program(t)
	server, err := servers.StartPostgres(t.Context(), servers.PostgresOptions{})
	must(t, err)
	t.Cleanup(func() { must(t, server.Close()) })
	s := newSiteOn(t, server.URL, "invoicer", sandboxtest.Redis(t))
	s.runProgram(t, before, "", "migrate", "up")
	old := s.Count(t, "SELECT max(version_id) FROM goose_db_version")
	s.Fill(t, invoices)
	worker := s.startProgram(t, before, "worker")
	worker.await(t, "worker started")

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var others sync.WaitGroup
	accepted := 0
	for name, ask := range map[string]func(n int) error{
		"accept": func(n int) error {
			_, err := s.DB.ExecContext(t.Context(), "SELECT accept(payload := $1, queue := $2)", payloadOf(fmt.Sprint("new-", n), "GBP"), s.queue)
			if err == nil {
				accepted++
			}
			return err
		},
		"read an invoice": func(n int) error {
			var total int
			return s.DB.QueryRowContext(ctx, "SELECT total_minor FROM invoices WHERE transaction_id = $1", fmt.Sprint("W-", 1+n%invoices)).Scan(&total)
		},
		"read its lines": func(n int) error {
			var lines int
			return s.DB.QueryRowContext(ctx, "SELECT count(*) FROM invoice_lines l JOIN invoices i ON i.id = l.invoice_id WHERE i.transaction_id = $1", fmt.Sprint("W-", 1+n%invoices)).Scan(&lines)
		},
		"change a job": func(n int) error {
			_, err := s.DB.ExecContext(ctx, "UPDATE invoice_jobs SET updated_at = now() WHERE job_id = $1", fmt.Sprint("job-", 1+n%invoices))
			return err
		},
	} {
		others.Go(func() {
			var longest time.Duration
			n := 0
			for ; ctx.Err() == nil; n++ {
				began := time.Now()
				if err := ask(n); err != nil && !errors.Is(err, context.Canceled) {
					t.Errorf("%s: %v", name, err)
					return
				}
				longest = max(longest, time.Since(began))
				pause := time.NewTimer(5 * time.Millisecond) // a load that workers keep up with
				select {
				case <-ctx.Done():
				case <-pause.C:
				}
			}
			t.Logf("%5d times, the longest %v: %s", n, longest.Round(time.Millisecond), name)
			if longest > time.Second {
				t.Errorf("it took %v: %s", longest, name)
			}
		})
	}
	s.awaitCount(t, 100, "SELECT least(100, count(*)) FROM invoices WHERE transaction_id LIKE 'new-%'")
	killed := s.start(t, "migrate", "up")
	rig.Eventually(t, "a migration of this release", func() bool { return s.Count(t, "SELECT max(version_id) FROM goose_db_version") > old })
	must(t, killed.Process.Kill())
	<-killed.ended
	at := s.Count(t, "SELECT max(version_id) FROM goose_db_version")
	began := time.Now()
	_, stdout, stderr := s.run(t, "", "migrate", "up")
	t.Logf("it was killed after migration %d of %d to %d; the rest took %v", at, old+1, s.Count(t, "SELECT max(version_id) FROM goose_db_version"), time.Since(began).Round(time.Millisecond))
	if !strings.Contains(stderr, "will apply ") {
		t.Errorf("it didn't say beforehand what it would do: %s%s", stdout, stderr)
	}
	s.must(t, "migrate", "status")
	cancel()
	others.Wait()
	s.awaitCount(t, accepted, "SELECT count(*) FROM invoices WHERE transaction_id LIKE 'new-%'")
	worker.signal(t, syscall.SIGTERM)
	if code := worker.exit(t); code != exitOK {
		t.Errorf("worker: exit code %d", code)
	}
	var longest time.Duration
	for _, took := range regexp.MustCompile(`msg="job ended".* took=(\S+)`).FindAllStringSubmatch(worker.stderr(), -1) {
		d, err := time.ParseDuration(took[1])
		must(t, err)
		longest = max(longest, d)
	}
	t.Logf("%d jobs, of which the longest took the worker of the release before %v", accepted, longest.Round(time.Millisecond))
	if longest == 0 || longest > 2*time.Second { // a job has several statements, and shares them with others
		t.Errorf("the longest job took %v", longest)
	}
}
