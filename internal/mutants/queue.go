package main

// What Redis loses of a queue, and what it has there that nobody wrote.
func ofQueue() []mutant {
	const (
		tasks, tidy, misfits = "worker/queue/tasks.go", "worker/queue/tidy.go", "worker/queue/wrong_type.go"
		waiting, walk        = "worker/dispatch/waiting.go", "worker/dispatch/walk.go"
		script, end          = "worker/queue/ahead.go", "worker/queue/finish.go"
		theLedger, theQueue  = "./worker/dispatch", "./worker/queue"
		whatBecomes          = "TestEveryJobOutlastsWhatBecomesOfItsQueue"
	)
	return []mutant{
		{
			name: "a task is believed to be in the set that it says", promise: noneLost, hazard: halfForgotten,
			changes: []change{{tasks, "elseif sets[state] and redis.call(\"ZSCORE\", sets[state], id) then", "elseif sets[state] then"}},
			in:      theLedger, tests: []string{whatBecomes + "/retry,_in_no_set"},
		},
		{
			name: "a task is believed to be in somebody's hands", promise: noneLost, hazard: halfForgotten,
			changes: []change{{tasks, "elseif state == \"active\" and (redis.call(\"ZSCORE\", lease, id) or has(active, id)) then", "elseif state == \"active\" then"}},
			in:      theLedger, tests: []string{whatBecomes + "/active,_in_no_list"},
		},
		{
			name: "a task is believed to wait in the list", promise: noneLost, hazard: halfForgotten,
			changes: []change{{waiting, "if !l.now.has(taskID(s.job)) {", "if l.now == nil {"}},
			in:      theLedger, tests: []string{whatBecomes + "/the_list_is_gone"},
		},
		{
			name: "a long list isn't read", promise: noneLost, hazard: halfForgotten,
			changes: []change{{waiting, "if !l.last.has(id) {", "if l.last == nil {"}},
			in:      theLedger, tests: []string{"TestJobsThatALongListHasLostComeBack"},
		},
		{
			name: "a task without a message counts as one", promise: noneLost, hazard: halfForgotten,
			changes: []change{{tasks, "if redis.call(\"HSTRLEN\", prefix .. id, \"msg\") == 0 then", "if not state then"}},
			in:      theLedger, tests: []string{whatBecomes + "/retry,_without_a_message"},
		},
		{
			name: "an old dispatch stays behind when its job is put back", promise: recovers, hazard: halfForgotten,
			changes: []change{{tasks, "\t\tpurge(id)\n\t\ttable.insert(buried, 1)", "\t\ttable.insert(buried, 1)"}},
			in:      theLedger, tests: []string{whatBecomes + "/scheduled"},
		},
		{
			name: "what ends while it is looked for is deleted", promise: recovers, hazard: halfForgotten,
			changes: []change{{walk, "ok && number == s.job.Number {", "ok || number != s.job.Number {"}},
			in:      theLedger, tests: []string{"TestWhatEndsMeanwhileIsNotDeleted"},
		},
		{
			name: "what was no job is on record as a failed one", promise: classified, hazard: halfForgotten,
			changes: []change{
				{"worker/queue/read.go", "if err != nil || info.ID != id || info.Queue != k.queue {", "if err != nil {"},
				{"worker/dispatch/kinds.go", "if task.Info.Type == client.TaskType {", "if task.Info.Type == client.TaskType || task.ID != \"\" {"},
				{tasks, "if where == \"gone\" then", "if where == \"nonsense\" then"},
			},
			in: theLedger, tests: []string{"TestWhatIsNoJobIsNotRecorded"},
		},
		{
			name: "keys of a wrong type stay", promise: recovers, hazard: halfForgotten,
			changes: []change{{misfits, "if not fits then", "if kind == \"nonsense\" then"}},
			in:      theLedger, tests: []string{"TestKeysOfAWrongTypeAreDeleted"},
		},
		{
			name: "ids without a task stay in the sets", promise: recovers, hazard: halfForgotten,
			changes: []change{{tidy, "\tpurge(id)\n\tremoved", "\tremoved"}},
			in:      theLedger, tests: []string{whatBecomes + "/no_task_behind_a_result"},
		},
		{
			name: "what has ended stays for ever", promise: recovers, hazard: halfForgotten,
			changes: []change{{tidy, "redis.call(\"ZADD\", sets[state]", "redis.call(\"MGET\", sets[state]"}},
			in:      theLedger, tests: []string{"TestWhatIsLeftOfEndedTasksGoesAway"},
		},
		{
			name: "a retry may be a year ahead", promise: recovers, hazard: halfForgotten,
			changes: []change{{"worker/queue/view.go", "redis.call(\"ZADD\", KEYS[4], now, id)", "redis.call(\"ZSCORE\", KEYS[4], id)"}},
			in:      theLedger, tests: []string{"TestARetryThatIsTooFarAheadIsDue"},
		},
		{
			name: "an archived task of the future hides others", promise: noneLost, hazard: halfForgotten,
			changes: []change{{"worker/dispatch/archive.go", "a.newest = min(a.newest, float64(seen.Now+archiveOverlap))", "_ = seen.Now"}},
			in:      theLedger, tests: []string{"TestAnArchivedTaskOfTheFutureHidesNone"},
		},
		{
			name: "a lease without a task in hand is nobody's", promise: recovers, hazard: halfForgotten,
			changes: []change{{tasks, "return redis.call(\"LREM\", active, 0, id) + redis.call(\"ZREM\", lease, id)", "redis.call(\"ZREM\", lease, id)\n\treturn redis.call(\"LREM\", active, 0, id)"}},
			in:      theLedger, tests: []string{"TestADirectJobThatOnlyHasALeaseComesBack"},
		},
		{
			name: "an id without a job stops the fetch", promise: recovers, hazard: halfForgotten,
			changes: []change{{script, "if not msg or msg == \"\" then", "if msg == \"\" then"}},
			in:      theQueue, tests: []string{"TestIDsWithoutAJobHoldNothingUp"},
		},
		{
			name: "a fetch of ids without a job says that the queue is empty", promise: recovers, hazard: halfForgotten,
			changes: []change{{"worker/queue/gate.go", "return noJob(ctx, h.err), h.more", "return noJob(ctx, h.err), false"}},
			in:      theQueue, tests: []string{"TestIDsWithoutAJobHoldNothingUp"},
		},
		{
			name: "a fetch takes what it can't keep", promise: noneLost, hazard: halfForgotten,
			changes: []change{{script, "redis.call(\"LLEN\", KEYS[3]) -- if", "-- if"}},
			in:      theQueue, tests: []string{"TestAFetchThatCantKeepAJobTakesNone"}, hangs: true,
		},
		{
			name: "asynq gets what it can't read", promise: recovers, hazard: undecodable,
			changes: []change{{script, "err != nil || m.id != id || m.queue != q.name {", "err != nil && m.id != id && m.queue == \"nonsense\" {"}},
			in:      theQueue, tests: []string{"TestATaskThatCantBeReadIsDeleted"},
		},
		{
			name: "what is lost before it begins is put back", promise: recovers, hazard: halfForgotten,
			changes: []change{{script, "if redis.call(\"HEXISTS\", KEYS[4], \"msg\") == 1 then", "if KEYS[4] then"}},
			in:      theQueue, tests: []string{"TestALostTaskIsNotPutBack"},
		},
		{
			name: "a task whose list is lost stays behind", promise: recovers, hazard: halfForgotten,
			changes: []change{{end, "redis.call(\"UNLINK\", KEYS[1])", "redis.call(\"EXISTS\", KEYS[1])"}},
			in:      "./worker", tests: []string{"TestWhatRedisLosesOfAJobInHandIsNotLeftBehind"}, hangs: true,
		},
	}
}
