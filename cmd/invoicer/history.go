package main

import (
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"invoicer/config"
	"invoicer/internal/inquiry"
	"invoicer/invoice/ledger"
	"invoicer/invoice/postgres"
)

func (a app) historyCommand() *cobra.Command {
	var wait time.Duration
	var limit int
	cmd := &cobra.Command{
		Use:     "history",
		Short:   "Show who did what: to jobs, queues, locks and workers",
		GroupID: groupLook,
		Long: `Shows what people did, the latest first: replays, dismissals and restorations of jobs, pauses of queues, freed locks, quiet workers.
actor is the name that was given, role the one by which the database knows the user. 'invoicer replay history' shows what came
of replayed jobs.`,
		Example: `  invoicer history
  invoicer history --limit 100 --json`,
		Args: noArgs,
	}
	cmd.Flags().IntVar(&limit, "limit", 20, "show at most this many, the latest")
	addWaitFlag(cmd, &wait)
	addTableFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if limit < 1 || limit > 1_000_000 {
			return usageErrorf("--limit %d: must be 1 to 1000000", limit)
		}
		cfg, err := a.loadConfig(cmd)
		if err != nil {
			return err
		}
		return withServers(cmd, cfg, wait, func(store *postgres.DB, _ redis.UniversalClient) error {
			deeds, err := store.Reports.Deeds(cmd.Context(), limit)
			if err != nil {
				return withoutTables(cfg.Database.Schema, err)
			}
			rows := make([][]string, len(deeds))
			for i, d := range deeds {
				rows[i] = []string{instant(d.ActedAt), d.Action, d.Subject, d.Actor, orDash(d.Role), orDash(d.Note), orDash(d.Details)}
			}
			return printSheet(cmd, deeds, sheet{[]string{"acted_at", "action", "subject", "actor", "role", "note", "details"}, rows})
		})
	}
	return cmd
}

func (a app) workerQuietCommand() *cobra.Command {
	var wait time.Duration
	var by ledger.Actor
	var off bool
	cmd := &cobra.Command{
		Use:   "quiet NAME",
		Short: "Tell a worker to take no more jobs",
		Long: `Tells a running worker to take no more jobs. It learns that within seconds, finishes the jobs in hand, and goes on to answer, relay
and reconcile. With --off it takes jobs again. 'invoicer workers' shows the names, and what each has in hand. It is on record who
did it: see 'invoicer history'.`,
		Example: `  invoicer worker quiet vm-4711-a1b2 --note 'maintenance of the host'
  invoicer worker quiet vm-4711-a1b2 --off`,
		Args: oneArg("the worker's name"),
	}
	cmd.Flags().BoolVar(&off, "off", false, "let it take jobs again")
	addActorFlags(cmd, &by)
	addWaitFlag(cmd, &wait)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.control(cmd, wait, &by, func(_ *config.Config, c inquiry.Controller) error {
			if err := c.Quiet(cmd.Context(), args[0], !off, by); err != nil {
				return err
			}
			message := "worker %s takes no more jobs from now on; a few seconds may pass until it knows\n"
			if off {
				message = "worker %s takes jobs again\n"
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), message, args[0])
			return err
		})
	}
	return cmd
}
