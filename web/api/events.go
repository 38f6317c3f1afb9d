package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"invoicer/invoice/outbox"
	"invoicer/web/access"
)

// Events are what has happened.
type Events interface {
	// Events returns the events of some issuers, nil for all, after a cursor, and the cursor after all that it has looked at. It passes none that is committed later.
	Events(ctx context.Context, issuers []string, after outbox.Cursor, types []string, most int) ([]outbox.ReadEvent, outbox.Cursor, error)
	LastEvent(ctx context.Context) (outbox.Cursor, error)
}

// An EventRow is an event as a page has it.
type EventRow struct {
	ID            string          `json:"event_id" doc:"by which repeats are told"`
	Type          string          `json:"type"`
	Issuer        string          `json:"issuer"`
	TransactionID string          `json:"transaction_id" doc:"empty if it is none's"`
	JobID         string          `json:"job_id" doc:"empty if it is none's"`
	Data          json.RawMessage `json:"data" doc:"references and totals, as webhooks have them"`
	CreatedAt     time.Time       `json:"created_at"`
	Cursor        string          `json:"cursor" doc:"the place after it, for ?after="`
}

// EventPage is a part of the events, the oldest first.
type EventPage struct {
	Events []EventRow `json:"events"`
	Next   string     `json:"next" doc:"the cursor after all that was looked at, for ?after=; the same as was given at the end. A page may be empty, and yet have another next"`
}

type listEvents struct {
	Conditional
	OfIssuer
	After string   `query:"after" maxLength:"60" default:"0" doc:"the cursor of an event: those after it. 0 is before the first"`
	Type  []string `query:"type,explode" maxItems:"10" nullable:"false" doc:"events of this type; may be repeated"`
	Limit int      `query:"limit" default:"100" minimum:"1" maximum:"1000" doc:"the most events"`
}

func (in *listEvents) cursor() (c outbox.Cursor, types []string, err error) {
	var faults []Fault
	if err := c.UnmarshalText([]byte(in.After)); err != nil {
		faults = append(faults, Fault{Detail: err.Error(), Parameter: "after"})
	}
	for _, one := range in.Type {
		if !slices.Contains(append(outbox.Types(), outbox.EndpointTest), one) {
			faults = append(faults, Fault{Detail: fmt.Sprintf("%q is none of %s", one, strings.Join(outbox.Types(), ", ")), Parameter: "type"})
		}
	}
	if len(faults) > 0 {
		return c, nil, problemOf(http.StatusUnprocessableEntity, "the request isn't valid: correct it and send it again", faults...)
	}
	if len(in.Type) > 0 {
		types = in.Type
	}
	return c, types, nil
}

func (a *API) listEvents(ctx context.Context, in *listEvents) (*told[EventPage], error) {
	issuers, err := scope(access.In(ctx), in.Issuer)
	if err != nil {
		return nil, err
	}
	after, types, err := in.cursor()
	if err != nil {
		return nil, err
	}
	page, _, err := a.events(ctx, issuers, after, types, in.Limit)
	if err != nil {
		return nil, err
	}
	return tell(in.Conditional, page)
}

func (a *API) events(ctx context.Context, issuers []string, after outbox.Cursor, types []string, most int) (page EventPage, next outbox.Cursor, err error) {
	var list []outbox.ReadEvent
	err = a.work(ctx, func(ctx context.Context) (err error) {
		list, next, err = a.o.Events.Events(ctx, issuers, after, types, most)
		if errors.Is(err, outbox.ErrForeignCursor) {
			err = problemOf(http.StatusUnprocessableEntity, "the request isn't valid: correct it and send it again", Fault{Detail: err.Error(), Parameter: "after"})
		}
		return err
	})
	page = EventPage{Events: []EventRow{}, Next: next.String()}
	for i := range list {
		e := &list[i]
		page.Events = append(page.Events, EventRow{e.ID, e.Type, e.Issuer, e.TransactionID, e.JobID, e.Data, e.CreatedAt, e.Cursor.String()})
	}
	return page, next, err
}

const (
	mostStreams = 64
	// streamPause is how often a stream looks for events, and streamSilence after how long without one it says that it is still there.
	streamPause   = 300 * time.Millisecond
	streamSilence = 15 * time.Second
)

// eventStream registers the stream of server-sent events.
func (a *API) eventStream(o operation) {
	op := a.describe(o)
	text := func() *huma.Schema { return &huma.Schema{Type: huma.TypeString} }
	op.Parameters = []*huma.Param{
		{Name: "Last-Event-ID", In: "header", Description: "the id of the last event that came: those after it. Default: from now on", Schema: text()},
		{Name: "after", In: "query", Description: "the same, for whoever can't set the header", Schema: text()},
		{Name: "issuer", In: "query", Description: "an issuer, none for the one without a name", Schema: text()},
		{Name: "type", In: "query", Description: "events of this type; may be repeated", Schema: &huma.Schema{Type: huma.TypeArray, Items: text()}},
	}
	op.Responses["200"] = &huma.Response{Description: "Server-sent events: id is the cursor, event the type, and data an EventRow", Content: map[string]*huma.MediaType{"text/event-stream": {Schema: text()}}}
	a.huma.OpenAPI().AddOperation(&op)
	a.handle(&op, a.streamEvents)
}

func (a *API) streamEvents(ctx huma.Context) {
	r, w := humago.Unwrap(ctx)
	query := r.URL.Query()
	in := listEvents{After: r.Header.Get("Last-Event-ID"), Type: query["type"], OfIssuer: OfIssuer{query.Get("issuer")}}
	if in.After == "" {
		in.After = query.Get("after")
	}
	fromNow := in.After == ""
	if fromNow {
		in.After = "0"
	}
	issuers, err := scope(access.Of(r), in.Issuer)
	if err != nil {
		writeProblem(w, err)
		return
	}
	cursor, types, err := in.cursor()
	if err != nil {
		writeProblem(w, err)
		return
	}
	if a.streams.Add(1) > mostStreams {
		a.streams.Add(-1)
		writeProblem(w, unavailable("so many follow the events already: ask for /v1/events instead, or again later", 30))
		return
	}
	defer a.streams.Add(-1)
	if fromNow {
		if err := a.work(r.Context(), func(ctx context.Context) (err error) {
			cursor, err = a.o.Events.LastEvent(ctx)
			return err
		}); err != nil {
			writeProblem(w, err)
			return
		}
	}
	if _, _, err := a.events(r.Context(), issuers, cursor, types, 1); err != nil {
		writeProblem(w, err)
		return
	}
	a.follow(r.Context(), w, issuers, cursor, types)
}

// follow writes events until the client goes, or the server stops.
func (a *API) follow(ctx context.Context, w http.ResponseWriter, issuers []string, cursor outbox.Cursor, types []string) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{})
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no") // asks a proxy to send on each event at once
	said := time.Time{}
	for {
		page, next, err := a.events(ctx, issuers, cursor, types, pieceJobs)
		_ = control.SetWriteDeadline(time.Now().Add(answerTime))
		for i := range page.Events {
			e := &page.Events[i]
			data, err := json.Marshal(e)
			if err != nil {
				return
			}
			if _, err := fmt.Fprintf(w, "id: %s\nevent: %s\ndata: %s\n\n", e.Cursor, e.Type, data); err != nil {
				return
			}
		}
		if errors.As(err, new(*ProblemError)) && !errors.As(err, new(huma.HeadersError)) {
			return // the database was restored: the client is told so when it comes again
		}
		if err == nil {
			cursor = next
		}
		if now := time.Now(); len(page.Events) > 0 || now.Sub(said) > streamSilence {
			if _, err := fmt.Fprint(w, ":\n\n"); err != nil || control.Flush() != nil {
				return
			}
			said = now
		}
		if len(page.Events) == pieceJobs {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-a.ended:
			return
		case <-time.After(streamPause):
		}
	}
}
