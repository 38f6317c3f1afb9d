package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"invoicer/config"
	"invoicer/internal/term"
	"invoicer/invoice/ledger"
	"invoicer/invoice/outbox"
	"invoicer/invoice/postgres"
)

func (a app) eventsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "events",
		Short:   "Show what endpoints are told of invoices, tell them again, set them up",
		GroupID: groupLook,
		Long: `Workers post an event to each endpoint that wants it: that an invoice or a
credit note was made, that a job was a duplicate, a conflict, or has failed.
docs/events.md says what receivers get, and how they verify it.`,
	}
	cmd.AddCommand(a.eventsListCommand(), a.eventsReplayCommand(), a.eventsTailCommand(), a.endpointCommand())
	return cmd
}

// A toldSelection is what the flags of `events list` and `events replay` select.
type toldSelection struct {
	outbox.ToldFilter

	since time.Duration
}

func (s *toldSelection) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&s.Endpoint, "endpoint", "", "what this `endpoint` was told")
	flags.StringVar(&s.State, "state", "", "in this `state`: pending, delivered or dead")
	flags.StringVar(&s.Type, "type", "", "events of this `type`")
	flags.StringVar(&s.TransactionID, "transaction", "", "of the transaction with this `id`")
	flags.StringVar(&s.EventID, "event", "", "the event with this `id`")
	flags.DurationVar(&s.since, "since", 0, "that happened in this `time` until now, such as 24h")
}

func (s *toldSelection) check(cmd *cobra.Command) error {
	if s.State != "" && !slices.Contains([]string{outbox.Pending, outbox.Delivered, outbox.Dead}, s.State) {
		return usageErrorf("--state %q: is none of pending, delivered, dead", s.State)
	}
	if s.Type != "" {
		if err := checkEventType(s.Type); err != nil {
			return err
		}
	}
	if s.since < 0 {
		return usageErrorf("--since %v: must be more than 0", s.since)
	}
	if cmd.Flags().Changed("since") {
		s.Since = time.Now().Add(-s.since)
	}
	return nil
}

func (a app) eventsListCommand() *cobra.Command {
	var s toldSelection
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Show what endpoints were told, or are to be told",
		Long:  `Shows what endpoints were told, or are to be told, the newest event first.`,
		Example: `  invoicer events list --state dead
  invoicer events list --transaction 536365 --json`,
		Args: noArgs,
	}
	s.addFlags(cmd)
	cmd.Flags().IntVar(&s.Limit, "limit", 20, "show at most this many")
	addWaitFlag(cmd, &wait)
	addTableFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if s.Limit < 1 || s.Limit > 1_000_000 {
			return usageErrorf("--limit %d: must be 1 to 1000000", s.Limit)
		}
		if err := s.check(cmd); err != nil {
			return err
		}
		return a.withOutbox(cmd, wait, func(o *postgres.Outbox) error {
			list, err := o.Told(cmd.Context(), s.ToldFilter)
			if err != nil {
				return err
			}
			return printAnswer(cmd, list, func() sheet { return toldSheet(list) }, func(out io.Writer) {
				sheet := toldSheet(list)
				term.WriteTable(out, sheet.columns, sheet.rows)
			})
		})
	}
	return cmd
}

func toldSheet(list []outbox.Told) sheet {
	s := sheet{columns: []string{"created_at", "type", "transaction_id", "endpoint", "state", "attempts", "due_at", "error", "event_id"}}
	for _, t := range list {
		s.rows = append(s.rows, []string{
			instant(t.CreatedAt), t.Type, orDash(&t.TransactionID), t.Endpoint, t.State, strconv.Itoa(t.Attempts), instantOrNone(t.DueAt), orDash(&t.Error), t.ID,
		})
	}
	return s
}

// withOutbox opens the database, and shortens the errors of what is done there.
func (a app) withOutbox(cmd *cobra.Command, wait time.Duration, do func(*postgres.Outbox) error) error {
	cfg, store, err := a.configuredStore(cmd, wait)
	if err != nil {
		return err
	}
	defer store.Close()
	return inBrief(cfg, do(store.Outbox))
}

func (a app) eventsReplayCommand() *cobra.Command {
	var s toldSelection
	var by ledger.Actor
	var wait time.Duration
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "replay",
		Short: "Tell endpoints again",
		Long: `Has workers post events again: those that were given up, unless --state says
which. With --state pending, those that wait for their next attempt are posted
at once. Events have the ids that they had, so receivers know the repeats.

At least one of --endpoint, --event, --transaction, --type and --since is needed.`,
		Example: `  invoicer events replay --endpoint erp
  invoicer events replay --endpoint erp --state delivered --since 24h --dry-run`,
		Args: noArgs,
	}
	s.addFlags(cmd)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "count what would be posted again, and change nothing")
	addActorFlags(cmd, &by)
	addWaitFlag(cmd, &wait)
	addJSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if s.Endpoint == "" && s.EventID == "" && s.TransactionID == "" && s.Type == "" && s.since == 0 {
			return usageErrorf("nothing says which events: give --endpoint, --event, --transaction, --type or --since")
		}
		if s.State == "" {
			s.State = outbox.Dead
		}
		if err := s.check(cmd); err != nil {
			return err
		}
		if err := checkActor(cmd, &by.Name); err != nil {
			return exitError{exitUsage, err}
		}
		return a.withOutbox(cmd, wait, func(o *postgres.Outbox) error {
			n, err := o.Replay(cmd.Context(), s.ToldFilter, dryRun, by)
			if err != nil {
				return err
			}
			if wantsJSON(cmd) {
				return printJSON(cmd, map[string]any{"deliveries": n, "dry_run": dryRun})
			}
			verb := "will be posted again"
			if dryRun {
				verb = "would be posted again"
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s %s %s\n", term.Thousands(n), plural(n, "delivery", "deliveries"), verb)
			return err
		})
	}
	return cmd
}

// A tailed event is a line of `events tail`.
type tailed struct {
	outbox.Event

	Cursor string `json:"cursor"`
}

func (a app) eventsTailCommand() *cobra.Command {
	var after string
	var types []string
	var wait time.Duration
	var once bool
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Print events as they happen, as JSON Lines",
		Long: `Prints each event on a line of JSON, as it happens, for a broker or a program of
your own. Events are recorded if an endpoint wants them, or events.record names
their type. Each line has a cursor: with --after CURSOR, it goes on after that
event. No event is passed over, and none comes twice after the same cursor.`,
		Example: `  invoicer events tail
  invoicer events tail --after "$(cat cursor)" --type invoice.created
  invoicer events tail --after 0 --once > events.jsonl`,
		Args: noArgs,
	}
	cmd.Flags().StringVar(&after, "after", "", "begin after the event with this `cursor`; 0 is before the first (default now)")
	cmd.Flags().StringSliceVar(&types, "type", nil, "events of this `type`; may be repeated")
	cmd.Flags().BoolVar(&once, "once", false, "end after the newest event")
	addWaitFlag(cmd, &wait)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cursor, err := parseCursor(after)
		if err != nil {
			return err
		}
		for _, one := range types {
			if err := checkEventType(one); err != nil {
				return err
			}
		}
		ctx, stop := untilSignal(cmd.Context(), func() {})
		defer stop()
		return a.withOutbox(cmd, wait, func(o *postgres.Outbox) (err error) {
			if after == "" {
				if cursor, err = o.LastEvent(ctx); err != nil {
					return err
				}
			}
			out := json.NewEncoder(cmd.OutOrStdout())
			out.SetEscapeHTML(false)
			for {
				const most = 500
				before := cursor
				list, next, err := o.Events(ctx, nil, before, types, most)
				if ctx.Err() != nil {
					return nil //nolint:nilerr // it was told to end
				}
				if err != nil {
					return err
				}
				for i := range list {
					if err := out.Encode(tailed{list[i].Event, list[i].Cursor.String()}); err != nil {
						return err
					}
				}
				if cursor = next; len(list) == most || once && next != before { // few of many
					continue
				}
				if once {
					return nil
				}
				select {
				case <-ctx.Done():
					return nil
				case <-time.After(200 * time.Millisecond):
				}
			}
		})
	}
	return cmd
}

func checkEventType(name string) error {
	if !slices.Contains(append(outbox.Types(), outbox.EndpointTest), name) {
		return usageErrorf("--type %q: is none of %s", name, strings.Join(outbox.Types(), ", "))
	}
	return nil
}

func parseCursor(text string) (c outbox.Cursor, err error) {
	if text == "" {
		return c, nil
	}
	if err := c.UnmarshalText([]byte(text)); err != nil {
		return c, usageErrorf("--after %w", err)
	}
	return c, nil
}

// endpointProblem is an error of usage that a flag or an argument of an endpoint has.
func endpointProblem(e *outbox.Endpoint) error {
	if err := config.CheckEndpoint(e.Name, e.URL, e.Types, e.Issuers); err != nil {
		return exitError{exitUsage, err}
	}
	return nil
}
