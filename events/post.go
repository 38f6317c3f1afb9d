package events

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"invoicer/invoice/outbox"
)

// An envelope is what is posted, as the Standard Webhooks specification has it (https://www.standardwebhooks.com).
type envelope struct {
	Type      string          `json:"type"`
	Timestamp string          `json:"timestamp"` // when it happened
	Data      json.RawMessage `json:"data"`
}

// Body returns what is posted of an event. It is the same at each attempt, but for a link that was added ([Options].Link).
func Body(e *outbox.Event) ([]byte, error) {
	return json.Marshal(envelope{e.Type, e.CreatedAt.UTC().Format(time.RFC3339Nano), e.Data})
}

// Sign returns the headers with which a body is posted: its id, the time of the attempt, and a signature by each secret.
func Sign(secrets []string, id string, at time.Time, body []byte) (http.Header, error) {
	var signatures []string
	for _, secret := range secrets {
		signer, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			return nil, errors.New("its secret is not whsec_ and base64")
		}
		signature, err := signer.Sign(id, at, body)
		if err != nil {
			return nil, err
		}
		signatures = append(signatures, signature)
	}
	h := make(http.Header)
	h.Set("Content-Type", "application/json")
	h.Set(standardwebhooks.HeaderWebhookID, id)
	h.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(at.Unix(), 10))
	h.Set(standardwebhooks.HeaderWebhookSignature, strings.Join(signatures, " "))
	return h, nil
}

// An answer is what came of an attempt.
type answer struct {
	status int // 0 for none
	err    error
	took   time.Duration
}

func (a answer) taken() bool { return a.err == nil }

// post posts an event once. An endpoint takes it with any status of 2xx.
func (d *Deliverer) post(ctx context.Context, to *outbox.Endpoint, secrets []string, one *outbox.Delivery) answer {
	event, err := d.linked(to, &one.Event)
	if err != nil {
		return answer{err: err}
	}
	body, err := Body(event)
	if err != nil {
		return answer{err: err}
	}
	headers, err := Sign(secrets, one.ID, d.options.Now(), body)
	if err != nil {
		return answer{err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, postTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to.URL, bytes.NewReader(body))
	if err != nil {
		return answer{err: errors.New("its URL can't be called")}
	}
	request.Header = headers
	request.Header.Set("User-Agent", "invoicer/"+d.options.Version)
	begun := time.Now()
	response, err := d.caller.Do(request)
	if err != nil {
		return answer{err: Plain(err, postTimeout), took: time.Since(begun)}
	}
	defer response.Body.Close()
	// A connection is kept if its answer was read, which may be no longer than this.
	_, _ = io.CopyN(io.Discard, response.Body, mostAnswer)
	a := answer{status: response.StatusCode, took: time.Since(begun)}
	switch a.status / 100 {
	case 2:
	case 3:
		a.err = fmt.Errorf("it answered %d: redirects aren't followed", a.status)
	default:
		a.err = fmt.Errorf("it answered %d %s", a.status, http.StatusText(a.status))
	}
	return a
}

// linked returns the event with a link to its document, if the endpoint is to get one. It is made as it is posted, so that it doesn't expire while the
// event waits.
func (d *Deliverer) linked(to *outbox.Endpoint, e *outbox.Event) (*outbox.Event, error) {
	if d.options.Link == nil {
		return e, nil
	}
	link, until, err := d.options.Link(to, e)
	if err != nil || link == "" {
		return e, err
	}
	added, err := json.Marshal(struct {
		URL   string    `json:"document_url"`
		Until time.Time `json:"document_url_expires_at"`
	}{link, until})
	data, ok := bytes.CutSuffix(bytes.TrimSpace(e.Data), []byte("}"))
	if err != nil || !ok || len(data) < 2 {
		return nil, errors.Join(errors.New("a link can't be added to it"), err)
	}
	with := *e
	with.Data = slices.Concat(data, []byte(","), added[1:])
	return &with, nil
}

// Plain returns an error of a [Caller] without its URL, whose path may be a secret. The request was to be answered within that time.
func Plain(err error, within time.Duration) error {
	var of *url.Error
	if errors.As(err, &of) {
		err = of.Err
	}
	switch forbidden := new(ForbiddenError); {
	case errors.As(err, &forbidden):
		return forbidden
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("it didn't answer within %v", within)
	}
	return err
}

// NewSecret returns a random secret, as [Sign] takes it.
func NewSecret() string {
	var key [32]byte
	_, _ = rand.Read(key[:]) // it never fails
	return "whsec_" + base64.StdEncoding.EncodeToString(key[:])
}
