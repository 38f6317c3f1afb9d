// Package api is the HTTP API: it takes jobs from services, and tells what became of them. Its description in OpenAPI 3.1 is made from
// the code.
//
// Whatever it answers is JSON: the types of internal/report, which commands print, or a problem of RFC 9457. What it accepts is in the
// ledger, by the same checks and in the same words as through any other door.
package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"golang.org/x/sync/semaphore"

	"invoicer/internal/links"
	"invoicer/internal/report"
	"invoicer/invoice"
	"invoicer/invoice/document"
	"invoicer/invoice/ledger"
	"invoicer/web"
	"invoicer/web/access"
	"invoicer/worker/dispatch"
)

// Prefix begins all paths of the API.
const Prefix = "/v1/"

// A Ledger takes jobs, and marks failed ones as dealt with.
type Ledger interface {
	// Asked reports whether a request was accepted before under its key, or its transaction has an invoice.
	Asked(ctx context.Context, r ledger.Request) (bool, error)
	// AcceptRequest adds a job, and says what was there of its transaction. Its errors are those of invoice/postgres.
	AcceptRequest(ctx context.Context, r ledger.Request) (ledger.Acceptance, error)
	// AcceptRequests adds all jobs or none.
	AcceptRequests(ctx context.Context, queue string, requests []ledger.Request) ([]ledger.Acceptance, error)
	// Dismiss returns [ledger.ErrNoJob] or a [*ledger.StateError] if the job isn't failed.
	Dismiss(ctx context.Context, jobID string, by ledger.Actor) error
	// RecordAction keeps on record what somebody does.
	RecordAction(ctx context.Context, action, subject, details string, by ledger.Actor) error
}

// Payloads are jobs as they were asked for.
type Payloads interface {
	// Payload returns a job of some issuers, nil for all. It is nil if it isn't kept, or is another issuer's.
	Payload(ctx context.Context, issuers []string, jobID string) ([]byte, error)
}

// Reports are what is read from the database.
type Reports interface {
	// JobStates returns those of the jobs that the ledger has; if ended, only those that have come to their end.
	JobStates(ctx context.Context, jobIDs []string, ended bool) (map[string]*report.JobState, error)
	// Numbered returns the invoices with a number, of the given issuers or, for nil, of all.
	Numbered(ctx context.Context, issuers []string, number string) ([]report.Invoice, error)
	Jobs(ctx context.Context, f report.Filter, after string, limit int) (report.Page[report.ListedJob], error)
	Invoices(ctx context.Context, f report.Filter, after string, limit int) (report.Page[report.Invoice], error)
	Duplicates(ctx context.Context, f report.Filter, after string, limit int) (report.Page[report.ListedDuplicate], error)
	SeriesStates(ctx context.Context, issuers []string, name string, limit int) ([]report.Series, error)
}

// An Inquiry tells the story of an id, from the database and from Redis.
type Inquiry interface {
	Story(ctx context.Context, issuers []string, id string, limit int) (*report.Story, error)
}

// Settings are the settings of issuers. The error is [invoice.ErrNoIssuer] for one that wasn't opened.
type Settings interface {
	Current(ctx context.Context, issuer string) (*invoice.Settings, error)
}

// A Forecaster predicts what becomes of a job, and changes nothing.
type Forecaster interface {
	Forecast(ctx context.Context, r invoice.Request) (invoice.Result, error)
	// Place returns the series and the period in which the job's document would be counted.
	Place(ctx context.Context, job *invoice.Job) (*invoice.Series, string, error)
	// Judge returns an [*invoice.InvalidError] if the job lacks what the profile of its series asks for, and makes no duplicate.
	Judge(ctx context.Context, job *invoice.Job) error
}

// A Replayer replays failed jobs.
type Replayer interface {
	Run(ctx context.Context, o dispatch.ReplayOptions) (dispatch.ReplaySummary, error)
}

// Options configure [New]. All are required, but those with a default.
type Options struct {
	Ledger     Ledger
	Reports    Reports
	Inquiry    Inquiry
	Settings   Settings
	Forecaster Forecaster
	Replayer   Replayer
	Payloads   Payloads
	Events     Events
	Replays    Replays
	Endpoints  Endpoints
	Deliveries Deliveries
	Documents  Documents
	Handovers  Handovers
	// Links reads the links that lead to documents. Default: none is followed.
	Links *links.Links
	// Formats are those in which there are documents; of those with the same media type, the first is what that type stands for. Default:
	// [document.Formats].
	Formats []document.Format
	// PermitURL returns an error if nothing would be posted to a URL. Default: each is permitted.
	PermitURL func(ctx context.Context, url string) error
	// NewSecret returns a random secret of an endpoint. Required to add endpoints.
	NewSecret func() string
	// ReplayBegun is called when a replay of many jobs was asked for. It must return soon. Default: it isn't called.
	ReplayBegun func()
	// InvoiceSeries is the series of jobs that state none. Default: INV.
	InvoiceSeries string
	// PersonalData is the role that may see jobs as they were asked for. Default: nobody may.
	PersonalData access.Role
	// Accepted is called with jobs that were committed. It must return soon. Default: nobody is told.
	Accepted func(jobIDs ...string)
	// Mark is called now and then, and has lists that begin with the oldest be complete up to what is there then. Default: such a list is
	// complete up to what was there when somebody read one.
	Mark func(ctx context.Context) error
	// Limit bounds the requests of each token. Default: there is no limit.
	Limit Limiter
	// Requested is called for each request that was answered, with the pattern that it matched, such as POST /v1/jobs. Default: it isn't
	// called.
	Requested func(pattern string, status int)
	// Refused is called for each job that wasn't accepted, as it never will be as it is, with its producer, "" if it has none. Default: it
	// isn't called.
	Refused func(producer string)
	// AtOnce is how many requests may be at work in the database, or wait for it. Further ones are refused for the moment. Default: 64.
	AtOnce int
	// Bodies is how many bytes the bodies of all requests may take that are at work. Further large ones are refused for the moment.
	// Default: 256 MiB.
	Bodies int64
	// Version is the program's.
	Version string
	Logger  *slog.Logger
}

// An API is a handler of all requests below [Prefix].
type API struct {
	o       Options
	mux     *http.ServeMux
	huma    huma.API
	routes  []web.Route
	waiters *waiters
	room    chan struct{}
	bodies  *semaphore.Weighted

	documents chan struct{} // room for requests for documents
	streams   atomic.Int64  // of events, that are open
	ended     chan struct{} // closed when streams must end
	warned    atomic.Int64  // when it was last warned of missing rights, in nanoseconds since the epoch
}

// New returns the API. It fails only if its own description is wrong. Only [Options].Version is needed to describe it.
func New(o Options) (*API, error) {
	if o.Accepted == nil {
		o.Accepted = func(...string) {}
	}
	if o.Requested == nil {
		o.Requested = func(string, int) {}
	}
	if o.Refused == nil {
		o.Refused = func(string) {}
	}
	if o.ReplayBegun == nil {
		o.ReplayBegun = func() {}
	}
	if o.PermitURL == nil {
		o.PermitURL = func(context.Context, string) error { return nil }
	}
	if o.InvoiceSeries == "" {
		o.InvoiceSeries = "INV"
	}
	if o.AtOnce == 0 {
		o.AtOnce = 64
	}
	if o.Bodies == 0 {
		o.Bodies = allBodies
	}
	if o.Formats == nil {
		o.Formats = document.Formats()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	a := &API{o: o, mux: http.NewServeMux(), room: make(chan struct{}, o.AtOnce), ended: make(chan struct{}), bodies: semaphore.NewWeighted(o.Bodies), documents: make(chan struct{}, documentsAtOnce)}
	a.waiters = newWaiters(func(ctx context.Context, jobIDs []string) (map[string]*report.JobState, error) {
		return o.Reports.JobStates(ctx, jobIDs, true)
	})
	config := huma.Config{
		OpenAPI:       a.description(),
		Formats:       map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat},
		DefaultFormat: "application/json",
		Transformers:  []huma.Transformer{inOurWords},

		RejectUnknownQueryParameters: true, // a filter that is mistyped would select everything
	}
	a.huma = humago.New(a.mux, config)
	a.huma.UseMiddleware(a.limited, control)
	if err := a.operations(); err != nil {
		return nil, err
	}
	a.mux.HandleFunc(Prefix, a.elsewhere)
	a.route("", Prefix)
	return a, nil
}

// Routes are where the API is served. Visitors who are limited to issuers are let in: the API keeps to these.
func (a *API) Routes() []web.Route { return a.routes }

func (a *API) route(role access.Role, pattern string) {
	a.routeTo(role, pattern, a.mux)
}

func (a *API) routeTo(role access.Role, pattern string, next http.Handler) {
	a.routes = append(a.routes, web.Route{Pattern: pattern, Role: role, Within: true, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(answer, r)
		a.o.Requested(pattern, answer.status)
	})})
}

// A statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements [http.ResponseWriter].
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets [http.ResponseController] find what the writer can do.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Run serves those who wait for invoices until ctx ends; who waits then gets an answer at once.
func (a *API) Run(ctx context.Context) {
	var beside sync.WaitGroup
	beside.Go(func() { a.mark(ctx) })
	a.waiters.run(ctx)
	close(a.ended)
	beside.Wait()
}

// markEvery is how often lists are marked.
const markEvery = 10 * time.Second

func (a *API) mark(ctx context.Context) {
	if a.o.Mark == nil {
		return
	}
	tick := time.NewTicker(markEvery)
	defer tick.Stop()
	for {
		if err := a.o.Mark(ctx); err != nil && ctx.Err() == nil {
			a.o.Logger.Debug("lists can't be marked", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// queryTimeout bounds what a request has the database do.
const queryTimeout = 8 * time.Second

// patience is how long a request waits for its turn.
const patience = 100 * time.Millisecond

// work calls do with a bounded time, as one of a bounded number of requests. It returns a problem with status 503 if there are too many, or
// if a server doesn't answer.
func (a *API) work(ctx context.Context, do func(context.Context) error) error {
	return a.workWithin(ctx, patience, do)
}

// workWithin is work, with another time to wait for its turn.
func (a *API) workWithin(ctx context.Context, patience time.Duration, do func(context.Context) error) error {
	return a.workIn(ctx, a.room, patience, queryTimeout, do)
}

// workIn is work as one of the requests for which there is that room, and with a time of its own.
func (a *API) workIn(ctx context.Context, room chan struct{}, patience, timeout time.Duration, do func(context.Context) error) error {
	select {
	case room <- struct{}{}:
	default:
		turn := time.NewTimer(patience)
		defer turn.Stop()
		select {
		case room <- struct{}{}:
		case <-turn.C:
			return unavailable("so many requests are at work that this one isn't begun: send it again in a moment", 1)
		case <-ctx.Done():
			return unavailable("the request was broken off", 1)
		}
	}
	defer func() { <-room }()
	limit, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := do(limit)
	if err == nil || errors.As(err, new(*ProblemError)) || isNotModified(err) {
		return err
	}
	if state := (interface{ SQLState() string })(nil); errors.As(err, &state) && state.SQLState() == insufficientPrivilege {
		if now := time.Now(); now.Sub(time.Unix(0, a.warned.Swap(now.UnixNano()))) > warnEvery {
			a.o.Logger.Warn("the API lacks rights in the database: run this process as a member of the role made for serve, or of the worker's", "error", err)
		}
		return unavailable("the process that serves this lacks rights in the database; its log says what to do", 60)
	}
	if errors.Is(err, invoice.ErrUnavailable) || limit.Err() != nil {
		a.o.Logger.Debug("a request to the API can't be answered now", "error", err)
		return unavailable("the database can't be used now: nothing was done by halves, so send the same again", 2)
	}
	a.o.Logger.Error("a request to the API couldn't be answered", "error", err)
	return problemOf(http.StatusInternalServerError, "this couldn't be answered; the log says why")
}

// warnEvery is how long requests that lack rights must have stopped before they are told of again.
const warnEvery = time.Minute

// insufficientPrivilege is the SQLSTATE of a missing right.
const insufficientPrivilege = "42501"

// elsewhere answers requests for which there is no operation.
func (a *API) elsewhere(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPatch, http.MethodDelete} {
		asked := r.Clone(r.Context())
		asked.Method = method
		if _, pattern := a.mux.Handler(asked); pattern != "" && pattern != Prefix {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) == 0 {
		writeProblem(w, problemOf(http.StatusNotFound, "there is no such resource: "+Prefix+"docs lists them"))
		return
	}
	for _, method := range allowed {
		w.Header().Add("Allow", method)
	}
	writeProblem(w, problemOf(http.StatusMethodNotAllowed, "this resource has no "+r.Method))
}
