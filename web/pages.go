package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"sync"
	"time"

	"invoicer/internal/lifecycle"
	"invoicer/web/access"
)

// MonitorPath is the path of the queues' monitor.
const MonitorPath = "/monitor"

// Options configure [Pages].
type Options struct {
	Addr    string         // host:port; port 0 takes a free one
	Room    int            // most connections at the same time
	TLSCert string         // a file; "" for no TLS
	TLSKey  string         // a file
	Access  access.Options // who is let in; Open sets Loopback, TLS and Logger

	Ready       http.Handler // /readyz, for everybody
	Metrics     http.Handler // /metrics
	Monitor     http.Handler // everything below MonitorPath, for visitors who may operate
	MonitorRead http.Handler // the same, for visitors who may only read
	Pprof       bool         // serve profiles, to visitors on this machine only
	Routes      []Route      // more pages

	Logger *slog.Logger
}

// A Route is a page, or another handler, for visitors who have a role. Its handler learns from [access.Of] who the visitor is.
type Route struct {
	Pattern string      // as [http.ServeMux] takes it
	Role    access.Role // that a visitor needs; "" for everybody whom the gate lets in
	// Within says that the handler shows visitors who are limited to issuers the data of no others. Otherwise they are refused.
	Within  bool
	Handler http.Handler
}

// PagePolicy is the Content-Security-Policy of a [Route]: everything comes from this listener, and nothing is inline.
const PagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// handler returns the route's handler for its role and with its policy.
func (p Route) handler() http.Handler {
	require := access.Require
	if p.Within {
		require = access.RequireWithin
	}
	served := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", PagePolicy)
		w.Header().Set("Referrer-Policy", "same-origin") // no-referrer would have a browser send forms with Origin: null
		p.Handler.ServeHTTP(w, r)
	})
	if p.Role == "" {
		return served
	}
	return require(p.Role, served)
}

// Pages are the HTTP pages of a process: /livez, /healthz and /readyz for everybody, profiles for visitors on the same machine, and
// metrics, the monitor and all else for visitors who have the role.
type Pages struct {
	server   *http.Server
	listener net.Listener
	gate     *access.Gate
	tls      bool
	log      *slog.Logger
}

// How long a client may take to send the headers, to send the whole request, and to read the answer, and how long a connection may
// stay open without a request.
const (
	headerTimeout = 5 * time.Second
	bodyTimeout   = 10 * time.Second
	answerTimeout = 30 * time.Second
	idleTimeout   = time.Minute
)

// Open listens on the address. The pages answer once [Pages.Part] runs. If it can't listen, Open returns the error of
// [net.ListenConfig.Listen]; if the certificate can't be used, a [*CertificateError].
func Open(ctx context.Context, o Options) (*Pages, error) {
	var tlsConfig *tls.Config
	if o.TLSCert != "" {
		c := &certificate{certFile: o.TLSCert, keyFile: o.TLSKey, log: o.Logger}
		if err := c.load(); err != nil {
			return nil, &CertificateError{err}
		}
		tlsConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get}
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", o.Addr)
	if err != nil {
		return nil, err
	}
	o.Access.Loopback, o.Access.TLS, o.Access.Logger = access.IsLoopback(listener.Addr().String()), tlsConfig != nil, o.Logger
	gate := access.New(o.Access)
	bounded := NewVisitors(listener, o.Room)
	return &Pages{listener: bounded, gate: gate, tls: tlsConfig != nil, log: o.Logger, server: &http.Server{
		Handler:           bounded.Counted(Guarded(gate.Handler(o.routes()), o.programs()...)),
		TLSConfig:         tlsConfig,
		ReadHeaderTimeout: headerTimeout, ReadTimeout: bodyTimeout, WriteTimeout: answerTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes:               16 << 10,
		ConnContext:                  bounded.Remember,
		DisableGeneralOptionsHandler: true, // it would answer without the GuardHeaders
		ErrorLog:                     slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
	}}, nil
}

// programs returns the beginning of the paths whose handlers bound the body themselves.
func (o Options) programs() []string {
	if o.Access.Programs == "" {
		return nil
	}
	return []string{o.Access.Programs}
}

func (o Options) routes() http.Handler {
	mux := http.NewServeMux()
	alive := func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "alive") }
	mux.HandleFunc("GET /livez", alive)
	mux.HandleFunc("GET /healthz", alive)
	mux.Handle("GET /readyz", o.Ready)
	if o.Access.OpenMetrics {
		mux.Handle("GET /metrics", o.Metrics)
	} else {
		mux.Handle("GET /metrics", access.Require(access.Read, o.Metrics))
	}
	mux.Handle(MonitorPath+"/", access.Require(access.Read, http.HandlerFunc(o.monitor)))
	if o.Pprof {
		profiles := http.NewServeMux()
		profiles.HandleFunc("/debug/pprof/", pprof.Index)
		profiles.HandleFunc("/debug/pprof/profile", pprof.Profile)
		profiles.HandleFunc("/debug/pprof/trace", pprof.Trace)
		profiles.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.Handle("/debug/pprof/", access.RequireLocal(withoutReadDeadline(profiles)))
	}
	for _, route := range o.Routes {
		mux.Handle(route.Pattern, route.handler())
	}
	return mux
}

// monitor serves the monitor, which a visitor who may only read can't change anything in.
func (o Options) monitor(w http.ResponseWriter, r *http.Request) {
	// asynqmon's page has inline scripts, and links a web font of another site. The policy blocks the font, so that the other site
	// isn't contacted.
	w.Header().Set("Content-Security-Policy", "default-src 'self' 'unsafe-inline' data:; frame-ancestors 'none'")
	switch {
	case access.Of(r).May(access.Operate):
		o.Monitor.ServeHTTP(w, r)
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		o.MonitorRead.ServeHTTP(w, r)
	default:
		access.Require(access.Operate, o.Monitor).ServeHTTP(w, r)
	}
}

// withoutReadDeadline returns a handler without the deadline for reading the request, which would end a profile of half a minute
// early. pprof extends the deadline for writing itself.
func withoutReadDeadline(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // an error means that there is no deadline
		next.ServeHTTP(w, r)
	})
}

// URL returns the address of the pages for people: with 127.0.0.1 as its host if the pages listen on all addresses.
func (p *Pages) URL() string {
	host, port, err := net.SplitHostPort(p.listener.Addr().String())
	if err != nil {
		return p.listener.Addr().String()
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	scheme := "http://"
	if p.tls {
		scheme = "https://"
	}
	return scheme + net.JoinHostPort(host, port)
}

// lastAnswers is how long requests under way may take after the pages have been stopped. All but profiles take much less.
const lastAnswers = time.Second

// Part returns the part of a process that serves the pages. When it stops, requests under way have a second to finish.
func (p *Pages) Part() lifecycle.Part {
	return lifecycle.Part{Name: "the pages", Start: func(ctx context.Context) error {
		p.log.Info("pages are served", "url", p.URL(), "monitor", p.URL()+MonitorPath+"/")
		return p.gate.Start(ctx)
	}, Run: func(ctx context.Context) error {
		watched, stop := context.WithCancel(ctx)
		var watcher sync.WaitGroup
		watcher.Go(func() { p.gate.Watch(watched) })
		defer watcher.Wait()
		defer stop()
		return p.serve(ctx)
	}}
}

func (p *Pages) serve(ctx context.Context) error {
	served := make(chan error, 1)
	go func() {
		if p.tls {
			served <- p.server.ServeTLS(p.listener, "", "")
		} else {
			served <- p.server.Serve(p.listener)
		}
	}()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastAnswers)
	defer cancel()
	if p.server.Shutdown(limit) != nil {
		_ = p.server.Close() // closes the requests that took longer
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close stops listening. It is needed if the Part never ran, and harmless otherwise.
func (p *Pages) Close() {
	_ = p.server.Close()
	_ = p.listener.Close()
}
