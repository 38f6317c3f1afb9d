package main

// ofSettings are mistakes in what else decides about invoices.
func ofSettings() []mutant {
	const theStore, theDomain, migration = "./invoice/postgres", "invoice/generator.go", ends
	const dates = ends
	return []mutant{
		{
			name: "an invoice is made by settings that don't hold any more", promise: classified,
			changes: []change{
				{"invoice/postgres/counters.go", ", counter.standing != w.draft.Settings.Version:", ":"},
				{rechecks, "IF run.version <> rule.version OR run.newest <> rule.version THEN", "IF false THEN"},
			},
			in: theStore, tests: []string{"TestSettingsChangeInAStorm"},
		},
		{
			name: "a worker of the release before dates an invoice far ahead", promise: classified,
			changes: []change{{rechecks, "IF run.earliest < rule.earliest OR run.latest > rule.latest THEN", "IF run.earliest < rule.earliest THEN"}},
			in:      theStore, tests: []string{"TestSettingsHoldForEveryWriter"},
		},
		{
			name: "a worker of the release before dates an invoice in the year 25", promise: classified,
			changes: []change{{rechecks, "IF run.earliest < rule.earliest OR run.latest > rule.latest THEN", "IF run.latest > rule.latest THEN"}},
			in:      theStore, tests: []string{"TestSettingsHoldForEveryWriter"},
		},
		{
			name: "what is invoiced already is invalid once its date isn't allowed any more", promise: classified,
			changes: []change{{
				theDomain, "	slot, series, closed, err := g.place(ctx, r.Job, totals.Kind, settings, false)\n",
				"	if err := settings.CheckDate(r.Job.IssuedAt, time.Now()); err != nil {\n		return Result{}, err\n	}\n	slot, series, closed, err := g.place(ctx, r.Job, totals.Kind, settings, false)\n",
			}},
			in: theStore, tests: []string{"TestDatesOutOfBounds"},
		},
		{
			name: "a forecast takes any date", promise: classified,
			changes: []change{{"invoice/forecast.go", "		if closed == nil {\n			closed = settings.CheckDate", "		if closed != nil {\n			closed = settings.CheckDate"}},
			in:      "./cmd/invoicer", tests: []string{"TestForecastOfDatesOutOfBounds"},
		},
		{
			name: "a job makes a series although only opened ones are allowed", promise: classified,
			changes: []change{
				{theDomain, "errors.Is(err, ErrNoSeries) && settings.Strict {", "errors.Is(err, ErrNoSeries) && settings.Version < 0 {"},
				{migration, "    IF (SELECT strict FROM settings", "    IF false AND (SELECT strict FROM settings"},
			},
			in: theStore, tests: []string{"TestStrictSettings"},
		},
		{
			name: "a clock that goes back dates a document before the last one", promise: gapless,
			changes: []change{{"invoice/series.go", "if last != nil && day.Before(*last) {", "if last != nil && day.IsZero() {"}},
			in:      theStore, tests: []string{"TestDatesNeverGoBack"},
		},
		{
			name: "a worker of the release before dates a document by issued_at", promise: gapless,
			changes: []change{{dates, "IF dated IS NULL OR run.dated < run.members OR", "IF"}},
			in:      theStore, tests: []string{"TestDocumentsAreDatedOnTheirDayOfIssue"},
		},
		{
			name: "a document is dated tomorrow", promise: gapless,
			changes: []change{{dates, "OR dated > today AND dated >", "OR dated < today AND dated >"}, {dates, "run.earliest <> dated OR run.latest <> dated", "false"}},
			in:      theStore, tests: []string{"TestDocumentsAreDatedOnTheirDayOfIssue"},
		},
		{
			name: "the day of issue is that of another time zone", promise: gapless,
			changes: []change{{"invoice/series.go", "year, month, date := at.In(s.location).Date()", "year, month, date := at.UTC().Date()"}},
			in:      "./invoice", tests: []string{"TestDayOfIssue"},
		},
		{
			name: "lines are numbered in another order than they have", promise: gapless,
			changes: []change{{"internal/importer/sender.go", "		atOnce = 1\n", "		atOnce = 8\n"}},
			in:      "./cmd/invoicer", tests: []string{"TestEnqueueInOrder"},
		},
		{
			name: "the past of the settings can be changed", promise: immutable,
			changes: []change{{"migrations/00023_settings.sql", "BEFORE INSERT OR UPDATE OR DELETE ON settings", "BEFORE INSERT ON settings"}},
			in:      theStore, tests: []string{"TestSettingsHoldForEveryWriter"},
		},
	}
}
