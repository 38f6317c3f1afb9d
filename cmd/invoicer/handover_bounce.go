package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"invoicer/internal/mail"
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

A message by which a server says that it is still trying changes nothing.`,
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
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "nothing changes: the server is still trying (%s)\n", bounce)
			return err
		}
		return a.withHandovers(cmd, d.wait, func(store *postgres.DB) error {
			list, err := store.Handovers.List(cmd.Context(), handover.Filter{TheirID: bounce.MessageID})
			if err != nil {
				return err
			}
			if len(list) != 1 {
				return fmt.Errorf("no invoice was sent with Message-ID %s: the message is about something else, or the invoice was sent again since", bounce.MessageID)
			}
			d.Answer, d.Reason = cmp.Or(bounce.Diagnostic, bounce.String()), "the e-mail came back"
			one := &list[0]
			if one.State == handover.Rejected {
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s, through %s: it is rejected already\n", one.Number, one.Channel)
				return err
			}
			err = store.Handovers.Decide(cmd.Context(), one.ID, d.Order)
			if errors.Is(err, handover.ErrStep) {
				return fmt.Errorf("%s is %s through %s: nothing changes", one.Number, one.State, one.Channel)
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s, through %s: it is rejected: %s\n", one.Number, one.Channel, d.Answer)
			return err
		})
	}
	return cmd
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
