package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"invoicer/config"
	"invoicer/internal/inquiry"
	"invoicer/internal/report"
	"invoicer/internal/term"
	"invoicer/invoice"
	"invoicer/invoice/ledger"
)

func (a app) lockCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "lock",
		Short:   "Show who works on a transaction, or free its lock",
		GroupID: groupMend,
		Long: `While a job works on a transaction it has the transaction's lock in Redis, so that others don't do the same work at the same time.
A lock expires by itself (lock.ttl).`,
	}
	cmd.AddCommand(a.lockShowCommand(), a.lockFreeCommand())
	return cmd
}

func (a app) lockShowCommand() *cobra.Command {
	var wait time.Duration
	var issuer issuerFlag
	cmd := &cobra.Command{
		Use:     "show TRANSACTION_ID",
		Short:   "Show which job of which worker has a transaction's lock, and for how long",
		Long:    `Shows which job of which worker has a transaction's lock, and for how long yet. The exit code is 1 if nobody has it.`,
		Example: "  invoicer lock show 536365\n  invoicer lock show 536365 --json",
		Args:    oneArg("the transaction's id"),
	}
	issuer.add(cmd, "the issuer whose transaction it is")
	addWaitFlag(cmd, &wait)
	addTableFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := checkTransactionID(args[0]); err != nil {
			return err
		}
		return a.control(cmd, wait, nil, func(_ *config.Config, c inquiry.Controller) error {
			lock, err := seeLock(cmd.Context(), c, issuer.orAll(cmd), args[0])
			if err != nil {
				return err
			}
			return printAnswer(cmd, lock, func() sheet { return lockSheet(lock) }, func(out io.Writer) {
				term.WriteWrapped(out, term.Width(out), "", lockText(lock))
			})
		})
	}
	return cmd
}

func checkTransactionID(id string) error {
	if message := problemOf(&invoice.Job{TransactionID: id}, "transaction_id"); message != "" {
		return usageErrorf("%q is not a transaction id: it %s", id, message)
	}
	return nil
}

func seeLock(ctx context.Context, c inquiry.Controller, issuer *string, transactionID string) (report.Lock, error) {
	lock, err := c.Lock(ctx, issuer, transactionID)
	if errors.Is(err, report.ErrNotHeld) {
		err = fmt.Errorf("nobody has the lock of transaction %s", transactionID)
	}
	return lock, whichIssuer(err)
}

func lockText(l report.Lock) string {
	who := "somebody else than a worker"
	if l.JobID != "" {
		who = fmt.Sprintf("job %s on worker %s", l.JobID, l.Worker)
	}
	long := "without an expiry: the next attempt at it gives it one"
	if l.Expires {
		long = "for " + time.Until(l.Until).Round(100*time.Millisecond).String() + " more"
	}
	of := ""
	if l.Issuer != "" {
		of = " of issuer " + l.Issuer
	}
	return term.Clean(fmt.Sprintf("transaction %s%s is locked by %s, %s", l.TransactionID, of, who, long))
}

func lockSheet(l report.Lock) sheet {
	return sheet{
		[]string{"transaction_id", "job_id", "worker", "expires", "until", "issuer"},
		[][]string{{l.TransactionID, l.JobID, l.Worker, strconv.FormatBool(l.Expires), instantOrNone(&l.Until), l.Issuer}},
	}
}

func (a app) lockFreeCommand() *cobra.Command {
	var wait time.Duration
	var by ledger.Actor
	var yes bool
	var issuer issuerFlag
	cmd := &cobra.Command{
		Use:   "free TRANSACTION_ID",
		Short: "Free a transaction's lock, whose job is gone",
		Long: `Frees the lock of a transaction, so that the next attempt needn't wait until it expires. That is of use only if its worker is gone. If
the job still works, two may work on the transaction at once; the database then refuses the second invoice, as always, and its
job becomes a duplicate. It is on record who did it: see 'invoicer history'.

At a terminal the command asks first. Elsewhere it needs --yes.`,
		Example: "  invoicer lock free 536365 --yes --note 'its host is gone'",
		Args:    oneArg("the transaction's id"),
	}
	issuer.add(cmd, "the issuer whose transaction it is")
	cmd.Flags().BoolVar(&yes, "yes", false, "don't ask")
	addActorFlags(cmd, &by)
	addWaitFlag(cmd, &wait)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := checkTransactionID(args[0]); err != nil {
			return err
		}
		return a.control(cmd, wait, &by, func(_ *config.Config, c inquiry.Controller) error {
			lock, err := seeLock(cmd.Context(), c, issuer.orAll(cmd), args[0])
			if err != nil {
				return err
			}
			if err := confirmed(cmd, yes, lockText(lock), "Free it?", "the lock was not freed"); err != nil {
				return err
			}
			if err := c.Free(cmd.Context(), lock, by); errors.Is(err, report.ErrNotHeld) {
				return fmt.Errorf("nothing was freed: by now nobody, or somebody else, has the lock of transaction %s", args[0])
			} else if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "the lock of transaction %s is free\n", args[0])
			return err
		})
	}
	return cmd
}

// confirmed returns nil if yes is given, or if somebody at a terminal answers the question with yes.
func confirmed(cmd *cobra.Command, yes bool, facts, question, otherwise string) error {
	if yes {
		return nil
	}
	if !term.IsTerminal(cmd.ErrOrStderr()) || !term.IsTerminal(cmd.InOrStdin()) {
		return usageErrorf("%s\n%s: give --yes to do it without a question", facts, otherwise)
	}
	cmd.PrintErrf("invoicer: %s\n%s [y/N] ", facts, question)
	answer, _ := bufio.NewReader(cmd.InOrStdin()).ReadString('\n') // no answer means no
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
		return errors.New(otherwise)
	}
	return nil
}
