package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"invoicer/internal/term"
	"invoicer/invoice"
	"invoicer/invoice/ledger"
	"invoicer/invoice/postgres"
)

// A failedSelection selects failed jobs by flags.
type failedSelection struct {
	filter       ledger.FailedFilter
	outcomes     []string
	issuer       issuerFlag
	since, until string
	dryRun       bool
}

func (s *failedSelection) addFlags(cmd *cobra.Command) {
	flags, f := cmd.Flags(), &s.filter
	flags.StringArrayVar(&f.TransactionIDs, "transaction", nil, "jobs of the transaction of this `id`; may be repeated")
	flags.StringArrayVar(&s.outcomes, "outcome", nil, "jobs with this `outcome`: conflict, invalid or failed; may be repeated")
	flags.StringVar(&f.Reason, "matching", "", "jobs whose reason contains this `text`, in upper or lower case")
	flags.StringVar(&s.since, "since", "", "jobs that failed at this `time` or later: 2026-01-31T12:00:00Z, or 24h or 7d ago")
	flags.StringVar(&s.until, "until", "", "jobs that failed at this `time` or earlier, likewise")
	flags.StringVar(&f.Queue, "queue", "", "jobs of the queue of this `name`")
	flags.StringVar(&f.Producer, "producer", "", "jobs of the producer of this `name`")
	flags.StringVar(&f.Series, "series", "", seriesUsage)
	s.issuer.add(cmd, "jobs of this issuer, '' for the one without a name")
	flags.BoolVar(&s.dryRun, "dry-run", false, "list the jobs that the flags select, and change nothing")
}

// names returns the flags that select.
func (s *failedSelection) names() []string {
	return []string{"transaction", "outcome", "matching", "since", "until", "queue", "producer", "series", "issuer"}
}

// given reports whether a flag that selects is given.
func (s *failedSelection) given(cmd *cobra.Command) bool {
	return slices.ContainsFunc(s.names(), cmd.Flags().Changed)
}

// selects reports whether a flag other than --issuer selects.
func (s *failedSelection) selects(cmd *cobra.Command) bool {
	return slices.ContainsFunc(s.names(), func(name string) bool { return name != "issuer" && cmd.Flags().Changed(name) })
}

// parse fills in the filter, and returns what is wrong with the flags.
func (s *failedSelection) parse(cmd *cobra.Command) (problems []error) {
	for _, name := range s.names() {
		flag := cmd.Flags().Lookup(name)
		values := []string{flag.Value.String()}
		if list, ok := flag.Value.(interface{ GetSlice() []string }); ok {
			values = list.GetSlice()
		}
		// An empty value, as from an unset shell variable, would select all jobs, or those of the issuer without a name, which may be all.
		if flag.Changed && (name != "issuer" || !s.selects(cmd)) && slices.ContainsFunc(values, func(v string) bool { return v == "" || !utf8.ValidString(v) }) {
			problems = append(problems, fmt.Errorf("--%s: must not be empty, and must be valid UTF-8", name))
		}
	}
	s.filter.Issuer = s.issuer.orAll(cmd)
	for _, name := range s.outcomes {
		outcome := invoice.Outcome(name)
		if !slices.Contains([]invoice.Outcome{invoice.Conflict, invoice.Invalid, invoice.Failed}, outcome) {
			problems = append(problems, fmt.Errorf("--outcome %q: must be conflict, invalid or failed", name))
		}
		s.filter.Outcomes = append(s.filter.Outcomes, outcome)
	}
	now := time.Now()
	for _, bound := range []struct {
		flag, text string
		to         *time.Time
	}{{"--since", s.since, &s.filter.Since}, {"--until", s.until, &s.filter.Until}} {
		if bound.text == "" {
			continue
		}
		var err error
		if *bound.to, err = parseMoment(bound.text, now); err != nil {
			problems = append(problems, fmt.Errorf("%s %q: %w", bound.flag, bound.text, err))
		}
	}
	return problems
}

// A dismissals is what --json prints for many jobs.
type dismissals struct {
	DryRun    bool     `json:"dry_run"`
	Dismissed int      `json:"dismissed"` // or would be
	Changed   int      `json:"changed"`   // left alone: they weren't failed any more
	Jobs      []string `json:"jobs"`
	csv       csvWriter
}

// dismiss dismisses the selected jobs that had failed when it began.
func (s *failedSelection) dismiss(cmd *cobra.Command, jobs *postgres.Ledger, by ledger.Actor) error {
	const page = 200
	ctx, stop := untilSignal(cmd.Context(), func() { cmd.PrintErrln("invoicer: stopping") })
	defer stop()
	_, now, err := jobs.CountFailed(ctx, s.filter)
	if err != nil {
		return err
	}
	if s.filter.Until.IsZero() || s.filter.Until.After(now) {
		s.filter.Until = now
	}
	done := dismissals{DryRun: s.dryRun, Jobs: []string{}}
	if formOf(cmd) == asCSV {
		done.csv = newCSV(cmd.OutOrStdout(), []string{"job_id", "transaction_id", "outcome", "reason", "issuer"})
	}
	var last ledger.FailedJob
	for err == nil {
		var next []ledger.FailedJob
		if next, err = jobs.Failed(ctx, s.filter, last, page); err != nil || len(next) == 0 {
			break
		}
		for _, j := range next {
			if err = s.one(ctx, cmd, jobs, j, by, &done); err != nil {
				break
			}
		}
		last = next[len(next)-1]
	}
	if err != nil && errors.Is(context.Cause(ctx), errSignal) {
		err = errors.New("stopped by a signal: run the same command again for the rest")
	}
	return errors.Join(done.print(cmd), err)
}

func (s *failedSelection) one(ctx context.Context, cmd *cobra.Command, jobs *postgres.Ledger, j ledger.FailedJob, by ledger.Actor, done *dismissals) error {
	if s.dryRun && formOf(cmd) != asCSV && !wantsJSON(cmd) {
		term.WriteRow(outputOf(cmd), j.JobID, orDash(&j.TransactionID), string(j.Outcome), j.Reason)
	}
	if !s.dryRun {
		err := jobs.Dismiss(ctx, j.JobID, by)
		var other *ledger.StateError
		if errors.As(err, &other) || errors.Is(err, ledger.ErrNoJob) {
			done.Changed++
			return nil
		}
		if err != nil {
			return err
		}
	}
	done.Dismissed++
	done.Jobs = append(done.Jobs, j.JobID)
	if formOf(cmd) == asCSV {
		done.csv.row([]string{j.JobID, orDash(&j.TransactionID), string(j.Outcome), j.Reason, j.Issuer})
	}
	return nil
}

func (d dismissals) print(cmd *cobra.Command) error {
	if wantsJSON(cmd) {
		return printJSON(cmd, d)
	}
	verb := plural(d.Dismissed, "job is dismissed", "jobs are dismissed")
	if d.DryRun {
		verb = plural(d.Dismissed, "job would be dismissed", "jobs would be dismissed")
	}
	text := term.Thousands(d.Dismissed) + " " + verb
	if d.Changed > 0 {
		text += fmt.Sprintf("; %s left: not failed any more", term.Thousands(d.Changed))
	}
	if formOf(cmd) == asCSV {
		cmd.PrintErrln("invoicer:", text)
		return d.csv.end()
	}
	_, err := fmt.Fprintln(cmd.OutOrStdout(), text)
	return err
}
