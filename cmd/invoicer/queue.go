package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"invoicer/config"
	"invoicer/internal/term"
	"invoicer/invoice/ledger"
	"invoicer/invoice/postgres"
	"invoicer/worker/queue"
)

func (a app) queueCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "queue",
		Short:   "Pause, resume or drain a queue; show the owners, or take a queue over",
		GroupID: groupMend,
		Long: `A queue of a Redis belongs to one installation, which is a database and a schema. Its workers renew the claim every second.
Workers of another installation refuse to consume the queue, and its 'invoicer enqueue' refuses to put jobs there.`,
	}
	cmd.AddCommand(a.queueListCommand(), a.queueTakeCommand(), a.queuePauseCommand(), a.queueResumeCommand(), a.queueDrainCommand())
	return cmd
}

func (a app) queueListCommand() *cobra.Command {
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Show the owners of the queues of the configured Redis",
		Args:  noArgs,
		Long: `Shows the queues of the configured Redis, and those of worker.queues: the owner of each, when the owner was last seen alive, and
how many tasks wait there. It needs no database.`,
		Example: `  invoicer queue list
  invoicer queue list -o csv
  invoicer queue list --json | jq '.[] | select(.state == "dead")'`,
	}
	addConfigFlags(cmd, "worker")
	addWaitFlag(cmd, &wait)
	addTableFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := a.loadConfig(cmd)
		if err != nil {
			return err
		}
		rdb, err := openRedis(cmd, cfg, wait)
		if err != nil {
			return err
		}
		defer rdb.Close()
		names, err := queue.Names(cmd.Context(), rdb)
		if err != nil {
			return err
		}
		names = append(names, slices.Collect(maps.Keys(cfg.Worker.Queues))...)
		slices.Sort(names)
		var list []queueListed
		for _, name := range slices.Compact(names) {
			s, err := queue.Look(cmd.Context(), rdb, name)
			if err != nil {
				return fmt.Errorf("queue %s: %w", name, err)
			}
			list = append(list, listQueue(s, time.Now()))
		}
		return printQueues(cmd, list)
	}
	return cmd
}

// openRedis returns a client of the configured Redis, once the server has answered.
func openRedis(cmd *cobra.Command, cfg *config.Config, wait time.Duration) (redis.UniversalClient, error) {
	catchLogs(newLogger(cfg.Log, cmd.ErrOrStderr()))
	rdb, err := newRedis(cfg, 0)
	if err != nil {
		return nil, err
	}
	w := waiter(cmd, wait)
	ping := func(ctx context.Context) error { return rdb.Ping(ctx).Err() }
	if err := w.Answer(cmd.Context(), "redis at "+cfg.Redis.Addr(), ping); err != nil {
		return nil, errors.Join(err, rdb.Close())
	}
	return rdb, nil
}

// A queueListed is what --json prints for a queue.
type queueListed struct {
	Queue        string     `json:"queue"`
	State        string     `json:"state"`        // of the owner: alive, dead, given_up; nobody if there is none
	Installation *string    `json:"installation"` // the identity of the owner's database; null if there is no owner
	Database     *string    `json:"database"`
	Schema       *string    `json:"schema"`
	Worker       *string    `json:"worker"`  // the process that renewed the claim last
	Workers      int        `json:"workers"` // number of workers that are alive
	Since        *time.Time `json:"since"`
	LastSeen     *time.Time `json:"last_seen"`
	Waiting      int64      `json:"waiting"`
	Active       int64      `json:"active"`
	Archived     int64      `json:"archived"`
}

func listQueue(s queue.Standing, now time.Time) queueListed {
	l := queueListed{Queue: s.Queue, State: "nobody", Waiting: s.Tasks.Waiting, Active: s.Tasks.Active, Archived: s.Tasks.Archived}
	o := s.Owner
	if !o.Exists() {
		return l
	}
	switch {
	case o.GivenUp:
		l.State = "given_up"
	case o.Alive():
		l.State, l.Workers = "alive", o.Workers
	default:
		l.State = "dead"
	}
	since, seen := time.UnixMilli(o.Since).UTC(), now.Add(-o.LastSeen).UTC()
	l.Installation, l.Database, l.Schema, l.Worker, l.Since, l.LastSeen = &o.ID, &o.Database, &o.Schema, &o.Worker, &since, &seen
	return l
}

func printQueues(cmd *cobra.Command, list []queueListed) error {
	return printAnswer(cmd, list, func() sheet { return ownerSheet(list) }, func(out io.Writer) { writeOwners(out, list) })
}

func ownerSheet(list []queueListed) sheet {
	s := sheet{columns: []string{"queue", "state", "database", "schema", "worker", "workers", "since", "last_seen", "waiting", "active", "archived"}}
	for _, l := range list {
		s.rows = append(s.rows, []string{
			l.Queue, l.State, orDash(l.Database), orDash(l.Schema), orDash(l.Worker), strconv.Itoa(l.Workers), instantOrNone(l.Since),
			instantOrNone(l.LastSeen), whole(l.Waiting), whole(l.Active), whole(l.Archived),
		})
	}
	return s
}

func writeOwners(out io.Writer, list []queueListed) {
	rows := make([][]string, len(list))
	for i, l := range list {
		owner, schema, worker, since, seen := "-", "-", "-", "-", "-"
		if l.Installation != nil {
			owner, schema, worker = *l.Database, *l.Schema, *l.Worker
			since, seen = l.Since.Format(time.DateTime), l.LastSeen.Format(time.DateTime)
		}
		rows[i] = []string{l.Queue, l.State, owner, schema, worker, since, seen, strconv.FormatInt(l.Waiting+l.Active, 10), strconv.FormatInt(l.Archived, 10)}
	}
	term.WriteTable(out, []string{"queue", "owner is", "database", "schema", "worker", "since (UTC)", "last seen (UTC)", "tasks", "archived"}, rows)
}

// askDatabase writes a new nonce to the configured database, and returns the open database with its nonces.
func askDatabase(cmd *cobra.Command, cfg *config.Config, wait time.Duration) (*takerDatabase, error) {
	store, err := openStore(cmd.Context(), cfg, waiter(cmd, wait))
	if err != nil {
		return nil, err
	}
	mine, err := store.RenewNonce(cmd.Context())
	if err != nil {
		return nil, errors.Join(withoutTables(cfg.Database.Schema, err), store.Close())
	}
	return &takerDatabase{DB: store, mine: mine}, nil
}

// A takerDatabase is the database of the installation that takes a queue over.
type takerDatabase struct {
	*postgres.DB
	mine ledger.Nonces
}
