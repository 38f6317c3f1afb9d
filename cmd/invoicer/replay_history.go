package main

import (
	"time"

	"github.com/spf13/cobra"
)

func (a app) replayHistoryCommand() *cobra.Command {
	var wait time.Duration
	var limit int
	var jobID string
	cmd := &cobra.Command{
		Use:   "history",
		Short: "Show who replayed, dismissed or restored which jobs, and with what result",
		Long: `Shows who replayed, dismissed or restored which failed jobs and when, the latest action first, with its result: the job's outcome
before the next action or, after the last action, its outcome or state now.`,
		Example: `  invoicer replay history
  invoicer replay history --job 019e2c66-4f0c-7c1e-b9a2-5d3f0c6f1a77 --json`,
		Args: noArgs,
	}
	cmd.Flags().StringVar(&jobID, "job", "", "only the actions on the job of this `id`")
	cmd.Flags().IntVar(&limit, "limit", 20, "show at most this many, the latest")
	addWaitFlag(cmd, &wait)
	addTableFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := checkJobID(cmd, jobID); err != nil {
			return err
		}
		if limit < 1 || limit > 1_000_000 {
			return usageErrorf("--limit %d: must be 1 to 1000000", limit)
		}
		cfg, store, err := a.configuredStore(cmd, wait)
		if err != nil {
			return err
		}
		defer store.Close()
		past, err := store.Reports.History(cmd.Context(), jobID, limit+1) // one more, to know whether there are more
		if err != nil {
			return withoutTables(cfg.Database.Schema, err)
		}
		more := len(past) > limit
		past = past[:min(len(past), limit)]
		s := sheet{columns: []string{"acted_at", "action", "actor", "job_id", "transaction_id", "after", "came_to", "invoice_number", "note"}}
		for _, p := range past {
			s.rows = append(s.rows, []string{
				instant(p.ActedAt), p.Action, p.Actor, p.JobID, orDash(p.TransactionID), p.Outcome, p.CameTo, orDash(p.InvoiceNumber), orDash(p.Note),
			})
		}
		err = printSheet(cmd, past, s)
		if more {
			cmd.PrintErrf("invoicer: only the latest %d are shown; --limit shows more\n", limit)
		}
		return err
	}
	return cmd
}
