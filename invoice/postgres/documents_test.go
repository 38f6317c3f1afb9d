package postgres_test

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"invoicer/internal/report"
	"invoicer/invoice"
	"invoicer/invoice/document"
	"invoicer/invoice/document/pdf"
)

// invoiced makes an invoice, and returns its id.
func (b *site) invoiced(t *testing.T, transaction string) int64 {
	t.Helper()
	return b.create(t, "job of "+transaction, job(t, transaction)).ID
}

// Whoever makes a document first decides what it is, and nobody changes it afterwards.
func TestTheFirstDocumentStays(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.invoiced(t, "T1")
	if _, err := b.store.Documents.Find(t.Context(), id, document.AsUBL, nil); !errors.Is(err, document.ErrNone) {
		t.Errorf("before there is one: %v", err)
	}
	var got [8][]byte
	var together sync.WaitGroup
	for n := range got {
		together.Go(func() {
			kept, err := b.store.Documents.Keep(t.Context(), document.Kept{InvoiceID: id, Format: document.AsUBL, Content: []byte{'a' + byte(n)}, Renderer: "v1", Rules: "en16931"})
			if err != nil {
				t.Error(err)
			}
			got[n] = kept.Content
		})
	}
	together.Wait()
	for n := range got {
		if !bytes.Equal(got[n], got[0]) {
			t.Errorf("%d hands out %q, and another %q", n, got[n], got[0])
		}
	}
	for _, statement := range []string{
		"UPDATE documents SET content = 'x', size = 1", "UPDATE documents SET content = NULL, erased_at = now()", "UPDATE documents SET rules = 'other'",
		"DELETE FROM documents", "TRUNCATE documents",
		"INSERT INTO documents (invoice_id, format, language, copy, content, size, sha256, renderer, rules) SELECT invoice_id, 'cii', '', false, content, size, sha256('other'), '', '' FROM documents",
	} {
		if _, err := b.DB.ExecContext(t.Context(), statement); err == nil {
			t.Errorf("%s went through", statement)
		}
	}
}

// A document in another language is a copy, also before there is an original, which stays owed then. Of the original there is one, and of each language
// that a page speaks; there is none in any other.
func TestOneOriginal(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if err := b.store.Documents.Configure(t.Context(), []document.Format{document.AsPDF}); err != nil {
		t.Fatal(err)
	}
	id := b.invoiced(t, "T1")
	keep := func(language string, isCopy bool) error {
		_, err := b.store.Documents.Keep(t.Context(), document.Kept{InvoiceID: id, Format: document.AsPDF, Language: language, Copy: isCopy, Content: []byte(language)})
		return err
	}
	owed := func() int { return b.Count(t, "SELECT count(*) FROM documents_owed") }
	if err := keep("it", true); err != nil || owed() != 1 {
		t.Errorf("a copy before the original: %v, and %d are owed", err, owed())
	}
	if err := keep("de", false); err != nil || owed() != 0 {
		t.Fatalf("%v, and %d are owed", err, owed())
	}
	if err := keep("fr", false); !errors.Is(err, document.ErrNone) {
		t.Errorf("a second original: %v", err)
	}
	if err := keep("fr", true); err != nil {
		t.Error(err)
	}
	if kept, err := b.store.Documents.Find(t.Context(), id, document.AsPDF, nil); err != nil || kept.Language != "de" || kept.Copy {
		t.Errorf("the original is %+v, %v", kept, err)
	}
	for _, language := range append(pdf.Languages(), pdf.Countries()...) {
		if err := keep(language, true); err != nil {
			t.Errorf("in %s: %v", language, err)
		}
	}
	for _, language := range []string{"tlh", "de-DE", "DE", "en-aaaaa"} {
		if err := keep(language, true); err == nil || !strings.Contains(err.Error(), "documents_language_check") {
			t.Errorf("in %s: %v", language, err)
		}
	}
}

// What is owed is noted with the invoice, claimed by one process at a time, and settled by the document.
func TestDocumentsAreOwed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	before := b.invoiced(t, "before")
	if err := b.store.Documents.Configure(t.Context(), []document.Format{document.AsPDF, document.AsUBL}); err != nil {
		t.Fatal(err)
	}
	id := b.invoiced(t, "T1")
	if err := b.store.Documents.Configure(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	b.invoiced(t, "after")
	claimed, err := b.store.Documents.Claim(t.Context(), 10, time.Minute)
	if err != nil || len(claimed) != 2 || claimed[0].InvoiceID != id || claimed[1].InvoiceID != id || claimed[0].Format == claimed[1].Format || claimed[0].Attempts != 1 {
		t.Fatalf("owed are %+v of invoice %d (not %d), %v", claimed, id, before, err)
	}
	if again, err := b.store.Documents.Claim(t.Context(), 10, time.Minute); err != nil || again != nil {
		t.Errorf("claimed again: %+v, %v", again, err)
	}
	if err := b.store.Documents.PutOff(t.Context(), claimed[0], errors.New("no font\x00"), 0); err != nil {
		t.Fatal(err)
	}
	if owed, failing, oldest, err := b.store.Documents.Backlog(t.Context()); err != nil || owed != 2 || failing != 1 || oldest.IsZero() {
		t.Errorf("%d owed, %d failing, since %v, %v", owed, failing, oldest, err)
	}
	if again, err := b.store.Documents.Claim(t.Context(), 10, 0); err != nil || len(again) != 1 || again[0].Format != claimed[0].Format || again[0].Attempts != 2 {
		t.Errorf("put off, and claimed again: %+v, %v", again, err)
	}
	for _, o := range claimed {
		if _, err := b.store.Documents.Keep(t.Context(), document.Kept{InvoiceID: id, Format: o.Format, Content: []byte("x")}); err != nil {
			t.Error(err)
		}
	}
	if owed, _, oldest, err := b.store.Documents.Backlog(t.Context()); err != nil || owed != 0 || !oldest.IsZero() {
		t.Errorf("%d owed in the end, since %v, %v", owed, oldest, err)
	}
}

// With an invoice's personal data its documents are gone, and what was owed of them; none is made afterwards.
func TestErasingTakesDocuments(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if err := b.store.Documents.Configure(t.Context(), []document.Format{document.AsPDF, document.AsUBL}); err != nil {
		t.Fatal(err)
	}
	id := b.invoiced(t, "T1")
	if _, err := b.store.Documents.Keep(t.Context(), document.Kept{InvoiceID: id, Format: document.AsPDF, Content: []byte("a name")}); err != nil {
		t.Fatal(err)
	}
	b.Exec(t, `SELECT erase_invoices(begin_erasure('age', NULL, 'infinity', 'retention', 'ada'), NULL, NULL, 'infinity', 0, 1000)`)
	kept, err := b.store.Documents.Find(t.Context(), id, document.AsPDF, nil)
	if !errors.Is(err, document.ErrErased) || kept.Content != nil || kept.Size != 6 {
		t.Errorf("found %+v, %v", kept, err)
	}
	if owed, _, _, err := b.store.Documents.Backlog(t.Context()); err != nil || owed != 0 {
		t.Errorf("%d owed, %v", owed, err)
	}
	if _, err := b.store.Documents.Keep(t.Context(), document.Kept{InvoiceID: id, Format: document.AsUBL, Content: []byte("a name")}); !errors.Is(err, document.ErrErased) {
		t.Errorf("made afterwards: %v", err)
	}
}

// Facts are the issuer's as they were when the document was made, and what is credited, also if it was imported.
func TestFactsOfADocument(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.invoiced(t, "T1")
	credit := job(t, "C1", func(j *invoice.Job) {
		j.CreditsTransactionID = "T1"
		for n := range j.Lines {
			j.Lines[n].Quantity = j.Lines[n].Quantity.Neg()
		}
	})
	whole, err := b.store.Invoices.Read(t.Context(), b.create(t, "credit", credit).ID)
	if err != nil {
		t.Fatal(err)
	}
	facts, err := b.store.Documents.Facts(t.Context(), whole)
	if err != nil || len(facts.Preceding) != 1 || facts.Preceding[0].Number != "INV-000001" || len(facts.Preceding[0].Date) != len("2016-01-01") {
		t.Errorf("%+v, %v", facts, err)
	}
	d, err := document.Of(whole, facts)
	if err != nil || d.Kind != document.CreditNote || d.Totals.Gross.Sign() <= 0 {
		t.Errorf("%+v, %v", d, err)
	}
}

// A document is of the day on which its series counts it: in the series' time zone, which says of which year its number is.
func TestDocumentsAreDatedAsTheyAreNumbered(t *testing.T) {
	t.Parallel()
	b := setup(t)
	numbering, err := invoice.NewNumbering(invoice.NumberingOptions{Period: "year", Format: "{series}-{period}-{number:03}", Timezone: "Europe/Berlin"})
	if err != nil {
		t.Fatal(err)
	}
	b.generator = invoice.NewGenerator(b.store.Invoices, numbering)
	late := func(j *invoice.Job) { j.IssuedAt = time.Date(2015, 12, 31, 23, 30, 0, 0, time.UTC) }
	ref := b.create(t, "late", job(t, "T1", late))
	whole, err := b.store.Invoices.Read(t.Context(), ref.ID)
	if err != nil {
		t.Fatal(err)
	}
	facts, err := b.store.Documents.Facts(t.Context(), whole)
	if err != nil {
		t.Fatal(err)
	}
	d, err := document.Of(whole, facts)
	if err != nil || ref.Number != "INV-2016-001" || d.IssueDate != "2016-01-01" {
		t.Errorf("%s of %s, %v", ref.Number, d.IssueDate, err)
	}
	credit := b.create(t, "credit", job(t, "C1", late, func(j *invoice.Job) {
		j.CreditsTransactionID = "T1"
		for n := range j.Lines {
			j.Lines[n].Quantity = j.Lines[n].Quantity.Neg()
		}
	}))
	if whole, err = b.store.Invoices.Read(t.Context(), credit.ID); err != nil {
		t.Fatal(err)
	}
	if facts, err = b.store.Documents.Facts(t.Context(), whole); err != nil || len(facts.Preceding) != 1 || facts.Preceding[0].Date != "2016-01-01" {
		t.Errorf("%+v, %v", facts, err)
	}
	for year, want := range map[string]int{"2015": 0, "2016": 2} {
		issued, _, _, err := b.store.Documents.Issued(t.Context(), report.IssuedFilter{From: year + "-01-01", To: year + "-12-31"}, 0, 10)
		if err != nil || len(issued) != want {
			t.Errorf("of %s: %+v, %v", year, issued, err)
		}
	}
}

// A document that is being made while its invoice is erased is gone, too: the erasure waits for it.
func TestErasingWaitsForADocument(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.invoiced(t, "T1")
	tx, err := b.DB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(t.Context(), `INSERT INTO documents (invoice_id, format, language, copy, content, size, sha256, renderer, rules)
VALUES ($1, 'ubl', '', false, 'a name', 6, sha256('a name'), 'v1', '')`, id); err != nil {
		t.Fatal(err)
	}
	erase := `SELECT erase_invoices(begin_erasure('age', NULL, 'infinity', 'retention', 'ada'), NULL, NULL, 'infinity', 0, 1000)`
	if _, err := b.DB.ExecContext(t.Context(), "SET lock_timeout = '300ms'; "+erase); err == nil || !strings.Contains(err.Error(), "55P03") {
		t.Errorf("it doesn't wait: %v", err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	b.Exec(t, erase)
	if n := b.Count(t, "SELECT count(*) FROM documents WHERE content IS NOT NULL"); n != 0 {
		t.Error("the document of an erased invoice is kept")
	}
}

// Documents are listed in pieces by their dates, each once, and what was made of one without its content.
func TestIssuedDocuments(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ids := make(map[int64]string)
	for _, day := range []string{"2015-12-31", "2016-01-01", "2016-12-31", "2017-01-01"} {
		j := job(t, "T"+day)
		at, err := time.Parse(time.RFC3339, day+"T23:59:59Z")
		if err != nil {
			t.Fatal(err)
		}
		j.IssuedAt = at
		ids[b.create(t, "job of "+day, j).ID] = day
	}
	list := func(f report.IssuedFilter, piece int) (days string) {
		t.Helper()
		for after, more := int64(0), true; more; {
			var page []report.Issued
			var err error
			if page, after, more, err = b.store.Documents.Issued(t.Context(), f, after, piece); err != nil {
				t.Fatal(err)
			}
			for _, one := range page {
				if ids[one.ID] != one.Date || one.Number == "" || one.Kind != "invoice" || one.Currency != "GBP" || one.TotalMinor == 0 || one.Erased {
					t.Errorf("%+v", one)
				}
				days += one.Date + " "
			}
		}
		return days
	}
	none, other := "", "ACME"
	for piece := 1; piece <= 5; piece++ {
		for _, c := range []struct {
			f    report.IssuedFilter
			want string
		}{
			{report.IssuedFilter{}, "2015-12-31 2016-01-01 2016-12-31 2017-01-01 "},
			{report.IssuedFilter{From: "2016-01-01", To: "2016-12-31"}, "2016-01-01 2016-12-31 "},
			{report.IssuedFilter{From: "2017-01-01"}, "2017-01-01 "},
			{report.IssuedFilter{To: "2015-12-31", Issuer: &none}, "2015-12-31 "},
			{report.IssuedFilter{Issuer: &other}, ""},
			{report.IssuedFilter{Series: "NONE"}, ""},
		} {
			if got := list(c.f, piece); got != c.want {
				t.Errorf("%+v in pieces of %d: %q, want %q", c.f, piece, got, c.want)
			}
		}
	}
	for id := range ids {
		for _, language := range []string{"de", "fr"} {
			if _, err := b.store.Documents.Keep(t.Context(), document.Kept{InvoiceID: id, Format: document.AsPDF, Language: language, Copy: language == "fr", Content: []byte(language), Renderer: "v1"}); err != nil {
				t.Fatal(err)
			}
		}
		all, err := b.store.Documents.Of(t.Context(), id)
		if err != nil || len(all) != 2 || all[0].Language != "de" || !all[1].Copy || all[0].Content != nil || all[0].Size != 2 || all[0].Renderer != "v1" || all[0].MadeAt.IsZero() {
			t.Errorf("%+v, %v", all, err)
		}
		break
	}
}
