package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"invoicer/internal/report"
	"invoicer/internal/term"
	"invoicer/invoice"
	"invoicer/invoice/ledger"
	"invoicer/invoice/postgres"
)

func (a app) listCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List jobs, invoices or duplicates, by filters",
		GroupID: groupLook,
		Long: `Lists what is on record, the newest first. A record is listed if it matches every flag that is given. The last line says how the list
goes on, with --after.`,
	}
	cmd.AddCommand(a.listJobsCommand(), a.listInvoicesCommand(), a.listDuplicatesCommand())
	return cmd
}

// A listRun is one run of a list.
type listRun struct {
	filter       report.Filter
	since, until string
	after        string
	limit        int
	output       string
	group        string
	wait         time.Duration
}

// Forms of a list, for -o.
const (
	asTable = "table"
	asWide  = "wide"
	asJSON  = "json"
	asCSV   = "csv"
)

func (a app) listing(cmd *cobra.Command, r *listRun, times string, run func(*cobra.Command, *postgres.Reports) error) *cobra.Command {
	cmd.Args = noArgs
	flags := cmd.Flags()
	flags.StringVar(&r.since, "since", "", times+" at this `time` or later: 2026-01-31T12:00:00Z, or 24h or 7d ago")
	flags.StringVar(&r.until, "until", "", times+" at this `time` or earlier, likewise")
	flags.StringVar(&r.after, "after", "", "go on after the `place` that a list has printed")
	flags.IntVar(&r.limit, "limit", 50, "list at most this many")
	flags.StringVarP(&r.output, "output", "o", asTable, "the `form`: table, wide, json or csv")
	addWaitFlag(cmd, &r.wait)
	addJSONFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := r.check(cmd); err != nil {
			return exitError{exitUsage, err}
		}
		cfg, err := a.loadConfig(cmd)
		if err != nil {
			return err
		}
		return withServers(cmd, cfg, r.wait, func(store *postgres.DB, _ redis.UniversalClient) error {
			err := run(cmd, store.Reports)
			if errors.Is(err, report.ErrCursor) {
				return exitError{exitUsage, fmt.Errorf("--after: %w", err)}
			}
			return inBrief(cfg, err)
		})
	}
	return cmd
}

func (r *listRun) check(cmd *cobra.Command) error {
	var problems []error
	if wantsJSON(cmd) {
		r.output = asJSON
	}
	if !slices.Contains([]string{asTable, asWide, asJSON, asCSV}, r.output) {
		problems = append(problems, fmt.Errorf("--output %q: must be table, wide, json or csv", r.output))
	}
	if r.limit < 1 || r.limit > 1_000_000 {
		problems = append(problems, fmt.Errorf("--limit %d: must be 1 to 1000000", r.limit))
	}
	if r.group != "" && r.group != "reason" {
		problems = append(problems, fmt.Errorf("--group %q: must be reason", r.group))
	}
	for _, one := range []struct {
		flag, value string
		allowed     []string
	}{
		{"state", r.filter.State, []string{"accepted", "enqueued", "done", "failed", "dismissed"}},
		{"outcome", r.filter.Outcome, []string{"created", "duplicate", "conflict", "invalid", "failed"}},
	} {
		if cmd.Flags().Changed(one.flag) && !slices.Contains(one.allowed, one.value) {
			problems = append(problems, fmt.Errorf("--%s %q: must be one of %s", one.flag, one.value, strings.Join(one.allowed, ", ")))
		}
	}
	for _, name := range []string{"reason", "queue", "producer", "series"} {
		if flag := cmd.Flags().Lookup(name); flag != nil && flag.Changed && !isID(flag.Value.String()) {
			problems = append(problems, fmt.Errorf("--%s %q: must be 1 to 255 bytes of valid UTF-8", name, flag.Value))
		}
	}
	now := time.Now()
	for _, bound := range []struct {
		flag, text string
		to         *time.Time
	}{{"--since", r.since, &r.filter.Since}, {"--until", r.until, &r.filter.Until}} {
		if bound.text == "" {
			continue
		}
		var err error
		if *bound.to, err = parseMoment(bound.text, now); err != nil {
			problems = append(problems, fmt.Errorf("%s %q: %w", bound.flag, bound.text, err))
		}
	}
	return errors.Join(problems...)
}

func (a app) listJobsCommand() *cobra.Command {
	r := &listRun{}
	cmd := &cobra.Command{
		Use:   "jobs",
		Short: "List the jobs of the ledger",
		Long: `Lists the jobs of the ledger: those that were accepted, and those that have failed whichever way they came. --since and --until are
about when a job was accepted; with --state failed or dismissed about when it ended.

With --group reason it counts failed jobs by cause: reasons that differ in ids and numbers only are one cause. 'invoicer replay' and
'invoicer dismiss' take the same filters.`,
		Example: `  invoicer list jobs --state failed --since 10m
  invoicer list jobs --group reason --since 24h
  invoicer list jobs --producer checkout --limit 1000 -o csv > jobs.csv`,
	}
	f := &r.filter
	cmd.Flags().StringVar(&f.State, "state", "", "jobs in this `state`: accepted, enqueued, done, failed or dismissed")
	cmd.Flags().StringVar(&f.Outcome, "outcome", "", "jobs with this `outcome`: created, duplicate, conflict, invalid or failed")
	cmd.Flags().StringVar(&f.Reason, "reason", "", "jobs whose reason contains this `text`, in upper or lower case")
	cmd.Flags().StringVar(&f.Queue, "queue", "", "jobs of the queue of this `name`")
	cmd.Flags().StringVar(&f.Producer, "producer", "", "jobs of the producer of this `name`")
	cmd.Flags().StringVar(&r.group, "group", "", "count failed jobs by this `field`: reason")
	return a.listing(cmd, r, "accepted, or for failed jobs ended,", func(cmd *cobra.Command, reports *postgres.Reports) error {
		if r.group != "" {
			return r.causes(cmd, reports)
		}
		return printList(cmd, r, reports.Jobs, []string{"accepted_at", "updated_at", "state", "outcome", "producer", "queue", "attempts", "transaction_id", "job_id", "reason"},
			func(j report.ListedJob) []string {
				return []string{
					instant(j.AcceptedAt), instant(j.UpdatedAt), j.State, orDash(j.Outcome), orDash(j.Producer), j.Queue, strconv.Itoa(j.Attempts),
					orDash(j.TransactionID), j.JobID, orDash(j.Reason),
				}
			})
	})
}

// How many of the latest failed jobs are grouped by cause, and how many causes are listed.
const (
	lookedAtForCauses = 50_000
	mostCauses        = 200
)

func (r *listRun) causes(cmd *cobra.Command, reports *postgres.Reports) error {
	if r.filter.State != "" && r.filter.State != "failed" {
		return usageErrorf("--group reason counts failed jobs: leave --state out")
	}
	f := ledger.FailedFilter{Reason: r.filter.Reason, Queue: r.filter.Queue, Producer: r.filter.Producer, Since: r.filter.Since, Until: r.filter.Until}
	if r.filter.Outcome != "" {
		f.Outcomes = []invoice.Outcome{invoice.Outcome(r.filter.Outcome)}
	}
	found, err := reports.Causes(cmd.Context(), f, lookedAtForCauses, mostCauses)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, c := range found.Causes {
		rows = append(rows, []string{strconv.FormatInt(c.Jobs, 10), c.Outcome, instant(c.FirstAt), instant(c.LastAt), c.JobID, c.Reason})
	}
	if err := r.write(cmd, found, []string{"jobs", "outcome", "first_at", "last_at", "job_id", "reason"}, rows); err != nil {
		return err
	}
	if found.AtLeast {
		cmd.PrintErrln("invoicer: there are more failed jobs than were counted: these are the latest 50,000; --until goes further back")
	}
	return nil
}

func (a app) listInvoicesCommand() *cobra.Command {
	r := &listRun{}
	cmd := &cobra.Command{
		Use:   "invoices",
		Short: "List the invoices and credit notes",
		Long:  `Lists the invoices and credit notes, without the customers' data. --since and --until are about when they were made.`,
		Example: `  invoicer list invoices --series INV --since 24h
  invoicer list invoices --limit 100000 -o csv > invoices.csv`,
	}
	cmd.Flags().StringVar(&r.filter.Series, "series", "", "invoices of the series of this `name`")
	return a.listing(cmd, r, "made", func(cmd *cobra.Command, reports *postgres.Reports) error {
		return printList(cmd, r, reports.Invoices, []string{"created_at", "invoice_number", "kind", "total", "currency", "transaction_id", "issued_at", "lines", "job_id"},
			func(i report.Invoice) []string {
				return []string{
					instant(i.CreatedAt), i.InvoiceNumber, i.Kind, invoice.FormatMinor(i.TotalMinor, i.Currency), i.Currency, i.TransactionID,
					instant(i.IssuedAt), strconv.Itoa(i.Lines), i.JobID,
				}
			})
	})
}

func (a app) listDuplicatesCommand() *cobra.Command {
	r := &listRun{}
	cmd := &cobra.Command{
		Use:   "duplicates",
		Short: "List the recorded duplicates, with the invoice of each",
		Long: `Lists the jobs that were duplicates, with the invoice of each and the job that made it. --since and --until are about when they were
recorded.`,
		Example: `  invoicer list duplicates --since 1h
  invoicer list duplicates --producer nightly-cron --reason lost_race`,
	}
	cmd.Flags().StringVar(&r.filter.Producer, "producer", "", "duplicates of the producer of this `name`")
	cmd.Flags().StringVar(&r.filter.Reason, "reason", "", "duplicates with this `reason`: lost_race or already_invoiced")
	return a.listing(cmd, r, "recorded", func(cmd *cobra.Command, reports *postgres.Reports) error {
		return printList(cmd, r, reports.Duplicates, []string{"attempted_at", "reason", "producer", "transaction_id", "invoice_number", "worker", "job_id", "winner_job_id"},
			func(d report.ListedDuplicate) []string {
				return []string{instant(d.AttemptedAt), d.Reason, orDash(d.Producer), d.TransactionID, d.InvoiceNumber, d.Worker, d.JobID, d.WinnerJobID}
			})
	})
}

// pageRows is how many rows are read at once.
const pageRows = 1000

// printList reads pages until it has the limit, and prints the rows.
func printList[T any](
	cmd *cobra.Command, r *listRun, read func(context.Context, report.Filter, string, int) (report.Page[T], error), header []string, cells func(T) []string,
) error {
	all := report.Page[T]{Rows: []T{}, Next: r.after}
	for first := true; first || all.Next != "" && len(all.Rows) < r.limit; first = false {
		page, err := read(cmd.Context(), r.filter, all.Next, min(pageRows, r.limit-len(all.Rows)))
		if err != nil {
			return err
		}
		all.Rows, all.Next = append(all.Rows, page.Rows...), page.Next
	}
	rows := make([][]string, len(all.Rows))
	for i, row := range all.Rows {
		rows[i] = cells(row)
	}
	if err := r.write(cmd, all, header, rows); err != nil {
		return err
	}
	if all.Next != "" && r.output != asJSON {
		cmd.PrintErrf("invoicer: the list goes on: --after %s\n", all.Next)
	}
	return nil
}

// write writes rows, or as JSON what they are of.
func (r *listRun) write(cmd *cobra.Command, of any, header []string, rows [][]string) error {
	out := cmd.OutOrStdout()
	switch r.output {
	case asJSON:
		return printJSON(cmd, of)
	case asCSV:
		w := csv.NewWriter(out)
		_ = w.Write(header) // Flush's error is the first
		for _, row := range rows {
			_ = w.Write(forSheets(row))
		}
		w.Flush()
		return w.Error()
	case asWide:
		term.WriteWideTable(out, header, rows)
	default:
		term.WriteTable(out, header, rows)
	}
	return nil
}

// forSheets returns cells that no spreadsheet takes for formulas, which a text of a producer's could be.
func forSheets(row []string) []string {
	safe := make([]string, len(row))
	for i, cell := range term.Printable([][]string{row})[0] {
		if _, err := strconv.ParseFloat(cell, 64); err != nil && cell != "-" && strings.ContainsAny(cell[:min(1, len(cell))], "=+-@") {
			cell = "'" + cell
		}
		safe[i] = cell
	}
	return safe
}
