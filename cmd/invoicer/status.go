package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
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
	var issuer issuerFlag
	cmd := &cobra.Command{
		Use:     "status ID | --job JOB_ID",
		Short:   "Show what became of a transaction or a job, and why it waits",
		GroupID: groupLook,
		Long: `Shows all that is known of a transaction: why its jobs wait, its invoice or credit note, the duplicate attempts at it, the jobs that
were accepted or have failed, what happened in order of time, and what people did. The exit code is 1 when nothing is known.

ID is a transaction's id, a job's or a task's id, an idempotency key, or an invoice's number. If it is several of these, the
first is shown, and the others are named. Each issuer has ids of its own: of an id that several have, --issuer says whose is meant. A job that was enqueued directly is found by its id while it is in Redis. If Redis
doesn't answer within two seconds, the rest is shown.

There are many tables, so that there is no CSV: --json has everything.

With --job it shows one job instead, also one whose payload names no transaction.`,
		Example: `  invoicer status 536365
  invoicer status INV-000017
  invoicer status C536379 --json | jq -r '.waits[].text'
  invoicer status 536365 --issuer ACME-DE
  invoicer status --job 019e2c66-4f0c-7c1e-b9a2-5d3f0c6f1a77`,
		Args: func(cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("job") {
				return oneArg("the id of a transaction or a job, a key or an invoice's number")(cmd, args)
			}
			if len(args) > 0 {
				return fmt.Errorf("--job %s and the transaction %q don't go together: leave one of them out", jobID, args[0])
			}
			if cmd.Flags().Changed("issuer") {
				return errors.New("--job and --issuer don't go together: a job's id is of one issuer")
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&jobID, "job", "", "show the job of this `id`")
	issuer.add(cmd, "the issuer that has the id")
	cmd.Flags().IntVar(&limit, "limit", 20, "show at most this many duplicate attempts and jobs, the newest")
	addWaitFlag(cmd, &wait)
	addOutputFlags(cmd, asTable, asWide, asJSON)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := checkJobID(cmd, jobID); err != nil {
			return err
		}
		if len(args) > 0 && !isID(args[0]) {
			return usageErrorf("%q is not an id: it must be 1 to 255 bytes of valid UTF-8 without U+0000", args[0])
		}
		if limit < 1 || limit > 1_000_000 {
			return usageErrorf("--limit %d: must be 1 to 1000000", limit)
		}
		cfg, store, err := a.configuredStore(cmd, wait)
		if err != nil {
			return err
		}
		defer store.Close()
		if jobID != "" {
			return jobStatus(cmd, cfg, store, jobID)
		}
		return status(cmd, cfg, store, issuer.orNil(cmd), args[0], limit)
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

// configuredStore returns the configuration of a command, and a store once its database has answered, for which it waits so long.
func (a app) configuredStore(cmd *cobra.Command, wait time.Duration) (*config.Config, *postgres.DB, error) {
	cfg, err := a.loadConfig(cmd)
	if err != nil {
		return nil, nil, err
	}
	store, err := openStore(cmd.Context(), cfg, waiter(cmd, wait))
	return cfg, store, err
}

// waiter returns a waiter for servers that don't answer, which says so on standard error.
func waiter(cmd *cobra.Command, atMost time.Duration) await.Waiter {
	return await.Waiter{AtMost: atMost, Tell: func(message string) { cmd.PrintErrln("invoicer:", message) }}
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
	report, err := store.Reports.LookupJob(cmd.Context(), nil, jobID)
	if err != nil {
		return withoutTables(cfg.Database.Schema, err)
	}
	if wantsJSON(cmd) {
		if err := printJSON(cmd, report); err != nil {
			return err
		}
	} else if report.Known() {
		writeReport(outputOf(cmd), report)
	}
	if !report.Known() {
		return fmt.Errorf("nothing is known of job %s: is it still waiting in a queue (see /monitor/ of a running worker), was it pruned, or is it in another schema than %s?",
			jobID, cfg.Database.Schema)
	}
	return nil
}

// isID reports whether a text may be an id: the ids of direct jobs may have any characters.
func isID(id string) bool {
	const longest = 255
	return id != "" && len(id) <= longest && utf8.ValidString(id) && !strings.ContainsRune(id, 0)
}

func status(cmd *cobra.Command, cfg *config.Config, store *postgres.DB, issuers []string, id string, limit int) error {
	catchLogs(newLogger(cfg.Log, cmd.ErrOrStderr()))
	rdb, err := newRedis(cfg, 0)
	if err != nil {
		return err
	}
	defer rdb.Close()
	reporter, err := newReporter(cfg, store, rdb)
	if err != nil {
		return err
	}
	story, err := reporter.Story(cmd.Context(), issuers, id, limit)
	if err != nil {
		return inBrief(cfg, whichIssuer(err))
	}
	if wantsJSON(cmd) {
		if err := printJSON(cmd, story); err != nil {
			return err
		}
	} else if story.Known() {
		writeStory(outputOf(cmd), story)
	}
	for _, problem := range story.Problems {
		cmd.PrintErrln("invoicer:", problem)
	}
	if story.More {
		cmd.PrintErrf("invoicer: only the newest %d are shown; --limit shows more\n", limit)
	}
	if !story.Known() {
		return fmt.Errorf("nothing is known of %s: was its job pruned, is it a transaction whose job was enqueued directly and waits in a queue, or is it in another schema than %s?",
			term.Clean(id), cfg.Database.Schema)
	}
	return nil
}

// whichIssuer says of an id that several issuers have how to name one of them.
func whichIssuer(err error) error {
	if errors.As(err, new(*report.AmbiguousError)) {
		return exitError{exitUsage, fmt.Errorf("%w: --issuer says whose is meant", err)}
	}
	return err
}

// withoutTables returns the error in one line, or, if the schema's tables are missing, what to do about that.
func withoutTables(schema string, err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == undefinedTable {
		return fmt.Errorf("schema %q is not migrated: run `invoicer migrate up`", schema)
	}
	return await.Briefly("", err)
}

// writeFamily writes what the document credits and replaces, and what credits and replaces it.
func writeFamily(out io.Writer, r *report.Records) {
	columns := []string{"invoice_number", "kind", "transaction_id", "total", "issued_at"}
	for _, of := range []struct {
		title     string
		relatives []report.Relative
	}{
		{"credits", r.Family.Credits}, {"credited by", r.Family.CreditedBy}, {"replaces", r.Family.Replaces}, {"replaced by", r.Family.ReplacedBy},
	} {
		var rows [][]string
		for _, d := range of.relatives {
			kind, total, issuedAt := cmp.Or(d.Kind, "imported"), "-", "-"
			if d.TotalMinor != nil {
				total = invoice.FormatMinor(*d.TotalMinor, d.Currency) + " " + d.Currency
			}
			if d.IssuedAt != nil {
				issuedAt = instant(*d.IssuedAt)
			}
			rows = append(rows, []string{strings.Repeat("  ", d.Depth-1) + d.InvoiceNumber, kind, d.TransactionID, total, issuedAt})
		}
		if len(rows) > 0 {
			section(out, of.title, columns, rows)
		}
	}
	if left := r.Family.LeftMinor; left != nil {
		currency := r.Family.CreditedBy[0].Currency
		if r.Invoice != nil {
			currency = r.Invoice.Currency
		}
		_, _ = fmt.Fprintf(out, "left of it: %s %s\n\n", invoice.FormatMinor(*left, currency), currency)
	}
}

// writeReport writes the records as tables, without the customer's data and without the fingerprint, which only programs compare.
func writeReport(out io.Writer, r *report.Records) {
	if r.Issuer != "" {
		_, _ = fmt.Fprintf(out, "issuer %s\n\n", r.Issuer) // the reader may have closed the pipe
	}
	numbers := make(map[int64]string) // of invoices, by id
	if i := r.Invoice; i != nil {
		numbers[i.ID] = i.InvoiceNumber
		amount := func(minor int64) string { return invoice.FormatMinor(minor, i.Currency) + " " + i.Currency }
		header := []string{"invoice_number", "kind", "total", "tax", "lines", "issued_at", "created_at", "job_id"}
		row := []string{
			i.InvoiceNumber, i.Kind, amount(i.TotalMinor), amount(i.TaxMinor), strconv.Itoa(i.Lines),
			instant(i.IssuedAt), instant(i.CreatedAt), i.JobID,
		}
		if i.PayableMinor != i.TotalMinor {
			header, row = append(header, "payable"), append(row, amount(i.PayableMinor))
		}
		for _, stated := range []struct {
			name  string
			minor *int64
		}{{"withheld", i.WithheldMinor}, {"prepaid", i.PrepaidMinor}, {"rounding", i.RoundingMinor}} {
			if stated.minor != nil {
				header, row = append(header, stated.name), append(row, amount(*stated.minor))
			}
		}
		if i.DocumentDate != nil {
			header, row = append(header, "document_date"), append(row, *i.DocumentDate)
		}
		if i.IdempotencyKey != i.TransactionID {
			header, row = append(header, "idempotency_key"), append(row, i.IdempotencyKey)
		}
		if i.CreditsTransactionID != nil {
			header, row = append(header, "credits_transaction_id"), append(row, *i.CreditsTransactionID)
		}
		if i.Erased {
			header, row = append(header, "personal data"), append(row, "erased")
		}
		section(out, "invoice", header, [][]string{row})
		writeTaxes(out, i)
		writeHandovers(out, r.Handovers)
	} else if r.TransactionID != nil && r.Import() == nil {
		_, _ = fmt.Fprintf(out, "transaction %s has no invoice\n\n", *r.TransactionID) // the reader may have closed the pipe
	}
	imported := writeImports(out, r.Imports)
	writeFamily(out, r)
	if len(r.DuplicateAttempts) > 0 {
		var rows [][]string
		for i := range r.DuplicateAttempts {
			d := &r.DuplicateAttempts[i]
			producer := orDash(d.Producer)
			if other := d.OfAnother(r.Invoice); other != "" {
				producer += " (invoiced: " + other + ")"
			}
			reason := strings.Join(append([]string{d.Reason}, d.Differs...), ", other ")
			if d.Erased {
				reason += ", the invoice was erased"
			}
			rows = append(rows, []string{instant(d.AttemptedAt), reason, producer, d.Worker, d.JobID})
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
			if j.ImportedID != nil {
				number = imported[*j.ImportedID]
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

// writeTaxes writes what the document comes to at each code, category and percentage.
func writeTaxes(out io.Writer, i *report.Invoice) {
	var rows [][]string
	for _, t := range i.Taxes {
		net := invoice.FormatMinor(t.NetMinor, i.Currency)
		if t.AddedMinor != nil {
			net += " + " + invoice.FormatMinor(*t.AddedMinor, i.Currency)
		}
		rows = append(rows, []string{orDash(&t.Code), orDash(&t.Category), t.TaxPercent, net, invoice.FormatMinor(t.TaxMinor, i.Currency)})
	}
	if len(rows) > 0 {
		section(out, "taxes", []string{"code", "category", "tax_percent", "net", "tax"}, rows)
	}
}

// writeImports writes what was imported of a transaction, and returns its numbers by the imports' ids.
func writeImports(out io.Writer, imports []report.Import) map[int64]string {
	numbers := make(map[int64]string)
	var rows [][]string
	for _, i := range imports {
		numbers[i.ID] = i.InvoiceNumber
		amount := func(minor *int64) string {
			if minor == nil || i.Currency == nil {
				return "-"
			}
			return invoice.FormatMinor(*minor, *i.Currency) + " " + *i.Currency
		}
		at := func(t *time.Time) string {
			if t == nil {
				return "-"
			}
			return instant(*t)
		}
		rows = append(rows, []string{
			i.InvoiceNumber, amount(i.TotalMinor), amount(i.CreditedTotalMinor), at(i.IssuedAt), instant(i.ImportedAt), at(i.WithdrawnAt), orDash(i.WithdrawnBy), orDash(i.WithdrawnNote),
		})
	}
	if len(rows) > 0 {
		section(out, "invoiced elsewhere", []string{"invoice_number", "total", "credited", "issued_at", "imported_at", "withdrawn_at", "withdrawn_by", "note"}, rows)
	}
	return numbers
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
