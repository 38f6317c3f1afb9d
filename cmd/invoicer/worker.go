package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"invoicer/worker"
	"invoicer/worker/queue"
)

func (a app) workerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "worker",
		Short:   "Take jobs from the queues and make their invoices, until SIGINT or SIGTERM",
		GroupID: groupWork,
		Args:    noArgs,
		Long: `Takes jobs from the queues and makes their invoices.

At the first SIGINT or SIGTERM it takes no more jobs, finishes those in hand (worker.shutdown_timeout at most) and
ends with 0. At the second it ends at once, with 1; the jobs in hand are then taken up again when their leases have
run out. Nothing is lost either way.

On http.addr it answers /livez, /healthz, /readyz and /metrics, and shows the queues under /monitor/ to who is on this machine.`,
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
	ctx, stop := untilSignal(cmd.Context(), func() { log.Info("draining: no more jobs are taken; a second signal ends at once") })
	defer stop()

	w, err := openWorkplace(ctx, cfg, len(cfg.Worker.Queues), log)
	if err != nil {
		return err
	}
	defer w.close()
	m := newMetrics()
	h := w.health(m)
	p, err := openPages(ctx, cfg, h, m)
	if err != nil {
		return err
	}
	defer p.close()
	name := workerName()
	if err := w.claim(ctx, name, cfg.Worker.Queues); err != nil {
		return err
	}
	server, err := w.newWorker(name, cfg.Worker.Queues, both(m.observe, h.observe))
	if err != nil {
		return err
	}
	lookAfterLedger, err := w.newLedger(name, cfg.Worker.Queues, both(m.observeLedger, h.observeLedger))
	if err != nil {
		return err
	}
	return runWorkers(ctx, w.keeper, []*worker.Server{server}, lookAfterLedger, h, p)
}

// both tells two observers.
func both[E any](first, second func(E)) func(E) {
	return func(e E) {
		first(e)
		second(e)
	}
}

// runWorkers runs the workers and what goes with them until ctx ends, or a queue is lost to another installation, and
// drains them then. The queues are given up last.
func runWorkers(ctx context.Context, keeper *queue.Keeper, servers []*worker.Server, lookAfterLedger func(context.Context), h *health, p *pages) error {
	var keeping, beside sync.WaitGroup
	defer keeping.Wait()
	keep, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	defer beside.Wait()
	watch, unwatch := context.WithCancel(context.WithoutCancel(ctx))
	defer unwatch()
	ctx, end := context.WithCancel(ctx) // what runs beside the servers ends with them, whatever ended them
	defer end()
	failed := make(chan error, 2)
	keeping.Go(func() {
		if err := keeper.Run(keep); err != nil {
			failed <- err
		}
	})
	if p != nil {
		defer p.close()
		beside.Go(func() {
			if err := p.serve(); err != nil {
				failed <- err
			}
		})
		h.log.InfoContext(ctx, "pages are served", "url", p.url(), "monitor", p.url()+monitorPath+"/")
	}
	beside.Go(func() { h.watch(watch) })

	var err error
	started := servers[:0:0]
	for _, s := range servers {
		if err = s.Start(); err != nil {
			break
		}
		started = append(started, s)
	}
	if err == nil {
		beside.Go(func() { lookAfterLedger(ctx) })
		select {
		case <-ctx.Done():
		case err = <-failed:
		}
	}
	h.draining.Store(true)
	var draining sync.WaitGroup
	for _, s := range started {
		draining.Go(s.Shutdown)
	}
	draining.Wait()
	return err
}

// untilSignal returns a context that the first SIGINT or SIGTERM ends, after announce. The second signal ends the
// process at once.
func untilSignal(parent context.Context, announce func()) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		select {
		case <-signals:
		case <-ctx.Done():
			return
		}
		announce()
		cancel(errSignal)
		<-signals
		os.Exit(exitFailed) //nolint:forbidigo // at once means that nothing is waited for
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel(nil)
	}
}

// errSignal is why a context of untilSignal ended.
var errSignal = errors.New("ended by a signal")
