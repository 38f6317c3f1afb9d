package pages

import (
	"net/http"
	"time"

	"invoicer/internal/report"
	"invoicer/invoice"
)

// shownFailed is what the page of the failed jobs shows.
type shownFailed struct {
	filter
	Outcomes []invoice.Outcome
	Issuers  []string // none if no issuer was opened
	Causes   shownCauses
	Jobs     []report.FailedJob
	Next     string   // the address of older jobs; "" if there are none
	Hidden   []hidden // the filter, for the form that acts on all that match
}

type hidden struct{ Name, Value string }

type shownCauses struct {
	Jobs   count
	Causes []shownCause
}

// A shownCause is a cause with the address of its jobs.
type shownCause struct {
	report.Cause
	Path string
}

// showCauses returns the causes with links, which add the cause to the filter.
func showCauses(causes report.Causes, f *filter) shownCauses {
	shown := shownCauses{Jobs: count{causes.Jobs, causes.AtLeast}}
	for _, c := range causes.Causes {
		var narrowed filter
		if f != nil {
			narrowed = *f
		}
		narrowed.Cause, narrowed.Outcome = c.Reason, c.Outcome
		shown.Causes = append(shown.Causes, shownCause{c, narrowed.path()})
	}
	return shown
}

func (p *Pages) failed(r *http.Request) (view, error) {
	values, visitor := r.URL.Query(), p.o.Visitor(r)
	// The action below concerns the jobs that are shown: not those that fail while somebody looks at the page.
	now, err := p.o.DatabaseTime(r.Context())
	if err != nil {
		return view{}, err
	}
	f, selected, err := readFilter(visitor, values, now, p.o.InvoiceSeries)
	if err != nil {
		return view{}, err
	}
	after, err := readAfter(values)
	if err != nil {
		return view{}, err
	}
	issuers, err := p.issuerOptions(r.Context(), visitor)
	if err != nil {
		return view{}, err
	}
	causes, err := p.o.Reports.Causes(r.Context(), selected, lookedAtFailed, causesOnFailed)
	if err != nil {
		return view{}, err
	}
	jobs, err := p.o.Reports.FailedJobs(r.Context(), selected, after, jobsOnPage+1)
	if err != nil {
		return view{}, err
	}
	shown := shownFailed{
		filter: f, Issuers: issuers, Outcomes: []invoice.Outcome{invoice.Failed, invoice.Invalid, invoice.Conflict},
		Causes: showCauses(causes, &f), Jobs: jobs[:min(len(jobs), jobsOnPage)],
	}
	if len(jobs) > jobsOnPage {
		query := f.query()
		query.Set("after", afterText(jobs[jobsOnPage-1]))
		shown.Next = "/failed?" + query.Encode()
	}
	fixed := f
	if !selected.Since.IsZero() {
		fixed.Since = selected.Since.UTC().Format(time.RFC3339Nano)
	}
	fixed.Until = now.UTC().Format(time.RFC3339Nano)
	if !selected.Until.IsZero() {
		fixed.Until = selected.Until.UTC().Format(time.RFC3339Nano)
	}
	for _, field := range fixed.fields() {
		if *field.value != "" {
			shown.Hidden = append(shown.Hidden, hidden{field.name, *field.value})
		}
	}
	return view{template: "failed.html", title: "Failed jobs", data: shown}, nil
}
