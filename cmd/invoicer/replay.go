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
	since, until string
	all          bool
	wait         time.Duration
}

func (a app) replayCommand() *cobra.Command {
	var r replayRun
	cmd := &cobra.Command{
		Use:     "replay",
		Short:   "Send failed jobs again, once what was wrong with them is mended",
		GroupID: groupMend,
		Long: `Sends failed jobs again: each under its own job id, with the payload that is on record. A running worker takes them from
there. What was invoiced meanwhile becomes a duplicate, never a second invoice.

Say which failed jobs are meant: --all, or flags that they must fit, all of them; of a flag given several times, one. Jobs
whose payload still can't be an invoice, or isn't kept any more, are listed and stay as they are, and dismissed jobs stay
dismissed until 'invoicer restore' makes them failed ones again. A job that --job names must be a failed one: otherwise the
exit code is 1, and what it is instead is said. To run it twice does no harm: what is still on its way is not sent again, and what has failed again is.

With --dry-run it says of each job what would become of it if it were sent now, and changes nothing. Each is looked at by
itself: of two jobs for one transaction, both would create its invoice, and then the second becomes a duplicate.

'invoicer replay history' shows who replayed, dismissed or restored what, and what came of it.`,
		Example: `  invoicer replay --outcome failed --since 24h --dry-run
  invoicer replay --reason 'series' --rate 50 --note 'TICKET-17: series renamed'
  invoicer replay --job 019e2c66-4f0c-7c1e-b9a2-5d3f0c6f1a77
  invoicer replay --all`,
		Args: noArgs,
	}
	flags, f := cmd.Flags(), &r.options.Filter
	flags.StringArrayVar(&f.JobIDs, "job", nil, "the job of this `id`; may be repeated")
	flags.StringArrayVar(&f.TransactionIDs, "transaction", nil, "jobs of the transaction of this `id`; may be repeated")
	flags.StringArrayVar(&r.outcomes, "outcome", nil, "jobs with this `outcome`: conflict, invalid or failed; may be repeated")
	flags.StringVar(&f.Reason, "reason", "", "jobs whose reason contains this `text`, in whatever case")
	flags.StringVar(&r.since, "since", "", "jobs that failed at this `time` or later: 2026-01-31T12:00:00Z, or 24h or 7d ago")
	flags.StringVar(&r.until, "until", "", "jobs that failed at this `time` or earlier, likewise")
	flags.StringVar(&f.Queue, "queue", "", "jobs of the queue of this `name`")
	flags.StringVar(&f.Producer, "producer", "", "jobs of the producer of this `name`")
	flags.BoolVar(&r.all, "all", false, "every failed job")
	flags.IntVar(&r.options.Limit, "limit", 0, "send so many at most, those that failed first (default all)")
	flags.Float64Var(&r.options.Rate, "rate", 0, "send so many in a second at most (default as many as go)")
	flags.StringVar(&r.options.By.Note, "note", "", "keep this `text` on record with each")
	flags.BoolVar(&r.options.DryRun, "dry-run", false, "say what would become of each, and change nothing")
	addByFlag(cmd, &r.options.By.Name)
	addConfigFlags(cmd, "numbering")
	addWaitFlag(cmd, &r.wait)
	addJSONFlag(cmd)
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

// addByFlag adds --by; checkActor fills in who that is by default.
func addByFlag(cmd *cobra.Command, by *string) {
	cmd.Flags().StringVar(by, "by", "", "the `name` of who does it (default user@host)")
}

func checkActor(cmd *cobra.Command, by *string) error {
	switch {
	case !cmd.Flags().Changed("by"):
		*by = userAtHost()
	case *by == "" || !utf8.ValidString(*by):
		return fmt.Errorf("--by %q: name who does it, or leave it out", *by)
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

// selecting are the flags that say which jobs are meant.
func selecting() []string {
	return []string{"job", "transaction", "outcome", "reason", "since", "until", "queue", "producer"}
}

func (r *replayRun) check(cmd *cobra.Command) error {
	var problems []error
	selected := false
	for _, name := range selecting() {
		if !cmd.Flags().Changed(name) {
			continue
		}
		selected = true
		flag := cmd.Flags().Lookup(name)
		values := []string{flag.Value.String()}
		if list, ok := flag.Value.(interface{ GetSlice() []string }); ok {
			values = list.GetSlice()
		}
		for _, value := range values {
			// An empty one, as of a variable that isn't set, would mean all jobs.
			if value == "" || !utf8.ValidString(value) {
				problems = append(problems, fmt.Errorf("--%s %q: say which jobs are meant", name, value))
			}
		}
	}
	switch {
	case !selected && !r.all:
		problems = append(problems, errors.New("which failed jobs are meant? give --all, or one or more of --job, --transaction, --outcome, --reason, --since, --until, --queue, --producer"))
	case selected && r.all:
		problems = append(problems, errors.New("--all goes with no flag that says which jobs are meant: leave it out, or those"))
	}
	for _, name := range r.outcomes {
		switch outcome := invoice.Outcome(name); outcome {
		case invoice.Conflict, invoice.Invalid, invoice.Failed:
			r.options.Filter.Outcomes = append(r.options.Filter.Outcomes, outcome)
		default:
			problems = append(problems, fmt.Errorf("--outcome %q: must be conflict, invalid or failed", name))
		}
	}
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
		problems = append(problems, errors.New("--since is later than --until: no job can be meant"))
	}
	if cmd.Flags().Changed("limit") && r.options.Limit < 1 {
		problems = append(problems, fmt.Errorf("--limit %d: must be 1 or more", r.options.Limit))
	}
	if rate := r.options.Rate; cmd.Flags().Changed("rate") && (rate <= 0 || rate > 1_000_000 || math.IsNaN(rate)) {
		problems = append(problems, fmt.Errorf("--rate %v: must be more than 0, and 1000000 at most", r.options.Rate))
	}
	if err := checkActor(cmd, &r.options.By.Name); err != nil {
		problems = append(problems, err)
	}
	if len(problems) > 0 {
		return exitError{exitUsage, errors.Join(problems...)}
	}
	return nil
}

// parseMoment reads a time, or how long ago it was.
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

// notFailed says, of each job that isn't a failed one, what it is instead.
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
			all = append(all, fmt.Errorf("job %s has not failed, it is done: `invoicer status --job %[1]s` shows what came of it", id))
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
	r.options.Begin, r.options.Observe = out.begin, out.replayed
	replayer := dispatch.NewReplayer(store.Ledger, invoice.NewForecaster(invoice.NewGenerator(store.Invoices, numbering), store.Invoices))
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
		runErr = fmt.Errorf("%w\nwhat was replayed stays so: the same command goes on with the rest", runErr)
	}
	return runErr
}
