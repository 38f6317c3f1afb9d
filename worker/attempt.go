package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/hibiken/asynq"

	"invoicer/invoice"
	"invoicer/worker/client"
)

// An attempt is one run of one job.
type attempt struct {
	task    *asynq.Task
	payload []byte // the task's, or what the ledger has accepted in its place
	jobID   string
	queue   string
	worker  string
	begun   time.Time
	retried int  // failures before this attempt, as the queue has counted them
	limit   int  // failures after which the queue gives up by itself
	final   bool // it has so many, and gives up after this attempt

	others     []string // job ids that it may be of rather than jobID, until the ledger is asked
	fromLedger bool     // its task says that the ledger sent it, or the ledger says so
	altered    bool     // its task isn't as the ledger sent it
	counted    bool     // the ledger has been told that it comes after many crashes

	transactionID, idempotencyKey, producer string // as far as the payload tells
}

func newAttempt(ctx context.Context, task *asynq.Task, worker string) *attempt {
	a := &attempt{task: task, payload: task.Payload(), worker: worker, begun: time.Now(), limit: math.MaxInt32}
	id, _ := asynq.GetTaskID(ctx)
	ids := JobIDs(id, task.Headers())
	a.jobID, a.others = ids[len(ids)-1], ids[:len(ids)-1]
	a.fromLedger = task.Headers()[client.JobIDHeader] != ""
	a.queue, _ = asynq.GetQueueName(ctx)
	a.retried, _ = asynq.GetRetryCount(ctx)
	if limit, ok := asynq.GetMaxRetry(ctx); ok {
		a.limit = limit
	}
	a.final = a.retried >= a.limit
	a.retried = min(max(a.retried, 0), mostRetried)
	return a
}

// mostRetried is how many failures a queue may have counted and be believed: what it says is kept on record.
const mostRetried = 1_000_000

func (a *attempt) number() int { return a.retried + 1 }

// identify keeps what a payload tells of its job, which for a bad one may be nothing.
func (a *attempt) identify(job *invoice.Job) {
	if job != nil {
		a.transactionID, a.idempotencyKey, a.producer = job.TransactionID, job.IdempotencyKey, job.Producer
	}
}

func (a *attempt) end(o invoice.Outcome, detail string) invoice.End {
	end := invoice.End{
		JobID: a.jobID, Outcome: o, Detail: detail,
		TransactionID: a.transactionID, IdempotencyKey: a.idempotencyKey, Producer: a.producer,
		Worker: a.worker, Queue: a.queue, Payload: a.payload, Attempts: a.number(),
	}
	if kind := a.task.Type(); kind != client.TaskType {
		end.TaskType = kind
	}
	return end
}

func (a *attempt) result(r invoice.Result) invoice.End {
	end := a.end(r.Outcome, r.Detail)
	end.Invoice, end.Reason = r.Invoice, r.Reason
	return end
}

// failed is the end of a job whose retries are used up.
func (a *attempt) failed(cause error) invoice.End {
	attempts := "1 attempt"
	if n := a.number(); n != 1 {
		attempts = fmt.Sprintf("%d attempts", n)
	}
	return a.end(invoice.Failed, "given up after "+attempts+": "+cause.Error())
}

// LostJob is the end of a job that the queue has given up on without asking a worker: as the queue says, or with a payload
// that isn't nil, as that says.
func LostJob(info *asynq.TaskInfo, jobID string, payload []byte, worker, why string) invoice.End {
	if payload == nil {
		payload = info.Payload
	}
	a := &attempt{
		task: asynq.NewTaskWithHeaders(info.Type, payload, info.Headers), payload: payload, jobID: jobID,
		queue: info.Queue, worker: worker, retried: min(max(info.Retried, 0), mostRetried),
	}
	job, _ := invoice.Decode(payload) // of a bad one, what could be read
	a.identify(job)
	return a.end(invoice.Failed, why)
}

// resultJSON is what asynqmon shows of a finished job.
type resultJSON struct {
	Outcome       invoice.Outcome `json:"outcome"`
	InvoiceNumber string          `json:"invoice_number"`
	InvoiceID     int64           `json:"invoice_id"`
	Reason        invoice.Reason  `json:"reason,omitempty"`
	JobID         string          `json:"job_id"`
	Worker        string          `json:"worker"`
}

// acknowledge tells the queue about a recorded end: nil completes the task, and [asynq.SkipRetry] archives it.
func (a *attempt) acknowledge(ctx context.Context, end invoice.End) error {
	switch end.Outcome {
	case invoice.Created, invoice.Duplicate:
		result, err := json.Marshal(resultJSON{
			Outcome: end.Outcome, InvoiceNumber: end.Invoice.Number, InvoiceID: end.Invoice.ID,
			Reason: end.Reason, JobID: a.jobID, Worker: a.worker,
		})
		// Where the queue has given up waiting, the task may be gone, and a result would be left behind for ever.
		if err == nil && ctx.Err() == nil && a.task.ResultWriter() != nil {
			// A result that can't be shown changes nothing about the end, which is committed.
			_, _ = a.task.ResultWriter().Write(result)
		}
		return nil
	default:
		return errors.Join(fmt.Errorf("%s: %s", end.Outcome, end.Detail), asynq.SkipRetry)
	}
}
