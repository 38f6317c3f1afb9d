// Package health finds out whether the workers of a process can process jobs, and if not, why. It answers /readyz, exports the
// metrics invoicer_ready and invoicer_outage, and logs one line when an outage begins and one when it ends, however many
// jobs and parts of the process notice it.
//
// A cause is a reason why jobs wait: a server and a code, such as Redis with OOM or Postgres with a SQLSTATE. Causes come
// from three sources. Probes try each second what every job needs; a failing probe reports its cause until it succeeds, or
// fails for another cause. Jobs report the cause when they wait in hand or go back to their queue because of an outage. The
// relay and the reconciler, which are parts of the process that work on their own, report each failure and each success.
//
// A cause becomes an outage as soon as a probe fails for it. Without a probe it becomes one once jobs have reported it over 4 s,
// or once a job has gone back to its queue for it, because such a job has waited longer than that. An unspecific cause, such
// as no answer in time, becomes none while a failing probe names a specific one that explains it.
//
// An outage ends once no probe fails for it and all reports have expired. A report expires after [Options].Silence, or after
// 8 s if its source has had a success since, or at once when a probe that failed for the cause recovers; whatever
// persists is then reported anew. An outage that comes back within a minute of its end must stay away for longer before it
// ends again: 4 s the first time, then twice as long each time, a minute at most. So a server that flaps doesn't fill the log.
//
// A stalled part is a relay or reconciler whose every attempt has failed for 30 s, for whatever causes. The causes may change with
// each attempt, so that none of them becomes an outage. The log names a stalled part once, unless an outage in the log is the
// reason, and the process isn't ready until an attempt succeeds.
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
	"invoicer/web/access"
	"invoicer/worker"
	"invoicer/worker/dispatch"
)

// Options configure a [Health].
type Options struct {
	Servers Servers
	Probes  []Probe
	// Silence is the time after which a report of a cause expires if its source hasn't repeated it. After a success of the
	// source it expires sooner.
	Silence time.Duration
	Logger  *slog.Logger
	// Version is that of the program, which /readyz tells visitors on this machine. Default: it tells none.
	Version string
	// Unsafe says what may get lost although the process is ready, which /readyz then tells. Default: nothing.
	Unsafe string
	// Registry is where New registers the metrics invoicer_ready and invoicer_outage.
	Registry prometheus.Registerer
}

// Health knows the outages and the stalled parts of a process, and answers /readyz. It is safe for concurrent use.
type Health struct {
	probes   []Probe
	names    Servers
	unsafe   string
	version  string
	outages  *outages
	tried    atomic.Int64 // number of probes that have been tried at least once
	draining atomic.Bool
	log      *slog.Logger
}

// New returns a Health without outages. Until each probe has been tried once, /readyz answers "starting". New panics if the
// registry has the metrics already.
func New(o Options) *Health {
	gauge := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: "invoicer", Name: "outage", Help: "Whether jobs wait for this cause at present.",
	}, []string{"server", "cause"})
	h := &Health{log: o.Logger, names: o.Servers, unsafe: o.Unsafe, version: o.Version, probes: o.Probes, outages: newOutages(o.Logger, o.Silence, gauge)}
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

// Watching returns the part of the process that tries the probes, each once a second.
func (h *Health) Watching() lifecycle.Part {
	return lifecycle.Part{Name: "the health checks", Run: func(ctx context.Context) error {
		h.watch(ctx)
		return nil
	}}
}

// Readiness returns the part of the process that must start last and stop first. It calls started, unless that is nil, when
// all other parts have started. From its stop on, /readyz answers "draining".
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

// ObserveWorker takes an event of a worker as a report or a success of the jobs. Jobs report nothing while the process drains.
func (h *Health) ObserveWorker(e worker.Event) {
	switch {
	case e.What == worker.Ended:
		h.outages.succeeded("jobs")
	case e.Outage() && !h.draining.Load():
		h.outages.report("jobs", h.names.cause(e.Err), e.What == worker.PutBack)
	}
}

// ObserveDispatch takes an event of the relay or the reconciler as a failure or a success of that part. They report no failure
// while the process drains.
func (h *Health) ObserveDispatch(e dispatch.Event) {
	switch {
	case e.What == dispatch.Goes:
		h.outages.partSucceeded(context.Background(), e.By)
	case e.What == dispatch.Waits && !h.draining.Load():
		h.outages.partFailed(e.By, h.names.cause(e.Err))
	}
}

// obstacles returns the reasons why the process isn't ready, one line for each.
func (h *Health) obstacles() []string {
	list := h.outages.obstacles()
	if h.draining.Load() {
		list = append(list, "draining")
	}
	if len(list) == 0 && h.tried.Load() < int64(len(h.probes)) {
		list = append(list, "starting")
	}
	return list
}

// ServeHTTP answers 200 if the process is ready, and 503 otherwise. A client on this machine also gets the reasons, or what may get lost
// although it is ready, and the program's version. Others aren't told which version they could attack.
func (h *Health) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status, body, local := http.StatusOK, "ready", access.Of(r).Local()
	if obstacles := h.obstacles(); len(obstacles) > 0 {
		status, body = http.StatusServiceUnavailable, "not ready"
		if local {
			body = strings.Join(obstacles, "\n")
		}
	} else if h.unsafe != "" && local {
		body += "\nunsafe: " + h.unsafe
	}
	if h.version != "" && local {
		body += "\nversion: " + h.version
	}
	w.WriteHeader(status)
	_, _ = fmt.Fprintln(w, body) // the client may be gone
}
