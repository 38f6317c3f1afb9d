package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"invoicer/events"
	"invoicer/internal/term"
	"invoicer/invoice/ledger"
	"invoicer/invoice/outbox"
	"invoicer/invoice/postgres"
	"invoicer/web/access"
)

func (a app) endpointCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "endpoint",
		Short: "Show endpoints, and add, change, test or remove them",
		Long: `An endpoint is who is told of events: a URL that workers post to. The key
events.endpoints states endpoints in a configuration; these commands keep them
in the database. A change counts within 5 seconds.`,
		Annotations: map[string]string{showsList: ""},
	}
	cmd.AddCommand(
		a.endpointListCommand(), a.endpointAddCommand(), a.endpointTestCommand(),
		a.endpointChangeCommand(outbox.EnableEndpoint, "Post to a disabled endpoint again", "Has workers post to an endpoint again, first what has waited since it was disabled.", "endpoint %s is enabled\n"),
		a.endpointChangeCommand(outbox.DisableEndpoint, "Post nothing to an endpoint for now", "Has workers post nothing to an endpoint. What it is to be told waits.", "endpoint %s is disabled\n"),
		a.endpointChangeCommand(outbox.RemoveEndpoint, "Tell an endpoint nothing any more", "Has workers forget an endpoint. What it was still to be told is given up. One that\na configuration states comes back with the next start of a worker.", "endpoint %s is removed\n"),
		a.endpointChangeCommand(outbox.RotateSecret, "Give an endpoint a new secret, and print it once", "Makes a new secret, and prints it alone on the standard output. Events are signed\nwith both, the new one and the one before, until it is rotated again.", ""),
		secretCommand(),
	)
	return cmd
}

// A shownEndpoint is an endpoint as it is printed, without its secrets.
type shownEndpoint struct {
	Name         string     `json:"name"`
	URL          string     `json:"url"`
	Types        []string   `json:"types"`
	Issuers      []string   `json:"issuers"`
	Origin       string     `json:"origin"`
	State        string     `json:"state"`
	Reason       string     `json:"reason,omitempty"`
	FailingSince *time.Time `json:"failing_since"`
	Pending      int        `json:"pending"`
	Oldest       *time.Time `json:"oldest_pending"`
	Dead         int        `json:"dead"`
	CreatedAt    time.Time  `json:"created_at"`
}

func (a app) endpointListCommand() *cobra.Command {
	var wait time.Duration
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "Show the endpoints, and what waits for each",
		Example: "  invoicer events endpoint list",
		Args:    noArgs,
	}
	addWaitFlag(cmd, &wait)
	addTableFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.withOutbox(cmd, wait, func(o *postgres.Outbox) error {
			endpoints, err := o.Endpoints(cmd.Context(), true)
			if err != nil {
				return err
			}
			list := []shownEndpoint{}
			for _, e := range endpoints {
				list = append(list, shownEndpoint{e.Name, e.URL, e.Types, e.Issuers, e.Origin, e.State, e.Reason, someTime(e.FailingSince), e.Pending, someTime(e.Oldest), e.Dead, e.CreatedAt.UTC()})
			}
			rows := func() sheet {
				s := sheet{columns: []string{"name", "url", "types", "issuers", "origin", "state", "reason", "failing_since", "pending", "oldest_pending", "dead"}}
				for _, e := range list {
					s.rows = append(s.rows, []string{
						e.Name, e.URL, strings.Join(e.Types, ","), access.Issuers(e.Issuers).String(), e.Origin, e.State, orDash(&e.Reason), instantOrNone(e.FailingSince),
						strconv.Itoa(e.Pending), instantOrNone(e.Oldest), strconv.Itoa(e.Dead),
					})
				}
				return s
			}
			return printAnswer(cmd, list, rows, func(out io.Writer) { s := rows(); term.WriteTable(out, s.columns, s.rows) })
		})
	}
	return cmd
}

func someTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func (a app) endpointAddCommand() *cobra.Command {
	e := outbox.Endpoint{}
	var issuers issuersFlag
	var by ledger.Actor
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "add NAME --url URL --type TYPE",
		Short: "Add an endpoint, and print its secret once",
		Long: `Adds an endpoint, and prints the secret with which events to it are signed alone
on the standard output. It can't be shown again. It is told of what happens from
now on.`,
		Example: `  invoicer events endpoint add erp --url https://erp.example/hook \\
      --type invoice.created --type credit_note.created > secret
  invoicer events endpoint add paris --url https://paris.example/in \\
      --type invoice.created --issuer ACME-FR`,
		Args: oneArg("the endpoint's name"),
	}
	flags := cmd.Flags()
	flags.StringVar(&e.URL, "url", "", "where events are posted to: an https `URL`")
	flags.StringSliceVar(&e.Types, "type", nil, "a `type` of events; may be repeated: "+strings.Join(outbox.Types(), ", "))
	flags.Var(&issuers, "issuer", "an issuer of whose invoices and jobs alone it is told, or none for the one without a name (its `code`)")
	addActorFlags(cmd, &by)
	addWaitFlag(cmd, &wait)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		e.Name, e.Issuers = args[0], nil
		for _, issuer := range issuers {
			e.Issuers = append(e.Issuers, issuer)
		}
		if err := endpointProblem(&e); err != nil {
			return err
		}
		if err := checkActor(cmd, &by.Name); err != nil {
			return exitError{exitUsage, err}
		}
		return a.withOutbox(cmd, wait, func(o *postgres.Outbox) error {
			secret := events.NewSecret()
			e.Secrets = []string{secret}
			if err := o.Add(cmd.Context(), e, by); err != nil {
				if exists := new(outbox.EndpointExistsError); errors.As(err, &exists) {
					return fmt.Errorf("%w: choose another name, or remove it first with `invoicer events endpoint remove %s`", err, e.Name)
				}
				return err
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), secret)
			return err
		})
	}
	return cmd
}

func (a app) endpointChangeCommand(change, short, long, done string) *cobra.Command {
	var by ledger.Actor
	var wait time.Duration
	cmd := &cobra.Command{
		Use:     change + " NAME",
		Short:   short,
		Long:    long + "\nIt is on record who did it: see 'invoicer history'.",
		Example: "  invoicer events endpoint " + change + " erp",
		Args:    oneArg("the endpoint's name"),
	}
	addActorFlags(cmd, &by)
	addWaitFlag(cmd, &wait)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := checkActor(cmd, &by.Name); err != nil {
			return exitError{exitUsage, err}
		}
		return a.withOutbox(cmd, wait, func(o *postgres.Outbox) error {
			secret := events.NewSecret()
			switch err := o.Change(cmd.Context(), args[0], change, secret, by); {
			case errors.Is(err, outbox.ErrNoEndpoint) && change == outbox.RotateSecret:
				return fmt.Errorf("there is no endpoint %s whose secret is in the database: `invoicer events endpoint list` shows them; that of a configuration is replaced there", args[0])
			case errors.Is(err, outbox.ErrNoEndpoint):
				return noEndpoint(args[0])
			case err != nil:
				return err
			}
			if change == outbox.RotateSecret {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), secret)
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), done, args[0])
			return err
		})
	}
	return cmd
}

func noEndpoint(name string) error {
	return fmt.Errorf("there is no endpoint %s: `invoicer events endpoint list` shows them", name)
}

func (a app) endpointTestCommand() *cobra.Command {
	var wait time.Duration
	var by ledger.Actor
	cmd := &cobra.Command{
		Use:   "test NAME",
		Short: "Have an endpoint be told a test, and show what came of it",
		Long: `Has a worker post an event of type endpoint.test to an endpoint, whichever types
it wants, and shows what came of the first attempt. The exit code is 1 if it
wasn't taken, or if no worker has posted it in time.`,
		Example: "  invoicer events endpoint test erp",
		Args:    oneArg("the endpoint's name"),
	}
	within := 30 * time.Second
	cmd.Flags().DurationVar(&within, "within", within, "how long to wait for a worker's attempt")
	addActorFlags(cmd, &by)
	addWaitFlag(cmd, &wait)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := checkActor(cmd, &by.Name); err != nil {
			return exitError{exitUsage, err}
		}
		return a.withOutbox(cmd, wait, func(o *postgres.Outbox) error {
			id, err := o.Test(cmd.Context(), args[0], by)
			if errors.Is(err, outbox.ErrNoEndpoint) {
				return noEndpoint(args[0])
			}
			if err != nil {
				return err
			}
			for end := time.Now().Add(within); time.Now().Before(end); {
				told, err := o.Told(cmd.Context(), outbox.ToldFilter{EventID: id, Limit: 1})
				if err != nil {
					return err
				}
				if len(told) == 1 && told[0].State == outbox.Delivered {
					_, err := fmt.Fprintf(cmd.OutOrStdout(), "endpoint %s took it: it answered %d\n", args[0], told[0].Status)
					return err
				}
				if len(told) == 1 && told[0].Error != "" {
					return fmt.Errorf("endpoint %s didn't take it: %s", args[0], told[0].Error)
				}
				select {
				case <-cmd.Context().Done():
					return cmd.Context().Err()
				case <-time.After(100 * time.Millisecond):
				}
			}
			return fmt.Errorf("no worker has posted it within %v: is one running, is the endpoint enabled, and does a worker's configuration have its secret? `invoicer events endpoint list` shows it", within)
		})
	}
	return cmd
}

func secretCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "secret",
		Short:   "Make a secret for events.endpoints, and print it",
		Long:    "Makes a random secret for an endpoint of a configuration. It is kept nowhere.",
		Example: "  invoicer events endpoint secret",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), events.NewSecret())
			return err
		},
	}
}
