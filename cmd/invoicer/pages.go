package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/hibiken/asynqmon"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/redis/go-redis/v9"

	"invoicer/config"
	"invoicer/internal/lifecycle"
	"invoicer/web"
)

// monitorPath is where asynqmon is shown.
const monitorPath = "/monitor"

// pages are what a worker shows of itself: /livez, /healthz and /readyz to everybody, /metrics, and asynqmon to those on
// the same machine.
type pages struct {
	server   *http.Server
	listener net.Listener
	monitor  *asynqmon.HTTPHandler
	log      *slog.Logger
}

// How long a visitor may take: for the headers, for the whole request, and to take the answer.
const (
	headerTimeout = 5 * time.Second
	bodyTimeout   = 10 * time.Second
	answerTimeout = 30 * time.Second
	idleTimeout   = time.Minute
)

// openPages takes the configured address, and returns nil when there is none. Nothing is answered before their part runs.
func openPages(ctx context.Context, cfg *config.Config, h *health, m *metrics) (*pages, error) {
	if cfg.HTTP.Addr == "" {
		return nil, nil
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", cfg.HTTP.Addr)
	if err != nil {
		return nil, fmt.Errorf("http.addr %s can't be used (%w): give another one, or an empty one to have no pages", cfg.HTTP.Addr, errors.Unwrap(err))
	}
	bounded := web.NewVisitors(listener, roomForVisitors(cfg))
	p := &pages{listener: bounded, monitor: asynqmon.New(asynqmon.Options{RootPath: monitorPath, RedisConnOpt: monitorRedis{cfg}}), log: h.log}
	p.server = &http.Server{
		Handler:           bounded.Counted(web.Guarded(p.routes(cfg, h, m))),
		ReadHeaderTimeout: headerTimeout, ReadTimeout: bodyTimeout, WriteTimeout: answerTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes:               16 << 10,
		ConnContext:                  bounded.Remember,
		DisableGeneralOptionsHandler: true, // it answers without the headers that all have
		ErrorLog:                     slog.NewLogLogger(h.log.Handler(), slog.LevelDebug),
	}
	return p, nil
}

func (p *pages) routes(cfg *config.Config, h *health, m *metrics) http.Handler {
	mux := http.NewServeMux()
	alive := func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "alive") }
	mux.HandleFunc("GET /livez", alive)
	mux.HandleFunc("GET /healthz", alive)
	mux.Handle("GET /readyz", h)
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	mux.Handle(monitorPath+"/", web.LocalOnly(p.monitor))
	if cfg.HTTP.Pprof == "on" {
		profiles := http.NewServeMux()
		profiles.HandleFunc("/debug/pprof/", pprof.Index)
		profiles.HandleFunc("/debug/pprof/profile", pprof.Profile)
		profiles.HandleFunc("/debug/pprof/trace", pprof.Trace)
		profiles.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.Handle("/debug/pprof/", web.LocalOnly(withoutReadDeadline(profiles)))
	}
	mux.Handle("GET /{$}", http.RedirectHandler(monitorPath+"/", http.StatusFound))
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

// roomForVisitors is how many connections the pages may have, so that those of the work fit beside them.
func roomForVisitors(cfg *config.Config) int {
	const fewest, files = 8, 64
	limit := descriptors()
	if limit == 0 {
		return web.MostVisitors
	}
	work := cfg.Worker.Concurrency + connectionsBeside + len(cfg.Worker.Queues) + mostDatabaseConnections + monitorConnections + files
	return max(fewest, min((limit-work)/2, web.MostVisitors))
}

// url is where the pages are, for people.
func (p *pages) url() string {
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

// part is the pages as a part of a process. Those who have asked when it stops get their answers, within lastAnswers.
func (p *pages) part() lifecycle.Part {
	return lifecycle.Part{Name: "the pages", Start: func(context.Context) error {
		p.log.Info("pages are served", "url", p.url(), "monitor", p.url()+monitorPath+"/")
		return nil
	}, Run: p.serve}
}

func (p *pages) serve(ctx context.Context) error {
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

// close gives up the address and what the pages were made of, also where they were never served.
func (p *pages) close() {
	if p == nil {
		return
	}
	_ = p.server.Close()
	_ = p.listener.Close()
	_ = p.monitor.Close()
}

// monitorConnections is how many connections to Redis asynqmon's two clients have, at most.
const monitorConnections = 2 * connectionsBeside

// monitorRedis gives asynqmon connections of its own, which it closes itself: few, as it is visitors who use them.
type monitorRedis struct{ cfg *config.Config }

func (r monitorRedis) MakeRedisClient() any {
	o, err := r.cfg.Redis.Options()
	if err != nil {
		return nil // asynqmon refuses; the configuration was checked before
	}
	o.PoolSize = connectionsBeside
	client := redis.NewUniversalClient(o)
	client.AddHook(&outageBackoff{})
	return client
}
