package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"invoicer/invoice/ledger"
	"invoicer/invoice/outbox"
	"invoicer/web/access"
)

// Deliveries are what endpoints were told, or are to be told.
type Deliveries interface {
	Told(ctx context.Context, f outbox.ToldFilter) ([]outbox.Told, error)
	// Replay has endpoints be told again, and returns how much that is. A dry run only counts.
	Replay(ctx context.Context, f outbox.ToldFilter, dryRun bool, by ledger.Actor) (int, error)
}

// A Delivery is an event together with what an endpoint was told of it.
type Delivery struct {
	EventID       string          `json:"event_id"`
	Type          string          `json:"type"`
	Issuer        string          `json:"issuer"`
	TransactionID string          `json:"transaction_id" doc:"empty if it is none's"`
	JobID         string          `json:"job_id" doc:"empty if it is none's"`
	Data          json.RawMessage `json:"data"`
	CreatedAt     time.Time       `json:"created_at"`
	State         string          `json:"state" enum:"pending,delivered,dead"`
	Attempts      int             `json:"attempts"`
	Status        *int            `json:"status" doc:"of the last answer; null if there was none"`
	Error         string          `json:"error" doc:"what went wrong at the last attempt"`
	DueAt         *time.Time      `json:"due_at" doc:"when it is posted next, if it is pending"`
	EndedAt       *time.Time      `json:"ended_at"`
}

// DeliveryPage is a part of what an endpoint was told, the newest events first.
type DeliveryPage struct {
	Deliveries []Delivery `json:"deliveries" nullable:"false"`
	Next       string     `json:"next" doc:"to go on behind the last, for ?after=; empty at the end"`
}

type listDeliveries struct {
	Conditional
	Named
	State         string    `query:"state" enum:"pending,delivered,dead"`
	Type          string    `query:"type" maxLength:"64" doc:"events of this type"`
	TransactionID string    `query:"transaction_id" maxLength:"128"`
	EventID       string    `query:"event_id" format:"uuid"`
	Since         time.Time `query:"since" doc:"leaves out what happened earlier"`
	After         string    `query:"after" maxLength:"20" doc:"the next of the page before, to go on behind it"`
	Limit         int       `query:"limit" default:"50" minimum:"1" maximum:"1000" doc:"the most deliveries of a page"`
}

func (a *API) listDeliveries(ctx context.Context, in *listDeliveries) (*told[DeliveryPage], error) {
	before, err := rowCursor(in.After)
	if err != nil {
		return nil, err
	}
	var list []outbox.Told
	if err := a.work(ctx, func(ctx context.Context) (err error) {
		if _, err := a.endpoint(ctx, in.Name); err != nil {
			return err
		}
		list, err = a.o.Deliveries.Told(ctx, outbox.ToldFilter{
			Endpoint: in.Name, State: in.State, Type: in.Type, TransactionID: in.TransactionID, EventID: in.EventID, Since: in.Since, After: outbox.Place{Row: before}, Limit: in.Limit,
		})
		return err
	}); err != nil {
		return nil, err
	}
	page := DeliveryPage{Deliveries: []Delivery{}}
	for i := range list {
		t := &list[i]
		one := Delivery{t.ID, t.Type, t.Issuer, t.TransactionID, t.JobID, t.Data, t.CreatedAt, t.State, t.Attempts, nil, t.Error, t.DueAt, t.EndedAt}
		if t.Status != 0 {
			one.Status = &t.Status
		}
		page.Deliveries = append(page.Deliveries, one)
	}
	if len(list) == in.Limit {
		page.Next = strconv.FormatInt(list[len(list)-1].Place.Row, 10)
	}
	return tell(in.Conditional, page)
}

// DeliveryFilter selects what an endpoint is to be told again. It satisfies every field that is there.
type DeliveryFilter struct {
	Act

	State         string     `json:"state,omitempty" enum:"pending,delivered,dead" doc:"default: dead. What is pending is posted at once"`
	Type          string     `json:"type,omitempty" maxLength:"64"`
	TransactionID string     `json:"transaction_id,omitempty" maxLength:"128"`
	EventID       string     `json:"event_id,omitempty" format:"uuid"`
	Since         *time.Time `json:"since,omitempty" doc:"it happened then or later"`
	DryRun        bool       `json:"dry_run,omitempty" doc:"only count"`
}

type replayDeliveries struct {
	Named
	Body *DeliveryFilter
}

// DeliveriesReplayed says how much an endpoint is told again.
type DeliveriesReplayed struct {
	Deliveries int `json:"deliveries"`
}

type deliveriesReplayed struct{ Body DeliveriesReplayed }

func (a *API) replayDeliveries(ctx context.Context, in *replayDeliveries) (*deliveriesReplayed, error) {
	body := in.Body
	if body == nil {
		body = &DeliveryFilter{}
	}
	by, err := actor(access.In(ctx), &body.Act, false)
	if err != nil {
		return nil, err
	}
	f := outbox.ToldFilter{Endpoint: in.Name, State: body.State, Type: body.Type, TransactionID: body.TransactionID, EventID: body.EventID}
	if f.State == "" {
		f.State = outbox.Dead
	}
	if body.Since != nil {
		f.Since = *body.Since
	}
	answer := &deliveriesReplayed{}
	err = a.work(ctx, func(ctx context.Context) error {
		if _, err := a.endpoint(ctx, in.Name); err != nil {
			return err
		}
		var err error
		answer.Body.Deliveries, err = a.o.Deliveries.Replay(ctx, f, body.DryRun, by)
		return err
	})
	if err != nil {
		return nil, err
	}
	return answer, nil
}

func pathEscape(name string) string { return url.PathEscape(name) }

// endpointOperations registers what concerns the endpoints of events.
func (a *API) endpointOperations() {
	const tag, path, few = "endpoints of events", "/v1/endpoints/{endpoint}", 16 << 10
	bad, notFound, conflict, invalid := http.StatusBadRequest, http.StatusNotFound, http.StatusConflict, http.StatusUnprocessableEntity
	tooLong, notJSON, same := http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusNotModified
	read := func(id, path, summary, text string, errors ...int) operation {
		return operation{id: id, method: http.MethodGet, path: path, tag: tag, role: access.Operate, status: http.StatusOK, errors: append(errors, same), summary: summary, text: text}
	}
	act := func(id, path string, status int, summary, text string, errors ...int) operation {
		return operation{
			id: id, method: http.MethodPost, path: path, tag: tag, role: access.Operate, status: status, errors: append(errors, bad, tooLong, notJSON, invalid), most: few, json: true,
			summary: summary, text: text,
		}
	}
	huma.Register(a.huma, a.describe(read("listEndpoints", "/v1/endpoints", "To whom events are posted", "With what waits for each. A token that is limited to issuers sees those alone that are told of no others.")), a.listEndpoints)
	huma.Register(a.huma, a.describe(act("postEndpoint", "/v1/endpoints", http.StatusCreated, "Add an endpoint", "It is told of what happens from now on, and counts in each worker within 5 seconds. "+
		"The answer has the secret, which is never shown again. A URL that leads to a network that isn't public is refused, unless events.allow has it.", conflict)), a.postEndpoint)
	huma.Register(a.huma, a.describe(read("getEndpoint", path, "An endpoint", "", notFound, invalid)), a.getEndpoint)
	patch := act("patchEndpoint", path, http.StatusOK, "Change an endpoint", "What isn't stated stays as it is. One that a configuration declares is changed there.", notFound, conflict)
	patch.method = http.MethodPatch
	huma.Register(a.huma, a.describe(patch), a.patchEndpoint)
	huma.Register(a.huma, a.describe(operation{
		id: "deleteEndpoint", method: http.MethodDelete, path: path, tag: tag, role: access.Operate, status: http.StatusNoContent, errors: []int{notFound, conflict, invalid},
		summary: "Tell an endpoint nothing any more", text: "What it was still to be told is given up. One that a configuration declares is removed there.",
	}), a.deleteEndpoint)
	huma.Register(a.huma, a.describe(act("rotateSecret", path+"/rotate", http.StatusOK, "Give an endpoint a new secret", "The answer has it, and it is never shown again. "+
		"Events are signed with the one before, too, until it is rotated again.", notFound, conflict)), a.rotateSecret)
	huma.Register(a.huma, a.describe(act("enableEndpoint", path+"/enable", http.StatusOK, "Post to a disabled endpoint again", "First what has waited.", notFound)), a.enableEndpoint)
	huma.Register(a.huma, a.describe(act("disableEndpoint", path+"/disable", http.StatusOK, "Post nothing to an endpoint for now", "What it is to be told waits.", notFound)), a.disableEndpoint)
	huma.Register(a.huma, a.describe(act("testEndpoint", path+"/test", http.StatusAccepted, "Have an endpoint be told a test", "A worker posts an event of type endpoint.test, whichever types it wants.", notFound)), a.testEndpoint)
	huma.Register(a.huma, a.describe(read("listDeliveries", path+"/deliveries", "What an endpoint was told, or is to be told", "The newest events first.", notFound, invalid)), a.listDeliveries)
	huma.Register(a.huma, a.describe(act("replayDeliveries", path+"/deliveries/replay", http.StatusOK, "Tell an endpoint again", "What was given up, unless the body says otherwise. "+
		"Events have the ids that they had.", notFound)), a.replayDeliveries)
}
