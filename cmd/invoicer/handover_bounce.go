package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"invoicer/internal/mail"
	"invoicer/invoice"
	"invoicer/invoice/handover"
	"invoicer/invoice/postgres"
)

func (a app) handoverBounceCommand() *cobra.Command {
	d := &decision{Order: handover.Order{To: handover.Rejected}}
	cmd := &cobra.Command{
		Use:   "bounce FILE|-",
		Short: "Write down that an e-mail came back",
		Long: `Reads a message by which a mail server says that it couldn't deliver an e-mail
(RFC 3464), and notes with the invoice that it was rejected, and why. A mail
server can hand such messages over as they come, on standard input.

A message by which a server says that it is still trying, or has delivered the
e-mail or sent it on, changes nothing.

The exit code is 75, by which a mail server tries again later, where Postgres is
away, or no invoice was sent with a Message-ID that looks like one of ours: the
worker may still be waiting for the server's answer.`,
		Example: `  invoicer handover bounce bounce.eml
  invoicer handover bounce - < bounce.eml`,
		Args: oneArg("the file with the message, or - for standard input"),
	}
	addByFlag(cmd, &d.By)
	addWaitFlag(cmd, &d.wait)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := checkActor(cmd, &d.By); err != nil {
			return exitError{exitUsage, err}
		}
		bounce, err := readBounce(cmd.InOrStdin(), args[0])
		if err != nil {
			return err
		}
		if bounce.MessageID == "" {
			return fmt.Errorf("%s: the message doesn't name the e-mail that it is about", args[0])
		}
		if !bounce.Permanent {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "nothing changes: %s (%s)\n", meaning(bounce.Action), bounce)
			return err
		}
		return retried(a.withHandovers(cmd, d.wait, func(store *postgres.DB) error {
			list, err := store.Handovers.List(cmd.Context(), handover.Filter{TheirID: bounce.MessageID})
			if err != nil {
				return err
			}
			if len(list) != 1 {
				err := fmt.Errorf("no invoice was sent with Message-ID %s: the message is about something else, or the invoice was sent again since", bounce.MessageID)
				if mail.IsOurs(bounce.MessageID) {
					return exitError{exitLater, err}
				}
				return err
			}
			d.Answer, d.Reason = cmp.Or(bounce.Diagnostic, bounce.String()), "the e-mail came back"
			one := &list[0]
			if one.State == handover.Rejected {
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s, through %s: it is rejected already\n", one.Number, one.Channel)
				return err
			}
			err = store.Handovers.Decide(cmd.Context(), one.ID, d.Order)
			if inHand, ok := errors.AsType[*handover.InHandError](err); ok {
				return exitError{exitLater, inHand}
			}
			if errors.Is(err, handover.ErrStep) {
				return fmt.Errorf("%s is %s through %s: nothing changes", one.Number, one.State, one.Channel)
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s, through %s: it is rejected: %s\n", one.Number, one.Channel, d.Answer)
			return err
		}))
	}
	return cmd
}

// retried returns an error that has a mail server hand the message over again, if a server was away: no other exit code has it do so.
func retried(err error) error {
	var coded exitError
	if errors.Is(err, invoice.ErrUnavailable) && !errors.As(err, &coded) {
		return exitError{exitLater, err}
	}
	return err
}

// meaning says what an action of RFC 3464 means that isn't failed.
func meaning(action string) string {
	switch action {
	case "delivered":
		return "it was delivered"
	case "relayed":
		return "it was sent on to a server that won't say what becomes of it"
	case "expanded":
		return "it was sent on to several addresses"
	}
	return "the server is still trying"
}

func readBounce(stdin io.Reader, file string) (mail.Bounce, error) {
	in := stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return mail.Bounce{}, err
		}
		defer f.Close()
		in = f
	}
	bounce, err := mail.ReadBounce(in)
	if errors.Is(err, mail.ErrNotBounce) {
		return bounce, exitError{exitUsage, fmt.Errorf("%s: %w", file, err)}
	}
	return bounce, err
}
