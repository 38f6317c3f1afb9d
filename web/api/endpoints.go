package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"invoicer/invoice/ledger"
	"invoicer/invoice/outbox"
	"invoicer/web/access"
)

// Endpoints are those to which events are posted. The errors of changes are [outbox.ErrNoEndpoint].
type Endpoints interface {
	Endpoints(ctx context.Context, counts bool) ([]outbox.Endpoint, error)
	// Add returns an [*outbox.EndpointExistsError] if another one has the name.
	Add(ctx context.Context, e outbox.Endpoint, by ledger.Actor) error
	Set(ctx context.Context, name string, c outbox.Changes, by ledger.Actor) error
	Change(ctx context.Context, name, change, secret string, by ledger.Actor) error
	// Test returns the id of the event.
	Test(ctx context.Context, name string, by ledger.Actor) (string, error)
}

// allIssuers stands for all issuers where an endpoint's are named. It can't be a code.
const allIssuers = "all"

// An Endpoint is where events are posted to, without its secrets.
type Endpoint struct {
	Name         string     `json:"name"`
	URL          string     `json:"url"`
	Types        []string   `json:"types" nullable:"false"`
	Issuers      []string   `json:"issuers" nullable:"false" doc:"of whose documents and jobs it is told, none for the one without a name; or all alone"`
	Origin       string     `json:"origin" enum:"configuration,operator" doc:"configuration: it is declared there, and can't be changed here; operator: it was added by the API or a command"`
	State        string     `json:"state" enum:"enabled,disabled" doc:"disabled: nothing is posted, and what is to be told waits"`
	Reason       string     `json:"reason" doc:"why it is disabled, and else empty"`
	FailingSince *time.Time `json:"failing_since" doc:"null if it took what it was posted last"`
	Pending      int        `json:"pending" doc:"how many events it is still to be told"`
	Oldest       *time.Time `json:"oldest_pending" doc:"since when the oldest of these waits"`
	Dead         int        `json:"dead" doc:"how many events were given up"`
	CreatedAt    time.Time  `json:"created_at"`
}

// EndpointList are the endpoints, by their names.
type EndpointList struct {
	Endpoints []Endpoint `json:"endpoints" nullable:"false"`
}

// A SecretEndpoint is an endpoint with its new secret, which is shown this once.
type SecretEndpoint struct {
	Endpoint

	Secret string `json:"secret" doc:"with which events are signed, as Standard Webhooks has it. It can't be shown again"`
}

func shownEndpoint(e *outbox.Endpoint) Endpoint {
	someTime := func(t time.Time) *time.Time {
		if t.IsZero() {
			return nil
		}
		t = t.UTC()
		return &t
	}
	issuers := []string{allIssuers}
	if e.Issuers != nil {
		issuers = access.Issuers(e.Issuers).Names()
	}
	return Endpoint{e.Name, e.URL, e.Types, issuers, e.Origin, e.State, e.Reason, someTime(e.FailingSince), e.Pending, someTime(e.Oldest), e.Dead, e.CreatedAt.UTC()}
}

// endpoint returns an endpoint of which the visitor may know: one that is told of other issuers, too, isn't found.
func (a *API) endpoint(ctx context.Context, name string) (*outbox.Endpoint, error) {
	all, err := a.o.Endpoints.Endpoints(ctx, true)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(e outbox.Endpoint) bool { return e.Name == name })
	if i < 0 || !access.In(ctx).Issuers.Cover(all[i].Issuers) {
		return nil, problemOf(http.StatusNotFound, "there is no such endpoint")
	}
	return &all[i], nil
}

// changeable is endpoint for one that isn't declared in a configuration.
func (a *API) changeable(ctx context.Context, name string) (*outbox.Endpoint, error) {
	e, err := a.endpoint(ctx, name)
	if err == nil && e.Origin == outbox.OfConfiguration {
		return nil, problemOf(http.StatusConflict, "the endpoint is declared in the configuration of workers, events.endpoints: change it there")
	}
	return e, err
}

type listEndpoints struct{ Conditional }

func (a *API) listEndpoints(ctx context.Context, in *listEndpoints) (*told[EndpointList], error) {
	var all []outbox.Endpoint
	if err := a.work(ctx, func(ctx context.Context) (err error) {
		all, err = a.o.Endpoints.Endpoints(ctx, true)
		return err
	}); err != nil {
		return nil, err
	}
	list, issuers := EndpointList{[]Endpoint{}}, access.In(ctx).Issuers
	for i := range all {
		if issuers.Cover(all[i].Issuers) {
			list.Endpoints = append(list.Endpoints, shownEndpoint(&all[i]))
		}
	}
	return tell(in.Conditional, list)
}

// Named is the path of an endpoint.
type Named struct {
	Name string `path:"endpoint" maxLength:"64" doc:"its name, percent-encoded"`
}

type getEndpoint struct {
	Conditional
	Named
}

func (a *API) getEndpoint(ctx context.Context, in *getEndpoint) (*told[Endpoint], error) {
	var e *outbox.Endpoint
	if err := a.work(ctx, func(ctx context.Context) (err error) {
		e, err = a.endpoint(ctx, in.Name)
		return err
	}); err != nil {
		return nil, err
	}
	return tell(in.Conditional, shownEndpoint(e))
}

// NewEndpoint is an endpoint that is to be added.
type NewEndpoint struct {
	Act

	Name    string   `json:"name" maxLength:"64" doc:"1 to 64 of A-Z a-z 0-9 . _ : / @ + = -"`
	URL     string   `json:"url" maxLength:"2000" doc:"where events are posted to, by https"`
	Types   []string `json:"types" nullable:"false" maxItems:"20" doc:"which events it is told of"`
	Issuers []string `json:"issuers,omitempty" nullable:"false" maxItems:"1000" doc:"of whose documents and jobs it is told, none for the one without a name; or all alone. Default: those to which the token is limited, and else all"`
}

type postEndpoint struct{ Body NewEndpoint }

type endpointMade struct {
	Location string `header:"Location" doc:"where the endpoint can be looked at"`
	Cache    string `header:"Cache-Control" doc:"no-store, since the secret is shown this once"`
	Body     SecretEndpoint
}

func (a *API) postEndpoint(ctx context.Context, in *postEndpoint) (*endpointMade, error) {
	visitor := access.In(ctx)
	e := outbox.Endpoint{Name: in.Body.Name, URL: in.Body.URL, Types: in.Body.Types, Issuers: visitor.Issuers}
	if in.Body.Issuers != nil {
		e.Issuers = issuersOf(in.Body.Issuers)
	}
	by, err := actor(visitor, &in.Body.Act, false)
	if err := a.checkEndpoint(ctx, visitor, &e, true, err); err != nil {
		return nil, err
	}
	secret := a.o.NewSecret()
	e.Secrets = []string{secret}
	var added *outbox.Endpoint
	if err := a.work(ctx, func(ctx context.Context) error {
		err := a.o.Endpoints.Add(ctx, e, by)
		if errors.As(err, new(*outbox.EndpointExistsError)) {
			return problemOf(http.StatusConflict, "there is another endpoint with this name", Fault{Detail: "is that of another endpoint", Field: "name", Pointer: "/name"})
		}
		if err == nil {
			added, err = a.endpoint(ctx, e.Name)
		}
		return err
	}); err != nil {
		return nil, err
	}
	return &endpointMade{Prefix + "endpoints/" + pathEscape(e.Name), "no-store", SecretEndpoint{shownEndpoint(added), secret}}, nil
}

// issuersOf returns the codes of issuers that are named, nil for all.
func issuersOf(names []string) []string {
	if len(names) == 1 && names[0] == allIssuers {
		return nil
	}
	codes := slices.Clone(names)
	for i := range codes {
		if codes[i] == access.NamelessIssuer {
			codes[i] = ""
		}
	}
	return codes
}

// checkEndpoint returns all that is wrong with an endpoint, beside what was found already.
func (a *API) checkEndpoint(ctx context.Context, visitor access.Visitor, e *outbox.Endpoint, newURL bool, before error) error {
	var list []Fault
	if p := (*ProblemError)(nil); errors.As(before, &p) {
		list = p.Errors
	} else if before != nil {
		return before
	}
	problems := e.Problems()
	for _, p := range problems {
		list = append(list, Fault{Detail: p.Message, Field: p.Field, Pointer: pointer(p.Field)})
	}
	if newURL && !slices.ContainsFunc(problems, func(p outbox.Problem) bool { return p.Field == "url" }) {
		if err := a.o.PermitURL(ctx, e.URL); err != nil {
			list = append(list, Fault{Detail: "is refused: " + err.Error(), Field: "url", Pointer: "/url"})
		}
	}
	if len(list) > 0 {
		return problemOf(http.StatusUnprocessableEntity, "the endpoint isn't valid: correct it and send it again", list...)
	}
	if !visitor.Issuers.Cover(e.Issuers) {
		return problemOf(http.StatusForbidden, "the token is limited to the issuers "+visitor.Issuers.String(),
			Fault{Detail: "must be some of " + visitor.Issuers.String(), Field: "issuers", Pointer: "/issuers"})
	}
	return nil
}

// EndpointChanges are what is changed of an endpoint.
type EndpointChanges struct {
	Act

	URL     *string  `json:"url,omitempty" maxLength:"2000" doc:"another one enables the endpoint"`
	Types   []string `json:"types,omitempty" nullable:"false" maxItems:"20"`
	Issuers []string `json:"issuers,omitempty" nullable:"false" maxItems:"1000" doc:"as when it was added"`
}

type patchEndpoint struct {
	Named
	Body EndpointChanges
}

type endpointChanged struct{ Body Endpoint }

func (a *API) patchEndpoint(ctx context.Context, in *patchEndpoint) (*endpointChanged, error) {
	visitor := access.In(ctx)
	by, actorErr := actor(visitor, &in.Body.Act, false)
	var e *outbox.Endpoint
	if err := a.work(ctx, func(ctx context.Context) (err error) {
		if e, err = a.changeable(ctx, in.Name); err != nil {
			return err
		}
		changes := outbox.Changes{URL: in.Body.URL, Types: in.Body.Types, Within: visitor.Issuers}
		if changes.URL != nil {
			e.URL = *changes.URL
		}
		if changes.Types != nil {
			e.Types = changes.Types
		}
		if in.Body.Issuers != nil {
			e.Issuers = issuersOf(in.Body.Issuers)
			changes.Issuers = &e.Issuers
		}
		if err := a.checkEndpoint(ctx, visitor, e, in.Body.URL != nil, actorErr); err != nil {
			return err
		}
		if err := noSuchEndpoint(a.o.Endpoints.Set(ctx, in.Name, changes, by)); err != nil {
			return err
		}
		e, err = a.endpoint(ctx, in.Name)
		return err
	}); err != nil {
		return nil, err
	}
	return &endpointChanged{shownEndpoint(e)}, nil
}

func noSuchEndpoint(err error) error {
	if errors.Is(err, outbox.ErrNoEndpoint) {
		return problemOf(http.StatusNotFound, "there is no such endpoint any more")
	}
	return err
}

type deleteEndpoint struct {
	Named
	By   string `query:"by" maxLength:"128" doc:"who does it, as in other bodies"`
	Note string `query:"note" maxLength:"1000" doc:"why"`
}

func (a *API) deleteEndpoint(ctx context.Context, in *deleteEndpoint) (*struct{}, error) {
	_, err := a.changeEndpoint(ctx, in.Name, outbox.RemoveEndpoint, "", &Act{By: in.By, Note: in.Note})
	return nil, err
}

type actOnEndpoint struct {
	Named
	Body *Act
}

func (a *API) enableEndpoint(ctx context.Context, in *actOnEndpoint) (*endpointChanged, error) {
	e, err := a.changeEndpoint(ctx, in.Name, outbox.EnableEndpoint, "", in.Body)
	return &endpointChanged{e}, err
}

func (a *API) disableEndpoint(ctx context.Context, in *actOnEndpoint) (*endpointChanged, error) {
	e, err := a.changeEndpoint(ctx, in.Name, outbox.DisableEndpoint, "", in.Body)
	return &endpointChanged{e}, err
}

type endpointRotated struct {
	Cache string `header:"Cache-Control" doc:"no-store, since the secret is shown this once"`
	Body  SecretEndpoint
}

func (a *API) rotateSecret(ctx context.Context, in *actOnEndpoint) (*endpointRotated, error) {
	secret := a.o.NewSecret()
	e, err := a.changeEndpoint(ctx, in.Name, outbox.RotateSecret, secret, in.Body)
	return &endpointRotated{"no-store", SecretEndpoint{e, secret}}, err
}

// changeEndpoint makes one of the outbox's changes, and returns the endpoint as it is then. What a configuration declares can be enabled and
// disabled alone.
func (a *API) changeEndpoint(ctx context.Context, name, change, secret string, act *Act) (shown Endpoint, err error) {
	by, err := actor(access.In(ctx), act, false)
	if err != nil {
		return shown, err
	}
	find := a.changeable
	if change == outbox.EnableEndpoint || change == outbox.DisableEndpoint {
		find = a.endpoint
	}
	err = a.work(ctx, func(ctx context.Context) error {
		if _, err := find(ctx, name); err != nil {
			return err
		}
		if err := noSuchEndpoint(a.o.Endpoints.Change(ctx, name, change, secret, by)); err != nil || change == outbox.RemoveEndpoint {
			return err
		}
		e, err := a.endpoint(ctx, name)
		if err == nil {
			shown = shownEndpoint(e)
		}
		return err
	})
	return shown, err
}

// A TestBegun is the event of a test.
type TestBegun struct {
	EventID string `json:"event_id" doc:"by which the endpoint's deliveries have it"`
}

type endpointTested struct {
	Location string `header:"Location" doc:"where it can be seen what came of it"`
	Body     TestBegun
}

func (a *API) testEndpoint(ctx context.Context, in *actOnEndpoint) (*endpointTested, error) {
	by, err := actor(access.In(ctx), in.Body, false)
	if err != nil {
		return nil, err
	}
	var id string
	if err := a.work(ctx, func(ctx context.Context) error {
		if _, err := a.endpoint(ctx, in.Name); err != nil {
			return err
		}
		var err error
		id, err = a.o.Endpoints.Test(ctx, in.Name, by)
		return noSuchEndpoint(err)
	}); err != nil {
		return nil, err
	}
	return &endpointTested{Prefix + "endpoints/" + pathEscape(in.Name) + "/deliveries?event_id=" + id, TestBegun{id}}, nil
}

// rowCursor reads a cursor that is an event's row.
func rowCursor(after string) (int64, error) {
	if after == "" {
		return 0, nil
	}
	row, err := strconv.ParseInt(after, 10, 64)
	if err != nil || row < 1 {
		return 0, problemOf(http.StatusUnprocessableEntity, "after isn't the next of a page", Fault{Detail: "must be the next of a page of this list", Parameter: "after"})
	}
	return row, nil
}
