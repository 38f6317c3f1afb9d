package pages

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"invoicer/internal/term"
	"invoicer/invoice"
	"invoicer/invoice/ledger"
	"invoicer/web/access"
)

// Replays are replays of many jobs, which the database keeps, and on which another part works in any process. The API has them, too.
type Replays interface {
	Begin(ctx context.Context, r *ledger.BulkReplay, key ledger.ReplayKey) (begun *ledger.BulkReplay, repeated bool, err error)
	// Get returns [ledger.ErrNoReplay] if there is none with that UUID.
	Get(ctx context.Context, id string) (*ledger.BulkReplay, error)
	// Cancel returns a [*ledger.StateError] if it has ended.
	Cancel(ctx context.Context, id string, by ledger.Actor) (*ledger.BulkReplay, error)
}

// beginReplay has failed jobs be replayed, and returns the address of the page that shows how far that has come.
func (p *Pages) beginReplay(ctx context.Context, asked *run) (path string, err error) {
	begun, _, err := p.o.Replays.Begin(ctx, &ledger.BulkReplay{ID: uuid.Must(uuid.NewV7()).String(), Filter: asked.filter, Rate: asked.rate, By: asked.by}, ledger.ReplayKey{})
	if err != nil {
		return "", err
	}
	p.o.ReplayBegun()
	return "/runs/" + begun.ID, nil
}

// findReplay returns the replay of the request's path, nil if the path isn't one's. One of whose jobs the visitor may not see some isn't found.
func (p *Pages) findReplay(r *http.Request) (*ledger.BulkReplay, error) {
	id := r.PathValue("run")
	if !isReplay(id) {
		return nil, nil
	}
	found, err := p.o.Replays.Get(r.Context(), id)
	if err != nil && !errors.Is(err, ledger.ErrNoReplay) {
		return nil, err
	}
	if err == nil {
		of := access.Issuers(found.Filter.Issuers)
		if found.Filter.Issuer != nil {
			of = access.Issuers{*found.Filter.Issuer}
		}
		if p.o.Visitor(r).Issuers.Cover(of) {
			return found, nil
		}
	}
	return nil, noRun()
}

func isReplay(id string) bool { return len(id) == len(uuid.Nil.String()) && uuid.Validate(id) == nil }

// cancelReplay ends a replay, unless it has ended.
func (p *Pages) cancelReplay(r *http.Request, found *ledger.BulkReplay) error {
	by := ledger.Actor{Name: p.o.Visitor(r).Name, Note: "from the pages"}
	if by.Name == "" {
		by.Name = "somebody on this machine"
	}
	_, err := p.o.Replays.Cancel(r.Context(), found.ID, by)
	if errors.As(err, new(*ledger.StateError)) {
		return nil
	}
	return err
}

// showReplay returns what the page of a replay shows.
func showReplay(r *ledger.BulkReplay) shownRun {
	done := r.Replayed + r.Refused + r.Changed
	shown := shownRun{ID: r.ID, Total: done, Done: done, Ended: r.Ended(), Back: filterOf(&r.Filter).path()}
	if r.Counted != nil {
		shown.Total = max(done, *r.Counted)
	}
	row := func(name string, n int) {
		if n > 0 {
			shown.Rows = append(shown.Rows, shownCount{name, term.Thousands(n)})
		}
	}
	row("not failed any more", r.Changed)
	for _, outcome := range []invoice.Outcome{invoice.Conflict, invoice.Duplicate, invoice.Created, invoice.Failed} {
		row("sent again, "+expected(outcome), r.Forecasts[outcome])
	}
	row("still invalid, left failed", r.Refused)
	for i := range r.Refusals[:min(len(r.Refusals), mostProblems)] {
		var problems []string
		for _, problem := range r.Refusals[i].Problems {
			problems = append(problems, problem.Field+" "+problem.Message)
		}
		shown.Problems = append(shown.Problems, "job "+r.Refusals[i].JobID+": "+strings.Join(problems, "; "))
	}
	var end error
	switch r.State {
	case ledger.ReplayCanceled:
		end = errStopped
	case ledger.ReplayFailed:
		end = errors.New(r.Reason)
	}
	shown.Sentence = sentence(replay, shown.Total, r.By.Name, shown.Ended, end)
	return shown
}

// filterOf returns a filter as a visitor writes it.
func filterOf(f *ledger.FailedFilter) *filter {
	shown := &filter{Reason: f.Reason, Cause: f.Cause, Producer: f.Producer, Queue: f.Queue, Series: f.Series}
	if len(f.Outcomes) > 0 {
		shown.Outcome = string(f.Outcomes[0])
	}
	if f.Issuer != nil {
		shown.Issuer = access.Issuers{*f.Issuer}.Names()[0]
	}
	if !f.Since.IsZero() {
		shown.Since = f.Since.UTC().Format(time.RFC3339Nano)
	}
	if !f.Until.IsZero() {
		shown.Until = f.Until.UTC().Format(time.RFC3339Nano)
	}
	return shown
}
