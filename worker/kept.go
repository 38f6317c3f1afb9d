package worker

import (
	"context"
	"strconv"
	"time"

	"github.com/hibiken/asynq"

	"invoicer/invoice/ledger"
)

// keptWithin bounds the time that a failed attempt takes longer in order to be recorded.
const keptWithin = time.Second

// keepAttempt records a failed attempt, after which the job is tried again, for people who ask why the job waits. It changes
// nothing for the job: if it can't be recorded in time, it isn't.
func (h *Handler) keepAttempt(ctx context.Context, a *attempt, cause error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keptWithin)
	defer cancel()
	err := h.recorder.RecordAttempt(ctx, ledger.FailedAttempt{
		JobID: a.jobID, Dispatch: a.dispatch(ctx), Attempt: a.number(), Worker: a.worker, Reason: cause.Error(),
	})
	if err == nil {
		h.unkept.Store(false)
		return
	}
	if !h.unkept.Swap(true) {
		h.log.WarnContext(ctx, "failed attempts can't be recorded: `invoicer status` doesn't show them", "error", err)
	}
}

// dispatch returns the number of the dispatch that the task is of, 0 if it was enqueued directly.
func (a *attempt) dispatch(ctx context.Context) int {
	id, _ := asynq.GetTaskID(ctx)
	if !a.fromLedger || dispatched.FindString(id) == "" {
		return 0
	}
	n, err := strconv.Atoi(id[len(dispatched.FindStringSubmatch(id)[1])+1:])
	if err != nil {
		return 0
	}
	return n
}
