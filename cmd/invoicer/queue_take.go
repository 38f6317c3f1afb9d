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
		Long: `Makes this installation, which is the configured database and schema, the owner of a queue. It refuses while a worker of the
present owner is alive.

It first shows the owner of the queue and the tasks in it. Tasks that come from another installation's ledger are removed: their
jobs are safe there, and stay accepted. Jobs that were enqueued straight into the queue become this installation's, unless
--discard-direct deletes them. Those that are archived are removed, because the former owner has recorded their end.

At a terminal the command asks before it changes anything. Elsewhere it needs --yes.`,
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
	if ours.mine, err = ours.Nonces(cmd.Context()); err != nil { // after Redis, so that it has all nonces that are there
		return err
	}
	owner := standing.Owner
	mine := owner.ID == ours.mine.DatabaseID && (!alive || standing.Refuse(ours.mine) == nil)
	if alive && !mine {
		return fmt.Errorf("queue %s is in use: %s; stop the owner's workers first", r.queue, owner)
	}
	sweeper := queue.Sweeper{Redis: rdb, Ledger: ours.Ledger, Installation: ours.mine.DatabaseID}
	found, err := sweeper.Sweep(cmd.Context(), r.queue)
	if err != nil {
		return err
	}
	result := takeSummary{Queue: r.queue, Former: listQueue(standing, time.Now()), Found: found, DiscardDirect: r.discard}
	if mine && found.Foreign == 0 && (found.Direct == 0 || !r.discard) {
		return result.print(cmd, "queue %s belongs to this installation already: nothing is changed")
	}
	if alive && r.discard {
		return fmt.Errorf("queue %s belongs to this installation, and its workers consume it: stop them before you delete jobs", r.queue)
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
		result.Taken = true
	}
	return r.sweep(cmd, rdb, sweeper, &result)
}

// sweep removes the tasks that this installation must not work on.
func (r *takeRun) sweep(cmd *cobra.Command, rdb redis.UniversalClient, sweeper queue.Sweeper, result *takeSummary) (err error) {
	sweeper.Remove, sweeper.RemoveDirect = true, r.discard
	if result.Found, err = sweeper.Sweep(cmd.Context(), r.queue); err != nil {
		return fmt.Errorf("queue %s belongs to this installation now, but not all of the former owner's tasks are removed: run the command again: %w", r.queue, err)
	}
	result.Swept = true
	return result.print(cmd, "queue %s belongs to this installation now")
}

// confirm shows what was found, and asks whether to go on. It returns an error if the answer is no.
func (r *takeRun) confirm(cmd *cobra.Command, owner queue.Owner, mine bool, found queue.Census) error {
	var lines []string
	switch {
	case mine:
		lines = append(lines, fmt.Sprintf("queue %s belongs to this installation", r.queue))
	case owner.Exists():
		lines = append(lines, fmt.Sprintf("queue %s belongs to %s", r.queue, owner))
	default:
		lines = append(lines, fmt.Sprintf("queue %s has no owner", r.queue))
	}
	lines = append(lines, describe(found, r.discard)...)
	for _, line := range lines {
		cmd.PrintErrln("invoicer:", line)
	}
	if r.yes {
		return nil
	}
	if !term.IsTerminal(cmd.ErrOrStderr()) {
		return usageErrorf("nothing is changed: give --yes to take the queue over without a question")
	}
	cmd.PrintErr("Take it over? [y/N] ")
	answer, _ := bufio.NewReader(cmd.InOrStdin()).ReadString('\n') // no answer means no
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
		return errors.New("nothing is changed")
	}
	return nil
}

// describe returns lines about the tasks in a queue, and what happens to them.
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
		{c.Foreign, "of another installation's ledger: they are removed, and their jobs are safe there"},
		{c.Own, "of this installation's ledger: they stay"},
		{c.Direct, "enqueued straight into the queue: " + direct},
		{c.Settled, "enqueued straight into the queue, and archived: they are removed; the former owner has recorded their end"},
		{c.Unknown, "that can't be read: they stay"},
	} {
		if kind.n > 0 {
			lines = append(lines, fmt.Sprintf("  %s %s %s", term.Thousands(kind.n), plural(kind.n, "task", "tasks"), kind.what))
		}
	}
	if len(lines) == 0 {
		lines = append(lines, "  it has no tasks")
	}
	return lines
}

// A takeSummary is the result that --json prints.
type takeSummary struct {
	Queue         string       `json:"queue"`
	Taken         bool         `json:"taken"` // false: the queue belonged to this installation already
	Swept         bool         `json:"swept"` // the tasks that this installation must not work on are removed
	Former        queueListed  `json:"former"`
	Found         queue.Census `json:"found"`
	DiscardDirect bool         `json:"discard_direct"`
}

func (s takeSummary) print(cmd *cobra.Command, message string) error {
	if wantsJSON(cmd) {
		return printJSON(cmd, s)
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), message+"\n", s.Queue)
	return err
}
