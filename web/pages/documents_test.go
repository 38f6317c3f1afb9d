package pages_test

import (
	"bytes"
	"errors"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"invoicer/internal/documents"
	"invoicer/invoice"
	"invoicer/invoice/document"
	"invoicer/invoice/document/pdf"
	"invoicer/invoice/document/ubl"
	"invoicer/invoice/invoicetest"
	"invoicer/invoice/postgres"
	"invoicer/web/pages"
)

// newMaker writes pages and UBL, and fails to write CII.
func newMaker(store *postgres.DB) *documents.Maker {
	page := func(d *document.Document, _ document.Profile, isCopy bool) ([]byte, string, error) {
		o := pdf.Options{}
		if isCopy {
			o.Copy = documents.CopyMark(d.Language)
		}
		drawn, err := pdf.Render(d, o)
		if err != nil {
			return nil, "", err
		}
		return drawn.PDF, "", nil
	}
	return &documents.Maker{Store: store.Documents, Version: "v1.2.3", Writers: map[document.Format]documents.Write{
		document.AsPDF: page, document.AsFacturX: page,
		document.AsUBL: func(d *document.Document, _ document.Profile, _ bool) ([]byte, string, error) {
			content, err := ubl.Write(d, document.None)
			return content, "the rules", err
		},
		document.AsCII: func(*document.Document, document.Profile, bool) ([]byte, string, error) {
			return nil, "", errors.New("the <b>moon</b> is in the way")
		},
	}}
}

// invoiced makes an invoice with a name in it.
func (s *site) invoiced(t *testing.T, transactionID string) string {
	t.Helper()
	job, err := invoice.Decode(invoicetest.Payload(t, transactionID))
	if err != nil {
		t.Fatal(err)
	}
	job.CustomerName = "Ada Lovelace"
	made, err := s.generator.Generate(t.Context(), invoice.NewRequest("made-"+transactionID, 1, job))
	if err != nil {
		t.Fatal(err)
	}
	return made.Invoice.Number
}

// raw gets a path with its headers.
func (s *site) raw(t *testing.T, path string, headers ...string) (*http.Response, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(headers) == 2 {
		r.Header.Set(headers[0], headers[1])
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, body
}

// The story of an invoice says which documents there are, and leads those who may see personal data to each: to a page that shows it without any script,
// and to its bytes, which are handed out on record.
func TestDocumentsOfAnInvoice(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	number := s.invoiced(t, "T1")
	story := "/search?q=T1"
	if _, page := s.get(t, story); !strings.Contains(page, "http.personal_data says who may open them") || strings.Contains(page, "/document?") {
		t.Errorf("for somebody who may see no personal data:\n%s", page)
	}
	for _, path := range []string{"/document", "/document/file"} {
		if code, page := s.get(t, path+"?number="+number+"&format=ubl&by=bob"); code != http.StatusForbidden || strings.Contains(page, "Ada") {
			t.Errorf("%s for somebody who may see no personal data: %d\n%s", path, code, page)
		}
	}
	s.visitor.MaySeePersonalData = true
	_, page := s.get(t, story)
	to := links(page, "ubl")
	if len(to) != 1 || strings.Count(page, "isn’t made yet") != 4 {
		t.Fatalf("it leads to %q:\n%s", to, page)
	}
	// Nothing is known of the visitor, who gives a name first.
	if code, page := s.get(t, to[0]); code != http.StatusOK || !strings.Contains(page, `name="by" required`) || strings.Contains(page, "/document/file") {
		t.Errorf("without a name: %d\n%s", code, page)
	}
	if code, _ := s.get(t, strings.Replace(to[0], "/document", "/document/file", 1)); code != http.StatusBadRequest {
		t.Errorf("the file without a name: %d", code)
	}
	_, page = s.get(t, to[0]+"&by=bob&note=asked")
	file := links(page, "Download")
	if len(file) != 1 || strings.Contains(page, "<iframe") {
		t.Fatalf("it leads to %q:\n%s", file, page)
	}
	if n := s.Count(t, "SELECT count(*) FROM actions"); n != 0 {
		t.Errorf("%d looks are on record before there was one", n)
	}
	answer, body := s.raw(t, file[0])
	if answer.StatusCode != http.StatusOK || !bytes.Contains(body, []byte("Ada Lovelace")) || answer.Header.Get("Content-Type") != "application/xml" ||
		answer.Header.Get("Content-Disposition") != `attachment; filename="`+number+`.xml"` {
		t.Errorf("%v\n%s", answer, body)
	}
	if got := s.Text(t, "SELECT concat_ws('|', action, subject, details, actor, note) FROM actions"); got != "see personal data|"+number+"|document as ubl|bob|asked" {
		t.Errorf("on record: %s", got)
	}
	if hash := s.Text(t, "SELECT encode(sha256, 'hex') FROM documents"); !strings.Contains(page, hash) {
		t.Errorf("the page lacks the hash %s:\n%s", hash, page)
	}
	// Of the token's name no field is shown, and a page is shown as it looks.
	s.visitor.Name = "ada"
	_, page = s.get(t, "/document?number="+number+"&format=pdf")
	frame := regexp.MustCompile(`<iframe class="paper" src="([^"]*)"`).FindStringSubmatch(page)
	if frame == nil || strings.Contains(page, `name="by"`) || len(links(page, "open it")) != 1 || strings.Contains(page, "<script>") {
		t.Fatalf("a page without a frame, or with a field:\n%s", page)
	}
	pageAnswer, _ := s.raw(t, "/document?number="+number+"&format=pdf")
	if policy := pageAnswer.Header.Get("Content-Security-Policy"); !strings.HasSuffix(policy, "; frame-src 'self'") {
		t.Errorf("its policy is %q", policy)
	}
	if other, _ := s.raw(t, story); strings.Contains(other.Header.Get("Content-Security-Policy"), "frame-src") {
		t.Error("another page may have frames")
	}
	answer, body = s.raw(t, html.UnescapeString(frame[1]))
	if !bytes.HasPrefix(body, []byte("%PDF")) || answer.Header.Get("X-Frame-Options") != "SAMEORIGIN" || !strings.Contains(answer.Header.Get("Content-Security-Policy"), "frame-ancestors 'self'") ||
		answer.Header.Get("Content-Disposition") != `inline; filename="`+number+`.pdf"` {
		t.Errorf("in the frame: %v", answer.Header)
	}
	if answer, _ := s.raw(t, html.UnescapeString(frame[1]), "Sec-Fetch-Site", "cross-site"); answer.StatusCode != http.StatusForbidden {
		t.Errorf("for another site's page: %v", answer)
	}
	if french, _ := s.raw(t, "/document/file?number="+number+"&format=pdf&language=fr"); french.Header.Get("Content-Language") != "fr" ||
		french.Header.Get("Content-Disposition") != `attachment; filename="`+number+`.fr.pdf"` {
		t.Errorf("in French: %v", french.Header)
	}
	_, page = s.get(t, story)
	for _, want := range []string{"v1.2.3", "fr, a copy"} {
		if !strings.Contains(page, want) {
			t.Errorf("the story lacks %q:\n%s", want, page)
		}
	}
	for query, want := range map[string]struct {
		code  int
		shows string
	}{
		"number=" + number + "&format=cii":              {http.StatusConflict, "can’t be written as cii: the &lt;b&gt;moon&lt;/b&gt; is in the way"},
		"number=" + number + "&format=docx":             {http.StatusBadRequest, "pdf, ubl, cii or facturx"},
		"number=" + number + "&format=pdf&language=!":   {http.StatusBadRequest, "language"},
		"number=" + number + "&format=pdf&language=tlh": {http.StatusUnprocessableEntity, "must be one of en, de,"},
		"number=X&format=pdf":                           {http.StatusNotFound, "There is no invoice"},
		"format=pdf":                                    {http.StatusBadRequest, "number"},
	} {
		for _, path := range []string{"/document?", "/document/file?"} {
			if code, page := s.get(t, path+query); code != want.code || !strings.Contains(page, want.shows) {
				t.Errorf("%s%s: %d\n%s", path, query, code, page)
			}
		}
	}
	s.Exec(t, `SELECT erase_invoices(begin_erasure('age', NULL, 'infinity', 'retention', 'ada'), NULL, NULL, 'infinity', 0, 1000)`)
	if code, _ := s.get(t, "/document/file?number="+number+"&format=pdf"); code != http.StatusGone {
		t.Errorf("an erased one: %d", code)
	}
	if _, page := s.get(t, story); !strings.Contains(page, "erased, was ") || strings.Contains(page, "/document?") {
		t.Errorf("the story of an erased one:\n%s", page)
	}
}

// Where drawing has no room, the visitor is told when to come again.
func TestDocumentsWithoutRoom(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(o *pages.Options) { o.Documents.(*documents.Maker).Turns = documents.NewTurns(0, 1) })
	s.visitor.MaySeePersonalData, s.visitor.Name = true, "ada"
	number := s.invoiced(t, "T1")
	answer, page := s.raw(t, "/document/file?"+url.Values{"number": {number}, "format": {"pdf"}}.Encode())
	if answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" || !bytes.Contains(page, []byte("so many documents are being made")) {
		t.Errorf("%v\n%s", answer, page)
	}
}
