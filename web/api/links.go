package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"invoicer/internal/links"
	"invoicer/invoice/ledger"
	"invoicer/web/access"
)

type getLinked struct {
	Conditional
	Accept   string `header:"Accept" doc:"as for the document of an invoice"`
	Link     string `path:"link" maxLength:"4096" doc:"what names the document, until when, and the signature"`
	Format   string `query:"format" enum:"pdf,ubl,cii,facturx" doc:"the same as a profile in Accept"`
	Language string `query:"language" maxLength:"35" pattern:"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$" doc:"of a page; one in another than the original's says that it is a copy"`
}

// linkOperation registers what follows links.
func (a *API) linkOperation(tag string) {
	o := operation{
		id: "getLinkedDocument", method: http.MethodGet, path: links.Path + "{link}", tag: tag, status: http.StatusOK, open: true,
		errors:  []int{http.StatusNotModified, http.StatusNotFound, http.StatusNotAcceptable, http.StatusConflict, http.StatusGone, http.StatusUnprocessableEntity},
		summary: "The document that a link leads to",
		text: "For whoever has the link: no token is asked for, and none is looked at. It comes from an event as `document_url`, and whom that was posted to goes on record. " +
			"404: this is no link that was made here. 410: it has expired, or the personal data of the invoice was erased. 429 counts what is asked for by links " +
			"of the same endpoint.",
	}
	op := a.describe(o)
	op.Responses["200"] = documentResponse()
	huma.Register(a.huma, op, a.getLinked)
	a.routeTo("", o.method+" "+o.path, http.HandlerFunc(a.followed))
}

type linkKey struct{}

// followed lets a request with a link through, as one of whom the link was made for, so that a flood of forged ones takes nobody's room.
func (a *API) followed(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Robots-Tag", "noindex")
	w.Header().Set("Referrer-Policy", "no-referrer") // the path is what opens the document
	if a.o.Links == nil {
		writeProblem(w, problemOf(http.StatusNotFound, "no links are followed here: documents.links.url isn't set"))
		return
	}
	link, err := a.o.Links.Read(time.Now(), r.PathValue("link"))
	switch {
	case errors.Is(err, links.ErrExpired):
		writeProblem(w, problemOf(http.StatusGone, "the link has expired: it led to its document until "+link.Until.Format(time.RFC3339)+"; ask for the event to be posted again, or for the document by its number"))
		return
	case err != nil:
		writeProblem(w, problemOf(http.StatusNotFound, err.Error()))
		return
	}
	ctx := context.WithValue(r.Context(), linkKey{}, link)
	a.mux.ServeHTTP(w, access.With(r.WithContext(ctx), access.Visitor{Name: "link:" + link.For}))
}

func (a *API) getLinked(ctx context.Context, in *getLinked) (*documentAnswer, error) {
	link, ok := ctx.Value(linkKey{}).(links.Link)
	if !ok {
		return nil, problemOf(http.StatusNotFound, links.ErrForged.Error())
	}
	format, ok := chosen(a.o.Formats, in.Accept, in.Format)
	if !ok {
		return nil, notAcceptable(a.o.Formats)
	}
	answer, err := a.handOut(ctx, wantedDocument{in.Conditional, []string{link.Issuer}, link.Number, format, in.Language, ledger.Actor{Name: "link", Note: "posted to " + link.For}})
	if err != nil {
		return nil, err
	}
	answer.CacheControl = "private, no-store" // a cache would hand it out beyond the link's end
	return answer, nil
}
