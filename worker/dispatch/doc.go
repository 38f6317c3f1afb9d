// Package dispatch makes sure that an accepted job is never lost, even if Redis loses all of its data.
//
// A [Relay] takes accepted jobs from the database into the queues. A [Reconciler] finds jobs that the queues no longer
// have, or whose worker is gone, and brings them back. A [Replayer] sends failed jobs again, and a [Bulk] does
// so for whoever asked for it by HTTP.
//
// None of them decides about an invoice. If one of them sends a job twice, it is the same job twice and ends once. So each
// may be killed, stopped, or run beside another one of its kind at any point.
//
// # The ledger and the queue
//
// The ledger is the table invoice_jobs in Postgres. It has a row for each accepted job, and for each job that was enqueued
// directly and ended badly. The row's state says what should be true of the queue:
//
//	            relay claims                  worker records
//	accepted ─────────────────▶ enqueued ─────────────────────▶ done
//	   ▲ ▲                        │  │                            ▲
//	   │ └──── put back ──────────┘  └────▶ failed ───────────────┘
//	   └───────── replayed ───────────────────┘ │ ▲
//	                                            ▼ │ restored
//	                                          dismissed
//
// Redis may lose a queue in whole or in part, return to an older state, or have its keys overwritten, and it reports none of
// that. The ledger is right; the reconciler makes the queue match it.
//
// Each time a job is sent it is a new dispatch, with a higher number, and its task is named JOB.NUMBER. So an old task is
// never mistaken for the current one, and "this dispatch is lost" never puts back a job that was sent anew meanwhile.
//
// # Relay
//
// A relay claims a batch of accepted jobs: it marks them as enqueued and commits. Then it puts their tasks into Redis. It
// holds no row lock meanwhile and writes nothing afterwards, so a slow or lost reply from Redis never overwrites a job's end.
//
//   - What Redis doesn't take is put back at once: the job is accepted again.
//   - If the relay dies between the commit and Redis, the job is enqueued in the ledger and missing in the queue. The
//     reconciler finds it like any other lost job.
//   - Jobs for a queue that belongs to another installation stay accepted.
//
// Every worker process runs a relay. Two relays never claim the same dispatch.
//
// # Reconcilers
//
// Every worker process runs a reconciler too, and each queue is looked after by one of them. That one holds the queue's
// lease in the database, renews it in each round (once a second), and gives it up when it stops. If it dies, another
// process takes the queue over when the lease has run out, after 3 s. Two at once would only do work twice.
//
// In each round the reconciler reads the state of a queue with one script, and then considers Redis, the workers, the
// archive and the jobs.
//
// # Mark
//
// The mark shows whether Redis has lost writes. It is a number under a key of this program's in the queue's slot. As long as
// Redis has lost nothing, each round increments the mark in Redis, and the next renewal of the lease writes the new value to
// the database, together with the id of the Redis process (its run_id). So the database never has a mark that Redis hasn't
// had.
//
// Redis has lost nothing if the same process answers, and its mark is the one in the database or a little higher. Otherwise
// it may have lost data:
//
//	no mark             it was flushed, or it restarted empty
//	a lower mark        it returned to an older state
//	another process     it was restarted, or a replica was promoted
//
// Each of these starts a sweep. So does a queue that is looked after for the first time.
//
// # Sweep
//
// A sweep looks for every enqueued job of a queue, in the order of dispatch, at most 20,000 a second. It ends when it has
// passed all jobs that were dispatched before the sweep began. While it lasts the mark reads "sweep:" and a token of this
// reconciler; a successor that finds another reconciler's token begins the sweep again. If the mark changes during a sweep,
// Redis has lost data again, and the sweep starts over. At its end a number takes the mark's place, in Redis first.
//
// # Young and slow
//
// Redis may also lose a part of a queue while its mark survives. So two cursors always go through the
// enqueued jobs, in the order of dispatch:
//
//   - Young follows the dispatches: each job is looked for once, as soon as it has had [ReconcilerOptions.Settled] (5 s) to
//     arrive in its queue. Young finds what a dying relay left behind.
//   - Slow goes round all enqueued jobs, again and again, at 250 a second. Slow finds what disappeared later. A lap that
//     has found a lost job continues at a sweep's pace, and so does the lap after it: where one job was lost, more may be
//     missing.
//
// Both rest during a sweep, which looks for the same jobs. No job is looked for while the ledger has no enqueued job at all.
//
// # How a lost job is found
//
// One script looks up a page of jobs and returns where the queue has each task. It doesn't rely on the state in a task's
// hash: a task counts as active, in retry or archived only if the queue has it there.
//
//	active, in retry        it is where it should be
//	archived                asynq or a person has given it up: it is recorded as failed, unless it has an end
//	waiting                 it has to be in the list of waiting tasks, see below
//	anything else           it is lost: no task, no message, or done in the queue and not in the ledger
//
// A Redis list can only be read from end to end. One of up to 10,000 tasks is read whole, in each round in which a task's
// state is pending. A longer list is read in pages over several rounds; a job that isn't in it counts as lost only if it
// is missing again when the list has been read once more.
//
// A lost job is put back: the reconciler asks the ledger again whether this dispatch is still open, deletes what is left of
// the task if that hasn't changed since, and makes the job accepted again. A relay then sends the next dispatch. Deleting
// comes first: if the reconciler dies in between, a job is missing, which is found again; in the other order, a task could
// remain that no check would find.
//
// # Jobs of dead workers
//
// A worker extends the lease of each task in hand every 5 s. A lease that hasn't changed for
// [ReconcilerOptions.DeadAfter] (10 s) belongs to a dead worker, or to one that is cut off from Redis. Its job goes back to
// the front of the queue, whether it came through the ledger or directly, and the task counts how often that has happened:
//
//   - From the third time on, the job comes back after a random delay of up to 10 s. All jobs that a worker had in hand lose
//     it together, and one of them may have killed it; with different delays, that one takes fewer others along the next
//     time.
//   - After more than [ReconcilerOptions.MaxCrashes] (10) times the job is recorded as failed, and its task is archived.
//
// # Archived tasks
//
// asynq archives a task without calling a worker when the task reaches a limit that a foreign producer set, and people
// archive tasks in asynqmon. The reconciler reads the archive as it grows and records those of its jobs that have no end as
// failed, so that each shows up among the failed jobs.
//
// # Replay
//
// A [Replayer] goes once through the failed jobs that a filter selects. It forecasts each job's outcome, leaves those
// that can't become an invoice unchanged, and makes the others accepted again, under their own job ids. Jobs that fail while
// it runs are left alone, so it comes to an end.
//
// A [Bulk] runs the replays that the pages and the HTTP API have asked for. Each is a row with a lease. Whoever holds it makes jobs accepted
// again and records how far that has come in one transaction, in which it also looks whether it still holds the row. So a replay that
// another process takes over goes on exactly behind what was done, however its first process died, and a canceled one does nothing more.
package dispatch
