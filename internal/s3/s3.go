// Package s3 is a small client of S3 and of services that speak as it does: PUT, GET, HEAD and DELETE of objects in one piece, signed by AWS's
// Signature Version 4. It lists nothing, has no multipart uploads, and takes keys from its options alone.
package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Keys are what requests are signed with. They print without the secret.
type Keys struct {
	ID     string
	Secret string
}

// String returns the id alone.
func (k Keys) String() string { return k.ID }

// GoString returns the id alone, for %#v.
func (k Keys) GoString() string { return k.ID }

// Options say where the service is. All but the last three are required.
type Options struct {
	// Endpoint is the service's address, such as https://s3.eu-central-1.amazonaws.com, without a path.
	Endpoint string
	// Region is the one that requests are signed for.
	Region string
	Keys   Keys
	// VirtualHosts has the bucket be a part of the host's name, and not of the path. Default: of the path.
	VirtualHosts bool
	// Patience bounds a request until its answer begins, with all its repeats; a body's bytes have as long again. Default: 1 minute.
	Patience time.Duration
	// Now is the clock. Default: [time.Now].
	Now func() time.Time
}

// A Client speaks with one service. It is safe for concurrent use.
type Client struct {
	options Options
	base    *url.URL
	http    *http.Client
}

var (
	// ErrNone says that there is no such object, in the service's own words: the code NoSuchKey. Of Head it is any answer 404.
	ErrNone = errors.New("there is no such object")
	// ErrExists says that there is an object of that name already.
	ErrExists = errors.New("there is an object of that name already")
)

// A ServiceError is a refusal by the service.
type ServiceError struct {
	Status  int
	Code    string // such as AccessDenied; "" if the answer has none
	Message string
}

func (e *ServiceError) Error() string {
	text := "the service answers " + strconv.Itoa(e.Status)
	if e.Code != "" {
		text += " " + e.Code
	}
	if e.Message != "" {
		text += ": " + e.Message
	}
	return text
}

// New returns a client, without asking the service for anything.
func New(o Options) (*Client, error) {
	base, err := url.Parse(o.Endpoint)
	if err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http" || base.User != nil {
		return nil, errors.New("the endpoint is no address such as https://s3.example")
	}
	if o.Patience == 0 {
		o.Patience = time.Minute
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext, TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true, DisableCompression: true,
	}
	return &Client{options: o, base: base, http: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // what is signed goes nowhere else
	}}, nil
}

// Put writes an object, and returns once the service has it. It returns [ErrExists] if there is one of that name, unless the service can't tell.
func (c *Client) Put(ctx context.Context, bucket, key string, content []byte) error {
	sum := sha256.Sum256(content)
	headers := map[string]string{
		"content-type":          "application/octet-stream",
		"x-amz-checksum-sha256": base64.StdEncoding.EncodeToString(sum[:]),
		"if-none-match":         "*",
	}
	err := drop(c.do(ctx, http.MethodPut, bucket, key, headers, content))
	var refused *ServiceError
	if errors.As(err, &refused) {
		switch refused.Status {
		case http.StatusPreconditionFailed:
			return ErrExists
		case http.StatusNotImplemented: // an older service that knows no conditions
			delete(headers, "if-none-match")
			return drop(c.do(ctx, http.MethodPut, bucket, key, headers, content))
		}
	}
	return err
}

// Get returns the bytes of an object; whoever calls it closes them. It returns [ErrNone] if there is no such object.
func (c *Client) Get(ctx context.Context, bucket, key string) (io.ReadCloser, error) {
	answer, err := c.do(ctx, http.MethodGet, bucket, key, nil, nil)
	if err != nil {
		return nil, err
	}
	return answer.Body, nil
}

// Head returns the size of an object, or [ErrNone]. With the key "" it asks for the bucket, which has no size.
func (c *Client) Head(ctx context.Context, bucket, key string) (int64, error) {
	answer, err := c.do(ctx, http.MethodHead, bucket, key, nil, nil)
	if err != nil {
		return 0, err
	}
	return answer.ContentLength, drop(answer, nil)
}

// Delete deletes an object. It is no error if there is none.
func (c *Client) Delete(ctx context.Context, bucket, key string) error {
	err := drop(c.do(ctx, http.MethodDelete, bucket, key, nil, nil))
	if errors.Is(err, ErrNone) {
		return nil
	}
	return err
}

func drop(answer *http.Response, err error) error {
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, mostOfAnError)) // so that the connection can be used again
	return answer.Body.Close()
}

// tries is how often a request is sent where the service, or the way to it, fails.
const tries = 3

// do sends a request until the service takes or refuses it. All requests may be repeated: a second PUT of the same bytes changes nothing.
func (c *Client) do(ctx context.Context, method, bucket, key string, headers map[string]string, content []byte) (answer *http.Response, err error) {
	for try := 1; ; try++ {
		answer, err = c.once(ctx, method, bucket, key, headers, content)
		if err == nil || try == tries || ctx.Err() != nil || !passes(err) {
			return answer, err
		}
		select {
		case <-time.After(time.Duration(try) * 200 * time.Millisecond):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// passes reports whether the same request may succeed a moment later.
func passes(err error) bool {
	var refused *ServiceError
	if errors.As(err, &refused) {
		return refused.Status >= 500 && refused.Status != http.StatusNotImplemented || refused.Status == http.StatusTooManyRequests || refused.Status == http.StatusConflict
	}
	return !errors.Is(err, ErrNone)
}

func (c *Client) once(ctx context.Context, method, bucket, key string, headers map[string]string, content []byte) (*http.Response, error) {
	ctx, cancel := context.WithCancel(ctx)
	timer := time.AfterFunc(c.options.Patience, cancel)
	r, err := c.signed(ctx, method, bucket, key, headers, content)
	if err != nil {
		cancel()
		return nil, err
	}
	answer, err := c.http.Do(r)
	if err != nil {
		cancel()
		var whole *url.Error // which repeats the address
		if errors.As(err, &whole) {
			err = whole.Err
		}
		if errors.Is(err, context.Canceled) && !timer.Stop() {
			err = fmt.Errorf("no answer within %v", c.options.Patience)
		}
		// As text: whoever asks for documents must not take the service's network for that of a database.
		return nil, fmt.Errorf("%s at %s: %s", bucket, c.base.Host, err.Error())
	}
	timer.Reset(c.options.Patience)
	answer.Body = &bounded{answer.Body, timer, cancel}
	if answer.StatusCode >= 200 && answer.StatusCode < 300 {
		return answer, nil
	}
	defer answer.Body.Close()
	refused := refusal(answer)
	// What else answers 404, such as a proxy, knows nothing of the object. HEAD has no body that could say more.
	if refused.Status == http.StatusNotFound && key != "" && (refused.Code == "NoSuchKey" || method == http.MethodHead) {
		return nil, ErrNone
	}
	return nil, fmt.Errorf("%s at %s: %w", bucket, c.base.Host, refused)
}

// A bounded body ends its request's time when it is closed.
type bounded struct {
	io.ReadCloser

	timer  *time.Timer
	cancel context.CancelFunc
}

func (b *bounded) Close() error {
	err := b.ReadCloser.Close()
	b.timer.Stop()
	b.cancel()
	return err
}

func (c *Client) signed(ctx context.Context, method, bucket, key string, headers map[string]string, content []byte) (*http.Request, error) {
	at := *c.base
	path := "/" + key
	if c.options.VirtualHosts {
		at.Host = bucket + "." + at.Host
	} else if path = "/" + bucket; key != "" {
		path += "/" + key
	}
	at.Path, at.RawPath = path, escaped(path)
	r, err := http.NewRequestWithContext(ctx, method, at.String(), bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	now := c.options.Now().UTC()
	toSign := request{method: method, path: at.RawPath, headers: map[string]string{"host": r.URL.Host, "x-amz-date": now.Format(stamp)}, payload: hashed(content)}
	toSign.headers["x-amz-content-sha256"] = toSign.payload
	for name, value := range headers {
		toSign.headers[name] = value
	}
	for name, value := range toSign.headers {
		if name != "host" {
			r.Header.Set(name, value)
		}
	}
	r.Header.Set("Authorization", toSign.authorization(c.options.Keys, c.options.Region, "s3", now))
	r.Header.Set("User-Agent", "invoicer")
	return r, nil
}

// mostOfAnError is more than a service says with a refusal.
const mostOfAnError = 64 << 10

// refusal returns what the service says.
func refusal(answer *http.Response) *ServiceError {
	e := &ServiceError{Status: answer.StatusCode}
	text, _ := io.ReadAll(io.LimitReader(answer.Body, mostOfAnError)) // what came is all there is to say
	var said struct {
		Code    string `xml:"Code"`
		Message string `xml:"Message"`
	}
	if xml.Unmarshal(text, &said) == nil {
		e.Code, e.Message = said.Code, strings.ToValidUTF8(said.Message, "?")
	}
	if len(e.Message) > 300 {
		e.Message = strings.ToValidUTF8(e.Message[:300], "") + "…"
	}
	if answer.StatusCode/100 == 3 {
		e.Message = strings.TrimSpace(e.Message + " (it redirects elsewhere: the endpoint or the region is another)")
	}
	return e
}
