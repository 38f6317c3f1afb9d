package client

import (
	"bytes"
	"context"
	"net/http"
	"net/url"

	"github.com/google/uuid"

	"invoicer/invoice"
)

// What goes into one batch at most, in jobs and in bytes.
const (
	batchJobs  = 1000
	batchBytes = 8 << 20
)

// A Result is what became of one of many jobs.
type Result struct {
	Receipt // of a job that was accepted

	// Err is why the job wasn't accepted, or nil. For a job that can never be an invoice it wraps an [*invoice.InvalidError].
	Err error
}

// AcceptMany is Accept for many jobs, in as few requests as possible. Unlike [Client.AcceptMany] it doesn't accept all or none: each job has a
// result of its own, in the order of the jobs, and those that can't be accepted now are sent again like any request.
//
// The error says why some jobs were given up: ctx has ended, or a whole request was refused. The results of those have it, too; whether they
// were accepted isn't known. Asking again for jobs that were accepted is safe: each repeat is a job of its own that ends as a duplicate.
func (h *HTTP) AcceptMany(ctx context.Context, jobs []*invoice.Job, queue ...string) ([]Result, error) {
	results := make([]Result, len(jobs))
	payloads := make([][]byte, len(jobs))
	left := make([]int, 0, len(jobs)) // the places of those to be sent
	for i, job := range jobs {
		if _, payloads[i], results[i].Err = h.named(job); results[i].Err == nil {
			left = append(left, i)
		}
	}
	for tries := 0; len(left) > 0; tries++ {
		n := batchOf(payloads, left)
		again, refused, err := h.acceptBatch(ctx, h.queue(queue), payloads, left[:n], results)
		if err != nil {
			for _, i := range left {
				results[i].Err = err
			}
			return results, err
		}
		if len(again) == 0 {
			tries = -1
		}
		left = append(again, left[n:]...)
		if len(again) > 0 {
			r := &httpRequest{method: http.MethodPost, path: batchPath}
			_, after := mayRetry(refused)
			if err := h.pause(ctx, r, refused, pauseOf(tries, after), tries+1); err != nil {
				for _, i := range left {
					results[i].Err = err
				}
				return results, err
			}
		}
	}
	return results, nil
}

const batchPath = "/v1/jobs/batch"

// batchOf returns how many of the jobs go into one batch, at least one.
func batchOf(payloads [][]byte, left []int) int {
	n, size := 0, 0
	for n < min(len(left), batchJobs) && (n == 0 || size+len(payloads[left[n]]) <= batchBytes) {
		size += len(payloads[left[n]]) + 1
		n++
	}
	return n
}

// acceptBatch sends one batch and fills in the results of its jobs. It returns the places of those that may be sent again, and why they
// weren't accepted.
func (h *HTTP) acceptBatch(ctx context.Context, query url.Values, payloads [][]byte, places []int, results []Result) (again []int, why error, err error) {
	jobs := make([][]byte, len(places))
	for n, i := range places {
		jobs[n] = payloads[i]
	}
	body := append(append([]byte("["), bytes.Join(jobs, []byte(","))...), ']')
	// Jobs that are sent again are another content, and so have another key.
	answer, err := h.send(ctx, &httpRequest{
		method: http.MethodPost, path: batchPath, query: query, body: body, header: http.Header{keyHeader: {headerKey(uuid.NewString())}},
	})
	if err != nil {
		return nil, nil, err
	}
	var told struct {
		Jobs []struct {
			Index         int           `json:"index"`
			Status        string        `json:"status"`
			JobID         string        `json:"job_id"`
			InvoiceNumber string        `json:"invoice_number"`
			Problem       *ProblemError `json:"problem"`
		} `json:"jobs"`
	}
	if err := answer.into(&told); err != nil {
		return nil, nil, err
	}
	queue := query.Get("queue")
	if queue == "" {
		queue = "default"
	}
	known := make(map[int]bool, len(places))
	for _, one := range told.Jobs {
		if one.Index < 0 || one.Index >= len(places) || known[one.Index] {
			continue
		}
		known[one.Index] = true
		i := places[one.Index]
		switch {
		case one.JobID != "":
			results[i].Receipt = Receipt{JobID: one.JobID, Queue: queue, Status: Inserted, InvoiceNumber: one.InvoiceNumber}
		case one.Problem == nil, one.Status == "unavailable":
			again, why = append(again, i), &ProblemError{Status: http.StatusServiceUnavailable, Title: "Service Unavailable"}
			if one.Problem != nil {
				why = one.Problem
			}
		default:
			results[i].Err = one.Problem
		}
	}
	for n, i := range places {
		if !known[n] {
			again, why = append(again, i), &ProblemError{Status: http.StatusServiceUnavailable, Title: "Service Unavailable", Detail: "the answer has no result of some jobs"}
		}
	}
	return again, why, nil
}
