package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/spf13/cobra"

	"invoicer/config"
	"invoicer/internal/await"
	"invoicer/internal/report"
	"invoicer/internal/term"
	"invoicer/invoice"
	"invoicer/invoice/postgres"
)

func (a app) statusCommand() *cobra.Command {
	var wait time.Duration
	var limit int
	var jobID string
	cmd := &cobra.Command{
		Use:     "status TRANSACTION_ID | --job JOB_ID",
		Short:   "Show what became of a transaction: its invoice, duplicate attempts and jobs",
		GroupID: groupLook,
		Long: `Shows everything on record about a transaction: its invoice or credit note, the duplicate attempts at it, the jobs that
were accepted or have failed, and the actions on them. The exit code is 1 when nothing is on record.

With --job it shows one job instead, also one whose payload names no transaction.`,
		Example: `  invoicer status 536365
  invoicer status C536379 --json | jq -r .invoice.invoice_number
  invoicer status --job 019e2c66-4f0c-7c1e-b9a2-5d3f0c6f1a77`,
		Args: func(cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("job") {
				return oneArg("the transaction's id")(cmd, args)
			}
			if len(args) > 0 {
				return fmt.Errorf("--job %s and the transaction %q don't go together: leave one of them out", jobID, args[0])
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&jobID, "job", "", "show the job of this `id`")
	cmd.Flags().IntVar(&limit, "limit", 20, "show at most this many duplicate attempts and jobs, the newest")
	addWaitFlag(cmd, &wait)
	addJSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := checkJobID(cmd, jobID); err != nil {
			return err
		}
		if len(args) > 0 {
			if message := problemOf(&invoice.Job{TransactionID: args[0]}, "transaction_id"); message != "" {
				return usageErrorf("%q is not a transaction id: it %s", args[0], message)
			}
		}
		if limit < 1 || limit > 1_000_000 {
			return usageErrorf("--limit %d: must be 1 to 1000000", limit)
		}
		cfg, err := a.loadConfig(cmd)
		if err != nil {
			return err
		}
		store, err := openStore(cmd.Context(), cfg, await.Waiter{AtMost: wait, Tell: func(message string) { cmd.PrintErrln("invoicer:", message) }})
		if err != nil {
			return err
		}
		defer store.Close()
		if jobID != "" {
			return jobStatus(cmd, cfg, store, jobID)
		}
		return status(cmd, cfg, store, args[0], limit)
	}
	return cmd
}

// checkJobID returns an error if --job is given and isn't a possible job id.
func checkJobID(cmd *cobra.Command, id string) error {
	if cmd.Flags().Changed("job") && (id == "" || !utf8.ValidString(id)) {
		return usageErrorf("--job %q: is not a job id", id)
	}
	return nil
}

// openStore returns a store, once its database has answered.
func openStore(ctx context.Context, cfg *config.Config, w await.Waiter) (*postgres.DB, error) {
	store, err := newStore(cfg)
	if err != nil {
		return nil, err
	}
	if err := w.Answer(ctx, "postgres at "+cfg.Database.Addr(), store.Ping); err != nil {
		_ = store.Close() // the store hasn't been used
		return nil, err
	}
	return store, nil
}

func jobStatus(cmd *cobra.Command, cfg *config.Config, store *postgres.DB, jobID string) error {
	report, err := store.Reports.LookupJob(cmd.Context(), jobID)
	if err != nil {
		return withoutTables(cfg.Database.Schema, err)
	}
	if wantsJSON(cmd) {
		if err := printJSON(cmd, report); err != nil {
			return err
		}
	} else if report.Known() {
		writeReport(cmd.OutOrStdout(), report)
	}
	if !report.Known() {
		return fmt.Errorf("nothing is known of job %s: is it still waiting in a queue (see /monitor/ of a running worker), was it pruned, or is it in another schema than %s?",
			jobID, cfg.Database.Schema)
	}
	return nil
}

func status(cmd *cobra.Command, cfg *config.Config, store *postgres.DB, transactionID string, limit int) error {
	// One row more than is shown, to know whether there are more.
	report, err := store.Reports.Lookup(cmd.Context(), transactionID, limit+1)
	if err != nil {
		return withoutTables(cfg.Database.Schema, err)
	}
	more := len(report.DuplicateAttempts) > limit || len(report.Jobs) > limit
	report.DuplicateAttempts = report.DuplicateAttempts[:min(len(report.DuplicateAttempts), limit)]
	report.Jobs = report.Jobs[:min(len(report.Jobs), limit)]

	out := cmd.OutOrStdout()
	if wantsJSON(cmd) {
		if err := printJSON(cmd, report); err != nil {
			return err
		}
	} else if report.Known() {
		writeReport(out, report)
	}
	if more {
		cmd.PrintErrf("invoicer: only the newest %d are shown; --limit shows more\n", limit)
	}
	if !report.Known() {
		return fmt.Errorf("nothing is known of transaction %s: is its job still waiting in a queue (see /monitor/ of a running worker), or in another schema than %s?",
			transactionID, cfg.Database.Schema)
	}
	return nil
}

// withoutTables returns the error in one line, or, if the schema's tables are missing, what to do about that.
func withoutTables(schema string, err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "42P01" {
		return fmt.Errorf("schema %q is not migrated: run `invoicer migrate up`", schema)
	}
	return await.Briefly("", err)
}

// writeReport writes the records as tables, without the customer's data and without the fingerprint, which only programs compare.
func writeReport(out io.Writer, r *report.Records) {
	numbers := make(map[int64]string) // of invoices, by id
	if i := r.Invoice; i != nil {
		numbers[i.ID] = i.InvoiceNumber
		amount := func(minor int64) string { return invoice.FormatMinor(minor, i.Currency) + " " + i.Currency }
		header := []string{"invoice_number", "kind", "total", "tax", "lines", "issued_at", "created_at", "job_id"}
		row := []string{
			i.InvoiceNumber, i.Kind, amount(i.TotalMinor), amount(i.TaxMinor), strconv.Itoa(i.Lines),
			instant(i.IssuedAt), instant(i.CreatedAt), i.JobID,
		}
		if i.IdempotencyKey != i.TransactionID {
			header, row = append(header, "idempotency_key"), append(row, i.IdempotencyKey)
		}
		if i.CreditsTransactionID != nil {
			header, row = append(header, "credits_transaction_id"), append(row, *i.CreditsTransactionID)
		}
		section(out, "invoice", header, [][]string{row})
	} else if r.TransactionID != nil {
		_, _ = fmt.Fprintf(out, "transaction %s has no invoice\n\n", *r.TransactionID) // the reader may have closed the pipe
	}
	if len(r.DuplicateAttempts) > 0 {
		var rows [][]string
		for _, d := range r.DuplicateAttempts {
			rows = append(rows, []string{instant(d.AttemptedAt), d.Reason, orDash(d.Producer), d.Worker, d.JobID})
		}
		section(out, "duplicate attempts", []string{"attempted_at", "reason", "producer", "worker", "job_id"}, rows)
	}
	var actions [][]string
	if len(r.Jobs) > 0 {
		var rows [][]string
		for _, j := range r.Jobs {
			number := "-"
			if j.InvoiceID != nil {
				number = strconv.FormatInt(*j.InvoiceID, 10)
				if n, ok := numbers[*j.InvoiceID]; ok {
					number = n
				}
			}
			reason := orDash(j.Reason)
			if j.InvoicedSince != nil {
				reason += "; invoiced since as " + *j.InvoicedSince
			}
			rows = append(rows, []string{
				instant(j.UpdatedAt), j.State, orDash(j.Outcome), number, strconv.Itoa(j.Attempts), j.Queue, orDash(j.Producer), j.JobID, reason,
			})
			for _, a := range j.Actions {
				actions = append(actions, []string{instant(a.ActedAt), a.Action, a.Actor, a.Outcome, a.JobID, orDash(a.Note)})
			}
		}
		section(out, "jobs", []string{"updated_at", "state", "outcome", "invoice", "attempts", "queue", "producer", "job_id", "reason"}, rows)
	}
	if len(actions) > 0 {
		section(out, "replays, dismissals and restorations", []string{"acted_at", "action", "actor", "after", "job_id", "note"}, actions)
	}
}

// section writes a table under a title, with a blank line after it.
func section(out io.Writer, title string, header []string, rows [][]string) {
	_, _ = fmt.Fprintf(out, "%s\n", title)
	term.WriteTable(out, header, rows)
	_, _ = fmt.Fprintln(out)
}

func instant(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.000Z") }

func orDash(s *string) string {
	if s == nil || *s == "" {
		return "-"
	}
	return *s
}
