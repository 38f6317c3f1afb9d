package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"
)

// A dependency is a server that work stands still without.
type dependency struct {
	name  string // with its address, without anything secret
	probe func(context.Context) error
	down  atomic.Bool
}

// A health watches the dependencies: it logs one line when one goes away and one when it is back, and answers
// /readyz.
type health struct {
	dependencies []*dependency
	draining     atomic.Bool
	log          *slog.Logger
}

const (
	probeInterval = time.Second
	probeTimeout  = 2 * time.Second
)

func (w *workplace) health() *health {
	return &health{log: w.log, dependencies: []*dependency{
		{name: "postgres at " + w.cfg.Database.Addr(), probe: w.store.Ping},
		{name: "redis at " + w.cfg.Redis.Addr(), probe: func(ctx context.Context) error { return w.redis.Ping(ctx).Err() }},
	}}
}

// watch probes until ctx ends.
func (h *health) watch(ctx context.Context) {
	tick := time.NewTicker(probeInterval)
	defer tick.Stop()
	for {
		for _, d := range h.dependencies {
			h.look(ctx, d)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (h *health) look(ctx context.Context, d *dependency) {
	probe, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	err := d.probe(probe)
	if ctx.Err() != nil {
		return
	}
	switch down := err != nil; {
	case down && !d.down.Swap(true):
		h.log.ErrorContext(ctx, d.name+" is away: jobs wait until it is back", "error", oneLine(err))
	case !down && d.down.Swap(false):
		h.log.InfoContext(ctx, d.name+" is back")
	}
}

// ServeHTTP answers whether this worker can work: 200, or 503 and what is missing.
func (h *health) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	status, body := http.StatusOK, ""
	for _, d := range h.dependencies {
		if d.down.Load() {
			status = http.StatusServiceUnavailable
			body += d.name + " is away\n"
		}
	}
	if h.draining.Load() {
		status = http.StatusServiceUnavailable
		body += "draining\n"
	}
	if body == "" {
		body = "ready\n"
	}
	w.WriteHeader(status)
	_, _ = fmt.Fprint(w, body) // whoever asked may have gone
}
