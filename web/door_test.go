package web_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"invoicer/web"
	"invoicer/web/access"
)

// A door is pages of every kind behind a real listener, with tokens that a test can change.
type door struct {
	url string
	log *safeBuffer

	reached [3]atomic.Int64 // how often handlers were: of reading, of changing things, of handing jobs in

	mu     sync.Mutex
	tokens []access.Token
	err    error // of reading tokens
}

const reads, acts, enqueues = 0, 1, 2

func token(id int64, name string, roles ...access.Role) access.Token {
	return access.Token{ID: id, Visitor: access.Visitor{Name: name, Roles: roles}, Hash: sha256.Sum256([]byte("secret-of-" + name))}
}

// everyRole are tokens of each role.
func everyRole() []access.Token {
	return []access.Token{token(1, "reader", access.Read), token(2, "operator", access.Operate), token(3, "shop", access.Enqueue)}
}

func openDoor(t *testing.T, address string, tokens []access.Token, change ...func(*web.Options)) *door {
	t.Helper()
	d := &door{tokens: tokens, log: new(safeBuffer)}
	handler := func(kind int) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			d.reached[kind].Add(1)
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				http.Error(w, "body", http.StatusBadRequest)
				return
			}
			_, _ = io.WriteString(w, access.Of(r).Name)
		})
	}
	o := web.Options{
		Addr: address, Room: 64, Logger: slog.New(slog.NewTextHandler(d.log, nil)), Pprof: true,
		Ready: handler(reads), Metrics: handler(reads), Monitor: handler(acts), MonitorRead: handler(reads),
		Routes: []web.Route{
			{Pattern: "GET /{$}", Role: access.Read, Handler: handler(reads)},
			{Pattern: "GET /jobs", Role: access.Read, Handler: handler(reads)},
			{Pattern: "GET /within", Role: access.Read, Within: true, Handler: handler(reads)},
			{Pattern: "POST /jobs", Role: access.Enqueue, Handler: handler(enqueues)},
			{Pattern: "POST /act", Role: access.Operate, Handler: handler(acts)},
			{Pattern: "GET /live", Role: access.Read, Handler: http.HandlerFunc(stayOpen)},
		},
	}
	o.Access.Tokens = func(context.Context) ([]access.Token, error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		return slices.Clone(d.tokens), d.err
	}
	for _, f := range change {
		f(&o)
	}
	p, err := web.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	part, served := p.Part(), make(chan error, 1)
	if err := part.Start(ctx); err != nil {
		t.Fatal(err)
	}
	go func() { served <- part.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	d.url = p.URL()
	return d
}

// stayOpen answers at once, and then goes on until the request's context ends.
func stayOpen(w http.ResponseWriter, r *http.Request) {
	_, _ = io.WriteString(w, "open\n")
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
	_, _ = io.WriteString(w, "over\n")
}

func insecure(o *web.Options) { o.Access.Insecure = true }

func (d *door) set(tokens []access.Token, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tokens, d.err = tokens, err
}

type answer struct {
	code   int
	header http.Header
	body   string
}

// cookie returns the cookie that the answer sets, as a browser sends it.
func (a answer) cookie() string {
	c, _, _ := strings.Cut(a.header.Get("Set-Cookie"), ";")
	return c
}

// ask sends a request with headers, each as "Name: value". It follows no redirect.
func (d *door) ask(t *testing.T, method, path, body string, headers ...string) answer {
	t.Helper()
	return askWith(t, &http.Transport{DisableKeepAlives: true}, method, d.url+path, body, headers...)
}

func askWith(t *testing.T, transport *http.Transport, method, url, body string, headers ...string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		if name == "Host" {
			r.Host = value
		} else {
			r.Header.Add(name, value)
		}
	}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	response, err := client.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return read(t, response)
}

func read(t *testing.T, response *http.Response) answer {
	t.Helper()
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", response.Request.Method, response.Request.URL, err)
	}
	return answer{response.StatusCode, response.Header, string(text)}
}

const (
	form     = "Content-Type: application/x-www-form-urlencoded"
	html     = "Accept: text/html,application/xhtml+xml,*/*;q=0.8"
	reader   = "Authorization: Bearer secret-of-reader"
	operator = "Authorization: Bearer secret-of-operator"
	shop     = "Authorization: Bearer secret-of-shop"
)

// signIn signs in with a token and returns the session's cookie as a header.
func (d *door) signIn(t *testing.T, secret string, headers ...string) (cookie string) {
	t.Helper()
	a := d.ask(t, http.MethodPost, "/login", url.Values{"token": {secret}}.Encode(), append(headers, form)...)
	if a.code != http.StatusSeeOther || a.cookie() == "" {
		t.Fatalf("signing in is answered with %d, cookie %q", a.code, a.header.Get("Set-Cookie"))
	}
	return "Cookie: " + a.cookie()
}

// within asks again until the answer has the code, for the five seconds within which a change of tokens must count.
func (d *door) within5s(t *testing.T, code int, method, path string, headers ...string) {
	t.Helper()
	var a answer
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if a = d.ask(t, method, path, "", headers...); a.code == code {
			return
		}
	}
	t.Errorf("%s %s is answered with %d after five seconds, want %d", method, path, a.code, code)
}

// ownAddress is an address of this machine that others reach too, with a free port.
func ownAddress(t *testing.T) string {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		if network, ok := a.(*net.IPNet); ok && network.IP.IsGlobalUnicast() && network.IP.To4() != nil {
			return network.IP.String() + ":0"
		}
	}
	return "0.0.0.0:0" // is none of loopback either
}

// freePort returns the address with a port that was free just now in place of 0.
func freePort(t *testing.T, address string) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// A safeBuffer is a log that is read while it is written.
type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

var errAway = errors.New("the database is away")
