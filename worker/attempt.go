package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/hibiken/asynq"

	"invoicer/internal/tracing"
	"invoicer/invoice"
	"invoicer/invoice/ledger"
	"invoicer/worker/client"
)

// An attempt is one run of one job.
type attempt struct {
	task    *asynq.Task
	payload []byte // the task's, or the one that the ledger has accepted
	jobID   string
	queue   string
	worker  string
	begun   time.Time
	retried int  // failures before this attempt, as counted by the queue
	limit   int  // number of failures at which the queue gives up by itself
	final   bool // the queue gives up after this attempt

	others     []string         // ids of other jobs that the task may belong to, until the ledger is asked
	fromLedger bool             // its task says that the ledger sent it, or the ledger says so
	altered    bool             // the task isn't as the ledger sent it
	lockWait   time.Duration    // for a lock that was held
	series     invoice.SeriesID // of the invoice, if this attempt made it
	since      time.Duration    // since the ledger accepted the job, if this attempt made the invoice
	doneEntry  bool             // Redis knew that the transaction was invoiced
	counted    bool             // the ledger has counted this attempt as one after many crashes
	span       *tracing.Span    // of the attempt; nil if nothing is traced

	issuer, transactionID, idempotencyKey, producer string // as far as the payload states them
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

// mostRetried caps the number of failures that is taken from the queue, since the number is recorded.
const mostRetried = 1_000_000

func (a *attempt) number() int { return a.retried + 1 }

// identify takes over the job's ids, each of which may be "" for a bad payload.
func (a *attempt) identify(job *invoice.Job) {
	if job != nil {
		a.issuer, a.transactionID, a.idempotencyKey, a.producer = job.Issuer, job.TransactionID, job.IdempotencyKey, job.Producer
	}
}

// nameProducer adds the producer that the ledger knows to a job that states none.
func (a *attempt) nameProducer(job *invoice.Job) {
	if known := a.task.Headers()[client.ProducerHeader]; job != nil && job.Producer == "" && invoice.IsProducer(known) {
		job.Producer = known
	}
}

func (a *attempt) end(o invoice.Outcome, detail string) *ledger.End {
	end := &ledger.End{
		JobID: a.jobID, Outcome: o, Detail: detail,
		Issuer: a.issuer, TransactionID: a.transactionID, IdempotencyKey: a.idempotencyKey, Producer: a.producer,
		Worker: a.worker, Queue: a.queue, Payload: a.payload, Attempts: a.number(), Began: a.begun,
	}
	if kind := a.task.Type(); kind != client.TaskType {
		end.TaskType = kind
	}
	return end
}

func (a *attempt) result(r invoice.Result) *ledger.End {
	end := a.end(r.Outcome, r.Detail)
	end.Invoice, end.Reason = r.Invoice, r.Reason
	if r.Outcome == invoice.Duplicate {
		end.Differs = r.Differs
	}
	return end
}

// failed returns the end of a job whose retries are used up.
func (a *attempt) failed(cause error) *ledger.End {
	attempts := "1 attempt"
	if n := a.number(); n != 1 {
		attempts = fmt.Sprintf("%d attempts", n)
	}
	return a.end(invoice.Failed, "given up after "+attempts+": "+cause.Error())
}

// LostJob returns the end of a job that the queue has given up on without a worker. The job is the one in payload, or
// the task's if payload is nil.
func LostJob(info *asynq.TaskInfo, jobID string, payload []byte, worker, why string) ledger.End {
	if payload == nil {
		payload = info.Payload
	}
	a := &attempt{
		task: asynq.NewTaskWithHeaders(info.Type, payload, info.Headers), payload: payload, jobID: jobID,
		queue: info.Queue, worker: worker, retried: min(max(info.Retried, 0), mostRetried),
	}
	job, _ := invoice.Decode(payload) // for a bad payload, the part that could be read
	a.nameProducer(job)
	a.identify(job)
	return *a.end(invoice.Failed, why)
}

// resultJSON is the result that asynqmon shows for a finished job.
type resultJSON struct {
	Outcome       invoice.Outcome `json:"outcome"`
	InvoiceNumber string          `json:"invoice_number"`
	InvoiceID     int64           `json:"invoice_id,omitempty"`
	ImportedID    int64           `json:"imported_id,omitempty"` // instead, of a duplicate of an import
	Reason        invoice.Reason  `json:"reason,omitempty"`
	JobID         string          `json:"job_id"`
	Worker        string          `json:"worker"`
}

// acknowledge returns what a recorded end means to the queue: nil completes the task, and [asynq.SkipRetry] archives it.
func (a *attempt) acknowledge(ctx context.Context, end *ledger.End) error {
	switch end.Outcome {
	case invoice.Created, invoice.Duplicate:
		named := resultJSON{Outcome: end.Outcome, InvoiceNumber: end.Invoice.Number, Reason: end.Reason, JobID: a.jobID, Worker: a.worker}
		if end.Invoice.Imported != nil {
			named.ImportedID = end.Invoice.ID
		} else {
			named.InvoiceID = end.Invoice.ID
		}
		result, err := json.Marshal(named)
		// If ctx has ended, the queue has given up waiting: the task may be gone, and a result would stay for ever.
		if err == nil && ctx.Err() == nil && a.task.ResultWriter() != nil {
			// The end is committed, so an error of writing the result is ignored.
			_, _ = a.task.ResultWriter().Write(result)
		}
		return nil
	default:
		return errors.Join(fmt.Errorf("%s: %s", end.Outcome, end.Detail), asynq.SkipRetry)
	}
}
