package pages

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"invoicer/internal/report"
	"invoicer/invoice"
	"invoicer/invoice/ledger"
)

// How much the pages show at most.
const (
	lookedAtNow    = 2_000 // failed jobs, for their causes
	lookedAtFailed = 50_000
	causesOnNow    = 5
	causesOnFailed = 50
	jobsOnPage     = 50
	seriesOnPage   = 200
	issuersOnPage  = 200
	actionsOnPage  = 200
	recordsOnStory = 50 // jobs, and duplicate attempts
	longestID      = 1000
)

func (p *Pages) now(r *http.Request) (view, error) {
	now, err := p.o.Reports.Now(r.Context())
	if err != nil {
		return view{}, err
	}
	causes, err := p.o.Reports.Causes(r.Context(), ledger.FailedFilter{}, lookedAtNow, causesOnNow)
	if err != nil {
		return view{}, err
	}
	queues, err := p.o.Inquiry.Queues(r.Context())
	if err != nil {
		return view{}, err
	}
	workers, err := p.o.Inquiry.Workers(r.Context())
	if err != nil {
		return view{}, err
	}
	shown := shownNow{Now: now, LastHour: newChart(now.LastHour), Causes: showCauses(causes, nil), Workers: workers.Ours(), Differ: len(workers.Differs) > 0, Problems: queues.Problems}
	for i := range queues.Queues {
		q := &queues.Queues[i]
		if !q.Concerns() {
			continue
		}
		waiting := q.Waiting()
		shown.Waiting += waiting
		switch {
		case waiting == 0 || q.Owner != nil && !q.Ours:
		case q.Paused:
			shown.Stuck = append(shown.Stuck, stuckQueue{q.Queue, waiting, "is paused"})
		case q.Consumers == 0 && len(queues.Problems) == 0:
			shown.Stuck = append(shown.Stuck, stuckQueue{q.Queue, waiting, "has no worker"})
		}
	}
	return view{template: "now.html", title: "Now", live: true, data: shown}, nil
}

// shownNow is what the first page shows.
type shownNow struct {
	Now      report.Now
	LastHour *chart // nil if no job ended
	Waiting  int64  // jobs, in the ledger and in Redis
	Workers  int
	Differ   bool // the workers' configurations differ
	Stuck    []stuckQueue
	Causes   shownCauses
	Problems []string
}

// A stuckQueue is a queue whose jobs wait although nobody works on them.
type stuckQueue struct {
	Queue string
	Jobs  int64
	Why   string
}

func (p *Pages) series(r *http.Request) (view, error) {
	visible := p.o.Visitor(r).Issuers
	states, err := p.o.Reports.SeriesStates(r.Context(), visible, "", seriesOnPage)
	if err != nil {
		return view{}, err
	}
	issuers, err := p.o.Issuers.List(r.Context(), visible, issuersOnPage)
	return view{template: "series.html", title: "Series", live: true, data: shownSeries{issuers, states}}, err
}

// shownSeries are the series, and the issuers that were opened.
type shownSeries struct {
	Issuers []report.Issuer
	Series  []report.Series
}

func (p *Pages) actions(r *http.Request) (view, error) {
	deeds, err := p.o.Reports.Deeds(r.Context(), actionsOnPage)
	return view{template: "actions.html", title: "What people did", data: deeds}, err
}

// story shows all that is known of a transaction, a job, a task, a key or an invoice number.
func (p *Pages) story(r *http.Request) (view, error) {
	id := strings.TrimSpace(r.URL.Query().Get("q"))
	switch {
	case id == "":
		return view{}, problemf("Nothing to search for: give the id of a transaction or a job, an idempotency key or an invoice number.")
	case len(id) > longestID || !utf8.ValidString(id) || strings.ContainsRune(id, 0):
		return view{}, problemf("This is not the id of anything: ids are texts of at most %d bytes.", longestID)
	}
	issuers, err := issuersOf(p.o.Visitor(r), r.URL.Query())
	if err != nil {
		return view{}, err
	}
	story, err := p.o.Inquiry.Story(r.Context(), issuers, id, recordsOnStory)
	if several := (*report.AmbiguousError)(nil); errors.As(err, &several) {
		return view{template: "choice.html", title: text(id), data: newChoice(several)}, nil
	}
	if err != nil {
		return view{}, err
	}
	shown := view{template: "story.html", title: text(id), live: true, data: p.withDocuments(r.Context(), story)}
	if !story.Known() {
		shown.status = http.StatusNotFound
	}
	return shown, nil
}

// A choice is an id that several issuers have, with the addresses of their stories.
type choice struct {
	ID      string
	Stories []link
}

func newChoice(several *report.AmbiguousError) choice {
	c := choice{ID: several.ID}
	for _, issuer := range several.Issuers {
		one := link{Path: storyPath(issuer, several.ID), Text: "issuer " + issuer}
		if issuer == "" {
			one = link{Path: storyPath("", several.ID) + "&issuer=", Text: "the issuer without a name"}
		}
		c.Stories = append(c.Stories, one)
	}
	return c
}

// issuersOf returns the issuer that the parameters of a visitor's request name, and if they name none all that the visitor may see, nil
// for all. The empty one is that without a name.
func issuersOf(visitor Visitor, values url.Values) ([]string, error) {
	if !values.Has("issuer") {
		return visitor.Issuers, nil
	}
	issuer := strings.TrimSpace(values.Get("issuer"))
	if issuer != "" && !invoice.IsIssuer(issuer) {
		return nil, problemf("issuer %.40q: must be the code of an issuer, 1 to 32 characters of A-Z 0-9 -", issuer)
	}
	return []string{issuer}, mustSee(visitor, issuer)
}

// shownQueues are all queues, and the names of those that can be paused.
type shownQueues struct {
	At   time.Time
	Ours []string
	*report.Queues
}

func (p *Pages) queues(r *http.Request) (view, error) {
	now, err := p.o.DatabaseTime(r.Context())
	if err != nil {
		return view{}, err
	}
	queues, err := p.o.Inquiry.Queues(r.Context())
	if err != nil {
		return view{}, err
	}
	shown := shownQueues{At: now, Queues: queues}
	for i := range queues.Queues {
		if mayControl(&queues.Queues[i]) {
			shown.Ours = append(shown.Ours, queues.Queues[i].Queue)
		}
	}
	return view{template: "queues.html", title: "Queues", live: true, data: shown}, nil
}

func (p *Pages) workers(r *http.Request) (view, error) {
	workers, err := p.o.Inquiry.Workers(r.Context())
	return view{template: "workers.html", title: "Workers", live: true, data: workers}, err
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
