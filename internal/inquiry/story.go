package inquiry

import (
	"context"
	"fmt"
	"slices"
	"time"

	"invoicer/internal/report"
	"invoicer/invoice"
	"invoicer/locking"
	"invoicer/worker/queue"
)

// Story returns all that is known about an id: of a transaction, a job or a task, an idempotency key, or an invoice's number. If it
// may be several of these, the story is about the first, and Matches names the others. It shows the newest limit jobs and
// duplicate attempts at most. A story of nothing isn't an error: see [report.Story.Known].
//
// The story is about one issuer: the one of those given that has such an id, or if issuers is nil the one of all. If several have, Story
// returns a [*report.AmbiguousError]. It tells nothing of other issuers than those given.
//
// If Redis doesn't answer, the story has a problem, and waits that say so. If the database doesn't, Story returns its error.
func (r *Reporter) Story(ctx context.Context, issuers []string, id string, limit int) (*report.Story, error) {
	s, jobID, err := r.recorded(ctx, issuers, id, limit)
	if err != nil {
		return nil, err
	}
	t := &telling{Story: s, issuers: issuers, queues: map[string]queue.Surveyed{}}
	if t.anyOpen() || !s.Records.Known() {
		if err := r.fromRedis(ctx, t, id, jobID); err != nil {
			return nil, err
		}
	}
	if err := r.addConflicts(ctx, s); err != nil {
		return nil, err
	}
	t.addWaits()
	t.addEvents()
	if len(s.Matches) == 0 {
		s.TransactionID = &s.Asked // which is what it most likely is
		if len(issuers) == 1 {
			s.Issuer = issuers[0]
		}
	}
	return s, nil
}

// recorded returns the story's records, and the job that the id is of, "" if it is of a transaction.
func (r *Reporter) recorded(ctx context.Context, issuers []string, id string, limit int) (*report.Story, string, error) {
	s := &report.Story{
		Asked: id, Matches: []report.Match{}, Waits: []report.Wait{}, Events: []report.Event{}, Conflicts: []report.Conflict{},
		Tasks: []report.Task{}, Problems: []string{},
		Records: report.Records{Imports: []report.Import{}, Family: report.NoFamily(), DuplicateAttempts: []report.Duplicate{}, Jobs: []report.Job{}},
	}
	matches, err := r.options.Store.Identify(ctx, issuers, id)
	if err != nil || len(matches) == 0 {
		return s, "", err
	}
	if err := ofOneIssuer(id, matches); err != nil {
		return nil, "", err
	}
	s.Matches = matches
	first := matches[0]
	jobID := ""
	if first.JobID != nil {
		jobID = *first.JobID
	}
	if first.TransactionID == nil {
		found, err := r.options.Store.LookupJob(ctx, &first.Issuer, jobID)
		if err != nil {
			return nil, "", err
		}
		s.Records = *found
		s.Issuer = first.Issuer // also of a job that was pruned at this moment
		return s, jobID, nil
	}
	found, err := r.options.Store.Lookup(ctx, first.Issuer, *first.TransactionID, limit+1) // one more, to know whether there are more
	if err != nil {
		return nil, "", err
	}
	s.More = len(found.DuplicateAttempts) > limit || len(found.Jobs) > limit
	found.DuplicateAttempts = found.DuplicateAttempts[:min(len(found.DuplicateAttempts), limit)]
	found.Jobs = found.Jobs[:min(len(found.Jobs), limit)]
	s.Records = *found
	return s, jobID, r.addJob(ctx, s, jobID)
}

// addJob adds the records of the job that was asked for, if it isn't among the newest.
func (r *Reporter) addJob(ctx context.Context, s *report.Story, jobID string) error {
	if jobID == "" ||
		slices.ContainsFunc(s.Jobs, func(j report.Job) bool { return j.JobID == jobID }) ||
		slices.ContainsFunc(s.DuplicateAttempts, func(d report.Duplicate) bool { return d.JobID == jobID }) {
		return nil
	}
	one, err := r.options.Store.LookupJob(ctx, &s.Issuer, jobID)
	if err != nil {
		return err
	}
	s.Jobs, s.DuplicateAttempts = append(s.Jobs, one.Jobs...), append(s.DuplicateAttempts, one.DuplicateAttempts...)
	return nil
}

// A telling is a story that is being put together, with what Redis has answered.
type telling struct {
	*report.Story

	issuers    []string // those that were asked for, nil for all
	redisAway  bool
	databaseID string
	locked     []string                  // those whose locks are looked at
	several    error                     // whose story it is isn't clear
	queues     map[string]queue.Surveyed // of the open jobs
	holder     *locking.Holder           // of the transaction's lock
	lockedFor  time.Duration
	attempts   []report.Attempt // of jobs that the ledger doesn't have
}

func open(j *report.Job) bool { return j.State == "accepted" || j.State == "enqueued" }

func (t *telling) anyOpen() bool {
	return slices.ContainsFunc(t.Jobs, func(j report.Job) bool { return open(&j) })
}

// fromRedis asks Redis about the open jobs, about a job that was enqueued directly, and about the transaction's lock. It returns
// an error of the database.
func (r *Reporter) fromRedis(ctx context.Context, t *telling, id, jobID string) error {
	var err error
	if t.databaseID, err = r.options.DatabaseID(ctx); err != nil {
		return err
	}
	t.locked = t.issuers
	if t.issuers == nil && len(t.Matches) == 0 {
		if t.locked, err = r.options.Issuers(ctx); err != nil {
			return err
		}
	}
	problem := r.askRedis(ctx, func(ctx context.Context) error {
		if err := r.ledgerTasks(ctx, t); err != nil {
			return err
		}
		if err := r.lock(ctx, t, id); err != nil {
			return err
		}
		if len(t.Jobs) == 0 { // a job of the ledger has its tasks where its row says
			if err := r.directTasks(ctx, t, id, jobID); err != nil {
				return err
			}
		}
		return r.survey(ctx, t)
	})
	if problem != "" {
		t.redisAway = true
		t.Problems = append(t.Problems, problem)
	}
	if t.several != nil {
		return t.several
	}
	if t.TransactionID != nil && !t.Records.Known() { // Redis has told which transaction it is
		found, err := r.options.Store.Lookup(ctx, t.Issuer, *t.TransactionID, 20)
		if err != nil {
			return err
		}
		t.Records = *found
	}
	for _, task := range t.Tasks {
		if !task.Direct {
			continue
		}
		attempts, err := r.options.Store.Attempts(ctx, task.JobID)
		if err != nil {
			return err
		}
		t.attempts = append(t.attempts, attempts...)
	}
	return nil
}

// ledgerTasks looks for the tasks of the ledger's open jobs.
func (r *Reporter) ledgerTasks(ctx context.Context, t *telling) error {
	ids := map[string][]string{}
	for _, j := range t.Jobs {
		if j.State == "enqueued" {
			ids[j.Queue] = append(ids[j.Queue], fmt.Sprintf("%s.%d", j.JobID, j.Dispatch))
		}
	}
	for name, tasks := range ids {
		found, err := queue.KeysOf(name).Search(ctx, r.options.Redis, tasks)
		if err != nil {
			return err
		}
		t.addTasks(found)
	}
	return nil
}

// directTasks looks for a task in all queues, which is how a job is found that was enqueued directly.
func (r *Reporter) directTasks(ctx context.Context, t *telling, id, jobID string) error {
	names, err := r.names(ctx)
	if err != nil {
		return err
	}
	ids := []string{id, jobID}
	if t.holder != nil {
		ids = append(ids, t.holder.ID)
	}
	found, err := queue.SearchAll(ctx, r.options.Redis, names, distinct(slices.DeleteFunc(ids, func(id string) bool { return id == "" })))
	if err != nil {
		return err
	}
	t.addTasks(found)
	t.dropOthers(id)
	if len(t.Tasks) == 0 || len(t.Matches) > 0 {
		return nil
	}
	task := &t.Tasks[0]
	t.Issuer, t.TransactionID = task.Issuer, task.TransactionID
	t.Matches = append(t.Matches, report.Match{Kind: report.ByTask, Issuer: task.Issuer, TransactionID: task.TransactionID, JobID: &task.JobID})
	if task.TaskID != id { // found by the lock of its transaction
		t.Matches[0].Kind = report.ByTransaction
		return nil
	}
	return r.lock(ctx, t, id)
}

// dropOthers drops the tasks of issuers whom the story isn't about. If it may be about several, it says so.
func (t *telling) dropOthers(id string) {
	of := t.issuers
	if len(t.Matches) > 0 {
		of = []string{t.Issuer}
	}
	if of != nil {
		t.Tasks = slices.DeleteFunc(t.Tasks, func(task report.Task) bool { return !slices.Contains(of, task.Issuer) })
	}
	var found []string
	for _, task := range t.Tasks {
		found = append(found, task.Issuer)
	}
	if found = distinct(found); len(found) > 1 {
		t.several = &report.AmbiguousError{ID: id, Issuers: found}
	}
}

func (t *telling) addTasks(found []queue.Found) {
	for _, f := range found {
		job, _ := invoice.Decode(f.Payload) // of a bad payload, as much as can be read
		if job != nil {
			f.Issuer = job.Issuer
		}
		if job != nil && job.TransactionID != "" {
			f.TransactionID = &job.TransactionID
		}
		if job != nil && job.Producer != "" {
			f.Producer = &job.Producer
		}
		t.Tasks = append(t.Tasks, f.Task)
	}
}

// lock looks up who has the lock of the transaction.
func (r *Reporter) lock(ctx context.Context, t *telling, id string) error {
	transaction, issuers := id, t.locked
	if len(t.Matches) > 0 {
		issuers = []string{t.Issuer}
	}
	if t.TransactionID != nil {
		transaction = *t.TransactionID
	}
	locker, err := r.locker(t.databaseID)
	if err != nil {
		return err
	}
	held, err := locksOf(ctx, locker, issuers, transaction)
	if len(held) == 0 {
		return err
	}
	if len(held) > 1 {
		t.several = ambiguous(transaction, held)
	}
	t.Lock = &held[0]
	t.holder = &locking.Holder{ID: t.Lock.JobID, Worker: t.Lock.Worker}
	t.lockedFor = -1
	if t.Lock.Expires {
		t.lockedFor = time.Until(t.Lock.Until)
	}
	return err
}

// survey looks at the queues of the jobs that wait.
func (r *Reporter) survey(ctx context.Context, t *telling) error {
	var names []string
	for _, j := range t.Jobs {
		if open(&j) {
			names = append(names, j.Queue)
		}
	}
	for _, task := range t.Tasks {
		names = append(names, task.Queue)
	}
	found, err := queue.Survey(ctx, r.options.Redis, distinct(names))
	if err != nil || len(found) == 0 {
		return err
	}
	workers, err := queue.Workers(ctx, r.options.Redis)
	for _, q := range found {
		q.Consumers = max(q.Consumers-quietOn(workers, q.Queue.Queue), 0)
		t.queues[q.Queue.Queue] = q
	}
	return err
}

func distinct(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}

// addConflicts adds, for the newest failed jobs whose payload is kept, how they differ from the invoice.
func (r *Reporter) addConflicts(ctx context.Context, s *report.Story) error {
	const most = 5
	if s.Invoice == nil {
		return nil
	}
	var whole *invoice.Invoice
	for _, j := range s.Jobs {
		if j.Outcome == nil || *j.Outcome != string(invoice.Conflict) || len(s.Conflicts) == most {
			continue
		}
		payload, err := r.options.Store.Payload(ctx, nil, j.JobID)
		if err != nil {
			return err
		}
		job, err := invoice.Decode(payload)
		if err != nil || job.TransactionID != s.Invoice.TransactionID || job.Issuer != s.Invoice.Issuer {
			continue // it isn't kept any more, or is about another transaction
		}
		if whole == nil {
			if whole, err = r.options.Invoices.Read(ctx, s.Invoice.ID); err != nil {
				return err
			}
		}
		s.Conflicts = append(s.Conflicts, report.Conflict{JobID: j.JobID, InvoiceNumber: s.Invoice.InvoiceNumber, Fields: differences(whole.Content(), job)})
	}
	return nil
}
