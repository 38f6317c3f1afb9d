package inquiry

import (
	"fmt"
	"strings"
	"time"

	"invoicer/internal/report"
	"invoicer/invoice"
	"invoicer/worker/queue"
)

// addWaits adds why each open job waits, and which job has the transaction in work if the ledger has none.
func (t *telling) addWaits() {
	tasks := map[string]*report.Task{}
	for i := range t.Tasks {
		tasks[t.Tasks[i].JobID] = &t.Tasks[i]
	}
	for i := range t.Jobs {
		switch j := &t.Jobs[i]; {
		case open(j):
			t.waitsOf(j, tasks[j.JobID])
		case j.State == "failed" && t.Invoice == nil && t.Import() == nil:
			t.wait(report.Wait{
				Code: report.WaitsForPerson, JobID: j.JobID, Queue: j.Queue, Since: &j.UpdatedAt, Reason: value(j.Reason),
				Text: fmt.Sprintf("it failed: `invoicer replay --job %s` sends it again once the cause is removed", j.JobID),
			})
		}
	}
	for i := range t.Tasks {
		if task := &t.Tasks[i]; task.Direct && task.State != report.TaskCompleted && task.State != report.TaskArchived {
			t.waitsInQueue(task.JobID, task.Queue, task)
		}
	}
	if t.holder != nil && len(t.Waits) == 0 && t.Invoice == nil {
		t.wait(report.Wait{
			Code: report.IsInWork, JobID: t.holder.ID, Worker: t.holder.Worker,
			Text: fmt.Sprintf("job %s is in work on worker %s", t.holder.ID, t.holder.Worker),
		})
	}
}

func (t *telling) wait(w report.Wait) { t.Waits = append(t.Waits, w) }

// waitsOf adds why a job of the ledger waits.
func (t *telling) waitsOf(j *report.Job, task *report.Task) {
	unreachable := report.Wait{
		Code: report.WaitsForRedis, JobID: j.JobID, Queue: j.Queue,
		Text: "Redis doesn't answer here: whether the job waits for something else isn't known",
	}
	switch {
	case j.State == "accepted":
		t.notSent(j)
		if t.redisAway {
			t.wait(unreachable)
		}
	case t.redisAway:
		t.wait(unreachable)
	default:
		t.waitsInQueue(j.JobID, j.Queue, task)
	}
}

// notSent adds why an accepted job isn't in its queue.
func (t *telling) notSent(j *report.Job) {
	since := j.AcceptedAt
	if len(j.Actions) > 0 || j.Dispatch > 0 {
		since = j.UpdatedAt
	}
	if j.PausedSeries != nil {
		text := fmt.Sprintf("series %s is paused", *j.PausedSeries)
		if p := j.Pause; p != nil {
			text += fmt.Sprintf(" by %s since %s", p.Actor, p.Since.UTC().Format("2006-01-02 15:04:05Z"))
			if note := value(p.Note); note != "" {
				text += fmt.Sprintf(" (%s)", note)
			}
		}
		text += fmt.Sprintf(": `invoicer series resume %s` lets its jobs go on", invoice.ParseSeriesID(*j.PausedSeries).Args())
		t.wait(report.Wait{Code: report.WaitsForSeries, JobID: j.JobID, Queue: j.Queue, Since: &j.UpdatedAt, Text: text})
		return
	}
	if q, ok := t.queues[j.Queue]; ok && t.foreign(&q, j.JobID) {
		return
	}
	text := fmt.Sprintf("the relay of the workers hasn't sent it to queue %s yet, for %s", j.Queue, forSeconds(time.Since(since)))
	if q, ok := t.queues[j.Queue]; ok && q.Consumers == 0 {
		t.noConsumer(j.JobID, j.Queue)
		text += "; no worker of this queue runs"
	}
	t.wait(report.Wait{Code: report.WaitsForRelay, JobID: j.JobID, Queue: j.Queue, Since: &since, Text: text})
}

// foreign adds that the queue belongs to another installation, if it does.
func (t *telling) foreign(q *queue.Surveyed, jobID string) bool {
	if !q.Foreign(t.databaseID) {
		return false
	}
	o := q.Owner
	t.wait(report.Wait{
		Code: report.WaitsForOwner, JobID: jobID, Queue: q.Queue.Queue, Owner: o.Database + " " + o.Schema, Worker: o.Worker,
		Text: fmt.Sprintf("queue %s belongs to another installation: %s", q.Queue.Queue, o),
	})
	return true
}

func (t *telling) noConsumer(jobID, name string) {
	t.wait(report.Wait{
		Code: report.WaitsForConsumer, JobID: jobID, Queue: name,
		Text: fmt.Sprintf("no worker consumes queue %s: start one that has it in worker.queues", name),
	})
}

// waitsInQueue adds why a task waits; task is nil if the queue doesn't have it.
func (t *telling) waitsInQueue(jobID, name string, task *report.Task) {
	q, surveyed := t.queues[name]
	if surveyed && t.foreign(&q, jobID) {
		return
	}
	if task == nil || task.State == report.TaskLost || task.State == report.TaskCompleted || task.State == report.TaskArchived {
		t.wait(report.Wait{
			Code: report.WaitsForRepair, JobID: jobID, Queue: name,
			Text: fmt.Sprintf("queue %s has no open task of it: the workers' reconciler records its end, or sends it again, within a minute", name),
		})
		if surveyed && q.Consumers == 0 {
			t.noConsumer(jobID, name)
		}
		return
	}
	t.heldLock(jobID, task)
	w := report.Wait{JobID: jobID, Queue: name}
	switch task.State {
	case report.TaskActive:
		t.inWork(w, task)
		return
	case report.TaskRetry:
		t.retryDue(w, task)
	case report.TaskScheduled:
		w.Code, w.Until = report.WaitsForTime, task.Until
		w.Text = "it was enqueued for a later time, and is due " + inSeconds(task.Until)
		t.wait(w)
	}
	blocked := false
	if surveyed && q.Paused {
		blocked = true
		t.wait(report.Wait{
			Code: report.WaitsForResume, JobID: jobID, Queue: name, Ahead: task.Ahead,
			Text: fmt.Sprintf("queue %s is paused: `invoicer queue resume %[1]s` lets workers take its jobs again", name),
		})
	}
	if surveyed && q.Consumers == 0 {
		blocked = true
		t.noConsumer(jobID, name)
	}
	if task.State == report.TaskPending && !blocked {
		t.inQueue(w, task)
	}
}

// heldLock adds that another job has the transaction's lock.
func (t *telling) heldLock(jobID string, task *report.Task) {
	if t.holder == nil || t.holder.ID == jobID {
		return
	}
	until := time.Now().Add(t.lockedFor).UTC()
	text := fmt.Sprintf("its transaction is locked by job %s on worker %s, for %s more", t.holder.ID, t.holder.Worker, forSeconds(t.lockedFor))
	w := report.Wait{Code: report.WaitsForLock, JobID: jobID, Queue: task.Queue, HolderJobID: t.holder.ID, Worker: t.holder.Worker, Until: &until}
	if t.lockedFor < 0 { // somebody else than a worker has set it: the next attempt gives it an expiry
		w.Until = nil
		text = fmt.Sprintf("its transaction is locked by job %s on worker %s, without an expiry", t.holder.ID, t.holder.Worker)
	}
	w.Text = text
	t.wait(w)
}

func (t *telling) inWork(w report.Wait, task *report.Task) {
	w.Code, w.Worker, w.Since = report.IsInWork, value(task.Worker), task.Since
	who := w.Worker
	if who == "" {
		who = "an unknown worker"
	}
	switch {
	case task.Until != nil && time.Since(*task.Until) > 0:
		w.Text = fmt.Sprintf("worker %s fetched it, and hasn't been heard of for %s: the other workers put it back", who, forSeconds(time.Since(*task.Until)))
	case task.Since == nil:
		w.Text = fmt.Sprintf("it is in work on worker %s, or is the next there, for a few seconds", who)
	default:
		w.Text = fmt.Sprintf("it is in work on worker %s, for %s", who, forSeconds(time.Since(*task.Since)))
	}
	t.wait(w)
}

func (t *telling) retryDue(w report.Wait, task *report.Task) {
	w.Code, w.Attempt, w.Reason, w.Until = report.WaitsForRetry, task.Failures, value(task.LastError), task.Until
	switch {
	case strings.HasPrefix(w.Reason, invoice.WaitsForInvoice):
		w.Code, w.Text = report.WaitsForInvoice, "it "+w.Reason+"; it asks again "+inSeconds(task.Until)
	case task.Failures == 0:
		w.Text = "it was put back, which uses up no retry, and is due " + inSeconds(task.Until)
	case task.Failures == 1:
		w.Text = "attempt 1 failed, and the next is due " + inSeconds(task.Until)
	default:
		w.Text = fmt.Sprintf("attempt %d failed, and the next is due %s", task.Failures, inSeconds(task.Until))
	}
	t.wait(w)
}

func (t *telling) inQueue(w report.Wait, task *report.Task) {
	w.Code, w.Ahead, w.Since = report.WaitsForPlace, task.Ahead, task.Since
	switch {
	case task.Ahead == nil:
		w.Ahead, w.AtLeast = &task.Looked, true
		w.Text = fmt.Sprintf("it is in queue %s, with more than %d jobs ahead of it", task.Queue, task.Looked)
	case *task.Ahead == 0:
		w.Text = fmt.Sprintf("it is the next in queue %s", task.Queue)
	case *task.Ahead == 1:
		w.Text = fmt.Sprintf("it is in queue %s, with 1 job ahead of it", task.Queue)
	default:
		w.Text = fmt.Sprintf("it is in queue %s, with %d jobs ahead of it", task.Queue, *task.Ahead)
	}
	t.wait(w)
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// forSeconds returns a duration, rounded for people.
func forSeconds(d time.Duration) string {
	switch d = max(d, 0); {
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	default:
		return d.Round(time.Second).String()
	}
}

// inSeconds returns a time as the distance from now.
func inSeconds(at *time.Time) string {
	if at == nil {
		return "soon"
	}
	if left := time.Until(*at); left > 0 {
		return "in " + forSeconds(left)
	}
	return "now"
}
