package main

import (
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"invoicer/internal/given"
	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/internal/sandbox/servers"
)

// A pair is a primary with a standby that commits don't wait for.
type pair struct {
	primary *servers.Server
	standby *servers.Standby
}

func newPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{}
	var err error
	hints := map[string]string{"wal_log_hints": "on", "full_page_writes": "on", "wal_keep_size": "256MB"} // for pg_rewind
	p.primary, err = servers.StartPostgres(t.Context(), servers.PostgresOptions{TCP: true, Settings: hints})
	must(t, err)
	t.Cleanup(func() { must(t, p.primary.Close()) })
	p.standby, err = servers.StartStandby(t.Context(), p.primary, "standby1", servers.PostgresOptions{TCP: true, Settings: hints})
	must(t, err)
	t.Cleanup(func() { must(t, p.standby.Close()) })
	return p
}

// url names both servers, of which the one is meant that takes writes.
func (p *pair) url(t *testing.T) string {
	t.Helper()
	first, err := url.Parse(p.primary.URL)
	must(t, err)
	second, err := url.Parse(p.standby.URL)
	must(t, err)
	first.Host += "," + second.Host
	return rig.With(t, rig.With(t, first.String(), "target_session_attrs", "read-write"), "connect_timeout", "2")
}

// failOver cuts the standby off, has the primary invoice more, and makes the standby the primary, which knows nothing of them.
func (s *site) failOver(t *testing.T, p *pair, lost ...string) *site {
	t.Helper()
	after := *s
	after.Database = rig.OpenDatabase(t, p.standby.URL, s.Schema)
	rig.Eventually(t, "a standby that has all", func() bool { return after.numbers(t) == s.numbers(t) })
	must(t, p.standby.Cut(t.Context()))
	before := s.Count(t, "SELECT count(*) FROM invoices")
	for _, id := range lost {
		s.enqueue(t, id)
		before++
		s.awaitCount(t, before, "SELECT count(*) FROM invoices")
	}
	s.awaitAcknowledged(t)
	must(t, p.primary.Kill())
	must(t, p.standby.Promote(t.Context()))
	return &after
}

// awaitAcknowledged returns once no task is left in the queue.
func (s *site) awaitAcknowledged(t *testing.T) {
	t.Helper()
	rig.Eventually(t, "an empty queue", func() bool {
		info, err := s.inspector.GetQueueInfo(s.queue)
		return err == nil && info.Size == info.Completed
	})
}

// enqueueSoon enqueues a job once that is taken: until the worker has told Redis of the new primary, the queue looks like that of
// another copy of the database.
func (s *site) enqueueSoon(t *testing.T, id string) {
	t.Helper()
	rig.Eventually(t, "the queue's owner on the new primary", func() bool {
		code, _, _ := s.run(t, payloadOf(id, "GBP"), "enqueue", "-", "--queue", s.queue)
		return code == exitOK
	})
}

func (s *site) numbers(t *testing.T) string {
	t.Helper()
	return s.Text(t, "SELECT coalesce(string_agg(number || ':' || transaction_id, ' ' ORDER BY number), '') FROM invoices")
}

// What a lost database gave out goes to nobody else: the series waits for a person, the numbers that are known to have been given out
// return to their transactions, and others go on above.
func TestNoNumberTwiceAfterAFailover(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	rig.DatabaseOn(t, p.primary.URL)
	s := newSiteOn(t, p.url(t), "invoicer", sandboxtest.Redis(t))
	worker := s.start(t, "worker")
	for i, id := range []string{"T1", "T2", "T3"} {
		s.enqueue(t, id)
		s.awaitCount(t, i+1, "SELECT count(*) FROM invoices")
	}
	s.awaitAcknowledged(t)
	s = s.failOver(t, p, "L4", "L5", "L6", "L7")
	if got := s.numbers(t); got != "1:T1 2:T2 3:T3" {
		t.Fatalf("the new primary has %s", got)
	}
	must(t, s.rdb.Del(t.Context(), "invoicer:"+s.Text(t, "SELECT id::text FROM database_identity")+":done:{L7}").Err())

	s.enqueueSoon(t, "L5")
	worker.await(t, "series paused: it may have lost numbers")
	s.enqueueSoon(t, "N8")
	s.awaitCount(t, 1, "SELECT count(*) FROM series WHERE series = 'INV' AND state = 'paused'")
	if code, _, stderr := s.run(t, "", "series", "resume", "INV"); code == exitOK || !strings.Contains(stderr, "invoicer series recover INV") {
		t.Errorf("resume: exit code %d, %s", code, stderr)
	}
	if dry := s.must(t, "series", "recover", "INV", "--dry-run"); !strings.Contains(dry, "nothing was changed") {
		t.Errorf("--dry-run: %s", dry)
	}
	var recovered struct {
		State   string
		Numbers []recoveredNumber
	}
	must(t, json.Unmarshal([]byte(s.must(t, "series", "recover", "INV", "--yes", "--json", "--note", "the failover")), &recovered))
	var got []string
	for _, n := range recovered.Numbers {
		got = append(got, n.InvoiceNumber+":"+n.TransactionID)
	}
	if want := "INV-000004:L4 INV-000005:L5 INV-000006:L6 :"; strings.Join(got, " ") != want || recovered.State != "open" {
		t.Errorf("recovered %q, %s", got, recovered.State)
	}
	if report := s.must(t, "series", "show", "INV"); !strings.Contains(report, "recovered: 4 numbers reserved") {
		t.Errorf("series show: %s", report)
	}
	s.awaitCount(t, 5, "SELECT count(*) FROM invoices")
	seals, key := t.TempDir(), filepath.Join(t.TempDir(), "key.pem")
	must(t, os.WriteFile(key, []byte(sealingKey), 0o600))
	s.must(t, "seal", "--key", key, "--to", seals)
	s.enqueue(t, "L7", "L6", "L4")
	s.awaitCount(t, 8, "SELECT count(*) FROM invoices")
	s.enqueue(t, "N10")
	s.awaitCount(t, 9, "SELECT count(*) FROM invoices")
	if got := s.numbers(t); got != "1:T1 2:T2 3:T3 4:L4 5:L5 6:L6 8:N8 9:L7 10:N10" {
		t.Errorf("the numbers are %s", got)
	}
	s.must(t, "audit", "--seals", seals)
	s.must(t, "seal", "--key", key, "--to", seals)
	code, stdout, stderr := s.run(t, "", "audit", "--seals", seals)
	if code != exitOK || !strings.Contains(stdout, "reserved, since a database that is lost gave them out") {
		t.Errorf("audit: exit code %d, %s%s", code, stdout, stderr)
	}
	for _, statement := range []string{
		"UPDATE reserved_numbers SET transaction_id = 'X'", "DELETE FROM reserved_numbers", "TRUNCATE reserved_numbers",
		"UPDATE invoice_series SET reserved_to = NULL", "UPDATE invoice_series SET reserved_to = 99, last_number = 99",
		"INSERT INTO reserved_numbers (issuer, series, period, number, source, actor) VALUES ('', 'INV', '', 99, 's', 'a')",
	} {
		if _, err := s.DB.ExecContext(t.Context(), statement); err == nil {
			t.Errorf("%s is taken", statement)
		}
	}
}

// Whoever recovers a series on a server that others have left for a newer primary is told so before.
func TestRecoverSaysWhichServerIsRight(t *testing.T) {
	t.Parallel()
	s := newSite(t, sandboxtest.Redis(t))
	s.must(t, "series", "open", "INV")
	system := s.Text(t, "SELECT system_identifier::text FROM pg_control_system()")
	must(t, s.rdb.HSet(t.Context(), given.Key(s.Text(t, "SELECT id::text FROM database_identity")), "timeline "+system, 7).Err())
	const told = "workers have used a primary with timeline 7 since"
	if dry := s.must(t, "series", "recover", "INV", "--dry-run"); !strings.Contains(dry, told) {
		t.Errorf("--dry-run: %s", dry)
	}
	s.must(t, "series", "recover", "INV", "--yes")
	if dry := s.must(t, "series", "recover", "INV", "--dry-run"); strings.Contains(dry, told) {
		t.Errorf("after it was said to be the right one: %s", dry)
	}
}
