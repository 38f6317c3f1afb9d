package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/hibiken/asynq"

	"invoicer/invoice"
	"invoicer/worker/client"
)

// maxAltered bounds how often one attempt starts again because the ledger has something else than was tried.
const maxAltered = 3

// correct tells whether err says that the ledger has accepted something else than what was tried, and makes that the
// attempt's payload. Of a job whose payload isn't kept any more, nothing can be made.
func (a *attempt) correct(err error) bool {
	var altered *invoice.AlteredError
	if !errors.As(err, &altered) || altered.Payload == nil {
		return false
	}
	a.take(altered.Payload)
	return true
}

func (a *attempt) take(accepted []byte) {
	if accepted == nil || bytes.Equal(a.payload, accepted) {
		return
	}
	a.payload, a.altered = accepted, true
	a.identify(&invoice.Job{}) // what the other one told is forgotten
}

// whose finds out of which job the task is where that isn't plain: one of the ledger's always is, unless somebody has
// altered it.
func (h *Handler) whose(ctx context.Context, a *attempt) error {
	for len(a.others) > 0 {
		payload, ok, err := h.recorder.Accepted(ctx, a.others[0])
		if err != nil {
			return err
		}
		if ok {
			a.jobID, a.others, a.fromLedger, a.altered = a.others[0], nil, true, true
			a.take(payload)
			return nil
		}
		a.others = a.others[1:]
	}
	return nil
}

// compare tells whether the ledger has accepted the attempt's job, and takes what it has accepted for the payload. It costs a
// round trip, and is for where the job would else come to no end that is compared: one that the queue says no worker
// here can do.
func (h *Handler) compare(ctx context.Context, a *attempt) (accepted bool, err error) {
	if !a.fromLedger {
		return false, nil
	}
	payload, ok, err := h.recorder.Accepted(ctx, a.jobID)
	if ok && err == nil {
		a.take(payload)
	}
	return ok, err
}

// decode reads the attempt's job.
func (h *Handler) decode(ctx context.Context, a *attempt) (*invoice.Job, error) {
	job, err := invoice.Decode(a.payload)
	if errors.As(err, new(*invoice.VersionError)) {
		before := a.payload
		if _, err := h.compare(ctx, a); err != nil {
			return nil, err
		}
		if !bytes.Equal(before, a.payload) {
			job, err = invoice.Decode(a.payload)
		}
	}
	a.identify(job)
	return job, err
}

// typed makes sure that the task is of the type that is known here. The ledger sends no other one.
func (h *Handler) typed(ctx context.Context, a *attempt) (ok bool, err error) {
	if a.task.Type() == client.TaskType {
		return true, nil
	}
	accepted, err := h.compare(ctx, a)
	a.altered = a.altered || accepted
	return accepted, err
}

// leave ends an attempt at a job that nothing is to be written about: it stays as it is on record.
func (h *Handler) leave(ctx context.Context, a *attempt, why error) error {
	e := h.event(a, Left)
	e.Err = why
	h.log.WarnContext(ctx, "job left as it is on record", append(a.attributes(), "error", why)...)
	h.options.Observe(e)
	return errors.Join(why, asynq.SkipRetry)
}

// mustBeLeft tells the errors after which a job stays as it is on record.
func mustBeLeft(err error) bool {
	var altered *invoice.AlteredError
	return errors.As(err, new(*invoice.DismissedError)) || errors.As(err, &altered) && altered.Payload == nil
}

// refuseDirect records that a job came straight from the queue, where only those of the ledger are done. It is invalid
// rather than failed, so that nobody who replays what an outage has failed replays it unseen.
func (h *Handler) refuseDirect(ctx context.Context, a *attempt) (invoice.End, error) {
	return h.badEnd(ctx, a, a.end(invoice.Invalid, fmt.Sprintf(
		"job %s is not in the ledger, and worker.direct is refuse: send it through the ledger; or look at it, and replay it if it is right", a.jobID)))
}
