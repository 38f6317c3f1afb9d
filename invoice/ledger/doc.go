// Package ledger has the words of the ledger, the database's record of accepted and of failed jobs: how a job ended, a
// sending of it to its queue, the right to watch over a queue, and failed jobs with what people do to them.
//
// It holds types alone. Package invoice/postgres keeps the ledger, package worker records ends in it, and package
// worker/dispatch makes the queues match it.
package ledger
