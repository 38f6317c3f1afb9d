// Package worker consumes jobs from asynq's queues and sees each of them to its end.
//
// The central types are [Handler], which takes one job the way from its payload to its recorded end, and [Server],
// which feeds it. How an end is told to the queue:
//
//	created, duplicate          acknowledged, with a result that asynqmon shows
//	invalid, conflict, failed   recorded as a failed job, then archived
//	contention, outages         put back after a short delay, without using up a retry
//	anything else               retried with exponential back-off, worker.max_retry times
//
// Nothing is acknowledged before its end is committed.
package worker
