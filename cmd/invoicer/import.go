package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"invoicer/config"
	"invoicer/internal/past"
	"invoicer/internal/report"
	"invoicer/internal/term"
	"invoicer/invoice"
	"invoicer/invoice/ledger"
	"invoicer/invoice/postgres"
)

// An importRun is one run of `invoicer import`.
type importRun struct {
	issuer   issuerFlag
	withdraw bool
	dryRun   bool
	by       ledger.Actor
	wait     time.Duration
}

func (a app) importCommand() *cobra.Command {
	var r importRun
	cmd := &cobra.Command{
		Use:     "import FILE|-",
		Short:   "Take over transactions that were invoiced elsewhere, so that they aren't again",
		GroupID: groupSetup,
		Long: `Takes over transactions that were invoiced elsewhere, such as by the system before this one. From then on a job for one of them
makes no invoice: it is a duplicate that names the old number, or a conflict if the old invoice is known to have another total or
another currency.

The input is JSON Lines, or CSV with a header; compressed by gzip or not; from a file or, with -, from standard input. Its fields:

  transaction_id   as the jobs state it; required
  invoice_number   as it was printed; required
  idempotency_key  if the jobs state another than the transaction_id
  currency, total  an ISO 4217 code, and an amount such as 12.50
  credited_total   what was credited of it
  issued_at        a date such as 2010-12-01, or a time with a zone
  issuer           the code of the issuer, if it has one; --issuer states it for
                   the lines that name none

Several transactions may have the same invoice_number. A file of any size takes little memory. A bad line is reported with its
number and fields and isn't imported; the other lines are, and the exit code is 1. So is a line whose transaction, key or number is
already that of an invoice in this database, or that differs from what was imported before. After an interruption, import the same
file again: what is imported is counted as known, and nothing is changed. Workers may run meanwhile.

--dry-run checks each line and compares it with the database, and writes nothing. It compares lines with each other only if they are
near each other.

What was imported is never changed. --withdraw takes imports back, by the ids of their transactions: from then on their jobs are
invoiced, or a corrected line can be imported. If several issuers have imported an id,
--issuer says which is meant. Jobs that have ended as duplicates of such an import stay so. What was withdrawn stays on record, with
who did it: see 'invoicer status' and 'invoicer history'.`,
		Example: `  invoicer import invoiced-until-2025.csv.gz --dry-run
  invoicer import invoiced-until-2025.csv.gz --note 'moved in'
  psql old -c "COPY (SELECT …) TO STDOUT WITH (FORMAT csv, HEADER)" |
    invoicer import -
  invoicer import old-shop.csv --issuer ACME-DE
  invoicer import --withdraw 536365 --note 'it was a quote'`,
		Args: func(cmd *cobra.Command, args []string) error {
			if r.withdraw {
				if len(args) == 0 {
					return errors.New("--withdraw: name the transactions whose imports are to be taken back")
				}
				return nil
			}
			return oneArg("the file, or - for standard input")(cmd, args)
		},
	}
	cmd.Flags().BoolVar(&r.withdraw, "withdraw", false, "take back what was imported of the transactions with these ids")
	cmd.Flags().BoolVar(&r.dryRun, "dry-run", false, "check the lines and compare them with the database, and write nothing")
	r.issuer.add(cmd, "of the lines that name none, or whose imports are to be taken back")
	addActorFlags(cmd, &r.by)
	addWaitFlag(cmd, &r.wait)
	addJSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var problems []error
		if err := checkActor(cmd, &r.by.Name); err != nil {
			problems = append(problems, err)
		}
		if r.withdraw && r.dryRun {
			problems = append(problems, errors.New("--withdraw and --dry-run don't go together: leave out either"))
		}
		if r.withdraw {
			for _, id := range args {
				problems = append(problems, checkTransactionID(id))
			}
		}
		if err := errors.Join(problems...); err != nil {
			return exitError{exitUsage, err}
		}
		if r.withdraw {
			return r.takeBack(cmd, a, args)
		}
		return r.run(cmd, a, args[0])
	}
	return cmd
}

func (r *importRun) run(cmd *cobra.Command, a app, file string) error {
	input, size, err := (&enqueueRun{file: file}).open(cmd.InOrStdin())
	if err != nil {
		return err
	}
	defer input.Close()
	cfg, store, err := a.configuredStore(cmd, r.wait)
	if err != nil {
		return err
	}
	defer store.Close()
	if err := r.opened(cmd, cfg, store); err != nil {
		return err
	}
	if !r.dryRun {
		subject := "standard input"
		if file != "-" {
			subject = filepath.Base(file)
		}
		if err := store.Ledger.RecordAction(cmd.Context(), "import", subject, "", r.by); err != nil {
			return withoutTables(cfg.Database.Schema, err)
		}
	}

	progress := term.NewProgress(cmd.ErrOrStderr(), size, "importing", "transactions done")
	defer progress.Stop(false)
	ctx, stop := untilSignal(cmd.Context(), func() { progress.Say("stopping") })
	defer stop()
	w := waiter(cmd, r.wait)
	w.Tell = progress.Say
	i := &past.Importer{
		Add: func(ctx context.Context, batch []invoice.Import) ([]invoice.Addition, error) {
			return store.Imports.Add(ctx, batch, r.dryRun)
		},
		Issuer: r.issuer.code, Server: "postgres at " + cfg.Database.Addr(), Waiter: w, Progress: progress,
	}
	begun := time.Now()
	runErr := i.Run(ctx, progress.Counting(input))
	progress.Stop(runErr == nil)
	if errors.Is(runErr, errSignal) {
		runErr = errors.New("stopped by a signal")
	} else if runErr != nil {
		runErr = withoutTables(cfg.Database.Schema, runErr)
	}
	return r.print(cmd, i, time.Since(begun), runErr)
}

// An importSummary is the result that --json prints.
type importSummary struct {
	Lines    int     `json:"lines"`    // good and bad ones that are done, without blank ones and the header
	Imported int     `json:"imported"` // in a dry run: would be
	Known    int     `json:"known"`    // imported before
	Bad      int     `json:"bad"`
	DryRun   bool    `json:"dry_run"`
	Complete bool    `json:"complete"` // the input's end was reached
	Seconds  float64 `json:"seconds"`
}

func (r *importRun) print(cmd *cobra.Command, i *past.Importer, took time.Duration, runErr error) error {
	var problems []error
	if runErr != nil {
		problems = append(problems, runErr)
		if i.Done > 0 {
			problems = append(problems, fmt.Errorf("every good line up to line %d is done: import the same input again to go on; what is imported is counted as known", i.Done))
		}
	}
	if i.Bad > 0 {
		problems = append(problems, fmt.Errorf("%s bad %s left out; correct and import them",
			term.Thousands(i.Bad), plural(i.Bad, "line was", "lines were")))
	}
	if wantsJSON(cmd) {
		if err := printJSON(cmd, importSummary{
			Lines: i.Lines, Imported: i.Imported, Known: i.Known, Bad: i.Bad, DryRun: r.dryRun, Complete: runErr == nil, Seconds: took.Seconds(),
		}); err != nil {
			return err
		}
	} else if runErr == nil || i.Lines > 0 {
		what := "imported"
		if r.dryRun {
			what = "would be imported"
		}
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s of %s %s %s, %s known already, in %.1f s, %s lines a second\n",
			term.Thousands(i.Imported), term.Thousands(i.Lines), plural(i.Lines, "line", "lines"), what, term.Thousands(i.Known),
			took.Seconds(), term.Thousands(int(float64(i.Lines)/max(took.Seconds(), 0.001))))
		if err != nil {
			return err
		}
	}
	return errors.Join(problems...)
}

// opened returns an error if the issuer that the command names wasn't opened: else every line would be bad.
func (r *importRun) opened(cmd *cobra.Command, cfg *config.Config, store *postgres.DB) error {
	if r.issuer.code == "" {
		return nil
	}
	versions, err := store.Issuers.History(cmd.Context(), r.issuer.code)
	if err != nil {
		return withoutTables(cfg.Database.Schema, err)
	}
	if len(versions) == 0 {
		return noIssuer(r.issuer.code)
	}
	return nil
}

// takeBack withdraws the imports of transactions. It goes on after one that isn't imported.
func (r *importRun) takeBack(cmd *cobra.Command, a app, ids []string) error {
	cfg, store, err := a.configuredStore(cmd, r.wait)
	if err != nil {
		return err
	}
	defer store.Close()
	if err := r.opened(cmd, cfg, store); err != nil {
		return err
	}
	done := []postgres.Withdrawal{}
	var problems []error
	for _, id := range ids {
		w, err := store.Imports.Withdraw(cmd.Context(), r.issuer.orAll(cmd), id, r.by)
		if errors.As(err, new(*report.AmbiguousError)) {
			problems = append(problems, whichIssuer(err))
			continue
		}
		if errors.Is(err, postgres.ErrNotImported) {
			problems = append(problems, fmt.Errorf("transaction %s%s isn't imported, or its import was withdrawn already: `invoicer status %[1]s` shows it", id, r.issuer.of()))
			continue
		}
		if err != nil {
			problems = append(problems, withoutTables(cfg.Database.Schema, err))
			break
		}
		done = append(done, w)
	}
	if wantsJSON(cmd) {
		if err := printJSON(cmd, done); err != nil {
			return err
		}
		return errors.Join(problems...)
	}
	for _, w := range done {
		text := fmt.Sprintf("the import of transaction %s%s, as %s, is withdrawn", w.TransactionID, (&issuerFlag{w.Issuer}).of(), term.Clean(w.InvoiceNumber))
		if w.Duplicates > 0 {
			text += fmt.Sprintf("; %d %s ended as duplicates of it: send the transaction again if it is to be invoiced",
				w.Duplicates, plural(w.Duplicates, "job has", "jobs have"))
		}
		if _, err := fmt.Fprintln(cmd.OutOrStdout(), text); err != nil {
			return err
		}
	}
	return errors.Join(problems...)
}
