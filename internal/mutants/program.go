package main

func ofProgram() []mutant {
	const program, configuration = "./cmd/invoicer", "./config"
	return []mutant{
		{
			name: "a lock may last for less than its job", promise: recovers, hazard: pausedWorker,
			changes: []change{{
				"config/rules.go",
				"\t\t{\n\t\t\tkey: \"lock.ttl\", other: \"worker.job_timeout\",\n\t\t\tbecause: \"or a lock could expire while its holder still works\",\n\t\t},\n",
				"",
			}},
			in: configuration, tests: []string{"TestProblems/equal_is_not_longer"},
		},
		{
			name: "a lock may last for just as long as its job", promise: recovers, hazard: pausedWorker,
			changes: []change{{"config/rules.go", "return d > other", "return d >= other"}},
			in:      configuration, tests: []string{"TestProblems/equal_is_not_longer"},
		},
		{
			name: "shutdown may be shorter than a job", promise: noneLost, hazard: shutdown,
			changes: []change{{
				"config/rules.go",
				"\t\t{\n\t\t\tkey: \"worker.shutdown_timeout\", other: \"worker.job_timeout\",\n\t\t\tbecause: \"or a stopping worker would abandon a job in mid-work\",\n\t\t},\n",
				"",
			}},
			in: configuration, tests: []string{"TestProblems/all_at_once,_in_the_order_of_file,_environment,_keys_and_rules"},
		},
		{
			name: "a URL is printed with its password", promise: discreet,
			changes: []change{{"config/url.go", "return p.redacted()", "return p.redacted() + string(u)"}},
			in:      configuration, tests: []string{"TestURLPrintsWithoutPassword"},
		},
		{
			name: "two databases share their locks in one Redis", promise: noneLost, hazard: restored,
			changes: []change{{"internal/inquiry/inquiry.go", "return \"invoicer:\" + databaseID + \":\"", "return \"invoicer:\""}},
			in:      program, tests: []string{"TestTwoDatabasesInOneRedis"},
		},
		{
			name: "a Redis that evicts is good enough", promise: noneLost, hazard: evicted,
			changes: []change{{"worker/probe.go", "case known && policy != \"noeviction\":", "case known && policy == \"\":"}},
			in:      program, tests: []string{"TestWorkerRefusesServersThatAreNotFit/an_evicting_Redis"},
		},
		{
			name: "an outage of Redis is asked about at once, and again", promise: recovers, hazard: redisDown,
			changes: []change{{"worker/queue/backoff.go", "leastBackoff<<min(b.failures.Add(1), 10)", "leastBackoff<<min(b.failures.Load(), 10)"}},
			in:      "./worker/queue", tests: []string{"TestOutageOfRedisIsAskedAboutSeldom"},
		},
	}
}
