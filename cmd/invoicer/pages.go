package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/hibiken/asynqmon"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"invoicer/config"
)

// monitorPath is where asynqmon is shown.
const monitorPath = "/monitor"

// pages are what a worker shows of itself: /livez, /readyz, /metrics, and asynqmon to those on the same machine.
type pages struct {
	server   *http.Server
	listener net.Listener
	monitor  *asynqmon.HTTPHandler
}

// openPages takes the configured address, and returns nil when there is none. Nothing is answered before serve.
func openPages(ctx context.Context, cfg *config.Config, h *health, m *metrics) (*pages, error) {
	if cfg.HTTP.Addr == "" {
		return nil, nil
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", cfg.HTTP.Addr)
	if err != nil {
		return nil, fmt.Errorf("http.addr %s can't be used (%w): give another one, or an empty one to have no pages", cfg.HTTP.Addr, errors.Unwrap(err))
	}
	p := &pages{listener: listener, monitor: asynqmon.New(asynqmon.Options{RootPath: monitorPath, RedisConnOpt: monitorRedis{cfg}})}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "alive") })
	mux.Handle("GET /readyz", h)
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	mux.Handle(monitorPath+"/", localOnly(p.monitor))
	if cfg.HTTP.Pprof == "on" {
		profiles := http.NewServeMux()
		profiles.HandleFunc("/debug/pprof/", pprof.Index)
		profiles.HandleFunc("/debug/pprof/profile", pprof.Profile)
		profiles.HandleFunc("/debug/pprof/trace", pprof.Trace)
		profiles.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.Handle("/debug/pprof/", localOnly(profiles))
	}
	mux.Handle("GET /{$}", http.RedirectHandler(monitorPath+"/", http.StatusFound))
	p.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	return p, nil
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

// serve answers until close is called.
func (p *pages) serve() error {
	if err := p.server.Serve(p.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (p *pages) close() {
	if p == nil {
		return
	}
	_ = p.server.Close()   // questions about this process need no answer any more
	_ = p.listener.Close() // where serve was never reached
	_ = p.monitor.Close()
}

// monitorRedis gives asynqmon connections of its own, which it closes itself.
type monitorRedis struct{ cfg *config.Config }

func (r monitorRedis) MakeRedisClient() any {
	client, err := newRedis(r.cfg, 0)
	if err != nil {
		return nil // asynqmon refuses; the configuration was checked before
	}
	return client
}

// localOnly shows asynqmon, and profiles, which know no users and no rights, only to who is on this machine (or forwards a
// port to it), and only from its own pages: anybody else's page that a browser here has open must neither read nor press.
func localOnly(next http.Handler) http.Handler {
	sameOrigin := http.NewCrossOriginProtection().Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		forwarded := r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("Forwarded") != "" // by a proxy, for somebody elsewhere
		if forwarded || local == nil || !isLoopback(local.String()) || !isLoopback(r.RemoteAddr) || !isLoopback(r.Host) {
			http.Error(w, "this is shown on loopback only: forward a port, or put a proxy with authentication beside it", http.StatusForbidden)
			return
		}
		// Its page links a web font; nobody else needs to know who looks at it.
		w.Header().Set("Content-Security-Policy", "default-src 'self' 'unsafe-inline' data:; frame-ancestors 'none'")
		w.Header().Set("Referrer-Policy", "no-referrer")
		sameOrigin.ServeHTTP(w, r)
	})
}

// isLoopback tells whether an address with or without a port is this machine's own.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
