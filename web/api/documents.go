package api

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"invoicer/invoice"
	"invoicer/invoice/document"
	"invoicer/invoice/ledger"
	"invoicer/web/access"
)

// Documents hands out invoices as people and authorities are sent them.
type Documents interface {
	// Get returns the document of an invoice: the original for the language "". What isn't there yet is made and kept. Its errors are [document.ErrErased],
	// [document.ErrBusy], [document.ErrMayNotKeep], [*document.LanguageError], [*document.AwaitedError] and [*document.UnmadeError].
	Get(ctx context.Context, invoiceID int64, format document.Format, language string) (document.Kept, error)
}

const (
	// documentsAtOnce is how many requests for documents are at work. They have room of their own, so that drawing holds up no other request.
	documentsAtOnce = 8
	// documentPatience is how long one waits for that room, and documentTimeout how long its work may take.
	documentPatience = 500 * time.Millisecond
	documentTimeout  = 20 * time.Second
)

type getDocument struct {
	Conditional
	OfIssuer
	Accept   string `header:"Accept" doc:"application/pdf or application/xml, which a parameter profile makes one of the formats: application/xml;profile=cii. Default: application/pdf"`
	Number   string `path:"invoice_number" maxLength:"512" doc:"the number as it is printed, percent-encoded"`
	Format   string `query:"format" enum:"pdf,ubl,cii,facturx" doc:"the same as a profile in Accept"`
	Language string `query:"language" maxLength:"35" pattern:"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$" doc:"of a page, such as de or de-AT; the answer to another than the page speaks lists those that it does. One in another than the original's says that it is a copy. Default: the original's, which the job stated, or English"`
	By       string `query:"by" maxLength:"128" doc:"who looks: required on the same machine without a token, and else the token's name, which goes on record"`
}

// A documentAnswer is a document with what HTTP says of it.
type documentAnswer struct {
	ContentType  string `header:"Content-Type"`
	ETag         string `header:"ETag" doc:"its SHA-256 in hexadecimal"`
	Digest       string `header:"Repr-Digest" doc:"its SHA-256, as RFC 9530 has it"`
	Disposition  string `header:"Content-Disposition" doc:"a name for its file"`
	Language     string `header:"Content-Language" doc:"of a page"`
	CacheControl string `header:"Cache-Control"`
	Vary         string `header:"Vary"`
	LastModified string `header:"Last-Modified" doc:"when it was made"`
	Body         []byte
}

// documentOperations registers what hands out documents.
func (a *API) documentOperations() {
	const tag = "documents"
	op := a.describe(operation{
		id: "getDocument", method: http.MethodGet, path: "/v1/invoices/{invoice_number}/document", tag: tag, role: access.Read, status: http.StatusOK,
		errors:  []int{http.StatusNotModified, http.StatusNotFound, http.StatusNotAcceptable, http.StatusConflict, http.StatusGone, http.StatusUnprocessableEntity},
		summary: "An invoice as its customer is sent it",
		text: "As a page (pdf), UBL 2.1 (ubl), CII D16B (cii), or a page with the CII in it (facturx). What isn't there yet is made and kept: whoever asks again gets the " +
			"same bytes. It holds personal data, so `http.personal_data` says who may, and the token's name goes on record. 409: several issuers have the number, or " +
			"the invoice can't be written so, with the reason, or it names a transaction that has no invoice yet. 410: its personal data was erased. 503: so many documents are being made that this one isn't begun.",
	})
	op.Middlewares = append(op.Middlewares, a.sameSite)
	op.Responses["200"] = documentResponse()
	huma.Register(a.huma, op, a.getDocument)
	a.linkOperation(tag)
}

func documentResponse() *huma.Response {
	content := make(map[string]*huma.MediaType)
	for _, f := range document.Formats() {
		content[f.MediaType()] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}
	}
	return &huma.Response{Description: "The document", Content: content}
}

// sameSite refuses what the page of another site has a browser ask for: being asked changes something here, as it goes on record.
func (a *API) sameSite(ctx huma.Context, next func(huma.Context)) {
	r, _ := humago.Unwrap(ctx)
	if from := r.Header.Get("Sec-Fetch-Site"); from != "" && from != "same-origin" && from != "none" {
		a.answer(ctx, problemOf(http.StatusForbidden, "this request comes from another site's page"))
		return
	}
	next(ctx)
}

func (a *API) getDocument(ctx context.Context, in *getDocument) (*documentAnswer, error) {
	visitor := access.In(ctx)
	if a.o.PersonalData == "" || !visitor.May(a.o.PersonalData) {
		return nil, problemOf(http.StatusForbidden, "a document holds personal data, and you may not see any: that needs http.personal_data, and the role that it names")
	}
	issuers, err := scope(visitor, in.Issuer)
	if err != nil {
		return nil, err
	}
	by, err := looker(visitor, in.By)
	if err != nil {
		return nil, err
	}
	format, ok := chosen(a.o.Formats, in.Accept, in.Format)
	if !ok {
		return nil, notAcceptable(a.o.Formats)
	}
	return a.handOut(ctx, wantedDocument{in.Conditional, issuers, in.Number, format, in.Language, by})
}

// A wantedDocument is one that somebody may have.
type wantedDocument struct {
	Conditional
	issuers  []string // of one of these; nil for any
	number   string
	format   document.Format
	language string
	by       ledger.Actor // who goes on record
}

func (a *API) handOut(ctx context.Context, w wantedDocument) (answer *documentAnswer, err error) {
	err = a.workIn(ctx, a.documents, documentPatience, documentTimeout, func(ctx context.Context) error {
		found, err := a.numbered(ctx, w.issuers, w.number)
		if err != nil {
			return err
		}
		kept, err := a.o.Documents.Get(ctx, found.ID, w.format, w.language)
		if err != nil {
			return unmade(err)
		}
		if answer, err = w.document(w.number, kept); err != nil {
			return err // 304: nothing is handed out
		}
		return a.o.Ledger.RecordAction(ctx, "see personal data", w.number, "document as "+string(w.format), w.by)
	})
	if err != nil {
		return nil, err
	}
	return answer, nil
}

// looker returns who goes on record.
func looker(visitor access.Visitor, name string) (ledger.Actor, error) {
	by, err := actor(visitor, &Act{By: name}, false)
	if p := (*ProblemError)(nil); errors.As(err, &p) {
		for i := range p.Errors {
			p.Errors[i] = Fault{Detail: p.Errors[i].Detail, Parameter: p.Errors[i].Field}
		}
	}
	return by, err
}

func notAcceptable(formats []document.Format) *ProblemError {
	var all []string
	for _, f := range formats {
		all = append(all, f.MediaType()+";profile="+string(f))
	}
	return problemOf(http.StatusNotAcceptable, "there is no document of that kind; there are "+strings.Join(all, ", "),
		Fault{Detail: "must allow one of these, and the format that is named beside it", Header: "Accept"})
}

// unmade returns the answer to who asks for a document that there isn't, or the error itself if it is another one.
func unmade(err error) error {
	var cannot *document.UnmadeError
	var awaited *document.AwaitedError
	var unspoken *document.LanguageError
	switch {
	case errors.As(err, &unspoken):
		return problemOf(http.StatusUnprocessableEntity, err.Error(), Fault{Detail: "must be one of " + strings.Join(unspoken.Known, ", "), Parameter: "language"})
	case errors.As(err, &awaited):
		return problemOf(http.StatusConflict, err.Error())
	case errors.Is(err, document.ErrErased):
		return problemOf(http.StatusGone, err.Error())
	case errors.Is(err, document.ErrBusy):
		return unavailable(err.Error(), 2)
	case errors.Is(err, document.ErrMayNotKeep):
		return unavailable(err.Error(), 60)
	case errors.Is(err, invoice.ErrNotInvoiced):
		return problemOf(http.StatusNotFound, "there is no invoice with this number")
	case errors.As(err, &cannot):
		return problemOf(http.StatusConflict, "the invoice can't be written as "+string(cannot.Format)+": "+cannot.Err.Error())
	}
	return err
}

// document returns the answer with a document, or 304 if the client has the same.
func (c Conditional) document(number string, kept document.Kept) (*documentAnswer, error) {
	copyLanguage := ""
	if kept.Copy {
		copyLanguage = kept.Language
	}
	answer := &documentAnswer{
		ContentType:  kept.Format.MediaType(),
		ETag:         `"` + hex.EncodeToString(kept.SHA256[:]) + `"`,
		Digest:       "sha-256=:" + base64.StdEncoding.EncodeToString(kept.SHA256[:]) + ":",
		Disposition:  document.Disposition("attachment", document.FileName(number, kept.Format, copyLanguage)),
		Language:     kept.Language,
		CacheControl: privately,
		Vary:         "Accept, Authorization, Cookie",
		LastModified: kept.MadeAt.UTC().Format(http.TimeFormat),
		Body:         kept.Content,
	}
	if c.has(answer.ETag) {
		return nil, huma.ErrorWithHeaders(huma.Status304NotModified(), http.Header{"Etag": {answer.ETag}, "Cache-Control": {privately}, "Vary": {answer.Vary}})
	}
	return answer, nil
}

// privately lets the asker's own cache keep a document, which stays as it is until it is erased: for an hour, so that an erasure counts there soon.
const privately = "private, max-age=3600, immutable"
