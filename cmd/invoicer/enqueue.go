package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"invoicer/config"
	"invoicer/internal/await"
	"invoicer/internal/importer"
	"invoicer/internal/term"
	"invoicer/invoice"
	"invoicer/migrations"
	"invoicer/worker/client"
	"invoicer/worker/queue"
)

// An enqueueRun is one run of `invoicer enqueue`.
type enqueueRun struct {
	file     string
	queue    string
	producer string
	copies   int
	fromLine int
	durable  bool
	wait     time.Duration
}

func (a app) enqueueCommand() *cobra.Command {
	var r enqueueRun
	cmd := &cobra.Command{
		Use:     "enqueue FILE|-",
		Short:   "Put jobs from a file into a queue, one from each line",
		GroupID: groupAsk,
		Long: `Puts jobs into a queue: one from each line of JSON Lines, compressed by gzip or not, from a file or, with -, from
standard input. Workers make their invoices. A file of any size takes little memory.

Each line is checked before it is sent. A bad line is reported with its number and fields and isn't sent; the other lines
are, and the exit code is 1.

With --durable the jobs are accepted in Postgres, and a worker puts them into the queue from there: no job is lost, whatever
Redis does. Without it the jobs go straight into Redis. That is faster, and the jobs are as safe as your Redis is.

It refuses a queue that belongs to another installation: another database or schema that uses the same Redis.

If the server stops answering, it waits for it (--wait). If it gives up, or at Ctrl-C, it names the line to go on from with
--from-line. It is always safe to enqueue a line again: its transaction gets one invoice, and the other jobs are recorded as
duplicates.`,
		Example: `  invoicer enqueue transactions.jsonl.gz
  invoicer enqueue transactions.jsonl --durable
  invoicer enqueue transactions.jsonl --queue bulk --from-line 5000
  gen-jobs | invoicer enqueue - --producer nightly-cron --json`,
		Args: oneArg("the file, or - for standard input"),
	}
	flags := cmd.Flags()
	flags.StringVar(&r.queue, "queue", "default", "the `name` of the queue")
	flags.StringVar(&r.producer, "producer", "", "the `name` of the producer, for jobs that name none")
	flags.IntVar(&r.copies, "copies", 1, "enqueue each line this many times, each time as a job of its own")
	flags.IntVar(&r.fromLine, "from-line", 1, "begin with this line; the first line is 1")
	flags.BoolVar(&r.durable, "durable", false, "accept the jobs in Postgres, so that Redis can't lose them")
	addWaitFlag(cmd, &r.wait)
	addJSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r.file = args[0]
		if err := r.check(); err != nil {
			return err
		}
		cfg, err := a.loadConfig(cmd)
		if err != nil {
			return err
		}
		return r.run(cmd, cfg)
	}
	return cmd
}

func (r *enqueueRun) check() error {
	var problems []error
	if !queue.IsName(r.queue) {
		problems = append(problems, fmt.Errorf("--queue %q: %s", r.queue, queue.NameRule))
	}
	for _, bound := range []struct {
		flag     string
		n, atMax int
	}{
		{"--copies", r.copies, 1_000_000},
		{"--from-line", r.fromLine, 1 << 40},
	} {
		if bound.n < 1 || bound.n > bound.atMax {
			problems = append(problems, fmt.Errorf("%s %d: must be 1 to %d", bound.flag, bound.n, bound.atMax))
		}
	}
	if message := problemOf(&invoice.Job{Producer: r.producer}, "producer"); message != "" {
		problems = append(problems, fmt.Errorf("--producer %q: %s", r.producer, message))
	}
	if len(problems) > 0 {
		return exitError{exitUsage, errors.Join(problems...)}
	}
	return nil
}

// problemOf returns what is wrong with a field of the job, or "".
func problemOf(job *invoice.Job, field string) string {
	_, err := job.Encode()
	if invalid := new(invoice.InvalidError); errors.As(err, &invalid) {
		for _, p := range invalid.Problems {
			if p.Field == field {
				return p.Message
			}
		}
	}
	return ""
}

func (r *enqueueRun) run(cmd *cobra.Command, cfg *config.Config) (err error) {
	input, size, err := r.open(cmd.InOrStdin())
	if err != nil {
		return err
	}
	defer input.Close()
	catchLogs(newLogger(cfg.Log, cmd.ErrOrStderr()))
	s := &importer.Sender{Producer: r.producer, Copies: r.copies}
	connect := r.toRedis
	if r.durable {
		connect = r.toPostgres
	}
	disconnect, err := connect(cfg, s)
	if err != nil {
		return err
	}
	defer disconnect()

	progress := term.NewProgress(cmd.ErrOrStderr(), size, "enqueueing", "jobs enqueued")
	defer progress.Stop(false)
	ctx, stop := untilSignal(cmd.Context(), func() { progress.Say("stopping") })
	defer stop()
	if _, consumed := cfg.Worker.Queues[r.queue]; !consumed {
		progress.Say(fmt.Sprintf("no worker of this configuration takes jobs from the queue %s (worker.queues: %s): they will wait there",
			r.queue, strings.Join(slices.Sorted(maps.Keys(cfg.Worker.Queues)), ", ")))
	}
	s.Waiter, s.Progress = await.Waiter{AtMost: r.wait, Tell: progress.Say}, progress
	begun := time.Now()
	sendErr := s.Run(ctx, progress.Counting(input), r.fromLine)
	progress.Stop(sendErr == nil)
	if past := new(importer.PastEndError); errors.As(sendErr, &past) {
		return usageErrorf("--from-line %d: the input ends with line %d", past.From, past.Last)
	}
	if errors.Is(sendErr, errSignal) {
		sendErr = errors.New("stopped by a signal")
	}
	return r.print(cmd, s, time.Since(begun), sendErr)
}

// toRedis sets up the sender to put jobs straight into their queue. Call disconnect after the last answer.
func (r *enqueueRun) toRedis(cfg *config.Config, s *importer.Sender) (disconnect func(), err error) {
	sized := *cfg
	sized.Worker.Concurrency = importer.AtOnce // the number of connections depends on it
	rdb, err := newRedis(&sized, 0)
	if err != nil {
		return nil, err
	}
	jobs, err := client.New(rdb, client.Options{Queue: r.queue, Retention: noneIfZero(cfg.Worker.Retention)})
	if err != nil {
		return nil, errors.Join(err, rdb.Close())
	}
	s.Server = "redis at " + cfg.Redis.Addr()
	refuse := once(func(ctx context.Context) error {
		return refuseForeignQueue(ctx, rdb, r.queue, askOnce(&sized), s.Progress.Say)
	})
	s.Ping = func(ctx context.Context) error {
		if err := rdb.Ping(ctx).Err(); err != nil {
			return err
		}
		return refuse(ctx)
	}
	s.Deliver = func(ctx context.Context, _ string, payload []byte) error {
		_, err := jobs.EnqueuePayload(ctx, payload)
		return err
	}
	return func() { _ = rdb.Close() }, nil // no command is under way any more
}

// acceptedAtOnce is the number of connections to Postgres that the jobs under way share.
const acceptedAtOnce = 16

// toPostgres sets up the sender to accept jobs in the ledger. Call disconnect after the last answer.
func (r *enqueueRun) toPostgres(cfg *config.Config, s *importer.Sender) (disconnect func(), err error) {
	sized := *cfg
	sized.Worker.Concurrency = acceptedAtOnce
	store, err := newStore(&sized)
	if err != nil {
		return nil, err
	}
	migrator, err := migrations.New(string(cfg.Database.URL), cfg.Database.Schema)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	rdb, err := newRedis(&sized, 0)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	s.Server = "postgres at " + cfg.Database.Addr()
	refuse := once(func(ctx context.Context) error {
		err := refuseForeignQueue(ctx, rdb, r.queue, store.Nonces, func(string) {})
		if !errors.As(err, new(*queue.TakenError)) {
			return nil // accepting needs no Redis: a job stays accepted while its queue is another installation's
		}
		return err
	})
	s.Ping = func(ctx context.Context) error {
		if err := store.Ping(ctx); err != nil {
			return err
		}
		if err := migrator.CheckAccept(ctx); err != nil {
			return err
		}
		return refuse(ctx)
	}
	s.Deliver = func(ctx context.Context, jobID string, payload []byte) error {
		return store.Ledger.Accept(ctx, jobID, r.queue, payload)
	}
	return func() { _ = errors.Join(store.Close(), rdb.Close()) }, nil // as above
}

// open returns the input and its size in bytes, or -1 if the size isn't known.
func (r *enqueueRun) open(stdin io.Reader) (io.ReadCloser, int64, error) {
	file, isFile := stdin.(*os.File)
	if r.file == "-" {
		if !isFile {
			return io.NopCloser(stdin), -1, nil
		}
	} else {
		var err error
		if file, err = os.Open(r.file); err != nil {
			return nil, 0, exitError{exitUsage, err}
		}
	}
	size := int64(-1)
	info, err := file.Stat()
	switch {
	case err == nil && info.IsDir():
		return nil, 0, usageErrorf("%s is a directory; name a file of JSON Lines", r.file)
	case err == nil && info.Mode().IsRegular():
		size = info.Size()
	}
	return file, size, nil
}

// An enqueueSummary is the result that --json prints.
type enqueueSummary struct {
	Lines    int     `json:"lines"` // good and bad ones, without blank ones and those before --from-line
	Enqueued int64   `json:"enqueued"`
	Bad      int     `json:"bad"`
	Copies   int     `json:"copies"`
	Queue    string  `json:"queue"`
	Durable  bool    `json:"durable"`
	Seconds  float64 `json:"seconds"`
	Resume   *int    `json:"resume_from_line"` // null when the input's end was reached
}

func (r *enqueueRun) print(cmd *cobra.Command, s *importer.Sender, took time.Duration, sendErr error) error {
	sum := enqueueSummary{
		Lines: s.Lines, Enqueued: s.Confirmed(), Bad: s.Bad, Copies: r.copies, Queue: r.queue, Durable: r.durable, Seconds: took.Seconds(),
	}
	var problems []error
	if sendErr != nil {
		resume := s.Resume()
		sum.Resume = &resume
		problems = append(problems, sendErr)
	}
	if sendErr != nil && s.Lines > 0 {
		problems = append(problems, fmt.Errorf(
			"every good line before line %d is enqueued: go on with --from-line %[1]d; that is safe, because a line that is enqueued twice is invoiced once",
			*sum.Resume))
	}
	if s.Bad > 0 {
		problems = append(problems, fmt.Errorf("%s bad %s left out; correct and enqueue them",
			term.Thousands(s.Bad), plural(s.Bad, "line was", "lines were")))
	}
	if wantsJSON(cmd) {
		if err := printJSON(cmd, sum); err != nil {
			return err
		}
	} else if sendErr == nil || s.Lines > 0 {
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s %s of %s %s enqueued into %s in %.1f s, %s a second\n",
			term.Thousands(int(sum.Enqueued)), plural(int(sum.Enqueued), "job", "jobs"), term.Thousands(s.Lines), plural(s.Lines, "line", "lines"),
			r.queue, took.Seconds(), term.Thousands(int(float64(sum.Enqueued)/max(took.Seconds(), 0.001))))
		if err != nil {
			return err
		}
	}
	return errors.Join(problems...)
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
