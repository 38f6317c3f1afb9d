// Package worker takes jobs from asynq's queues and sees each of them to its recorded end.
//
// The central types are [Handler], which takes one job from its payload to its end, and [Server], which feeds the handler
// and stops it in an orderly way.
//
// # Overview
//
// A job is one request for the invoice of one transaction. An attempt is one run of one job. A job may be attempted any
// number of times, by several workers at once, and after a crash at any point. That is safe because everything that decides
// is in the database: a unique constraint allows one invoice for each transaction, and a job's end is committed before the
// queue hears of it. The lock and the done entry in Redis only spare the database work.
//
// An attempt passes these steps:
//
//	task from the queue
//	  │
//	  ▼
//	identify ── task of another installation's ledger ──▶ dropped from the queue
//	  │
//	  ▼
//	decode ──── can never be an invoice ───────────────▶ record invalid
//	  │
//	  ▼
//	lock ────── held by another job, nothing committed ─▶ put back
//	  │    └─── done entry ──▶ duplicate ───────────────▶ record duplicate
//	  ▼
//	generate ── transaction or key has an invoice ──────▶ record duplicate or conflict
//	  │
//	  ▼
//	invoice and end committed together
//	  │
//	  ▼
//	release the lock, store the done entry, acknowledge
//
// # Which job a task is
//
// A task that was enqueued directly is a job under the task's own id. A task that the ledger's relay has sent names its job
// in its id and in a header. If the two disagree, the task was altered, or its producer chose an id that looks like the
// ledger's; the handler then asks the ledger which of the jobs it knows.
//
// Of a job of the ledger, the ledger's payload counts and not the task's: recording an end compares the two, and if they
// differ, the attempt starts again with the payload that was accepted. If that payload isn't kept any more, the job is left
// as it is on record. So is a dismissed job.
//
// # The lock
//
// An attempt asks for its transaction's lock in one round trip, and gets one of three answers:
//
//   - acquired: it makes the invoice. It frees the lock whatever happens, and once the transaction's invoice is committed
//     it leaves a done entry in the lock's place. A job that already holds the lock, through a worker that died, gets it again
//     at once.
//   - done: the entry names the invoice. A job with the same content is a duplicate of it without reading the database;
//     every other job is decided by reading.
//   - held: another job is making the invoice. The attempt asks again every 5 to 20 ms for up to [Options.LockWait], while at
//     most a quarter of the slots wait in this way. Then it reads once what is committed. If there is no invoice yet, the job
//     is put back: the holder may still fail, so losing the race doesn't make a job a duplicate.
//
// The lock lasts longer than an attempt may take. If it expires all the same, two attempts may write at once, and the
// database lets one of them through.
//
// # The done entry
//
// A done entry is what Redis remembers of an invoice, for [Options.CacheTTL]. It is stored after the commit only, and it is
// never believed alone: recording a duplicate fails unless the database has an invoice with that id, transaction, number and
// fingerprint, made by another job. If it fails, the entry is stale, as after a restore from a backup. It is deleted, and the
// attempt asks for the lock again. If stale entries keep coming back, the invoice is made without asking Redis.
//
// # Ends
//
// Every job ends once, with one outcome. The end is committed first, and the task is completed or archived afterwards:
//
//	created               committed together with the invoice; the task is completed
//	duplicate             recorded with the invoice that it is a duplicate of; the task is completed
//	conflict, invalid     recorded as a failed job, with the reason; the task is archived
//	failed                likewise, once its retries are used up
//
// If a worker dies between the two, the job is attempted again and comes to the same end. A bad end never replaces a good
// one: where an earlier attempt had made the invoice, a job that would be given up ends as created or duplicate.
//
// If no end can be recorded and the queue would archive the task after this attempt, the handler keeps the job in hand and
// tries again until it is recorded, the queue withdraws the task, or the worker stops.
//
// # What is put back, and what is retried
//
// An attempt without an end either goes back to the queue without using up a retry, or it counts as a failure:
//
//	the lock is held                         put back for 50 to 250 ms
//	an outage of Redis or Postgres           waits in hand, then put back for 1 to 5 s
//	a row or counter that is held for long   put back for 1 to 5 s
//	a job of a newer version                 put back for 10 to 30 s, for a newer worker
//	anything else, a panic included          retried after 1 s, 2 s, 4 s … 10 min, at random up to half earlier
//
// In an outage a job waits in hand, and asks again after 50 ms to 1 s, for as long as [Options.JobTimeout] lets it and the
// worker isn't stopping: the jobs behind it in the queue would meet the same outage.
//
// A job that fails again after [Options.MaxRetry] retries is recorded as failed. Failures of the ledger's jobs are counted in
// the ledger as well, because the queue's count may have been altered.
//
// A worker that dies, or loses touch with Redis, is no failure of its jobs. The reconciler of package dispatch brings them
// back and counts that apart: a job that is cut off more than ten times is recorded as failed, as it may be what kills its
// workers. asynq has a recovery of its own, which is slower and does count such an end as a failure; so the handler allows a
// job ten failures more than its retries before it gives it up without trying it.
//
// # Start and stop
//
// [Server.Shutdown] takes no more jobs, gives those in hand [Options.ShutdownTimeout] to end, and puts back those that were
// fetched and not begun. When it returns, no handler runs any more. The jobs of a worker that doesn't get that far are found
// by the reconciler of package dispatch.
package worker
