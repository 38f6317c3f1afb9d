package main

import (
	"context"
	"errors"
	"maps"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
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

On http.addr it answers /livez, /healthz and /readyz to everybody, and shows /metrics and, under /monitor/, the queues to visitors
on this machine and to holders of a token. See 'invoicer token --help'.`,
		Example: `  invoicer worker
  invoicer worker --worker-concurrency 50 --worker-queues critical=6,default=3
  invoicer worker --http-addr :8443 --http-tls-cert t.crt --http-tls-key t.key`,
	}
	addConfigFlags(cmd, "worker", "lock", "idempotency", "numbering", "witness", "events", "documents", "http", "metrics", "allow_unsafe", "strict", "dates", "credit_notes", "zero", "replaces", "ignore")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return a.work(cmd) }
	cmd.AddCommand(a.workerQuietCommand())
	return cmd
}

func (a app) work(cmd *cobra.Command) error {
	cfg, err := a.loadConfig(cmd)
	if err != nil {
		return err
	}
	if err := cfg.CheckQueues(); err != nil {
		return exitError{exitUsage, err}
	}
	if err := checkTemplates(cfg); err != nil {
		return err
	}
	log := newLogger(cfg.Log, cmd.ErrOrStderr())
	catchLogs(log)
	collectLessOften()
	ctx, stop := untilSignal(cmd.Context(), func() { log.Info("draining: no more jobs are taken; a second signal ends at once") })
	defer stop()

	m := newMetrics(cfg)
	w, err := a.openWorkplace(ctx, cfg, len(cfg.Worker.Queues), m, log)
	if err != nil {
		return err
	}
	defer w.close()
	h := w.health(m)
	p, err := openPages(ctx, cfg, cfg.HTTP.Addr, h, m, w.store.Reports.Producers, log)
	if err != nil {
		return err
	}
	defer p.close()
	return operation{
		workplace: w, workers: []string{w.name}, queues: cfg.Worker.Queues, health: h, metrics: m, pages: p,
	}.run(ctx)
}

// garbagePercent is the GOGC of a process with workers. Such a process has a few megabytes in use, and Go's default of 100 would
// collect so often that it costs time for no benefit.
const garbagePercent = 250

// collectLessOften sets GOGC to garbagePercent, unless the environment sets it. That concerns the whole process, so only commands
// call it.
func collectLessOften() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
}

// An operation is a set of workers in one process, with the parts that run beside them.
type operation struct {
	*workplace
	workers []string       // the workers' names
	queues  map[string]int // name → weight
	health  *health.Health
	metrics *metrics.Metrics
	pages   *servedPages // nil if there are none
	serving func()       // called once everything has started; may be nil
}

// run runs all parts until ctx ends, or a part fails for good, for example because another installation took a queue over.
//
// Each stage relies on those before it, so the stages stop in this order. First /readyz answers 503. Then the workers fetch no more
// jobs, and finish those in hand. Then relay and reconciler finish their batches; until then, accepted jobs still reach the workers
// of other processes. Then the pages finish the requests under way and close. Last, when no job is in hand any more, the queues are
// given up, so that others may take them. The caller closes the connections after that.
func (o operation) run(ctx context.Context) error {
	ownership, err := o.keep(o.name, o.queues)
	if err != nil {
		return err
	}
	cache, err := newFitter(o.cfg, o.store, o.metrics, o.log)
	if err != nil {
		return err
	}
	claims, workers := lifecycle.Stage{ownership}, lifecycle.Stage{}
	for _, name := range o.workers {
		presence, part, err := o.newPresence(name, o.queues)
		if err != nil {
			return err
		}
		claims = append(claims, part)
		hits := new(cacheHits)
		presence.Cache = hits.tell(cache.TTL)
		observe := both(hits.observe, both(o.metrics.ObserveWorker, o.health.ObserveWorker))
		server, err := o.newWorker(name, o.queues, presence.Quiet, cache.TTL, observe)
		if err != nil {
			return err
		}
		workers = append(workers, workerPart(name, server))
	}
	ledgers, err := o.newLedger(o.name, o.queues, both(o.metrics.ObserveDispatch, o.health.ObserveDispatch))
	if err != nil {
		return err
	}
	waiting, err := watch(o.cfg, o.metrics, o.store, o.redis, slices.Sorted(maps.Keys(o.queues)), o.log)
	if err != nil {
		return err
	}
	watching := lifecycle.Stage{o.safety(), o.health.Watching(), waiting, lasting("the looks at late duplicates", cache.Run), lasting("the watch over numbers", o.numbers.Run)}
	deliverer, err := o.newDeliverer(ctx, o.metrics)
	if err != nil {
		return err
	}
	watching = append(watching, lifecycle.Part{Name: "the delivery of events", Run: deliverer.Run})
	clerk, err := o.newClerk(ctx, o.metrics)
	if err != nil {
		return err
	}
	sweeper, err := o.newSweeper(o.metrics)
	if err != nil {
		return err
	}
	messenger, err := o.newMessenger(ctx, o.metrics)
	if err != nil {
		return err
	}
	watching = append(watching, clerk, sweeper, messenger)
	if o.witness != nil {
		watching = append(watching, lasting("the witness", o.witness.Run))
	}
	if o.pages != nil {
		watching = append(watching, o.pages.parts()...)
	}
	upgraded := lasting("the look for workers of the release before", o.upgrade.run)
	return lifecycle.Run(ctx, append(claims, upgraded), watching, ledgers, workers, lifecycle.Stage{o.health.Readiness(o.serving)})
}

// workerPart returns a part that takes jobs until its context ends, and then finishes those in hand.
func workerPart(name string, s *worker.Server) lifecycle.Part {
	start := func(context.Context) error { return s.Start() } //nolint:contextcheck // the server runs on after Start, until Shutdown
	return lifecycle.Part{Name: name, Start: start, Run: func(ctx context.Context) error {
		<-ctx.Done()
		s.Shutdown() //nolint:contextcheck // it puts jobs back after its context has ended
		return nil
	}}
}

// both returns an observer that calls both.
func both[E any](first, second func(E)) func(E) {
	return func(e E) {
		first(e)
		second(e)
	}
}

// untilSignal returns a context that ends at the first SIGINT or SIGTERM, after a call of announce. The cause is then errSignal. The
// second signal ends the process at once. The returned function restores the default effect of signals; after it has returned,
// announce isn't called any more.
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
			os.Exit(exitFailed) //nolint:forbidigo // at once: without waiting for anything
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

// errSignal is the cause of a context that a signal ended.
var errSignal = errors.New("ended by a signal")
