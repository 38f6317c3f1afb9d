package main

func ofReadiness() []mutant {
	const program, workers, store = "./cmd/invoicer", "./worker", "./invoice/postgres"
	return []mutant{
		{
			name: "what was evicted while nobody looked is not counted", promise: recovers, hazard: evicted,
			changes: []change{{"worker/probe.go", "case looked && n > before:", "case looked && n < before:"}},
			in:      workers, tests: []string{"TestProbeCountsWhatWasEvicted"},
		},
		{
			name: "jobs begin while commits may be lost", promise: recovers, hazard: restored,
			changes: []change{{"cmd/invoicer/wire.go", " && !w.endangered.Load()", ""}},
			in:      program, tests: []string{"TestNoJobBeginsWhileCommitsMayBeLost"},
		},
		{
			name: "a new primary may lose the first jobs", promise: recovers, hazard: failover,
			changes: []change{{"cmd/invoicer/wire.go", "\t\tw.store.RefuseUnsafe()\n", "\t\t_ = w.store.RefuseUnsafe\n"}},
			in:      program, tests: []string{"TestNothingIsWrittenOnANewPrimaryThatMayLoseIt"},
		},
		{
			name: "readiness looks at one master of a cluster", promise: recovers, hazard: redisRefuses,
			changes: []change{{"worker/probe.go", "\t\tfor _, key := range locks {", "\t\tfor _, key := range locks[:1] {"}},
			in:      workers, tests: []string{"TestProbeOfEachMaster"},
		},
		{
			name: "readiness tries no command of a script", promise: recovers, hazard: redisRefuses,
			changes: []change{{"worker/probe.go", "\t\tlist, _ := answer.StringSlice()", "\t\tvar list []string"}},
			in:      program, tests: []string{"TestReadinessNamesWhatIsInTheWay/no_right_to_a_command_of_a_script"},
		},
		{
			name: "a probe fails where a script is not known yet", promise: recovers, hazard: redisRefuses,
			changes: []change{{"worker/probe.go", "if redis.HasErrorPrefix(answer.Err(), \"NOSCRIPT\") {", "if redis.HasErrorPrefix(answer.Err(), \"NOSUCH\") {"}},
			in:      workers, tests: []string{"TestProbeLeavesNothing"},
		},
		{
			name: "a read-only database is good enough", promise: recovers, hazard: postgresRefuses,
			changes: []change{{"invoice/postgres/probe.go", "if l.readOnly != \"off\" {", "if l.readOnly == \"\" {"}},
			in:      store, tests: []string{"TestProbe/a_read-only_database"},
		},
		{
			name: "a right to read a table is good enough", promise: recovers, hazard: postgresRefuses,
			changes: []change{{"invoice/postgres/probe.go", "{\"table\", \"invoice_jobs\", \"SELECT INSERT UPDATE\"}", "{\"table\", \"invoice_jobs\", \"SELECT\"}"}},
			in:      program, tests: []string{"TestWorkerNamesTheRightsThatItLacks/to_the_database"},
		},
		{
			name: "a commit that no standby confirms is good enough", promise: recovers, hazard: postgresRefuses,
			changes: []change{{"cmd/invoicer/fit.go", "if time.Since(p.committed) < commitInterval {", "if time.Since(p.committed) > commitInterval {"}},
			in:      program, tests: []string{"TestReadinessNamesWhatIsInTheWay/a_standby_that_confirms_no_commit"},
		},
		{
			name: "a worker starts that could do nothing", promise: recovers, hazard: redisRefuses,
			changes: []change{{"internal/health/probe.go", "case len(lasting) > 0:", "case len(lasting) > len(probes):"}},
			in:      program, tests: []string{"TestWorkerNamesTheRightsThatItLacks/to_Redis"},
		},
		{
			name: "jobs that wait in hand tell nobody", promise: recovers, hazard: postgresDown,
			changes: []change{{"worker/handler.go", "\t\th.waits(a, err)\n", ""}},
			in:      workers, tests: []string{"TestAJobInHandOutlastsAnOutage"}, hangs: true,
		},
		{
			name: "what jobs meet is no outage", promise: recovers, hazard: postgresDown,
			changes: []change{{"internal/health/outage.go", "one.code != slow || r.last.Sub(r.first) >= beginAfter {", "one.code == \"\" {"}},
			in:      program, tests: []string{"TestJobsTellWhatIsInTheWay"}, hangs: true,
		},
		{
			name: "an outage is told of again and again", promise: recovers, hazard: redisRefuses,
			changes: []change{{"internal/health/outage.go", "if !one.active && one.confirmed() && !o.explained(one) {", "if one.confirmed() && !o.explained(one) {"}},
			in:      "./internal/health", tests: []string{"TestOutages/a_probe_and_many_jobs_tell_of_one"},
		},
		{
			name: "a relay that can't get on tells nobody", promise: recovers, hazard: postgresRefuses,
			changes: []change{{"worker/dispatch/relay.go", "\t\tr.options.Observe(Event{What: Waits, By: ByRelay, Err: err})\n\t\tr.options.Logger", "\t\tr.options.Logger"}},
			in:      program, tests: []string{"TestRelayTellsWhatIsInItsWay"}, hangs: true,
		},
		{
			name: "a reconciler that can't get on tells nobody", promise: recovers, hazard: postgresRefuses,
			changes: []change{{"worker/dispatch/reconciler.go", "\t\t\tr.options.Observe(Event{What: Waits, By: ByReconciler, Err: err})\n", ""}},
			in:      program, tests: []string{"TestReconcilerTellsWhatIsInItsWay"}, hangs: true,
		},
		{
			name: "a relay that fails for ever is told of in every second", promise: recovers, hazard: postgresRefuses,
			changes: []change{{"internal/health/stall.go", "\t\t\ts.logged = true\n", ""}},
			in:      "./internal/health", tests: []string{"TestOutages/a_relay_that_always_fails_for_another_reason_is_told_of_once"},
		},
		{
			name: "a worker is ready before it has looked", promise: recovers, hazard: redisRefuses,
			changes: []change{{"internal/health/health.go", "h.tried.Load() < int64(len(h.probes))", "h.tried.Load() < 0"}},
			in:      program, tests: []string{"TestWhoIsShownWhat"},
		},
	}
}
