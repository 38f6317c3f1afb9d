package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"invoicer/internal/rig"
	"invoicer/invoice/document"
)

// gross is a job with all that a document needs.
const grossJob = `{"version":2,"transaction_id":"%s","issued_at":"2026-03-31T10:00:00Z","currency":"EUR","prices":"gross","language":"de",
"seller":{"name":"Mustermann GmbH","vat_id":"DE123456789","electronic_address":{"scheme":"EM","id":"billing@seller.example"},"contact":{"name":"Erika","phone":"+49 30 1","email":"erika@seller.example"},"address":{"line1":"Allee 1","city":"Berlin","postcode":"10115","country_code":"DE"}},
"buyer":{"name":"Żabka & Söhne","address":{"line1":"Rynek 2","city":"Kraków","postcode":"30-001","country_code":"PL"},"electronic_address":{"scheme":"EM","id":"ap@buyer.example"}},
"buyer_reference":"04011000-1234512345-06","due_date":"2026-04-14","payment":{"means_code":"58","iban":"DE02120300000000202051","account_name":"Mustermann GmbH"},"delivery":{"date":"2026-03-31"},
"lines":[{"quantity":"3","unit_price":"11.90","tax_percent":"19","name":"Füller"},{"quantity":"1","unit_price":"10.70","tax_percent":"7","name":"Buch"}]}`

// Workers make one document of each invoice in each configured format, although some of them are killed meanwhile. Each later request gets the same
// bytes.
func TestDocumentsAreMadeOfEachInvoice(t *testing.T) {
	t.Parallel()
	s := sharedSite(t).with("INVOICER_DOCUMENTS_RENDER=pdf,ubl,facturx", "INVOICER_DOCUMENTS_PROFILE=xrechnung")
	const invoices = 12
	w := s.start(t, "worker")
	w.await(t, "worker started")
	var jobs strings.Builder
	for n := range invoices {
		jobs.WriteString(strings.ReplaceAll(fmt.Sprintf(grossJob, fmt.Sprint("T", n)), "\n", "") + "\n")
	}
	if code, _, stderr := s.run(t, jobs.String(), "enqueue", "-", "--queue", s.queue, "--durable"); code != exitOK {
		t.Fatal(stderr)
	}
	rig.Eventually(t, "some documents", func() bool { return s.Count(t, "SELECT count(*) FROM documents") >= 3 })
	w.signal(t, syscall.SIGKILL)
	w.exit(t)
	s.Exec(t, "UPDATE documents_owed SET due_at = now()") // what it had claimed would wait for a minute
	w = s.start(t, "worker")
	rig.Eventually(t, "all documents", func() bool {
		return s.Count(t, "SELECT count(*) FROM documents WHERE NOT copy") == 3*invoices && s.Count(t, "SELECT count(*) FROM documents_owed") == 0
	})
	if n := s.Count(t, "SELECT count(*) FROM documents WHERE language <> CASE format WHEN 'ubl' THEN '' ELSE 'de' END"); n != 0 {
		t.Errorf("%d documents are in another language", n)
	}
	dir := t.TempDir()
	getURL := get
	hand := func(args ...string) []byte {
		t.Helper()
		file := filepath.Join(dir, fmt.Sprint(len(args), strings.Join(args, "")))
		s.must(t, append([]string{"document", "get", "INV-000001", "-o", file}, args...)...)
		content, err := os.ReadFile(file)
		must(t, err)
		return content
	}
	pdf := hand()
	if !bytes.HasPrefix(pdf, []byte("%PDF-1.7")) || !bytes.Equal(pdf, hand("--language", "de")) {
		t.Error("the page is none, or another one the second time")
	}
	xml := hand("--format", "ubl")
	for _, want := range []string{"xrechnung_3.0", "INV-000001", "Żabka &amp; Söhne", "<cbc:PayableAmount currencyID=\"EUR\">46.40</cbc:PayableAmount>"} {
		if !bytes.Contains(xml, []byte(want)) {
			t.Errorf("the UBL lacks %s:\n%s", want, xml)
		}
	}
	french := hand("--language", "fr")
	if bytes.Equal(french, pdf) || !s.Is(t, "SELECT copy FROM documents WHERE format = 'pdf' AND language = 'fr'") {
		t.Error("the French page is no copy")
	}
	if got := hand("--format", string(document.AsFacturX)); !bytes.Contains(got, []byte("xrechnung.xml")) {
		t.Error("the Factur-X has no CII inside")
	}
	for format, want := range map[string]string{
		"ubl": "-: XRechnung 3.0 (UBL Invoice)", "cii": "-: XRechnung 3.0 (CII)", "facturx": "-: XRechnung 3.0 (CII, xrechnung.xml in a PDF)",
	} {
		code, out, stderr := s.run(t, string(hand("--format", format)), "document", "check", "-")
		if code != exitOK || !strings.Contains(out, want) || !strings.Contains(out, "INV-000001") {
			t.Errorf("the %s is checked: %d %s%s", format, code, out, stderr)
		}
	}
	if code, _, stderr := s.run(t, "", "document", "get", "INV-999999"); code == exitOK || !strings.Contains(stderr, "there is no invoice INV-999999") {
		t.Errorf("of a number that isn't there: %d %s", code, stderr)
	}
	if code, _, stderr := s.run(t, "", "document", "get", "INV-000001", "--format", "docx"); code != exitUsage || !strings.Contains(stderr, "pdf, ubl, cii or facturx") {
		t.Errorf("as docx: %d %s", code, stderr)
	}
	if code, _, stderr := s.run(t, "", "document", "get", "INV-000001", "--language", "tlh"); code != exitUsage || !strings.Contains(stderr, `--language "tlh": must be one of en, de,`) {
		t.Errorf("in Klingon: %d %s", code, stderr)
	}
	_, page := getURL(t, w.pages(t)+"/metrics")
	if !strings.Contains(page, `invoicer_documents_total{format="pdf",result="made"}`) {
		t.Error("/metrics says nothing of documents")
	}
	s.must(t, "audit")
	rig.Eventually(t, "all to be more than a second old", func() bool {
		return s.Is(t, "SELECT max(created_at) < now() - interval '1.5 seconds' FROM invoices")
	})
	s.must(t, "erase", "--older-than", "1s", "--yes", "--reason", "test")
	if code, _, stderr := s.run(t, "", "document", "get", "INV-000001", "-o", filepath.Join(dir, "gone")); code == exitOK || !strings.Contains(stderr, "was erased") {
		t.Errorf("of an erased invoice: %d %s", code, stderr)
	}
	s.must(t, "audit")
}

// A format that a profile doesn't know, a profile and a format that there aren't, and a template that can't be read are refused before any job
// is taken, by the name of the key.
func TestDocumentsThatCantBe(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	for _, c := range []struct{ environ, wants []string }{
		{[]string{"INVOICER_DOCUMENTS_RENDER=pdf,ubl", "INVOICER_DOCUMENTS_PROFILE=facturx"}, []string{"documents.render", "ubl", "facturx", "documents.profile"}},
		{[]string{"INVOICER_DOCUMENTS_RENDER=cii", "INVOICER_DOCUMENTS_PROFILE=peppol"}, []string{"documents.render", "cii", "peppol"}},
		{[]string{"INVOICER_DOCUMENTS_RENDER=docx"}, []string{"documents.render", "pdf, ubl, cii, facturx"}},
		{[]string{"INVOICER_DOCUMENTS_PROFILE=zugferd"}, []string{"documents.profile", "facturx"}},
		{[]string{"INVOICER_DOCUMENTS_TEMPLATE=/there/is/none.yaml", "INVOICER_DOCUMENTS_RENDER=pdf"}, []string{"documents.template", "/there/is/none.yaml"}},
	} {
		code, _, stderr := s.with(c.environ...).run(t, "", "worker")
		if code != exitUsage {
			t.Errorf("%v: exit code %d", c.environ, code)
		}
		for _, want := range c.wants {
			if !strings.Contains(stderr, want) {
				t.Errorf("%v: it doesn't say %s: %s", c.environ, want, stderr)
			}
		}
	}
	if n := s.Count(t, "SELECT count(*) FROM document_formats"); n != 0 {
		t.Errorf("%d formats are owed", n)
	}
}
