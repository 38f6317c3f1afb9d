package main

func ofWorker() []mutant {
	const handler, in = "worker/handler.go", "./worker"
	const gate, ahead, theQueue = "worker/queue/gate.go", "worker/queue/ahead.go", "./worker/queue"
	return []mutant{
		{
			name: "a held lock is acknowledged", promise: noneLost, hazard: winnerFails,
			changes: []change{{
				handler,
				"\t\th.returned(ctx, a, err)\n\t\treturn err\n",
				"\t\th.returned(ctx, a, err)\n\t\tif errors.As(err, new(*contentionError)) {\n\t\t\treturn nil\n\t\t}\n\t\treturn err\n",
			}},
			in: in, tests: []string{"TestCrashedHolder/another_job_waits_for_the_expiry"},
		},
		{
			name: "a loser is a duplicate before the invoice is seen", promise: noneLost, hazard: winnerFails,
			changes: []change{{
				handler,
				"result, err = h.generator.Lookup(ctx, r, reason)",
				"result, err = invoice.Result{Outcome: invoice.Duplicate, Invoice: &invoice.Ref{ID: 1, TransactionID: r.Job.TransactionID, Fingerprint: r.Fingerprint}, Reason: reason}, nil",
			}},
			in: in, tests: []string{"TestCrashedHolder/another_job_waits_for_the_expiry"},
		},
		{
			name: "losing a race uses up a retry", promise: recovers, hazard: storm,
			changes: []change{{"worker/retry.go", "!errors.As(err, &contention) && !errors.As(err, &version) &&", "(errors.As(err, &contention) || !errors.As(err, &version)) &&"}},
			in:      in, tests: []string{"TestCrashedHolder/another_job_waits_for_the_expiry"},
		},
		{
			name: "all slots wait for one lock", promise: recovers, hazard: storm,
			changes: []change{{handler, "max(1, o.Concurrency/4)", "max(1, o.Concurrency)"}},
			in:      in, tests: []string{"TestWaitersLeaveSlotsForOthers"},
		},
		{
			name: "nothing is remembered of a done transaction", promise: recovers, hazard: storm,
			changes: []change{{handler, "if remember, err = encodeDone(", "if _, err = encodeDone("}},
			in:      in, tests: []string{"TestRoundTrips"},
		},
		{
			name: "the done entry is stored before the commit", promise: noneLost, hazard: winnerFails,
			changes: []change{{
				handler,
				"\tresult, err = h.generator.Generate(ctx, r)\n",
				"\tearly, _ := encodeDone(&invoice.Ref{ID: 1, TransactionID: r.Job.TransactionID, Fingerprint: r.Fingerprint})\n\tremember = early\n\tresult, err = h.generator.Generate(ctx, r)\n",
			}},
			in: in, tests: []string{"TestNothingIsDoneBeforeTheCommit"},
		},
		{
			name: "a stale done entry is trusted", promise: noneLost, hazard: restored,
			changes: []change{{
				handler,
				"\t\twithdrawn := result.Invoice != nil && result.Invoice.Imported != nil\n",
				"\t\tif entry != nil && errors.Is(err, invoice.ErrNotInvoiced) && result.Invoice != nil {\n\t\t\treturn result, nil\n\t\t}\n" +
					"\t\twithdrawn := result.Invoice != nil && result.Invoice.Imported != nil\n",
			}},
			in: in, tests: []string{"TestDoneEntryWithoutAnInvoice/of_another_job"},
		},
		{
			name: "a done entry of other content is a duplicate", promise: immutable, hazard: sameKey,
			changes: []change{{"invoice/generator.go", "known.TransactionID == r.Job.TransactionID && known.Fingerprint == r.Fingerprint &&", "known.TransactionID == r.Job.TransactionID &&"}},
			in:      in, tests: []string{"TestConflicts/same_transaction,_other_content"},
		},
		{
			name: "a job's own done entry makes it a duplicate", promise: classified, hazard: lostAck,
			// The database refuses such a record by itself, too.
			changes: []change{
				{"invoice/generator.go", "known.Fingerprint == r.Fingerprint && known.JobID != r.JobID {", "known.Fingerprint == r.Fingerprint {"},
				{records, " AND (invoices.job_id = a.job_id) = (a.outcome = 'created')", ""},
			},
			in: in, tests: []string{"TestSameTaskTwice"},
		},
		{
			name: "a duplicate is acknowledged without a record", promise: noneLost, hazard: storm,
			changes: []change{{handler, "if err == nil && !result.Recorded && result.Outcome != invoice.Conflict {", "if err == nil && !result.Recorded && result.Outcome == invoice.Created {"}},
			in:      in, tests: []string{"TestDuplicateRunsTwice"},
		},
		{
			name: "the ledger's job goes by its task's id", promise: classified, hazard: lostEnqueue,
			changes: []change{{"worker/identity.go", "return []string{storableID(named)}", "return []string{storableID(taskID)}"}},
			in:      in, tests: []string{"TestJobOfTheLedger"},
		},
		{
			name: "a failed job isn't recorded before it is archived", promise: noneLost, hazard: retriesUsedUp,
			changes: []change{{handler, "\t\treturn h.giveUp(ctx, a, err)\n\t}\n\treturn end, err\n", "\t\terr = errors.Join(err, asynq.SkipRetry)\n\t}\n\treturn end, err\n"}},
			in:      in, tests: []string{"TestRetriesUsedUp/error"},
		},
		{
			name: "the queue's own limit archives a job in mid-outage", promise: noneLost, hazard: retriesUsedUp,
			changes: []change{{handler, "!errors.Is(err, asynq.SkipRetry) && a.final {", "!errors.Is(err, asynq.SkipRetry) && a.final && a.retried > a.limit {"}},
			in:      in, tests: []string{"TestForeignRetryLimit"},
		},
		{
			name: "retries never run out", promise: recovers, hazard: retriesUsedUp,
			changes: []change{{"worker/bad_end.go", "return failures >= limit, err", "return failures > limit, err"}},
			in:      in, tests: []string{"TestRetriesUsedUp/error"},
		},
		{
			name: "outages use up retries", promise: recovers, hazard: postgresDown,
			changes: []change{{"worker/retry.go", "!errors.As(err, &paused) && !isOutage(err)\n", "!errors.As(err, &paused)\n"}},
			in:      in, tests: []string{"TestPostgresRestarts"},
		},
		{
			name: "a crash counts as no failure", promise: recovers, hazard: lostLease,
			changes: []change{{"worker/retry.go", "!errors.As(err, &paused) && !isOutage(err)\n", "!errors.As(err, &paused) && !isOutage(err) && !errors.Is(err, asynq.ErrLeaseExpired)\n"}},
			in:      in, tests: []string{"TestLostAcknowledgement"},
		},
		{
			name: "a job that kills its workers does so for ever", promise: recovers, hazard: killed,
			changes: []change{{"worker/bad_end.go", "if a.retried <= h.options.MaxRetry+maxCrashes || a.counted {", "if a.retried >= 0 || a.counted {"}},
			in:      in, tests: []string{"TestJobThatKillsItsWorkers"},
		},
		{
			name: "a failed end doesn't wait for a commit under way", promise: classified, hazard: lostLease,
			changes: []change{{"invoice/postgres/record_bad.go", "tx.Exec(\"SELECT \"+lockEnd+\", \"+lockErasing+\", set_config(", "tx.Exec(\"SELECT ?::text, set_config("}},
			in:      in, tests: []string{"TestGivenUpWhileTheInvoiceIsBeingCommitted"},
		},
		{
			name: "shutdown leaves handlers behind", promise: noneLost, hazard: shutdown,
			changes: []change{{"worker/server.go", "\ts.handler.running.Wait()\n", ""}},
			in:      in, tests: []string{"TestShutdownWaitsForWhatTheQueueHasGivenUpOn"},
		},
		{
			name: "a reply to enqueue that is lost is an error", promise: noneLost, hazard: lostEnqueue,
			changes: []change{{"worker/client/enqueue.go", "case !errors.Is(err, asynq.ErrTaskIDConflict):", "case err != nil:"}},
			in:      in, tests: []string{"TestLostReplyToEnqueue"},
		},
		{
			name: "a message that stops the queue's recovery goes unseen", promise: recovers, hazard: undecodable,
			changes: []change{{"worker/queue/log.go", "\t\tlevel = slog.LevelWarn\n", "\t\tlevel = slog.LevelDebug\n"}},
			in:      in, tests: []string{"TestUndecodableMessageIsSeen"},
		},
		{
			name: "log lines hold the payload", promise: discreet,
			changes: []change{{"worker/event.go", "\"attempt\", a.number()}\n", "\"attempt\", a.number(), \"payload\", string(a.task.Payload())}\n"}},
			in:      in, tests: []string{"TestLogsHoldNoPersonalData"},
		},
		{
			name: "a panic tells what it was about", promise: discreet,
			changes: []change{{"worker/retry.go", "what: fmt.Sprintf(\"%T\", p)", "what: fmt.Sprintf(\"%v\", p)"}},
			in:      in, tests: []string{"TestPanicIsAFailureAndTellsNothing"},
		},
		{
			name: "an answer from before a queue was woken is believed", promise: recovers, hazard: storm,
			changes: []change{{gate, "case wakes == q.wakes: // else the answer may be older than what woke the queue", "default:"}},
			in:      theQueue, tests: []string{"TestAnAnswerFromBeforeTheWakingIsNotBelieved"},
		},
		{
			name: "jobs that were fetched are held with the next fetch", promise: recovers, hazard: storm, hangs: true,
			changes: []change{{gate, "return 0, 0, !g.ahead.some()", "return 0, 0, true"}},
			in:      theQueue, tests: []string{"TestAJobAheadIsNotHeld"},
		},
		{
			name: "more is fetched than can begin", promise: recovers, hazard: storm,
			changes: []change{{ahead, "min(batch, a.room(), mostAhead)", "min(batch, mostAhead)"}},
			in:      theQueue, tests: []string{"TestNoMoreIsFetchedThanCanBegin"},
		},
		{
			name: "a worker stops while jobs are on their way to it", promise: recovers, hazard: shutdown,
			changes: []change{{gate, "if !g.closing || g.asking > 0 || g.ahead.some() {", "if !g.closing || g.ahead.some() {"}},
			in:      theQueue, tests: []string{"TestAGateIsNotDrainedWhileItAsks"},
		},
	}
}
