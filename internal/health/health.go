// Package health watches what workers need: it has one line logged when something is in the way of the jobs and one when it
// is out of it, however many jobs and parts of the process meet it, and says whether the process is ready.
package health

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"invoicer/internal/lifecycle"
	"invoicer/web"
	"invoicer/worker"
	"invoicer/worker/dispatch"
)

// Options say what is watched, and who learns of it.
type Options struct {
	Servers Servers
	Probes  []Probe
	// Silence is after what time a cause that jobs have met is over if nothing has met it again and no job goes on.
	Silence time.Duration
	Logger  *slog.Logger
	// Registry gets the metrics ready and outage.
	Registry prometheus.Registerer
}

// Health watches what workers need. It answers /readyz.
type Health struct {
	probes   []Probe
	names    Servers
	outages  *outages
	looked   atomic.Int64 // how many probes have been tried
	draining atomic.Bool
	log      *slog.Logger
}

// New returns a Health, which knows of nothing in the way until its parts run. Its process is starting until each
// probe was tried.
func New(o Options) *Health {
	gauge := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: "invoicer", Name: "outage", Help: "Whether jobs wait for this cause at present.",
	}, []string{"server", "cause"})
	h := &Health{log: o.Logger, names: o.Servers, probes: o.Probes, outages: newOutages(o.Logger, o.Silence, gauge)}
	o.Registry.MustRegister(gauge, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "invoicer", Name: "ready", Help: "Whether this worker can work.",
	}, func() float64 {
		if len(h.obstacles()) == 0 {
			return 1
		}
		return 0
	}))
	return h
}

// Watching is the probes as a part of a process.
func (h *Health) Watching() lifecycle.Part {
	return lifecycle.Part{Name: "the health checks", Run: func(ctx context.Context) error {
		h.watch(ctx)
		return nil
	}}
}

// Readiness is the last part to start and the first to stop. It calls started once all parts have started; when it stops,
// /readyz answers "draining".
func (h *Health) Readiness(started func()) lifecycle.Part {
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

// ObserveWorker learns from what happens to the jobs.
func (h *Health) ObserveWorker(e worker.Event) {
	switch {
	case e.What == worker.Ended:
		h.outages.goesOn("jobs")
	case e.Outage() && !h.draining.Load():
		h.outages.meet("jobs", h.names.cause(e.Err), e.What == worker.PutBack)
	}
}

// ObserveDispatch learns from what the relay and the reconciler meet.
func (h *Health) ObserveDispatch(e dispatch.Event) {
	switch {
	case e.What == dispatch.Goes:
		h.outages.works(context.Background(), e.By)
	case e.What == dispatch.Waits && !h.draining.Load():
		h.outages.fails(e.By, h.names.cause(e.Err))
	}
}

// obstacles lists why this worker can't work, a line for each.
func (h *Health) obstacles() []string {
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
func (h *Health) ServeHTTP(w http.ResponseWriter, r *http.Request) {
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
