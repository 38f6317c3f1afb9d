package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"invoicer/internal/term"
	"invoicer/invoice/handover"
	"invoicer/invoice/postgres"
)

func (a app) handoverCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "handover",
		Short:   "Show how invoices were handed over to other systems, send them again",
		GroupID: groupLook,
		Long: `Workers hand invoices over to the systems of documents.channels, such as a
Peppol provider or an authority's gateway, and keep what these answer.
docs/handover.md says how, and what such a system has to do.`,
	}
	cmd.AddCommand(a.handoverListCommand(), a.handoverShowCommand(), a.handoverResendCommand(), a.handoverAnswerCommand(), a.handoverBounceCommand(), a.handoverCancelCommand())
	return cmd
}

func (a app) withHandovers(cmd *cobra.Command, wait time.Duration, do func(*postgres.DB) error) error {
	cfg, store, err := a.configuredStore(cmd, wait)
	if err != nil {
		return err
	}
	defer store.Close()
	return inBrief(cfg, do(store))
}

func (a app) handoverListCommand() *cobra.Command {
	var f handover.Filter
	var state string
	var since, wait time.Duration
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Show how invoices were handed over, or are to be",
		Long: `Shows how invoices were handed over, or are to be, the newest first. The states
are queued, sent, cleared, accepted, rejected, failed and cancelled. A credit
note that waits for the clearance of what it credits says of which invoice.`,
		Example: `  invoicer handover list --state rejected --since 24h
  invoicer handover list --channel peppol --json`,
		Args: noArgs,
	}
	cmd.Flags().StringVar(&state, "state", "", "in this `state`")
	cmd.Flags().StringVar(&f.Channel, "channel", "", "through this `channel`")
	cmd.Flags().DurationVar(&since, "since", 0, "in their state since this `time` or less, such as 24h")
	cmd.Flags().IntVar(&f.Limit, "limit", 20, "show at most this many")
	addWaitFlag(cmd, &wait)
	addTableFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if f.State = handover.State(state); state != "" && !slices.Contains(handover.States(), f.State) {
			return usageErrorf("--state %q: is none of %s", state, statesText())
		}
		if f.Limit < 1 || f.Limit > 1_000_000 {
			return usageErrorf("--limit %d: must be 1 to 1000000", f.Limit)
		}
		if since < 0 {
			return usageErrorf("--since %v: must be more than 0", since)
		}
		if since > 0 {
			f.Since = time.Now().Add(-since)
		}
		return a.withHandovers(cmd, wait, func(store *postgres.DB) error {
			list, err := store.Handovers.List(cmd.Context(), f)
			if err != nil {
				return err
			}
			if list == nil {
				list = []handover.Handover{}
			}
			return printSheet(cmd, list, handoverSheet(list))
		})
	}
	return cmd
}

func statesText() string {
	var names []string
	for _, s := range handover.States() {
		names = append(names, string(s))
	}
	return strings.Join(names, ", ")
}

func handoverSheet(list []handover.Handover) sheet {
	s := sheet{columns: []string{"since", "channel", "invoice_number", "kind", "state", "attempts", "due_at", "their_id", "clearance", "said"}}
	for i := range list {
		h := &list[i]
		said := said(h)
		s.rows = append(s.rows, []string{
			instant(h.ChangedAt), h.Channel, h.Number, h.Kind, string(h.State), strconv.Itoa(h.Attempts), instantOrNone(h.DueAt), orDash(&h.TheirID), orDash(&h.Clearance), orDash(&said),
		})
	}
	return s
}

// said is what is to say of a hand-over in a few words.
func said(h *handover.Handover) string {
	switch {
	case h.InHand && h.State == handover.Queued:
		return "a worker is handing it over"
	case h.Blocked:
		return "waits for the clearance of " + h.WaitsFor + ", which won't come by itself"
	case h.WaitsFor != "":
		return "waits for the clearance of " + h.WaitsFor
	case h.Error != "":
		return h.Error
	}
	return h.Answer
}

// shownHandovers is the answer of `handover show`.
type shownHandovers struct {
	Handovers []handover.Handover `json:"handovers"`
	History   []handover.Change   `json:"history"`
}

func (a app) handoverShowCommand() *cobra.Command {
	var issuer string
	var wait time.Duration
	cmd := &cobra.Command{
		Use:     "show NUMBER",
		Short:   "Show how an invoice was handed over, change by change",
		Long:    `Shows through which channels an invoice was handed over, and each change of that.`,
		Example: "  invoicer handover show INV-000001",
		Args:    oneArg("the number of the invoice"),
	}
	addIssuerOfNumber(cmd, &issuer)
	addWaitFlag(cmd, &wait)
	addJSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.withHandovers(cmd, wait, func(store *postgres.DB) error {
			list, err := handoversOf(cmd, store, args[0], issuer)
			if err != nil {
				return err
			}
			history, err := store.Handovers.History(cmd.Context(), list[0].InvoiceID)
			if err != nil {
				return err
			}
			return printAnswer(cmd, shownHandovers{list, history}, nil, func(out io.Writer) {
				s := handoverSheet(list)
				term.WriteTable(out, s.columns, s.rows)
				_, _ = fmt.Fprintln(out)
				var rows [][]string
				for i := range history {
					c := &history[i]
					text := c.Error
					if text == "" {
						text = c.Answer
					}
					rows = append(rows, []string{instant(c.At), c.Channel, string(c.State), orDash(&c.TheirID), orDash(&c.Clearance), orDash(&text), orDash(&c.ChangedBy), orDash(&c.Reason)})
				}
				term.WriteTable(out, []string{"at", "channel", "state", "their_id", "clearance", "said", "by", "reason"}, rows)
			})
		})
	}
	return cmd
}

func addIssuerOfNumber(cmd *cobra.Command, issuer *string) {
	cmd.Flags().StringVar(issuer, "issuer", "", "of this issuer (its `code`), where several have the number")
}

// handoversOf returns the hand-overs of an invoice, at least one.
func handoversOf(cmd *cobra.Command, store *postgres.DB, number, issuer string) ([]handover.Handover, error) {
	f := handover.Filter{Number: number}
	if cmd.Flags().Changed("issuer") {
		f.Issuers = []string{issuer}
	}
	list, err := store.Handovers.List(cmd.Context(), f)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("no invoice %s is handed over: there is none with that number, or none of documents.channels had it when it was made", number)
	}
	for i := range list {
		if list[i].Issuer != list[0].Issuer {
			return nil, fmt.Errorf("several issuers have an invoice %s: say which one with --issuer", number)
		}
	}
	slices.Reverse(list)
	return list, nil
}
