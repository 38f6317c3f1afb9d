package api_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"invoicer/internal/documents"
	"invoicer/invoice/document"
	"invoicer/invoice/document/cii"
	"invoicer/invoice/document/pdf"
	"invoicer/invoice/document/ubl"
	"invoicer/invoice/postgres"
	"invoicer/web/access"
	"invoicer/web/api"
)

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
	return &documents.Maker{Store: store.Documents, Version: "test", Writers: map[document.Format]documents.Write{
		document.AsPDF: page, document.AsFacturX: page,
		document.AsUBL: func(d *document.Document, _ document.Profile, _ bool) ([]byte, string, error) {
			content, err := ubl.Write(d, document.None)
			return content, "", err
		},
		document.AsCII: func(d *document.Document, _ document.Profile, _ bool) ([]byte, string, error) {
			content, err := cii.Write(d, document.None)
			return content, "", err
		},
	}}
}

// document asks for the document of the first invoice.
func (s *site) document(t *testing.T, token, query string, headers ...string) reply {
	t.Helper()
	return s.ask(t, token, http.MethodGet, "/v1/invoices/INV-000001/document"+query, nil, headers...)
}

// invoiced has an invoice of a job.
func (s *site) invoiced(t *testing.T, transactionID string, members ...string) {
	t.Helper()
	s.work(t, into[api.JobAnswer](t, s.post(t, "all", jobOf(transactionID, members...)), http.StatusAccepted).JobID)
}

// What Accept and the parameters ask for is made, kept, and handed out again byte for byte, with all that HTTP says of it.
func TestDocuments(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.invoiced(t, "T1", `"version":2`, `"language":"de"`)
	for _, c := range []struct{ query, accept, kind, format, begins string }{
		{"", "", "application/pdf", "pdf", "%PDF-1.7"},
		{"", "application/xml", "application/xml", "ubl", "<?xml"},
		{"", "application/xml;profile=cii", "application/xml", "cii", "<?xml"},
		{"?format=facturx", "application/pdf", "application/pdf", "facturx", "%PDF-1.7"},
	} {
		var headers []string
		if c.accept != "" {
			headers = []string{"Accept", c.accept}
		}
		r := s.document(t, "operator", c.query, headers...)
		sum := sha256.Sum256(r.body)
		if r.StatusCode != http.StatusOK || !strings.HasPrefix(string(r.body), c.begins) {
			t.Fatalf("%s: %d %.80q", c.format, r.StatusCode, r.body)
		}
		want := map[string]string{
			"Content-Type": c.kind, "Etag": fmt.Sprintf(`"%x"`, sum), "Repr-Digest": "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":",
			"Content-Disposition": `attachment; filename="INV-000001.` + map[bool]string{true: "pdf", false: "xml"}[c.kind == "application/pdf"] + `"`,
			"Cache-Control":       "private, max-age=3600, immutable", "Vary": "Accept, Authorization, Cookie",
		}
		if c.kind == "application/pdf" {
			want["Content-Language"] = "de"
		}
		for name, value := range want {
			if got := r.Header.Get(name); got != value {
				t.Errorf("%s: %s is %q, want %q", c.format, name, got, value)
			}
		}
		if made := s.Text(t, "SELECT encode(sha256, 'hex') FROM documents WHERE format = $1 AND NOT copy", c.format); `"`+made+`"` != r.Header.Get("ETag") {
			t.Errorf("%s: another one is kept: %s", c.format, made)
		}
		if again := s.document(t, "operator", c.query, headers...); !bytes.Equal(again.body, r.body) {
			t.Errorf("%s: another one the second time", c.format)
		}
		looks := s.Count(t, "SELECT count(*) FROM actions")
		if same := s.document(t, "operator", c.query, append(headers, "If-None-Match", `"x", W/`+r.Header.Get("ETag"))...); same.StatusCode != http.StatusNotModified || len(same.body) > 0 ||
			same.Header.Get("ETag") != r.Header.Get("ETag") || s.Count(t, "SELECT count(*) FROM actions") != looks {
			t.Errorf("%s: the same again: %s", c.format, same)
		}
	}
	french := s.document(t, "operator", "?language=fr")
	if french.Header.Get("Content-Language") != "fr" || french.Header.Get("Content-Disposition") != `attachment; filename="INV-000001.fr.pdf"` {
		t.Errorf("in French: %v", french.Header)
	}
	if n := s.Count(t, "SELECT count(*) FROM documents WHERE copy"); n != 1 {
		t.Errorf("%d copies", n)
	}
	for query, status := range map[string]int{"?language=d!": 422, "?language=" + strings.Repeat("x", 36): 422, "?format=docx": 422, "?lang=de": 422, "?issuer=NOBODY": 404, "?by=somebody": 422} {
		if r := s.document(t, "operator", query); r.StatusCode != status {
			t.Errorf("%s: want %d, got %s", query, status, r)
		}
	}
	p := into[api.ProblemError](t, s.document(t, "operator", "?format=ubl", "Accept", "application/pdf"), http.StatusNotAcceptable)
	for _, f := range document.Formats() {
		if !strings.Contains(p.Detail, f.MediaType()+";profile="+string(f)) {
			t.Errorf("it doesn't name %s: %s", f, p.Detail)
		}
	}
}

// Documents hold personal data: who may see none gets none, nor does the page of another site, and who looks is on record.
func TestDocumentsAreForThoseWhoMaySeePersonalData(t *testing.T) {
	t.Parallel()
	for _, role := range []access.Role{"", access.Operate, access.Read} {
		t.Run(string(role), func(t *testing.T) {
			t.Parallel()
			s := setup(t, func(o *api.Options) { o.PersonalData = role })
			s.OpenIssuers(t, "ACME-FR", "ACME-DE")
			s.invoiced(t, "T1", `"issuer":"ACME-DE"`)
			for token, may := range map[string]bool{"reader": role == access.Read, "operator": role != "", "local": role != "", "checkout": false} {
				query := "?format=ubl"
				if token == "local" {
					query += "&by=ada"
				}
				r := s.document(t, token, query)
				if may != (r.StatusCode == http.StatusOK) || !may && r.StatusCode != http.StatusForbidden || !may && bytes.Contains(r.body, []byte("HOLDER")) {
					t.Errorf("%s: %s", token, r)
				}
				on := s.Count(t, "SELECT count(*) FROM actions WHERE action = 'see personal data' AND subject = 'INV-000001' AND details = 'document as ubl' AND actor = $1", map[bool]string{true: "ada", false: token}[token == "local"])
				if on != map[bool]int{true: 1}[may] {
					t.Errorf("%s: %d looks are on record", token, on)
				}
			}
			if role == "" {
				return
			}
			if p := into[api.ProblemError](t, s.document(t, "local", ""), http.StatusUnprocessableEntity); len(p.Errors) != 1 || p.Errors[0].Parameter != "by" {
				t.Errorf("without a name: %+v", p)
			}
			if r := s.document(t, "local", "?by=ada", "Sec-Fetch-Site", "cross-site"); r.StatusCode != http.StatusForbidden {
				t.Errorf("another site's page: %s", r)
			}
			if r := s.document(t, "paris", ""); r.StatusCode != http.StatusNotFound {
				t.Errorf("another issuer's: %s", r)
			}
		})
	}
}

// A document that can't be made is told with the reason, whichever it is.
func TestDocumentsThatCantBeMade(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.invoiced(t, "T1", `"customer_name":"株式会社"`)
	if p := into[api.ProblemError](t, s.document(t, "operator", ""), http.StatusConflict); !strings.Contains(p.Detail, `no font has the characters '会' (U+4F1A)`) {
		t.Errorf("characters that no font has: %s", p.Detail)
	}
	if n := s.Count(t, "SELECT count(*) FROM documents") + s.Count(t, "SELECT count(*) FROM actions"); n != 0 {
		t.Errorf("%d documents and looks are there", n)
	}
	for name, c := range map[string]struct {
		err    error
		status int
	}{
		"a panic": {errors.New("panic: boom"), http.StatusInternalServerError},
		"busy":    {document.ErrBusy, http.StatusServiceUnavailable},
		"no role": {document.ErrMayNotKeep, http.StatusServiceUnavailable},
	} {
		s := serve(t, s.Rig, func(o *api.Options) { o.Documents = failing{c.err} })
		if r := s.document(t, "operator", ""); r.StatusCode != c.status || c.status == http.StatusServiceUnavailable && r.Header.Get("Retry-After") == "" || bytes.Contains(r.body, []byte("boom")) {
			t.Errorf("%s: %s", name, r)
		}
	}
}

type failing struct{ err error }

func (f failing) Get(context.Context, int64, document.Format, string) (document.Kept, error) {
	return document.Kept{}, f.err
}

// A process whose role may keep no document hands out what is kept, and says so of the rest.
func TestDocumentsOfARoleThatMayKeepNone(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.invoiced(t, "T1")
	kept := s.document(t, "operator", "?format=ubl")
	s.Exec(t, "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'insufficient_privilege'; END $$")
	s.Exec(t, "CREATE TRIGGER a_refuse BEFORE INSERT ON documents FOR EACH ROW EXECUTE FUNCTION refuse()")
	if again := s.document(t, "operator", "?format=ubl"); !bytes.Equal(again.body, kept.body) {
		t.Errorf("what is kept: %s", again)
	}
	if p := into[api.ProblemError](t, s.document(t, "operator", "?format=cii"), http.StatusServiceUnavailable); !strings.Contains(p.Detail, "may keep none") {
		t.Error(p.Detail)
	}
}

// While as many documents are drawn as may be, others are refused soon, what is kept is handed out, and all else is answered.
func TestDrawingHoldsUpNothingElse(t *testing.T) {
	t.Parallel()
	begun, goOn := make(chan struct{}, 8), make(chan struct{})
	s := setup(t, func(o *api.Options) {
		m := o.Documents.(*documents.Maker)
		m.Turns = documents.NewTurns(1, 50*time.Millisecond)
		draw := m.Writers[document.AsPDF]
		m.Writers[document.AsPDF] = func(d *document.Document, by document.Profile, isCopy bool) ([]byte, string, error) {
			begun <- struct{}{}
			<-goOn
			return draw(d, by, isCopy)
		}
		o.AtOnce = 1
	})
	s.invoiced(t, "T1")
	kept := s.document(t, "operator", "?format=ubl")
	drawn := make(chan reply, 1)
	go func() { drawn <- s.document(t, "operator", "") }()
	<-begun
	busy := s.document(t, "operator", "?format=cii")
	if p := into[api.ProblemError](t, busy, http.StatusServiceUnavailable); busy.Header.Get("Retry-After") == "" || p.Detail != document.ErrBusy.Error() {
		t.Errorf("another one: %s", busy)
	}
	if again := s.document(t, "operator", "?format=ubl"); !bytes.Equal(again.body, kept.body) {
		t.Errorf("what is kept: %s", again)
	}
	if r := s.ask(t, "reader", http.MethodGet, "/v1/invoices/INV-000001", nil); r.StatusCode != http.StatusOK {
		t.Errorf("all else: %s", r)
	}
	close(goOn)
	if r := <-drawn; r.StatusCode != http.StatusOK {
		t.Errorf("the first: %s", r)
	}
}
