package main

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

// A date out of the bounds that the settings have is forecast to be invalid, in the words of the write, until they allow it.
func TestForecastOfDatesOutOfBounds(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	s.must(t, "settings", "set", "dates.earliest=2020-01-01", "dates.latest=1h")
	dates := map[string]struct{ at, says string }{
		"EARLY": {"2019-12-31T23:59:59Z", "is before 2020-01-01, the first day that is allowed"},
		"LATE":  {time.Now().Add(20 * time.Hour).UTC().Format(time.RFC3339), "is after TIME, the latest that is allowed by the database's clock"},
	}
	for id, date := range dates {
		s.Exec(t, "SELECT accept($1, $2)", strings.Replace(payloadOf(id, "GBP"), "2010-12-01T08:26:00Z", date.at, 1), s.queue)
	}
	s.start(t, "worker")
	s.awaitCount(t, len(dates), "SELECT count(*) FROM invoice_jobs WHERE state = 'failed' AND outcome = 'invalid'")

	moment := regexp.MustCompile(`[0-9-]+T[0-9:]+Z`) // up to which dates are allowed, at the time of the message
	plain := func(text string) string {
		return strings.Join(strings.Fields(moment.ReplaceAllString(text, "TIME")), " ")
	}
	told := s.replayJSON(t, "--all", "--dry-run")
	if told.StillInvalid != len(dates) || len(told.Jobs) != len(dates) {
		t.Fatalf("forecast %+v", told)
	}
	for _, j := range told.Jobs {
		id := *j.TransactionID
		if j.Forecast != "invalid" || len(j.Problems) != 1 || j.Problems[0].Field != "issued_at" || !strings.HasPrefix(plain(j.Problems[0].Message), dates[id].says) {
			t.Errorf("%s: forecast %+v", id, j)
			continue
		}
		words := "issued_at " + plain(j.Problems[0].Message)
		if reason := plain(s.Text(t, "SELECT reason FROM invoice_jobs WHERE transaction_id = $1", id)); !strings.Contains(reason, "invalid job: "+words+"; ") {
			t.Errorf("%s: the write says %q, and the forecast %q", id, reason, words)
		}
		if status := plain(s.must(t, "status", id)); !strings.Contains(status, words) {
			t.Errorf("%s: %q isn't in the status\n%s", id, words, status)
		}
		if text := plain(s.must(t, "replay", "--transaction", id, "--dry-run")); !strings.Contains(text, id+" still invalid: "+words) {
			t.Errorf("%s: %q isn't in\n%s", id, words, text)
		}
	}

	s.must(t, "settings", "set", "dates.earliest=1970-01-01", "dates.latest=24h")
	if told := s.replayJSON(t, "--all", "--dry-run"); told.Forecasts["created"] != len(dates) || told.StillInvalid != 0 {
		t.Errorf("forecast under other bounds %+v", told)
	}
	s.must(t, "replay", "--all")
	s.awaitCount(t, len(dates), "SELECT count(*) FROM invoices")
	s.must(t, "audit")
}
