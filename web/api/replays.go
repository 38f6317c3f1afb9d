package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"invoicer/invoice"
	"invoicer/invoice/ledger"
	"invoicer/web/access"
)

// Replays are replays of all failed jobs that match a filter. Something else works on them.
type Replays interface {
	// Begin adds a replay, or returns the one that has the key already. Its errors are [ledger.ErrOtherContent] and [ledger.ErrInProgress].
	Begin(ctx context.Context, r *ledger.BulkReplay, key ledger.ReplayKey) (begun *ledger.BulkReplay, repeated bool, err error)
	// Get returns [ledger.ErrNoReplay] if there is none with that UUID.
	Get(ctx context.Context, id string) (*ledger.BulkReplay, error)
	List(ctx context.Context, before string, most int) ([]ledger.BulkReplay, error)
	// Cancel returns a [*ledger.StateError] if it has ended.
	Cancel(ctx context.Context, id string, by ledger.Actor) (*ledger.BulkReplay, error)
}

// A ReplayFilter selects failed jobs. A job matches if it satisfies every field that is there; it satisfies a list if it equals one of the
// elements.
type ReplayFilter struct {
	JobIDs         []string   `json:"job_ids,omitempty" maxItems:"10000" nullable:"false"`
	TransactionIDs []string   `json:"transaction_ids,omitempty" maxItems:"10000" nullable:"false"`
	Outcomes       []string   `json:"outcomes,omitempty" enum:"conflict,invalid,failed" nullable:"false"`
	Reason         string     `json:"reason,omitempty" maxLength:"1000" doc:"a text that the reason contains, in upper or lower case"`
	Cause          string     `json:"cause,omitempty" maxLength:"1000" doc:"the reason without what differs from job to job, as the pages show it"`
	Since          *time.Time `json:"since,omitempty" doc:"failed then or later"`
	Until          *time.Time `json:"until,omitempty" doc:"failed then or earlier. Default: what has failed by now; later failures are never replayed"`
	Queue          string     `json:"queue,omitempty" maxLength:"255"`
	Producer       string     `json:"producer,omitempty" maxLength:"64"`
	Series         string     `json:"series,omitempty" maxLength:"32" doc:"the series that the job asks for; a job that states none asks for the default"`
	Issuer         string     `json:"issuer,omitempty" maxLength:"32" doc:"an issuer, none for the one without a name"`
}

// A ReplayRequest asks for many failed jobs to be replayed.
type ReplayRequest struct {
	Filter ReplayFilter `json:"filter,omitempty"`
	All    bool         `json:"all,omitempty" doc:"every failed job: required if the filter is empty"`
	Rate   float64      `json:"rate,omitempty" minimum:"0" maximum:"1000000" doc:"the most jobs that are sent in a second. Default, and 0: any number"`
	By     string       `json:"by,omitempty" maxLength:"128" doc:"who does it: required on the same machine without a token, and else the token's name, which goes on record"`
	Note   string       `json:"note,omitempty" maxLength:"1000" doc:"why: it is kept on record with each job"`
}

// A Replay is a replay of many jobs, with how far it has come.
type Replay struct {
	ID        string          `json:"replay_id"`
	State     string          `json:"state" enum:"waiting,running,finished,canceled,failed" doc:"waiting: no process has begun; canceled, failed: what was replayed stays so, and the rest stays failed"`
	Filter    ReplayFilter    `json:"filter"`
	Rate      float64         `json:"rate" doc:"0 for any number"`
	By        string          `json:"by"`
	Note      string          `json:"note"`
	Counted   *int            `json:"counted" doc:"how many jobs matched at the beginning; null until they are counted"`
	Replayed  int             `json:"replayed" doc:"how many are accepted again"`
	Refused   int             `json:"refused" doc:"how many still can't be an invoice, and were left failed"`
	Changed   int             `json:"changed" doc:"how many weren't failed any more when their turn came"`
	Forecasts map[string]int  `json:"forecasts" doc:"what was predicted of those that are accepted again: how many would become an invoice (created), a duplicate, a conflict"`
	Refusals  []ReplayRefusal `json:"refusals" nullable:"false" doc:"the first 50 of those that were refused, with the reasons"`
	Reason    string          `json:"reason" doc:"why it has failed, and else empty"`
	CreatedAt time.Time       `json:"created_at"`
	EndedAt   *time.Time      `json:"ended_at"`
}

// A ReplayRefusal says why a job wasn't replayed.
type ReplayRefusal struct {
	JobID         string  `json:"job_id"`
	Issuer        string  `json:"issuer"`
	TransactionID string  `json:"transaction_id" doc:"empty if the job doesn't state it"`
	Errors        []Fault `json:"errors" nullable:"false"`
}

// ReplayPage is a part of the replays, the newest first.
type ReplayPage struct {
	Replays []Replay `json:"replays" nullable:"false"`
	Next    string   `json:"next" doc:"to go on behind the last, for ?after=; empty at the end"`
}

type postReplay struct {
	Key  string `header:"Idempotency-Key" doc:"with the same key, the same request makes one replay, and the answer tells how far it has come. Keys are the token's own"`
	Body ReplayRequest
}

type replayAnswer struct {
	Location string `header:"Location" doc:"where the replay can be looked at"`
	Replayed string `header:"Idempotency-Replayed" doc:"true if an earlier request with the same key has begun it"`
	Body     Replay
}

func (a *API) postReplay(ctx context.Context, in *postReplay) (*replayAnswer, error) {
	visitor := access.In(ctx)
	key, keyFault := idempotencyKey(in.Key)
	asked, err := a.bulkReplay(visitor, &in.Body)
	if asked, err = withFaults(asked, err, keyFault); err != nil {
		return nil, err
	}
	bound := ledger.ReplayKey{Token: visitor.Name}
	if key != "" {
		content, err := json.Marshal(struct {
			Request ReplayRequest
			Issuers []string
		}{in.Body, visitor.Issuers})
		if err != nil {
			return nil, err
		}
		bound.Key, bound.Content = hashes(key, string(content))
	}
	var begun *ledger.BulkReplay
	var repeated bool
	if err := a.work(ctx, func(ctx context.Context) (err error) {
		begun, repeated, err = a.o.Replays.Begin(ctx, asked, bound)
		return refusalOf(err)
	}); err != nil {
		return nil, err
	}
	answer := &replayAnswer{Location: Prefix + "replays/" + begun.ID, Body: shownReplay(begun)}
	if repeated {
		answer.Replayed = "true"
	}
	a.o.ReplayBegun()
	return answer, nil
}

// bulkReplay reads what is to be replayed, as the visitor may ask for it.
func (a *API) bulkReplay(visitor access.Visitor, in *ReplayRequest) (*ledger.BulkReplay, error) {
	by, err := actor(visitor, &Act{By: in.By, Note: in.Note}, false)
	var faults []Fault
	if p := (*ProblemError)(nil); errors.As(err, &p) {
		faults = p.Errors
	}
	f := &in.Filter
	empty := true
	text := func(field string, values ...string) {
		for _, value := range values {
			empty = empty && value == ""
			if !utf8.ValidString(value) || strings.ContainsRune(value, 0) {
				faults = append(faults, Fault{Detail: "must be text without U+0000", Field: "filter." + field, Pointer: "/filter/" + field})
			}
		}
	}
	text("reason", f.Reason)
	text("cause", f.Cause)
	text("queue", f.Queue)
	text("producer", f.Producer)
	text("series", f.Series)
	text("issuer", f.Issuer)
	text("job_ids", f.JobIDs...)
	text("transaction_ids", f.TransactionIDs...)
	empty = empty && len(f.JobIDs)+len(f.TransactionIDs)+len(f.Outcomes) == 0 && f.Since == nil && f.Until == nil
	switch {
	case empty && !in.All:
		faults = append(faults, Fault{Detail: "is required, with one field at least; to replay every failed job, say all", Field: "filter", Pointer: "/filter"})
	case !empty && in.All:
		faults = append(faults, Fault{Detail: "doesn't go together with a filter", Field: "all", Pointer: "/all"})
	}
	if f.Since != nil && f.Until != nil && f.Since.After(*f.Until) {
		faults = append(faults, Fault{Detail: "is later than until: no job can match", Field: "filter.since", Pointer: "/filter/since"})
	}
	r := &ledger.BulkReplay{ID: uuid.Must(uuid.NewV7()).String(), Rate: in.Rate, By: by, Filter: ledger.FailedFilter{
		JobIDs: f.JobIDs, TransactionIDs: f.TransactionIDs, Reason: f.Reason, Cause: f.Cause, Queue: f.Queue, Producer: f.Producer,
		Series: f.Series, DefaultSeries: a.o.InvoiceSeries, Issuers: visitor.Issuers,
	}}
	for _, outcome := range f.Outcomes {
		r.Filter.Outcomes = append(r.Filter.Outcomes, invoice.Outcome(outcome))
	}
	if f.Since != nil {
		r.Filter.Since = *f.Since
	}
	if f.Until != nil {
		r.Filter.Until = *f.Until
	}
	if f.Issuer != "" {
		issuers, err := scope(visitor, f.Issuer)
		if err != nil {
			return nil, problemOf(http.StatusForbidden, "the token is limited to the issuers "+visitor.Issuers.String(),
				Fault{Detail: "must be one of " + visitor.Issuers.String(), Field: "filter.issuer", Pointer: "/filter/issuer"})
		}
		r.Filter.Issuer = &issuers[0]
	}
	if len(faults) > 0 {
		return nil, problemOf(http.StatusUnprocessableEntity, "the request isn't valid: correct it and send it again", faults...)
	}
	return r, nil
}

// shownReplay returns a replay as it is shown.
func shownReplay(r *ledger.BulkReplay) Replay {
	shown := Replay{
		ID: r.ID, State: r.State, Rate: r.Rate, By: r.By.Name, Note: r.By.Note, Counted: r.Counted, Replayed: r.Replayed, Refused: r.Refused, Changed: r.Changed,
		Forecasts: make(map[string]int), Refusals: []ReplayRefusal{}, Reason: r.Reason, CreatedAt: r.CreatedAt, EndedAt: r.EndedAt,
	}
	for outcome, n := range r.Forecasts {
		shown.Forecasts[string(outcome)] = n
	}
	for i := range r.Refusals {
		one := &r.Refusals[i]
		shown.Refusals = append(shown.Refusals, ReplayRefusal{one.JobID, one.Issuer, one.TransactionID, faults(&invoice.InvalidError{Problems: one.Problems})})
	}
	f, of := &shown.Filter, &r.Filter
	f.JobIDs, f.TransactionIDs, f.Reason, f.Cause, f.Queue, f.Producer, f.Series = of.JobIDs, of.TransactionIDs, of.Reason, of.Cause, of.Queue, of.Producer, of.Series
	for _, outcome := range of.Outcomes {
		f.Outcomes = append(f.Outcomes, string(outcome))
	}
	if !of.Since.IsZero() {
		f.Since = &of.Since
	}
	if !of.Until.IsZero() {
		f.Until = &of.Until
	}
	if of.Issuer != nil {
		f.Issuer = access.Issuers{*of.Issuer}.Names()[0]
	}
	return shown
}

// keepsTo reports whether a replay is about jobs of some issuers alone.
func keepsTo(r *ledger.BulkReplay, issuers access.Issuers) bool {
	of := access.Issuers(r.Filter.Issuers)
	if r.Filter.Issuer != nil {
		of = access.Issuers{*r.Filter.Issuer}
	}
	return issuers.Cover(of)
}

func noReplay() *ProblemError {
	return problemOf(http.StatusNotFound, "there is no such replay: it was never asked for, or has ended so long ago that it was pruned")
}

// replay returns a replay that the visitor may see: one of whose jobs he may not see some isn't found.
func (a *API) replay(ctx context.Context, id string) (*ledger.BulkReplay, error) {
	if uuid.Validate(id) != nil || len(id) != len(uuid.Nil.String()) {
		return nil, noReplay()
	}
	r, err := a.o.Replays.Get(ctx, id)
	if errors.Is(err, ledger.ErrNoReplay) || err == nil && !keepsTo(r, access.In(ctx).Issuers) {
		return nil, noReplay()
	}
	return r, err
}

type getReplay struct {
	Conditional
	ID string `path:"replay_id" maxLength:"64"`
}

func (a *API) getReplay(ctx context.Context, in *getReplay) (*told[Replay], error) {
	var r *ledger.BulkReplay
	if err := a.work(ctx, func(ctx context.Context) (err error) {
		r, err = a.replay(ctx, in.ID)
		return err
	}); err != nil {
		return nil, err
	}
	return tell(in.Conditional, shownReplay(r))
}

type listReplays struct {
	Conditional
	After string `query:"after" maxLength:"64" doc:"the next of the page before, to go on behind it"`
	Limit int    `query:"limit" default:"50" minimum:"1" maximum:"200" doc:"the most replays of a page"`
}

func (a *API) listReplays(ctx context.Context, in *listReplays) (*told[ReplayPage], error) {
	if in.After != "" && (uuid.Validate(in.After) != nil || len(in.After) != len(uuid.Nil.String())) {
		return nil, problemOf(http.StatusUnprocessableEntity, "after isn't the next of a page", Fault{Detail: "must be the next of a page of this list", Parameter: "after"})
	}
	var list []ledger.BulkReplay
	if err := a.work(ctx, func(ctx context.Context) (err error) {
		list, err = a.o.Replays.List(ctx, in.After, in.Limit)
		return err
	}); err != nil {
		return nil, err
	}
	page, issuers := ReplayPage{Replays: []Replay{}}, access.In(ctx).Issuers
	for i := range list {
		if keepsTo(&list[i], issuers) {
			page.Replays = append(page.Replays, shownReplay(&list[i]))
		}
	}
	if len(list) == in.Limit {
		page.Next = list[len(list)-1].ID
	}
	return tell(in.Conditional, page)
}

type cancelReplay struct {
	ID   string `path:"replay_id" maxLength:"64"`
	Body *Act
}

type canceled struct{ Body Replay }

func (a *API) cancelReplay(ctx context.Context, in *cancelReplay) (*canceled, error) {
	by, err := actor(access.In(ctx), in.Body, false)
	if err != nil {
		return nil, err
	}
	var r *ledger.BulkReplay
	err = a.work(ctx, func(ctx context.Context) error {
		if _, err := a.replay(ctx, in.ID); err != nil {
			return err
		}
		var err error
		r, err = a.o.Replays.Cancel(ctx, in.ID, by)
		if state := (*ledger.StateError)(nil); errors.As(err, &state) {
			p := problemOf(http.StatusConflict, "the replay has ended already: it is "+state.State)
			p.State = state.State
			return p
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &canceled{shownReplay(r)}, nil
}
