package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/hibiken/asynq"

	"invoicer/invoice"
	"invoicer/invoice/ledger"
	"invoicer/worker/client"
)

// maxAltered bounds how often one attempt starts again because the ledger has accepted another payload.
const maxAltered = 3

// correct reports whether err is an [*ledger.AlteredError] with the accepted payload, and makes that payload the
// attempt's. If the payload isn't kept any more, it reports false.
func (a *attempt) correct(err error) bool {
	var altered *ledger.AlteredError
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
	a.identify(&invoice.Job{}) // clears the ids of the altered payload
}

// resolve asks the ledger which job the task belongs to, if the task names several. A task from the ledger names one,
// unless it was altered.
func (h *Handler) resolve(ctx context.Context, a *attempt) error {
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

// compare reports whether the ledger has accepted the attempt's job, and makes the accepted payload the attempt's. It
// costs a round trip. It is needed for a job that no worker here can do according to its task: such a job reaches no
// end at which the payloads would be compared.
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
func (h *Handler) decode(ctx context.Context, a *attempt) (invoice.Reading, error) {
	r, err := h.read(ctx, a)
	if errors.As(err, new(*invoice.VersionError)) {
		before := a.payload
		if _, err := h.compare(ctx, a); err != nil {
			return invoice.Reading{}, err
		}
		if !bytes.Equal(before, a.payload) {
			r, err = h.read(ctx, a)
		}
	}
	a.nameProducer(r.Job)
	a.identify(r.Job)
	return r, err
}

// typed checks that the task has the type that this worker knows. The ledger sends no other type.
func (h *Handler) typed(ctx context.Context, a *attempt) (ok bool, err error) {
	if a.task.Type() == client.TaskType {
		return true, nil
	}
	accepted, err := h.compare(ctx, a)
	a.altered = a.altered || accepted
	return accepted, err
}

// leave ends an attempt without recording anything: the job stays as it is on record.
func (h *Handler) leave(ctx context.Context, a *attempt, why error) error {
	e := h.event(a, Left)
	e.Err = why
	h.log.WarnContext(ctx, "job left as it is on record", append(a.attributes(), "error", why)...)
	h.options.Observe(e)
	return errors.Join(why, asynq.SkipRetry)
}

// mustBeLeft reports whether err is one after which a job stays as it is on record.
func mustBeLeft(err error) bool {
	var altered *ledger.AlteredError
	return errors.As(err, new(*ledger.DismissedError)) || errors.As(err, &altered) && altered.Payload == nil
}

// refuseDirect records that a job was enqueued directly although only jobs of the ledger are allowed. The outcome is
// invalid rather than failed, so that a replay of the jobs that failed in an outage doesn't include this one
// unnoticed.
func (h *Handler) refuseDirect(ctx context.Context, a *attempt) (*ledger.End, error) {
	return h.badEnd(ctx, a, a.end(invoice.Invalid, fmt.Sprintf(
		"job %s is not in the ledger, and worker.direct is refuse: send it through the ledger; or look at it, and replay it if it is right", a.jobID)))
}
