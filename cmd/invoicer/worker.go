package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"invoicer/internal/health"
	"invoicer/internal/lifecycle"
	"invoicer/internal/metrics"
	"invoicer/worker"
)

func (a app) workerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "worker",
		Short:   "Take jobs from the queues and make their invoices, until SIGINT or SIGTERM",
		GroupID: groupRun,
		Args:    noArgs,
		Long: `Takes jobs from the queues and makes their invoices.

At the first SIGINT or SIGTERM it takes no more jobs, finishes those in hand (worker.shutdown_timeout at most) and
ends with 0. At the second it ends at once, with 1; the jobs in hand are then taken up again when their leases have
run out. Nothing is lost either way.

On http.addr it answers /livez, /healthz, /readyz and /metrics, and shows the queues under /monitor/ to visitors on this machine.`,
		Example: `  invoicer worker
  invoicer worker --worker-concurrency 50 --worker-queues critical=6,default=3
  INVOICER_HTTP_ADDR=0.0.0.0:8080 invoicer worker`,
	}
	addConfigFlags(cmd, "worker", "lock", "idempotency", "numbering", "http")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return a.work(cmd) }
	return cmd
}

func (a app) work(cmd *cobra.Command) error {
	cfg, err := a.loadConfig(cmd)
	if err != nil {
		return err
	}
	log := newLogger(cfg.Log, cmd.ErrOrStderr())
	quietRedis(log)
	collectLessOften()
	ctx, stop := untilSignal(cmd.Context(), func() { log.Info("draining: no more jobs are taken; a second signal ends at once") })
	defer stop()

	w, err := openWorkplace(ctx, cfg, len(cfg.Worker.Queues), a.fault, log)
	if err != nil {
		return err
	}
	defer w.close()
	m := metrics.New()
	h := w.health(m)
	p, err := openPages(ctx, cfg, h, m, log)
	if err != nil {
		return err
	}
	defer p.close()
	name := workerName()
	return operation{
		workplace: w, name: name, workers: []string{name}, queues: cfg.Worker.Queues, health: h, metrics: m, pages: p,
	}.run(ctx)
}

// garbagePercent is how much garbage a process with workers lets come together, in percent of what it has in use: that is
// a few megabytes, and to collect whenever it has doubled would only cost time.
const garbagePercent = 250

// collectLessOften has garbage collected at garbagePercent, unless GOGC says otherwise. It is for the whole process, so
// commands call it and nobody else.
func collectLessOften() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
}

// An operation is workers of one process, with everything that goes with them.
type operation struct {
	*workplace
	name    string         // of the process, as owner of the queues and for the ledger
	workers []string       // their names
	queues  map[string]int // with their weights
	health  *health.Health
	metrics *metrics.Metrics
	pages   *pages // nil: none
	serving func() // is called once everything has started; nil: nothing is
}

// run works until ctx ends, or a part fails for good, such as when a queue is lost to another installation.
//
// Each stage relies on those before it, so they stop like this: the process says that it isn't ready; its workers fetch no
// more jobs and finish those in hand; relay and reconciler finish their batches, and until then accepted jobs go on to the
// workers of other processes; the pages, which have answered /readyz with 503 all the while, answer the questions that they
// have and close; and only when nobody works on jobs any more are the queues given up, as others may then take them. The
// connections stay open longer than that: the caller closes them.
func (o operation) run(ctx context.Context) error {
	ownership, err := o.keep(o.name, o.queues)
	if err != nil {
		return err
	}
	var workers lifecycle.Stage
	for _, name := range o.workers {
		server, err := o.newWorker(name, o.queues, both(o.metrics.ObserveWorker, o.health.ObserveWorker))
		if err != nil {
			return err
		}
		workers = append(workers, workerPart(name, server))
	}
	ledgers, err := o.newLedger(o.name, o.queues, both(o.metrics.ObserveDispatch, o.health.ObserveDispatch))
	if err != nil {
		return err
	}
	watching := lifecycle.Stage{o.health.Watching()}
	if o.pages != nil {
		watching = append(watching, o.pages.Part())
	}
	return lifecycle.Run(ctx, lifecycle.Stage{ownership}, watching, ledgers, workers, lifecycle.Stage{o.health.Readiness(o.serving)})
}

// workerPart is a worker that takes jobs until it is to stop, and has finished those in hand when it has ended.
func workerPart(name string, s *worker.Server) lifecycle.Part {
	start := func(context.Context) error { return s.Start() } //nolint:contextcheck // what it starts outlasts the start, until Shutdown
	return lifecycle.Part{Name: name, Start: start, Run: func(ctx context.Context) error {
		<-ctx.Done()
		s.Shutdown() //nolint:contextcheck // it puts jobs back after its context has ended
		return nil
	}}
}

// both tells two observers.
func both[E any](first, second func(E)) func(E) {
	return func(e E) {
		first(e)
		second(e)
	}
}

// untilSignal returns a context that the first SIGINT or SIGTERM ends, after announce. The second signal ends the
// process at once. The function that it returns has signals do again what they do by default, and returns once announce
// isn't called any more.
func untilSignal(parent context.Context, announce func()) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	listening, stop := context.WithCancel(context.WithoutCancel(parent))
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	var listener sync.WaitGroup
	listener.Go(func() {
		select {
		case <-signals:
		case <-ctx.Done():
			return
		}
		announce()
		cancel(errSignal)
		select {
		case <-signals:
			os.Exit(exitFailed) //nolint:forbidigo // at once means that nothing is waited for
		case <-listening.Done():
		}
	})
	return ctx, func() {
		signal.Stop(signals)
		stop()
		cancel(nil)
		listener.Wait()
	}
}

// errSignal is why a context of untilSignal ended.
var errSignal = errors.New("ended by a signal")
