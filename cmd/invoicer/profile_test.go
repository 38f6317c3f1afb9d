package main

import (
	"slices"
	"strings"
	"testing"

	"invoicer/config"
	"invoicer/invoice/document"
)

// The settings know the profiles that documents have.
func TestProfilesOfTheSettings(t *testing.T) {
	t.Parallel()
	var known []string
	for _, p := range document.Profiles() {
		known = append(known, string(p))
	}
	if got := config.Profiles(); !slices.Equal(got, known) {
		t.Errorf("%q, want %q", got, known)
	}
}

// What the profile refuses is a failed job where SQL or a queue is the door, and is refused at once by enqueue. Once the setting allows it,
// a replay makes its invoice.
func TestJobsThatTheProfileRefuses(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	s.must(t, "settings", "set", "profile=xrechnung")
	s.Exec(t, "SELECT accept($1, $2)", payloadOf("T1", "EUR"), s.queue)
	s.start(t, "worker")
	s.awaitCount(t, 1, "SELECT count(*) FROM invoice_jobs WHERE state = 'failed' AND outcome = 'invalid'")
	reason := s.Text(t, "SELECT reason FROM invoice_jobs")
	for _, part := range []string{"version is 1, which can't state all that the profile xrechnung asks for: send version 2", "seller.name is missing (BT-27, BR-06; profile xrechnung)", "buyer_reference is missing (BT-10, BR-DE-15; profile xrechnung)"} {
		if !strings.Contains(reason, part) {
			t.Errorf("%q isn't in %s", part, reason)
		}
	}
	if told := s.replayJSON(t, "--all", "--dry-run"); told.StillInvalid != 1 || len(told.Jobs[0].Problems) < 8 {
		t.Errorf("forecast %+v", told)
	}
	s.must(t, "settings", "set", "profile=none")
	if told := s.replayJSON(t, "--all", "--dry-run"); told.Forecasts["created"] != 1 {
		t.Errorf("forecast without the profile %+v", told)
	}
	s.must(t, "replay", "--all")
	s.awaitCount(t, 1, "SELECT count(*) FROM invoices")
	s.must(t, "settings", "set", "profile=peppol") // which doesn't judge what was made
	s.Exec(t, "SELECT accept($1, $2)", payloadOf("T1", "EUR"), s.queue)
	s.awaitCount(t, 1, "SELECT count(*) FROM duplicate_attempts")
	s.must(t, "audit")
}
