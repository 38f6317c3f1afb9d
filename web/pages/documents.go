package pages

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"invoicer/internal/report"
	"invoicer/invoice/document"
	"invoicer/invoice/ledger"
)

// Documents hands out invoices as people and authorities are sent them.
type Documents interface {
	// Get returns the document of an invoice: the original for the language "". What isn't there yet is made and kept. Its errors are [document.ErrErased],
	// [document.ErrBusy], [document.ErrMayNotKeep], [*document.LanguageError], [*document.AwaitedError] and [*document.UnmadeError].
	Get(ctx context.Context, invoiceID int64, format document.Format, language string) (document.Kept, error)
}

// KeptDocuments are the documents that were handed out.
type KeptDocuments interface {
	// Of returns what was made of an invoice, without its content: the oldest first.
	Of(ctx context.Context, invoiceID int64) ([]document.Kept, error)
}

// documentTimeout bounds the making of one document.
const documentTimeout = 20 * time.Second

// A shownStory is a story with the documents of its invoice.
type shownStory struct {
	*report.Story

	Documents []shownDocument
	Unread    bool // what there is of documents couldn't be read
}

// A shownDocument is a document without its content, or a format in which there is none yet.
type shownDocument struct {
	document.Kept

	Made bool
	Path string // of its page
}

// Hash is the SHA-256 in hexadecimal.
func (d shownDocument) Hash() string { return fmt.Sprintf("%x", d.SHA256) }

// withDocuments adds to a story what there is of documents, and in which formats there could be.
func (p *Pages) withDocuments(ctx context.Context, story *report.Story) shownStory {
	s := shownStory{Story: story}
	if story.Invoice == nil {
		return s
	}
	kept, err := p.o.Kept.Of(ctx, story.Invoice.ID)
	if s.Unread = err != nil; s.Unread {
		p.o.Logger.Debug("the documents of an invoice can't be read", "error", err)
		return s
	}
	for _, k := range kept {
		s.Documents = append(s.Documents, shownDocument{k, true, documentPath("/document", story.Invoice, k.Format, k.Language)})
	}
	for _, f := range document.Formats() {
		if !slices.ContainsFunc(kept, func(k document.Kept) bool { return k.Format == f && !k.Copy }) {
			s.Documents = append(s.Documents, shownDocument{document.Kept{Format: f}, false, documentPath("/document", story.Invoice, f, "")})
		}
	}
	return s
}

func documentPath(path string, i *report.Invoice, format document.Format, language string) string {
	query := url.Values{"number": {i.InvoiceNumber}, "issuer": {i.Issuer}, "format": {string(format)}}
	if language != "" {
		query.Set("language", language)
	}
	return path + "?" + query.Encode()
}

// A wantedDocument is which document a visitor asks for, and who it is.
type wantedDocument struct {
	invoice  *report.Invoice
	format   document.Format
	language string
	by       ledger.Actor // without a name if it isn't known yet
}

var languageTag = regexp.MustCompile(`^([A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*)?$`)

const longestLanguage = 35

// wanted reads which document a request asks for.
func (p *Pages) wanted(ctx context.Context, r *http.Request) (w wantedDocument, err error) {
	visitor, query := p.o.Visitor(r), r.URL.Query()
	if !visitor.MaySeePersonalData {
		return w, problem{http.StatusForbidden, "A document holds personal data, and you may not see any: that needs http.personal_data, and the role that it names."}
	}
	number := query.Get("number")
	w.format, w.language = document.Format(query.Get("format")), strings.TrimSpace(query.Get("language"))
	w.by = ledger.Actor{Name: visitor.Name, Note: strings.TrimSpace(query.Get("note"))}
	if w.by.Name == "" {
		w.by.Name = strings.TrimSpace(query.Get("by"))
	}
	switch {
	case number == "" || !usable(number, longestID):
		return w, problemf("number must be the number of an invoice")
	case !slices.Contains(document.Formats(), w.format):
		return w, problemf("format must be pdf, ubl, cii or facturx")
	case len(w.language) > longestLanguage || !languageTag.MatchString(w.language):
		return w, problemf("language %.40q: must be a language such as de or de-AT", w.language)
	case !usable(w.by.Name, longestName) || !usable(w.by.Note, longestNote):
		return w, problemf("your name has at most %d bytes of text, and the note %d", longestName, longestNote)
	}
	issuers, err := issuersOf(visitor, query)
	if err != nil {
		return w, err
	}
	found, err := p.o.Lists.Numbered(ctx, issuers, number)
	switch {
	case err != nil:
		return w, err
	case len(found) == 0:
		return w, problem{http.StatusNotFound, "There is no invoice with this number."}
	case len(found) > 1:
		return w, problem{http.StatusConflict, "Several issuers have an invoice with this number: search for it, and choose one."}
	}
	w.invoice = &found[0]
	return w, nil
}

// get returns a document. What is wrong with one that can't be made is for the visitor.
func (p *Pages) get(ctx context.Context, w *wantedDocument) (document.Kept, error) {
	ctx, cancel := context.WithTimeout(ctx, documentTimeout)
	defer cancel()
	kept, err := p.o.Documents.Get(ctx, w.invoice.ID, w.format, w.language)
	var cannot *document.UnmadeError
	var awaited *document.AwaitedError
	var unspoken *document.LanguageError
	switch {
	case errors.As(err, &unspoken):
		return kept, problem{http.StatusUnprocessableEntity, text(err.Error()) + "."}
	case errors.As(err, &awaited):
		return kept, problem{http.StatusConflict, text(err.Error()) + "."}
	case errors.Is(err, document.ErrErased):
		return kept, problem{http.StatusGone, "The personal data of the invoice was erased: it has no document any more."}
	case errors.Is(err, document.ErrBusy), errors.Is(err, document.ErrMayNotKeep):
		return kept, problem{http.StatusServiceUnavailable, err.Error() + "."}
	case errors.As(err, &cannot):
		return kept, problem{http.StatusConflict, "The invoice can’t be written as " + string(cannot.Format) + ": " + text(cannot.Err.Error()) + "."}
	}
	return kept, err
}

// A shownPaper is the page of one document.
type shownPaper struct {
	Invoice *report.Invoice
	shownDocument

	Language string // as it was asked for
	Nameless bool   // nothing is known of the visitor, who must give a name first
	Preview  string // where a browser finds the page; "" if it is none
	Download string
}

// paper shows a document: what is known of it, links to it, and a page as it looks. It is made if it wasn't yet.
func (p *Pages) paper(r *http.Request) (view, error) {
	w, err := p.wanted(r.Context(), r)
	if err != nil {
		return view{}, err
	}
	title := string(w.format) + " of " + text(w.invoice.InvoiceNumber)
	shown := shownPaper{Invoice: w.invoice, Language: w.language, Nameless: w.by.Name == ""}
	shown.Format = w.format
	if shown.Nameless {
		return view{template: "document.html", title: title, data: shown}, nil
	}
	if shown.Kept, err = p.get(r.Context(), &w); err != nil {
		return view{}, err
	}
	shown.Made, shown.Content = true, nil
	shown.Download = documentPath("/document/file", w.invoice, w.format, w.language)
	if p.o.Visitor(r).Name == "" {
		shown.Download += "&by=" + url.QueryEscape(w.by.Name)
	}
	if w.by.Note != "" {
		shown.Download += "&note=" + url.QueryEscape(w.by.Note)
	}
	if w.format.HasLanguage() {
		shown.Preview = shown.Download + "&show=1"
	}
	return view{template: "document.html", title: title, data: shown, frames: true}, nil
}

// paperFile hands out a document, once it is on record that the visitor looks at it.
func (p *Pages) paperFile(w http.ResponseWriter, r *http.Request) {
	wanted, kept, err := p.look(r)
	if err != nil {
		if theirs := (problem{}); errors.As(err, &theirs) && theirs.status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "5")
		}
		p.answer(w, r, p.failure(r, err))
		return
	}
	kind, copyLanguage := "attachment", ""
	if r.URL.Query().Get("show") == "1" && kept.Format.HasLanguage() {
		// Its own page may show it, and no other.
		kind = "inline"
		w.Header().Set("Content-Security-Policy", "default-src 'none'; object-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'self'")
		w.Header().Set("X-Frame-Options", "SAMEORIGIN")
	}
	if kept.Copy {
		copyLanguage = kept.Language
	}
	w.Header().Set("Content-Type", kept.Format.MediaType())
	w.Header().Set("Content-Length", strconv.Itoa(len(kept.Content)))
	w.Header().Set("Content-Disposition", document.Disposition(kind, document.FileName(wanted.invoice.InvoiceNumber, kept.Format, copyLanguage)))
	if kept.Language != "" {
		w.Header().Set("Content-Language", kept.Language)
	}
	_, _ = w.Write(kept.Content) // the client may be gone
}

// look returns a document for a visitor whose name is known, after the look went on record.
func (p *Pages) look(r *http.Request) (w wantedDocument, kept document.Kept, err error) {
	if from := r.Header.Get("Sec-Fetch-Site"); from != "" && from != "same-origin" && from != "none" {
		return w, kept, problem{http.StatusForbidden, "This request comes from another site’s page."}
	}
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout+documentTimeout)
	defer cancel()
	if w, err = p.wanted(ctx, r); err != nil {
		return w, kept, err
	}
	if w.by.Name == "" {
		return w, kept, problemf("your name must be given, as 1 to %d bytes of text: it goes on record", longestName)
	}
	if kept, err = p.get(ctx, &w); err != nil {
		return w, kept, err
	}
	return w, kept, p.o.Actions.RecordAction(ctx, "see personal data", w.invoice.InvoiceNumber, "document as "+string(w.format), w.by)
}
