package pages

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"invoicer/internal/report"
	"invoicer/invoice/handover"
)

// handoversOnPage is how many hand-overs a page shows at most.
const handoversOnPage = 50

// Handovers are how invoices are handed over to other systems.
type Handovers interface {
	// Page returns the hand-overs that match the filter, those of the newest invoices first, beginning after the cursor, "" for the first page. The
	// error is [report.ErrCursor] for a text that is no cursor.
	Page(ctx context.Context, f handover.Filter, after string) (report.Page[handover.Handover], error)
	// Channels returns the names of all channels that there are, or ever were, for invoices of the given issuers or, for nil, of any.
	Channels(ctx context.Context, issuers []string) ([]string, error)
}

// A handoverFilter is the filter of the hand-overs as the visitor wrote it.
type handoverFilter struct{ Channel, State, Issuer, Since string }

func readHandoverFilter(visitor Visitor, values url.Values, now time.Time) (handoverFilter, handover.Filter, error) {
	get := func(name string) string { return strings.TrimSpace(values.Get(name)) }
	f := handoverFilter{get("channel"), get("state"), get("issuer"), get("since")}
	selected := handover.Filter{Channel: f.Channel, State: handover.State(f.State), Issuers: visitor.Issuers, Limit: handoversOnPage}
	if !usable(f.Channel, longestField) || !utf8.ValidString(values.Get("after")) {
		return f, selected, problemf("channel must be a text of at most %d bytes", longestField)
	}
	if f.State != "" && !slices.Contains(handover.States(), selected.State) {
		return f, selected, problemf("state %.40q: there is no such state of hand-overs", f.State)
	}
	issuer, err := ofIssuer(visitor, f.Issuer)
	if err != nil {
		return f, selected, err
	}
	if issuer != nil {
		selected.Issuers = []string{*issuer}
	}
	selected.Since, err = moment("since", f.Since, now)
	return f, selected, err
}

func (f handoverFilter) query() url.Values {
	values := url.Values{}
	for name, value := range map[string]string{"channel": f.Channel, "state": f.State, "issuer": f.Issuer, "since": f.Since} {
		if value != "" {
			values.Set(name, value)
		}
	}
	return values
}

// shownHandovers is what the page of the hand-overs shows.
type shownHandovers struct {
	handoverFilter
	Channels []string
	States   []handover.State
	Issuers  []string // none if no issuer was opened
	Rows     []handover.Handover
	Next     string // the address of older ones; "" if there are none
}

func (p *Pages) handovers(r *http.Request) (view, error) {
	visitor := p.o.Visitor(r)
	now, err := p.o.DatabaseTime(r.Context())
	if err != nil {
		return view{}, err
	}
	f, selected, err := readHandoverFilter(visitor, r.URL.Query(), now)
	if err != nil {
		return view{}, err
	}
	page, err := p.o.Handovers.Page(r.Context(), selected, r.URL.Query().Get("after"))
	if errors.Is(err, report.ErrCursor) {
		return view{}, problemf("after %.60q: follow the link to older ones", r.URL.Query().Get("after"))
	}
	if err != nil {
		return view{}, err
	}
	shown := shownHandovers{handoverFilter: f, States: handover.States(), Rows: page.Rows}
	if shown.Channels, err = p.o.Handovers.Channels(r.Context(), visitor.Issuers); err != nil {
		return view{}, err
	}
	if f.Channel != "" && !slices.Contains(shown.Channels, f.Channel) {
		shown.Channels = append(shown.Channels, f.Channel)
	}
	if shown.Issuers, err = p.issuerOptions(r.Context(), visitor); err != nil {
		return view{}, err
	}
	if page.Next != "" {
		query := f.query()
		query.Set("after", page.Next)
		shown.Next = "/handovers?" + query.Encode()
	}
	return view{template: "handovers.html", title: "Hand-overs", data: shown}, nil
}
