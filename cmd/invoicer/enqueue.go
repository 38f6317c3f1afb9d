package main

import (
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
	"invoicer/invoice"
	"invoicer/invoice/ledger"
	"invoicer/worker/queue"
)

// An enqueueRun is one run of `invoicer enqueue`.
type enqueueRun struct {
	file     string
	queue    string
	producer string
	issuer   issuerFlag
	copies   int
	fromLine int
	fromJob  int
	durable  bool
	newQueue bool // may be one that no worker has consumed
	ordered  bool
	dryRun   bool
	anyway   bool // however alike the bad lines at the beginning are
	rejects  string
	wait     time.Duration
}

func (a app) enqueueCommand() *cobra.Command {
	var r enqueueRun
	cmd := &cobra.Command{
		Use:     "enqueue FILE|-",
		Short:   "Put jobs from a file into a queue, one from each line",
		GroupID: groupAsk,
		Long: `Puts jobs into a queue, from a file or, with -, from standard input. Workers make their invoices. The input is JSON Lines, with
one job on each line, or JSON: an array of jobs, or jobs one after the other, over any number of lines. It may be compressed by gzip.
For other files, it says in one line what to do, and sends nothing. A file of any size takes little memory.

Each job is checked before it is sent. A bad one is reported with its line and fields and isn't sent; the others are, and the exit code
is 1. If 20 in a row at the beginning are bad for the same reason, and none is good, it stops; with --keep-going, it doesn't.
Where an array isn't JSON any more, it stops, too, and names the job.

With --rejects, bad lines are written to a file as they were, an element of an array on one line. Correct that file and enqueue it.

With --dry-run, it checks all jobs as it otherwise would, and sends and stores nothing. It shows their totals and what is wrong
with the bad ones. No server is asked, except with --durable: then dates and issuers are checked as the database has them.

With --json, the list of jobs comes first, one on each line, with its job id or its problems, and then the summary.

With --in-order, a line is sent once the job of the line before has ended: the numbers follow the order of the lines. A bad line is left
out, and a job that fails or whose series is paused stops it, naming the line. Others that enqueue meanwhile come in between.

With --durable the jobs are accepted in Postgres, and a worker puts them into the queue from there: no job is lost, whatever
Redis does. Without it the jobs go straight into Redis. That is faster, and the jobs are as safe as your Redis is. A queue that no worker
has ever consumed is refused with --durable, since its name is probably mistyped; with --new-queue it is taken, and known from then on.

It refuses a queue that belongs to another installation: another database or schema that uses the same Redis.

If the server stops answering, it waits for it (--wait). If it gives up, or at Ctrl-C, it names the line to go on from with
--from-line or, if the jobs aren't lines of their own, the job to go on from with --from-job. It is always safe to enqueue a line again:
its transaction gets one invoice, and the other jobs are recorded as duplicates.`,
		Example: `  invoicer enqueue transactions.jsonl.gz
  invoicer enqueue transactions.json --dry-run
  invoicer enqueue transactions.jsonl --durable --rejects mend.jsonl
  invoicer enqueue transactions.jsonl --queue bulk --from-line 5000
  invoicer enqueue transactions.jsonl --durable --in-order
  gen-jobs | invoicer enqueue - --producer nightly-cron --json`,
		Args: oneArg("the file, or - for standard input"),
	}
	flags := cmd.Flags()
	flags.StringVar(&r.queue, "queue", "default", "the `name` of the queue")
	flags.StringVar(&r.producer, "producer", "", "the `name` of the producer, for jobs that name none")
	r.issuer.add(cmd, "the issuer, for jobs that name none")
	flags.IntVar(&r.copies, "copies", 1, "enqueue each line this many times, each time as a job of its own")
	flags.IntVar(&r.fromLine, "from-line", 1, "begin with this line; the first line is 1")
	flags.IntVar(&r.fromJob, "from-job", 1, "begin with this job, where jobs aren't lines of their own; the first is 1")
	flags.BoolVar(&r.durable, "durable", false, "accept the jobs in Postgres, so that Redis can't lose them")
	flags.BoolVar(&r.newQueue, "new-queue", false, "with --durable, take a queue that no worker has ever consumed")
	flags.BoolVar(&r.ordered, "in-order", false, "send a line once the one before is invoiced, so that numbers follow the order of the lines")
	flags.BoolVar(&r.dryRun, "dry-run", false, "check all jobs, and send and store nothing")
	flags.BoolVar(&r.anyway, "keep-going", false, "go on after 20 bad lines at the beginning that are alike")
	flags.StringVar(&r.rejects, "rejects", "", "write bad lines as they were to this `file`, which must not exist yet")
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
		{"--from-job", r.fromJob, 1 << 40},
	} {
		if bound.n < 1 || bound.n > bound.atMax {
			problems = append(problems, fmt.Errorf("%s %d: must be 1 to %d", bound.flag, bound.n, bound.atMax))
		}
	}
	if r.fromLine > 1 && r.fromJob > 1 {
		problems = append(problems, errors.New("--from-line and --from-job don't go together: leave either out"))
	}
	if r.newQueue && !r.durable {
		problems = append(problems, errors.New("--new-queue goes with --durable: otherwise every queue is taken"))
	}
	if r.rejects == "-" {
		problems = append(problems, errors.New("--rejects -: name a file"))
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
	rejects, err := openRejects(r.rejects)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rejects.close()) }()
	catchLogs(newLogger(cfg.Log, cmd.ErrOrStderr()))
	s := &importer.Sender{
		Producer: r.producer, Issuer: r.issuer.code, Copies: r.copies, From: r.fromLine, KeepGoing: r.anyway || r.dryRun, KeepBad: rejects.longest(),
	}
	if r.fromLine > 1 {
		s.FromUnit = importer.ByLine
	} else if r.fromJob > 1 {
		s.From, s.FromUnit = r.fromJob, importer.ByJob
	}
	disconnect, err := r.connect(cfg, s)
	if err != nil {
		return err
	}
	defer disconnect()

	out := newEnqueueOutput(cmd, r, rejects)
	out.progress = out.newProgress(size)
	defer out.progress.Stop(false)
	ctx, stop := untilSignal(cmd.Context(), func() { out.progress.Say("stopping") })
	defer stop()
	if _, consumed := cfg.Worker.Queues[r.queue]; !consumed {
		out.progress.Say(fmt.Sprintf("no worker of this configuration takes jobs from the queue %s (worker.queues: %s): they will wait there",
			r.queue, strings.Join(slices.Sorted(maps.Keys(cfg.Worker.Queues)), ", ")))
	}
	s.Waiter, s.Progress, s.Tell = await.Waiter{AtMost: r.wait, Tell: out.progress.Say}, out.progress, out.tell
	begun := time.Now()
	sendErr := s.Run(ctx, out.progress.Counting(input))
	out.progress.Stop(sendErr == nil)
	if usage := r.misplaced(sendErr); usage != nil {
		return usage
	}
	if unknown := new(ledger.UnknownQueueError); errors.As(sendErr, &unknown) {
		return usageErrorf("--queue %s: no worker has ever consumed it; known are %s: correct it, or add --new-queue", unknown.Queue, unknown.Known)
	}
	if errors.Is(sendErr, errSignal) {
		sendErr = errors.New("stopped by a signal")
	}
	return out.summary(s, time.Since(begun), sendErr)
}

// misplaced returns what is wrong with the flag that states the first line to send, if err says that there is no such one.
func (r *enqueueRun) misplaced(err error) error {
	flag, from := "--from-line", r.fromLine
	if r.fromJob > 1 {
		flag, from = "--from-job", r.fromJob
	}
	if past := new(importer.PastEndError); errors.As(err, &past) {
		return usageErrorf("%s %d: the input ends with %s %d", flag, from, past.Unit, past.Last)
	}
	if unit := new(importer.UnitError); errors.As(err, &unit) {
		if unit.Unit == importer.ByJob {
			return usageErrorf("%s %d: the jobs of this input aren't lines of their own: count them, and use --from-job", flag, from)
		}
		return usageErrorf("%s %d: the input is JSON Lines: count its lines, and use --from-line", flag, from)
	}
	return nil
}

// connect sets up the sender for the server that takes the jobs, if one is needed. Call the function that it returns after the
// last answer.
func (r *enqueueRun) connect(cfg *config.Config, s *importer.Sender) (func(), error) {
	var disconnect func()
	var err error
	switch {
	case r.durable:
		disconnect, err = r.toPostgres(cfg, s)
	case r.dryRun:
		return func() {}, nil
	default:
		disconnect, err = r.toRedis(cfg, s)
	}
	if err != nil || !r.ordered || r.dryRun {
		return disconnect, err
	}
	stopAwaiting, err := r.inOrder(cfg, s)
	if err != nil {
		disconnect()
		return nil, err
	}
	return func() { stopAwaiting(); disconnect() }, nil
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

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
