package main

// Whose a queue is.
func ofOwners() []mutant {
	const (
		claim, keep, keeper = "worker/queue/claim.go", "worker/queue/keep.go", "worker/queue/keeper.go"
		scripts, take       = "worker/queue/scripts.go", "worker/queue/take.go"
		theQueue, theLedger = "./worker/queue", "./worker/dispatch"
	)
	return []mutant{
		{
			name: "a second installation is let in beside the owner", promise: apart, hazard: sharedRedis,
			changes: []change{{claim, "\tcase v.renewed && !o.GivenUp:\n\t\treturn wait, refusal\n", "\tcase v.renewed && !o.GivenUp:\n\t\treturn take, nil\n"}},
			in:      theQueue, tests: []string{"TestAQueueHasOneInstallation/one_server"},
		},
		{
			name: "a late fetch takes a job of another installation", promise: apart, hazard: sharedRedis,
			changes: []change{{"worker/queue/ahead.go", "claim[1] ~= ARGV[6] or not claim[2]", "not claim[2]"}},
			in:      theQueue, tests: []string{"TestALateFetchTakesNothingOfAnother"},
		},
		{
			name: "a late fetch takes a job of another copy", promise: apart, hazard: sharedRedis,
			changes: []change{{"worker/queue/ahead.go", "claim[1] ~= ARGV[6] or not claim[2]", "claim[1] ~= ARGV[6]"}},
			in:      theQueue, tests: []string{"TestALateFetchTakesNothingOfAnother"},
		},
		{
			name: "a dead owner's tasks go with its queue", promise: apart, hazard: sharedRedis,
			changes: []change{{claim, "\tcase !v.standing.Tasks.None():\n\t\treturn wait, refusal\n", "\tcase !v.standing.Tasks.None():\n\t\treturn take, nil\n"}},
			in:      theQueue, tests: []string{"TestADeadOwnersQueue"},
		},
		{
			name: "a copy of the database passes for the original", promise: apart, hazard: copied,
			changes: []change{{claim, "case mine && knows(known.Nonces, o.Nonce) && (", "case mine && ("}},
			in:      theQueue, tests: []string{"TestACopyOfTheDatabase"}, hangs: true,
		},
		{
			name: "a copy with the latest nonce passes for the original", promise: apart, hazard: copied,
			changes: []change{{claim, "(known.Age < deadAfter || !o.Alive())", "(known.Age < deadAfter || o.Exists())"}},
			in:      theQueue, tests: []string{"TestACopyWhoseOriginalStandsStill"},
		},
		{
			name: "two copies of a database consume one queue", promise: apart, hazard: copied,
			changes: []change{{keep, "if s.strange >= 2 {", "if s.strange >= 1_000_000 {"}},
			in:      theQueue, tests: []string{"TestOfTwoCopiesOneStays"}, hangs: true,
		},
		{
			name: "an owner that Redis forgot has no time to say so", promise: apart, hazard: flushed,
			changes: []change{{claim, "v.standing.Tasks.None() && !v.consumed:", "v.standing.Tasks.None():"}},
			in:      theQueue, tests: []string{"TestAForgottenOwnerIsGivenTime/a_worker's_sign_of_life"},
		},
		{
			name: "garbage in Redis ends a worker", promise: recovers, hazard: flushed,
			changes: []change{{keep, "case s.said >= enoughSaid && (broken", "case s.said >= 1 && (broken"}},
			in:      theQueue, tests: []string{"TestARunningOwnerOutlastsWhateverStandsInRedis/an_older_owner_that_isn't_there"},
		},
		{
			name: "of two owners the younger stays", promise: apart, hazard: failover,
			changes: []change{{keep, "(broken || theirs > 0 && theirs < mine)", "(broken || theirs > 0 && theirs > mine)"}},
			in:      theQueue, tests: []string{"TestOfTwoOwnersTheOlderStays"}, hangs: true,
		},
		{
			name: "a newcomer takes jobs while it finds out whose the queue is", promise: apart, hazard: flushed,
			changes: []change{{keep, "\t\tc.renewed = time.Time{}\n", ""}},
			in:      theQueue, tests: []string{"TestANewcomerGivesWay"},
		},
		{
			name: "an owner that comes back gives way to a newcomer", promise: apart, hazard: flushed,
			changes: []change{{keep, "case a.newcomer && !c.newcomer:", "case a.newcomer && !c.newcomer && s.said < 0:"}},
			in:      theQueue, tests: []string{"TestANewcomerGivesWayToWhoComesBack"},
		},
		{
			name: "what a database has forgotten is nobody's", promise: recovers, hazard: restored,
			changes: []change{{keeper, "n.Latest = append(n.Latest, old)", "_ = old"}},
			in:      theQueue, tests: []string{"TestANonceThatTheDatabaseForgot"},
		},
		{
			name: "a worker whose database is away takes its own for a copy", promise: recovers, hazard: postgresDown,
			changes: []change{{keep, " && known.asked.After(s.same)", ""}},
			in:      theQueue, tests: []string{"TestADatabaseThatForgets"},
		},
		{
			name: "an owner that was cut off still owns its queue", promise: apart, hazard: pausedWorker,
			changes: []change{{keeper, "return time.Since(k.began) < time.Duration(k.fresh.Load())", "return k.fresh.Load() > 0"}},
			in:      theQueue, tests: []string{"TestAnOwnerThatComesBackTooLate"},
		},
		{
			name: "the first worker that ends gives the queue up for all", promise: apart, hazard: sharedRedis,
			changes: []change{{scripts, "if others == 0 and ARGV[4] ==", "if ARGV[4] =="}},
			in:      theQueue, tests: []string{"TestSiblingsOwnTogether"},
		},
		{
			name: "a queue is given up before its jobs are done", promise: apart, hazard: sharedRedis,
			changes: []change{{"cmd/invoicer/worker.go", "append(claims, upgraded), watching, ledgers, workers, lifecycle.Stage{o.health.Readiness(o.serving)}", "watching, ledgers, workers, append(lifecycle.Stage{o.health.Readiness(o.serving), upgraded}, claims...)"}},
			in:      "./cmd/invoicer", tests: []string{"TestADrainingWorkerOwnsItsQueue"},
		},
		{
			name: "who takes a queue over works on the former owner's jobs", promise: apart, hazard: sharedRedis,
			changes: []change{{take, "remove = append(remove, id)", "remove = append(remove, id)[:len(remove)]"}},
			in:      theQueue, tests: []string{"TestTakingAQueueOver/one_server"},
		},
		{
			name: "a worker takes jobs from a queue that it doesn't own", promise: apart, hazard: pausedWorker,
			changes: []change{{"worker/queue/gate.go", "for !g.owns() {", "for !g.owns() && g.closing {"}},
			in:      theLedger, tests: []string{"TestAWorkerThatOwnsNothingTakesNothing"},
		},
		{
			name: "another installation's job is invoiced", promise: apart, hazard: sharedRedis,
			changes: []change{{"worker/foreign.go", "|| named == h.options.Installation {", "|| named != \"\" {"}},
			in:      theLedger, tests: []string{"TestOthersTasksAreLeftAlone"},
		},
		{
			name: "another installation's job is recorded as failed", promise: apart, hazard: sharedRedis,
			changes: []change{{"worker/dispatch/workers.go", "named != \"\" && named != w.options.DatabaseID {", "named == \"\" && named == w.options.DatabaseID {"}},
			in:      theLedger, tests: []string{"TestOthersTasksAreLeftAlone"},
		},
		{
			name: "the ledger's tasks don't name their installation", promise: apart, hazard: sharedRedis,
			changes: []change{{"worker/dispatch/relay.go", "headers[client.InstallationHeader] = r.options.Installation", "headers[client.InstallationHeader] = \"\""}},
			in:      theLedger, tests: []string{"TestNothingIsRelayedIntoOthersQueues"},
		},
		{
			name: "jobs are put into another installation's queue", promise: apart, hazard: sharedRedis,
			changes: []change{{"worker/dispatch/foreign.go", "if refused[d.Queue] != nil {", "if refused[d.Queue] != nil && d.ID < 0 {"}},
			in:      theLedger, tests: []string{"TestNothingIsRelayedIntoOthersQueues"}, hangs: true,
		},
		{
			name: "jobs are enqueued whoever the queue belongs to", promise: apart, hazard: sharedRedis,
			changes: []change{{"cmd/invoicer/enqueue_owner.go", "return standing.Refuse(mine)", "_ = standing.Refuse(mine)\n\treturn nil"}},
			in:      "./cmd/invoicer", tests: []string{"TestTwoInstallationsInOneRedis/two_schemas"},
		},
	}
}
