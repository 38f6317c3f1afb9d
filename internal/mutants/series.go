package main

// ofSeries are mistakes in what says how series are numbered.
func ofSeries() []mutant {
	const program, theDomain, theStore, settings, keeper = "./cmd/invoicer", "./invoice", "./invoice/postgres", ends, "invoice/postgres/series.go"
	return []mutant{
		{
			name: "a number is placed by settings that don't hold any more", promise: gapless,
			changes: []change{
				{"invoice/postgres/counters.go", "case counter.settings != w.draft.Slot.Version, ", "case counter.settings < 0, "},
				{numbers, "IF run.version <> counter.settings OR run.newest <> counter.settings THEN", "IF run.version < 0 THEN"},
			},
			in: theStore, tests: []string{"TestSeriesChangesInAStorm"},
		},
		{
			name: "a worker of the release before numbers a paused series", promise: gapless,
			changes: []change{{numbers, "IF counter.state = 'paused' THEN", "IF counter.state = '' THEN"}},
			in:      theStore, tests: []string{"TestPausedAndClosedSeries"},
		},
		{
			name: "a worker of the release before numbers a closed series", promise: gapless,
			changes: []change{{numbers, "IF counter.state = 'closed' THEN", "IF counter.state = '' THEN"}},
			in:      theStore, tests: []string{"TestPausedAndClosedSeries"},
		},
		{
			name: "a closed series is opened again", promise: gapless,
			changes: []change{{settings, "IF before.state = 'closed' THEN", "IF before.state = '' THEN"}},
			in:      theStore, tests: []string{"TestPausedAndClosedSeries"},
		},
		{
			name: "what was invoiced before a series was paused is asked for in vain", promise: classified,
			changes: []change{{"invoice/generator.go", "if existing == (Existing{}) {", "if existing.OfTransaction != nil || existing.OfKey == nil {"}},
			in:      theStore, tests: []string{"TestPausedAndClosedSeries"},
		},
		{
			name: "a worker of the release before prints another format", promise: gapless,
			changes: []change{{numbers, "AND invoice_number <> print_number(counter.prefix", "AND invoice_number IS NULL AND '' <> print_number(counter.prefix"}},
			in:      theStore, tests: []string{"TestSeriesBeginsWhereTheOldOneEnded"},
		},
		{
			name: "a worker of the release before has another time zone", promise: gapless,
			changes: []change{{numbers, "IF run.versions < run.members AND counter.period <> '' THEN", "IF run.versions < 0 THEN"}},
			in:      theStore, tests: []string{"TestFiscalYearsOfASeries"},
		},
		{
			name: "a counter is moved without a document", promise: gapless,
			changes: []change{{numbers, "    WHERE last_number >= first_number AND last_number IS", "    WHERE last_number < 0 AND last_number IS"}},
			in:      theStore, tests: []string{"TestSeriesBeginsWhereTheOldOneEnded"},
		},
		{
			name: "the past of a series can be changed", promise: immutable,
			changes: []change{{"migrations/00019_series.sql", "CREATE TRIGGER series_guard BEFORE INSERT OR UPDATE OR DELETE ON series", "CREATE TRIGGER series_guard BEFORE INSERT ON series"}},
			in:      theStore, tests: []string{"TestSeriesBeginsWhereTheOldOneEnded"},
		},
		{
			name: "two series print one number", promise: gapless,
			changes: []change{{keeper, "if printed, ok := s.Collision(&other); ok {", "if printed, ok := s.Collision(&other); ok && printed == \"\" {"}},
			in:      theStore, tests: []string{"TestSeriesThatCouldPrintOneNumber"},
		},
		{
			name: "a series of the release before takes any format", promise: gapless,
			changes: []change{
				{keeper, "if current != nil || c.Printed == nil {", "if current == nil || c.Printed == nil {"},
				{numbers, "IF settings = 0 AND last <> print_number", "IF settings < 0 AND last <> print_number"},
			},
			in: theStore, tests: []string{"TestSeriesOfAnEarlierRelease"},
		},
		{
			name: "a period begins in UTC", promise: gapless,
			changes: []change{{"invoice/series.go", "local := at.In(s.location)", "local := at.UTC()"}},
			in:      theDomain, tests: []string{"TestSeriesPeriods"},
		},
		{
			name: "a year begins a month late", promise: gapless,
			changes: []change{{"invoice/series.go", "local.Month() < time.Month(s.FirstMonth)", "local.Month() <= time.Month(s.FirstMonth)"}},
			in:      theDomain, tests: []string{"TestSeriesPeriods"},
		},
		{
			name: "collisions of numbers with more digits aren't seen", promise: gapless,
			changes: []change{{"invoice/series_pattern.go", "if e.next == padded || e.next == long {", "if e.next == padded {"}},
			in:      theDomain, tests: []string{"TestSeriesThatPrintTheSame", "TestCollisionsAreThoseOfWhatIsPrinted"},
		},
		{
			name: "waiting for a paused series uses up retries", promise: recovers,
			changes: []change{{"worker/retry.go", " && !errors.As(err, &paused) && !isOutage(err)\n", " && (!errors.As(err, &paused) || true) && !isOutage(err)\n"}},
			in:      program, tests: []string{"TestJobsOfAPausedSeriesWait"},
		},
		{
			name: "a job of a paused series that Redis alone has is dropped", promise: noneLost,
			changes: []change{{"worker/paused.go", "case waits:", "case waits || err == nil:"}},
			in:      program, tests: []string{"TestJobsOfAPausedSeriesWait"},
		},
		{
			name: "relays send the jobs of paused series", promise: recovers,
			changes: []change{{"invoice/postgres/dispatch.go", "AND paused_series IS NULL AND queue <> ALL", "AND queue <> ALL"}},
			in:      theStore, tests: []string{"TestJobsWaitForTheirSeries"},
		},
		{
			name: "a job waits for a series that was resumed meanwhile", promise: recovers,
			changes: []change{{"invoice/postgres/parked.go", "ORDER BY version DESC LIMIT 1) = 'paused'`,", "ORDER BY version DESC LIMIT 1) <> ''`,"}},
			in:      theStore, tests: []string{"TestJobsWaitForTheirSeries"},
		},
		{
			name: "a job of a series that was resumed meanwhile waits as long as one of a paused series", promise: recovers,
			changes: []change{{"worker/paused.go", "case a.fromLedger:", "case a.fromLedger && a.altered:"}},
			in:      "./worker", tests: []string{"TestWhenAJobAsksAgainForItsPausedSeries"},
		},
		{
			name: "a relay hardly ever looks for resumed series", promise: recovers,
			changes: []change{{"worker/dispatch/relay.go", "const unparkEvery = time.Second", "const unparkEvery = time.Minute"}},
			in:      "./worker/dispatch", tests: []string{"TestARelayLooksForResumedSeries"},
		},
	}
}
