package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"invoicer/internal/lifecycle"
	"invoicer/web"
	"invoicer/worker"
	"invoicer/worker/dispatch"
)

// A probe tries, again and again, something that the work needs. Its error names what fails.
type probe struct {
	name   string
	server string // of which its error speaks, unless it says otherwise
	try    func(context.Context) error
}

// A health watches what workers need: it has one line logged when something is in the way of the jobs and one when it is
// out of it, and answers /readyz.
type health struct {
	probes   []probe
	names    serverNames
	outages  *outages
	looked   atomic.Int64 // how many probes have been tried
	draining atomic.Bool
	log      *slog.Logger
}

const (
	probeInterval = time.Second
	probeTimeout  = 2 * time.Second
)

// health returns what watches the workplace; its metrics join the others.
func (w *workplace) health(m *metrics) *health {
	gauge := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: "invoicer", Name: "outage", Help: "Whether jobs wait for this cause at present.",
	}, []string{"server", "cause"})
	h := &health{
		log: w.log, names: w.serverNames(), probes: w.probes(),
		// A job that waits asks again before its time is up and, once it was put back, within 5 s of that.
		outages: newOutages(w.log, w.cfg.Worker.JobTimeout+10*time.Second, gauge),
	}
	m.registry.MustRegister(gauge, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "invoicer", Name: "ready", Help: "Whether this worker can work.",
	}, func() float64 {
		if len(h.obstacles()) == 0 {
			return 1
		}
		return 0
	}))
	return h
}

// watching is the probes as a part of a process.
func (h *health) watching() lifecycle.Part {
	return lifecycle.Part{Name: "the health checks", Run: func(ctx context.Context) error {
		h.watch(ctx)
		return nil
	}}
}

// readiness is the last part to start and the first to stop. It calls started once all parts have started; when it stops,
// /readyz answers "draining".
func (h *health) readiness(started func()) lifecycle.Part {
	return lifecycle.Part{Name: "readiness", Start: func(context.Context) error {
		if started != nil {
			started()
		}
		return nil
	}, Run: func(ctx context.Context) error {
		<-ctx.Done()
		h.draining.Store(true)
		return nil
	}}
}

// watch probes until ctx ends.
func (h *health) watch(ctx context.Context) {
	var all sync.WaitGroup
	for _, p := range h.probes {
		all.Go(func() {
			tick := time.NewTicker(probeInterval)
			defer tick.Stop()
			h.look(ctx, p)
			h.looked.Add(1)
			for {
				select {
				case <-tick.C:
					h.look(ctx, p)
				case <-ctx.Done():
					return
				}
			}
		})
	}
	all.Wait()
}

// look tries a probe. One that doesn't come back in time has failed, whatever becomes of it.
func (h *health) look(ctx context.Context, p probe) {
	limit, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	var err error
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		err = p.try(limit)
	}()
	late := time.NewTimer(probeTimeout + probeInterval/2)
	defer late.Stop()
	select {
	case <-answered:
		h.found(ctx, p, err)
	case <-late.C:
		h.found(ctx, p, context.DeadlineExceeded)
		<-answered // the next one begins when this one has ended
	}
}

func (h *health) found(ctx context.Context, p probe, err error) {
	if ctx.Err() != nil {
		return
	}
	if err == nil {
		h.outages.probed(ctx, p.name, nil)
		return
	}
	c := p.cause(h.names, err)
	h.outages.probed(ctx, p.name, &c)
}

// cause tells why the probe has failed.
func (p probe) cause(a serverNames, err error) cause {
	c := a.cause(err)
	switch c.code {
	case slow:
		return cause{server: p.server, code: away, text: "no answer within " + probeTimeout.String()}
	case away, other:
		c.server = p.server
	}
	if c.code == other {
		c.code = p.name
	}
	return c
}

// observe learns from what happens to the jobs.
func (h *health) observe(e worker.Event) {
	switch {
	case e.What == worker.Ended:
		h.outages.goesOn("jobs")
	case e.Outage() && !h.draining.Load():
		h.outages.meet("jobs", h.names.cause(e.Err), e.What == worker.PutBack)
	}
}

// observeLedger learns from what the ledger's relay and reconciler meet.
func (h *health) observeLedger(e dispatch.Event) {
	switch {
	case e.What == dispatch.Goes:
		h.outages.works(context.Background(), e.By)
	case e.What == dispatch.Waits && !h.draining.Load():
		h.outages.fails(e.By, h.names.cause(e.Err))
	}
}

// obstacles lists why this worker can't work, a line for each.
func (h *health) obstacles() []string {
	list := h.outages.obstacles()
	if h.draining.Load() {
		list = append(list, "draining")
	}
	if len(list) == 0 && h.looked.Load() < int64(len(h.probes)) {
		list = append(list, "starting")
	}
	return list
}

// ServeHTTP answers whether this worker can work: 200, or 503. A visitor on this machine is told what is in the way.
func (h *health) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status, body := http.StatusOK, "ready"
	if obstacles := h.obstacles(); len(obstacles) > 0 {
		status, body = http.StatusServiceUnavailable, "not ready"
		if web.IsLocal(r) {
			body = strings.Join(obstacles, "\n")
		}
	}
	w.WriteHeader(status)
	_, _ = fmt.Fprintln(w, body) // whoever asked may have gone
}
