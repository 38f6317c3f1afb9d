package main

// ofIssuers are mistakes by which one issuer's ids, numbers or settings become another's.
func ofIssuers() []mutant {
	const found, counters, chain = "invoice/postgres/existing.go", "invoice/postgres/counters.go", "invoice/postgres/chain.go"
	inStore := func(name string, p promise, test string, changes ...change) mutant {
		return mutant{name: name, promise: p, changes: changes, in: theStore, tests: []string{test}}
	}
	return []mutant{
		inStore("another issuer's invoice of the same transaction is a duplicate", one, "TestIssuersShareNothing",
			change{found, "transaction_id = asked_transaction AND issuer = asked_issuer", "transaction_id = asked_transaction"}),
		inStore("another issuer's key is a conflict", classified, "TestIssuersShareNothing",
			change{found, "idempotency_key = asked_key AND issuer = asked_issuer", "idempotency_key = asked_key"}),
		inStore("a look-up finds another issuer's invoice", classified, "TestIssuersShareNothing",
			change{"invoice/postgres/find.go", "WHERE issuer = @issuer AND (transaction_id = @transaction OR idempotency_key = @key)", "WHERE (transaction_id = @transaction OR idempotency_key = @key)"}),
		inStore("one counter numbers the same series of two issuers", gapless, "TestIssuersShareNothing",
			change{counters, "return counterKey{slot.Issuer, slot.Series, slot.Period}", "return counterKey{\"\", slot.Series, slot.Period}"}),
		inStore("a counter is moved for all issuers", gapless, "TestIssuersShareNothing",
			change{"invoice/postgres/write_rows.go", "WHERE invoice_series.issuer = c.issuer AND ", "WHERE "}),
		inStore("a transaction of one issuer waits for another one's", recovers, "TestStormOfIssuers",
			change{"migrations/issuers.go", `"transaction_id, issuer"`, `"transaction_id"`}, change{"migrations/issuers.go", `"idempotency_key, issuer"`, `"idempotency_key"`}),
		inStore("a job of no issuer is a duplicate of an issuer's invoice", noneLost, "TestEndsKnowIssuers",
			change{records, "AND invoices.issuer = a.issuer AND invoices.transaction_id = a.invoiced", "AND invoices.transaction_id = a.invoiced"}),
		inStore("a worker of the release before records an issuer's invoice as its own", noneLost, "TestEndsKnowIssuers",
			change{ends, "record_ends_of_issuers(array_fill(''::text, ", "record_ends_of_issuers(array_fill('ACME-DE'::text, "}),
		inStore("an issuer that nobody has opened gets invoices", classified, "TestUnknownIssuer",
			change{"invoice/postgres/settings.go", "case len(rows) == 0 && issuer != \"\":", "case len(rows) == 0 && issuer == \"-\":"},
			change{"invoice/postgres/settings.go", "case len(rows) == 0:\n", "case len(rows) == 0:\n\t\treturn newestSettings(db, \"\")\n\tcase len(rows) < 0:\n"}),
		inStore("settings of one issuer hold for all", classified, "TestSettingsOfIssuers",
			change{"invoice/postgres/settings.go", "newestSettings(s.db.WithContext(ctx), issuer)", "newestSettings(s.db.WithContext(ctx), \"\")"}),
		inStore("a paused series stops that of another issuer", recovers, "TestPausedSeriesOfAnIssuer",
			change{"invoice/postgres/series.go", "\" WHERE issuer = ? AND series = ? ORDER BY version DESC LIMIT 1\", id.Issuer, id.Name)", "\" WHERE ? <> '-' AND series = ? ORDER BY state = 'paused' DESC, version DESC LIMIT 1\", id.Issuer, id.Name)"}),
		inStore("jobs wait for a series of another issuer", recovers, "TestPausedSeriesOfAnIssuer",
			change{"invoice/postgres/parked.go", "WHERE issuer = @issuer AND series = @series", "WHERE @issuer <> '-' AND series = @series AND state = 'paused'"}),
		inStore("the keys of issuers are swapped while nobody may write", recovers, "TestOpeningTheFirstIssuerContinues",
			change{"migrations/ahead.go", "	if err != nil || valid.Bool {", "	if err != nil || valid.Valid {"}),
		inStore("what is known of an issuer can be changed", immutable, "TestDatabaseKeepsIssuers",
			change{ends, "CREATE TRIGGER issuers_guard BEFORE INSERT OR UPDATE OR DELETE ON issuers", "CREATE TRIGGER issuers_guard BEFORE INSERT ON issuers"}),
		inStore("issuers are opened while ids are unique over all of them", one, "TestDatabaseKeepsIssuers",
			change{ends, "IF NOT issuers_apart() THEN", "IF false THEN"}),
		{
			name: "a link doesn't say which issuer's invoice it is of", promise: immutable,
			changes: []change{{"invoice/record.go", "if r.Slot.Issuer != \"\" {", "if r.Slot.Issuer == \"-\" {"}}, in: "./invoice", tests: []string{"TestIssuersHaveDigestsOfTheirOwn"},
		},
		{
			name: "two issuers share a lock", promise: recovers,
			changes: []change{{"locking/locking.go", "	if l.scope != \"\" {\n", "	if l.scope == \"-\" {\n"}}, in: "./locking", tests: []string{"TestScopesAreApart"},
		},
		inStore("a chain goes on with another issuer's link", immutable, "TestChainsOfIssuers",
			change{chain, "WHERE i.issuer = s.issuer AND i.series = s.series AND i.period = s.period AND i.number = s.head),\n", "WHERE i.series = s.series AND i.period = s.period AND i.number = s.head ORDER BY issuer LIMIT 1),\n"}),
	}
}
