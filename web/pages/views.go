package pages

import (
	"context"
	"errors"
	"net/http"

	"invoicer/internal/report"
	"invoicer/invoice/ledger"
)

// How much the pages show at most.
const (
	causesOnNow    = 5
	causesOnFailed = 50
	jobsOnPage     = 50
	seriesOnPage   = 200
	actionsOnPage  = 200
)

func (p *Pages) now(r *http.Request) (view, error) {
	now, err := p.o.Reports.Now(r.Context())
	if err != nil {
		return view{}, err
	}
	causes, err := p.o.Reports.FailedCauses(r.Context(), ledger.FailedFilter{}, causesOnNow)
	if err != nil {
		return view{}, err
	}
	shown := struct {
		Now    report.Now
		Causes shownCauses
	}{now, showCauses(causes, nil)}
	return view{template: "now.html", title: "Now", live: true, data: shown}, nil
}

func (p *Pages) series(r *http.Request) (view, error) {
	states, err := p.o.Reports.SeriesStates(r.Context(), seriesOnPage)
	return view{template: "series.html", title: "Series", live: true, data: states}, err
}

func (p *Pages) actions(r *http.Request) (view, error) {
	past, err := p.o.Reports.History(r.Context(), "", actionsOnPage)
	return view{template: "actions.html", title: "What people did", data: past}, err
}

// failure returns the view of an error. The visitor sees an error of theirs; one of the servers' is logged, because its text may hold
// what isn't for everybody.
func (p *Pages) failure(r *http.Request, err error) view {
	var theirs problem
	switch {
	case errors.As(err, &theirs):
		return view{template: "failure.html", title: http.StatusText(theirs.status), status: theirs.status, data: theirs.message}
	case errors.Is(err, context.Canceled):
		return view{template: "failure.html", title: "Ended", status: http.StatusServiceUnavailable, data: "The request has ended."}
	}
	p.o.Logger.Warn("a page couldn't be read", "path", r.URL.Path, "error", err)
	return view{
		template: "failure.html", title: "Not available", status: http.StatusServiceUnavailable,
		data: "This couldn't be read from the database within a few seconds; the log of this process says why. Reload the page to try again.",
	}
}
