package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"invoicer/invoice"
	"invoicer/invoice/ledger"
)

// A ProblemError is an answer that isn't what was asked for, as RFC 9457 has it.
type ProblemError struct {
	Title   string   `json:"title" doc:"the status in words"`
	Status  int      `json:"status"`
	Detail  string   `json:"detail" doc:"what is wrong, and what to do about it"`
	Errors  []Fault  `json:"errors,omitempty" doc:"each thing that is wrong with the request, all at once"`
	Issuers []string `json:"issuers,omitempty" doc:"the issuers that have what was asked for: name one by ?issuer=, none for the one without a name"`
	JobID   string   `json:"job_id,omitempty" doc:"the job that the request is about"`
	State   string   `json:"state,omitempty" doc:"the job's state, if that is the reason"`
}

// A Fault is one thing that is wrong with a request.
type Fault struct {
	Detail    string `json:"detail" doc:"to be read after the name of the place"`
	Pointer   string `json:"pointer,omitempty" doc:"where in the body, as a JSON Pointer (RFC 6901); absent for the body as a whole"`
	Field     string `json:"field,omitempty" doc:"the same place, as commands and logs name it"`
	Parameter string `json:"parameter,omitempty" doc:"the parameter of the query or the path"`
	Header    string `json:"header,omitempty" doc:"the header"`
}

// Error implements error.
func (p *ProblemError) Error() string { return p.Detail }

// GetStatus implements [huma.StatusError].
func (p *ProblemError) GetStatus() int { return p.Status }

// ContentType implements [huma.ContentTypeFilter].
func (p *ProblemError) ContentType(string) string { return problemType }

const problemType = "application/problem+json"

func problemOf(status int, detail string, faults ...Fault) *ProblemError {
	return &ProblemError{Title: http.StatusText(status), Status: status, Detail: detail, Errors: faults}
}

// unavailable returns the answer to a request that may be sent again after some seconds.
func unavailable(detail string, after int) error {
	return later(problemOf(http.StatusServiceUnavailable, detail), after)
}

func later(p *ProblemError, after int) error {
	return huma.ErrorWithHeaders(p, http.Header{"Retry-After": {strconv.Itoa(after)}})
}

// writeProblem answers without huma.
func writeProblem(w http.ResponseWriter, err error) {
	var p *ProblemError
	if !errors.As(err, &p) {
		p = problemOf(http.StatusInternalServerError, "this couldn't be answered")
	}
	if with := huma.HeadersError(nil); errors.As(err, &with) {
		for name, values := range with.GetHeaders() {
			w.Header()[name] = values
		}
	}
	w.Header().Set("Content-Type", problemType)
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client may be gone
}

// inOurWords turns huma's errors into problems. It leaves out the values that huma quotes.
func inOurWords(_ huma.Context, _ string, body any) (any, error) {
	theirs, ok := body.(*huma.ErrorModel)
	if !ok {
		return body, nil
	}
	p := problemOf(theirs.Status, theirs.Detail)
	for _, e := range theirs.Errors {
		if e == nil {
			continue
		}
		f := Fault{Detail: e.Message}
		where, name, _ := strings.Cut(e.Location, ".")
		switch where {
		case "query", "path":
			f.Parameter = name
		case "header":
			f.Header = http.CanonicalHeaderKey(name)
		case "body":
			f.Field, f.Pointer = name, pointer(name)
		}
		p.Errors = append(p.Errors, f)
	}
	if theirs.Status >= http.StatusInternalServerError {
		p.Errors = nil // they quote what was returned
	}
	return p, nil
}

// refusalOf returns the answer to a job that can't be accepted, or the error itself if it is another one.
func refusalOf(err error) error {
	var invalid *invoice.InvalidError
	var newer *invoice.VersionError
	var queue *ledger.UnknownQueueError
	switch {
	case errors.As(err, &invalid):
		return problemOf(http.StatusUnprocessableEntity, "the job isn't accepted, and nothing of it is kept: correct it and send it again", faults(invalid)...)
	case errors.As(err, &newer):
		return problemOf(http.StatusUnprocessableEntity, newer.Error(), Fault{Detail: "is newer than this program knows", Field: "version", Pointer: "/version"})
	case errors.As(err, &queue):
		return problemOf(http.StatusUnprocessableEntity, queue.Error(), Fault{Detail: "no worker has ever consumed it; known are " + queue.Known, Parameter: "queue"})
	case errors.Is(err, ledger.ErrOtherContent):
		return problemOf(http.StatusUnprocessableEntity, "this Idempotency-Key was used for another request: use a new key for each",
			Fault{Detail: "is that of a request with other content", Header: keyHeader})
	case errors.Is(err, ledger.ErrInProgress):
		return later(problemOf(http.StatusConflict, "a request with this Idempotency-Key is being worked on: send it again in a moment",
			Fault{Detail: "is that of a request that is being worked on", Header: keyHeader}), 1)
	}
	return err
}

func faults(invalid *invoice.InvalidError) []Fault {
	all := make([]Fault, len(invalid.Problems))
	for i, p := range invalid.Problems {
		all[i] = Fault{Detail: p.Message, Field: p.Field, Pointer: pointer(p.Field)}
	}
	return all
}

// pointer returns the JSON Pointer of a field as the domain names it, such as lines[3].unit_price or metadata."a.b". It is "" for the
// payload as a whole, and for a name that is too long to be named in full.
func pointer(field string) string {
	if field == "payload" {
		return ""
	}
	var b strings.Builder
	escape := strings.NewReplacer("~", "~0", "/", "~1")
	for field != "" {
		switch field[0] {
		case '.':
			field = field[1:]
		case '[':
			index, rest, ok := strings.Cut(field[1:], "]")
			if !ok {
				return ""
			}
			b.WriteString("/" + index)
			field = rest
		case '"':
			quoted, err := strconv.QuotedPrefix(field)
			name, err2 := strconv.Unquote(quoted)
			if field = field[len(quoted):]; err != nil || err2 != nil || strings.HasPrefix(field, "…") {
				return ""
			}
			b.WriteString("/" + escape.Replace(name))
		default:
			end := strings.IndexAny(field, ".[")
			if end < 0 {
				end = len(field)
			}
			b.WriteString("/" + escape.Replace(field[:end]))
			field = field[end:]
		}
	}
	return b.String()
}
