package main

// ofClocks are those of a worker that believes its own clock, and of one that believes what somebody has put into Redis.
func ofClocks() []mutant {
	const serverTime, clock, watch, in = "worker/queue/times.go", "worker/queue/clock.go", "worker/queue/clock_watch.go", "./worker/queue"
	return []mutant{
		{
			name: "delays follow the worker's own clock", promise: recovers, hazard: wrongClock,
			changes: []change{{"worker/queue/consumer.go", "clocks.correct(gate)", "gate"}},
			in:      in, tests: []string{"TestDelaysAreRedisDelays"}, hangs: true,
		},
		{
			name: "asynq's retries are by the worker's own clock", promise: recovers, hazard: wrongClock,
			changes: []change{{"worker/queue/commands.go", `{seconds: []int{2, 3}}, `, `{}, `}},
			in:      in, tests: []string{"TestEveryTimeIsRedisTime"},
		},
		{
			name: "leases are extended by the worker's own clock", promise: recovers, hazard: wrongClock,
			changes: []change{{serverTime, `members = moved(members, s.queues[prefix])`, `_ = prefix`}},
			in:      in, tests: []string{"TestEveryTimeIsRedisTime"},
		},
		{
			name: "a jump of the worker's clock is noticed late", promise: recovers, hazard: wrongClock,
			changes: []change{{clock, "return c.last.said.Add(age).Sub(c.local.now())", "return c.last.said.Sub(c.local.now())"}},
			in:      in, tests: []string{"TestLocalClockJumps"},
		},
		{
			name: "what a wrong clock has put back waits for it", promise: recovers, hazard: wrongClock,
			changes: []change{{watch, "cut(KEYS[1], ARGV[1], 0)\n", ""}},
			in:      in, tests: []string{"TestWrongTimesArePutRight"},
		},
		{
			name: "a key of another type keeps the time from being told", promise: recovers, hazard: halfForgotten,
			changes: []change{{watch, `redis.pcall("ZRANGEBYSCORE"`, `redis.call("ZRANGEBYSCORE"`}},
			in:      in, tests: []string{"TestForeignTypesTellTheTime"},
		},
		{
			name: "jobs wait for a clock of Redis that was set back", promise: recovers, hazard: wrongClock,
			changes: []change{{watch, "err == nil && set < 0", "err == nil && set < 0 && false"}},
			in:      in, tests: []string{"TestRedisIsSetBack"},
		},
		{
			name: "living leases are taken when Redis's clock is set", promise: recovers, hazard: wrongClock,
			changes: []change{{serverTime, `kind == "lease" && clock.unsettled()`, `kind == "leases" && clock.unsettled()`}},
			in:      in, tests: []string{"TestLivingLeasesAreNotTakenWhenAClockIsSet"},
		},
		{
			name: "clocks that are apart are told of each second", promise: recovers, hazard: wrongClock,
			changes: []change{{watch, "case !c.apart[pair] && ", "case "}},
			in:      in, tests: []string{"TestClocksApartAreToldOnce"},
		},
		{
			name: "a right lasts until a clock that was set back comes there", promise: recovers, hazard: wrongClock,
			changes: []change{{"invoice/postgres/dispatch.go", "q.expires_at > now() + make_interval(secs => ?)", "q.expires_at > now() + make_interval(hours => 2, secs => ?)"}},
			in:      "./invoice/postgres", tests: []string{"TestRightsEndWhenTheClockIsSetBack"},
		},
		{
			name: "jobs ahead of a clock that was set back are never looked for", promise: noneLost, hazard: wrongClock,
			changes: []change{{"invoice/postgres/dispatch.go", "updated_at > now() + make_interval(secs => @ahead)", "updated_at > now() + make_interval(hours => 2, secs => @ahead)"}},
			in:      "./invoice/postgres", tests: []string{"TestEnqueuedAheadOfTheClock"},
		},
		{
			name: "a job fails by done entries that come back", promise: noneLost, hazard: forgedEntry,
			changes: []change{{
				"worker/handler.go", "\treturn h.generateUnlocked(ctx, a, r)\n",
				"\treturn invoice.Result{}, errors.New(\"done entries come back\")\n",
			}},
			in: "./worker", tests: []string{"TestDoneEntriesComeBack"},
		},
	}
}
