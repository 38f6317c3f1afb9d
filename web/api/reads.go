package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"invoicer/internal/report"
	"invoicer/web/access"
)

// scope returns the issuers that a visitor asks about: the one that is named, or all that the visitor may see, nil for all there are.
func scope(visitor access.Visitor, issuer string) ([]string, error) {
	if issuer == "" {
		return visitor.Issuers, nil
	}
	code := issuer
	if code == access.NamelessIssuer {
		code = ""
	}
	if !visitor.Issuers.Has(code) {
		return nil, problemOf(http.StatusForbidden, "the token is limited to the issuers "+visitor.Issuers.String(),
			Fault{Detail: "must be one of " + visitor.Issuers.String(), Parameter: "issuer"})
	}
	return []string{code}, nil
}

// OfIssuer is the parameter that chooses an issuer.
type OfIssuer struct {
	Issuer string `query:"issuer" maxLength:"32" doc:"an issuer, none for the one without a name"`
}

// ambiguous returns the answer to an id that several issuers have.
func ambiguous(id string, issuers []string) *ProblemError {
	p := problemOf(http.StatusConflict, (&report.AmbiguousError{ID: id, Issuers: issuers}).Error()+": name one by ?issuer=")
	p.Issuers = access.Issuers(issuers).Names()
	return p
}

type getJob struct {
	Conditional
	JobID string `path:"job_id" maxLength:"300"`
}

func (a *API) getJob(ctx context.Context, in *getJob) (*told[report.JobState], error) {
	var state *report.JobState
	if err := a.work(ctx, func(ctx context.Context) (err error) {
		state, err = a.job(ctx, in.JobID)
		return err
	}); err != nil {
		return nil, err
	}
	return tell(in.Conditional, *state)
}

// job returns a job that the visitor may see: a token that only hands jobs in sees those of its producer.
func (a *API) job(ctx context.Context, jobID string) (*report.JobState, error) {
	visitor := access.In(ctx)
	states, err := a.o.Reports.JobStates(ctx, []string{jobID}, false)
	if err != nil {
		return nil, err
	}
	state := states[jobID]
	if state == nil || !visitor.Issuers.Has(state.Issuer) ||
		!visitor.May(access.Read) && visitor.Producer != "" && (state.Producer == nil || *state.Producer != visitor.Producer) {
		return nil, problemOf(http.StatusNotFound, "the ledger has no such job: it was never accepted, or has ended so long ago that it was pruned")
	}
	return state, nil
}

type getTransaction struct {
	Conditional
	OfIssuer
	ID    string `path:"transaction_id" maxLength:"512" doc:"the id, percent-encoded"`
	Limit int    `query:"limit" default:"100" minimum:"1" maximum:"1000" doc:"the most jobs, and the most duplicates; more is true if there are more"`
}

func (a *API) getTransaction(ctx context.Context, in *getTransaction) (*told[report.Story], error) {
	issuers, err := scope(access.In(ctx), in.Issuer)
	if err != nil {
		return nil, err
	}
	var story *report.Story
	err = a.work(ctx, func(ctx context.Context) (err error) {
		story, err = a.o.Inquiry.Story(ctx, issuers, in.ID, in.Limit)
		if several := (*report.AmbiguousError)(nil); errors.As(err, &several) {
			return ambiguous(in.ID, several.Issuers)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if !story.Known() || story.TransactionID == nil || *story.TransactionID != in.ID {
		return nil, problemOf(http.StatusNotFound, "nothing is known of this transaction")
	}
	if story.Invoice != nil {
		discreet(story.Invoice)
	}
	return tell(in.Conditional, *story)
}

type getInvoice struct {
	Conditional
	OfIssuer
	Number string `path:"invoice_number" maxLength:"512" doc:"the number as it is printed, percent-encoded"`
}

func (a *API) getInvoice(ctx context.Context, in *getInvoice) (*told[report.Invoice], error) {
	issuers, err := scope(access.In(ctx), in.Issuer)
	if err != nil {
		return nil, err
	}
	var found *report.Invoice
	if err := a.work(ctx, func(ctx context.Context) (err error) {
		found, err = a.numbered(ctx, issuers, in.Number)
		return err
	}); err != nil {
		return nil, err
	}
	discreet(found)
	return tell(in.Conditional, *found)
}

// numbered returns the invoice with a number. Its error is a problem if there is none, or if several issuers have one.
func (a *API) numbered(ctx context.Context, issuers []string, number string) (*report.Invoice, error) {
	found, err := a.o.Reports.Numbered(ctx, issuers, number)
	switch {
	case err != nil:
		return nil, err
	case len(found) == 0:
		return nil, problemOf(http.StatusNotFound, "there is no invoice with this number")
	case len(found) == 1:
		return &found[0], nil
	}
	var several []string
	for i := range found {
		several = append(several, found[i].Issuer)
	}
	return nil, ambiguous(number, several)
}

// Listed are the parameters of every list.
type Listed struct {
	Conditional
	OfIssuer
	Since time.Time `query:"since" doc:"leaves out what is earlier"`
	Until time.Time `query:"until" doc:"leaves out what is later"`
	Order string    `query:"order" enum:"newest,oldest" default:"newest" doc:"which come first. With oldest, next is always given, and whoever goes on after it misses nothing that is recorded later"`
	After string    `query:"after" maxLength:"2000" doc:"the next of the page before, to go on behind it"`
	Limit int       `query:"limit" default:"50" minimum:"1" maximum:"1000" doc:"the most rows of a page"`
}

// list answers with a page of the records of a filter.
func list[T any](ctx context.Context, a *API, in Listed, f report.Filter,
	read func(context.Context, report.Filter, string, int) (report.Page[T], error),
) (*told[report.Page[T]], error) {
	var err error
	if f.Issuers, err = scope(access.In(ctx), in.Issuer); err != nil {
		return nil, err
	}
	f.Since, f.Until, f.Oldest, f.Patient = in.Since, in.Until, in.Order == "oldest", true
	var page report.Page[T]
	err = a.work(ctx, func(ctx context.Context) (err error) {
		page, err = read(ctx, f, in.After, in.Limit)
		if errors.Is(err, report.ErrCursor) {
			return problemOf(http.StatusUnprocessableEntity, "after isn't the next of a page", Fault{Detail: "must be the next of a page of this list, in this order", Parameter: "after"})
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return tell(in.Conditional, page)
}

type listJobs struct {
	Listed
	State    string `query:"state" enum:"accepted,enqueued,done,failed,dismissed"`
	Outcome  string `query:"outcome" enum:"created,duplicate,conflict,invalid,failed"`
	Reason   string `query:"reason" maxLength:"200" doc:"a text that the reason contains"`
	Queue    string `query:"queue" maxLength:"255"`
	Producer string `query:"producer" maxLength:"64"`
}

func (a *API) listJobs(ctx context.Context, in *listJobs) (*told[report.Page[report.ListedJob]], error) {
	return list(ctx, a, in.Listed, report.Filter{State: in.State, Outcome: in.Outcome, Reason: in.Reason, Queue: in.Queue, Producer: in.Producer}, a.o.Reports.Jobs)
}

type listInvoices struct {
	Listed
	Series string `query:"series" maxLength:"32"`
}

func (a *API) listInvoices(ctx context.Context, in *listInvoices) (*told[report.Page[report.Invoice]], error) {
	return list(ctx, a, in.Listed, report.Filter{Series: in.Series}, func(ctx context.Context, f report.Filter, after string, limit int) (report.Page[report.Invoice], error) {
		page, err := a.o.Reports.Invoices(ctx, f, after, limit)
		for i := range page.Rows {
			discreet(&page.Rows[i])
		}
		return page, err
	})
}

// discreet leaves out what may hold personal data and isn't masked.
func discreet(i *report.Invoice) { i.Metadata = nil }

type listDuplicates struct {
	Listed
	Reason   string `query:"reason" maxLength:"200" doc:"a text that the reason contains"`
	Producer string `query:"producer" maxLength:"64"`
}

func (a *API) listDuplicates(ctx context.Context, in *listDuplicates) (*told[report.Page[report.ListedDuplicate]], error) {
	return list(ctx, a, in.Listed, report.Filter{Reason: in.Reason, Producer: in.Producer}, a.o.Reports.Duplicates)
}

type listSeries struct {
	Conditional
	OfIssuer
	Series string `query:"series" maxLength:"32" doc:"one series alone"`
	Limit  int    `query:"limit" default:"100" minimum:"1" maximum:"1000" doc:"the most counters, those of the newest periods first"`
}

// SeriesList are the counters of series.
type SeriesList struct {
	Series []report.Series `json:"series"`
}

func (a *API) listSeries(ctx context.Context, in *listSeries) (*told[SeriesList], error) {
	issuers, err := scope(access.In(ctx), in.Issuer)
	if err != nil {
		return nil, err
	}
	var all []report.Series
	if err := a.work(ctx, func(ctx context.Context) (err error) {
		all, err = a.o.Reports.SeriesStates(ctx, issuers, in.Series, in.Limit)
		return err
	}); err != nil {
		return nil, err
	}
	return tell(in.Conditional, SeriesList{all})
}
