package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/go-json-experiment/json/jsontext"

	"invoicer/invoice"
	"invoicer/invoice/ledger"
	"invoicer/web/access"
)

const (
	// mostJobs and mostBatch bound a batch that is one JSON array, in jobs and in bytes.
	mostJobs  = 1000
	mostBatch = 16 << 20
	// pieceJobs and pieceBytes are how much of a stream is accepted at once.
	pieceJobs  = 500
	pieceBytes = 4 << 20
	// pieceTime is how long a client may take to send a piece, and to read its results.
	pieceTime = 30 * time.Second
	// pauseAfterFailure is how long a stream isn't read on after a piece of it couldn't be accepted: the next one would meet the same.
	pauseAfterFailure = time.Second
	// streamPatience is how long a piece of a stream waits for its turn: its client is slowed down rather than sent away.
	streamPatience = 10 * time.Second
)

const ndjson = "application/x-ndjson"

// A BatchResult is what became of one job of a batch.
type BatchResult struct {
	Index         int           `json:"index" doc:"the job's place among those that were sent, from 0; empty lines don't count"`
	Status        string        `json:"status" enum:"inserted,known,duplicate,refused,unavailable" doc:"inserted, known, duplicate: the job was accepted, and what was there of its transaction is nothing, a job that had no end yet, its invoice; refused: it never will be as it is; unavailable: it wasn't accepted, and may be sent again"`
	JobID         string        `json:"job_id,omitempty"`
	KnownJobID    string        `json:"known_job_id,omitempty" doc:"if known: that job, which may be one of the same batch"`
	InvoiceNumber string        `json:"invoice_number,omitempty" doc:"of a duplicate: the number of the invoice that its transaction has"`
	Problem       *ProblemError `json:"problem,omitempty" doc:"why it wasn't accepted"`
}

// Batch has the results of a batch, in the order of its jobs.
type Batch struct {
	Accepted int           `json:"accepted"`
	Refused  int           `json:"refused"`
	Jobs     []BatchResult `json:"jobs" nullable:"false"`
}

// postBatch accepts the jobs of a JSON array, or of a stream.
func (a *API) postBatch(ctx huma.Context) {
	r, w := humago.Unwrap(ctx)
	queue := ctx.Query("queue")
	if queue == "" {
		queue = "default"
	}
	switch mediaType(ctx.Header("Content-Type")) {
	case ndjson:
		a.stream(r, w, queue)
	case "application/json":
		a.array(r, w, queue)
	default:
		a.answer(ctx, unsupported("application/json, or "+ndjson+" for a stream"))
	}
}

func unsupported(wanted string) *ProblemError {
	return problemOf(http.StatusUnsupportedMediaType, "the body must be "+wanted, Fault{Detail: "must be " + wanted, Header: "Content-Type"})
}

func (a *API) array(r *http.Request, w http.ResponseWriter, queue string) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(pieceTime)) // an error means that there is no limit
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostBatch))
	if err != nil {
		writeProblem(w, unread(err, "a batch has 16 MiB at most: send the rest in another one, or all as "+ndjson))
		return
	}
	jobs, err := elements(body)
	if err != nil {
		writeProblem(w, err)
		return
	}
	if v := a.newMeter(access.In(r.Context())).count(r.Context(), len(jobs)); v != nil {
		v.tell(w.Header().Set)
	}
	batch := Batch{Jobs: make([]BatchResult, 0, len(jobs))}
	for len(jobs) > 0 {
		n := fits(jobs)
		results, err := a.piece(r.Context(), jobs[:n], queue, len(batch.Jobs), patience)
		if err != nil && len(batch.Jobs) == 0 {
			writeProblem(w, err)
			return
		}
		batch.Jobs, jobs = append(batch.Jobs, results...), jobs[n:]
	}
	for i := range batch.Jobs {
		if batch.Jobs[i].JobID != "" {
			batch.Accepted++
		} else {
			batch.Refused++
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(batch) // the client may be gone
}

// unread returns the answer to a body that couldn't be read.
func unread(err error, tooLong string) error {
	if errors.As(err, new(*http.MaxBytesError)) {
		return problemOf(http.StatusRequestEntityTooLarge, tooLong)
	}
	return problemOf(http.StatusBadRequest, "the body couldn't be read to its end")
}

// fits returns how many of the jobs, one at least, are accepted at once.
func fits(jobs [][]byte) int {
	n, size := 0, 0
	for n < min(len(jobs), pieceJobs) && (n == 0 || size+len(jobs[n]) <= pieceBytes) {
		size += len(jobs[n])
		n++
	}
	return n
}

// elements returns the elements of a JSON array as they are.
func elements(body []byte) (jobs [][]byte, err error) {
	tokens := jsontext.NewDecoder(bytes.NewBuffer(body), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) // of each job by itself
	wrong := func(detail string) error {
		return problemOf(http.StatusUnprocessableEntity, "the batch must be a JSON array of jobs, and none of them is accepted", Fault{Detail: detail, Field: "payload"})
	}
	if tokens.PeekKind() != '[' {
		return nil, wrong("must be a JSON array")
	}
	if _, err := tokens.ReadToken(); err != nil {
		return nil, wrong("is not valid JSON")
	}
	for tokens.PeekKind() != ']' {
		value, err := tokens.ReadValue()
		if err != nil {
			return nil, wrong("is not valid JSON")
		}
		if len(jobs) == mostJobs {
			return nil, wrong("must have 1,000 jobs at most: send the rest in another one, or all as " + ndjson)
		}
		jobs = append(jobs, bytes.Clone(value))
	}
	if _, err := tokens.ReadToken(); err != nil || len(bytes.TrimSpace(body[tokens.InputOffset():])) > 0 {
		return nil, wrong("is not valid JSON")
	}
	return jobs, nil
}

// stream accepts jobs line by line, and answers each piece of them before it reads the next.
func (a *API) stream(r *http.Request, w http.ResponseWriter, queue string) {
	control := http.NewResponseController(w)
	_ = control.EnableFullDuplex() // HTTP/2 is always so
	lines := bufio.NewReaderSize(r.Body, 64<<10)
	out := json.NewEncoder(w)
	begun := false
	limit := a.newMeter(access.In(r.Context()))
	for index, ended := 0, false; !ended; {
		_ = control.SetReadDeadline(time.Now().Add(pieceTime))
		jobs, err := readPiece(lines)
		ended = err != nil
		if err != nil && !errors.Is(err, io.EOF) {
			if !begun {
				writeProblem(w, problemOf(http.StatusBadRequest, "the body couldn't be read to its end"))
			}
			return
		}
		charged := limit.count(r.Context(), len(jobs))
		_ = control.SetWriteDeadline(time.Now().Add(pieceTime))
		results, err := a.piece(r.Context(), jobs, queue, index, streamPatience)
		if err != nil && !begun {
			writeProblem(w, err)
			return
		}
		if !begun {
			w.Header().Set("Content-Type", ndjson)
			w.WriteHeader(http.StatusOK)
			begun = true
		}
		for i := range results {
			if out.Encode(results[i]) != nil {
				return
			}
		}
		if control.Flush() != nil {
			return
		}
		// The stream goes on: if it ended here, a client that is still sending would lose results that it hasn't read yet together with its connection.
		if err != nil && !ended && !a.wait(r.Context(), pauseAfterFailure) {
			return
		}
		// A client that sends more than its limit is slowed down to it: it is read on once what it has sent is made up for.
		if charged != nil && !charged.Allowed && !ended && !a.wait(r.Context(), charged.Retry) {
			return
		}
		index += len(jobs)
	}
}

// wait returns whether so much time has passed before ctx ended, or the process stopped.
func (a *API) wait(ctx context.Context, d time.Duration) bool {
	pause := time.NewTimer(d)
	defer pause.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-a.ended:
		return false
	case <-pause.C:
		return true
	}
}

// readPiece returns the next lines that aren't empty. Of a line that is too long for a job it returns the beginning, which is refused. It
// waits for the first of them alone; the error is [io.EOF] at the end.
func readPiece(lines *bufio.Reader) (jobs [][]byte, err error) {
	for size := 0; len(jobs) < pieceJobs && size < pieceBytes; {
		var line []byte
		for {
			part, err2 := lines.ReadSlice('\n')
			if room := invoice.MaxPayload + 1 - len(line); room > 0 {
				line = append(line, part[:min(len(part), room)]...)
			}
			if err = err2; !errors.Is(err, bufio.ErrBufferFull) {
				break
			}
		}
		if line = bytes.TrimSpace(line); len(line) > 0 {
			jobs = append(jobs, line)
			size += len(line)
		}
		if err != nil || len(jobs) > 0 && lines.Buffered() == 0 {
			return jobs, err
		}
	}
	return jobs, nil
}

// piece accepts jobs at once, and returns the result of each. The error is that of all of them, which are then unavailable or refused.
func (a *API) piece(ctx context.Context, jobs [][]byte, queue string, index int, patience time.Duration) ([]BatchResult, error) {
	visitor := access.In(ctx)
	results := make([]BatchResult, len(jobs))
	var requests []asked
	var of []*BatchResult
	for i, body := range jobs {
		results[i].Index = index + i
		request, err := a.request(visitor, body, queue)
		if err != nil {
			a.countRefusal(visitor, request.job, err)
			results[i].refuse(err)
			continue
		}
		requests, of = append(requests, request), append(of, &results[i])
	}
	err := a.workWithin(ctx, patience, func(ctx context.Context) error {
		kept := requests[:0]
		into := of[:0]
		for i, request := range requests {
			_, err := a.check(ctx, request)
			switch {
			case errors.As(err, new(*invoice.InvalidError)):
				of[i].refuse(refusalOf(err))
			case err != nil:
				return err
			default:
				kept, into = append(kept, request), append(into, of[i])
			}
		}
		requests, of = kept, into
		return a.acceptAll(ctx, queue, requests, of)
	})
	for _, result := range of {
		if err != nil && result.Status == "" {
			result.refuse(err)
		}
	}
	return results, err
}

// acceptAll accepts jobs in one statement, or one by one if the database refuses some.
func (a *API) acceptAll(ctx context.Context, queue string, requests []asked, of []*BatchResult) error {
	if len(requests) == 0 {
		return nil
	}
	together := make([]ledger.Request, len(requests))
	for i := range requests {
		together[i] = requests[i].Request
	}
	accepted, err := a.o.Ledger.AcceptRequests(ctx, queue, together)
	if errors.As(err, new(*invoice.InvalidError)) {
		for i, request := range together {
			one, err := a.o.Ledger.AcceptRequest(ctx, request)
			if errors.As(err, new(*invoice.InvalidError)) {
				of[i].refuse(refusalOf(err))
				continue
			}
			if err != nil {
				return refusalOf(err)
			}
			of[i].accept(a, one)
		}
		return nil
	}
	if err != nil {
		return refusalOf(err)
	}
	for i := range accepted {
		of[i].accept(a, accepted[i])
	}
	return nil
}

func (r *BatchResult) accept(a *API, one ledger.Acceptance) {
	r.JobID, r.Status, r.KnownJobID, r.InvoiceNumber = one.JobID, string(one.Standing), one.KnownJobID, one.InvoiceNumber
	a.o.Accepted(one.JobID)
}

func (r *BatchResult) refuse(err error) {
	r.Status = "refused"
	if !errors.As(err, &r.Problem) {
		r.Problem = problemOf(http.StatusInternalServerError, "this couldn't be answered; the log says why")
	}
	if r.Problem.Status >= http.StatusInternalServerError {
		r.Status = "unavailable"
	}
}
