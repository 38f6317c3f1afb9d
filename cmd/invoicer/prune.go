package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"invoicer/config"
	"invoicer/internal/await"
	"invoicer/internal/term"
	"invoicer/invoice/postgres"
)

func (a app) pruneCommand() *cobra.Command {
	var wait time.Duration
	var dryRun bool
	cmd := &cobra.Command{
		Use:     "prune",
		Short:   "Delete old records: done jobs, duplicate attempts, payloads, events",
		GroupID: groupMend,
		Long: `Deletes records that are older than their key says, in small steps, beside running workers:

  done jobs of the ledger, with the actions on them: retention.jobs
  duplicate attempts whose job isn't in the ledger: retention.duplicates
  failed attempts at jobs that aren't in the ledger: retention.jobs
  payloads of failed and dismissed jobs: retention.failed_payloads
  events that nobody is to be told any more: retention.events
  requests by HTTP with their keys, and replays by HTTP that have ended:
    retention.api_requests

and the counts of producers' jobs that are older than 28 days, which nothing reads any more.

The rows of failed jobs stay. It never deletes an invoice, or a job that is waiting. It may be stopped at any point, and run again.`,
		Example: `  invoicer prune --dry-run
  invoicer prune --retention-jobs 30d`,
		Args: noArgs,
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "count what would be deleted, and delete nothing")
	addConfigFlags(cmd, "retention")
	addWaitFlag(cmd, &wait)
	addJSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := a.loadConfig(cmd)
		if err != nil {
			return err
		}
		return prune(cmd, cfg, wait, dryRun)
	}
	return cmd
}

// pruneBatch is the number of rows that one step examines.
const pruneBatch = 5_000

// A pruneSummary is the result that --json prints. Keys are named like the tables and columns.
type pruneSummary struct {
	DryRun         bool `json:"dry_run"`
	DoneJobs       int  `json:"done_jobs"`
	Duplicates     int  `json:"duplicate_attempts"`
	FailedPayloads int  `json:"failed_payloads"`
	Attempts       int  `json:"job_attempts"`
	Counts         int  `json:"producer_counts"`
	Requests       int  `json:"api_requests"`
	Events         int  `json:"events"`
	Complete       bool `json:"complete"`
}

func prune(cmd *cobra.Command, cfg *config.Config, wait time.Duration, dryRun bool) error {
	progress := term.NewProgress(cmd.ErrOrStderr(), -1, "pruning", "rows looked at")
	defer progress.Stop(false)
	ctx, stop := untilSignal(cmd.Context(), func() { progress.Say("stopping") })
	defer stop()
	store, err := openStore(ctx, cfg, await.Waiter{AtMost: wait, Tell: progress.Say})
	if err != nil {
		return err
	}
	defer store.Close()

	sum := pruneSummary{DryRun: dryRun}
	keep := postgres.Retention{Jobs: cfg.Retention.Jobs, Duplicates: cfg.Retention.Duplicates, FailedPayloads: cfg.Retention.FailedPayloads}
	var pruneErr error
	for _, kind := range []struct {
		what  postgres.Prunable
		count *int
	}{
		// In this order, so that one run deletes jobs, and then the duplicate and failed attempts of these jobs.
		{postgres.DoneJobs, &sum.DoneJobs},
		{postgres.DuplicateAttempts, &sum.Duplicates},
		{postgres.Attempts, &sum.Attempts},
		{postgres.FailedPayloads, &sum.FailedPayloads},
	} {
		after := int64(0)
		for pruneErr == nil {
			var step postgres.Pruned
			if step, pruneErr = store.Ledger.Prune(ctx, kind.what, keep, after, pruneBatch, dryRun); pruneErr != nil || step.Looked == 0 {
				break
			}
			after = step.Last
			*kind.count += step.Removed
			progress.Sent.Add(int64(step.Looked))
		}
	}
	for n := pruneBatch; pruneErr == nil && n == pruneBatch; {
		n, pruneErr = store.Ledger.PruneCounts(ctx, pruneBatch, dryRun)
		sum.Counts += n
		if dryRun {
			break
		}
	}
	for n := pruneBatch; pruneErr == nil && n == pruneBatch; {
		n, pruneErr = store.Ledger.PruneRequests(ctx, cfg.Retention.APIRequests, pruneBatch, dryRun)
		sum.Requests += n
		if dryRun {
			break
		}
	}
	for n := pruneBatch; pruneErr == nil && n == pruneBatch; {
		n, pruneErr = store.Replays.Prune(ctx, cfg.Retention.APIRequests, pruneBatch, dryRun)
		sum.Requests += n
		if dryRun {
			break
		}
	}
	for n := pruneBatch; pruneErr == nil && n == pruneBatch; {
		n, pruneErr = store.Outbox.Prune(ctx, cfg.Retention.Events, pruneBatch, dryRun)
		sum.Events += n
		if dryRun {
			break
		}
	}
	sum.Complete = pruneErr == nil
	progress.Stop(sum.Complete)
	if err := sum.print(cmd, cfg); err != nil {
		return err
	}
	switch {
	case pruneErr == nil:
		return nil
	case errors.Is(context.Cause(ctx), errSignal):
		return errors.New("stopped by a signal: run it again for the rest")
	default:
		return withoutTables(cfg.Database.Schema, pruneErr)
	}
}

func (s pruneSummary) print(cmd *cobra.Command, cfg *config.Config) error {
	if wantsJSON(cmd) {
		return printJSON(cmd, s)
	}
	verb := "deleted"
	if s.DryRun {
		verb = "would be deleted"
	}
	for _, kind := range []struct {
		n         int
		one, many string
		age       time.Duration
	}{
		{s.DoneJobs, "done job", "done jobs", cfg.Retention.Jobs},
		{s.Duplicates, "duplicate attempt", "duplicate attempts", cfg.Retention.Duplicates},
		{s.Attempts, "failed attempt", "failed attempts", cfg.Retention.Jobs},
		{s.FailedPayloads, "payload of a failed job", "payloads of failed jobs", cfg.Retention.FailedPayloads},
		{s.Requests, "request by HTTP", "requests by HTTP", cfg.Retention.APIRequests},
		{s.Events, "event", "events", cfg.Retention.Events},
		{s.Counts, "count of a producer's jobs", "counts of producers' jobs", 28 * 24 * time.Hour},
	} {
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s %s older than %s %s\n", term.Thousands(kind.n), plural(kind.n, kind.one, kind.many), config.FormatDuration(kind.age), verb)
		if err != nil {
			return err
		}
	}
	return nil
}
