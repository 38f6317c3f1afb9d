package main

// ofPooler are mistakes that show behind a pooler, which drops settings and changes sessions.
func ofPooler() []mutant {
	const theMigrations, session = "./migrations", "invoice/postgres/session.go"
	return []mutant{
		{
			name: "a statement trusts the search path", promise: one, hazard: pooler,
			changes: []change{{
				"invoice/postgres/find.go", "FROM invoicer.invoices WHERE issuer = @issuer AND (transaction_id", "FROM invoices WHERE transaction_id = @transaction OR",
			}},
			in: theStore, tests: []string{"TestNothingStaysBehindInAPooler", "TestUniqueViolationIsALostRace"},
		},
		{
			name: "settings reach other clients of the pool", promise: onlyTheHolder, hazard: pooler,
			changes: []change{{session, "set_config('%s', '%s', true)", "set_config('%s', '%s', false)"}},
			in:      theStore, tests: []string{"TestNothingStaysBehindInAPooler"},
		},
		{
			name: "a pooler that drops settings isn't noticed", promise: recovers, hazard: pooler,
			changes: []change{{session, "\tif !has || err != nil {\n", "\tif !has && err != nil {\n"}},
			in:      theStore, tests: []string{"TestWithoutAPooler"},
		},
		{
			name: "what commits by itself takes a session as it is", promise: classified, hazard: pooler,
			changes: []change{{"invoice/postgres/store.go", "\tif s.opener.pooled.Load() {\n", "\tif s.opener.pooled.Load() && s.db == nil {\n"}},
			in:      theStore, tests: []string{"TestWritesDontTrustASession"},
		},
		{
			name: "a server that gives no session keeps everybody waiting", promise: recovers, hazard: pooler,
			changes: []change{{session, "context.WithTimeout(ctx, limit)", "context.WithTimeout(ctx, 1000*limit)"}},
			in:      theStore, tests: []string{"TestPoolerWithoutASession"}, hangs: true,
		},
		{
			name: "an error that lasts is waited for", promise: recovers, hazard: pooler,
			changes: []change{{"invoice/postgres/lasting.go", "return pooler(pg) != nil", "return false"}},
			in:      theStore, tests: []string{"TestLasting"},
		},
		{
			name: "migrations don't look where they are", promise: one, hazard: pooler,
			changes: []change{
				{"migrations/place.go", "SELECT pg_catalog.set_config('search_path', %[1]s, true);\n", "SELECT %[1]s;\n"},
				{"migrations/place.go", "IS DISTINCT FROM %[2]s THEN", "IS DISTINCT FROM %[2]s AND false THEN"},
			},
			in: theMigrations, tests: []string{"TestPoolersChangeNoSchema"},
		},
		{
			name: "a search path is trusted out of a transaction", promise: one, hazard: pooler,
			changes: []change{{"migrations/place.go", "IS DISTINCT FROM %[2]s THEN", "IS DISTINCT FROM %[2]s AND false THEN"}},
			in:      theMigrations, tests: []string{"TestOutOfATransactionIsRefused"},
		},
		{
			name: "the lock of migrations stays behind in a pooler", promise: recovers, hazard: pooler,
			changes: []change{{"migrations/migrations.go", "pg_catalog.pg_try_advisory_xact_lock($1)", "pg_catalog.pg_try_advisory_lock($1)"}},
			in:      theMigrations, tests: []string{"TestPoolersChangeNoSchema"},
		},
		{
			name: "who waits for the lock of migrations asks once", promise: recovers, hazard: killed,
			changes: []change{{"migrations/migrations.go", "time.After(50 * time.Millisecond)", "time.After(50 * time.Hour)"}},
			in:      "./cmd/invoicer", tests: []string{"TestMigrateGoesOnAfterAKill"},
		},
		{
			name: "who has lost the lock applies a migration twice", promise: one, hazard: pooler,
			changes: []change{{"migrations/place.go", "    IF %[4]s (SELECT FROM", "    IF false AND %[4]s (SELECT FROM"}},
			in:      theMigrations, tests: []string{"TestNothingIsAppliedTwice"},
		},
	}
}
