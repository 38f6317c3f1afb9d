package main

import (
	"fmt"
	"io"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"
	"github.com/spf13/cobra"

	"invoicer/internal/term"
	"invoicer/invoice"
	"invoicer/invoice/postgres/audit"
	"invoicer/worker"
)

// A demoView shows the progress: bars on a terminal, a line each second in a pipe, nothing for machines.
type demoView struct {
	out   io.Writer
	quiet bool
	total int64
	next  time.Time

	bars                     progress.Writer
	asked, ended             *progress.Tracker
	invoices, duplicateLines *progress.Tracker
	end                      func() // of drawing them
}

func newDemoView(out io.Writer, total int64, quiet bool) *demoView {
	v := &demoView{out: out, total: total, quiet: quiet, next: time.Now().Add(time.Second)}
	if quiet || !term.IsTerminal(out) {
		return v
	}
	v.bars = progress.NewWriter()
	v.bars.SetOutputWriter(out)
	v.bars.SetAutoStop(false)
	v.bars.SetUpdateFrequency(100 * time.Millisecond)
	v.bars.SetTrackerLength(30)
	v.bars.SetMessageLength(28)
	v.bars.Style().Visibility.TrackerOverall = false
	v.bars.Style().Visibility.ETA = false
	v.asked = &progress.Tracker{Message: "jobs asked for", Total: total}
	v.ended = &progress.Tracker{Message: "jobs ended", Total: total}
	v.invoices = &progress.Tracker{Message: "  as the one invoice", Total: total}
	v.duplicateLines = &progress.Tracker{Message: "  as recorded duplicates", Total: total}
	v.bars.AppendTrackers([]*progress.Tracker{v.asked, v.ended, v.invoices, v.duplicateLines})
	v.end = term.Draw(v.bars)
	return v
}

func (v *demoView) show(sent int64, s story) {
	created, duplicates := int64(s.ended[invoice.Created]), int64(s.ended[invoice.Duplicate])
	ended := int64(0)
	for _, n := range s.ended {
		ended += int64(n)
	}
	if v.bars != nil {
		v.asked.SetValue(sent)
		v.ended.SetValue(ended)
		v.invoices.SetValue(created)
		v.duplicateLines.SetValue(duplicates)
		return
	}
	if v.quiet || time.Now().Before(v.next) {
		return
	}
	v.next = time.Now().Add(time.Second)
	_, _ = fmt.Fprintf(v.out, "%s of %s jobs ended: %s invoices, %s duplicates\n",
		term.Thousands(int(ended)), term.Thousands(int(v.total)), term.Thousands(int(created)), term.Thousands(int(duplicates)))
}

func (v *demoView) stop() {
	if v.bars == nil {
		return
	}
	for _, t := range []*progress.Tracker{v.asked, v.ended, v.invoices, v.duplicateLines} {
		t.MarkAsDone()
	}
	v.end()
}

// demoJSON is the story for machines.
type demoJSON struct {
	Jobs          int                     `json:"jobs"`
	Seconds       float64                 `json:"seconds"`
	JobsPerSecond float64                 `json:"jobs_per_second"`
	Outcomes      map[invoice.Outcome]int `json:"outcomes"`
	Reasons       map[invoice.Reason]int  `json:"duplicate_reasons"`
	RacesLost     int                     `json:"races_lost"`
	PutBack       int                     `json:"put_back"`
	Audit         *audit.Report           `json:"audit"`
}

// tell ends the demo: what happened, one race in detail, and the audit.
func (d *demo) tell(cmd *cobra.Command, s *story, report *audit.Report) error {
	rate := float64(s.asked) / s.took.Seconds()
	if d.json {
		return printJSON(cmd, demoJSON{
			Jobs: s.asked, Seconds: s.took.Seconds(), JobsPerSecond: rate, Outcomes: s.ended, Reasons: s.reasons,
			RacesLost: s.lost, PutBack: s.putBack, Audit: report,
		})
	}
	say := func(format string, values ...any) { _, _ = fmt.Fprintf(d.out, format+"\n", values...) }
	say("\nWhat happened: %s jobs in %.1f s, %s a second, and each came to one end.", term.Thousands(s.asked), s.took.Seconds(), term.Thousands(int(rate)))
	rows := [][]string{
		{"created", term.Thousands(s.ended[invoice.Created]), "the transaction's one invoice or credit note"},
		{"duplicate", term.Thousands(s.ended[invoice.Duplicate]), fmt.Sprintf("recorded against it; %s had lost a race, %s came later",
			term.Thousands(s.reasons[invoice.LostRace]), term.Thousands(s.reasons[invoice.AlreadyInvoiced]))},
	}
	for _, o := range []struct {
		outcome invoice.Outcome
		means   string
	}{
		{invoice.Conflict, "other content for the same transaction or key: nothing was overwritten"},
		{invoice.Invalid, "recorded with the bad fields' names"},
		{invoice.Failed, "recorded, to be replayed"},
	} {
		if n := s.ended[o.outcome]; n > 0 {
			rows = append(rows, []string{string(o.outcome), term.Thousands(n), o.means})
		}
	}
	term.WriteTable(d.out, []string{"outcome", "jobs", ""}, rows)
	if s.lost > 0 {
		say("\n%s times a job found its transaction locked by another one. A plain lock would have thrown it away; here it waited\nfor the winner's commit, or went back to the queue (%s times): the winner may still fail.",
			term.Thousands(s.lost), term.Thousands(s.putBack))
	}
	d.tellRace(say, s.race)
	say("\nThe audit, from the database alone:")
	if err := printAudit(cmd, report); err != nil {
		return err
	}
	return nil
}

func (d *demo) tellRace(say func(string, ...any), race []moment) {
	if len(race) == 0 {
		return
	}
	say("\nOne race in detail: transaction %s", race[0].TransactionID)
	begin := race[0].at
	for _, m := range race {
		begin = min(begin, m.at-m.Took)
	}
	for _, m := range race {
		if m.What == worker.Invoiced {
			say("  +%7.1f ms  job …%s of %s on %s begins, and takes the lock", float64(m.at-m.Took-begin)/float64(time.Millisecond), last(m.JobID, 6), m.Producer, m.Worker)
		}
	}
	for _, m := range race {
		what := ""
		switch m.What {
		case worker.Invoiced:
			what = "commits " + m.Invoice.Number
		case worker.LostRace:
			what = fmt.Sprintf("finds the lock held by job …%s on %s", last(m.Holder.ID, 6), m.Holder.Worker)
		case worker.PutBack:
			what = "goes back to the queue"
		case worker.Retried:
			what = "fails and will be tried again"
		case worker.Ended:
			what = "ends as " + string(m.Outcome)
			if m.Outcome == invoice.Duplicate {
				what = "is recorded as a duplicate of " + m.Invoice.Number
			}
		}
		say("  +%7.1f ms  job …%s of %s on %s %s", float64(m.at-begin)/float64(time.Millisecond), last(m.JobID, 6), m.Producer, m.Worker, what)
	}
}

func last(s string, n int) string { return s[max(0, len(s)-n):] }
