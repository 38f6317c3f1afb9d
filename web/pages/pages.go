// Package pages shows people how things stand: what is under way, the story of one transaction, failed jobs with what can be done
// about them, and what people did.
//
// The pages are rendered here, from plain types that are read for each request. They load nothing from elsewhere. A script, which
// they can do without, replaces the part of a page that changes while somebody watches.
package pages

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"time"

	"invoicer/internal/report"
	"invoicer/invoice/ledger"
	"invoicer/web/access"
	"invoicer/worker/dispatch"
)

// Reports is what the pages read. All of it takes a bounded time, however many records there are.
type Reports interface {
	Now(ctx context.Context) (report.Now, error)
	FailedJobs(ctx context.Context, f ledger.FailedFilter, after report.FailedJob, limit int) ([]report.FailedJob, error)
	Causes(ctx context.Context, f ledger.FailedFilter, look, limit int) (report.Causes, error)
	SeriesStates(ctx context.Context, issuers []string, name string, limit int) ([]report.Series, error)
	Deeds(ctx context.Context, limit int) ([]report.Deed, error)
	// Payload returns a job of some issuers, nil for all, as it was asked for. It is nil if it isn't kept, or is another issuer's.
	Payload(ctx context.Context, issuers []string, jobID string) ([]byte, error)
}

// Lists are what producers asked for, and what was made of it.
type Lists interface {
	// Races returns the races of the time that ends now and is as long as given; of one producer, if it isn't nil.
	Races(ctx context.Context, last time.Duration, producer *string) (*report.Races, error)
	// Invoices returns the invoices that match the filter, the newest first, beginning after the cursor, "" for the first page. The
	// error is [report.ErrCursor] for a text that is no cursor.
	Invoices(ctx context.Context, f report.Filter, after string, limit int) (report.Page[report.Invoice], error)
	// Numbered returns the invoices with a number, of the given issuers or, for nil, of all.
	Numbered(ctx context.Context, issuers []string, number string) ([]report.Invoice, error)
}

// Issuers are the legal entities that issue invoices.
type Issuers interface {
	// List returns up to limit issuers as they are now, of the given ones or, for nil, of all.
	List(ctx context.Context, codes []string, limit int) ([]report.Issuer, error)
	// Codes returns their codes, and "" for the one without a name, which comes first.
	Codes(ctx context.Context) ([]string, error)
}

// Inquiry answers from the database and from Redis, as [inquiry.Reporter] does. What it couldn't ask it names as problems.
type Inquiry interface {
	// Story returns what is known of an id within the given issuers; nil stands for all of them. It returns a [*report.AmbiguousError] if the id is that of several of them.
	Story(ctx context.Context, issuers []string, id string, limit int) (*report.Story, error)
	Queues(ctx context.Context) (*report.Queues, error)
	Workers(ctx context.Context) (*report.Workers, error)
}

// Failures changes failed jobs.
type Failures interface {
	// Failed returns the failed jobs that match the filter, as in [dispatch.Failures].
	Failed(ctx context.Context, f ledger.FailedFilter, after ledger.FailedJob, limit int) ([]ledger.FailedJob, error)
	// CountFailed returns how many match it.
	CountFailed(ctx context.Context, f ledger.FailedFilter) (n int, now time.Time, err error)
	// Dismiss marks a failed job as dealt with. It returns [ledger.ErrNoJob] or a [*ledger.StateError] if the job isn't failed any more.
	Dismiss(ctx context.Context, jobID string, by ledger.Actor) error
}

// A Controller pauses and resumes queues and frees locks, and keeps on record who did, as [inquiry.Controller] does.
type Controller interface {
	Pause(ctx context.Context, queue string, by ledger.Actor) (changed bool, err error)
	Resume(ctx context.Context, queue string, by ledger.Actor) (changed bool, err error)
	// Lock returns who has the lock of an issuer's transaction, and Free frees it if that one still has it; else both return [report.ErrNotHeld].
	Lock(ctx context.Context, issuer *string, transactionID string) (report.Lock, error)
	Free(ctx context.Context, seen report.Lock, by ledger.Actor) error
}

// Actions keeps on record what people do.
type Actions interface {
	RecordAction(ctx context.Context, action, subject, details string, by ledger.Actor) error
}

// A Replayer forecasts replays of failed jobs.
type Replayer interface {
	Run(ctx context.Context, o dispatch.ReplayOptions) (dispatch.ReplaySummary, error)
}

// A Visitor is who asks for a page.
type Visitor struct {
	// Name is what goes on record with an action. It is empty if nothing is known of the visitor; they are then asked for a name.
	Name string
	// MayAct says that the visitor may replay and dismiss jobs.
	MayAct bool
	// MaySeePersonalData says that the visitor may see jobs as they were asked for.
	MaySeePersonalData bool
	// Issuers are those whose data the visitor may see.
	Issuers access.Issuers
}

// Options configure [New]. All are required.
type Options struct {
	Reports   Reports
	Lists     Lists
	Issuers   Issuers
	Inquiry   Inquiry
	Failures  Failures
	Replayer  Replayer
	Actions   Actions
	Events    Events
	Replays   Replays
	Documents Documents
	Kept      KeptDocuments
	Handovers Handovers
	// ReplayBegun is called when a replay of many jobs was asked for. It must return soon.
	ReplayBegun func()

	Controller Controller
	// InvoiceSeries is the series that jobs ask for which state none.
	InvoiceSeries string
	// DatabaseTime returns the time by the database's clock, by which jobs have failed.
	DatabaseTime func(context.Context) (time.Time, error)
	// Visitor returns who sent the request. Requests of those who may not read don't come here.
	Visitor func(*http.Request) Visitor
	// Place says in a few words which installation this is.
	Place  string
	Logger *slog.Logger
}

//go:embed *.html style.css live.js
var files embed.FS

// Pages are a handler of all pages. Call [Pages.Close] when no more requests should come.
type Pages struct {
	o         Options
	templates map[string]*template.Template // by the file's name
	live      *live
	runs      *runs
	routes    map[string]route // by pattern
	mux       *http.ServeMux   // of the routes
}

// ServeHTTP implements [http.Handler].
func (p *Pages) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.mux.ServeHTTP(w, r) }

// New returns the pages. It fails only if their templates are wrong.
func New(o Options) (*Pages, error) {
	p := &Pages{o: o, templates: make(map[string]*template.Template), live: newLive(), runs: newRuns()}
	layout, err := template.New("layout.html").Funcs(functions()).ParseFS(files, "layout.html")
	if err != nil {
		return nil, err
	}
	names, err := files.ReadDir(".")
	if err != nil {
		return nil, err
	}
	for _, entry := range names {
		name := entry.Name()
		if name == "layout.html" || len(name) < 5 || name[len(name)-5:] != ".html" {
			continue
		}
		page, err := layout.Clone()
		if err != nil {
			return nil, err
		}
		if p.templates[name], err = page.ParseFS(files, name); err != nil {
			return nil, err
		}
	}
	p.routes, p.mux = make(map[string]route), http.NewServeMux()
	for _, r := range p.allRoutes() {
		p.routes[r.pattern] = r
		p.mux.HandleFunc(r.pattern, p.handler(r))
	}
	return p, nil
}

// Close ends what watches, forecasts and dismissals. It returns when all have ended.
func (p *Pages) Close() {
	p.live.close()
	p.runs.close()
}

func file(name, kind string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		content, err := files.ReadFile(name)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Cache-Control", "max-age=600")
		_, _ = w.Write(content)
	}
}

// A view is what one page shows.
type view struct {
	template string
	title    string
	data     any
	live     bool // the content changes while somebody watches
	frames   bool // it shows others of our answers in itself
	status   int  // default: 200
}

// A rendering is the data of the layout.
type rendering struct {
	Title   string
	Place   string
	Search  string
	Live    string // where to watch the content; "" if it doesn't change
	Nav     []link
	Visitor Visitor
	Data    any
}

// page returns a handler of a page.
func (p *Pages) page(show func(*http.Request) (view, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
		defer cancel()
		v, err := show(r.WithContext(ctx))
		if err != nil {
			v = p.failure(r, err)
		}
		p.answer(w, r, v)
	}
}

// readTimeout bounds the queries of a page.
const readTimeout = 10 * time.Second

func (p *Pages) answer(w http.ResponseWriter, r *http.Request, v view) {
	var live string
	if v.live {
		live = "/live?of=" + template.URLQueryEscaper(r.URL.RequestURI())
	}
	visitor := p.o.Visitor(r)
	var page bytes.Buffer
	err := p.templates[v.template].ExecuteTemplate(&page, "layout.html", rendering{
		Title: v.title, Place: p.o.Place, Search: r.URL.Query().Get("q"), Live: live, Nav: p.navigation(r.URL.Path, visitor), Visitor: visitor, Data: v.data,
	})
	if err != nil {
		p.o.Logger.Error("a page couldn't be rendered", "page", v.template, "error", err)
		http.Error(w, "this page couldn't be rendered; the log says why", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if v.frames {
		w.Header().Set("Content-Security-Policy", w.Header().Get("Content-Security-Policy")+"; frame-src 'self'")
	}
	if v.status != 0 {
		w.WriteHeader(v.status)
	}
	_, _ = page.WriteTo(w)
}

// content renders the part of a page that changes.
func (p *Pages) content(v view, visitor Visitor) (string, error) {
	var content bytes.Buffer
	err := p.templates[v.template].ExecuteTemplate(&content, "content", rendering{Visitor: visitor, Data: v.data})
	return content.String(), err
}

// A problem is something about a request that the visitor can mend.
type problem struct {
	status  int
	message string
}

func (p problem) Error() string { return p.message }

func problemf(format string, values ...any) error {
	return problem{http.StatusBadRequest, fmt.Sprintf(format, values...)}
}
