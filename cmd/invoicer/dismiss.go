package main

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"invoicer/invoice/ledger"
)

func (a app) dismissCommand() *cobra.Command {
	var wait time.Duration
	var by ledger.Actor
	var many failedSelection
	cmd := &cobra.Command{
		Use:     "dismiss JOB_ID --reason TEXT",
		Short:   "Mark failed jobs as dealt with, so that they are never replayed",
		GroupID: groupMend,
		Long: `Marks a failed job as dealt with in another way. It stays on record, with its outcome, who dismissed it and why. 'invoicer replay'
leaves it out, and a worker does nothing for it even if its task is run again. 'invoicer restore' makes it a failed job again.

In place of a job's id, flags select many: a failed job is dismissed if it matches every flag that is given. --dry-run lists the
jobs, and changes nothing. Jobs that fail meanwhile are left alone.`,
		Example: `  invoicer dismiss 019e2c66-4f0c-7c1e-b9a2-5d3f0c6f1a77 \
    --reason 'TICKET-18: credited by hand'
  invoicer dismiss --outcome invalid --producer test-shop --dry-run \
    --reason 'TICKET-20: a test went live'`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && many.given(cmd) {
				return nil
			}
			return oneArg("the job's id")(cmd, args)
		},
	}
	many.addFlags(cmd)
	cmd.Flags().StringVar(&by.Note, "reason", "", "how the job was dealt with, as a `text` that is kept on record; required")
	addByFlag(cmd, &by.Name)
	addWaitFlag(cmd, &wait)
	addTableFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var problems []error
		if len(args) > 0 && many.given(cmd) {
			problems = append(problems, fmt.Errorf("the job %q and the flags that select jobs don't go together: leave out either", args[0]))
		}
		problems = append(problems, many.parse(cmd)...)
		if len(args) > 0 && formOf(cmd) == asCSV {
			problems = append(problems, errors.New("--output csv lists the jobs that flags select: leave it out for one job, or give --json"))
		}
		if len(args) > 0 && (args[0] == "" || !utf8.ValidString(args[0])) {
			problems = append(problems, fmt.Errorf("%q is not a job id", args[0]))
		}
		if strings.TrimSpace(by.Note) == "" {
			problems = append(problems, errors.New("--reason is missing: say how the job was dealt with"))
		}
		if err := checkActor(cmd, &by.Name); err != nil {
			problems = append(problems, err)
		}
		if len(problems) > 0 {
			return exitError{exitUsage, errors.Join(problems...)}
		}
		cfg, store, err := a.configuredStore(cmd, wait)
		if err != nil {
			return err
		}
		defer store.Close()
		if len(args) == 0 {
			many.filter.DefaultSeries = cfg.Numbering.InvoiceSeries
			return inBrief(cfg, many.dismiss(cmd, store.Ledger, by))
		}
		done := dismissal{JobID: args[0], State: "dismissed", Changed: true}
		var other *ledger.StateError
		switch err := store.Ledger.Dismiss(cmd.Context(), args[0], by); {
		case errors.Is(err, ledger.ErrNoJob):
			return unknownJob(cfg, args[0])
		case errors.As(err, &other) && other.State == "dismissed":
			done.Changed = false
		case errors.As(err, &other):
			return fmt.Errorf("job %s has not failed, it is %s; only a failed job can be dismissed", other.JobID, other.State)
		case err != nil:
			return withoutTables(cfg.Database.Schema, err)
		}
		return done.print(cmd)
	}
	return cmd
}

// A dismissal is the result that --json prints.
type dismissal struct {
	JobID   string `json:"job_id"`
	State   string `json:"state"`
	Changed bool   `json:"changed"` // false: it was dismissed already
}

func (d dismissal) print(cmd *cobra.Command) error {
	if wantsJSON(cmd) {
		return printJSON(cmd, d)
	}
	message := "job %s is dismissed\n"
	if !d.Changed {
		message = "job %s was dismissed already; nothing is changed\n"
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), message, d.JobID)
	return err
}
