package main

import (
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"invoicer/config"
	"invoicer/invoice/ledger"
	"invoicer/invoice/postgres"
)

func (a app) restoreCommand() *cobra.Command {
	var wait time.Duration
	var by ledger.Actor
	cmd := &cobra.Command{
		Use:     "restore JOB_ID...",
		Short:   "Make dismissed jobs failed jobs again, which can be replayed",
		GroupID: groupMend,
		Long: `Undoes dismissals: each job is a failed job again, as it was before, and 'invoicer replay' sends it. The dismissal stays on record,
and so does the restoration, each with a name and a text.

The exit code is 1 if one of the jobs can't be restored; the others are restored all the same.`,
		Example: `  invoicer restore 019e2c66-4f0c-7c1e-b9a2-5d3f0c6f1a77 \
    --note 'TICKET-18: not credited after all'`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return oneArg("the job's id")(cmd, args)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&by.Note, "note", "", "a `text` to keep on record with each job")
	addByFlag(cmd, &by.Name)
	addWaitFlag(cmd, &wait)
	addJSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var problems []error
		for _, id := range args {
			if id == "" || !utf8.ValidString(id) {
				problems = append(problems, fmt.Errorf("%q is not a job id", id))
			}
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
		return restore(cmd, cfg, store, args, by)
	}
	return cmd
}

// A restoration is what --json prints for a job that isn't dismissed any more.
type restoration struct {
	JobID   string `json:"job_id"`
	State   string `json:"state"`
	Changed bool   `json:"changed"` // false: it was a failed job already
}

func restore(cmd *cobra.Command, cfg *config.Config, store *postgres.DB, ids []string, by ledger.Actor) error {
	restored := []restoration{}
	var problems []error
	for _, id := range ids {
		var other *ledger.StateError
		switch err := store.Ledger.Restore(cmd.Context(), id, by); {
		case err == nil:
			restored = append(restored, restoration{JobID: id, State: "failed", Changed: true})
		case errors.Is(err, ledger.ErrNoJob):
			problems = append(problems, unknownJob(cfg, id))
		case errors.As(err, &other) && other.State == "failed":
			restored = append(restored, restoration{JobID: id, State: "failed"})
		case errors.As(err, &other):
			problems = append(problems, fmt.Errorf("job %s is not dismissed, it is %s", id, other.State))
		default:
			problems = append(problems, fmt.Errorf("job %s: %w", id, withoutTables(cfg.Database.Schema, err)))
		}
	}
	if wantsJSON(cmd) {
		return errors.Join(append([]error{printJSON(cmd, restored)}, problems...)...)
	}
	for _, r := range restored {
		message := "job %s is a failed job again: `invoicer replay --job %[1]s` sends it\n"
		if !r.Changed {
			message = "job %s is a failed job already; nothing is changed\n"
		}
		if _, err := fmt.Fprintf(cmd.OutOrStdout(), message, r.JobID); err != nil {
			return err
		}
	}
	return errors.Join(problems...)
}

func unknownJob(cfg *config.Config, id string) error {
	return fmt.Errorf("the ledger of schema %s has no job %s: `invoicer status` shows a transaction's jobs with their ids", cfg.Database.Schema, id)
}
