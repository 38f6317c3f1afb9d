package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"invoicer/internal/importer"
	"invoicer/internal/term"
	"invoicer/invoice"
	"invoicer/worker/dispatch"
)

// A replayOutput writes each job as soon as it is replayed, because all of them may not fit into memory.
type replayOutput struct {
	cmd      *cobra.Command
	out      io.Writer
	dryRun   bool
	csv      csvWriter      // with -o csv
	progress *term.Progress // nil before the first job, and if the list is written to a terminal
	listed   int            // jobs in the JSON so far
	groups   forecastGroups // of a dry run, in a table
}

// A forecastGroups are the jobs of a dry run by their forecasts.
type forecastGroups struct {
	byText map[string]*forecastGroup
	order  []*forecastGroup // as their first jobs came
}

// A forecastGroup are jobs with equal forecasts.
type forecastGroup struct {
	jobs  int
	text  string            // of all of them
	first dispatch.Replayed // as an example
}

// mostForecasts bounds the forecasts that are told apart in a table.
const mostForecasts = 1000

func (g *forecastGroups) add(r dispatch.Replayed) {
	text := forecastText(r)
	switch r.Forecast.Outcome {
	case invoice.Duplicate:
		text = "duplicates"
	case invoice.Conflict:
		text = "conflicts: " + strings.Join(r.Forecast.Differs, ", ")
	case invoice.Created, invoice.Invalid, invoice.Failed:
	}
	group := g.byText[text]
	if group == nil && len(g.order) == mostForecasts {
		text = "others"
		group = g.byText[text]
	}
	if group == nil {
		if g.byText == nil {
			g.byText = make(map[string]*forecastGroup)
		}
		group = &forecastGroup{text: text, first: r}
		g.byText[text], g.order = group, append(g.order, group)
	}
	group.jobs++
}

func (g *forecastGroups) write(out io.Writer) {
	if len(g.order) == 0 {
		return
	}
	rows := make([][]string, len(g.order))
	for i, group := range g.order {
		text := group.text
		if group.jobs == 1 {
			text = forecastText(group.first)
		}
		rows[i] = []string{term.Thousands(group.jobs), group.first.Failed.JobID, orDash(&group.first.Failed.TransactionID), text}
	}
	term.WriteTable(out, []string{"jobs", "job_id", "transaction_id", "forecast"}, rows)
}

func newReplayOutput(cmd *cobra.Command, dryRun bool) *replayOutput {
	o := &replayOutput{cmd: cmd, out: outputOf(cmd), dryRun: dryRun}
	if formOf(cmd) == asCSV {
		o.csv = newCSV(o.out, []string{
			"job_id", "transaction_id", "queue", "outcome", "reason", "forecast", "invoice_number", "differs", "problems", "replayed", "issuer",
		})
	}
	return o
}

func (o *replayOutput) say(line string) {
	if o.progress != nil {
		o.progress.Say(line)
		return
	}
	o.cmd.PrintErrln("invoicer:", line)
}

func (o *replayOutput) begin(jobs int) {
	// A bar and a list on the same terminal would overwrite each other.
	if o.lists() && term.IsTerminal(o.out) {
		return
	}
	doing, did := "replaying", "jobs replayed"
	if o.dryRun {
		doing, did = "forecasting", "jobs forecast"
	}
	o.progress = term.NewProgress(o.cmd.ErrOrStderr(), int64(jobs), doing, did)
}

// lists reports whether all jobs are listed, for machines.
func (o *replayOutput) lists() bool { return wantsJSON(o.cmd) || formOf(o.cmd) == asCSV }

func (o *replayOutput) stop(well bool) {
	if o.progress != nil {
		o.progress.Stop(well)
	}
}

func (o *replayOutput) replayed(r dispatch.Replayed) {
	if o.progress != nil {
		o.progress.Read.Add(1)
		if r.Sent || o.dryRun {
			o.progress.Sent.Add(1)
		}
	}
	switch {
	case wantsJSON(o.cmd):
		o.list(r)
	case o.lists():
		one := replayedJob(r)
		o.csv.row([]string{
			one.JobID, orDash(one.TransactionID), one.Queue, string(one.Outcome), one.Reason, string(one.Forecast), orDash(one.InvoiceNumber),
			strings.Join(one.Differs, ","), importer.Problems(one.Problems), strconv.FormatBool(one.Replayed), one.Issuer,
		})
	case o.dryRun:
		o.groups.add(r)
	case len(r.Problems) > 0:
		o.say(term.Clean(strings.Join([]string{r.Failed.JobID, orDash(&r.Failed.TransactionID), forecastText(r)}, "  ")))
	}
}

func forecastText(r dispatch.Replayed) string {
	switch f := r.Forecast; f.Outcome {
	case invoice.Duplicate:
		return "duplicate of " + f.Invoice.Number
	case invoice.Conflict:
		return fmt.Sprintf("conflict with %s: %s", f.Invoice.Number, strings.Join(f.Differs, ", "))
	case invoice.Invalid:
		return "still invalid: " + importer.Problems(r.Problems)
	default:
		return "would create"
	}
}

// A replayedJSON is what --json prints for a job.
type replayedJSON struct {
	JobID         string            `json:"job_id"`
	Issuer        string            `json:"issuer,omitempty"`
	TransactionID *string           `json:"transaction_id"`
	Queue         string            `json:"queue"`
	Outcome       invoice.Outcome   `json:"outcome"` // of the failed dispatch
	Reason        string            `json:"reason"`
	Forecast      invoice.Outcome   `json:"forecast"`       // created, duplicate, conflict, invalid
	InvoiceNumber *string           `json:"invoice_number"` // the existing invoice, of a duplicate or a conflict
	Differs       []string          `json:"differs"`        // the fields in conflict
	Problems      []invoice.Problem `json:"problems"`       // if the payload still is invalid
	Replayed      bool              `json:"replayed"`
}

func replayedJob(r dispatch.Replayed) replayedJSON {
	one := replayedJSON{
		JobID: r.Failed.JobID, Issuer: r.Failed.Issuer, Queue: r.Failed.Queue, Outcome: r.Failed.Outcome, Reason: r.Failed.Reason,
		Forecast: r.Forecast.Outcome, Differs: append([]string{}, r.Forecast.Differs...), Problems: append([]invoice.Problem{}, r.Problems...), Replayed: r.Sent,
	}
	if id := r.Failed.TransactionID; id != "" {
		one.TransactionID = &id
	}
	if made := r.Forecast.Invoice; made != nil {
		one.InvoiceNumber = &made.Number
	}
	return one
}

// list writes a job as the next element of the JSON's jobs.
func (o *replayOutput) list(r dispatch.Replayed) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(replayedJob(r)) // texts and flags can always be encoded
	separator := ",\n    "
	if o.listed == 0 {
		separator = "{\n  \"jobs\": [\n    "
	}
	o.listed++
	_, _ = fmt.Fprint(o.out, separator, strings.TrimSuffix(text.String(), "\n")) // as above
}

// A replayTotals is what --json prints after the jobs.
type replayTotals struct {
	DryRun       bool                    `json:"dry_run"`
	Replayed     int                     `json:"replayed"` // in a dry run, the number that would be replayed
	Forecasts    map[invoice.Outcome]int `json:"forecasts"`
	StillInvalid int                     `json:"still_invalid"`
	Changed      int                     `json:"changed"`
	Complete     bool                    `json:"complete"`
}

// summary writes the totals. The error is that of writing.
func (o *replayOutput) summary(sum dispatch.ReplaySummary, failed error) error {
	if wantsJSON(o.cmd) {
		if o.listed == 0 {
			_, _ = fmt.Fprint(o.out, "{\n  \"jobs\": [")
		}
		totals := replayTotals{
			DryRun: o.dryRun, Replayed: sum.Total(), StillInvalid: sum.Invalid, Changed: sum.Changed, Complete: failed == nil,
			Forecasts: map[invoice.Outcome]int{invoice.Created: 0, invoice.Duplicate: 0, invoice.Conflict: 0},
		}
		for outcome, n := range sum.Replayed {
			totals.Forecasts[outcome] = n
		}
		rest, err := json.MarshalIndent(totals, "", "  ")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(o.out, "\n  ],\n%s\n", bytes.TrimPrefix(rest, []byte("{\n")))
		return err
	}
	if formOf(o.cmd) == asCSV {
		o.cmd.PrintErrln("invoicer:", o.inWords(sum, failed))
		return o.csv.end()
	}
	o.groups.write(o.out)
	if failed != nil && sum.Total()+sum.Invalid+sum.Changed == 0 {
		return nil
	}
	_, err := fmt.Fprintln(o.out, o.inWords(sum, failed))
	return err
}

func (o *replayOutput) inWords(sum dispatch.ReplaySummary, failed error) string {
	n := sum.Total()
	if failed == nil && n+sum.Invalid+sum.Changed == 0 {
		return "no failed job matches these flags"
	}
	verb := plural(n, "job was replayed", "jobs were replayed")
	if o.dryRun {
		verb = plural(n, "job would be replayed", "jobs would be replayed")
	}
	text := term.Thousands(n) + " " + verb
	var forecasts []string
	for _, f := range []struct {
		outcome invoice.Outcome
		says    string
	}{
		{invoice.Created, "would create"},
		{invoice.Duplicate, plural(sum.Replayed[invoice.Duplicate], "duplicate", "duplicates")},
		{invoice.Conflict, plural(sum.Replayed[invoice.Conflict], "conflict", "conflicts")},
	} {
		if count := sum.Replayed[f.outcome]; count > 0 {
			forecasts = append(forecasts, term.Thousands(count)+" "+f.says)
		}
	}
	if len(forecasts) > 0 {
		text += " (forecast: " + strings.Join(forecasts, ", ") + ")"
	}
	if sum.Invalid > 0 {
		text += fmt.Sprintf("; %s left as %s: still invalid", term.Thousands(sum.Invalid), plural(sum.Invalid, "it is", "they are"))
	}
	if sum.Changed > 0 {
		text += fmt.Sprintf("; %s left: not failed any more", term.Thousands(sum.Changed))
	}
	return text
}
