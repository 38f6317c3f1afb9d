package main

// ofSettings are mistakes in what else decides about invoices.
func ofSettings() []mutant {
	const theStore, theDomain, migration = "./invoice/postgres", "invoice/generator.go", ends
	return []mutant{
		{
			name: "an invoice is made by settings that don't hold any more", promise: classified,
			changes: []change{
				{"invoice/postgres/counters.go", ", counter.standing != w.draft.Settings.Version:", ":"},
				{unsettled, "IF run.version <> rule.version OR run.newest <> rule.version THEN", "IF false THEN"},
			},
			in: theStore, tests: []string{"TestSettingsChangeBeforeTheWrite"},
		},
		{
			name: "any writer may place an invoice by settings that don't hold any more", promise: classified,
			changes: []change{{unsettled, "IF run.version <> rule.version OR run.newest <> rule.version THEN", "IF false THEN"}},
			in:      theStore, tests: []string{"TestSettingsHoldForEveryWriter"},
		},
		{
			name: "a worker of the release before dates an invoice far ahead", promise: classified,
			changes: []change{{unsettled, "IF run.earliest < rule.earliest OR run.latest > rule.latest THEN", "IF run.earliest < rule.earliest THEN"}},
			in:      theStore, tests: []string{"TestSettingsHoldForEveryWriter"},
		},
		{
			name: "a worker of the release before dates an invoice in the year 25", promise: classified,
			changes: []change{{unsettled, "IF run.earliest < rule.earliest OR run.latest > rule.latest THEN", "IF run.latest > rule.latest THEN"}},
			in:      theStore, tests: []string{"TestSettingsHoldForEveryWriter"},
		},
		{
			name: "what is invoiced already is invalid once its date isn't allowed any more", promise: classified,
			changes: []change{{
				theDomain, "	slot, series, closed, err := g.place(ctx, r.Job, r.Totals.Kind, settings, false)\n",
				"	if err := settings.CheckDate(r.Job.IssuedAt, time.Now()); err != nil {\n		return Result{}, err\n	}\n	slot, series, closed, err := g.place(ctx, r.Job, r.Totals.Kind, settings, false)\n",
			}},
			in: theStore, tests: []string{"TestDatesOutOfBounds"},
		},
		{
			name: "a job that lacks what the profile asks for is invoiced", promise: classified,
			changes: []change{{"invoice/profile.go", "if err != nil || len(lacks) == 0 {\n		return judged, nil, err", "if err != nil || len(lacks) > 0 {\n		return judged, nil, err"}},
			in:      theStore, tests: []string{"TestProfileRefusesWhatLacksSomething"},
		},
		{
			name: "the profile of a series doesn't count", promise: classified,
			changes: []change{{"invoice/profile.go", "profile = cmp.Or(series.Profile, profile)", "profile = cmp.Or(profile, series.Profile)"}},
			in:      theStore, tests: []string{"TestProfileOfASeries"},
		},
		{
			name: "a worker that knows no profile invoices what is to be judged", promise: classified,
			changes: []change{{"migrations/00049_profile.sql", "    IF FOUND THEN\n        RAISE EXCEPTION 'series % is left", "    IF false THEN\n        RAISE EXCEPTION 'series % is left"}},
			in:      theStore, tests: []string{"TestWorkersThatKnowNoProfile"},
		},
		{
			name: "a seller whose facts have changed since is judged by the old ones", promise: classified,
			changes: []change{{"invoice/postgres/insert.go", "judged != nil && judged.Version != counter.issuerVersion", "judged != nil && judged.Version < 0"}},
			in:      theStore, tests: []string{"TestProfileKnowsTheIssuer"},
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
			changes: []change{{numbers, "IF dated IS NULL OR run.dated < run.members OR", "IF"}},
			in:      theStore, tests: []string{"TestDocumentsAreDatedOnTheirDayOfIssue"},
		},
		{
			name: "a document is dated tomorrow", promise: gapless,
			changes: []change{{numbers, "OR dated > today AND dated >", "OR dated < today AND dated >"}, {numbers, "run.earliest <> dated OR run.latest <> dated", "false"}},
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
