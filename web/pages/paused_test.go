package pages_test

import (
	"strings"
	"testing"
)

// The first page says that jobs wait for a paused series, and who has paused it.
func TestNowShowsPausedSeries(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	if _, page := s.get(t, "/"); !strings.Contains(page, "Nothing: no failed job waits") {
		t.Errorf("at first:\n%s", page)
	}
	s.OpenIssuers(t, "ACME-DE")
	s.Exec(t, `INSERT INTO series (issuer, series, version, kind, format, period, timezone, origin, change, actor, state, note)
VALUES ('ACME-DE', 'INV', 1, 'invoice', '{series}-{number}', 'none', 'UTC', 'command', 'opened', 'ada', 'open', NULL),
	('ACME-DE', 'INV', 2, 'invoice', '{series}-{number}', 'none', 'UTC', 'command', 'paused', 'gr<ace', 'paused', 'rates')`)
	s.Exec(t, `INSERT INTO invoice_jobs (job_id, issuer, transaction_id, idempotency_key, queue, payload, state, paused_series)
SELECT 'job-' || n, 'ACME-DE', 'T' || n, 'T' || n, 'bulk', '{}', 'accepted', 'ACME-DE/INV' FROM generate_series(1, 10001) n`)
	_, page := s.get(t, "/")
	if want := `More than 10,000 jobs wait for <a href="/series">series ACME-DE/INV</a>, which <bdi>gr&lt;ace</bdi> paused at 20`; !strings.Contains(page, want) {
		t.Errorf("no %s:\n%s", want, page)
	}
	if !strings.Contains(page, "<bdi>rates</bdi>") || strings.Contains(page, "Nothing:") {
		t.Errorf("while jobs wait:\n%s", page)
	}
}
