package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"invoicer/config"
	"invoicer/internal/await"
	"invoicer/internal/demo"
	"invoicer/internal/health"
	"invoicer/internal/importer"
	"invoicer/internal/metrics"
	"invoicer/internal/sample"
	"invoicer/invoice"
	"invoicer/invoice/postgres/audit"
	"invoicer/worker"
)

// demoQueue begins the name of the queue that keeps the demo's jobs away from everybody else's workers, and theirs away from
// the demo's.
const demoQueue = "demo"

// queue is the demo's own in this database: those of two databases may share a Redis.
func (d *demonstration) queue() string { return demoQueue + "-" + d.databaseID[:8] }

// A demonstration is one run of `invoicer demo`.
type demonstration struct {
	*workplace   // of a worker's role
	as           cast
	address      string // of the database, as configured
	out          io.Writer
	input        string
	transactions int
	copies       int
	workers      int
	serve        bool
	force        bool
	json         bool
	browse       bool // show the first page in a browser
}

func (a app) demoCommand() *cobra.Command {
	d := &demonstration{}
	cmd := &cobra.Command{
		Use:     "demo",
		Short:   "Show it: the same jobs through a naive lock and through invoicer",
		GroupID: groupRun,
		Args:    noArgs,
		Long: `Shows on the configured servers what invoicer is for. Competing producers ask for
every transaction several times over. Workers with a naive lock and worker
processes of invoicer get the same jobs; one of invoicer's is killed meanwhile.
It ends with what both have stored, one race of each, and an audit.

It writes into the configured schema, and the invoices that it makes are as
immutable as any. So it refuses a schema that holds invoices or recorded jobs
already, and changes nothing in it then. It uses queues of its own, whose names
begin with ` + demoQueue + `. What the naive workers write is deleted at the end.

If you sign in to Postgres as a superuser, it also makes the six roles of
'invoicer roles', and each part of the demo runs as the role that is made for it.

With --serve it goes on until Ctrl-C, with the pages and workers on all
configured queues. Two transactions a second are asked for meanwhile, unless
--input is given. At a terminal of a desktop the first page is opened in a
browser.`,
		Example: `  invoicer demo
  invoicer demo --input transactions.jsonl.gz --copies 5
  INVOICER_DATABASE_SCHEMA=invoicer_demo invoicer demo --serve`,
	}
	flags := cmd.Flags()
	flags.StringVar(&d.input, "input", "", "the transactions: a `file` of JSON Lines, .gz too; - is standard input (default: made up)")
	flags.IntVar(&d.transactions, "transactions", 2000, "how many transactions to make up")
	flags.IntVar(&d.copies, "copies", 3, "how many producers ask for each transaction")
	flags.IntVar(&d.workers, "workers", 2, "how many workers of each kind compete")
	flags.BoolVar(&d.serve, "serve", false, "keep running afterwards, with the pages, workers on all configured queues, and jobs that come in")
	open := flags.Bool("open", true, "with --serve at a terminal, open the first page in a browser; --open=false doesn't")
	flags.BoolVar(&d.force, "force", false, "go on even if the schema holds invoices already")
	addJSONFlag(cmd)
	addConfigFlags(cmd, "worker", "lock", "idempotency", "numbering", "http", "metrics", "allow_unsafe")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		for name, n := range map[string]int{"transactions": d.transactions, "copies": d.copies, "workers": d.workers} {
			if n < 1 || n > 1_000_000 {
				return exitError{exitUsage, fmt.Errorf("--%s %d: must be 1 to 1000000", name, n)}
			}
		}
		d.json = wantsJSON(cmd)
		d.browse = *open && mayBrowse(cmd.OutOrStdout(), a.environ)
		return a.runDemo(cmd, d)
	}
	return cmd
}

func (a app) runDemo(cmd *cobra.Command, d *demonstration) error {
	cfg, err := a.loadConfig(cmd)
	if err != nil {
		return err
	}
	if err := checkTemplates(cfg); err != nil {
		return err
	}
	d.out = cmd.OutOrStdout()
	// The report tells what happened; a log line for each of thousands of jobs would hide it.
	logged := cfg.Log
	logged.Level = max(logged.Level, slog.LevelError)
	log := newLogger(logged, cmd.ErrOrStderr())
	catchLogs(log)
	collectLessOften()
	ctx, stop := untilSignal(cmd.Context(), func() { _, _ = fmt.Fprintln(cmd.ErrOrStderr(), "invoicer: stopping") })
	defer stop()

	jobs, err := d.load(cmd.InOrStdin())
	if err != nil {
		return err
	}
	if err := d.prepare(ctx, cfg, newLogger(cfg.Log, cmd.ErrOrStderr())); err != nil {
		return err
	}
	if d.as, err = a.migrate(ctx, cfg, d.force); err != nil {
		return err
	}
	d.address, cfg = string(cfg.Database.URL), using(cfg, d.as.worker)
	m := newMetrics(cfg)
	if d.workplace, err = a.openWorkplace(ctx, cfg, d.workers*(1+len(cfg.Worker.Queues)), m, log); err != nil {
		return err
	}
	defer d.close()
	h := d.health(m)
	p, err := d.openPages(ctx, h, m)
	if err != nil {
		return err
	}
	defer p.close()
	if err := a.show(ctx, cmd, d, jobs); err != nil {
		return err
	}
	if d.serve {
		return d.keepServing(ctx, h, p, m)
	}
	return nil
}

// openPages returns no pages where nothing is served.
func (d *demonstration) openPages(ctx context.Context, h *health.Health, m *metrics.Metrics) (*servedPages, error) {
	if !d.serve {
		return nil, nil
	}
	p, err := openPages(ctx, d.cfg, d.cfg.HTTP.Addr, h, m, d.store.Reports.Producers, d.log)
	if errors.Is(err, syscall.EADDRINUSE) && d.cfg.HTTP.Addr == config.Default().HTTP.Addr { // nobody asked for this one
		return openPages(ctx, d.cfg, "127.0.0.1:0", h, m, d.store.Reports.Producers, d.log)
	}
	return p, err
}

// show plays the demo and tells how it came out.
func (a app) show(ctx context.Context, cmd *cobra.Command, d *demonstration, jobs []*invoice.Job) error {
	options := demo.Options{
		Redis: d.redis, OwnerURL: d.as.migrator, ReaderURL: d.as.reader, Schema: d.cfg.Database.Schema,
		Queue: d.queue(), Retention: noneIfZero(d.cfg.Worker.Retention),
		Jobs: jobs, Copies: d.copies, Workers: d.workers,
		Out: d.out,
	}
	if d.input == "" { // a given input has its own
		options.Mistakes = demo.Mistakes(jobs)
	}
	var err error
	if options.Command, err = a.demoWorker(d); err != nil {
		return err
	}
	if d.json {
		options.Out = io.Discard
	} else {
		demo.Announce(d.out, options)
	}
	story, err := demo.Play(ctx, options)
	if errors.Is(err, demo.ErrStopped) {
		return fmt.Errorf("%w; the workers' jobs are safe in the queue %s", err, d.queue())
	}
	if err != nil {
		return err
	}
	report, err := audit.Run(ctx, audit.Options{URL: d.as.reader, Schema: d.cfg.Database.Schema})
	if err != nil {
		return err
	}
	if err := a.tell(cmd, d, story, report); err != nil {
		return err
	}
	if !report.OK() {
		return exitError{exitAudit, errors.New("the audit found a broken promise")}
	}
	return nil
}

// demoSlots is how many jobs one worker of the demo works on at the same time, unless it is configured: few enough for what
// the killed one had in hand to be told.
const demoSlots = 50

// demoWorker returns what makes the commands of the demo's workers: this program, configured as it is here.
func (a app) demoWorker(d *demonstration) (func() *exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("where this program is: %w", err)
	}
	cfg := *d.cfg
	if cfg.Worker.Concurrency == config.Default().Worker.Concurrency {
		cfg.Worker.Concurrency = demoSlots
	}
	cfg.Worker.Queues = map[string]int{d.queue(): 1}
	cfg.Worker.Direct = "allow" // as the demo enqueues
	cfg.HTTP.Addr = ""
	cfg.Log = config.Log{Level: slog.LevelDebug, Format: "json", Outcomes: "all"}
	environ := slices.DeleteFunc(slices.Clone(a.environ), func(v string) bool { return strings.HasPrefix(v, "INVOICER_") })
	environ = append(environ, cfg.Environ()...)
	return func() *exec.Cmd {
		return &exec.Cmd{Path: self, Args: []string{os.Args[0], "worker"}, Env: environ}
	}, nil
}

// prepare makes sure that both servers answer, and that there is nobody's real work in the schema: nothing is touched that the demo then
// refuses.
func (d *demonstration) prepare(ctx context.Context, cfg *config.Config, log *slog.Logger) error {
	store, err := newStore(cfg)
	if err != nil {
		return err
	}
	defer store.Close()
	if err := await.Answer(ctx, log, "postgres at "+cfg.Database.Addr(), store.Ping); err != nil {
		return err
	}
	if _, err := refuseUnsafe(ctx, cfg, store); err != nil {
		return err
	}
	holds, err := store.Reports.Holdings(ctx)
	if err != nil {
		return await.Briefly("", err)
	}
	if held := holdings(holds); len(held) > 0 && !d.force {
		return fmt.Errorf("schema %q is somebody's: %s already, and the demo's invoices could never be deleted again: give it a schema of its own (INVOICER_DATABASE_SCHEMA=invoicer_demo invoicer demo), or use --force",
			cfg.Database.Schema, held[0])
	}
	rdb, err := newRedis(cfg, 0)
	if err != nil {
		return err
	}
	defer rdb.Close()
	server := "redis at " + cfg.Redis.Addr()
	if err := await.Answer(ctx, log, server, func(ctx context.Context) error { return rdb.Ping(ctx).Err() }); err != nil {
		return err
	}
	fit := worker.NewProbe(rdb, worker.ProbeOptions{Queues: []string{demoQueue}, Prefix: "invoicer:" + demoQueue + ":"})
	if unfit := new(worker.UnfitError); errors.As(await.Try(ctx, fit.Check), &unfit) {
		return fmt.Errorf("%s: %w", server, unfit)
	}
	return nil
}

// load returns the transactions to ask for.
func (d *demonstration) load(stdin io.Reader) ([]*invoice.Job, error) {
	var jobs []*invoice.Job
	if d.input == "" {
		// Ids of its own for each run, so that --force makes new invoices and not only duplicates.
		g := sample.New(sample.Options{Prefix: "demo-" + time.Now().UTC().Format("20060102T150405") + "-", MaxLines: 40, Elaborate: true})
		for range d.transactions {
			job := g.Next()
			jobs = append(jobs, &job)
		}
		return jobs, nil
	}
	in := stdin
	if d.input != "-" {
		file, err := os.Open(d.input)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		in = file
	}
	err := importer.EachLine(in, func(number int, line []byte) error {
		job, err := invoice.Decode(line)
		if err != nil {
			return fmt.Errorf("%s line %d: %w", d.input, number, err)
		}
		jobs = append(jobs, job)
		return nil
	})
	if err == nil && len(jobs) == 0 {
		err = fmt.Errorf("%s holds no transactions", d.input)
	}
	return jobs, err
}

// keepServing runs the workers on all configured queues, and the pages, until a signal.
func (d *demonstration) keepServing(ctx context.Context, h *health.Health, p *servedPages, m *metrics.Metrics) error {
	queues := map[string]int{d.queue(): 1}
	for name, weight := range d.cfg.Worker.Queues {
		queues[name] = weight
	}
	if d.input == "" {
		shop, err := newStore(using(d.cfg, d.as.producer))
		if err != nil {
			return err
		}
		defer shop.Close()
		ctx, stop := context.WithCancel(ctx)
		var trickle sync.WaitGroup
		trickle.Go(func() { d.trickle(ctx, shop) })
		defer trickle.Wait()
		defer stop()
	}
	return operation{
		workplace: d.workplace, workers: d.workerNames(), queues: queues, health: h, metrics: m, pages: p,
		serving: func() { d.tellWhere(p) },
	}.run(ctx)
}

func (d *demonstration) workerNames() []string {
	names := make([]string, d.workers)
	for i := range names {
		names[i] = fmt.Sprintf("worker-%d", i+1)
	}
	return names
}
