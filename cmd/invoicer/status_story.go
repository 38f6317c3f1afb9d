package main

import (
	"fmt"
	"io"
	"strings"

	"invoicer/internal/report"
	"invoicer/internal/term"
)

// writeStory writes a story: first what the id is if that isn't clear, and why its jobs wait; last what happened.
func writeStory(out io.Writer, s *report.Story) {
	writeMatches(out, s)
	writeWaits(out, s)
	if s.Lock != nil {
		term.WriteWrapped(out, term.Width(out), "", lockText(*s.Lock))
		_, _ = fmt.Fprintln(out)
	}
	if s.Records.Known() {
		writeReport(out, &s.Records)
	}
	writeTasks(out, s)
	writeConflicts(out, s)
	writeEvents(out, s)
}

func writeMatches(out io.Writer, s *report.Story) {
	for i, m := range s.Matches {
		what := "job " + orDash(m.JobID)
		if m.TransactionID != nil {
			what = "transaction " + *m.TransactionID
		}
		hint := term.Clean(orDash(m.TransactionID))
		if m.Issuer != "" {
			what += " of issuer " + m.Issuer
			hint += " --issuer " + m.Issuer
		}
		kind := map[string]string{
			report.ByJob: "the id of a job", report.ByTask: "the id of a task", report.ByKey: "an idempotency key", report.ByNumber: "the number of an invoice",
		}[m.Kind]
		switch {
		case i == 0 && m.Kind != report.ByTransaction:
			_, _ = fmt.Fprintf(out, "%s is %s, of %s\n\n", term.Clean(s.Asked), kind, term.Clean(what)) // the reader may have closed the pipe
		case i > 0:
			_, _ = fmt.Fprintf(out, "%s is also %s, of %s: `invoicer status %s` shows it\n\n", term.Clean(s.Asked), kind, term.Clean(what), hint)
		}
	}
}

func writeWaits(out io.Writer, s *report.Story) {
	if len(s.Waits) == 0 {
		return
	}
	width := term.Width(out)
	_, _ = fmt.Fprintln(out, "why it isn't at its end")
	for _, w := range s.Waits {
		term.WriteWrapped(out, width, "  ", fmt.Sprintf("%s: job %s: %s", w.Code, w.JobID, w.Text))
		if w.Reason != "" {
			term.WriteWrapped(out, width, "    ", w.Reason)
		}
	}
	_, _ = fmt.Fprintln(out)
}

func writeTasks(out io.Writer, s *report.Story) {
	var rows [][]string
	for _, t := range s.Tasks {
		if t.Direct {
			rows = append(rows, []string{t.State, t.Queue, orDash(t.TransactionID), orDash(t.Producer), fmt.Sprint(t.Failures), t.TaskID, orDash(t.LastError)})
		}
	}
	if len(rows) > 0 {
		section(out, "enqueued directly, in Redis", []string{"state", "queue", "transaction_id", "producer", "failures", "task_id", "last_error"}, rows)
	}
}

func writeConflicts(out io.Writer, s *report.Story) {
	var rows [][]string
	for _, c := range s.Conflicts {
		for _, f := range c.Fields {
			invoiced, asked := "(not shown)", "(not shown)"
			if f.Invoiced != nil || f.Asked != nil {
				invoiced, asked = orDash(f.Invoiced), orDash(f.Asked)
			}
			rows = append(rows, []string{f.Field, invoiced, asked, c.JobID})
		}
	}
	if len(rows) > 0 {
		section(out, "differences from the invoice", []string{"field", "invoiced", "asked for", "job_id"}, rows)
	}
}

func writeEvents(out io.Writer, s *report.Story) {
	if len(s.Events) == 0 {
		return
	}
	width := term.Width(out)
	_, _ = fmt.Fprintln(out, "what happened (UTC)")
	for _, e := range s.Events {
		text := e.Text
		if e.JobID != "" && !strings.Contains(text, e.JobID) {
			text += "  (job " + e.JobID + ")"
		}
		term.WriteWrapped(out, width, "  ", instant(e.At), text)
		if e.What == report.HasFailed && e.Reason != "" {
			term.WriteWrapped(out, width, "    ", e.Reason)
		}
	}
}

// writeHandovers writes how the invoice was handed over to other systems.
func writeHandovers(out io.Writer, list []report.Handover) {
	var rows [][]string
	for i := range list {
		h := &list[i]
		state := h.State
		if h.WaitsFor != "" {
			state += ", waits for the clearance of " + h.WaitsFor
		} else if h.Failing {
			state += ", failing"
		}
		rows = append(rows, []string{h.Channel, state, instant(h.ChangedAt), orDash(&h.TheirID), orDash(&h.Clearance)})
	}
	if len(rows) > 0 {
		section(out, "handed over", []string{"channel", "state", "since", "their_id", "clearance"}, rows)
	}
}
