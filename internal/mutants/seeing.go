package main

// ofSeeing are mistakes in what people look at, in who may look, and in what is counted of producers.
func ofSeeing() []mutant {
	const program, thePages, theDoor, theStore, theRaces, theInquiry, theMetrics = "./cmd/invoicer", "./web/pages", "./web", "./invoice/postgres", "./internal/races", "./internal/inquiry", "./internal/metrics"
	return []mutant{
		{
			name: "asynqmon shows personal data", promise: discreet,
			changes: []change{{"cmd/invoicer/monitor.go", "return string(brief)", "return string(append(brief[:0], payload...))"}},
			in:      program, tests: []string{"TestPersonalDataIsNowhere"},
		},
		{
			name: "a conflict shows what was asked for", promise: discreet,
			changes: []change{{"internal/inquiry/differences.go", "default:\n\t\treturn ofLine(j, name)", "case \"customer_name\":\n\t\tvalue = j.CustomerName\n\tdefault:\n\t\treturn ofLine(j, name)"}},
			in:      program, tests: []string{"TestPersonalDataIsNowhere"},
		},
		{
			name: "everybody sees personal data", promise: discreet,
			changes: []change{{"web/pages/payload.go", "if !visitor.MaySeePersonalData {", "if !visitor.MaySeePersonalData && visitor.MayAct && visitor.Name != \"\" {"}},
			in:      thePages, tests: []string{"TestPayloadIsShownOnRecord"},
		},
		{
			name: "who looked isn't on record", promise: discreet,
			changes: []change{{
				"web/pages/payload.go",
				"if err := p.o.Actions.RecordAction(r.Context(), \"see personal data\", jobID, \"\", by); err != nil {", "if by.Name == \"\" {",
			}},
			in: thePages, tests: []string{"TestPayloadIsShownOnRecord"},
		},
		{
			name: "readers may change things", promise: discreet,
			changes: []change{{
				"web/access/access.go",
				"role == Read && slices.Contains(v.Roles, Operate)", "slices.Contains(v.Roles, Read)",
			}},
			in: theDoor, tests: []string{"TestTokensOpenWhatTheirRolesAllow"},
		},
		{
			name: "a revoked token keeps what it has opened", promise: discreet,
			changes: []change{{"web/access/tokens.go", "\t\t\told.revoke()\n", "\t\t\t_ = old\n"}},
			in:      theDoor, tests: []string{"TestRevocationEndsWhatIsOpen"}, hangs: true,
		},
		{
			name: "other sites' pages may change things", promise: discreet,
			changes: []change{{"web/access/gate.go", "if err := g.sameOrigin.Check(r); err != nil {", "if err := g.sameOrigin.Check(r); err != nil && r == nil {"}},
			in:      theDoor, tests: []string{"TestOtherSitesCantAct"},
		},
		{
			name: "without TLS everything is served", promise: discreet,
			changes: []change{{"web/access/gate.go", "return !g.options.Loopback && !g.options.TLS && !g.options.Insecure", "return false"}},
			in:      theDoor, tests: []string{"TestClosedWithoutTLS"},
		},
		{
			name: "a token's record can be changed", promise: discreet,
			changes: []change{{"migrations/00014_tokens.sql", "CREATE TRIGGER tokens_kept BEFORE INSERT OR UPDATE OR DELETE ON tokens", "CREATE TRIGGER tokens_kept BEFORE INSERT ON tokens"}},
			in:      theStore, tests: []string{"TestDatabaseKeepsTokens"},
		},
		{
			name: "a queue is paused and nobody knows by whom", promise: classified,
			changes: []change{{"internal/inquiry/control.go", "if err := c.Record.RecordAction(ctx, action, name, \"\", by); err != nil {", "if err := ctx.Err(); err != nil || action == \"\" || by.Name == \"\" {"}},
			in:      theInquiry, tests: []string{"TestNothingIsDoneThatIsntOnRecord"},
		},
		{
			name: "two transactions share a row of counts", promise: recovers,
			changes: []change{{"invoice/postgres/counts.go", "l.free = l.free[1:]", "l.free = l.free[:]"}},
			in:      theStore, tests: []string{"TestCountsDontWaitForEachOther"}, hangs: true,
		},
		{
			name: "duplicates aren't counted", promise: classified,
			changes: []change{{records, "duplicates = producer_counts.duplicates + excluded.duplicates, ", ""}},
			in:      theStore, tests: []string{"TestCountsEqualWhatIsOnRecord"},
		},
		{
			name: "a job that fails again is counted again", promise: classified,
			changes: []change{{"invoice/postgres/record_bad.go", " FROM written WHERE NOT EXISTS (SELECT FROM before WHERE state = 'failed')", " FROM written"}},
			in:      theStore, tests: []string{"TestCountsOfAReplayedJob", "TestCountsEqualWhatIsOnRecord"},
		},
		{
			name: "a late duplicate counts as one that a plain check would have doubled", promise: classified,
			changes: []change{{
				records, "CASE WHEN statement_timestamp() - took * interval '1 second' < made_at THEN made_at", "CASE WHEN made_at IS NOT NULL THEN made_at",
			}},
			in: theStore, tests: []string{"TestRacesThatAPlainCheckWouldHaveLost"},
		},
		{
			name: "a producer's own repeats count as two producers' transactions", promise: classified,
			changes: []change{{"invoice/postgres/races_shared.go", "WHERE producer <> invoice_producer AND ", "WHERE "}},
			in:      theStore, tests: []string{"TestRacesTellTwoProducersOfOneTransaction"},
		},
		{
			name: "an alarm teaches what is normal", promise: classified,
			changes: []change{{"internal/races/model.go", "if !v.Alarm && !v.Drift.Alarm && c.Ended > 0 {", "if !v.Drift.Alarm && c.Ended > 0 {"}},
			in:      theRaces, tests: []string{"TestAlarmedWindowsDontTeach"},
		},
		{
			name: "a drift teaches what is normal", promise: classified,
			changes: []change{{"internal/races/model.go", "if !v.Alarm && !v.Drift.Alarm && c.Ended > 0 {", "if !v.Alarm && c.Ended > 0 {"}},
			in:      theRaces, tests: []string{"TestDriftBeginsAndEnds"},
		},
		{
			name: "an alarm comes before anything was learnt", promise: classified,
			changes: []change{{"internal/races/model.go", "v.Alarm = !v.Learning && ", "v.Alarm = "}},
			in:      theRaces, tests: []string{"TestLearningHoldsBackAlarms"},
		},
		{
			name: "an alarm never ends", promise: classified,
			changes: []change{{"internal/races/judge.go", "return v.Alarm && v.Start.Add(Window).Equal(until)", "return v.Alarm"}},
			in:      theMetrics, tests: []string{"TestAlarmBeginsAndEnds"},
		},
	}
}
