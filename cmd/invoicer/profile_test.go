package main

import (
	"slices"
	"strings"
	"testing"

	"invoicer/config"
	"invoicer/internal/rig"
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
	rig.Eventually(t, "the invoice", func() bool { // a worker may go by the settings of before for a moment, and refuse the job again
		if s.Count(t, "SELECT count(*) FROM invoice_jobs WHERE state = 'failed'") > 0 {
			s.run(t, "", "replay", "--all")
		}
		return s.Count(t, "SELECT count(*) FROM invoices") == 1
	})
	s.must(t, "settings", "set", "profile=peppol") // which doesn't judge what was made
	s.Exec(t, "SELECT accept($1, $2)", payloadOf("T1", "EUR"), s.queue)
	s.awaitCount(t, 1, "SELECT count(*) FROM duplicate_attempts")
	s.must(t, "audit")
}

// Documents are written by the profile that judged their invoice, whatever is configured, and those of other invoices by the one of the configuration.
func TestDocumentsFollowTheProfileThatJudged(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	s.start(t, "worker")
	const fits = `{"version":2,"transaction_id":"TX","issued_at":"2026-10-31T10:30:00Z","currency":"EUR","buyer_reference":"04011000-12345-34","due_date":"2026-11-30",
"buyer":{"name":"Amt","address":{"city":"Bonn","postcode":"53111","country_code":"DE"},"electronic_address":{"scheme":"9930","id":"DE123456788"}},
"seller":{"name":"Müller","vat_id":"DE123456788","address":{"city":"Köln","postcode":"50667","country_code":"DE"},
"electronic_address":{"scheme":"9930","id":"DE123456788"},"contact":{"name":"Ada","phone":"123456","email":"a@example.com"}},
"payment":{"means_code":"58","iban":"DE89370400440532013000"},
"lines":[{"name":"pens","quantity":"2","unit_price":"10","tax_percent":"19","tax_category":"S"}]}`
	for i, profile := range []string{"none", "xrechnung", "peppol", "facturx"} {
		if i > 0 { // it is none at first
			s.must(t, "settings", "set", "profile="+profile)
		}
		s.Exec(t, "SELECT accept($1, $2)", strings.Replace(fits, "TX", "T-"+profile, 1), s.queue)
		s.awaitCount(t, i+1, "SELECT count(*) FROM invoices")
	}
	s.must(t, "settings", "set", "profile=none")
	configured := s.with("INVOICER_DOCUMENTS_PROFILE=en16931")
	const en, xr, peppol = "urn:cen.eu:en16931:2017", "urn:cen.eu:en16931:2017#compliant#urn:xeinkauf.de:kosit:xrechnung_3.0", "urn:cen.eu:en16931:2017#compliant#urn:fdc:peppol.eu:2017:poacc:billing:3.0"
	for profile, want := range map[string]struct{ ubl, cii string }{"none": {en, en}, "xrechnung": {xr, xr}, "peppol": {peppol, en}, "facturx": {en, en}} {
		number := s.Text(t, "SELECT invoice_number FROM invoices WHERE transaction_id = 'T-"+profile+"'")
		for format, element := range map[string]string{"ubl": "<cbc:CustomizationID>" + want.ubl + "<", "cii": "<ram:ID>" + want.cii + "<"} {
			if written := configured.must(t, "document", "get", number, "--format", format, "-o", "-"); !strings.Contains(written, element) {
				t.Errorf("%s as %s hasn't %s: %.900s", profile, format, element, written)
			}
		}
	}
}
