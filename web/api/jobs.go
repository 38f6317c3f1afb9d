package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"

	"invoicer/internal/report"
	"invoicer/invoice"
	"invoicer/invoice/ledger"
	"invoicer/web/access"
)

// postJob asks for an invoice.
type postJob struct {
	Queue string `query:"queue" default:"default" pattern:"^[a-z0-9_-]{1,255}$" doc:"the queue, which a worker must have consumed before"`
	Key   string `header:"Idempotency-Key" doc:"with the same key, the same job is accepted once, and the answer is the same again, for 30 days; 1 to 255 printable characters, in quotes or not. Keys are the token's own. Default: the job's own idempotency_key"`

	Prefer  string `header:"Prefer" doc:"wait=N has the answer wait for the invoice, for N seconds at most; N is 30 at most"`
	Trace   string `header:"traceparent" doc:"the span of a trace that the job's work is to continue (W3C Trace Context)"`
	RawBody []byte
}

// A JobAnswer says which job was accepted, and what was there of its transaction.
type JobAnswer struct {
	JobID         string `json:"job_id"`
	Queue         string `json:"queue"`
	Status        string `json:"status" enum:"inserted,known,duplicate" doc:"what was there of the transaction: nothing (inserted), a job that had no end yet (known), its invoice (duplicate). The job ends as a duplicate then, or as a conflict if its content differs"`
	KnownJobID    string `json:"known_job_id,omitempty" doc:"that job"`
	InvoiceNumber string `json:"invoice_number,omitempty" doc:"the number of that invoice; with Prefer: wait the number of the job's own, too"`

	State   string           `json:"state,omitempty" enum:"done,failed,dismissed" doc:"with Prefer: wait, once the job has come to its end"`
	Outcome string           `json:"outcome,omitempty" enum:"created,duplicate,conflict,invalid,failed" doc:"likewise: how it has ended"`
	Reason  string           `json:"reason,omitempty" doc:"likewise: why it made no invoice, or how the duplicate was found"`
	Invoice *report.Document `json:"invoice,omitempty" doc:"likewise: what it has made, or is a duplicate of"`
}

type jobPosted struct {
	Status     int
	Location   string `header:"Location" doc:"where the job can be looked at"`
	Applied    string `header:"Preference-Applied" doc:"the wait that was granted"`
	Replayed   string `header:"Idempotency-Replayed" doc:"true if an earlier request with the same key, in the header or in the job, has made the job"`
	RetryAfter string `header:"Retry-After" doc:"after how many seconds to look at the job"`
	Body       JobAnswer
}

func (a *API) postJob(ctx context.Context, in *postJob) (_ *jobPosted, err error) {
	began := time.Now()
	visitor := access.In(ctx)
	key, keyFault := idempotencyKey(in.Key)
	wait, waits, waitFault := preferredWait(in.Prefer)
	request, err := a.request(visitor, in.RawBody, in.Queue)
	defer func() { a.countRefusal(visitor, request.job, err) }()
	if request, err = withFaults(request, err, keyFault, waitFault); err != nil {
		return nil, err
	}
	request.bind(visitor, key)
	request.Traceparent = in.Trace
	var accepted ledger.Acceptance
	err = a.work(ctx, func(ctx context.Context) (err error) {
		accepted, err = a.accept(ctx, request)
		return err
	})
	if err != nil {
		return nil, err
	}
	a.o.Accepted(accepted.JobID)
	posted := &jobPosted{Status: http.StatusAccepted, Location: Prefix + "jobs/" + accepted.JobID, Body: JobAnswer{
		JobID: accepted.JobID, Queue: accepted.Queue, Status: string(accepted.Standing), KnownJobID: accepted.KnownJobID, InvoiceNumber: accepted.InvoiceNumber,
	}}
	if accepted.Repeated {
		posted.Replayed = "true"
	}
	if !waits {
		return posted, nil
	}
	posted.Applied = "wait=" + strconv.Itoa(int(wait/time.Second))
	in.RawBody, request = nil, asked{}
	letGo(ctx)
	letWait(ctx, time.Until(began.Add(wait)))
	limit, cancel := context.WithDeadline(ctx, began.Add(wait))
	defer cancel()
	if end := a.waiters.await(limit, accepted.JobID); end != nil {
		posted.ended(end)
	} else {
		posted.RetryAfter = "1"
	}
	return posted, nil
}

// ended adds how the job has ended.
func (p *jobPosted) ended(end *report.JobState) {
	b := &p.Body
	b.State, b.Invoice = end.State, end.Document
	if end.Outcome != nil {
		b.Outcome = *end.Outcome
	}
	if end.Reason != nil {
		b.Reason = *end.Reason
	}
	if end.InvoiceNumber == nil {
		return
	}
	b.InvoiceNumber = *end.InvoiceNumber
	switch invoice.Outcome(b.Outcome) {
	case invoice.Created:
		p.Status = http.StatusCreated
	case invoice.Duplicate:
		p.Status = http.StatusOK
	case invoice.Conflict, invoice.Invalid, invoice.Failed:
	}
}

// An asked is a request for a job, with the job that was read. Beside an error it is the part of the job that could be read.
type asked struct {
	ledger.Request
	job *invoice.Job
}

// countRefusal counts a job that was refused.
func (a *API) countRefusal(visitor access.Visitor, job *invoice.Job, err error) {
	var p *ProblemError
	if errors.As(err, &p) && (p.Status == http.StatusUnprocessableEntity || p.Status == http.StatusForbidden) {
		a.o.Refused(cmp.Or(visitor.Producer, job.Producer))
	}
}

// request reads a job, as the visitor may ask for it.
func (a *API) request(visitor access.Visitor, body []byte, queue string) (asked, error) {
	job, err := invoice.Decode(body)
	if err != nil {
		return asked{job: job}, refusalOf(err)
	}
	if visitor.Producer != "" {
		if job.Producer != "" && job.Producer != visitor.Producer {
			return asked{job: job}, problemOf(http.StatusForbidden, "the token's jobs are of the producer "+visitor.Producer,
				Fault{Detail: "must be " + visitor.Producer + ", or be left out", Field: "producer", Pointer: "/producer"})
		}
		job.Producer = visitor.Producer
	}
	if !visitor.Issuers.Has(job.Issuer) {
		return asked{job: job}, problemOf(http.StatusForbidden, "the token is limited to the issuers "+visitor.Issuers.String(),
			Fault{Detail: "must be one of " + visitor.Issuers.String(), Field: "issuer", Pointer: "/issuer"})
	}
	payload, err := job.Encode()
	if err != nil {
		return asked{job: job}, refusalOf(err)
	}
	return asked{ledger.Request{
		JobID: uuid.Must(uuid.NewV7()).String(), Queue: queue, Issuer: job.Issuer, TransactionID: job.TransactionID, Payload: payload,
	}, job}, nil
}

// check returns the settings of a job's issuer, or the refusal of a job whose date or issuer is beyond the settings, or which lacks what the
// profile of its series asks for. The write checks all of it again. What was accepted before isn't refused: its client asks again for the answer
// that was lost, and whoever is told to correct it would ask for a second invoice.
func (a *API) check(ctx context.Context, r asked) (*invoice.Settings, error) {
	settings, err := a.o.Settings.Current(ctx, r.job.Issuer)
	switch {
	case isNoIssuer(err):
		return nil, invoice.NoIssuer(r.job.Issuer)
	case err != nil:
		return nil, err
	}
	if err = settings.CheckDate(r.job.IssuedAt, time.Now()); err == nil {
		err = a.o.Forecaster.Judge(ctx, r.job)
	}
	if !errors.As(err, new(*invoice.InvalidError)) {
		return settings, err
	}
	before, askErr := a.o.Ledger.Asked(ctx, r.Request)
	switch {
	case askErr != nil:
		return nil, askErr
	case before:
		return settings, nil
	}
	return settings, err
}
