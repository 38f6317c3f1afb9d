package inquiry

import (
	"fmt"
	"slices"
	"strings"

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
	for i := range t.Imports {
		t.imported(&t.Imports[i])
	}
	for i := range t.DuplicateAttempts {
		d := &t.DuplicateAttempts[i]
		text := "a duplicate: the transaction was invoiced already"
		if d.Reason == string(invoice.LostRace) {
			text = "a duplicate: it lost the race"
		}
		if t.Invoice != nil && d.InvoiceID != nil && *d.InvoiceID == t.Invoice.ID {
			text += fmt.Sprintf(" by job %s, which made %s", t.Invoice.JobID, t.Invoice.InvoiceNumber)
			if d.Reason == string(invoice.LostRace) {
				text = fmt.Sprintf("a duplicate: it lost the race to job %s, which made %s", t.Invoice.JobID, t.Invoice.InvoiceNumber)
			}
			if other := d.OfAnother(t.Invoice); other != "" {
				text += fmt.Sprintf("; producer %s asked for that, and %s for this", other, value(d.Producer))
			}
		}
		if len(d.Differs) > 0 {
			text += "; it differs in " + strings.Join(d.Differs, ", ") + ", which the setting ignore allows"
		}
		for i := range t.Imports {
			if d.ImportedID != nil && *d.ImportedID == t.Imports[i].ID {
				text = "a duplicate: the transaction was invoiced elsewhere as " + t.Imports[i].InvoiceNumber
			}
		}
		t.happened(report.Event{At: d.AttemptedAt, What: report.WasDuplicate, JobID: d.JobID, Text: text, Producer: value(d.Producer), Worker: d.Worker, Reason: d.Reason})
	}
	slices.SortStableFunc(t.Events, func(a, b report.Event) int { return a.At.Compare(b.At) })
}

// imported adds that the transaction was imported, and that this was withdrawn.
func (t *telling) imported(i *report.Import) {
	text := "imported: it was invoiced elsewhere as " + i.InvoiceNumber
	if i.TotalMinor != nil && i.Currency != nil {
		text += fmt.Sprintf(", %s %s", invoice.FormatMinor(*i.TotalMinor, *i.Currency), *i.Currency)
	}
	t.happened(report.Event{At: i.ImportedAt, What: report.WasImported, Text: text})
	if i.Holds() {
		return
	}
	text = fmt.Sprintf("the import as %s was withdrawn by %s", i.InvoiceNumber, value(i.WithdrawnBy))
	if note := value(i.WithdrawnNote); note != "" {
		text += ": " + note
	}
	t.happened(report.Event{At: *i.WithdrawnAt, What: report.WasWithdrawn, Text: text, Actor: value(i.WithdrawnBy)})
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
