package pages

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"invoicer/invoice/ledger"
	"invoicer/invoice/outbox"
)

// deliveriesOnPage is how many deliveries a page shows at most.
const deliveriesOnPage = 50

// Events are what endpoints were told, and are to be told.
type Events interface {
	// Endpoints returns all endpoints that weren't removed, with counts of what they are told if these are wanted.
	Endpoints(ctx context.Context, counts bool) ([]outbox.Endpoint, error)
	// LastAnswers returns what endpoints answered last, by their ids.
	LastAnswers(ctx context.Context) (map[int64]outbox.Answer, error)
	// Told returns what endpoints were told, the newest first.
	Told(ctx context.Context, f outbox.ToldFilter) ([]outbox.Told, error)
	// Replay has endpoints be told again what the filter selects, and returns how much that is.
	Replay(ctx context.Context, f outbox.ToldFilter, dryRun bool, by ledger.Actor) (int, error)
	// Change and Test return [outbox.ErrNoEndpoint] if there is none of this name. Test returns the event's id.
	Change(ctx context.Context, name, change, secret string, by ledger.Actor) error
	Test(ctx context.Context, name string, by ledger.Actor) (string, error)
}

// A shownEndpoint is an endpoint, with what of it the visitor may see.
type shownEndpoint struct {
	outbox.Endpoint

	// Whole says that it is told nothing but what the visitor may see. Of others, neither its address nor what it was told is shown.
	Whole   bool
	Last    *outbox.Answer // nil if none is known
	Waits   string         // for how long the oldest of what it is to be told waits; "" if there is none
	Waiting string         // the address of what it is still to be told
	GivenUp string         // the address of what was given up
}

// endpoints returns the endpoints that are told of something that the visitor may see.
func (p *Pages) endpoints(ctx context.Context, visitor Visitor, counts bool) ([]shownEndpoint, error) {
	list, err := p.o.Events.Endpoints(ctx, counts)
	if err != nil {
		return nil, err
	}
	var shown []shownEndpoint
	for i := range list {
		e := shownEndpoint{Endpoint: list[i], Whole: !visitor.Issuers.Limited()}
		if visitor.Issuers.Limited() {
			unseen := func(issuer string) bool { return !visitor.Issuers.Has(issuer) }
			if e.Whole = e.Issuers != nil && !slices.ContainsFunc(e.Issuers, unseen); !e.Whole && e.Issuers != nil && !slices.ContainsFunc(e.Issuers, visitor.Issuers.Has) {
				continue
			}
		}
		shown = append(shown, e)
	}
	return shown, nil
}

// shownEvents is what the page of the endpoints shows.
type shownEvents struct {
	Endpoints []shownEndpoint
	Whole     []string // the names of those that the visitor may change
}

func (p *Pages) events(r *http.Request) (view, error) {
	now, err := p.o.DatabaseTime(r.Context())
	if err != nil {
		return view{}, err
	}
	list, err := p.endpoints(r.Context(), p.o.Visitor(r), true)
	if err != nil {
		return view{}, err
	}
	answers, err := p.o.Events.LastAnswers(r.Context())
	if err != nil {
		return view{}, err
	}
	shown := shownEvents{Endpoints: list}
	for i := range list {
		e := &list[i]
		e.Waiting = toldFilter{Endpoint: e.Name, State: outbox.Pending}.path()
		e.GivenUp = toldFilter{Endpoint: e.Name, State: outbox.Dead}.path()
		if !e.Whole {
			continue
		}
		shown.Whole = append(shown.Whole, e.Name)
		if a, ok := answers[e.ID]; ok {
			e.Last = &a
		}
		if !e.Oldest.IsZero() {
			e.Waits = short(now.Sub(e.Oldest))
		}
	}
	return view{template: "events.html", title: "Events", live: true, data: shown}, nil
}

// A toldFilter is the filter of the deliveries as the visitor wrote it.
type toldFilter struct{ Endpoint, State, Type, Transaction, Issuer, Since string }

func (f toldFilter) query() url.Values {
	values := url.Values{}
	for name, value := range map[string]string{
		"endpoint": f.Endpoint, "state": f.State, "type": f.Type, "transaction": f.Transaction, "issuer": f.Issuer, "since": f.Since,
	} {
		if value != "" {
			values.Set(name, value)
		}
	}
	return values
}

func (f toldFilter) path() string {
	if query := f.query().Encode(); query != "" {
		return "/events/told?" + query
	}
	return "/events/told"
}

func readToldFilter(visitor Visitor, values url.Values, now time.Time) (toldFilter, outbox.ToldFilter, error) {
	get := func(name string) string { return strings.TrimSpace(values.Get(name)) }
	f := toldFilter{get("endpoint"), get("state"), get("type"), get("transaction"), get("issuer"), get("since")}
	selected := outbox.ToldFilter{Endpoint: f.Endpoint, State: f.State, Type: f.Type, TransactionID: f.Transaction, Issuers: visitor.Issuers, Limit: deliveriesOnPage + 1}
	for name, value := range map[string]string{"endpoint": f.Endpoint, "transaction": f.Transaction} {
		if !usable(value, longestField) {
			return f, selected, problemf("%s must be a text of at most %d bytes", name, longestField)
		}
	}
	if f.State != "" && !slices.Contains(toldStates(), f.State) {
		return f, selected, problemf("state %.40q: must be %s", f.State, strings.Join(toldStates(), ", "))
	}
	if f.Type != "" && !slices.Contains(toldTypes(), f.Type) {
		return f, selected, problemf("type %.40q: must be one of %s", f.Type, strings.Join(toldTypes(), ", "))
	}
	issuer, err := ofIssuer(visitor, f.Issuer)
	if err != nil {
		return f, selected, err
	}
	if issuer != nil {
		selected.Issuers = []string{*issuer}
	}
	if selected.Since, err = moment("since", f.Since, now); err != nil {
		return f, selected, err
	}
	if after := values.Get("after"); after != "" {
		row, endpoint, ok := strings.Cut(after, "-")
		var wrong, wrongToo error
		selected.After.Row, wrong = strconv.ParseInt(row, 10, 64)
		selected.After.Endpoint, wrongToo = strconv.ParseInt(endpoint, 10, 64)
		if !ok || wrong != nil || wrongToo != nil || selected.After.Row <= 0 {
			return f, selected, problemf("after %.60q: follow the link to older ones", after)
		}
	}
	return f, selected, nil
}

func toldStates() []string { return []string{outbox.Pending, outbox.Delivered, outbox.Dead} }

func toldTypes() []string { return append(outbox.Types(), outbox.EndpointTest) }

// shownTold is what the page of the deliveries shows.
type shownTold struct {
	toldFilter
	Endpoints, States, Types []string
	Issuers                  []string // none if no issuer was opened
	Rows                     []outbox.Told
	Next                     string // the address of older ones; "" if there are none
}

func (p *Pages) told(r *http.Request) (view, error) {
	visitor := p.o.Visitor(r)
	now, err := p.o.DatabaseTime(r.Context())
	if err != nil {
		return view{}, err
	}
	f, selected, err := readToldFilter(visitor, r.URL.Query(), now)
	if err != nil {
		return view{}, err
	}
	shown := shownTold{toldFilter: f, States: toldStates(), Types: toldTypes()}
	if shown.Issuers, err = p.issuerOptions(r.Context(), visitor); err != nil {
		return view{}, err
	}
	endpoints, err := p.endpoints(r.Context(), visitor, false)
	if err != nil {
		return view{}, err
	}
	for i := range endpoints {
		shown.Endpoints = append(shown.Endpoints, endpoints[i].Name)
	}
	if f.Endpoint != "" && !slices.Contains(shown.Endpoints, f.Endpoint) { // one that was removed
		shown.Endpoints = append(shown.Endpoints, f.Endpoint)
	}
	if shown.Rows, err = p.o.Events.Told(r.Context(), selected); err != nil {
		return view{}, err
	}
	if len(shown.Rows) > deliveriesOnPage {
		shown.Rows = shown.Rows[:deliveriesOnPage]
		last, query := shown.Rows[deliveriesOnPage-1].Place, f.query()
		query.Set("after", fmt.Sprintf("%d-%d", last.Row, last.Endpoint))
		shown.Next = "/events/told?" + query.Encode()
	}
	return view{template: "told.html", title: "What endpoints are told", data: shown}, nil
}

// shownEvent is what the page of an event shows.
type shownEvent struct {
	outbox.Event

	Row  int64
	Body string // its data, in lines
	Told []outbox.Told
}

// findEvent returns an event by the row in the path, with what endpoints were told of it. One that the visitor may not see isn't found.
func (p *Pages) findEvent(r *http.Request) (*shownEvent, error) {
	nothing := problem{http.StatusNotFound, "There is no such event, or no endpoint was to be told of it. Events are deleted some time after they were delivered."}
	row, err := strconv.ParseInt(r.PathValue("event"), 10, 64)
	if err != nil || row <= 0 {
		return nil, nothing
	}
	told, err := p.o.Events.Told(r.Context(), outbox.ToldFilter{Row: row, Issuers: p.o.Visitor(r).Issuers, Limit: deliveriesOnPage})
	if err != nil {
		return nil, err
	}
	if len(told) == 0 {
		return nil, nothing
	}
	slices.SortFunc(told, func(a, b outbox.Told) int { return cmp.Compare(a.Endpoint, b.Endpoint) })
	return &shownEvent{Event: told[0].Event, Row: row, Told: told, Body: indented(told[0].Data)}, nil
}

func (p *Pages) event(r *http.Request) (view, error) {
	shown, err := p.findEvent(r)
	if err != nil {
		return view{}, err
	}
	waits := slices.ContainsFunc(shown.Told, func(t outbox.Told) bool { return t.State == outbox.Pending })
	return view{template: "event.html", title: shown.Type, live: waits, data: shown}, nil
}
