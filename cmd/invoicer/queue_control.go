package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"invoicer/config"
	"invoicer/internal/inquiry"
	"invoicer/internal/report"
	"invoicer/internal/term"
	"invoicer/invoice/ledger"
	"invoicer/invoice/postgres"
	"invoicer/worker/queue"
)

// control opens the servers, and calls do with a controller on them. by is nil if nothing is to be recorded.
func (a app) control(cmd *cobra.Command, wait time.Duration, by *ledger.Actor, do func(*config.Config, inquiry.Controller) error) error {
	if by != nil {
		if err := checkActor(cmd, &by.Name); err != nil {
			return exitError{exitUsage, err}
		}
	}
	cfg, err := a.loadConfig(cmd)
	if err != nil {
		return err
	}
	return withServers(cmd, cfg, wait, func(store *postgres.DB, _ redis.UniversalClient) error {
		rdb, err := openRedis(cmd, cfg, wait)
		if err != nil {
			return err
		}
		defer rdb.Close()
		return inBrief(cfg, do(cfg, inquiry.Controller{Record: store.Ledger, Redis: rdb, DatabaseID: store.DatabaseID, Issuers: store.Issuers.Codes}))
	})
}

// inBrief is [withoutTables] for an error that may be nil, or say how the program ends.
func inBrief(cfg *config.Config, err error) error {
	if err == nil || errors.As(err, new(exitError)) {
		return err
	}
	return withoutTables(cfg.Database.Schema, err)
}

// addActorFlags adds the flags for what is kept on record with an action.
func addActorFlags(cmd *cobra.Command, by *ledger.Actor) {
	cmd.Flags().StringVar(&by.Note, "note", "", "a `text` to keep on record")
	addByFlag(cmd, &by.Name)
}

func (a app) queuePauseCommand() *cobra.Command {
	return a.queueSwitchCommand(&cobra.Command{
		Use:   "pause NAME",
		Short: "Keep workers from taking jobs from a queue",
		Long: `Keeps the workers from taking jobs from a queue, until 'invoicer queue resume'. Jobs in work are finished, and jobs still come into
the queue. It is on record who did it: see 'invoicer history'. Other programs, such as asynqmon, pause without a record.`,
		Example: "  invoicer queue pause bulk --note 'TICKET-19: the tax rates are wrong'",
	}, inquiry.Controller.Pause, "queue %s is paused\n", "queue %s was paused already; nothing is changed\n")
}

func (a app) queueResumeCommand() *cobra.Command {
	return a.queueSwitchCommand(&cobra.Command{
		Use:     "resume NAME",
		Short:   "Let workers take jobs from a paused queue again",
		Long:    `Lets the workers take jobs from a paused queue again. It is on record who did it: see 'invoicer history'.`,
		Example: "  invoicer queue resume bulk",
	}, inquiry.Controller.Resume, "queue %s is not paused any more\n", "queue %s was not paused; nothing is changed\n")
}

func (a app) queueSwitchCommand(
	cmd *cobra.Command, do func(inquiry.Controller, context.Context, string, ledger.Actor) (bool, error), done, already string,
) *cobra.Command {
	var wait time.Duration
	var by ledger.Actor
	cmd.Args = oneArg("the queue's name")
	addActorFlags(cmd, &by)
	addWaitFlag(cmd, &wait)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !queue.IsName(args[0]) {
			return usageErrorf("%q is not a queue: %s", args[0], queue.NameRule)
		}
		return a.control(cmd, wait, &by, func(_ *config.Config, c inquiry.Controller) error {
			changed, err := do(c, cmd.Context(), args[0], by)
			if err != nil {
				return err
			}
			message := done
			if !changed {
				message = already
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), message, args[0])
			return err
		})
	}
	return cmd
}

func (a app) queueDrainCommand() *cobra.Command {
	var within time.Duration
	cmd := &cobra.Command{
		Use:   "drain NAME --wait DURATION",
		Short: "Wait until a queue is empty",
		Args:  oneArg("the queue's name"),
		Long: `Waits until no job of a queue waits or is in work: none is accepted for it in the ledger, and Redis has none but archived and
completed ones. It stops nothing: to have an end, the producers must stop, or send elsewhere. The exit code is 1 if the queue
isn't empty in time.`,
		Example: "  invoicer queue drain bulk --wait 10m",
	}
	cmd.Flags().DurationVar(&within, "wait", 10*time.Minute, "how long to wait")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !queue.IsName(args[0]) {
			return usageErrorf("%q is not a queue: %s", args[0], queue.NameRule)
		}
		if within <= 0 {
			return usageErrorf("--wait %s: must be more than 0", within)
		}
		cfg, err := a.loadConfig(cmd)
		if err != nil {
			return err
		}
		return withReporter(cmd, cfg, within, func(store *postgres.DB, reporter *inquiry.Reporter) error {
			look := func(ctx context.Context) (*report.Queue, bool, error) { return lookInto(ctx, store, reporter, args[0]) }
			return inBrief(cfg, drain(cmd, args[0], within, look))
		})
	}
	return cmd
}

// drainLook is how often a queue that is being drained is looked at.
const drainLook = 500 * time.Millisecond

// lookInto returns a queue, and whether it is empty.
func lookInto(ctx context.Context, store *postgres.DB, r *inquiry.Reporter, name string) (*report.Queue, bool, error) {
	q, err := r.Queue(ctx, name)
	if err != nil || q.Waiting() > 0 || *q.Active > 0 || q.OldestAt != nil {
		return q, false, err
	}
	more, err := store.Reports.HasAccepted(ctx, name) // beyond those that are counted
	return q, !more, err
}

func drain(cmd *cobra.Command, name string, within time.Duration, lookInto func(context.Context) (*report.Queue, bool, error)) error {
	ctx, stop := untilSignal(cmd.Context(), func() {})
	defer stop()
	late := time.NewTimer(within)
	defer late.Stop()
	look := time.NewTicker(drainLook)
	defer look.Stop()
	var told time.Time
	for {
		q, empty, err := lookInto(ctx)
		switch {
		case err != nil && !errors.Is(err, inquiry.ErrRedisAway):
			return err
		case empty:
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "queue %s is empty\n", name)
			return err
		case time.Since(told) > 10*time.Second:
			told = time.Now()
			cmd.PrintErrln("invoicer:", leftText(q, err))
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return errors.New("stopped by a signal: the queue isn't empty")
		case <-late.C:
			return fmt.Errorf("queue %s is not empty after %s: %s", name, within, leftText(q, err))
		}
	}
}

func leftText(q *report.Queue, err error) string {
	if err != nil {
		return "Redis doesn't answer"
	}
	about := ""
	if q.Estimated {
		about = "about "
	}
	text := fmt.Sprintf("%s%s jobs wait, and %s are in work", about, term.Thousands(int(q.Waiting())), term.Thousands(int(*q.Active)))
	switch {
	case q.Paused:
		text += "; the queue is paused"
	case q.Consumers == 0:
		text += "; no worker consumes the queue"
	case q.EmptyIn != nil && *q.EmptyIn > 0:
		text += "; empty in about " + emptyIn(q)
	}
	return text
}
