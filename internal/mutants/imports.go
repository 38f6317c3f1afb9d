package main

// What was invoiced elsewhere isn't invoiced again.
func ofImports() []mutant {
	const migration = ends
	return []mutant{
		{
			name: "an invoice doesn't wait for imports under way", promise: one, hazard: twoTables,
			changes: []change{{migration, "    PERFORM pg_advisory_xact_lock_shared(hashtextextended(TG_TABLE_SCHEMA || '.imported_invoices', 20));\n", ""}},
			in:      theStore, tests: []string{"TestImportOrInvoiceWhicheverComesFirst/the_import"},
		},
		{
			name: "an import doesn't wait for invoices under way", promise: one, hazard: twoTables,
			changes: []change{{migration, "    PERFORM pg_advisory_xact_lock(hashtextextended(TG_TABLE_SCHEMA || '.imported_invoices', 20));\n    SELECT printed", "    SELECT printed"}},
			in:      theStore, tests: []string{"TestImportOrInvoiceWhicheverComesFirst/the_invoice"},
		},
		{
			name: "a look with an old snapshot counts", promise: one, hazard: twoTables,
			changes: []change{{migration, "    IF current_setting('transaction_isolation') <> 'read committed' THEN\n        RAISE EXCEPTION 'invoices", "    IF false THEN\n        RAISE EXCEPTION 'invoices"}},
			in:      theStore, tests: []string{"TestOneSnapshotIsRefused"},
		},
		{
			name: "writers wait behind an import that waits", promise: recovers, hazard: heldRow,
			changes: []change{{"invoice/postgres/imports.go", "const importWait = 50 * time.Millisecond", "const importWait = 5 * time.Second"}},
			in:      theStore, tests: []string{"TestImportDoesNotHoldUpWriters"},
		},
		{
			name: "a draft is written before imports are looked at", promise: classified,
			changes: []change{{"invoice/postgres/existing.go", "withdrawn_at IS NULL AND transaction_id = asked_transaction", "withdrawn_at IS NULL AND transaction_id = ''"}},
			in:      theStore, tests: []string{"TestImportedTransaction"},
		},
		{
			name: "a forecast knows no imports", promise: classified,
			changes: []change{{"invoice/postgres/find.go", "withdrawn_at IS NULL AND transaction_id = @transaction", "withdrawn_at IS NULL AND transaction_id = ''"}},
			in:      theStore, tests: []string{"TestImportedTransaction"},
		},
		{
			name: "another total is a duplicate of an import", promise: immutable, hazard: sameKey,
			changes: []change{{"invoice/import.go", "if err == nil && totals.Total != *i.Total {", "if err == nil && totals.Total < *i.Total-1 {"}},
			in:      theStore, tests: []string{"TestImportedTransaction"},
		},
		{
			name: "a number is imported that a series could still print", promise: gapless,
			changes: []change{{migration, "still_printed(asked.issuers, asked.numbers) LIMIT 1;", "still_printed(asked.issuers, '{}') LIMIT 1;"}},
			in:      theStore, tests: []string{"TestImportedNumbersThatASeriesCouldPrint"},
		},
		{
			name: "a series could print a number that is imported", promise: gapless,
			changes: []change{{migration, "    IF claimed IS NOT NULL THEN\n", "    IF claimed = '' THEN\n"}},
			in:      theStore, tests: []string{"TestSeriesThatCouldPrintAnImportedNumber"},
		},
		{
			name: "a withdrawn import has duplicates", promise: noneLost,
			changes: []change{{records, " AND imported_invoices.withdrawn_at IS NULL AND a.invoice_id IS NULL", " AND a.invoice_id IS NULL"}},
			in:      theStore, tests: []string{"TestImportIsWithdrawn"},
		},
	}
}
