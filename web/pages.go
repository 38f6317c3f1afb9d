package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"invoicer/internal/lifecycle"
)

// MonitorPath is where the monitor of the queues is shown.
const MonitorPath = "/monitor"

// Options say what the pages show, and to how many.
type Options struct {
	Addr string // host:port; port 0 takes a free one
	Room int    // how many connections there are at once, at most

	Ready   http.Handler // /readyz
	Metrics http.Handler // /metrics
	Monitor http.Handler // everything below MonitorPath, for visitors on this machine alone
	Pprof   bool         // whether profiles are served, for visitors on this machine alone

	Logger *slog.Logger
}

// Pages are what a process shows of itself: /livez, /healthz and /readyz to everybody, /metrics, and the monitor to those
// on the same machine.
type Pages struct {
	server   *http.Server
	listener net.Listener
	log      *slog.Logger
}

// How long a visitor may take: for the headers, for the whole request, and to take the answer.
const (
	headerTimeout = 5 * time.Second
	bodyTimeout   = 10 * time.Second
	answerTimeout = 30 * time.Second
	idleTimeout   = time.Minute
)

// Open takes the address. Nothing is answered before the pages' [Pages.Part] runs. An address that can't be had is the
// error of [net.ListenConfig.Listen].
func Open(ctx context.Context, o Options) (*Pages, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", o.Addr)
	if err != nil {
		return nil, err
	}
	bounded := NewVisitors(listener, o.Room)
	return &Pages{listener: bounded, log: o.Logger, server: &http.Server{
		Handler:           bounded.Counted(Guarded(o.routes())),
		ReadHeaderTimeout: headerTimeout, ReadTimeout: bodyTimeout, WriteTimeout: answerTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes:               16 << 10,
		ConnContext:                  bounded.Remember,
		DisableGeneralOptionsHandler: true, // it answers without the headers that all have
		ErrorLog:                     slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
	}}, nil
}

func (o Options) routes() http.Handler {
	mux := http.NewServeMux()
	alive := func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "alive") }
	mux.HandleFunc("GET /livez", alive)
	mux.HandleFunc("GET /healthz", alive)
	mux.Handle("GET /readyz", o.Ready)
	mux.Handle("GET /metrics", o.Metrics)
	mux.Handle(MonitorPath+"/", LocalOnly(o.Monitor))
	if o.Pprof {
		profiles := http.NewServeMux()
		profiles.HandleFunc("/debug/pprof/", pprof.Index)
		profiles.HandleFunc("/debug/pprof/profile", pprof.Profile)
		profiles.HandleFunc("/debug/pprof/trace", pprof.Trace)
		profiles.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.Handle("/debug/pprof/", LocalOnly(withoutReadDeadline(profiles)))
	}
	mux.Handle("GET /{$}", http.RedirectHandler(MonitorPath+"/", http.StatusFound))
	return mux
}

// withoutReadDeadline is for answers that take as long as they were asked to: a profile of half a minute ends when the time for
// reading the request is over, and pprof itself sees to the time for writing.
func withoutReadDeadline(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // where it can't be set, there is none
		next.ServeHTTP(w, r)
	})
}

// URL is where the pages are, for people.
func (p *Pages) URL() string {
	host, port, err := net.SplitHostPort(p.listener.Addr().String())
	if err != nil {
		return p.listener.Addr().String()
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// lastAnswers is how long questions that were asked before the pages close may go on being answered. All but profiles
// take much less.
const lastAnswers = time.Second

// Part is the pages as a part of a process. Visitors who have asked when it stops get their answers, for a second.
func (p *Pages) Part() lifecycle.Part {
	return lifecycle.Part{Name: "the pages", Start: func(context.Context) error {
		p.log.Info("pages are served", "url", p.URL(), "monitor", p.URL()+MonitorPath+"/")
		return nil
	}, Run: p.serve}
}

func (p *Pages) serve(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- p.server.Serve(p.listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastAnswers)
	defer cancel()
	if p.server.Shutdown(limit) != nil {
		_ = p.server.Close() // whoever is left has had the time
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close gives up the address, also where the pages were never served.
func (p *Pages) Close() {
	_ = p.server.Close()
	_ = p.listener.Close()
}
