package pages

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"

	"invoicer/invoice/ledger"
	"invoicer/invoice/outbox"
)

// An eventsForm is what somebody wants done to an endpoint, or to what it is told.
type eventsForm struct {
	do       string
	endpoint string
	by       ledger.Actor
	visitor  Visitor
}

// actOnEvents does to an endpoint what a form asks for, and leads to where that shows.
func (p *Pages) actOnEvents(w http.ResponseWriter, r *http.Request) {
	path := ""
	f, err := p.readEventsForm(r)
	if err == nil {
		path, err = p.change(r.Context(), f)
	}
	p.acted(w, r, path, err)
}

// replayEvent has an endpoint be told of one event again, and leads back to the event.
func (p *Pages) replayEvent(w http.ResponseWriter, r *http.Request) {
	path := ""
	f, err := p.readEventsForm(r)
	if err == nil {
		var shown *shownEvent
		if shown, err = p.findEvent(r); err == nil {
			path = eventPath(shown.Row)
			err = p.replayEvents(r.Context(), outbox.ToldFilter{Row: shown.Row, Endpoint: f.endpoint, Issuers: f.visitor.Issuers}, f.by)
		}
	}
	p.acted(w, r, path, err)
}

func (p *Pages) replayEvents(ctx context.Context, f outbox.ToldFilter, by ledger.Actor) error {
	n, err := p.o.Events.Replay(ctx, f, false, by)
	if err == nil && n == 0 {
		err = problem{http.StatusConflict, "Nothing is posted again: the endpoint was to be told of no such event, nothing was given up, or it was removed."}
	}
	return err
}

func (p *Pages) acted(w http.ResponseWriter, r *http.Request, path string, err error) {
	if errors.Is(err, outbox.ErrNoEndpoint) {
		err = problem{http.StatusNotFound, "There is no such endpoint."}
	}
	if err != nil {
		p.answer(w, r, p.failure(r, err))
		return
	}
	http.Redirect(w, r, path, http.StatusSeeOther)
}

func (p *Pages) readEventsForm(r *http.Request) (f eventsForm, err error) {
	f.visitor = p.o.Visitor(r)
	if !f.visitor.MayAct {
		return f, problem{http.StatusForbidden, "You may look at events, but not have them posted again or change endpoints: that needs the role operate."}
	}
	if err := r.ParseForm(); err != nil {
		return f, problemf("the form couldn't be read: %v", err)
	}
	if f.by, err = actor(r, f.visitor); err != nil {
		return f, err
	}
	f.do, f.endpoint = r.PostForm.Get("do"), r.PostForm.Get("endpoint")
	if f.endpoint == "" || !usable(f.endpoint, longestField) {
		return f, problemf("endpoint must be the name of an endpoint")
	}
	return f, nil
}

// change does it, and returns the address of the page that shows what comes of it.
func (p *Pages) change(ctx context.Context, f eventsForm) (string, error) {
	if f.do == string(replay) { // of what the visitor may see
		err := p.replayEvents(ctx, outbox.ToldFilter{Endpoint: f.endpoint, State: outbox.Dead, Issuers: f.visitor.Issuers}, f.by)
		return toldFilter{Endpoint: f.endpoint, State: outbox.Pending}.path(), err
	}
	list, err := p.endpoints(ctx, f.visitor, false)
	if err != nil {
		return "", err
	}
	if !slices.ContainsFunc(list, func(e shownEndpoint) bool { return e.Whole && e.Name == f.endpoint }) {
		return "", outbox.ErrNoEndpoint
	}
	switch f.do {
	case outbox.EnableEndpoint:
		return "/events", p.o.Events.Change(ctx, f.endpoint, outbox.EnableEndpoint, "", f.by)
	case "test":
		return p.test(ctx, f)
	}
	return "", problemf("do %.40q: must be enable, test or replay", f.do)
}

// test returns the address of the event that tests an endpoint.
func (p *Pages) test(ctx context.Context, f eventsForm) (string, error) {
	id, err := p.o.Events.Test(ctx, f.endpoint, f.by)
	if err != nil {
		return "", err
	}
	tests := outbox.ToldFilter{Endpoint: f.endpoint, Type: outbox.EndpointTest, Issuers: f.visitor.Issuers, Limit: deliveriesOnPage}
	told, err := p.o.Events.Told(ctx, tests)
	for i := range told {
		if told[i].ID == id {
			return eventPath(told[i].Place.Row), err
		}
	}
	return "/events", err // a test is of no issuer: the visitor sees the endpoint's answer alone
}

func eventPath(row int64) string { return "/events/" + strconv.FormatInt(row, 10) }
