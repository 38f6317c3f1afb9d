package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
)

// What was sealed comes back from the seals, where the database and Redis have lost it together. Seals of another database are refused.
func TestSealsBringBackWhatIsLost(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	rig.DatabaseOn(t, p.primary.URL)
	s := newSiteOn(t, p.url(t), "invoicer", sandboxtest.PrivateRedis(t).URL)
	s.start(t, "worker").await(t, "worker started")
	s.enqueue(t, "T1")
	s.awaitCount(t, 1, "SELECT count(*) FROM invoices")
	after := *s
	after.Database = rig.OpenDatabase(t, p.standby.URL, "invoicer")
	rig.Eventually(t, "a standby that has all", func() bool { return after.numbers(t) == s.numbers(t) })
	must(t, p.standby.Cut(t.Context()))
	s.enqueue(t, "L2")
	s.awaitCount(t, 2, "SELECT count(*) FROM invoices")
	s.enqueue(t, "L3")
	s.awaitCount(t, 3, "SELECT count(*) FROM invoices")
	s.awaitAcknowledged(t)
	seals, key := t.TempDir(), filepath.Join(t.TempDir(), "key.pem")
	must(t, os.WriteFile(key, []byte(sealingKey), 0o600))
	s.must(t, "seal", "--key", key, "--to", seals)
	given := s.numbers(t)

	must(t, p.primary.Kill())
	must(t, p.standby.Promote(t.Context()))
	must(t, s.rdb.FlushAll(t.Context()).Err())
	s = &after
	s.enqueueSoon(t, "N4")
	s.awaitCount(t, 1, "SELECT count(*) FROM series WHERE state = 'paused'")
	other := newSite(t, s.redisURL)
	other.must(t, "series", "open", "INV")
	if code, _, stderr := other.run(t, "", "series", "recover", "INV", "--seals", seals, "--yes"); code != exitFailed || !strings.Contains(stderr, "seals of another database") {
		t.Errorf("seals of another database: exit code %d, %s", code, stderr)
	}
	var recovered struct{ Numbers []recoveredNumber }
	must(t, json.Unmarshal([]byte(s.must(t, "series", "recover", "INV", "--seals", seals, "--yes", "--json")), &recovered))
	var got []string
	for _, n := range recovered.Numbers {
		got = append(got, n.InvoiceNumber+":"+n.TransactionID+":"+n.Source)
	}
	if want := "INV-000002:L2:seal INV-000003:L3:seal"; strings.Join(got, " ") != want {
		t.Errorf("recovered %q", got)
	}
	s.enqueue(t, "L3", "L2")
	s.awaitCount(t, 4, "SELECT count(*) FROM invoices")
	if now := s.numbers(t); now != given+" 4:N4" {
		t.Errorf("the numbers were %s, and are %s", given, now)
	}
	s.must(t, "audit")
}
