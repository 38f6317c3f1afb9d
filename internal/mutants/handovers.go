package main

// ofHandovers are mistakes in what is handed over to others, by whatever way.
func ofHandovers() []mutant {
	const migration, theStore, theWorker, mail = "migrations/00051_handovers.sql", "./invoice/postgres", "./internal/handovers", "./internal/mail"
	const store, worker, sending = "invoice/postgres/handovers.go", "internal/handovers/worker.go", "internal/mail/send.go"
	return []mutant{
		{
			name: "two processes hand the same invoice over", promise: classified,
			changes: []change{{store, "in_hand = true, due_at = now() + ? * interval '1 second'", "in_hand = true, due_at = h.due_at + 0 * ? * interval '1 second'"}},
			in:      theStore, tests: []string{"TestHandoversAreOwed", "TestAHandoverOfAnotherProcess"},
		},
		{
			name: "a process whose claim has expired records what it heard", promise: onlyTheHolder, hazard: pausedWorker,
			changes: []change{{store, "WHERE id = @id AND turn = @turn AND state = @was AND in_hand`", "WHERE id = @id AND @turn > 0 AND state = @was AND in_hand`"}},
			in:      theStore, tests: []string{"TestAHandoverOfAnotherProcess"},
		},
		{
			name: "what came of one attempt is recorded twice", promise: classified, hazard: lostAck,
			changes: []change{{store, "AND state = @was AND in_hand`", "AND state = @was`"}},
			in:      theStore, tests: []string{"TestSettledOnce"},
		},
		{
			name: "an invoice is cancelled and handed over", promise: classified,
			changes: []change{{store, `"(state = 'queued' AND in_hand AND due_at > now())"`, `"(false AND in_hand AND due_at > now())"`}},
			in:      theStore, tests: []string{"TestAHandoverInHand", "TestCancellingBesideAClaim"},
		},
		{
			name: "a hand-over counts as owed by a channel that had ended", promise: classified,
			changes: []change{{migration, "ARRAY(SELECT id FROM added WHERE id <= c.last_invoice ORDER BY id)", "ARRAY(SELECT id FROM added WHERE false ORDER BY id)"}},
			in:      theStore, tests: []string{"TestChannelsEndBesideWriters"},
		},
		{
			name: "a hand-over that has ended takes another step", promise: immutable,
			changes: []change{{migration, "'cleared accepted', 'cleared rejected') THEN true", "'cleared accepted', 'cleared rejected', 'rejected accepted') THEN true"}},
			in:      theStore, tests: []string{"TestStepsOfHandovers"},
		},
		{
			name: "a clearance is replaced by a later one", promise: immutable,
			changes: []change{{migration, "(NEW.clearance IS NOT DISTINCT FROM OLD.clearance OR OLD.clearance IS NULL OR changes AND NEW.state = 'queued')", "true"}},
			in:      theStore, tests: []string{"TestStepsOfHandovers"},
		},
		{
			name: "a credit note doesn't wait for the clearance that it has to quote", promise: classified,
			changes: []change{{migration, "CASE WHEN NOT c.await_clearance OR credited.id IS NULL", "CASE WHEN true OR credited.id IS NULL"}},
			in:      theStore, tests: []string{"TestACreditNoteWaitsForTheClearance"},
		},
		{
			name: "a credit note that is written while its invoice is cleared waits for ever", promise: noneLost,
			changes: []change{{migration, "ORDER BY h.id LIMIT 1 FOR SHARE OF h", "ORDER BY h.id LIMIT 1"}},
			in:      theWorker, tests: []string{"TestAClearanceWhileACreditNoteIsWritten"},
		},
		{
			name: "the history of a hand-over can be changed", promise: immutable,
			changes: []change{{migration, "IF NEW IS NOT DISTINCT FROM was AND EXISTS (SELECT FROM handovers h JOIN invoices i", "IF true OR EXISTS (SELECT FROM handovers h JOIN invoices i"}},
			in:      theStore, tests: []string{"TestStepsOfHandovers"},
		},
		{
			name: "erasing leaves addresses and answers", promise: discreet,
			changes: []change{{migration, "WHERE erased_at IS NULL AND invoice_id IN (SELECT id FROM changed WHERE erasure_id IS NOT NULL) RETURNING id", "WHERE false RETURNING id"}},
			in:      theStore, tests: []string{"TestErasingTakesWhatHandoversSay"},
		},
		{
			name: "an invoice is handed over before its documents are there", promise: classified,
			changes: []change{{worker, "if p.Documents, err = w.documents(ctx, r, c); err != nil {", "if p.Documents, _ = w.documents(ctx, r, c); false {"}},
			in:      theWorker, tests: []string{"TestNothingIsHandedOverBeforeItsDocuments"},
		},
		{
			name: "a channel that panics ends the worker", promise: recovers,
			changes: []change{{worker, "if p := recover(); p != nil {", "if p := error(nil); p != nil {"}},
			in:      theWorker, tests: []string{"TestAPanicIsAnError"},
		},
		{
			name: "half a letter is delivered", promise: classified, hazard: shutdown,
			changes: []change{{"internal/mail/session.go", "if err == nil || refused || unfit {", "if refused || !refused || unfit {"}},
			in:      mail, tests: []string{"TestGivingUpAnywhere"},
		},
		{
			name: "a letter whose answer was lost counts as not sent", promise: classified, hazard: lostAck,
			changes: []change{{sending, "return \"\", &UncertainError{MessageID: letter.id, Err: err}", "return \"\", err"}},
			in:      mail, tests: []string{"TestConnectionIsLost"},
		},
		{
			name: "a link opens the documents of another installation", promise: apart,
			changes: []change{{"internal/links/links.go", "x00\" + l.base + \"\\x00\"", "x00\""}},
			in:      "./internal/links", tests: []string{"TestLinksLeadWhereTheyWereMadeTo"},
		},
		{
			name: "a link opens its document for ever", promise: discreet,
			changes: []change{{"internal/links/links.go", "if !now.Before(link.Until) {", "if false {"}},
			in:      "./internal/links", tests: []string{"TestLinksLeadWhereTheyWereMadeTo"},
		},
		{
			name: "what is open without a token can be changed without one", promise: discreet,
			changes: []change{{"web/access/gate.go", "return reads && g.options.Open", "_ = reads\n	return g.options.Open"}},
			in:      "./web", tests: []string{"TestWhatIsOpen"},
		},
	}
}
