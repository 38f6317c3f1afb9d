package inquiry

import (
	"fmt"
	"slices"

	"invoicer/internal/report"
	"invoicer/invoice"
)

// addEvents adds what happened, in order of time.
func (t *telling) addEvents() {
	for i := range t.Jobs {
		t.eventsOf(&t.Jobs[i])
	}
	for _, a := range t.attempts {
		t.attempted(a)
	}
	if i := t.Invoice; i != nil {
		text := fmt.Sprintf("invoiced as %s, %s %s", i.InvoiceNumber, invoice.FormatMinor(i.TotalMinor, i.Currency), i.Currency)
		t.happened(report.Event{At: i.CreatedAt, What: report.WasInvoiced, JobID: i.JobID, Text: text})
	}
	for _, d := range t.DuplicateAttempts {
		text := "a duplicate: the transaction was invoiced already"
		if d.Reason == string(invoice.LostRace) {
			text = "a duplicate: it lost the race"
		}
		if t.Invoice != nil && d.InvoiceID == t.Invoice.ID {
			text += fmt.Sprintf(" by job %s, which made %s", t.Invoice.JobID, t.Invoice.InvoiceNumber)
			if d.Reason == string(invoice.LostRace) {
				text = fmt.Sprintf("a duplicate: it lost the race to job %s, which made %s", t.Invoice.JobID, t.Invoice.InvoiceNumber)
			}
		}
		t.happened(report.Event{At: d.AttemptedAt, What: report.WasDuplicate, JobID: d.JobID, Text: text, Producer: value(d.Producer), Worker: d.Worker, Reason: d.Reason})
	}
	slices.SortStableFunc(t.Events, func(a, b report.Event) int { return a.At.Compare(b.At) })
}

func (t *telling) happened(e report.Event) { t.Events = append(t.Events, e) }

func (t *telling) attempted(a report.Attempt) {
	text := fmt.Sprintf("attempt %d failed on worker %s", a.Attempt, a.Worker)
	t.happened(report.Event{At: a.FailedAt, What: report.HasFailed, JobID: a.JobID, Worker: a.Worker, Attempt: a.Attempt, Reason: a.Reason, Text: text})
}

// eventsOf adds what the ledger has on record of a job. A job that was enqueued directly has a row only because it has failed.
func (t *telling) eventsOf(j *report.Job) {
	e := report.Event{JobID: j.JobID, Producer: value(j.Producer), Queue: j.Queue}
	if j.Dispatch > 0 || open(j) || j.State == "done" {
		e.At, e.What, e.Text = j.AcceptedAt, report.WasAccepted, "accepted for queue "+j.Queue
		if e.Producer != "" {
			e.Text = fmt.Sprintf("accepted from %s for queue %s", e.Producer, j.Queue)
		}
		t.happened(e)
	}
	for _, a := range j.FailedAttempts {
		t.attempted(a)
	}
	for _, a := range j.Actions {
		e := report.Event{At: a.ActedAt, What: report.WasActedOn, JobID: j.JobID, Actor: a.Actor, Reason: a.Reason}
		e.Text = fmt.Sprintf("%s by %s, after it was %s", map[string]string{"replay": "replayed", "dismiss": "dismissed", "restore": "restored"}[a.Action], a.Actor, a.Outcome)
		if note := value(a.Note); note != "" {
			e.Text += ": " + note
		}
		t.happened(e)
	}
	switch {
	case j.State == "enqueued":
		e.At, e.What, e.Text = j.UpdatedAt, report.WasSent, "sent to queue "+j.Queue
	case j.State == "failed" && !restored(j):
		e.At, e.What, e.Text, e.Reason = j.UpdatedAt, report.WasRefused, "ended as "+value(j.Outcome), value(j.Reason)
	default:
		return
	}
	t.happened(e)
}

// restored reports whether the last action on a job restored it: its row then has the time of that, and not of its failure.
func restored(j *report.Job) bool {
	return len(j.Actions) > 0 && j.Actions[len(j.Actions)-1].Action == "restore"
}
