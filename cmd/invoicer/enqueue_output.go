package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"invoicer/internal/importer"
	"invoicer/internal/report"
	"invoicer/internal/term"
	"invoicer/invoice"
)

// An enqueueOutput writes what became of each job at once, because all of them may not fit into memory, and then the summary.
type enqueueOutput struct {
	cmd      *cobra.Command
	run      *enqueueRun
	out      io.Writer
	rejects  *rejectsFile
	progress *term.Progress
	listed   int           // jobs in the JSON so far
	found    dryRunFinding // of a dry run
}

func newEnqueueOutput(cmd *cobra.Command, r *enqueueRun, rejects *rejectsFile) *enqueueOutput {
	return &enqueueOutput{cmd: cmd, run: r, out: outputOf(cmd), rejects: rejects}
}

func (o *enqueueOutput) newProgress(size int64) *term.Progress {
	doing, did := "enqueueing", "jobs enqueued"
	if o.run.dryRun {
		doing, did = "checking", "good jobs"
	}
	to := o.cmd.ErrOrStderr()
	if wantsJSON(o.cmd) && term.IsTerminal(o.out) { // a bar and a list on the same terminal would overwrite each other
		to = struct{ io.Writer }{to}
	}
	return term.NewProgress(to, size, doing, did)
}

// tell takes what became of a job.
func (o *enqueueOutput) tell(result importer.Result) error {
	bad := len(result.Problems) > 0
	switch {
	case bad:
		if err := o.refused(result); err != nil {
			return err
		}
	case o.run.dryRun:
		o.found.good(result.Job)
		o.progress.Sent.Add(int64(o.run.copies))
	}
	if wantsJSON(o.cmd) {
		return o.list(result)
	}
	return nil
}

func (o *enqueueOutput) refused(bad importer.Result) error {
	if o.run.dryRun {
		o.found.bad(bad)
	} else {
		o.progress.Say(bad.Place() + ": " + importer.Problems(bad.Problems))
	}
	if o.rejects == nil {
		return nil
	}
	written, err := o.rejects.add(bad)
	if err == nil && !written {
		o.progress.Say(fmt.Sprintf("%s: it is longer than %s bytes, and isn't in the file of --rejects", bad.Place(), term.Thousands(longestReject)))
	}
	return err
}

// An enqueuedJSON is what --json prints for a job, or for a bad line.
type enqueuedJSON struct {
	Line          int               `json:"line"`
	Job           int               `json:"job,omitempty"` // its number, if the jobs aren't lines of their own
	Issuer        string            `json:"issuer,omitempty"`
	TransactionID *string           `json:"transaction_id"` // null if it can't be read
	JobID         *string           `json:"job_id"`         // null if it isn't enqueued
	Problems      []invoice.Problem `json:"problems"`
}

// list writes a job as the next element of the JSON's jobs.
func (o *enqueueOutput) list(result importer.Result) error {
	one := enqueuedJSON{Line: result.Number, Problems: append([]invoice.Problem{}, result.Problems...)}
	if result.Line > 0 {
		one.Line, one.Job = result.Line, result.Number
	}
	if job := result.Job; job != nil {
		one.Issuer = job.Issuer
		if job.TransactionID != "" {
			one.TransactionID = &job.TransactionID
		}
	}
	if result.JobID != "" {
		one.JobID = &result.JobID
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(one) // texts and numbers can always be encoded
	separator := ",\n    "
	if o.listed == 0 {
		separator = "{\n  \"jobs\": [\n    "
	}
	o.listed++
	_, err := o.out.Write(append([]byte(separator), printable(bytes.TrimSuffix(text.Bytes(), []byte("\n")))...))
	return err
}

// An enqueueSummary is what --json prints after the jobs.
type enqueueSummary struct {
	DryRun    bool     `json:"dry_run"`
	Lines     int      `json:"lines"` // good and bad ones, without blank ones and those before --from-line; or as many jobs
	CountedBy string   `json:"counted_by"`
	Enqueued  int64    `json:"enqueued"` // in a dry run, the number that would be enqueued
	Bad       int      `json:"bad"`
	Copies    int      `json:"copies"`
	Queue     string   `json:"queue"`
	Durable   bool     `json:"durable"`
	Seconds   float64  `json:"seconds"`
	Rejects   *string  `json:"rejects"`          // the file that has the bad ones; null if there is none
	Resume    *int     `json:"resume_from_line"` // null when the input's end was reached, or if it is counted by job
	ResumeJob *int     `json:"resume_from_job"`  // likewise
	Error     *string  `json:"error"`            // why it stopped before the input's end
	Found     *finding `json:"found,omitempty"`  // in a dry run
}

// A finding is what a dry run found.
type finding struct {
	Totals  []report.Tally `json:"totals"`
	Reasons []reason       `json:"reasons"`
}

// summary writes the totals, and returns an error if not all jobs are enqueued.
func (o *enqueueOutput) summary(s *importer.Sender, took time.Duration, sendErr error) error {
	sum := enqueueSummary{
		DryRun: o.run.dryRun, Lines: s.Lines, CountedBy: string(s.Unit), Enqueued: s.Confirmed(), Bad: s.Bad, Copies: o.run.copies,
		Queue: o.run.queue, Durable: o.run.durable, Seconds: took.Seconds(),
	}
	if o.run.dryRun {
		sum.Enqueued = int64(s.Lines-s.Bad) * int64(o.run.copies)
		sum.Found = o.found.finding()
	}
	if o.rejects != nil && o.rejects.written > 0 {
		sum.Rejects = &o.run.rejects
	}
	problems := o.problems(s, &sum, sendErr)
	if wantsJSON(o.cmd) {
		if err := o.endList(sum); err != nil {
			return err
		}
	} else if sendErr == nil || s.Lines > 0 {
		o.found.write(o.out, s.Unit)
		if _, err := fmt.Fprintln(o.out, o.inWords(sum, took)); err != nil {
			return err
		}
	}
	return errors.Join(problems...)
}

// problems returns what went wrong, and notes in the summary where to go on.
func (o *enqueueOutput) problems(s *importer.Sender, sum *enqueueSummary, sendErr error) (problems []error) {
	unit := string(s.Unit)
	alike := new(importer.AlikeError)
	if sendErr != nil {
		resume := s.Resume()
		if errors.As(sendErr, &alike) {
			resume = s.From
			sendErr = fmt.Errorf("stopped, and nothing is enqueued: %d bad %ss in a row have the same problem, and no good one is before them (%s %s): "+
				"correct the input, or go on with --keep-going", alike.Lines, unit, alike.Problem.Field, alike.Problem.Message)
		}
		if s.Unit == importer.ByJob {
			sum.ResumeJob = &resume
		} else {
			sum.Resume = &resume
		}
		text := sendErr.Error()
		sum.Error = &text
		problems = append(problems, sendErr)
		if s.Lines > 0 && alike.Lines == 0 && !o.run.dryRun {
			problems = append(problems, fmt.Errorf(
				"every good %s before %[1]s %d is enqueued: go on with --from-%[1]s %[2]d; that is safe, because a %[1]s that is enqueued twice is invoiced once",
				unit, resume))
		}
	}
	if s.Bad > 0 && alike.Lines == 0 {
		text := fmt.Sprintf("%s bad %s left out; correct and enqueue them", term.Thousands(s.Bad), plural(s.Bad, unit+" was", unit+"s were"))
		switch {
		case sum.Rejects != nil:
			text = fmt.Sprintf("%s bad %s left out; correct and enqueue %s", term.Thousands(s.Bad), plural(s.Bad, unit+" was", unit+"s were"), *sum.Rejects)
		case o.run.dryRun:
			text = fmt.Sprintf("%s bad %s: correct them before you enqueue", term.Thousands(s.Bad), plural(s.Bad, unit, unit+"s"))
		}
		problems = append(problems, errors.New(text))
	}
	return problems
}

func (o *enqueueOutput) inWords(sum enqueueSummary, took time.Duration) string {
	jobs := fmt.Sprintf("%s %s of %s", term.Thousands(int(sum.Enqueued)), plural(int(sum.Enqueued), "job", "jobs"), term.Thousands(sum.Lines))
	if sum.CountedBy == string(importer.ByLine) {
		jobs += plural(sum.Lines, " line", " lines")
	}
	if sum.DryRun {
		return fmt.Sprintf("%s would be enqueued into %s; nothing was sent", jobs, sum.Queue)
	}
	return fmt.Sprintf("%s enqueued into %s in %.1f s, %s a second", jobs, sum.Queue, took.Seconds(),
		term.Thousands(int(float64(sum.Enqueued)/max(took.Seconds(), 0.001))))
}

func (o *enqueueOutput) endList(sum enqueueSummary) error {
	begin := "\n  ],"
	if o.listed == 0 {
		begin = "{\n  \"jobs\": [],"
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(sum); err != nil {
		return err
	}
	_, err := o.out.Write(append([]byte(begin), printable([]byte(strings.TrimPrefix(text.String(), "{")))...))
	return err
}
