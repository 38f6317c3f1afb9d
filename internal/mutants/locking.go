package main

func ofLocking() []mutant {
	const scripts, in = "locking/scripts.go", "./locking"
	return []mutant{
		{
			name: "release without comparing the token", promise: onlyTheHolder, hazard: pausedWorker,
			changes: []change{{
				scripts,
				"if get(KEYS[1]) ~= ARGV[1] then\n\treturn 0\nend\nreturn redis.call('DEL', KEYS[1])",
				"return redis.call('DEL', KEYS[1])",
			}},
			in: in, tests: []string{"TestLocker/single/late_calls_of_a_lost_lock"},
		},
		{
			name: "finish without comparing the token", promise: onlyTheHolder, hazard: pausedWorker,
			changes: []change{{scripts, "if get(KEYS[1]) == ARGV[1] then", "if true then"}},
			in:      in, tests: []string{"TestLocker/single/late_calls_of_a_lost_lock"},
		},
		{
			name: "extend without comparing the token", promise: onlyTheHolder, hazard: pausedWorker,
			changes: []change{{
				scripts,
				"if get(KEYS[1]) ~= ARGV[1] then\n\treturn 0\nend\nreturn redis.call('PEXPIRE'",
				"return redis.call('PEXPIRE'",
			}},
			in: in, tests: []string{"TestLocker/single/late_calls_of_a_lost_lock"},
		},
		{
			name: "SET without NX", promise: onlyTheHolder, hazard: storm,
			changes: []change{{scripts, "ARGV[1], 'NX', 'PX', ARGV[2])", "ARGV[1], 'PX', ARGV[2])"}},
			in:      in, tests: []string{"TestLocker/single/held_until_released"},
		},
		{
			name: "lock without expiry", promise: recovers, hazard: crashAfterLocking,
			changes: []change{{scripts, "ARGV[1], 'NX', 'PX', ARGV[2])", "ARGV[1], 'NX')"}},
			in:      in, tests: []string{"TestLocker/single/both_entries_of_a_key_expire"},
		},
		{
			name: "own token found isn't taken as acquired", promise: recovers, hazard: lostReplyToSet,
			changes: []change{{scripts, "and entry.holder == ARGV[3] then", "and false then"}},
			in:      in, tests: []string{"TestLostReply/acquire"},
		},
		{
			name: "take-over leaves the old token valid", promise: onlyTheHolder, hazard: lostLease,
			changes: []change{{scripts, "\tredis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])\n", ""}},
			in:      in, tests: []string{"TestLocker/single/taken_over_by_the_same_work"},
		},
		{
			name: "anybody takes a lock over", promise: onlyTheHolder,
			changes: []change{{scripts, " and entry.holder == ARGV[3] then", " then"}},
			in:      in, tests: []string{"TestLocker/single/held_until_released"},
		},
		{
			name: "lock and done entry in two slots", promise: recovers, hazard: otherSlot,
			changes: []change{{"locking/locking.go", `l.prefix + "done:" + tag`, `l.prefix + "done:" + key`}},
			in:      in, tests: []string{"TestLocker/cluster/done"},
		},
		{
			name: "a lock that somebody set for ever stays", promise: recovers, hazard: forgedEntry,
			changes: []change{{scripts, "if left < 0 or left > most then", "if false then"}},
			in:      in, tests: []string{"TestLocker/single/keys_written_by_others"},
		},
		{
			name: "a list in a lock's place breaks its calls", promise: recovers, hazard: forgedEntry,
			changes: []change{{scripts, "'WRONGTYPE', 1, true", "'NOTYPE', 1, true"}},
			in:      in, tests: []string{"TestLocker/single/keys_of_other_types"},
		},
		{
			name: "a list in a done entry's place stays", promise: recovers, hazard: forgedEntry,
			changes: []change{{scripts, "if foreign then\n\tredis.call('DEL', KEYS[2])\nend\n", ""}},
			in:      in, tests: []string{"TestLocker/single/keys_of_other_types"},
		},
		{
			name: "a brace in a key ends its hash tag", promise: onlyTheHolder, hazard: otherSlot,
			changes: []change{{"locking/locking.go", `"}", "%7D", `, ""}},
			in:      in, tests: []string{"TestLocker/single/keys_with_braces"},
		},
	}
}
