package main

const (
	credits   = "migrations/00041_credited_rows.sql"
	unsettled = "migrations/00039_replaces.sql" // what settings decide, and what is replaced
)

// ofCredits are mistakes in what credits invoices.
func ofCredits() []mutant {
	const theDomain, theStore = "invoice/credits.go", "./invoice/postgres"
	// Whoever writes is refused by the trigger, and most are refused before, by the same function.
	return []mutant{
		{
			name: "an invoice is credited twice", promise: immutable,
			changes: []change{{credits, "IF total < 0 AND left_of + total < least(0, above.total_minor) OR", "IF"}, {credits, "AND (asked.amount < 0 AND of.amount + coalesce", "AND (false AND of.amount + coalesce"}},
			in:      theStore, tests: []string{"TestCreditsStayWithinTheirInvoice"},
		},
		{
			name: "more is given back than was credited", promise: immutable,
			changes: []change{{credits, " OR total > 0 AND left_of + total > greatest(0, above.total_minor) THEN", " THEN"}, {credits, "OR asked.amount > 0 AND of.amount + coalesce", "OR false AND of.amount + coalesce"}},
			in:      theStore, tests: []string{"TestCancelledCreditsGiveBack", "TestCreditsStayWithinTheirInvoice"},
		},
		{
			name: "a rate is credited by more than it comes to", promise: immutable,
			changes: []change{{credits, "IF above.id IS NOT NULL THEN", "IF above.id < 0 THEN"}},
			in:      theStore, tests: []string{"TestCreditsStayWithinTheirInvoice"},
		},
		{
			name: "what has two taxes can't be credited in parts", promise: immutable,
			changes: []change{{credits, "IF slack = 0 AND has_several_taxes", "IF false AND has_several_taxes"}},
			in:      theStore, tests: []string{"TestCreditsOfSeveralTaxes"},
		},
		{
			name: "two taxes of one percentage are credited as one", promise: immutable,
			changes: []change{{credits, "IF NOT FOUND AND own IS NOT NULL THEN", "IF NOT FOUND AND own < 0 THEN"}},
			in:      theStore, tests: []string{"TestCreditsOfOnePercentage"},
		},
		{
			name: "two credit an invoice at once", promise: immutable,
			changes: []change{{"migrations/00035_credited_rates.sql", "PERFORM pg_advisory_xact_lock(family) FROM unnest(wanted) AS family;", ""}},
			in:      theStore, tests: []string{"TestCreditsTakeTurns"},
		},
		{
			name: "the database trusts who writes a credit note", promise: immutable,
			changes: []change{{unsettled, "IF crediting IS NOT NULL THEN", "IF crediting = '{}' THEN"}},
			in:      theStore, tests: []string{"TestDatabaseKeepsCredits", "TestCreditsAtOnce"},
		},
		{
			name: "what credits a credit note isn't counted above it", promise: immutable,
			changes: []change{{credits, "EXIT WHEN next IS NULL OR next = ANY (seen);", "EXIT;"}},
			in:      theStore, tests: []string{"TestCancelledCreditsGiveBack"},
		},
		{
			name: "a cancelled credit note gives nothing back", promise: immutable,
			changes: []change{{credits, "FROM family JOIN invoices i ON i.issuer = of_issuer AND i.credits_transaction_id = family.transaction_id\n", "FROM family JOIN invoices i ON false\n"}},
			in:      theStore, tests: []string{"TestCancelledCreditsGiveBack"},
		},
		{
			name: "a credit note in another currency is taken", promise: immutable,
			changes: []change{{credits, "AND above.currency <> in_currency THEN", "AND above.currency = '' THEN"}},
			in:      theStore, tests: []string{"TestCreditsStayWithinTheirInvoice"},
		},
		{
			name: "a credit note before its invoice is taken", promise: immutable,
			changes: []change{{credits, "AND above.issued_at > dated THEN", "AND above.issued_at IS NULL THEN"}},
			in:      theStore, tests: []string{"TestCreditsStayWithinTheirInvoice"},
		},
		{
			name: "a document credits itself, at the end", promise: immutable,
			changes: []change{{credits, "IF next = of_transaction THEN", "IF next = '' THEN"}},
			in:      theStore, tests: []string{"TestCreditsStayWithinTheirInvoice", "TestInvoiceAfterItsCredits"},
		},
		{
			name: "what was credited before an import is forgotten", promise: immutable,
			changes: []change{{credits, "sign(i.total_minor)::bigint * coalesce(i.credited_total_minor, 0) AS before", "0::bigint AS before"}},
			in:      theStore, tests: []string{"TestCreditsOfImports"},
		},
		{
			name: "a credit note of one issuer takes from another's invoice", promise: apart,
			changes: []change{{credits, "FROM invoices i WHERE i.issuer = of_issuer AND i.transaction_id = next;", "FROM invoices i WHERE i.transaction_id = next;"}},
			in:      theStore, tests: []string{"TestDatabaseKeepsCredits"},
		},
		{
			name: "a credit note doesn't wait for its invoice", promise: immutable,
			changes: []change{{theDomain, "case credit.Waits != \"\":", "case credit.Waits == \"-\":"}},
			in:      theStore, tests: []string{"TestCreditWaitsForItsInvoice"},
		},
		{
			name: "a credit note is made although its invoice's job has failed", promise: immutable,
			changes: []change{{theDomain, "case credit.Failed != \"\":", "case credit.Failed == \"-\":"}},
			in:      theStore, tests: []string{"TestCreditWaitsForItsInvoice"},
		},
		{
			name: "two credit notes wait for each other", promise: recovers,
			changes: []change{{"invoice/postgres/credits.go", "if waiting.CreditsTransactionID == j.TransactionID {", "if waiting.CreditsTransactionID == \"-\" {"}},
			in:      theStore, tests: []string{"TestCreditWaitsForItsInvoice"},
		},
		{
			name: "a worker of the release before makes a credit note of nothing", promise: immutable,
			changes: []change{{unsettled, "IF rule.must_credit AND EXISTS", "IF false AND EXISTS"}},
			in:      theStore, tests: []string{"TestSettingsOfCredits"},
		},
		{
			name: "a worker of the release before makes a document of zeros", promise: immutable,
			changes: []change{{unsettled, "IF rule.refuse_zero AND EXISTS (", "IF false AND EXISTS ("}},
			in:      theStore, tests: []string{"TestSettingsOfCredits"},
		},
		{
			name: "a document whose amounts cancel out counts as nothing but zeros", promise: classified,
			changes: []change{{theDomain, "if net != 0 {", "if net == 1 {"}},
			in:      theStore, tests: []string{"TestSettingsOfCredits"},
		},
		{
			name: "a worker replaces what isn't credited", promise: immutable,
			changes: []change{{"invoice/generator.go", "err = g.checkReplaced(ctx, j, settings, dry)", "err = nil"}},
			in:      theStore, tests: []string{"TestReplacementWaits"},
		},
		{
			name: "the database trusts who replaces a document", promise: immutable,
			changes: []change{{unsettled, "IF cardinality(replacing) > 0 THEN\n        PERFORM refuse_replacements", "IF false THEN\n        PERFORM refuse_replacements"}},
			in:      theStore, tests: []string{"TestDatabaseKeepsReplaced", "TestReplacementsTakeTurns"},
		},
		{
			name: "a document is replaced while its credit note is cancelled", promise: immutable,
			changes: []change{{unsettled, "PERFORM pg_advisory_xact_lock(family) FROM unnest(wanted) AS family;", ""}},
			in:      theStore, tests: []string{"TestReplacementsTakeTurns"},
		},
		{
			name: "what a cancelled credit note gives back isn't counted before a document is replaced", promise: immutable,
			changes: []change{{unsettled, "FROM family JOIN invoices i ON i.issuer = of_issuer AND i.credits_transaction_id = family.transaction_id\n", "FROM family JOIN invoices i ON false\n"}},
			in:      theStore, tests: []string{"TestReplacedIsCreditedFirst"},
		},
		{
			name: "what was credited before an import doesn't count when it is replaced", promise: immutable,
			changes: []change{{unsettled, "sign(i.total_minor)::bigint * coalesce(i.credited_total_minor, 0) AS before", "0::bigint AS before"}},
			in:      theStore, tests: []string{"TestReplacedImports"},
		},
		{
			name: "a corrected invoice doesn't wait for the credit note", promise: immutable,
			changes: []change{{"invoice/replaces.go", "case replaced.Waits != nil:\n", "case replaced.Waits == nil && id == \"\":\n"}},
			in:      theStore, tests: []string{"TestReplacementWaits"},
		},
		{
			name: "a corrected invoice and its credit note wait for each other", promise: recovers,
			changes: []change{{"invoice/postgres/replaces.go", "if next.TransactionID == j.TransactionID {", "if next.TransactionID == \"\" {"}},
			in:      theStore, tests: []string{"TestReplacementWaits"},
		},
		{
			name: "a repeat that matters is ignored", promise: classified,
			changes: []change{{"invoice/differences.go", "(!isPresentation(f) || !s.IgnorePresentation)", "!s.IgnorePresentation"}},
			in:      theStore, tests: []string{"TestRepeatsThatDifferInNothingThatMatters"},
		},
		{
			name: "a repeat under another key is ignored", promise: classified,
			changes: []change{{"invoice/differences.go", "if own.IdempotencyKey == r.Job.IdempotencyKey && own", "if own"}},
			in:      theStore, tests: []string{"TestRepeatsThatDifferInNothingThatMatters"},
		},
		{
			name: "it isn't on record in what a duplicate differs", promise: classified,
			changes: []change{{"worker/attempt.go", "if r.Outcome == invoice.Duplicate {", "if r.Outcome == invoice.Created {"}},
			in:      "./worker", tests: []string{"TestIgnoredDifferencesAreOnRecord"},
		},
	}
}
