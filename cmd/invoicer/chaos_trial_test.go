package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"

	"invoicer/internal/chaos"
	"invoicer/internal/checker"
	"invoicer/internal/rig"
	"invoicer/worker/client"
)

// trialPatience bounds how long the jobs of a trial may take to end once nothing goes wrong any more, and how long the
// queue then takes to be empty: a dead worker's jobs come back after 10s.
const trialPatience = 90 * time.Second

// A trial is a site, and what the checker has to know of it. Its processes are workers, and sign in as such.
type trial struct {
	*site
	deployer, operator, auditor *site
	shop                        *sql.DB // a producer's
	jobs                        []checker.Job
	watch                       *checker.Watch
}

// newAskings draws a trial's jobs.
func newAskings(t *testing.T, r *rand.Rand, n, conflicts, invalid int) []chaos.Asking {
	t.Helper()
	all, err := chaos.Askings(r, n, conflicts, invalid)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// newTrial gives the site its roles, shortens what would make the trial last, and watches from now on.
func newTrial(t *testing.T, s *site) *trial {
	t.Helper()
	as := s.roled(t)
	watch, err := checker.NewWatch(as[roleReader].databaseURL(), s.Schema, 100*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		watch.Run(ctx)
		close(ended)
	}()
	t.Cleanup(func() {
		stop()
		<-ended
	})
	return &trial{
		watch: watch, deployer: as[roleMigrator], operator: as[roleOperator], auditor: as[roleReader],
		shop: rig.OpenDatabase(t, as[roleProducer].databaseURL(), s.Schema).DB,
		site: as[roleWorker].with("INVOICER_LOCK_TTL=3s", "INVOICER_WORKER_JOB_TIMEOUT=2s", "INVOICER_WORKER_SHUTDOWN_TIMEOUT=4s",
			fmt.Sprint("INVOICER_WORKER_CONCURRENCY=", chaos.Slots)),
	}
}

// A commitError says that nobody knows what became of a transaction.
type commitError struct{ error }

// accept takes jobs into the ledger in one transaction, as a billing service does. When the reply to its COMMIT is lost,
// it notes the jobs as unknown; as after every other error, the service then asks again, under other ids.
func (x *trial) accept(ctx context.Context, all []chaos.Asking) error {
	jobs := make([]checker.Job, 0, len(all))
	err := func() error {
		tx, err := x.shop.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }()
		for _, a := range all {
			id := uuid.NewString()
			if _, err := tx.ExecContext(ctx, `SELECT accept($1::text, $2::text, $3::uuid)`, string(a.Payload), x.queue, id); err != nil {
				return err
			}
			jobs = append(jobs, checker.Job{ID: id, Ledger: true, Payload: a.Payload})
		}
		if err := tx.Commit(); err != nil {
			return commitError{err}
		}
		return nil
	}()
	var unknown commitError
	if errors.As(err, &unknown) {
		for i := range jobs {
			jobs[i].Unknown = true
		}
	}
	if err == nil || unknown.error != nil {
		x.jobs = append(x.jobs, jobs...)
	}
	return err
}

// enqueueAll puts jobs straight into the queue.
func (x *trial) enqueueAll(t *testing.T, all []chaos.Asking) {
	t.Helper()
	queue := asynq.NewClientFromRedisClient(x.rdb)
	for _, a := range all {
		id := uuid.NewString()
		_, err := queue.Enqueue(asynq.NewTask(client.TaskType, a.Payload), asynq.TaskID(id), asynq.Queue(x.queue),
			asynq.MaxRetry(math.MaxInt32), asynq.Retention(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		x.jobs = append(x.jobs, checker.Job{ID: id, Payload: a.Payload})
	}
}

// ended counts the jobs that have ended.
func (x *trial) ended() (n int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err = x.DB.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM invoices) + (SELECT count(*) FROM duplicate_attempts)
+ (SELECT count(*) FROM invoice_jobs WHERE state = 'failed')`).Scan(&n)
	return n, err
}

// waiting lists the jobs that went in for certain and have no end.
func (x *trial) waiting() (ids []string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var known []string
	for _, j := range x.jobs {
		if !j.Unknown {
			known = append(known, j.ID)
		}
	}
	// What is unknown and did go in is awaited as well, as the ledger has it.
	rows, err := x.DB.QueryContext(ctx, `SELECT job_id FROM (SELECT unnest($1::text[]) AS job_id
UNION SELECT job_id FROM invoice_jobs WHERE state IN ('accepted', 'enqueued')) AS asked
WHERE job_id NOT IN (SELECT job_id FROM invoices) AND job_id NOT IN (SELECT job_id FROM duplicate_attempts)
  AND job_id NOT IN (SELECT job_id FROM invoice_jobs WHERE state IN ('failed', 'dismissed'))`, known)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

// inQueue counts the tasks that somebody works on or will.
func (x *trial) inQueue() (int, error) {
	info, err := x.inspector.GetQueueInfo(x.queue)
	if err != nil {
		return 0, err
	}
	return info.Active + info.Pending + info.Scheduled + info.Retry, nil
}

// settle returns when every job has ended and the queue is empty.
func (x *trial) settle(t *testing.T) {
	t.Helper()
	x.awaitAllEnds(t)
	rig.Within(t, trialPatience, func() error {
		n, err := x.inQueue()
		if err == nil && n > 0 {
			err = fmt.Errorf("an empty queue: every job has ended, and it still holds %d tasks", n)
		}
		return err
	})
}

func (x *trial) awaitAllEnds(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(trialPatience)
	for {
		ids, err := x.waiting()
		if err == nil && len(ids) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d jobs have no end after %s (%v):\n%s", len(ids), trialPatience, err, x.dump(ids))
		}
		time.Sleep(50 * time.Millisecond) // the database tells in no other way
	}
}

// dump tells what is known of jobs that don't end.
func (x *trial) dump(ids []string) string {
	var told strings.Builder
	for _, id := range ids[:min(len(ids), 20)] {
		var row, transaction sql.NullString
		err := x.DB.QueryRow(`SELECT state || ' dispatch ' || dispatch || ' updated ' || updated_at, transaction_id FROM invoice_jobs WHERE job_id = $1`, id).
			Scan(&row, &transaction)
		if errors.Is(err, sql.ErrNoRows) {
			row.String = "not in the ledger"
		} else if err != nil {
			row.String = err.Error()
		}
		fmt.Fprintf(&told, "%s of %s: %s\n", id, transaction.String, row.String)
	}
	if info, err := x.inspector.GetQueueInfo(x.queue); err != nil {
		fmt.Fprintf(&told, "queue: %v\n", err)
	} else {
		fmt.Fprintf(&told, "queue: %+v\n", *info)
	}
	return told.String()
}

// verdict is what the checker, the watch and the audit say when nothing is under way any more.
func (x *trial) verdict(t *testing.T) *checker.Report {
	t.Helper()
	report, err := checker.Check(t.Context(), x.auditor.databaseURL(), x.Schema, x.jobs)
	if err != nil {
		t.Fatal(err)
	}
	report.Violations = append(report.Violations, x.watch.Violations()...)
	for _, v := range report.Violations {
		t.Error(v)
	}
	if report.Failed > 0 {
		t.Errorf("%d jobs are given up, and nothing is wrong with them", report.Failed)
	}
	if x.watch.Samples() == 0 {
		t.Error("nobody has watched")
	}
	if code, stdout, stderr := x.auditor.run(t, "", "audit"); code != exitOK {
		t.Errorf("audit: exit code %d\n%s%s", code, stdout, stderr)
	}
	return report
}
