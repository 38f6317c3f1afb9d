package main

// ofLimitedVisitors are mistakes by which visitors who are limited to issuers see, or change, what is of others.
func ofLimitedVisitors() []mutant {
	const door, theAccess, thePages = "./web", "./web/access", "./web/pages"
	inPages := func(name, test string, c change) mutant {
		return mutant{name: name, promise: apart, changes: []change{c}, in: thePages, tests: []string{test}}
	}
	return []mutant{
		inPages("limited visitors see the failed jobs of all issuers", "TestRoutesOfLimitedVisitors",
			change{"web/pages/filter.go", "DefaultSeries: series, Issuers: visitor.Issuers}", "DefaultSeries: series}"}),
		inPages("limited visitors export the invoices of all issuers", "TestRoutesOfLimitedVisitors",
			change{"web/pages/lists.go", "report.Filter{Series: f.Series, Issuers: visitor.Issuers}", "report.Filter{Series: f.Series}"}),
		inPages("limited visitors see the series of all issuers", "TestRoutesOfLimitedVisitors",
			change{"web/pages/views.go", "SeriesStates(r.Context(), visible, ", "SeriesStates(r.Context(), nil, "}),
		inPages("limited visitors see the stories of all issuers", "TestLimitedVisitorsFindWhatIsTheirs",
			change{"web/pages/views.go", "return visitor.Issuers, nil", "return nil, nil"}),
		inPages("limited visitors see another issuer's job of the same id", "TestLimitedVisitorsFindWhatIsTheirs",
			change{"internal/inquiry/story.go", "one, err := r.options.Store.LookupJob(ctx, &s.Issuer, jobID)", "one, err := r.options.Store.LookupJob(ctx, nil, jobID)"}),
		inPages("limited visitors see the payloads of all issuers", "TestLimitedVisitorsFindWhatIsTheirs",
			change{"web/pages/payload.go", "Payload(r.Context(), visitor.Issuers, jobID)", "Payload(r.Context(), nil, jobID)"}),
		inPages("limited visitors see runs over the jobs of other issuers", "TestRunsOfLimitedVisitors",
			change{"web/pages/act.go", "found.keepsTo(p.o.Visitor(r).Issuers)", "found.keepsTo(nil)"}),
		inPages("a replay by a limited visitor makes an invoice of another issuer", "TestRunsOfLimitedVisitors",
			change{"worker/dispatch/replay.go", "!slices.Contains(r.options.Filter.Issuers, job.Issuer):", "job.Issuer == \"-\":"}),
		inPages("whoever watches a page sees what others may see of it", "TestLimitedVisitorsWatch",
			change{"web/pages/live.go", "\"%t %t %q %s\", visitor.MayAct, visitor.MaySeePersonalData, visitor.Issuers, of", "\"%t %t %s\", visitor.MayAct, visitor.MaySeePersonalData, of"}),
		inPages("a page that doesn't say whose data it shows is open to limited visitors", "TestRoutesOfLimitedVisitors",
			change{"web/pages/routes.go", "return r.within || !visitor.Issuers.Limited()", "return r.within || r.show != nil || !visitor.Issuers.Limited()"}),
		{
			name: "a handler that doesn't say whose data it shows is open to limited visitors", promise: apart,
			changes: []change{{"web/access/access.go", "v := Of(r); v.Issuers.Limited() {", "v := Of(r); v.Issuers.Limited() && v.Name == \"\" {"}},
			in:      door, tests: []string{"TestLimitedTokens"},
		},
		{
			name: "a worker of the release before takes a limited token for one of all issuers", promise: apart,
			changes: []change{
				{"web/access/secret.go", "return sha512.Sum512_256([]byte(secret))", "return sha256.Sum256([]byte(secret))"},
				{"web/access/secret.go", "\t\"crypto/sha512\"\n", ""},
			},
			in: theAccess, tests: []string{"TestLimitedTokensHaveNoSHA256"},
		},
	}
}
