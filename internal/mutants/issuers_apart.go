package main

// ofIssuersRecords are mistakes by which what is proved, sealed, imported or replayed of one issuer is taken for another's.
func ofIssuersRecords() []mutant {
	const (
		theAudit, theSeals, theDispatch = "./invoice/postgres/audit", "./internal/seals", "./worker/dispatch"
		audit, imports, replay          = "invoice/postgres/audit/", "invoice/postgres/imports.go", "worker/dispatch/replay_order.go"
	)
	return []mutant{
		{
			name: "the audit takes two issuers' transactions of one id for one", promise: apart,
			changes: []change{{audit + "unique.go", "(issuer, transaction_id) IN (SELECT issuer, transaction_id FROM invoices GROUP BY issuer, transaction_id HAVING", "transaction_id IN (SELECT transaction_id FROM invoices GROUP BY transaction_id HAVING"}},
			in:      theAudit, tests: []string{"TestIssuersShareNothing"},
		},
		{
			name: "the audit counts the numbers of two issuers as one series", promise: apart,
			changes: []change{{audit + "pass.go", "if p.begun && p.slot == slot {", "if p.begun && p.slot.Series == slot.Series && p.slot.Period == slot.Period {"}},
			in:      theAudit, tests: []string{"TestIssuersShareNothing"},
		},
		{
			name: "the audit compares the dates of two issuers", promise: apart,
			changes: []change{{audit + "pass.go", `p.begun, p.slot, p.start, p.newest = true, slot, 0, ""`, "p.begun, p.slot, p.start = true, slot, 0"}},
			in:      theAudit, tests: []string{"TestIssuers/dates_that_fall_within_an_issuer,_beside_those_of_another"},
		},
		{
			name: "the audit takes another issuer's import for one of the invoice", promise: apart,
			changes: []change{{audit + "imports.go", "invoices.issuer = imported.issuer AND invoices.transaction_id", "invoices.transaction_id"}},
			in:      theAudit, tests: []string{"TestIssuersShareNothing"},
		},
		{
			name: "the audit lets a link follow on another issuer's", promise: immutable, hazard: anOwner,
			changes: []change{{audit + "chain.go", "return seals.Slot{Issuer: i.issuer, Series", "return seals.Slot{Series"}},
			in:      theAudit, tests: []string{"TestIssuersShareNothing"},
		},
		{
			name: "the audit takes another issuer's invoice as a duplicate's", promise: classified, hazard: anOwner,
			changes: []change{{audit + "ends.go", "IS DISTINCT FROM attempts.issuer THEN", "IS DISTINCT FROM attempts.issuer AND false THEN"}},
			in:      theAudit, tests: []string{"TestIssuers/a_duplicate_of_another_issuer's_invoice"},
		},
		{
			name: "the audit takes another issuer's invoice as a done job's", promise: classified, hazard: anOwner,
			changes: []change{{audit + "ends.go", "IS DISTINCT FROM jobs.issuer THEN", "IS DISTINCT FROM jobs.issuer AND false THEN"}},
			in:      theAudit, tests: []string{"TestIssuers/a_duplicate_of_another_issuer's_invoice"},
		},
		{
			name: "the audit doesn't compare the issuer that was accepted", promise: immutable, hazard: anOwner,
			changes: []change{{audit + "accepted.go", "if asked.Issuer != j.issuer {", "if asked.Issuer == \"-\" {"}},
			in:      theAudit, tests: []string{"TestIssuers/accepted_for_another_issuer"},
		},
		{
			name: "the audit believes whatever issuer a row names", promise: apart, hazard: anOwner,
			changes: []change{{audit + "issuers.go", "issuer NOT IN (SELECT issuer FROM issuers) GROUP BY", "issuer = '-' GROUP BY"}},
			in:      theAudit, tests: []string{"TestIssuers/an_issuer_that_was_never_opened"},
		},
		{
			name: "one constraint that knows issuers makes all others wrong", promise: one,
			changes: []change{{audit + "enforced.go", "if 2*knowIssuers <= len(swapped) {", "if knowIssuers == 0 {"}},
			in:      theAudit, tests: []string{"TestSeparatedConstraints/separated_false"},
		},
		{
			name: "a moved invoice is looked for at its new issuer", promise: immutable, hazard: anOwner,
			changes: []change{{"internal/seals/seals.go", "cmp.Compare(s.Issuer, other.Issuer), ", ""}},
			in:      theSeals, tests: []string{"TestIssuers"},
		},
		{
			name: "a seal with issuers passes for one without", promise: immutable,
			changes: []change{{"internal/seals/writer.go", "s.Format = issuers\n", "s.Format = format\n"}},
			in:      theSeals, tests: []string{"TestIssuers"},
		},
		{
			name: "a seal without issuers has another form than before", promise: immutable,
			changes: []change{{"internal/seals/seals.go", "`json:\"issuer,omitempty\"`", "`json:\"issuer\"`"}},
			in:      theSeals, tests: []string{"TestWithoutIssuers"},
		},
		{
			name: "a batch imports an id for one issuer only", promise: apart,
			changes: []change{{imports, "transaction, key := id{one.Issuer, one.TransactionID}", "transaction, key := id{\"\", one.TransactionID}"}},
			in:      theStore, tests: []string{"TestImportIsRefusedWithinItsIssuer"},
		},
		{
			name: "an import forgets its issuer", promise: apart,
			changes: []change{{imports, "issuers.text(one.Issuer)", "issuers.text(\"\")"}},
			in:      theStore, tests: []string{"TestImportsOfIssuers"},
		},
		{
			name: "an import is refused for what another issuer has", promise: apart,
			changes: []change{{imports, "WHERE issuer = asked_issuer AND ", "WHERE asked_issuer = asked_issuer AND "}},
			in:      theStore, tests: []string{"TestImportIsRefusedWithinItsIssuer"},
		},
		{
			name: "an ambiguous import is withdrawn", promise: apart,
			changes: []change{{imports, "if len(issuers) > 1 {", "if len(issuers) > 9 {"}},
			in:      theStore, tests: []string{"TestImportOfAnIssuerIsWithdrawn"},
		},
		{
			name: "--issuer counts more than the line", promise: apart,
			changes: []change{{"internal/past/past.go", "cmp.Or(one.Issuer, i.Issuer)", "cmp.Or(i.Issuer, one.Issuer)"}},
			in:      "./cmd/invoicer", tests: []string{"TestScripts/import_issuers"},
		},
		{
			name: "a replay in order doesn't await the ends", promise: gapless,
			changes: []change{{replay, "r.summary.Total() == before {", "r.summary.Total() >= before {"}},
			in:      theDispatch, tests: []string{"TestReplayerKeepsAnOrder/by_issued_at"},
		},
		{
			name: "a replay by issued_at is one by accepted_at", promise: gapless,
			changes: []change{{replay, "if r.options.Order == ByIssuedAt {", "if r.options.Order == \"\" {"}},
			in:      theDispatch, tests: []string{"TestReplayerKeepsAnOrder/not_by_another_time"},
		},
	}
}
