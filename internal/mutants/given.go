package main

// ofGiven are mistakes in what keeps numbers that a lost database gave out.
func ofGiven() []mutant {
	const program, theWatch, theStore, trigger = "./cmd/invoicer", "./internal/given", "./invoice/postgres", numbers
	return []mutant{
		{
			name: "a server that doesn't tell whose history it has gives out no number", promise: recovers,
			changes: []change{{"invoice/postgres/moved.go", "		db = db.Session(&gorm.Session{NewDB: true}) // or the refusal below would be the error of all that follows\n", ""}},
			in:      "./cmd/invoicer", tests: []string{"TestServerThatTellsNoHistory"},
		},
		{
			name: "what Redis knows pauses no series", promise: gapless, hazard: restored,
			changes: []change{{"internal/given/watch.go", "if number > last[slot] {", "if number > last[slot]+1_000_000_000 {"}},
			in:      theWatch, tests: []string{"TestLookPausesWhatMayBeLost"},
		},
		{
			name: "a promotion to a standby that lagged pauses no series", promise: gapless, hazard: restored,
			changes: []change{{"internal/given/watch.go", "if moved && c.Last", "if moved && c.Last < 0 && c.Last"}},
			in:      theWatch, tests: []string{"TestLookPausesWhatMayBeLost"},
		},
		{
			name: "a synchronous promotion pauses series", promise: recovers,
			changes: []change{{"internal/given/watch.go", "&& (!s.Seen.Replicated || s.Restored)", ""}},
			in:      theWatch, tests: []string{"TestLookPausesWhatMayBeLost"},
		},
		{
			name: "nobody looks at a new server", promise: gapless, hazard: restored,
			changes: []change{{"invoice/postgres/moved.go", "(counter.server != w.looked || counter.lastNumber", "(counter.lastNumber"}},
			in:      theWatch, tests: []string{"TestLookPausesWhatMayBeLost"},
		},
		{
			name: "an old primary gives out numbers", promise: gapless, hazard: failover,
			changes: []change{{"internal/given/watch.go", "standing.Now.Before(newest) {", "newest.Before(standing.Now) {"}},
			in:      theWatch, tests: []string{"TestOldPrimariesGiveOutNothing"},
		},
		{
			name: "a worker goes on with an old primary", promise: gapless, hazard: failover,
			changes: []change{{"internal/given/watch.go", "if mine.Before(newest) {", "if mine.Timeline < 0 {"}},
			in:      theWatch, tests: []string{"TestOldPrimariesGiveOutNothing"},
		},
		{
			name: "a series that was gone counts from its beginning again", promise: gapless, hazard: restored,
			changes: []change{{"invoice/postgres/moved.go", "|| missing) {", "|| missing && w.round < 0) {"}},
			in:      theWatch, tests: []string{"TestASeriesThatIsGone"},
		},
		{
			name: "a look takes the pauses of another server for its own", promise: gapless, hazard: failover,
			changes: []change{{"internal/given/watch.go", "if open == 0 {", "if open >= 0 {"}},
			in:      theWatch, tests: []string{"TestALookWantsItsPauses"},
		},
		{
			name: "a counter that went back is taken as it is", promise: gapless, hazard: restored,
			changes: []change{{"invoice/postgres/moved.go", "|| counter.lastNumber < w.seen[key] ||", "|| counter.lastNumber < w.seen[key]-1_000 ||"}},
			in:      theWatch, tests: []string{"TestLookPausesWhatMayBeLost"},
		},
		{
			name: "a lower number replaces the highest", promise: gapless, hazard: restored,
			changes: []change{{"internal/given/given.go", "#have > #number or #have == #number and have >= number", "#have > 99"}},
			in:      theWatch, tests: []string{"TestMemoryKeepsTheHighest"},
		},
		{
			name: "a worker doesn't remember what it gave out", promise: gapless, hazard: restored,
			changes: []change{{"invoice/postgres/moved.go", "if s.options.Remember == nil {", "if s.options.Remember != nil {"}},
			in:      program, tests: []string{"TestNoNumberTwiceAfterAFailover"},
		},
		{
			name: "the done entry of a lost number is deleted", promise: gapless, hazard: restored,
			changes: []change{{"worker/numbers.go", "if err == nil && lost {", "if err == nil && lost && n.Number < 0 {"}},
			in:      program, tests: []string{"TestNoNumberTwiceAfterAFailover"},
		},
		{
			name: "a stale look pauses a series that was recovered", promise: recovers, hazard: restored,
			changes: []change{{"invoice/postgres/moved.go", "if seen > 0 && current", "if seen < 0 && current"}},
			in:      theWatch, tests: []string{"TestAStaleLookPausesNothing"},
		},
		{
			name: "nobody looks for a newer primary than the one in use", promise: recovers, hazard: restored,
			changes: []change{{"internal/given/watch.go", "if n%surveyed == 0 &&", "if n < 0 &&"}},
			in:      program, tests: []string{"TestFailovers/asynchronous,_running"},
		},
		{
			name: "a command takes the first of several primaries", promise: gapless, hazard: restored,
			changes: []change{{"invoice/postgres/session.go", "\tc.primaries.choose(ctx)\n", ""}},
			in:      program, tests: []string{"TestCommandsUseTheNewestPrimary"},
		},
		{
			name: "a recovery forgets the numbers that nobody knows", promise: gapless, hazard: restored,
			changes: []change{{"internal/given/recall.go", "if slot.ID() == id {", "if slot.ID() == id && number < 0 {"}},
			in:      program, tests: []string{"TestNoNumberTwiceAfterAFailover"},
		},
		{
			name: "a series that lost numbers is resumed as it is", promise: gapless, hazard: restored,
			changes: []change{{"invoice/postgres/series.go", "if lost && changed.State == invoice.SeriesOpen", "if lost && changed.Version < 0 && changed.State == invoice.SeriesOpen"}},
			in:      program, tests: []string{"TestNoNumberTwiceAfterAFailover"},
		},
		{
			name: "a reserved number goes to whoever is next", promise: gapless, hazard: restored,
			changes: []change{{"invoice/postgres/reserved.go", ".reserved = &reservation{r.Number, r.Dated}", ".reserved = nil"}},
			in:      theStore, tests: []string{"TestReservedNumbersGoToTheirTransactions"},
		},
		{
			name: "the database gives a reserved number to another transaction", promise: gapless, hazard: restored,
			changes: []change{{trigger, "AND (r.number = a.number AND r.transaction_id IS DISTINCT FROM a.transaction_id OR ", "AND ("}},
			in:      theStore, tests: []string{"TestReservedNumbersGoToTheirTransactions"},
		},
		{
			name: "the database gives another number to whom one is reserved", promise: gapless, hazard: restored,
			changes: []change{{trigger, " OR r.number <> a.number AND r.transaction_id = a.transaction_id)", ")"}},
			in:      theStore, tests: []string{"TestReservedNumbersGoToTheirTransactions"},
		},
		{
			name: "numbers are reserved beyond a gap", promise: gapless, hazard: restored,
			changes: []change{{trigger, "OR run.first <> greatest(counter.last_number + 1, counter.first_number) OR", "OR"}},
			in:      theStore, tests: []string{"TestReservedNumbersGoToTheirTransactions"},
		},
		{
			name: "a reserved number is dated today", promise: gapless, hazard: restored,
			changes: []change{{"invoice/postgres/insert.go", "w.reserved.number, w.reserved.date", "w.reserved.number, counter.dateText()"}},
			in:      theStore, tests: []string{"TestReservedNumbersKeepTheirDates"},
		},
		{
			name: "a chain goes on after a reserved number", promise: immutable, hazard: restored,
			changes: []change{{"invoice/postgres/chain.go", "w.chain = invoice.FormatLink(invoice.Link(invoice.Hash{}, digest))\n\t\t\tcontinue", "counter.head.link = invoice.Link(counter.head.link, digest)"}},
			in:      program, tests: []string{"TestNoNumberTwiceAfterAFailover"},
		},
	}
}
