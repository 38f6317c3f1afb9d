package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"invoicer/internal/mail"
	"invoicer/invoice/handover"
	"invoicer/invoice/postgres"
)

// A decision is what the flags of a command say that an operator decides.
type decision struct {
	handover.Order

	channel, issuer string
	wait            time.Duration
}

func (d *decision) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&d.channel, "channel", "", "through this `channel`, where there are several")
	cmd.Flags().StringVar(&d.Reason, "reason", "", "a `text` to keep on record")
	addIssuerOfNumber(cmd, &d.issuer)
	addByFlag(cmd, &d.By)
	addWaitFlag(cmd, &d.wait)
	addJSONFlag(cmd)
}

func (a app) decide(cmd *cobra.Command, d *decision, number, done string) error {
	if err := checkActor(cmd, &d.By); err != nil {
		return exitError{exitUsage, err}
	}
	if len(d.Reason) > handover.MostReason || len(d.Answer) > handover.MostAnswer || len(d.TheirID) > handover.MostID || len(d.Clearance) > handover.MostID {
		return usageErrorf("too long: --reason may have %d bytes, --text %d and --id %d", handover.MostReason, handover.MostAnswer, handover.MostID)
	}
	return a.withHandovers(cmd, d.wait, func(store *postgres.DB) error {
		list, err := handoversOf(cmd, store, number, d.issuer)
		if err != nil {
			return err
		}
		var found []handover.Handover
		var names []string
		for i := range list {
			if d.channel == "" || list[i].Channel == d.channel {
				found = append(found, list[i])
			}
			names = append(names, list[i].Channel)
		}
		if len(found) != 1 {
			return usageErrorf("--channel %q: say through which one: %s", d.channel, strings.Join(names, ", "))
		}
		one := &found[0]
		if err := d.checkAddress(cmd, store, one.Channel); err != nil {
			return err
		}
		err = store.Handovers.Decide(cmd.Context(), one.ID, d.Order)
		if errors.Is(err, handover.ErrStep) {
			if one, err = handoverNow(cmd, store, one); err != nil {
				return err
			}
			return fmt.Errorf("%s is %s through %s: %s", number, one.State, one.Channel, d.whyNot(one))
		}
		if _, ok := errors.AsType[*handover.InHandError](err); ok {
			return exitError{exitLater, fmt.Errorf("%s, through %s: %w", number, one.Channel, err)}
		}
		if err != nil {
			return err
		}
		if err := d.warn(cmd, store, one); err != nil {
			return err
		}
		if wantsJSON(cmd) {
			now, err := handoversOf(cmd, store, number, one.Issuer)
			if err != nil {
				return err
			}
			return printJSON(cmd, now)
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s, through %s: %s\n", number, one.Channel, done)
		return err
	})
}

// handoverNow reads a hand-over again.
func handoverNow(cmd *cobra.Command, store *postgres.DB, h *handover.Handover) (*handover.Handover, error) {
	list, err := store.Handovers.List(cmd.Context(), handover.Filter{ID: h.ID})
	if err != nil || len(list) == 0 {
		return h, err
	}
	return &list[0], nil
}

// checkAddress returns an error if nothing can be sent to the address through the channel. Other kinds than e-mail have addresses of their own.
func (d *decision) checkAddress(cmd *cobra.Command, store *postgres.DB, channel string) error {
	if d.Address == "" {
		return nil
	}
	if len(d.Address) > handover.MostAddress {
		return usageErrorf("--to has %d bytes: it may have %d", len(d.Address), handover.MostAddress)
	}
	kind, err := store.Handovers.Kind(cmd.Context(), channel)
	if err != nil || kind != "email" {
		return err
	}
	if _, err := mail.ParseAddress(d.Address); err != nil {
		return usageErrorf("--to: %w", err)
	}
	return nil
}

// warn says on standard error which credit notes wait for a clearance that won't come by itself, since the hand-over has ended without one.
func (d *decision) warn(cmd *cobra.Command, store *postgres.DB, h *handover.Handover) error {
	if d.To == handover.Queued || d.To == handover.Cleared {
		return nil
	}
	waiting, err := store.Handovers.Waiting(cmd.Context(), h.ID)
	if err != nil || len(waiting) == 0 {
		return err
	}
	cmd.PrintErrf("invoicer: %s is %s without a clearance, for which credit notes wait that won't go by themselves: %s; 'invoicer handover resend --anyway' sends one\n",
		h.Number, d.To, strings.Join(waiting, ", "))
	return nil
}

// whyNot says why a hand-over can't get to where it was to, and which flag helps.
func (d *decision) whyNot(h *handover.Handover) string {
	why := d.WhyNot(h)
	if h.WaitsFor != "" && h.ErasedAt == nil && d.To == handover.Queued {
		why += "; --anyway sends it without"
	}
	return why
}

func (a app) handoverResendCommand() *cobra.Command {
	d := &decision{Order: handover.Order{To: handover.Queued}}
	cmd := &cobra.Command{
		Use:   "resend NUMBER",
		Short: "Hand an invoice over again that was rejected, or given up",
		Long: `Has workers hand an invoice over again: one that was rejected, failed or
cancelled, or was sent and never answered, and at once one whose last attempt
failed. One that was rejected gets a new key, by which the other side takes it
for another one, and so does an e-mail that was sent, or goes elsewhere by --to.
The others keep theirs, since it may have them already.

What is queued goes to another address by --to, too. While a worker is handing it
over, nothing changes, and the exit code is 75: what comes of that may change what
is to be done. The error says by when the attempt has ended.

A credit note that waits for the clearance of what it credits is sent without it
by --anyway.`,
		Example: `  invoicer handover resend INV-000001 --channel peppol --reason 'address mended'
  invoicer handover resend INV-000001 --channel mail --to ap@buyer.example
  invoicer handover resend INV-CN-000007 --anyway`,
		Args: oneArg("the number of the invoice"),
	}
	d.addFlags(cmd)
	cmd.Flags().StringVar(&d.Address, "to", "", "by e-mail to this `address`, and not to the one that the invoice has")
	cmd.Flags().BoolVar(&d.Anyway, "anyway", false, "don't wait for a clearance any more")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.decide(cmd, d, args[0], "it will be handed over again")
	}
	return cmd
}

func (a app) handoverCancelCommand() *cobra.Command {
	d := &decision{Order: handover.Order{To: handover.Cancelled}}
	cmd := &cobra.Command{
		Use:   "cancel NUMBER",
		Short: "Give up to hand an invoice over",
		Long: `Gives up to hand an invoice over that is queued, or notes that one that was
rejected or failed is dealt with otherwise. The invoice stays as it is.

While a worker is handing it over, nothing changes, and the exit code is 75: what
comes of that may change what is to be done. The error says by when the attempt
has ended.`,
		Example: "  invoicer handover cancel INV-000001 --channel peppol --reason 'sent by post'",
		Args:    oneArg("the number of the invoice"),
	}
	d.addFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.decide(cmd, d, args[0], "it won't be handed over")
	}
	return cmd
}

func (a app) handoverAnswerCommand() *cobra.Command {
	d := &decision{}
	var state, id string
	cmd := &cobra.Command{
		Use:   "answer NUMBER",
		Short: "Write down what the other side said by other ways",
		Long: `Writes down what the other side said of an invoice by other ways, such as by
telephone: that it is cleared, with the id of that, accepted or rejected. With
accepted, --id is the one of the clearance, for which credit notes may wait.

While a worker is handing it over, rejected changes nothing, and the exit code
is 75. The error says by when the attempt has ended.`,
		Example: `  invoicer handover answer INV-000001 --state cleared --id 2026-0815
  invoicer handover answer INV-000001 --state rejected --text 'no such order'`,
		Args: oneArg("the number of the invoice"),
	}
	d.addFlags(cmd)
	cmd.Flags().StringVar(&state, "state", "", "what it said: cleared, accepted or rejected")
	cmd.Flags().StringVar(&id, "id", "", "the `id` that it gave")
	cmd.Flags().StringVar(&d.Answer, "text", "", "what it said in words")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch d.To = handover.State(state); d.To {
		case handover.Cleared, handover.Accepted:
			if d.Clearance = id; id == "" && d.To == handover.Cleared {
				return usageErrorf("--id is needed with --state cleared: credit notes quote it")
			}
		case handover.Rejected:
			d.TheirID = id
		default:
			return usageErrorf("--state %q: must be cleared, accepted or rejected", state)
		}
		return a.decide(cmd, d, args[0], "it is "+state)
	}
	return cmd
}
