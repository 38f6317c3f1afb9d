package client

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"invoicer/invoice"
)

// HTTPOptions of [OverHTTP]. Zero values mean the defaults.
type HTTPOptions struct {
	// Queue is used if a call doesn't name another queue. A worker must have consumed it before. Default: default.
	Queue string
	// Producer is set on jobs that state none. Default: none; the token may be bound to one.
	Producer string
	// Issuer is set on jobs that state none, and is the one whose transactions and invoices are looked up. Default: the one without a name.
	Issuer string
	// Key returns the Idempotency-Key under which a job is asked for by [HTTP.Accept] and [HTTP.Invoice]. The job that it is given has its
	// Producer and Issuer set. If it returns the same key whenever it is given the same job, a repeat, also by another process with the same
	// token, gets the same answer again for as long as the API remembers keys (30 days), even if the job has failed. If it returns one key for
	// two jobs that differ, the second is refused with a [*ProblemError]. A key that doesn't fit into the header, since it is longer than
	// 255 bytes or isn't printable ASCII, is sent as its SHA-256. [JobKey] is one.
	//
	// Default: each call has a key of its own, which all of its attempts share, and a repeat is a job of its own that ends as a duplicate.
	Key func(*invoice.Job) string
	// Traceparent is as in [Options].
	Traceparent func(context.Context) string
	// Timeout bounds one attempt, beyond the time for which it waits for an invoice. An attempt without an answer by then is made again.
	// Default: 15s.
	Timeout time.Duration
	// Retrying is called before each pause, with what was wrong and how long the pause is. Default: nobody is told.
	Retrying func(err error, pause time.Duration)
	// Client sends the requests, for example with certificates of your own. Redirects aren't followed, whatever it says. Default: one with
	// the proxies of the environment, which HTTP.Close closes.
	Client *http.Client
}

// JobKey is an [HTTPOptions].Key: the job's own idempotency key, or else its transaction's id, within its issuer.
func JobKey(j *invoice.Job) string { return j.Issuer + " " + cmp.Or(j.IdempotencyKey, j.TransactionID) }

const (
	defaultTimeout = 15 * time.Second
	longestKey     = 255 // bytes of an Idempotency-Key
)

// HTTP asks for invoices by invoicer's HTTP API, from a service that shares neither database nor Redis with it. It is safe for concurrent
// use.
//
// A call that meets a broken connection, no answer in time, or an answer that says to come again (429, 502, 503, 504, and 409 while
// another attempt is at work) is tried again, after a pause that grows and varies and is at least as long as the API's Retry-After, until its
// context ends. So give it one with a deadline. Nothing is done twice by that: the attempts of a call have the same Idempotency-Key, and a
// transaction has one invoice whatever happens. The error is then one that wraps the context's cause and what was wrong with the last attempt;
// whether the job was accepted isn't known, and asking again is safe.
//
// An answer that refuses the request is returned at once, as a [*ProblemError].
type HTTP struct {
	base    string
	token   string
	options HTTPOptions
	client  *http.Client
	own     bool
}

// OverHTTP returns a client of the API at a URL, such as https://invoicer.example, with a token that `invoicer token make --role enqueue` has
// made. Pass "" as the token on the same machine, where none is needed. It opens no connection.
func OverHTTP(address, token string, o HTTPOptions) (*HTTP, error) {
	base, err := url.Parse(address)
	switch {
	case err != nil:
		return nil, errors.New("client: the URL can't be read") // the error quotes it, with a password that it may hold
	case base.Scheme != "http" && base.Scheme != "https", base.Host == "":
		return nil, errors.New("client: the URL must be like https://invoicer.example")
	case base.User != nil, base.RawQuery != "", base.Fragment != "":
		return nil, errors.New("client: the URL must have no user, query or fragment; the token is an argument of its own")
	case strings.ContainsFunc(token, func(c rune) bool { return c <= ' ' || c > '~' }):
		return nil, errors.New("client: the token has characters that no token has, such as a line's end")
	case o.Issuer != "" && !invoice.IsIssuer(o.Issuer):
		return nil, fmt.Errorf("client: issuer %q: must be 1 to 32 characters of A-Z 0-9 -", o.Issuer)
	case o.Timeout < 0:
		return nil, fmt.Errorf("client: a timeout of %s", o.Timeout)
	}
	o.Timeout = cmp.Or(o.Timeout, defaultTimeout)
	h := &HTTP{base: strings.TrimSuffix(base.String(), "/"), token: token, options: o, client: &http.Client{}}
	if o.Client != nil {
		*h.client = *o.Client
	} else if shared, ok := http.DefaultTransport.(*http.Transport); ok {
		transport := shared.Clone()
		transport.MaxIdleConnsPerHost = 64 // all are to one host
		h.client.Transport, h.own = transport, true
	}
	// The API redirects nobody. Whoever does would get the job as a GET, or the token.
	h.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return h, nil
}

// Close closes connections that nobody uses, unless the client is the caller's. The HTTP can still be used.
func (h *HTTP) Close() {
	if h.own {
		h.client.CloseIdleConnections()
	}
}

// posted is the API's answer to a job.
type posted struct {
	JobID         string          `json:"job_id"`
	Queue         string          `json:"queue"`
	KnownJobID    string          `json:"known_job_id"`
	InvoiceNumber string          `json:"invoice_number"`
	State         State           `json:"state"`
	Outcome       invoice.Outcome `json:"outcome"`
	Reason        string          `json:"reason"`
	Invoice       *Document       `json:"invoice"`
}

// Accept asks for a job's invoice. Once it returns, the job is committed and ends as an invoice, a recorded duplicate or a visible failed job.
// IssuedAt is cut to whole microseconds.
//
// The receipt's Status is [Known] if an earlier request with the same key has made the job, which only happens with [HTTPOptions].Key or if an
// earlier attempt of this call has. Else it is [Inserted].
//
// For a job that can never be an invoice, Accept returns an error that wraps an [*invoice.InvalidError], either before it sends anything or as
// the API's [*ProblemError]. About other errors see [HTTP].
func (h *HTTP) Accept(ctx context.Context, job *invoice.Job, queue ...string) (Receipt, error) {
	r, _, err := h.postOf(ctx, job, queue)
	if err != nil {
		return Receipt{}, err
	}
	answer, err := h.send(ctx, r)
	if err != nil {
		return Receipt{}, err
	}
	var told posted
	if err := answer.into(&told); err != nil {
		return Receipt{}, err
	}
	return receiptOf(answer, &told), nil
}

func receiptOf(answer *httpAnswer, told *posted) Receipt {
	receipt := Receipt{JobID: told.JobID, Queue: told.Queue, Status: Inserted, InvoiceNumber: told.InvoiceNumber, KnownJobID: told.KnownJobID}
	if answer.header.Get("Idempotency-Replayed") == "true" {
		receipt.Status = Known
	}
	return receipt
}

// Invoice asks for a job's invoice as [HTTP.Accept] does, and returns once the job has ended, however that may be: an outcome such as conflict
// is no error. The API has it wait without asking again and again. If ctx ends before that, the job goes on, and whoever asks again is told of
// the same invoice.
//
// The end's At is when the document was made, and zero if there is none.
func (h *HTTP) Invoice(ctx context.Context, job *invoice.Job, queue ...string) (End, error) {
	r, sent, err := h.postOf(ctx, job, queue)
	if err != nil {
		return End{}, err
	}
	r.waits = true
	for tries := 0; ; tries++ {
		began := time.Now()
		answer, err := h.send(ctx, r)
		if err != nil {
			return End{}, err
		}
		var told posted
		if err := answer.into(&told); err != nil {
			return End{}, err
		}
		if told.State != "" {
			end := End{
				JobID: told.JobID, Issuer: sent.Issuer, TransactionID: sent.TransactionID, Outcome: told.Outcome, InvoiceNumber: told.InvoiceNumber,
				Reason: told.Reason, Dismissed: told.State == Dismissed, Document: told.Invoice,
			}
			if told.Invoice != nil {
				end.At = told.Invoice.CreatedAt
			}
			return end, nil
		}
		// The same request again waits on. The API may have answered early, since its process stops.
		pause := pauseOf(tries, answer.retryAfter())
		if time.Since(began) > time.Second {
			pause = 0
		}
		if err := h.pause(ctx, r, errStillWaits, pause, tries+1); err != nil {
			return End{}, err
		}
	}
}

var errStillWaits = errors.New("the job is accepted and has no end yet")

// postOf returns the request that asks for a job, and the job as it is sent.
func (h *HTTP) postOf(ctx context.Context, job *invoice.Job, queue []string) (*httpRequest, *invoice.Job, error) {
	named, payload, err := h.named(job)
	if err != nil {
		return nil, nil, err
	}
	key := uuid.NewString()
	if h.options.Key != nil {
		if key = h.options.Key(named); key == "" {
			return nil, nil, fmt.Errorf("client: HTTPOptions.Key of transaction %s must return a key", named.TransactionID)
		}
	}
	r := &httpRequest{method: http.MethodPost, path: "/v1/jobs", query: h.queue(queue), body: payload, header: http.Header{keyHeader: {headerKey(key)}}}
	if h.options.Traceparent != nil {
		if trace := h.options.Traceparent(ctx); aTraceparent.MatchString(trace) {
			r.header.Set(TraceparentHeader, trace)
		}
	}
	return r, named, nil
}

// named returns the job as it is sent.
func (h *HTTP) named(job *invoice.Job) (*invoice.Job, []byte, error) {
	c := Client{options: Options{Producer: h.options.Producer, Issuer: h.options.Issuer}}
	a, err := c.ask(job)
	if err != nil {
		return nil, nil, err
	}
	named := *job
	named.Producer, named.Issuer = cmp.Or(job.Producer, h.options.Producer), a.issuer
	return &named, a.payload, nil
}

func (h *HTTP) queue(queue []string) url.Values {
	name := h.options.Queue
	if len(queue) > 0 && queue[0] != "" {
		name = queue[0]
	}
	if name == "" {
		return nil
	}
	return url.Values{"queue": {name}}
}

const keyHeader = "Idempotency-Key"

// headerKey returns the key as a string of RFC 8941.
func headerKey(key string) string {
	if len(key) > longestKey || strings.ContainsFunc(key, func(c rune) bool { return c < ' ' || c > '~' }) {
		sum := sha256.Sum256([]byte(key))
		key = "sha256:" + hex.EncodeToString(sum[:])
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(key) + `"`
}

// into reads an answer's body.
func (a *httpAnswer) into(body any) error {
	if err := json.NewDecoder(bytes.NewReader(a.body)).Decode(body); err != nil {
		return fmt.Errorf("the answer %d isn't one of invoicer's API: %w", a.status, err)
	}
	return nil
}
