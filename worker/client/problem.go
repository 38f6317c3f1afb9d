package client

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"invoicer/invoice"
)

// A ProblemError is an answer of the HTTP API that isn't what was asked for, as RFC 9457 has it. Find it by [errors.As].
type ProblemError struct {
	Status int    `json:"status"` // of HTTP
	Title  string `json:"title"`  // the status in words
	Detail string `json:"detail"` // what is wrong, and what to do about it
	// Errors are each thing that is wrong with the request, all at once.
	Errors []FieldError `json:"errors"`
	// Issuers have what was asked for: choose one by [HTTPOptions].Issuer. "none" is the one without a name.
	Issuers []string `json:"issuers"`
	JobID   string   `json:"job_id"` // the job that the request is about
	State   State    `json:"state"`  // the job's state, if that is the reason
	// RetryAfter is when the API wants the request again, counted from the answer. 0: it doesn't say.
	RetryAfter time.Duration `json:"-"`

	foreign bool // another server has answered
}

// A FieldError is one thing that is wrong with a request. One of Pointer, Parameter and Header says where it is, or none for the body as a
// whole.
type FieldError struct {
	Detail    string `json:"detail"`    // to be read after the name of the place: "is required"
	Pointer   string `json:"pointer"`   // in the job, as a JSON Pointer (RFC 6901), such as /lines/0/unit_price
	Field     string `json:"field"`     // the same place, as commands and logs name it, such as lines[0].unit_price
	Parameter string `json:"parameter"` // of the query or the path
	Header    string `json:"header"`
}

// shownErrors is the number of things that an error's text names at most.
const shownErrors = 20

// Error returns one line that names up to 20 places and counts the others.
func (e *ProblemError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "invoicer answers %d %s", e.Status, e.Title)
	if e.Detail != "" {
		b.WriteString(": " + e.Detail)
	}
	for _, f := range e.Errors[:min(len(e.Errors), shownErrors)] {
		b.WriteString("; " + f.place() + " " + f.Detail)
	}
	if more := len(e.Errors) - shownErrors; more > 0 {
		fmt.Fprintf(&b, "; and %d more", more)
	}
	return b.String()
}

func (f *FieldError) place() string {
	switch {
	case f.Pointer != "":
		return f.Pointer
	case f.Header != "":
		return "header " + f.Header
	case f.Parameter != "":
		return "parameter " + f.Parameter
	case f.Field != "":
		return f.Field
	}
	return "the request"
}

// Unwrap returns an [*invoice.InvalidError] if the job is refused for its content, and else nil.
func (e *ProblemError) Unwrap() error {
	if e.Status != http.StatusUnprocessableEntity || len(e.Errors) == 0 {
		return nil
	}
	invalid := &invoice.InvalidError{}
	for _, f := range e.Errors {
		if f.Field == "" {
			return nil
		}
		invalid.Problems = append(invalid.Problems, invoice.Problem{Field: f.Field, Message: f.Detail})
	}
	return invalid
}

// problemOf reads an answer that isn't of a status of 2xx. It may be a proxy's, with whatever body.
func problemOf(reply *http.Response, body []byte) *ProblemError {
	var p ProblemError
	if !strings.HasPrefix(reply.Header.Get("Content-Type"), "application/problem+json") || json.Unmarshal(body, &p) != nil {
		p = ProblemError{Detail: "the answer isn't one of invoicer's API", foreign: true}
		if to := reply.Header.Get("Location"); to != "" {
			p.Detail = "the answer redirects, which isn't followed: give the URL of the API itself"
		}
	}
	p.Status, p.RetryAfter = reply.StatusCode, retryAfter(reply.Header)
	if p.Title == "" {
		p.Title = http.StatusText(reply.StatusCode)
	}
	return &p
}
