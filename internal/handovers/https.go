package handovers

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"invoicer/events"
	"invoicer/invoice/handover"
)

// mostAnswer is how many bytes of an answer are read.
const mostAnswer = 64 << 10

// An HTTPS channel posts parcels as JSON, signed as Standard Webhooks has it, and asks by GET. docs/handover.md has the contract.
type HTTPS struct {
	url     *url.URL
	secrets []string
	within  time.Duration
	version string
	caller  events.Caller
}

// NewHTTPS returns a channel that posts to a URL, with secrets as [events.Sign] takes them, and calls public and allowed addresses alone. An answer has to
// come within that time. It has a connection for each of as many attempts as are made at once, so that none waits for another. Version is in the User-Agent.
func NewHTTPS(address string, secrets []string, allowed []netip.Prefix, within time.Duration, atOnce int, version string) (*HTTPS, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("its URL can't be called")
	}
	return &HTTPS{u, secrets, within, version, events.NewCaller(allowed, within, atOnce)}, nil
}

// described is what is said of a parcel.
type described struct {
	Action    string          `json:"action"` // hand or ask
	Key       string          `json:"key"`
	Channel   string          `json:"channel"`
	Issuer    string          `json:"issuer"`
	Number    string          `json:"number"`
	Kind      string          `json:"kind"`
	To        string          `json:"to,omitempty"`
	Clearance string          `json:"clearance,omitempty"`
	ID        string          `json:"id,omitempty"` // theirs, when they are asked
	Documents []describedFile `json:"documents,omitempty"`
}

type describedFile struct {
	Format    string `json:"format"`
	Name      string `json:"name"`
	MediaType string `json:"media_type"`
	SHA256    string `json:"sha256"`
	Content   []byte `json:"content,omitempty"` // in base64; a program has the file
}

func describe(p *Parcel, action, id string, content bool) described {
	d := described{Action: action, Key: p.Key, Channel: p.Channel, Issuer: p.Issuer, Number: p.Number, Kind: p.Kind, To: p.To, Clearance: p.Clearance, ID: id}
	for i := range p.Documents {
		one := &p.Documents[i]
		file := describedFile{Format: string(one.Format), Name: one.Name, MediaType: one.MediaType, SHA256: hex.EncodeToString(one.SHA256[:])}
		if content {
			file.Content = one.Content
		}
		d.Documents = append(d.Documents, file)
	}
	return d
}

// envelope is what is posted, in the form of Standard Webhooks.
type envelope struct {
	Type      string    `json:"type"`
	Timestamp string    `json:"timestamp"`
	Data      described `json:"data"`
}

// Hand posts a parcel. What is posted is the same at each attempt.
func (h *HTTPS) Hand(ctx context.Context, p *Parcel) (Answer, error) {
	body, err := json.Marshal(envelope{"invoice.handover", p.Since.UTC().Format(time.RFC3339Nano), describe(p, "hand", "", true)})
	if err != nil {
		return Answer{}, err
	}
	return h.call(ctx, http.MethodPost, h.url, p, body)
}

// Ask gets the URL with the other side's id after it.
func (h *HTTPS) Ask(ctx context.Context, p *Parcel, id string) (Answer, error) {
	return h.call(ctx, http.MethodGet, h.url.JoinPath(url.PathEscape(id)), p, nil)
}

func (h *HTTPS) call(ctx context.Context, method string, to *url.URL, p *Parcel, body []byte) (Answer, error) {
	headers, err := events.Sign(h.secrets, p.Key, time.Now(), body)
	if err != nil {
		return Answer{}, err
	}
	request, err := http.NewRequestWithContext(ctx, method, to.String(), bytes.NewReader(body))
	if err != nil {
		return Answer{}, errors.New("its URL can't be called")
	}
	request.Header = headers
	request.Header.Set("User-Agent", "invoicer/"+h.version)
	request.Header.Set("Accept", "application/json")
	request.Header.Set("Idempotency-Key", p.Key)
	response, err := h.caller.Do(request)
	if err != nil {
		return Answer{}, events.Plain(err, h.within)
	}
	defer response.Body.Close()
	said, err := io.ReadAll(io.LimitReader(response.Body, mostAnswer+1))
	if err != nil {
		return Answer{}, events.Plain(err, h.within)
	}
	if len(said) > mostAnswer {
		return Answer{}, fmt.Errorf("it answered %d with more than %d bytes", response.StatusCode, mostAnswer)
	}
	return understood(method, response, said)
}

// understood returns what a response says.
func understood(method string, response *http.Response, said []byte) (Answer, error) {
	status := response.StatusCode
	a, err := readAnswer(said, handover.Sent)
	// 409 by itself is what servers answer while they still work on the first request with a key.
	refused := method == http.MethodPost && (status == http.StatusUnprocessableEntity || status == http.StatusConflict && err == nil && a.State == handover.Rejected)
	switch {
	case status == http.StatusOK || status == http.StatusCreated || status == http.StatusAccepted || status == http.StatusNoContent:
		if err != nil {
			return a, &SaidError{fmt.Sprintf("it answered %d with what isn't an answer: %v", status, err), excerpt(said)}
		}
		return a, nil
	case refused && err == nil:
		a.State = handover.Rejected
		return a, nil
	case refused:
		return Answer{State: handover.Rejected, Text: excerpt(said)}, nil
	}
	what := fmt.Sprintf("it answered %d %s", status, http.StatusText(status))
	if status/100 == 3 {
		what = fmt.Sprintf("it answered %d: redirects aren't followed", status)
	}
	err = &SaidError{what, excerpt(said)}
	if after := retryAfter(response.Header.Get("Retry-After"), time.Now()); after > 0 {
		return Answer{}, &LaterError{after, err}
	}
	return Answer{}, err
}

// readAnswer reads an answer in JSON; nothing at all is one with the default. Members that aren't known are left alone.
func readAnswer(text []byte, otherwise handover.State) (Answer, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return Answer{State: otherwise}, nil
	}
	var a struct {
		State     handover.State `json:"state"`
		ID        string         `json:"id"`
		Clearance string         `json:"clearance"`
		Text      string         `json:"text"`
	}
	if err := json.Unmarshal(text, &a); err != nil {
		return Answer{}, errors.New(`no JSON such as {"state":"sent","id":"…","text":"…"}`)
	}
	if a.State == "" {
		a.State = otherwise
	}
	return Answer{a.State, a.ID, a.Clearance, a.Text}, nil
}

// excerpt is the beginning of what somebody said.
func excerpt(text []byte) string {
	const most = 1000
	if len(text) > most {
		text = text[:most]
	}
	return strings.TrimSpace(strings.ToValidUTF8(string(text), "\uFFFD"))
}

// retryAfter returns what a header asks for, 0 for nothing: seconds, or a time.
func retryAfter(header string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(header, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(header); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
