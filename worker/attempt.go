package worker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/hibiken/asynq"

	"invoicer/invoice"
	"invoicer/worker/client"
)

// An attempt is one run of one job.
type attempt struct {
	task    *asynq.Task
	jobID   string
	queue   string
	worker  string
	begun   time.Time
	retried int // failures before this attempt, as the queue has counted them
	limit   int // failures after which the queue gives up by itself

	transactionID, idempotencyKey, producer string // as far as the payload tells
}

func newAttempt(ctx context.Context, task *asynq.Task, worker string) *attempt {
	a := &attempt{task: task, worker: worker, begun: time.Now(), limit: math.MaxInt32}
	id, _ := asynq.GetTaskID(ctx)
	a.jobID = JobID(id, task.Headers())
	a.queue, _ = asynq.GetQueueName(ctx)
	a.retried, _ = asynq.GetRetryCount(ctx)
	if limit, ok := asynq.GetMaxRetry(ctx); ok {
		a.limit = limit
	}
	return a
}

// maxJobID keeps a foreign task id small enough for a lock's value and an index.
const maxJobID = 255

// JobID is the identity of a task's job. A task from the ledger names it in a header; that of one that was enqueued
// straight into Redis is its task's. Foreign ids may be anything that asynq takes; what Postgres would refuse is replaced
// by its digest, so that the identity stays one.
func JobID(taskID string, headers map[string]string) string {
	if id := headers[client.JobIDHeader]; id != "" {
		taskID = id
	}
	if taskID != "" && len(taskID) <= maxJobID && strings.ToValidUTF8(taskID, "") == taskID && !strings.ContainsRune(taskID, 0) {
		return taskID
	}
	sum := sha256.Sum256([]byte(taskID))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// distinctJobID tells a job from the one that ended well under the same foreign task id.
func distinctJobID(id string, payload []byte) string {
	sum := sha256.Sum256(payload)
	return id + "#" + hex.EncodeToString(sum[:6])
}

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
		Worker: a.worker, Queue: a.queue, Payload: a.task.Payload(), Attempts: a.number(),
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

// LostJob is the end of a job that the queue has given up on without asking a worker.
func LostJob(info *asynq.TaskInfo, worker, why string) invoice.End {
	a := &attempt{
		task: asynq.NewTaskWithHeaders(info.Type, info.Payload, info.Headers), jobID: JobID(info.ID, info.Headers),
		queue: info.Queue, worker: worker, retried: info.Retried,
	}
	job, _ := invoice.Decode(info.Payload) // of a bad one, what could be read
	a.identify(job)
	return a.end(invoice.Failed, why)
}

// exhausted tells whether the job has had its last chance with err: as many real failures as the worker, or the task's
// producer, allows; or no worker here knows its version, and the queue won't keep it for a newer one.
func (a *attempt) exhausted(err error, maxRetry int) bool {
	var version *invoice.VersionError
	return isFailure(err) && a.retried >= min(maxRetry, a.limit) || errors.As(err, &version) && a.retried >= a.limit
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
