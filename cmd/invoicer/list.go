package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"invoicer/internal/report"
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
goes on, with --after. It also stops there after 100,000 records of which none matches.

With --group the records are counted by a field: how many, the oldest, the newest, and one as an example. It looks at the latest 50,000
or so; --since and --until say which.`,
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
	group        string
	groups       []string // what --group may be
	issuer       issuerFlag
	wait         time.Duration
}

func (a app) listing(cmd *cobra.Command, r *listRun, times string, run func(*cobra.Command, *postgres.Reports) error) *cobra.Command {
	cmd.Args = noArgs
	flags := cmd.Flags()
	flags.StringVar(&r.since, "since", "", times+" at this `time` or later: 2026-01-31T12:00:00Z, or 24h or 7d ago")
	flags.StringVar(&r.until, "until", "", times+" at this `time` or earlier, likewise")
	flags.StringVar(&r.after, "after", "", "go on after the `place` that a list has printed")
	flags.IntVar(&r.limit, "limit", 50, "list at most this many")
	r.issuer.add(cmd, "those of this issuer, '' for the one without a name")
	flags.StringVar(&r.group, "group", "", "count by this `field`: "+oneOf(r.groups))
	addWaitFlag(cmd, &r.wait)
	addTableFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := r.check(cmd); err != nil {
			return exitError{exitUsage, err}
		}
		cfg, err := a.loadConfig(cmd)
		if err != nil {
			return err
		}
		r.filter.DefaultSeries, r.filter.Issuer = cfg.Numbering.InvoiceSeries, r.issuer.orAll(cmd)
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
	if r.limit < 1 || r.limit > 1_000_000 {
		problems = append(problems, fmt.Errorf("--limit %d: must be 1 to 1000000", r.limit))
	}
	for _, alone := range []string{"after", "limit"} {
		if cmd.Flags().Changed("group") && cmd.Flags().Changed(alone) {
			problems = append(problems, fmt.Errorf("--group and --%s don't go together: groups have no pages", alone))
		}
	}
	for _, one := range []struct {
		flag, value string
		allowed     []string
	}{
		{"state", r.filter.State, []string{"accepted", "enqueued", "done", "failed", "dismissed"}},
		{"outcome", r.filter.Outcome, []string{"created", "duplicate", "conflict", "invalid", "failed"}},
		{"group", r.group, r.groups},
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

// oneOf lists words as a text does: a, b or c.
func oneOf(words []string) string {
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

func (a app) listJobsCommand() *cobra.Command {
	r := &listRun{groups: []string{"reason", "producer", "queue", "series", "issuer", "state", "outcome"}}
	cmd := &cobra.Command{
		Use:   "jobs",
		Short: "List the jobs of the ledger",
		Long: `Lists the jobs of the ledger: those that were accepted, and those that have failed whichever way they came. --since and --until are
about when a job was accepted; with --state failed or dismissed about when it ended.

With --group reason it counts failed jobs by cause: reasons that differ in ids and numbers only are one cause. With another field it
counts all jobs that match. 'invoicer replay' and 'invoicer dismiss' take the same filters.`,
		Example: `  invoicer list jobs --state failed --since 10m
  invoicer list jobs --group reason --since 24h
  invoicer list jobs --group producer --state failed
  invoicer list jobs --producer checkout --limit 1000 -o csv > jobs.csv`,
	}
	f := &r.filter
	cmd.Flags().StringVar(&f.State, "state", "", "jobs in this `state`: accepted, enqueued, done, failed or dismissed")
	cmd.Flags().StringVar(&f.Outcome, "outcome", "", "jobs with this `outcome`: created, duplicate, conflict, invalid or failed")
	cmd.Flags().StringVar(&f.Reason, "reason", "", "jobs whose reason contains this `text`, in upper or lower case")
	cmd.Flags().StringVar(&f.Queue, "queue", "", "jobs of the queue of this `name`")
	cmd.Flags().StringVar(&f.Producer, "producer", "", "jobs of the producer of this `name`")
	cmd.Flags().StringVar(&f.Series, "series", "", seriesUsage)
	return a.listing(cmd, r, "accepted, or for failed jobs ended,", func(cmd *cobra.Command, reports *postgres.Reports) error {
		switch r.group {
		case "":
		case "reason":
			return r.causes(cmd, reports)
		default:
			return r.printGroups(cmd, reports.JobGroups, "jobs", "job_id")
		}
		printed, err := printList(cmd, r, reports.Jobs, []string{"accepted_at", "updated_at", "state", "outcome", "producer", "queue", "attempts", "transaction_id", "job_id", "reason"},
			func(j report.ListedJob) string { return j.Issuer }, func(j report.ListedJob) []string {
				return []string{
					instant(j.AcceptedAt), instant(j.UpdatedAt), j.State, orDash(j.Outcome), orDash(j.Producer), j.Queue, strconv.Itoa(j.Attempts),
					orDash(j.TransactionID), j.JobID, orDash(j.Reason),
				}
			})
		if err != nil || printed > 0 || r.after != "" {
			return err
		}
		return r.otherOutcomes(cmd, reports)
	})
}

// otherOutcomes says that failed jobs have other outcomes than the one that was asked for.
func (r *listRun) otherOutcomes(cmd *cobra.Command, reports *postgres.Reports) error {
	wanted := invoice.Outcome(r.filter.Outcome)
	if r.filter.State != "" && r.filter.State != "failed" || !slices.Contains([]invoice.Outcome{invoice.Failed, invoice.Invalid, invoice.Conflict}, wanted) {
		return nil
	}
	f := r.failed()
	f.Outcomes = nil
	found, err := reports.Causes(cmd.Context(), f, lookedAtForGroups, lookedAtForGroups)
	if err != nil {
		return err
	}
	jobs := map[string]int64{}
	for _, c := range found.Causes {
		jobs[c.Outcome] += c.Jobs
	}
	var others []string
	for _, outcome := range slices.Sorted(maps.Keys(jobs)) {
		others = append(others, fmt.Sprintf("%s (--outcome %s)", count(jobs[outcome]), outcome))
	}
	if len(others) > 0 {
		cmd.PrintErrf("invoicer: no job has the outcome %s; failed jobs have others: %s; --state failed lists them all\n", wanted, strings.Join(others, ", "))
	}
	return nil
}

// failed returns the filter as one of failed jobs.
func (r *listRun) failed() ledger.FailedFilter {
	f := ledger.FailedFilter{
		Reason: r.filter.Reason, Queue: r.filter.Queue, Producer: r.filter.Producer, Since: r.filter.Since, Until: r.filter.Until,
		Series: r.filter.Series, DefaultSeries: r.filter.DefaultSeries, Issuer: r.filter.Issuer,
	}
	if r.filter.Outcome != "" {
		f.Outcomes = []invoice.Outcome{invoice.Outcome(r.filter.Outcome)}
	}
	return f
}

// seriesUsage explains the flag --series of commands that select jobs.
const seriesUsage = "jobs that ask for the series of this `name`, by their field series or else by numbering.invoice_series"

// How many of the latest records are grouped, and how many groups are listed.
const (
	lookedAtForGroups = 50_000
	mostGroups        = 200
)

// printGroups prints the records of a kind by group. The example is in a column of the given name.
func (r *listRun) printGroups(
	cmd *cobra.Command, read func(ctx context.Context, f report.Filter, by string, look, limit int) (report.Groups, error), kind, example string,
) error {
	found, err := read(cmd.Context(), r.filter, r.group, lookedAtForGroups, mostGroups)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, g := range found.Groups {
		rows = append(rows, []string{strconv.FormatInt(g.Count, 10), instant(g.FirstAt), instant(g.LastAt), g.Example, cmp.Or(g.Value, "-")})
	}
	if err := printSheet(cmd, found, sheet{[]string{kind, "first_at", "last_at", example, r.group}, rows}); err != nil {
		return err
	}
	if found.LeftOut > 0 {
		cmd.PrintErrf("invoicer: %d more groups have fewer %s each\n", found.LeftOut, kind)
	}
	if found.AtLeast {
		cmd.PrintErrf("invoicer: there are more %s than were looked at: these are of the latest 50,000; --until goes further back\n", kind)
	}
	return nil
}

func (r *listRun) causes(cmd *cobra.Command, reports *postgres.Reports) error {
	if r.filter.State != "" && r.filter.State != "failed" {
		return usageErrorf("--group reason counts failed jobs: leave --state out")
	}
	found, err := reports.Causes(cmd.Context(), r.failed(), lookedAtForGroups, mostGroups)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, c := range found.Causes {
		rows = append(rows, []string{strconv.FormatInt(c.Jobs, 10), c.Outcome, instant(c.FirstAt), instant(c.LastAt), c.JobID, c.Reason})
	}
	if err := printSheet(cmd, found, sheet{[]string{"jobs", "outcome", "first_at", "last_at", "job_id", "reason"}, rows}); err != nil {
		return err
	}
	if found.AtLeast {
		cmd.PrintErrln("invoicer: there are more failed jobs than were counted: these are the latest 50,000; --until goes further back")
	}
	return nil
}

func (a app) listInvoicesCommand() *cobra.Command {
	r := &listRun{groups: []string{"series", "issuer", "producer", "kind", "currency"}}
	cmd := &cobra.Command{
		Use:   "invoices",
		Short: "List the invoices and credit notes",
		Long: `Lists the invoices and credit notes, without the customers' data. --since and --until are about when they were made.

JSON and CSV also have what is payable, withheld, prepaid and rounded, and a tax row for each code, category and percentage; in CSV these
are the field taxes, in JSON.`,
		Example: `  invoicer list invoices --series INV --since 24h
  invoicer list invoices --group series --since 1h
  invoicer list invoices --limit 100000 -o csv > invoices.csv`,
	}
	cmd.Flags().StringVar(&r.filter.Series, "series", "", "invoices of the series of this `name`")
	return a.listing(cmd, r, "made", func(cmd *cobra.Command, reports *postgres.Reports) error {
		if r.group != "" {
			return r.printGroups(cmd, reports.InvoiceGroups, "invoices", "invoice_number")
		}
		columns, amounts := []string{"created_at", "invoice_number", "kind", "total", "currency", "transaction_id", "issued_at", "lines", "job_id"}, formOf(cmd) == asCSV
		if amounts { // a table would be too wide
			columns = append(columns, "subtotal", "tax", "payable", "withheld", "prepaid", "rounding", "taxes")
		}
		_, err := printList(cmd, r, reports.Invoices, columns, func(i report.Invoice) string { return i.Issuer }, func(i report.Invoice) []string {
			row := []string{
				instant(i.CreatedAt), i.InvoiceNumber, i.Kind, invoice.FormatMinor(i.TotalMinor, i.Currency), i.Currency, i.TransactionID,
				instant(i.IssuedAt), strconv.Itoa(i.Lines), i.JobID,
			}
			if amounts {
				for _, minor := range []*int64{&i.SubtotalMinor, &i.TaxMinor, &i.PayableMinor, i.WithheldMinor, i.PrepaidMinor, i.RoundingMinor} {
					row = append(row, minorOrDash(minor, i.Currency))
				}
				row = append(row, i.Taxes.String())
			}
			return row
		})
		return err
	})
}

func minorOrDash(minor *int64, currency string) string {
	if minor == nil {
		return "-"
	}
	return invoice.FormatMinor(*minor, currency)
}

func (a app) listDuplicatesCommand() *cobra.Command {
	r := &listRun{groups: []string{"reason", "issuer", "producer"}}
	cmd := &cobra.Command{
		Use:   "duplicates",
		Short: "List the recorded duplicates, with the invoice of each",
		Long: `Lists the jobs that were duplicates, with the invoice of each and the job that made it. --since and --until are about when they were
recorded.`,
		Example: `  invoicer list duplicates --since 1h
  invoicer list duplicates --group producer --since 1h
  invoicer list duplicates --producer nightly-cron --reason lost_race`,
	}
	cmd.Flags().StringVar(&r.filter.Producer, "producer", "", "duplicates of the producer of this `name`")
	cmd.Flags().StringVar(&r.filter.Reason, "reason", "", "duplicates with this `reason`: lost_race or already_invoiced")
	return a.listing(cmd, r, "recorded", func(cmd *cobra.Command, reports *postgres.Reports) error {
		if r.group != "" {
			return r.printGroups(cmd, reports.DuplicateGroups, "duplicates", "job_id")
		}
		_, err := printList(cmd, r, reports.Duplicates, []string{"attempted_at", "reason", "producer", "transaction_id", "invoice_number", "worker", "job_id", "winner_job_id"},
			func(d report.ListedDuplicate) string { return d.Issuer }, func(d report.ListedDuplicate) []string {
				return []string{instant(d.AttemptedAt), d.Reason, orDash(d.Producer), d.TransactionID, d.InvoiceNumber, d.Worker, d.JobID, d.WinnerJobID}
			})
		return err
	})
}

// withIssuers adds the rows' issuers as the last column. A table has it only where a row has an issuer.
func withIssuers(cmd *cobra.Command, s sheet, issuers []string) sheet {
	named := func(code string) bool { return code != "" }
	if formOf(cmd) == asTable && !slices.ContainsFunc(issuers, named) {
		return s
	}
	s.columns = append(s.columns, "issuer")
	for i := range s.rows {
		s.rows[i] = append(s.rows[i], cmp.Or(issuers[i], "-"))
	}
	return s
}

const (
	// pageRows is how many rows are read at once.
	pageRows = 1000
	// mostInVain is how many pages without a match are read one after the other. For each, 20,000 records are looked at.
	mostInVain = 5
)

// printList reads pages until it has the limit, and prints the rows.
func printList[T any](
	cmd *cobra.Command, r *listRun, read func(context.Context, report.Filter, string, int) (report.Page[T], error), header []string,
	issuer func(T) string, cells func(T) []string,
) (printed int, err error) {
	all := report.Page[T]{Rows: []T{}, Next: r.after}
	for first, inVain := true, 0; first || all.Next != "" && len(all.Rows) < r.limit && inVain < mostInVain; first = false {
		page, err := read(cmd.Context(), r.filter, all.Next, min(pageRows, r.limit-len(all.Rows)))
		if err != nil {
			return 0, err
		}
		if all.Rows, all.Next = append(all.Rows, page.Rows...), page.Next; len(page.Rows) > 0 {
			inVain = 0
		} else {
			inVain++
		}
	}
	rows, issuers := make([][]string, len(all.Rows)), make([]string, len(all.Rows))
	for i, row := range all.Rows {
		rows[i], issuers[i] = cells(row), issuer(row)
	}
	if err := printSheet(cmd, all, withIssuers(cmd, sheet{header, rows}, issuers)); err != nil {
		return 0, err
	}
	if all.Next != "" && !wantsJSON(cmd) {
		cmd.PrintErrf("invoicer: the list goes on: --after %s\n", all.Next)
	}
	return len(all.Rows), nil
}
