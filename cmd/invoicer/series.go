package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"invoicer/internal/report"
	"invoicer/internal/term"
	"invoicer/invoice"
)

func (a app) seriesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:         "series",
		Short:       "Say how series are numbered: first number, format, periods; pause or close one",
		GroupID:     groupSetup,
		Annotations: map[string]string{showsList: ""},
		Long: `A series is a row of numbers without a gap, such as INV-000001, INV-000002. How it is numbered is kept in the database, with
everything that was changed, by whom and why. A series that a job names for the first time takes its settings from the
configuration's numbering.*; a series that was opened or changed here doesn't depend on the configuration. Without a subcommand it
lists the series.`,
	}
	cmd.AddCommand(a.seriesListCommand(), a.seriesShowCommand(), a.seriesOpenCommand(), a.seriesSetCommand(),
		a.seriesStateCommand("pause", invoice.SeriesPaused, "Let the jobs of a series wait",
			`Lets the jobs of a series wait, until it is resumed. Other series go on. Waiting uses up no retries: a job of the ledger waits there,
and a job that was enqueued straight into Redis asks again every 20 seconds at most.`),
		a.seriesStateCommand("resume", invoice.SeriesOpen, "Let the jobs of a paused series go on",
			`Lets the jobs of a paused series go on: those of the ledger within 5 seconds, others within 30.`),
		a.seriesRecoverCommand(),
		a.seriesStateCommand("close", invoice.SeriesClosed, "End a series for good, such as that of a year that is filed",
			`Ends a series for good: it never gets another number. A job that asks for it is a failed job (invalid), unless its transaction is
invoiced already. This can't be undone.`))
	return cmd
}

func (a app) seriesListCommand() *cobra.Command {
	var limit int
	var wait time.Duration
	var issuer issuerFlag
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Show the series with their next numbers",
		Args:  noArgs,
		Example: `  invoicer series list
  invoicer series list --json | jq '.[] | select(.state == "paused")'`,
	}
	cmd.Flags().IntVar(&limit, "limit", 100, "show at most this many, those with the newest periods first")
	issuer.add(cmd, "show the series of this issuer only")
	addWaitFlag(cmd, &wait)
	addTableFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if limit < 1 || limit > 1_000_000 {
			return usageErrorf("--limit %d: must be 1 to 1000000", limit)
		}
		cfg, store, err := a.configuredStore(cmd, wait)
		if err != nil {
			return err
		}
		defer store.Close()
		states, err := store.Reports.SeriesStates(cmd.Context(), issuer.orNil(cmd), "", limit+1)
		if err != nil {
			return withoutTables(cfg.Database.Schema, err)
		}
		more := len(states) > limit
		states = states[:min(limit, len(states))]
		err = printSheet(cmd, states, seriesSheet(states))
		if more {
			cmd.PrintErrf("invoicer: only %d are shown; --limit shows more\n", limit)
		}
		return err
	}
	return cmd
}

func seriesSheet(states []report.Series) sheet {
	rows := make([][]string, len(states))
	for i, s := range states {
		last, at := "-", "-"
		if s.LastInvoice != nil {
			last = *s.LastInvoice
		}
		if s.LastAt != nil {
			at = instant(*s.LastAt)
		}
		rows[i] = []string{invoice.SeriesID{Issuer: s.Issuer, Name: s.Series}.String(), orDash(&s.Period), s.Kind, s.State, orDash(&s.NextInvoice), last, at}
	}
	return sheet{[]string{"series", "period", "kind", "state", "next_invoice", "last_invoice", "last_at"}, rows}
}

// A seriesStory is what is known of one series.
type seriesStory struct {
	Issuer   string                 `json:"issuer,omitempty"`
	Series   string                 `json:"series"`
	Counters []report.Series        `json:"counters"`
	Versions []report.SeriesVersion `json:"versions"`
}

func (a app) seriesShowCommand() *cobra.Command {
	var wait time.Duration
	var issuer issuerFlag
	cmd := &cobra.Command{
		Use:   "show NAME",
		Short: "Show the settings of a series, who has changed them, and its next numbers",
		Args:  oneArg("the series' name"),
		Example: `  invoicer series show INV
  invoicer series show INV --json | jq .versions`,
	}
	issuer.add(cmd, "the series of this issuer")
	addWaitFlag(cmd, &wait)
	addOutputFlags(cmd, asTable, asWide, asJSON)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, store, err := a.configuredStore(cmd, wait)
		if err != nil {
			return err
		}
		defer store.Close()
		id := invoice.SeriesID{Issuer: issuer.code, Name: args[0]}
		story := seriesStory{Issuer: id.Issuer, Series: id.Name}
		if story.Versions, err = store.Series.History(cmd.Context(), id); err != nil {
			return withoutTables(cfg.Database.Schema, err)
		}
		if story.Counters, err = store.Reports.SeriesStates(cmd.Context(), []string{id.Issuer}, id.Name, seriesShown); err != nil {
			return err
		}
		if len(story.Versions)+len(story.Counters) == 0 {
			return fmt.Errorf("there is no series %s in %s: `invoicer series list` shows them", id, cfg.Database.Schema)
		}
		if wantsJSON(cmd) {
			return printJSON(cmd, story)
		}
		writeSeriesStory(outputOf(cmd), story)
		return nil
	}
	return cmd
}

// seriesShown is the most periods of one series that are shown, the newest.
const seriesShown = 1000

func writeSeriesStory(out io.Writer, story seriesStory) {
	if len(story.Versions) > 0 {
		v := story.Versions[len(story.Versions)-1]
		for _, line := range [][2]string{
			{"issuer", v.Issuer},
			{"series", v.Series},
			{"kind", v.Kind},
			{"state", v.State},
			{"format", v.Format},
			{"from_period", v.FromPeriod},
			{"from_number", orEmpty(v.FromNumber)},
			{"period", v.Period},
			{"first_month", fmt.Sprint(v.FirstMonth)},
			{"timezone", v.Timezone},
			{"date", v.Date},
			{"profile", v.Profile},
			{"first_number", fmt.Sprint(v.FirstNumber)},
			{"first_period", v.FirstPeriod},
			{"origin", v.Origin},
		} {
			if line[1] != "" {
				_, _ = fmt.Fprintf(out, "%-13s %s\n", line[0], line[1])
			}
		}
		_, _ = fmt.Fprintln(out)
	} else {
		_, _ = fmt.Fprintf(out, "series %s has no settings yet: it gets them from numbering.* with its next job\n\n", story.Series)
	}
	if len(story.Counters) > 0 {
		counters := seriesSheet(story.Counters)
		term.WriteTable(out, counters.columns, counters.rows)
		_, _ = fmt.Fprintln(out)
	}
	rows := make([][]string, len(story.Versions))
	for i, v := range story.Versions {
		rows[i] = []string{fmt.Sprint(v.Version), instant(v.ChangedAt), v.Change, v.Actor, v.Role, orDash(v.Note)}
	}
	if len(rows) > 0 {
		term.WriteTable(out, []string{"version", "changed_at", "change", "actor", "role", "note"}, rows)
	}
}

// orEmpty returns the number, "" for 0.
func orEmpty(n int64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}
