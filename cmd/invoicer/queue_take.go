package main

import (
	"bufio"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"invoicer/config"
	"invoicer/internal/term"
	"invoicer/worker/queue"
)

// A takeRun is one run of `invoicer queue take`.
type takeRun struct {
	queue   string
	discard bool
	yes     bool
	wait    time.Duration
}

func (a app) queueTakeCommand() *cobra.Command {
	var r takeRun
	cmd := &cobra.Command{
		Use:   "take NAME",
		Short: "Take a queue over from an installation that is gone",
		Args:  oneArg("the queue's name"),
		Long: `Makes a queue this installation's, which is the configured database and schema. It is refused while a worker of the owner
lives.

It first says whose the queue is and what is in it. The tasks of another installation's ledger are taken out: their jobs
are safe there, and stay accepted. Jobs that were enqueued straight into the queue become this installation's, unless
--discard-direct is given; those of them that are archived have their end on record with the former owner, and are taken
out.

At a terminal it asks before it does anything. Elsewhere it needs --yes.`,
		Example: `  invoicer queue take default
  invoicer queue take default --discard-direct --yes`,
	}
	cmd.Flags().BoolVar(&r.discard, "discard-direct", false, "also delete the jobs that were enqueued straight into the queue")
	cmd.Flags().BoolVar(&r.yes, "yes", false, "don't ask")
	addWaitFlag(cmd, &r.wait)
	addJSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r.queue = args[0]
		cfg, err := a.loadConfig(cmd)
		if err != nil {
			return err
		}
		return r.run(cmd, cfg)
	}
	return cmd
}

func (r *takeRun) run(cmd *cobra.Command, cfg *config.Config) error {
	rdb, err := openRedis(cmd, cfg, r.wait)
	if err != nil {
		return err
	}
	defer rdb.Close()
	ours, err := askDatabase(cmd, cfg, r.wait)
	if err != nil {
		return err
	}
	defer ours.Close()
	standing, alive, err := queue.Watch(cmd.Context(), rdb, r.queue)
	if err != nil {
		return err
	}
	if ours.mine, err = ours.Nonces(cmd.Context()); err != nil { // after Redis: what a sibling has shown there, it knows
		return err
	}
	owner := standing.Owner
	mine := owner.ID == ours.mine.DatabaseID && (!alive || standing.Refuse(ours.mine) == nil)
	if alive && !mine {
		return fmt.Errorf("queue %s is in use: %s; stop its owner's workers first", r.queue, owner)
	}
	sweeper := queue.Sweeper{Redis: rdb, Ledger: ours.Ledger, Installation: ours.mine.DatabaseID}
	found, err := sweeper.Sweep(cmd.Context(), r.queue)
	if err != nil {
		return err
	}
	told := takeSummary{Queue: r.queue, Former: listQueue(standing, time.Now()), Found: found, DiscardDirect: r.discard}
	if mine && found.Foreign == 0 && (found.Direct == 0 || !r.discard) {
		return told.tell(cmd, "queue %s is this installation's already: nothing is changed")
	}
	if alive && r.discard {
		return fmt.Errorf("queue %s is this installation's, and its workers are at work there: stop them before jobs are deleted", r.queue)
	}
	if err := r.confirm(cmd, owner, mine, found); err != nil {
		return err
	}
	if !mine {
		err := queue.Take(cmd.Context(), rdb, standing, installation(cfg, ours.mine.DatabaseID), ours.mine, workerName())
		if errors.Is(err, queue.ErrChanged) {
			return fmt.Errorf("queue %s: %w; look again with 'invoicer queue list'", r.queue, err)
		}
		if err != nil {
			return err
		}
		told.Taken = true
	}
	return r.sweep(cmd, rdb, sweeper, &told)
}

// sweep takes out of the queue what isn't this installation's to work on.
func (r *takeRun) sweep(cmd *cobra.Command, rdb redis.UniversalClient, sweeper queue.Sweeper, told *takeSummary) (err error) {
	sweeper.Remove, sweeper.RemoveDirect = true, r.discard
	if told.Found, err = sweeper.Sweep(cmd.Context(), r.queue); err != nil {
		return fmt.Errorf("queue %s is this installation's now, but not all of the former owner's tasks are taken out: run it again: %w", r.queue, err)
	}
	told.Swept = true
	return told.tell(cmd, "queue %s is this installation's now")
}

// confirm says what was found, and asks whether to go on.
func (r *takeRun) confirm(cmd *cobra.Command, owner queue.Owner, mine bool, found queue.Census) error {
	var lines []string
	switch {
	case mine:
		lines = append(lines, fmt.Sprintf("queue %s is this installation's", r.queue))
	case owner.Exists():
		lines = append(lines, fmt.Sprintf("queue %s belongs to %s", r.queue, owner))
	default:
		lines = append(lines, fmt.Sprintf("queue %s belongs to nobody", r.queue))
	}
	lines = append(lines, describe(found, r.discard)...)
	for _, line := range lines {
		cmd.PrintErrln("invoicer:", line)
	}
	if r.yes {
		return nil
	}
	if !term.IsTerminal(cmd.ErrOrStderr()) {
		return usageErrorf("nothing is changed: give --yes to take it over without being asked")
	}
	cmd.PrintErr("Take it over? [y/N] ")
	answer, _ := bufio.NewReader(cmd.InOrStdin()).ReadString('\n') // none means no
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
		return errors.New("nothing is changed")
	}
	return nil
}

// describe says what is in a queue, and what becomes of it.
func describe(c queue.Census, discard bool) []string {
	direct := "they become this installation's"
	if discard {
		direct = "they are deleted"
	}
	var lines []string
	for _, kind := range []struct {
		n    int
		what string
	}{
		{c.Foreign, "of another installation's ledger: they are taken out, and their jobs are safe there"},
		{c.Own, "of this installation's ledger: they stay"},
		{c.Direct, "enqueued straight into the queue: " + direct},
		{c.Settled, "enqueued straight into the queue, and archived: they are taken out; their end is on record with the former owner"},
		{c.Unknown, "that can't be read: they stay"},
	} {
		if kind.n > 0 {
			lines = append(lines, fmt.Sprintf("  %s %s %s", term.Thousands(kind.n), plural(kind.n, "task", "tasks"), kind.what))
		}
	}
	if len(lines) == 0 {
		lines = append(lines, "  no tasks are in it")
	}
	return lines
}

// A takeSummary is what --json prints.
type takeSummary struct {
	Queue         string       `json:"queue"`
	Taken         bool         `json:"taken"` // false: it was this installation's already
	Swept         bool         `json:"swept"` // what isn't this installation's to work on is taken out
	Former        queueListed  `json:"former"`
	Found         queue.Census `json:"found"`
	DiscardDirect bool         `json:"discard_direct"`
}

func (s takeSummary) tell(cmd *cobra.Command, message string) error {
	if wantsJSON(cmd) {
		return printJSON(cmd, s)
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), message+"\n", s.Queue)
	return err
}
