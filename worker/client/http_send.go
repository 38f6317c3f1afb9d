package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	firstRetry = 50 * time.Millisecond
	mostRetry  = 5 * time.Second
	// longestWait is the longest that the API lets a request wait for an invoice.
	longestWait = 30 * time.Second
	// mostAnswer bounds what is read of an answer.
	mostAnswer = 64 << 20
)

// An httpRequest is what is sent, as often as it takes.
type httpRequest struct {
	method, path string // the path is percent-encoded
	query        url.Values
	header       http.Header
	body         []byte
	waits        bool // for the invoice
}

func (r *httpRequest) String() string { return r.method + " " + r.path }

// An httpAnswer is an answer of a status of 2xx, read to its end.
type httpAnswer struct {
	status int
	header http.Header
	body   []byte
}

// retryAfter returns the least time until another attempt.
func (a *httpAnswer) retryAfter() time.Duration { return retryAfter(a.header) }

// retryAfter reads the header of that name, in seconds as the API sends it or as a date as a proxy may.
func retryAfter(header http.Header) time.Duration {
	value := header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}

// send sends a request until it is answered, refused, or ctx ends.
func (h *HTTP) send(ctx context.Context, r *httpRequest) (*httpAnswer, error) {
	var last error
	for tries := 0; ; tries++ {
		answer, err := h.attempt(ctx, r)
		if err == nil {
			return answer, nil
		}
		if ctx.Err() != nil && last != nil { // the attempt was broken off, which says nothing about the API
			err = last
		}
		last = err
		again, after := mayRetry(err)
		if !again {
			return nil, fmt.Errorf("%s: %w", r, err)
		}
		if err := h.pause(ctx, r, err, pauseOf(tries, after), tries+1); err != nil {
			return nil, err
		}
	}
}

// mayRetry reports whether the same request may be answered in another way later, and the least time until then.
func mayRetry(err error) (again bool, after time.Duration) {
	var p *ProblemError
	if !errors.As(err, &p) {
		var certificate *tls.CertificateVerificationError
		return !errors.As(err, &certificate), 0 // a connection that broke, or wasn't made
	}
	switch p.Status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true, p.RetryAfter
	case http.StatusConflict: // that of a request with the same key under way; others don't say when to come again
		return p.RetryAfter > 0, p.RetryAfter
	}
	return false, 0
}

// pauseOf returns how long to wait after so many attempts before this one. Clients that fail together come again at different times.
func pauseOf(tries int, least time.Duration) time.Duration {
	pause := min(firstRetry<<min(tries, 10), mostRetry)
	pause = pause/2 + rand.N(pause/2) //nolint:gosec // jitter needs no secrecy
	if pause < least {
		pause = least + rand.N(least/4+1) //nolint:gosec // likewise
	}
	return pause
}

// pause waits, or returns the error of a request that is given up.
func (h *HTTP) pause(ctx context.Context, r *httpRequest, why error, pause time.Duration, tries int) error {
	if ctx.Err() == nil && h.options.Retrying != nil {
		h.options.Retrying(fmt.Errorf("%s: %w", r, why), pause)
	}
	next := time.NewTimer(pause)
	defer next.Stop()
	select {
	case <-next.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s: %w after %d attempts: %w", r, context.Cause(ctx), tries, why)
	}
}

// attempt sends a request once. The error is a [*ProblemError] for an answer that isn't what was asked for.
func (h *HTTP) attempt(ctx context.Context, r *httpRequest) (*httpAnswer, error) {
	timeout := h.options.Timeout
	var wait time.Duration
	if r.waits {
		wait = longestWait
		if deadline, ok := ctx.Deadline(); ok { // the answer is to come before it
			wait = min(wait, max(0, time.Until(deadline)-time.Second/2).Truncate(time.Second))
		}
		timeout += wait
	}
	limit, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	address := h.base + r.path
	if len(r.query) > 0 {
		address += "?" + r.query.Encode()
	}
	q, err := http.NewRequestWithContext(limit, r.method, address, bytes.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	for name, values := range r.header {
		q.Header[name] = values
	}
	q.Header.Set("Accept", "application/json")
	q.Header.Set("User-Agent", "invoicer-client")
	if r.body != nil {
		q.Header.Set("Content-Type", "application/json")
	}
	if h.token != "" {
		q.Header.Set("Authorization", "Bearer "+h.token)
	}
	if wait > 0 {
		q.Header.Set("Prefer", "wait="+strconv.Itoa(int(wait/time.Second)))
	}
	reply, err := h.client.Do(q)
	if err != nil {
		return nil, err
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(io.LimitReader(reply.Body, mostAnswer))
	if err != nil {
		return nil, fmt.Errorf("the answer broke off: %w", err)
	}
	if reply.StatusCode < 200 || reply.StatusCode > 299 {
		return nil, problemOf(reply, body)
	}
	return &httpAnswer{status: reply.StatusCode, header: reply.Header, body: body}, nil
}
