package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/user"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"invoicer/config"
	"invoicer/internal/await"
	"invoicer/invoice"
	"invoicer/invoice/postgres"
	"invoicer/worker/dispatch"
)

// A replayRun is one run of `invoicer replay`.
type replayRun struct {
	options      dispatch.ReplayOptions
	outcomes     []string
	issuer       issuerFlag
	since, until string
	all          bool
	wait         time.Duration
}

func (a app) replayCommand() *cobra.Command {
	var r replayRun
	cmd := &cobra.Command{
		Use:     "replay",
		Short:   "Send failed jobs again, after their cause is removed",
		GroupID: groupMend,
		Long: `Sends failed jobs again, each under its own job id and with the payload on record. Running workers process them. If a job's
transaction was invoiced meanwhile, the job becomes a duplicate; there is never a second invoice.

Select the failed jobs with --all, or with other flags. A job is selected if it matches every flag that is given; of a flag that
is repeated, it must match one value. A job whose payload still can't be an invoice, or isn't kept any more, is listed and stays
as it is. Dismissed jobs are left out until 'invoicer restore' makes them failed jobs again. If a job that --job names isn't a
failed job, the command prints its state and the exit code is 1. Running the command twice does no harm: jobs that are still under
way are not sent again, and jobs that have failed again are.

With --dry-run it prints which outcomes the jobs would have if they were sent now, with how many jobs and one of them as an example,
and changes nothing. -o json and -o csv list each job. It looks at each job by itself: for two jobs of one transaction it prints that both would create the invoice, of which the second becomes a
duplicate.

Jobs are sent in the order in which they failed, and are numbered as workers come to them. With --order their numbers follow
issued_at, or accepted_at (of a job that was enqueued directly, when its failure was recorded first): each is sent after the one
before it was invoiced. A job that fails again, or whose series is paused, stops the command and is named.

'invoicer replay history' shows who replayed, dismissed or restored which jobs, and with what result.`,
		Example: `  invoicer replay --outcome failed --since 24h --dry-run
  invoicer replay --reason 'series' --rate 50 --note 'TICKET-17: series renamed'
  invoicer replay --job 019e2c66-4f0c-7c1e-b9a2-5d3f0c6f1a77
  invoicer replay --all --dry-run -o csv > forecast.csv
  invoicer replay --all
  invoicer replay --producer shop --order issued_at`,
		Args: noArgs,
	}
	flags, f := cmd.Flags(), &r.options.Filter
	flags.StringArrayVar(&f.JobIDs, "job", nil, "the job of this `id`; may be repeated")
	flags.StringArrayVar(&f.TransactionIDs, "transaction", nil, "jobs of the transaction of this `id`; may be repeated")
	flags.StringArrayVar(&r.outcomes, "outcome", nil, "jobs with this `outcome`: conflict, invalid or failed; may be repeated")
	flags.StringVar(&f.Reason, "reason", "", "jobs whose reason contains this `text`, in upper or lower case")
	flags.StringVar(&r.since, "since", "", "jobs that failed at this `time` or later: 2026-01-31T12:00:00Z, or 24h or 7d ago")
	flags.StringVar(&r.until, "until", "", "jobs that failed at this `time` or earlier, likewise")
	flags.StringVar(&f.Queue, "queue", "", "jobs of the queue of this `name`")
	flags.StringVar(&f.Producer, "producer", "", "jobs of the producer of this `name`")
	flags.StringVar(&f.Series, "series", "", seriesUsage)
	r.issuer.add(cmd, "jobs of this issuer, '' for the one without a name")
	flags.BoolVar(&r.all, "all", false, "every failed job")
	flags.IntVar(&r.options.Limit, "limit", 0, "look at most at this many, the first ones, also if they still are invalid (default all)")
	flags.Float64Var(&r.options.Rate, "rate", 0, "send at most this many in a second (default no limit)")
	flags.StringVar(&r.options.By.Note, "note", "", "a `text` to keep on record with each job")
	flags.BoolVar(&r.options.DryRun, "dry-run", false, "print the outcome that each job would have, and change nothing")
	r.addOrderFlag(cmd)
	addByFlag(cmd, &r.options.By.Name)
	addConfigFlags(cmd, "numbering")
	addWaitFlag(cmd, &r.wait)
	addTableFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := r.check(cmd); err != nil {
			return err
		}
		cfg, err := a.loadConfig(cmd)
		if err != nil {
			return err
		}
		return r.run(cmd, cfg)
	}
	cmd.AddCommand(a.replayHistoryCommand())
	return cmd
}

// addByFlag adds --by; checkActor fills in its default, and returns an error if its value is unusable.
func addByFlag(cmd *cobra.Command, by *string) {
	cmd.Flags().StringVar(by, "by", "", "your `name`, to keep on record (default user@host)")
}

func checkActor(cmd *cobra.Command, by *string) error {
	switch {
	case !cmd.Flags().Changed("by"):
		*by = userAtHost()
	case *by == "" || !utf8.ValidString(*by):
		return fmt.Errorf("--by %q: give a name, or leave the flag out", *by)
	}
	return nil
}

func userAtHost() string {
	name := "uid-" + strconv.Itoa(os.Getuid())
	if u, err := user.Current(); err == nil && u.Username != "" {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	return name + "@" + cmp.Or(host, "localhost")
}

// selecting returns the names of the flags that select jobs.
func selecting() []string {
	return []string{"job", "transaction", "outcome", "reason", "since", "until", "queue", "producer", "series", "issuer"}
}

func (r *replayRun) check(cmd *cobra.Command) error {
	var problems []error
	selected := false
	for _, name := range selecting() {
		if !cmd.Flags().Changed(name) {
			continue
		}
		flag := cmd.Flags().Lookup(name)
		if name == "issuer" && flag.Value.String() == "" {
			continue // the one without a name: an unset variable must not select its jobs, which may be all
		}
		selected = true
		values := []string{flag.Value.String()}
		if list, ok := flag.Value.(interface{ GetSlice() []string }); ok {
			values = list.GetSlice()
		}
		for _, value := range values {
			// An empty value, as from an unset shell variable, would select all jobs.
			if value == "" || !utf8.ValidString(value) {
				problems = append(problems, fmt.Errorf("--%s %q: must not be empty, and must be valid UTF-8", name, value))
			}
		}
	}
	switch {
	case !selected && !r.all:
		problems = append(problems, errors.New("no failed jobs are selected: give --all, or one or more of --job, --transaction, --outcome, --reason, --since, --until, --queue, --producer, --series, --issuer"))
	case selected && r.all: // --all and --issuer '' go together
		problems = append(problems, errors.New("--all and the flags that select some jobs don't go together: leave out either"))
	}
	for _, name := range r.outcomes {
		switch outcome := invoice.Outcome(name); outcome {
		case invoice.Conflict, invoice.Invalid, invoice.Failed:
			r.options.Filter.Outcomes = append(r.options.Filter.Outcomes, outcome)
		default:
			problems = append(problems, fmt.Errorf("--outcome %q: must be conflict, invalid or failed", name))
		}
	}
	r.options.Filter.Issuer = r.issuer.orAll(cmd)
	now := time.Now()
	for _, bound := range []struct {
		flag, text string
		to         *time.Time
	}{{"--since", r.since, &r.options.Filter.Since}, {"--until", r.until, &r.options.Filter.Until}} {
		if bound.text == "" {
			continue
		}
		var err error
		if *bound.to, err = parseMoment(bound.text, now); err != nil {
			problems = append(problems, fmt.Errorf("%s %q: %w", bound.flag, bound.text, err))
		}
	}
	if f := r.options.Filter; !f.Since.IsZero() && !f.Until.IsZero() && f.Since.After(f.Until) {
		problems = append(problems, errors.New("--since is later than --until: no job can match"))
	}
	if cmd.Flags().Changed("limit") && r.options.Limit < 1 {
		problems = append(problems, fmt.Errorf("--limit %d: must be 1 or more", r.options.Limit))
	}
	if rate := r.options.Rate; cmd.Flags().Changed("rate") && (rate <= 0 || rate > 1_000_000 || math.IsNaN(rate)) {
		problems = append(problems, fmt.Errorf("--rate %v: must be more than 0, and 1000000 at most", r.options.Rate))
	}
	if err := r.checkOrder(cmd); err != nil {
		problems = append(problems, err)
	}
	if err := checkActor(cmd, &r.options.By.Name); err != nil {
		problems = append(problems, err)
	}
	if len(problems) > 0 {
		return exitError{exitUsage, errors.Join(problems...)}
	}
	return nil
}

// parseMoment parses a time, or a duration before now.
func parseMoment(text string, now time.Time) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t, nil
	}
	ago, err := config.ParseDuration(text)
	if err != nil || ago <= 0 {
		return time.Time{}, errors.New("must be a time such as 2026-01-31T12:00:00Z, or how long ago it was, such as 90m, 24h or 7d")
	}
	return now.Add(-ago), nil
}

// notFailed returns one problem for each of the jobs that isn't a failed job, which names the job's state.
func notFailed(ctx context.Context, cfg *config.Config, store *postgres.DB, ids []string) (problems, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	states, err := store.Ledger.States(ctx, ids)
	if err != nil {
		return nil, withoutTables(cfg.Database.Schema, err)
	}
	var all []error
	for _, id := range ids {
		switch state, ok := states[id]; {
		case !ok:
			all = append(all, unknownJob(cfg, id))
		case state == "dismissed":
			all = append(all, fmt.Errorf("job %s is dismissed: `invoicer restore %[1]s` makes it a failed job again", id))
		case state == "done":
			all = append(all, fmt.Errorf("job %s has not failed, it is done: `invoicer status --job %[1]s` shows its outcome", id))
		case state != "failed":
			all = append(all, fmt.Errorf("job %s has not failed, it is %s, and waits for a worker", id, state))
		}
	}
	return errors.Join(all...), nil
}

func (r *replayRun) run(cmd *cobra.Command, cfg *config.Config) error {
	numbering, err := invoice.NewNumbering(cfg.Numbering)
	if err != nil {
		return err
	}
	out := newReplayOutput(cmd, r.options.DryRun)
	defer out.stop(false)
	ctx, stop := untilSignal(cmd.Context(), func() { out.say("stopping") })
	defer stop()
	store, err := openStore(ctx, cfg, await.Waiter{AtMost: r.wait, Tell: out.say})
	if err != nil {
		return err
	}
	defer store.Close()

	otherwise, err := notFailed(ctx, cfg, store, r.options.Filter.JobIDs)
	if err != nil {
		return err
	}
	r.options.Filter.DefaultSeries = cfg.Numbering.InvoiceSeries
	r.options.Begin, r.options.Observe = out.begin, out.replayed
	r.await(store, numbering, out.say)
	replayer := dispatch.NewReplayer(store.Ledger, invoice.NewForecaster(invoice.NewGenerator(store.Invoices, numbering)))
	sum, runErr := replayer.Run(ctx, r.options)
	out.stop(runErr == nil)
	if err := out.summary(sum, runErr); err != nil {
		return err
	}
	switch {
	case runErr == nil:
		return otherwise
	case errors.Is(runErr, errSignal), errors.Is(context.Cause(ctx), errSignal):
		runErr = errors.New("stopped by a signal")
	default:
		runErr = withoutTables(cfg.Database.Schema, runErr)
	}
	if sum.Total() > 0 && !r.options.DryRun {
		runErr = fmt.Errorf("%w\nthe replayed jobs stay replayed: run the same command again for the rest", runErr)
	}
	return runErr
}
