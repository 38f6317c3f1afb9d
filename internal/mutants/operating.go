package main

// ofOperating are mistakes in what operators rely on: a restored database, rights, steps back, a log that can be read.
func ofOperating() []mutant {
	const program, theAudit, theStore, theWorker, theLedger = "./cmd/invoicer", "./invoice/postgres/audit", "./invoice/postgres", "./worker", "./worker/dispatch"
	return []mutant{
		{
			name: "a restored database is broken for ever", promise: immutable, hazard: restored,
			changes: []change{{
				"invoice/postgres/audit/enforced.go",
				"case canonical(got.Definition) != canonical(want.Definition):", "case got.Definition != want.Definition:",
			}},
			in: theAudit, tests: []string{"TestConstraintsInOtherWords"},
		},
		{
			name: "a weaker condition looks like the right one", promise: immutable, hazard: restored,
			changes: []change{{"invoice/postgres/audit/definition.go", "case \",\", \"OR\":", "case \",\":"}},
			in:      theAudit, tests: []string{"TestCanonical"},
		},
		{
			name: "the audit doesn't look at functions that aren't triggers'", promise: classified,
			changes: []change{{"invoice/postgres/audit/enforced.go", "AND prokind IN ('f', 'p')", "AND prorettype = 'trigger'::regtype"}},
			in:      theAudit, tests: []string{"TestTriggers/jobs_accepted_with_the_caller's_rights"},
		},
		{
			name: "the audit compares what was never accepted", promise: classified,
			changes: []change{{"invoice/postgres/audit/accepted.go", " AND jobs.dispatch > 0", ""}},
			in:      theAudit, tests: []string{"TestNotAccepted"},
		},
		{
			name: "functions look into the caller's temporary tables first", promise: immutable,
			changes: []change{{"migrations/00009_restorable_checks.sql", "SET search_path = %I, pg_temp'", "SET search_path = %I'"}},
			in:      theAudit, tests: []string{"TestExpected"},
		},
		{
			name: "accepting a job needs more than the right to accept", promise: noneLost,
			changes: []change{{"cmd/invoicer/enqueue_servers.go", "err := migrator.CheckAccept(ctx)", "err := migrator.Check(ctx)"}},
			in:      program, tests: []string{"TestAcceptingNeedsNoTable"},
		},
		{
			name: "a want of rights isn't explained", promise: recovers,
			changes: []change{{"cmd/invoicer/root.go", "if forbidden(err) {", "if forbidden(err) && cmd == nil {"}},
			in:      program, tests: []string{"TestRightsThatAreMissing/status"},
		},
		{
			name: "a migration is taken back over invoices", promise: immutable,
			changes: []change{{"cmd/invoicer/migrate_down.go", "if len(reasons) == 0 {", "if len(reasons) >= 0 {"}},
			in:      program, tests: []string{"TestMigrateDownOverInvoices"},
		},
		{
			name: "a migration is taken back beside a worker that the ledger has lost sight of", promise: recovers, hazard: pausedWorker,
			changes: []change{{"cmd/invoicer/migrate_down.go", "range consumers(ctx, cfg, ours) {", "range consumers(ctx, cfg, ours[:0]) {"}},
			in:      program, tests: []string{"TestMigrateDownBesideAWorker/that_only_Redis_knows"},
		},
		{
			name: "the demo migrates somebody's schema", promise: immutable,
			changes: []change{{"cmd/invoicer/demo.go", "len(held) > 0 && !d.force {", "len(held) > 1 && !d.force {"}},
			in:      program, tests: []string{"TestDemoTouchesNothingBeforeItRefuses/over_invoices"},
		},
		{
			name: "a held lock fills the log", promise: recovers, hazard: killed,
			changes: []change{{"worker/event.go", "if h.losses.first(loss{", "if true || h.losses.first(loss{"}},
			in:      theWorker, tests: []string{"TestALostRaceIsLoggedOnce"},
		},
		{
			name: "what a task was is forgotten", promise: classified,
			changes: []change{{"worker/attempt.go", "kind != client.TaskType {", "kind == \"\" {"}},
			in:      theWorker, tests: []string{"TestUnknownTaskTypeIsRecorded"},
		},
		{
			name: "a task of another kind is replayed as an invoice's job", promise: classified,
			changes: []change{{"worker/dispatch/replay.go", "case failed.TaskType != \"\":", "case failed.TaskType == \"\\x00\":"}},
			in:      theLedger, tests: []string{"TestReplayerGoesThroughOnce"},
		},
		{
			name: "a forecast doesn't see what a series holds", promise: classified,
			changes: []change{{"invoice/postgres/series.go", "if c.Kind != string(settings.Kind) {", "if c.Kind == \"\" {"}},
			in:      theStore, tests: []string{"TestForecast"},
		},
		{
			name: "a worker trusts a database that may lose its commits", promise: noneLost,
			changes: []change{{"cmd/invoicer/fit.go", "len(unsafe) > 0 && !cfg.AllowUnsafe {", "len(unsafe) > 1 && !cfg.AllowUnsafe {"}},
			in:      program, tests: []string{"TestWorkerRefusesADatabaseThatMayLoseCommits"},
		},
		{
			name: "commits that don't wait for the standby are good enough", promise: gapless,
			changes: []change{{"invoice/postgres/unsafe.go", `case commit == "local" && standbys != "":`, `case commit == "local" && standbys == "":`}},
			in:      program, tests: []string{"TestWorkerRefusesADatabaseThatMayLoseCommits"},
		},
		{
			name: "the doctor doesn't look at triggers", promise: immutable,
			changes: []change{{"internal/doctor/postgres.go", "\tfor i := range checks {\n", "\tfor i := range checks[:0] {\n"}},
			in:      program, tests: []string{"TestDoctorFindsWhatIsBroken/a_trigger_that_is_switched_off"},
		},
		{
			name: "the doctor doesn't see that a counter was moved", promise: gapless,
			changes: []change{{"invoice/postgres/stuck.go", "WHERE last_number <> highest OR", "WHERE last_number < highest OR"}},
			in:      program, tests: []string{"TestDoctorFindsWhatIsBroken/a_counter_that_was_moved"},
		},
	}
}
