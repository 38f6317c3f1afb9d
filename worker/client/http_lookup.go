package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"invoicer/invoice"
)

// A Document is what the HTTP API tells of an invoice or credit note. Amounts are in the currency's minor units.
type Document struct {
	Issuer        string    `json:"issuer"`         // "" is the one without a name; told by [HTTP.LookupInvoice] alone
	TransactionID string    `json:"transaction_id"` // likewise
	InvoiceNumber string    `json:"invoice_number"`
	Kind          string    `json:"kind"` // invoice, credit_note
	Series        string    `json:"series"`
	JobID         string    `json:"job_id"` // that has made it
	Currency      string    `json:"currency"`
	SubtotalMinor int64     `json:"subtotal_minor"`
	TaxMinor      int64     `json:"tax_minor"`
	TotalMinor    int64     `json:"total_minor"`
	PayableMinor  int64     `json:"payable_minor"`
	IssuedAt      time.Time `json:"issued_at"`
	DocumentDate  string    `json:"document_date"` // the day of issue; "" if IssuedAt is the document's date
	CreatedAt     time.Time `json:"created_at"`
}

// A JobStanding is the state of a job.
type JobStanding struct {
	JobID         string
	Issuer        string // "" is the one without a name
	TransactionID string
	Queue         string
	State         State // accepted, enqueued, paused, done, failed, dismissed
	PausedSeries  string
	End           *End // nil while it has none
}

// Done is the state of a job that has ended with an invoice or as a duplicate.
const Done State = "done"

// jobState is the API's answer about a job.
type jobState struct {
	JobID         string          `json:"job_id"`
	Issuer        string          `json:"issuer"`
	TransactionID string          `json:"transaction_id"`
	Queue         string          `json:"queue"`
	State         State           `json:"state"`
	Outcome       invoice.Outcome `json:"outcome"`
	Reason        string          `json:"reason"`
	InvoiceNumber string          `json:"invoice_number"`
	Invoice       *Document       `json:"invoice"`
	PausedSeries  string          `json:"paused_series"`
	UpdatedAt     time.Time       `json:"updated_at"`
}

// LookupJob returns the state of a job. A token that only hands jobs in sees those of its producer. If the ledger has no such job, the error
// wraps [ErrUnknownJob].
func (h *HTTP) LookupJob(ctx context.Context, jobID string) (JobStanding, error) {
	var s jobState
	switch found, err := h.get(ctx, "/v1/jobs/"+segment(jobID), nil, &s); {
	case err != nil:
		return JobStanding{}, err
	case !found:
		return JobStanding{}, fmt.Errorf("look up job %s: %w", jobID, ErrUnknownJob)
	}
	j := JobStanding{JobID: s.JobID, Issuer: s.Issuer, TransactionID: s.TransactionID, Queue: s.Queue, State: s.State, PausedSeries: s.PausedSeries}
	switch s.State {
	case Accepted:
		if s.PausedSeries != "" {
			j.State = Paused
		}
	case Done, Failed, Dismissed:
		j.End = &End{
			JobID: s.JobID, Issuer: s.Issuer, TransactionID: s.TransactionID, Outcome: s.Outcome, InvoiceNumber: s.InvoiceNumber, Reason: s.Reason,
			Dismissed: s.State == Dismissed, At: s.UpdatedAt, Document: s.Invoice,
		}
	case Unknown, Enqueued, Paused, Invoiced:
	}
	return j, nil
}

// Wait returns once the job has ended, as [Client.Wait] does. If the ledger has no such job, the error wraps [ErrUnknownJob]. Whoever asks and
// waits in one uses [HTTP.Invoice], which costs less.
func (h *HTTP) Wait(ctx context.Context, jobID string) (End, error) {
	for tries, pause := 1, firstPause; ; tries, pause = tries+1, min(pause*3/2, mostPause) {
		j, err := h.LookupJob(ctx, jobID)
		if err != nil {
			return End{}, fmt.Errorf("wait for job %s: %w", jobID, err)
		}
		if j.End != nil {
			return *j.End, nil
		}
		next := time.NewTimer(pause)
		select {
		case <-next.C:
		case <-ctx.Done():
			next.Stop()
			return End{}, fmt.Errorf("wait for job %s: %w", jobID, context.Cause(ctx))
		}
	}
}

// Lookup returns the state of a transaction of the client's issuer: see [HTTPOptions].Issuer. The token needs the role read. An unknown
// transaction is no error: its state is [Unknown].
func (h *HTTP) Lookup(ctx context.Context, transactionID string) (Standing, error) {
	return h.LookupOf(ctx, h.options.Issuer, transactionID)
}

// storyJobs is how many jobs are told of a transaction at most.
const storyJobs = "1000"

// LookupOf is Lookup for a transaction of the given issuer, "" for the one without a name. Of a transaction with more than 1,000 jobs, Waiting
// counts those among the first 1,000.
func (h *HTTP) LookupOf(ctx context.Context, issuer, transactionID string) (Standing, error) {
	var story struct {
		Invoice *Document `json:"invoice"`
		Imports []struct {
			InvoiceNumber string     `json:"invoice_number"`
			Currency      string     `json:"currency"`
			TotalMinor    int64      `json:"total_minor"`
			IssuedAt      time.Time  `json:"issued_at"`
			WithdrawnAt   *time.Time `json:"withdrawn_at"`
		} `json:"imports"`
		Jobs []jobState `json:"jobs"`
	}
	s := Standing{Issuer: issuer, TransactionID: transactionID, State: Unknown}
	query := url.Values{"issuer": {cmp.Or(issuer, "none")}, "limit": {storyJobs}}
	found, err := h.get(ctx, "/v1/transactions/"+segment(transactionID), query, &story)
	if err != nil || !found {
		return s, err
	}
	states := make(map[State]bool)
	var failedAt time.Time
	for i := range story.Jobs {
		j := &story.Jobs[i]
		state := j.State
		switch {
		case state == Accepted && j.PausedSeries != "":
			state, s.PausedSeries = Paused, max(s.PausedSeries, j.PausedSeries)
			s.Waiting++
		case state == Accepted, state == Enqueued:
			s.Waiting++
		case state == Failed && !j.UpdatedAt.Before(failedAt):
			failedAt, s.Failed = j.UpdatedAt, Failure{JobID: j.JobID, Outcome: j.Outcome, Reason: j.Reason}
		}
		states[state] = true
	}
	for _, state := range []State{Dismissed, Failed, Paused, Accepted, Enqueued} { // the furthest comes last
		if states[state] {
			s.State = state
		}
	}
	if d := story.Invoice; d != nil {
		s.State, s.InvoiceNumber, s.Kind, s.Currency, s.TotalMinor, s.InvoicedAt = Invoiced, d.InvoiceNumber, d.Kind, d.Currency, d.TotalMinor, d.CreatedAt
		return s, nil
	}
	for _, i := range story.Imports {
		if i.WithdrawnAt == nil {
			s.State, s.Imported, s.InvoiceNumber, s.Currency, s.TotalMinor, s.InvoicedAt = Invoiced, true, i.InvoiceNumber, i.Currency, i.TotalMinor, i.IssuedAt
		}
	}
	return s, nil
}

// ErrNoInvoice means that there is no invoice with a number.
var ErrNoInvoice = errors.New("no such invoice")

// LookupInvoice returns the invoice or credit note of the client's issuer with a number. The token needs the role read. If there is none, the
// error wraps [ErrNoInvoice].
func (h *HTTP) LookupInvoice(ctx context.Context, number string) (Document, error) {
	var d Document
	found, err := h.get(ctx, "/v1/invoices/"+segment(number), url.Values{"issuer": {cmp.Or(h.options.Issuer, "none")}}, &d)
	if err == nil && !found {
		err = fmt.Errorf("look up invoice %s: %w", number, ErrNoInvoice)
	}
	return d, err
}

// get reads a resource, and reports whether it is there.
func (h *HTTP) get(ctx context.Context, path string, query url.Values, into any) (found bool, err error) {
	answer, err := h.send(ctx, &httpRequest{method: http.MethodGet, path: path, query: query})
	var p *ProblemError
	if errors.As(err, &p) && p.Status == http.StatusNotFound && !p.foreign {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, answer.into(into)
}

// segment returns an id as a part of a path. Servers and proxies take one of dots alone for a way up.
func segment(id string) string {
	if id == "." || id == ".." {
		return strings.ReplaceAll(id, ".", "%2E")
	}
	return url.PathEscape(id)
}
