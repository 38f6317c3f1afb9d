package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"invoicer/internal/health"
	"invoicer/web"
)

// ask opens a connection to a worker's pages, and sends something.
func ask(t *testing.T, url, request string) net.Conn {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	return c
}

// Whoever asks is answered, however many others hold connections open, whatever they send or don't.
func TestVisitorsTakeNoRoomFromEachOther(t *testing.T) {
	t.Parallel()
	for name, request := range map[string]string{
		"that say nothing":               "",
		"whose headers never end":        "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: ",
		"whose bodies never end":         "POST /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 200000\r\n\r\n{",
		"whose bodies are read by pages": "POST /monitor/api/queues/q/archived_tasks:batch_delete HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 200000\r\n\r\n{",
		"that stay after an answer":      "GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
		"that don't read their answers":  strings.Repeat("GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 100),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := sharedSite(t).with("INVOICER_WORKER_CONCURRENCY=8")
			w := s.startLimited(t, 200) // of which the work's own need up to 140
			w.awaitReadyz(t, http.StatusOK)
			url := w.pages(t)
			for range 300 {
				ask(t, url, request)
			}
			for _, path := range []string{"/readyz", "/livez", "/metrics"} {
				if code, body := get(t, url+path); code != http.StatusOK {
					t.Errorf("%s: %d %s", path, code, body)
				}
			}
			s.enqueue(t, "T1", "T2", "T3")
			s.awaitEnds(t, 3)
			if open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", w.Process.Pid)); err == nil && len(open) >= 190 {
				t.Errorf("%d descriptors are open", len(open))
			}
		})
	}
}

// startLimited starts a worker that may open so many files.
func (s *site) startLimited(t *testing.T, files int) *process {
	t.Helper()
	program, err := exec.LookPath("invoicer")
	if err != nil {
		t.Fatal(err)
	}
	return s.startProgram(t, "sh", "-c", fmt.Sprintf("ulimit -n %d && exec %s worker", files, program))
}

// A body that never ends is answered, or cut off, in time, and so is everything else that takes too long.
func TestVisitorsAreNotWaitedForWithoutEnd(t *testing.T) {
	t.Parallel()
	for name, request := range map[string]string{
		"headers":                "GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: ",
		"a refused body":         "POST /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 200000\r\n\r\n{",
		"a body that pages read": "POST /monitor/api/queues/q/archived_tasks:batch_delete HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 200000\r\n\r\n{",
		"nothing":                "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := ask(t, sharedSite(t).start(t, "worker").pages(t), request)
			_ = c.SetReadDeadline(time.Now().Add(time.Minute))
			if _, err := io.Copy(io.Discard, c); os.IsTimeout(err) {
				t.Errorf("the connection is still open after a minute")
			}
		})
	}
}

// A profile takes longer than a request may.
func TestProfileOfLongerThanARequestMayTake(t *testing.T) {
	t.Parallel()
	const bodyTimeout = 10 * time.Second // of web
	seconds := bodyTimeout + 2*time.Second
	url := sharedSite(t).with("INVOICER_HTTP_PPROF=on").start(t, "worker").pages(t)
	begun := time.Now()
	code, body := get(t, fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", url, seconds/time.Second))
	if code != http.StatusOK || len(body) == 0 || time.Since(begun) < seconds {
		t.Errorf("%d, %d bytes after %s", code, len(body), time.Since(begun))
	}
}

// serveGuarded serves pages without servers on an address, with options that may be changed.
func serveGuarded(t *testing.T, address string, change ...func(*web.Options)) (url string) {
	t.Helper()
	fine := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "fine") })
	o := web.Options{
		Addr: address, Room: 16, Metrics: fine, Monitor: fine, MonitorRead: fine, Logger: slog.New(slog.DiscardHandler),
		Ready: health.New(health.Options{Probes: []health.Probe{{}}, Silence: time.Minute, Registry: prometheus.NewRegistry()}), // it is starting
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
	return p.URL()
}

// ownAddress is one of this machine's that others reach too.
func ownAddress(t *testing.T) string {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		if network, ok := a.(*net.IPNet); ok && network.IP.IsGlobalUnicast() && network.IP.To4() != nil {
			return network.IP.String()
		}
	}
	t.Skip("this machine has no address but loopback ones")
	return ""
}

func TestWhoIsShownWhat(t *testing.T) {
	t.Parallel()
	type answers struct{ health, metrics, monitor int }
	const ok, refused = http.StatusOK, http.StatusForbidden
	loopback := serveGuarded(t, "127.0.0.1:0")
	ask := func(t *testing.T, url, path, host string, headers ...string) (int, string) {
		t.Helper()
		return get(t, url+path, func(r *http.Request) {
			if host != "" {
				r.Host = host
			}
			for _, h := range headers {
				name, value, _ := strings.Cut(h, ": ")
				r.Header[name] = []string{value}
			}
		})
	}
	check := func(t *testing.T, url string, want answers, host string, headers ...string) {
		t.Helper()
		for path, code := range map[string]int{"/livez": want.health, "/healthz": want.health, "/metrics": want.metrics, "/monitor/": want.monitor} {
			if got, _ := ask(t, url, path, host, headers...); got != code {
				t.Errorf("host %q, %q: %s answers %d, want %d", host, headers, path, got, code)
			}
		}
		code, body := ask(t, url, "/readyz", host, headers...)
		detail := want.monitor == ok
		if code != http.StatusServiceUnavailable || (body == "starting\n") != detail || !detail && body != "not ready\n" {
			t.Errorf("host %q, %q: /readyz answers %d %s", host, headers, code, body)
		}
	}
	for _, host := range []string{"", "localhost", "LOCALHOST:80", "127.0.0.1", "127.9.9.9:1", "[::1]", "[::1]:8080"} {
		check(t, loopback, answers{ok, ok, ok}, host)
	}
	for _, host := range []string{"evil.example", "evil.example:80", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", "2130706433", "0.0.0.0", "[::1", "localhost.", "invoicer"} {
		check(t, loopback, answers{ok, refused, refused}, host)
	}
	for _, header := range []string{
		"X-Forwarded-For: 10.1.1.1", "X-Forwarded-For: ", "X-Forwarded-Host: shop.example", "X-Forwarded-Proto: https", "X-Forwarded: for=1", "X_Forwarded_For: 1",
		"Forwarded: for=10.1.1.1", "Via: 1.1 proxy", "X-Real-IP: 10.1.1.1", "x-real-ip: 10.1.1.1", "X-Client-IP: 1", "CF-Connecting-IP: 1", "True-Client-IP: 1",
		"X-Cluster-Client-IP: 1", "X-Original-URL: /", "X-Original-Forwarded-For: 1", "Fastly-Client-IP: 1", "X-Envoy-External-Address: 1", "X-ProxyUser-Ip: 1", "X-Forward-For: 1",
	} {
		check(t, loopback, answers{ok, refused, refused}, "", header)
	}
	t.Run("beyond loopback", func(t *testing.T) {
		t.Parallel()
		url := serveGuarded(t, ownAddress(t)+":0")
		check(t, url, answers{ok, refused, refused}, "")
		check(t, url, answers{ok, refused, refused}, "invoicer.example")
		check(t, url, answers{ok, refused, refused}, "localhost")
	})
	t.Run("all addresses", func(t *testing.T) {
		t.Parallel()
		url := serveGuarded(t, "0.0.0.0:0") // 127.0.0.1 is no loopback listener then
		check(t, url, answers{ok, refused, refused}, "")
		check(t, url, answers{ok, refused, refused}, "localhost")
	})
	t.Run("open metrics", func(t *testing.T) {
		t.Parallel()
		open := func(o *web.Options) { o.Access.OpenMetrics = true }
		check(t, serveGuarded(t, "0.0.0.0:0", open), answers{ok, ok, refused}, "invoicer.example")
		check(t, serveGuarded(t, "127.0.0.1:0", open), answers{ok, ok, refused}, "", "X-Forwarded-For: 10.1.1.1")
		check(t, serveGuarded(t, "127.0.0.1:0", open), answers{ok, refused, refused}, "evil.example")
	})
}

func TestEveryAnswerHasTheGuardsHeaders(t *testing.T) {
	t.Parallel()
	s := sharedSite(t).with("INVOICER_HTTP_PPROF=on")
	w := s.start(t, "worker")
	w.awaitReadyz(t, http.StatusOK)
	url := w.pages(t)
	const host = "Host: 127.0.0.1\r\n"
	for request, want := range map[string]int{
		"GET / HTTP/1.1\r\n" + host:                                           http.StatusOK,
		"GET /livez HTTP/1.1\r\n" + host:                                      http.StatusOK,
		"HEAD /livez HTTP/1.1\r\n" + host:                                     http.StatusOK,
		"GET /healthz HTTP/1.0\r\n":                                           http.StatusOK,
		"GET /readyz HTTP/1.1\r\n" + host:                                     http.StatusOK,
		"GET /metrics HTTP/1.1\r\n" + host:                                    http.StatusOK,
		"GET /monitor/ HTTP/1.1\r\n" + host:                                   http.StatusOK,
		"GET /monitor HTTP/1.1\r\n" + host:                                    http.StatusTemporaryRedirect,
		"GET /monitor/favicon.ico HTTP/1.1\r\n" + host:                        http.StatusOK,
		"GET /monitor/api/servers HTTP/1.1\r\n" + host:                        http.StatusOK,
		"GET /monitor/api/queues/no-such HTTP/1.1\r\n" + host:                 http.StatusInternalServerError,
		"GET /debug/pprof/ HTTP/1.1\r\n" + host:                               http.StatusOK,
		"GET /nothing HTTP/1.1\r\n" + host:                                    http.StatusNotFound,
		"POST /readyz HTTP/1.1\r\nContent-Length: 0\r\n" + host:               http.StatusMethodNotAllowed,
		"OPTIONS * HTTP/1.1\r\n" + host:                                       http.StatusBadRequest,
		"GET /metrics HTTP/1.1\r\nHost: evil.example\r\n":                     http.StatusForbidden,
		"GET http://evil.example/metrics HTTP/1.1\r\n" + host:                 http.StatusForbidden,
		"GET /monitor/ HTTP/1.1\r\nVia: 1.1 p\r\n" + host:                     http.StatusForbidden,
		"GET /livez HTTP/1.1\r\n":                                             http.StatusBadRequest, // without a host
		"GET /livez HTTP/3.0\r\n" + host:                                      http.StatusHTTPVersionNotSupported,
		"nonsense\r\n":                                                        http.StatusBadRequest,
		"GET /livez HTTP/1.1\r\nX: " + strings.Repeat("x", 1<<16) + "\r\n":    http.StatusRequestHeaderFieldsTooLarge,
		"POST /livez HTTP/1.1\r\nTransfer-Encoding: what\r\n" + host:          http.StatusNotImplemented,
		"GET /livez HTTP/1.1\r\nExpect: what\r\nContent-Length: 1\r\n" + host: http.StatusExpectationFailed,
	} {
		c := ask(t, url, request+"\r\n")
		method, _, _ := strings.Cut(request, " ")
		response, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
		if err != nil {
			t.Errorf("%.60q: %v", request, err)
			continue
		}
		if response.StatusCode != want {
			t.Errorf("%.60q is answered with %d, want %d", request, response.StatusCode, want)
		}
		if response.Header.Get("X-Content-Type-Options") != "nosniff" || response.Header.Get("X-Frame-Options") != "DENY" {
			t.Errorf("%.60q: %v", request, response.Header)
		}
		for name := range web.GuardHeaders() {
			value := response.Header.Get(name)
			if standard := web.GuardHeaders().Get(name); value != standard && (name != "Content-Security-Policy" || !strings.Contains(value, "frame-ancestors 'none'")) && (name != "Referrer-Policy" || value != "same-origin") || len(response.Header.Values(name)) != 1 {
				t.Errorf("%.60q: %s is %q", request, name, response.Header.Values(name))
			}
		}
		response.Body.Close()
	}
	w.signal(t, syscall.SIGTERM)
	if code := w.exit(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
