package main

// What happens between the acceptance of a job and its worker.
func ofLedger() []mutant {
	const (
		accept, dispatch = "migrations/00003_accept.sql", "invoice/postgres/dispatch.go"
		relay, tasks     = "worker/dispatch/relay.go", "worker/queue/tasks.go"
		watch, workers   = "worker/dispatch/watch.go", "worker/dispatch/workers.go"
		walk, archive    = "worker/dispatch/walk.go", "worker/dispatch/archive.go"
		theLedger        = "./worker/dispatch"
	)
	return []mutant{
		{
			name: "a task is in hand twice", promise: recovers,
			changes: []change{{"worker/queue/ahead.go", "redis.call(\"LREM\", KEYS[3], 0, id)", "local nothing = 0"}},
			in:      "./worker/queue", tests: []string{"TestAnIDIsInHandOnce"},
		},
		{
			name: "a relay takes jobs whose queue lies on another Redis", promise: noneLost,
			changes: []change{{"invoice/postgres/queue_ledger.go", "return s.claim(ctx, limit, s.only(), except)", "return s.claim(ctx, limit, \"\", except)"}},
			in:      "./invoice/postgres", tests: []string{"TestLedgerOfSomeQueues"},
		},
		{
			name: "who is dead is told by this machine's clock", promise: recovers, hazard: lostLease,
			changes: []change{{"worker/queue/lease.go", "byRedis.Sub(extended)", "now.Sub(extended)"}},
			in:      theLedger, tests: []string{"TestDead"},
		},
		{
			name: "accept looks into its caller's temporary tables", promise: noneLost,
			changes: []change{{door, "quote_ident(current_schema()) || ', pg_temp', true);\n\n-- Queues that", "quote_ident(current_schema()), true);\n\n-- Queues that"}},
			in:      theStore, tests: []string{"TestAcceptForARoleThatMayDoNothingElse"},
		},
		{
			name: "accept takes a key given twice", promise: classified,
			changes: []change{{"migrations/00038_accept_terms.sql", "GROUP BY key HAVING count(*) > 1) AS twice;", "GROUP BY key HAVING count(*) > 9) AS twice;"}},
			in:      theStore, tests: []string{"TestAcceptRefusesWhatCanNeverBeAnInvoice"},
		},
		{
			name: "a job is dispatched anew under its old task id", promise: noneLost, hazard: lostEnqueue,
			changes: []change{{dispatch, "dispatch = dispatch + 1, updated_at", "dispatch = greatest(dispatch, 1), updated_at"}},
			in:      theLedger, tests: []string{"TestPutBackComesTooLate"},
		},
		{
			name: "what is claimed isn't marked as dispatched", promise: noneLost,
			changes: []change{{dispatch, "UPDATE invoicer.invoice_jobs jobs SET state = 'enqueued', dispatch", "UPDATE invoice_jobs jobs SET dispatch"}},
			in:      theLedger, tests: []string{"TestManyRelays"},
		},
		{
			name: "two relays claim the same job", promise: noneLost,
			changes: []change{{dispatch, "WHERE state = 'accepted' AND paused_series IS NULL AND queue <> ALL (?::text[])`+condition+` ORDER BY id LIMIT ? FOR UPDATE SKIP LOCKED", "WHERE state IN ('accepted', 'enqueued') AND queue <> ALL (?::text[])`+condition+` ORDER BY id LIMIT ?"}},
			in:      theLedger, tests: []string{"TestManyRelays"},
		},
		{
			name: "a job that was dispatched anew is put back", promise: noneLost, hazard: flushed,
			changes: []change{{dispatch, " AND invoice_jobs.dispatch = lost.dispatch AND state", " AND state"}},
			in:      theLedger, tests: []string{"TestPutBackComesTooLate"},
		},
		{
			name: "a job that has ended is put back", promise: classified, hazard: flushed,
			changes: []change{{dispatch, "= lost.dispatch AND state = 'enqueued'`", "= lost.dispatch AND state <> 'accepted'`"}},
			in:      theLedger, tests: []string{"TestPutBackComesTooLate"},
		},
		{
			name: "two processes look after one queue", promise: recovers,
			changes: []change{{dispatch, "WHERE q.holder = excluded.holder OR q.expires_at < now() OR q.expires_at > now()", "WHERE now() IS NOT NULL OR q.expires_at > now()"}},
			in:      theLedger, tests: []string{"TestWhoLooksAfterAQueue"},
		},
		{
			name: "the relay doesn't put back what it couldn't send", promise: recovers, hazard: redisDown,
			changes: []change{{relay, "return len(claimed), r.putBack(ctx, lost, cause)", "return len(claimed), cause"}},
			in:      theLedger, tests: []string{"TestRelayOutlastsADeadRedis"},
		},
		{
			name: "the relay puts back what has arrived", promise: noneLost, hazard: lostEnqueue,
			changes: []change{{relay, "\tif errors.Is(err, asynq.ErrTaskIDConflict) {\n\t\treturn nil\n\t}\n", ""}},
			in:      theLedger, tests: []string{"TestALostReplyToTheRelayIsNoSecondDispatch"},
		},
		{
			name: "nobody looks for jobs that the queue doesn't have", promise: noneLost, hazard: flushed,
			changes: []change{{walk, "lost = append(lost, s)\n", "_ = s\n"}},
			in:      theLedger, tests: []string{"TestADispatchThatRedisHasCompletedAlready"},
		},
		{
			name: "a mark that is gone or older isn't noticed", promise: recovers, hazard: flushed,
			changes: []change{{"worker/queue/view.go", "and ahead >= 0 and ahead < 1000 then", "then"}},
			in:      theLedger, tests: []string{"TestMarkIsGoneOrOlder"},
		},
		{
			name: "a mark is overwritten unread", promise: recovers, hazard: flushed,
			changes: []change{{watch, "if old != w.sweeping() && old != strconv", "if old == sweepMark && old != strconv"}},
			in:      theLedger, tests: []string{"TestRedisForgetsRightAfterALook"},
		},
		{
			name: "the queue isn't named again after Redis forgot it", promise: recovers, hazard: flushed,
			changes: []change{{"worker/queue/wrong_type.go", "return rdb.SAdd(ctx, AllQueues, names...)", "return rdb.SAdd(ctx, \"other\", names...)"}},
			in:      theLedger, tests: []string{"TestRedisForgetsEverything"},
		},
		{
			name: "jobs that wait in their queue are put back", promise: recovers, hazard: storm,
			changes: []change{{walk, "claims = append(claims, s)", "lost = append(lost, s)"}, {tasks, "== \"pending:\" and has(pending, id) then", "== \"nonsense\" then"}},
			in:      theLedger, tests: []string{"TestABacklogIsLeftAlone"},
		},
		{
			name: "another Redis process isn't noticed", promise: recovers, hazard: failover,
			changes: []change{{"worker/queue/view.go", "if server == ARGV[1] and ahead", "if ahead"}},
			in:      theLedger, tests: []string{"TestRedisComesBackAsItWasAtTheLastMark"},
		},
		{
			name: "dead workers keep their jobs", promise: recovers, hazard: killed,
			changes: []change{{workers, "if !last.Dead(now, time.Unix(seen.Now, 0), w.options.DeadAfter) {", "if !last.Dead(now, time.Unix(seen.Now, 0), w.options.DeadAfter) || last.End == score {"}},
			in:      theLedger, tests: []string{"TestJobsOfDeadWorkersComeBack"},
		},
		{
			name: "living workers lose their jobs", promise: recovers, hazard: lostLease,
			changes: []change{{"worker/queue/lease.go", "\tif silent >= after {\n", "\tif silent >= 0 {\n"}},
			in:      theLedger, tests: []string{"TestDead"},
		},
		{
			name: "each job of a dead worker fills the log", promise: recovers, hazard: killed,
			changes: []change{{"worker/dispatch/dead.go", "if known && name != \"\" && time.Since(last) < forgetDead {", "if known && time.Since(last) < 0 {"}},
			in:      theLedger, tests: []string{"TestADeadWorkerIsOneLine"},
		},
		{
			name: "nobody knows who had a dead worker's jobs", promise: recovers, hazard: killed,
			changes: []change{{"worker/queue/ahead.go", "\"active\", \"invoicer_worker\", ARGV[5])", "\"active\")"}},
			in:      theLedger, tests: []string{"TestATaskNamesWhoHasIt"},
		},
		{
			name: "a requeued job kills workers for ever", promise: recovers, hazard: killed,
			changes: []change{{tasks, "if crashes >= tonumber(ARGV[3]) then", "if crashes >= tonumber(ARGV[3]) + 1000000 then"}},
			in:      theLedger, tests: []string{"TestJobsOfDeadWorkersComeBack"},
		},
		{
			name: "what a job that kills workers was with comes back with it", promise: recovers, hazard: killed,
			changes: []change{{tasks, "if crashes >= tonumber(ARGV[4]) then", "if crashes >= tonumber(ARGV[4]) + 1000000 then"}},
			in:      theLedger, tests: []string{"TestJobsThatLoseWorkersComeBackApart"},
		},
		{
			name: "jobs in the queue's archive have no end", promise: noneLost, hazard: retriesUsedUp,
			changes: []change{{watch, "w.considerArchive(ctx, seen), ", ""}},
			in:      theLedger, tests: []string{"TestWhatTheQueueGaveUpIsRecorded"},
		},
		{
			name: "the archive's old task ends a job that was replayed", promise: classified, hazard: retriesUsedUp,
			changes: []change{{archive, "!ok || dispatch != dispatchOf(info, jobID) {", "!ok || dispatch < 0 {"}},
			in:      theLedger, tests: []string{"TestWhatTheQueueGaveUpIsRecorded"},
		},
	}
}
