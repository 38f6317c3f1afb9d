package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"unicode/utf8"

	"invoicer/internal/report"
	"invoicer/invoice"
	"invoicer/invoice/ledger"
	"invoicer/web/access"
	"invoicer/worker/dispatch"
)

// An Act says who does something to a job, and why.
type Act struct {
	By   string `json:"by,omitempty" maxLength:"128" doc:"who does it: required on the same machine without a token, and else the token's name, which goes on record"`
	Note string `json:"note,omitempty" maxLength:"1000" doc:"why, or how the job was dealt with: required for a dismissal"`
}

type replayJob struct {
	JobID string `path:"job_id" maxLength:"300"`
	Body  *Act
}

type dismissJob struct {
	JobID string `path:"job_id" maxLength:"300"`
	Body  Act
}

type acted struct {
	Location string `header:"Location" doc:"where the job can be looked at"`
	Body     report.JobState
}

// actor returns who goes on record.
func actor(visitor access.Visitor, act *Act, needsNote bool) (ledger.Actor, error) {
	if act == nil {
		act = &Act{}
	}
	by := ledger.Actor{Name: visitor.Name, Note: strings.TrimSpace(act.Note)}
	var faults []Fault
	if visitor.Local() {
		if by.Name = strings.TrimSpace(act.By); by.Name == "" {
			faults = append(faults, Fault{Detail: "is required without a token: say who you are", Field: "by", Pointer: "/by"})
		}
	} else if act.By != "" && act.By != visitor.Name {
		faults = append(faults, Fault{Detail: "must be left out: the token says who you are", Field: "by", Pointer: "/by"})
	}
	if needsNote && by.Note == "" {
		faults = append(faults, Fault{Detail: "is required: say how the job was dealt with", Field: "note", Pointer: "/note"})
	}
	for _, text := range []struct{ field, value string }{{"by", act.By}, {"note", act.Note}} {
		if !utf8.ValidString(text.value) || strings.ContainsRune(text.value, 0) {
			faults = append(faults, Fault{Detail: "must be text without U+0000", Field: text.field, Pointer: "/" + text.field})
		}
	}
	if len(faults) > 0 {
		return by, problemOf(http.StatusUnprocessableEntity, "the request isn't valid: correct it and send it again", faults...)
	}
	return by, nil
}

// notFailed returns the answer to an action on a job that isn't failed.
func notFailed(jobID, state string) *ProblemError {
	p := problemOf(http.StatusConflict, "the job is "+state+", and only a failed one can be replayed or dismissed")
	p.JobID, p.State = jobID, state
	return p
}

func (a *API) replayJob(ctx context.Context, in *replayJob) (*acted, error) {
	visitor := access.In(ctx)
	by, err := actor(visitor, in.Body, false)
	if err != nil {
		return nil, err
	}
	var now *report.JobState
	err = a.work(ctx, func(ctx context.Context) error {
		before, err := a.job(ctx, in.JobID)
		if err != nil {
			return err
		}
		if before.State != "failed" {
			return notFailed(in.JobID, before.State)
		}
		var refused *ProblemError
		summary, err := a.o.Replayer.Run(ctx, dispatch.ReplayOptions{
			Filter: ledger.FailedFilter{JobIDs: []string{in.JobID}, Issuers: visitor.Issuers}, By: by,
			Observe: func(one dispatch.Replayed) {
				if len(one.Problems) > 0 {
					refused = problemOf(http.StatusUnprocessableEntity, "the job still can't be an invoice, and stays failed")
					for _, p := range one.Problems {
						refused.Errors = append(refused.Errors, Fault{Detail: p.Message, Field: p.Field})
					}
				}
			},
		})
		switch {
		case err != nil:
			return err
		case refused != nil:
			refused.JobID = in.JobID
			return refused
		}
		if now, err = a.job(ctx, in.JobID); err == nil && summary.Total() == 0 {
			return notFailed(in.JobID, now.State)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	a.o.Accepted(in.JobID)
	return &acted{Prefix + "jobs/" + in.JobID, *now}, nil
}

// A PayloadAnswer is a job as it was asked for, with whatever personal data it holds.
type PayloadAnswer struct {
	JobID   string          `json:"job_id"`
	Payload json.RawMessage `json:"payload" doc:"null if it isn't JSON"`
	Text    string          `json:"text,omitempty" doc:"the same, if it isn't JSON"`
}

type payloadShown struct{ Body PayloadAnswer }

// showPayload shows a job as it was asked for, to those who may see personal data. That they look goes on record first.
func (a *API) showPayload(ctx context.Context, in *replayJob) (*payloadShown, error) {
	visitor := access.In(ctx)
	if a.o.PersonalData == "" || !visitor.May(a.o.PersonalData) {
		return nil, problemOf(http.StatusForbidden, "you may not see personal data: that needs http.personal_data, and the role that it names")
	}
	by, err := actor(visitor, in.Body, false)
	if err != nil {
		return nil, err
	}
	shown := &payloadShown{PayloadAnswer{JobID: in.JobID}}
	err = a.work(ctx, func(ctx context.Context) error {
		payload, err := a.o.Payloads.Payload(ctx, visitor.Issuers, in.JobID)
		if err != nil {
			return err
		}
		if job, _ := invoice.Decode(payload); payload == nil || job != nil && !visitor.Issuers.Has(job.Issuer) {
			return problemOf(http.StatusNotFound, "the ledger doesn't have this job, or its payload isn't kept any more, or isn't text")
		}
		if json.Valid(payload) {
			shown.Body.Payload = payload
		} else {
			shown.Body.Text = string(payload)
		}
		return a.o.Ledger.RecordAction(ctx, "see personal data", in.JobID, "", by)
	})
	if err != nil {
		return nil, err
	}
	return shown, nil
}

func (a *API) dismissJob(ctx context.Context, in *dismissJob) (*acted, error) {
	by, err := actor(access.In(ctx), &in.Body, true)
	if err != nil {
		return nil, err
	}
	var now *report.JobState
	err = a.work(ctx, func(ctx context.Context) error {
		before, err := a.job(ctx, in.JobID)
		if err != nil {
			return err
		}
		var state *ledger.StateError
		if err = a.o.Ledger.Dismiss(ctx, in.JobID, by); errors.As(err, &state) {
			return notFailed(in.JobID, state.State)
		} else if errors.Is(err, ledger.ErrNoJob) {
			return notFailed(in.JobID, before.State)
		} else if err != nil {
			return err
		}
		now, err = a.job(ctx, in.JobID)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &acted{Prefix + "jobs/" + in.JobID, *now}, nil
}
