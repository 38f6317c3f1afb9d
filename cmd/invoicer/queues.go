package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"invoicer/config"
	"invoicer/internal/inquiry"
	"invoicer/internal/report"
	"invoicer/internal/term"
	"invoicer/invoice"
	"invoicer/invoice/postgres"
)

func (a app) queuesCommand() *cobra.Command {
	var wait time.Duration
	cmd := &cobra.Command{
		Use:     "queues",
		Short:   "Show how much waits in each queue, how fast it is done, and who does it",
		GroupID: groupLook,
		Args:    noArgs,
		Long: `Shows each queue: how many jobs wait, in Redis and accepted in the ledger but not sent yet; how many are in work, wait for a
retry, or are archived; when the oldest job without an end was accepted; how many were done in a second lately, and in what time
the queue is empty if nothing is added; whether it is paused; how many workers consume it; and whose it is.

Below are the paused series that accepted jobs wait for, with who paused them. A number with ~ is an estimate. 'invoicer queue list' shows more about the owners, and needs no database.`,
		Example: `  invoicer queues
  invoicer queues -o csv > queues.csv
  invoicer queues --json | jq '.queues[] | select(.consumers == 0)'`,
	}
	addConfigFlags(cmd, "worker")
	addWaitFlag(cmd, &wait)
	addTableFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := a.loadConfig(cmd)
		if err != nil {
			return err
		}
		return withReporter(cmd, cfg, wait, func(store *postgres.DB, r *inquiry.Reporter) error {
			found, err := r.Queues(cmd.Context())
			if err == nil {
				found.PausedSeries, err = store.Reports.WaitedFor(cmd.Context())
			}
			if err != nil {
				return withoutTables(cfg.Database.Schema, err)
			}
			return printInquiry(cmd, found, found.Problems,
				func() sheet { return queueSheet(found) }, func(out io.Writer) { writeQueues(out, found) })
		})
	}
	return cmd
}

// inquire opens the store and a Redis client, which needn't answer, and calls ask.
func (a app) inquire(cmd *cobra.Command, wait time.Duration, ask func(*config.Config, *inquiry.Reporter) error) error {
	cfg, err := a.loadConfig(cmd)
	if err != nil {
		return err
	}
	return withReporter(cmd, cfg, wait, func(_ *postgres.DB, r *inquiry.Reporter) error { return ask(cfg, r) })
}

// withReporter calls do with a store that has answered, and a reporter over it and over a Redis that needn't answer.
func withReporter(cmd *cobra.Command, cfg *config.Config, wait time.Duration, do func(*postgres.DB, *inquiry.Reporter) error) error {
	return withServers(cmd, cfg, wait, func(store *postgres.DB, rdb redis.UniversalClient) error {
		reporter, err := newReporter(cfg, store, rdb)
		if err != nil {
			return err
		}
		return do(store, reporter)
	})
}

// withServers calls do with a database that has answered, and with a Redis client that hasn't connected yet.
func withServers(cmd *cobra.Command, cfg *config.Config, wait time.Duration, do func(*postgres.DB, redis.UniversalClient) error) error {
	catchLogs(newLogger(cfg.Log, cmd.ErrOrStderr()))
	store, err := openStore(cmd.Context(), cfg, waiter(cmd, wait))
	if err != nil {
		return err
	}
	defer store.Close()
	rdb, err := newRedis(cfg, 0)
	if err != nil {
		return err
	}
	defer rdb.Close()
	return do(store, rdb)
}

// printInquiry is [printAnswer], and then tells what the answer lacks. An answer that lacks something is a failure.
func printInquiry(cmd *cobra.Command, answer any, problems []string, rows func() sheet, write func(io.Writer)) error {
	if err := printAnswer(cmd, answer, rows, write); err != nil {
		return err
	}
	var missing []error
	for _, problem := range problems {
		missing = append(missing, errors.New(problem))
	}
	return errors.Join(missing...)
}

func writeQueues(out io.Writer, found *report.Queues) {
	rows := make([][]string, len(found.Queues))
	for i := range found.Queues {
		q := &found.Queues[i]
		accepted := strconv.FormatInt(q.Accepted, 10)
		if q.Estimated {
			accepted = "~" + accepted
		}
		rows[i] = []string{
			q.Queue, orUnknown(q.Pending), accepted, orUnknown(q.Active), orUnknown(q.Retry), orUnknown(q.Archived),
			age(q.OldestAt), rate(q.Rate), emptyIn(q), queueState(q), strconv.Itoa(q.Consumers), ownerOf(q),
		}
	}
	term.WriteTable(out, []string{
		"queue", "pending", "accepted", "active", "retry", "archived", "oldest", "per second", "empty in", "state", "workers", "owner",
	}, rows)
	for _, p := range found.PausedSeries {
		term.WriteWrapped(out, term.Width(out), "", pausedText(p))
	}
}

// pausedText says that jobs wait for a paused series.
func pausedText(p report.PausedSeries) string {
	jobs := plural(p.Jobs, "job waits", "jobs wait")
	number := term.Thousands(p.Jobs)
	if p.AtLeast {
		number = "more than " + number
	}
	id := invoice.SeriesID{Issuer: p.Issuer, Name: p.Series}
	text := fmt.Sprintf("%s %s for series %s, paused by %s since %s", number, jobs, id, p.Actor, instant(p.Since))
	if note := orDash(p.Note); note != "-" {
		text += " (" + note + ")"
	}
	return term.Clean(text + ": `invoicer series resume " + id.Args() + "`")
}

func queueSheet(found *report.Queues) sheet {
	s := sheet{columns: []string{
		"queue", "pending", "active", "retry", "scheduled", "archived", "completed", "accepted", "estimated", "oldest_at", "rate", "empty_in_seconds",
		"paused", "consumers", "ours", "owner_state", "owner_database", "owner_schema",
	}}
	for i := range found.Queues {
		q := &found.Queues[i]
		row := []string{
			q.Queue, wholeOrNone(q.Pending), wholeOrNone(q.Active), wholeOrNone(q.Retry), wholeOrNone(q.Scheduled), wholeOrNone(q.Archived),
			wholeOrNone(q.Completed), whole(q.Accepted), strconv.FormatBool(q.Estimated), instantOrNone(q.OldestAt), decimalOrNone(q.Rate),
			decimalOrNone(q.EmptyIn), strconv.FormatBool(q.Paused), strconv.Itoa(q.Consumers), strconv.FormatBool(q.Ours),
		}
		var owner report.Owner
		if q.Owner != nil {
			owner = *q.Owner
		}
		s.rows = append(s.rows, append(row, owner.State, owner.Database, owner.Schema))
	}
	return s
}

func orUnknown(n *int64) string {
	if n == nil {
		return "?"
	}
	return strconv.FormatInt(*n, 10)
}

// age returns how long ago a time is.
func age(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return briefly(time.Since(*t))
}

// briefly returns a duration in seconds, or for longer ones in its two largest units.
func briefly(d time.Duration) string {
	const day = 24 * time.Hour
	switch d = max(d, 0); {
	case d < time.Minute:
		return strconv.Itoa(int(d.Seconds())) + "s"
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < day:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%dd%02dh", int(d/day), int(d.Hours())%24)
	}
}

func rate(r *float64) string {
	switch {
	case r == nil:
		return "-"
	case *r < 10:
		return strconv.FormatFloat(*r, 'f', 1, 64)
	default:
		return strconv.FormatFloat(*r, 'f', 0, 64)
	}
}

func emptyIn(q *report.Queue) string {
	const longest = 1000 * 24 * time.Hour
	switch {
	case q.EmptyIn == nil:
		return "-"
	case *q.EmptyIn == 0:
		return "now"
	case *q.EmptyIn > longest.Seconds():
		return "> 1000d"
	default:
		return briefly(time.Duration(*q.EmptyIn * float64(time.Second)))
	}
}

// ownerOf returns whose another installation's queue is.
func ownerOf(q *report.Queue) string {
	if q.Owner == nil || q.Ours {
		return "-"
	}
	return q.Owner.Database + " " + q.Owner.Schema + " (" + q.Owner.State + ")"
}

func queueState(q *report.Queue) string {
	switch {
	case q.Owner != nil && !q.Ours:
		return "not ours"
	case q.Paused:
		return "paused"
	case q.Consumers == 0 && q.Pending != nil:
		return "no worker"
	default:
		return "-"
	}
}
