package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
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
	progress *term.Progress // nil before the first job, and if the list is written to a terminal
	listed   int            // jobs in the JSON so far
}

func newReplayOutput(cmd *cobra.Command, dryRun bool) *replayOutput {
	return &replayOutput{cmd: cmd, out: cmd.OutOrStdout(), dryRun: dryRun}
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
	if list := o.dryRun || wantsJSON(o.cmd); list && term.IsTerminal(o.out) {
		return
	}
	doing, did := "replaying", "jobs replayed"
	if o.dryRun {
		doing, did = "forecasting", "jobs forecast"
	}
	o.progress = term.NewProgress(o.cmd.ErrOrStderr(), int64(jobs), doing, did)
}

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
	case o.dryRun:
		_, _ = fmt.Fprintln(o.out, replayLine(r)) // the reader may have closed the pipe
	case len(r.Problems) > 0:
		o.say(replayLine(r))
	}
}

// replayLine returns a job and its forecast as a line of printable characters.
func replayLine(r dispatch.Replayed) string {
	cells := []string{r.Failed.JobID, r.Failed.TransactionID, forecastText(r)}
	if cells[1] == "" {
		cells[1] = "-"
	}
	return strings.Join(term.Printable([][]string{cells})[0], "  ")
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

// list writes a job as the next element of the JSON's jobs.
func (o *replayOutput) list(r dispatch.Replayed) {
	one := replayedJSON{
		JobID: r.Failed.JobID, Queue: r.Failed.Queue, Outcome: r.Failed.Outcome, Reason: r.Failed.Reason,
		Forecast: r.Forecast.Outcome, Differs: append([]string{}, r.Forecast.Differs...), Problems: append([]invoice.Problem{}, r.Problems...), Replayed: r.Sent,
	}
	if id := r.Failed.TransactionID; id != "" {
		one.TransactionID = &id
	}
	if made := r.Forecast.Invoice; made != nil {
		one.InvoiceNumber = &made.Number
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(one) // texts and flags can always be encoded
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
