package main

// ofErasing are mistakes by which something of a person stays who was erased, or goes that must stay.
func ofErasing() []mutant {
	const migration, theStore, theCommand = "migrations/00043_erase.sql", "./invoice/postgres", "./cmd/invoicer"
	in := func(where, name string, promise promise, test string, c change) mutant {
		return mutant{name: name, promise: promise, changes: []change{c}, in: where, tests: []string{test}}
	}
	return []mutant{
		in(theStore, "erasing leaves a salt", discreet, "TestErase", change{migration, "            invoice.salt := NULL;\n", ""}),
		in(theStore, "erasing leaves a fingerprint", discreet, "TestErase", change{migration, "            invoice.fingerprint := erased_fingerprint();\n", ""}),
		in(theStore, "erasing leaves the hash by which twins are found", discreet, "TestErase", change{migration, "            invoice.content_hash := NULL;\n", ""}),
		in(theStore, "erasing leaves the buyer", discreet, "TestErase", change{migration, "            invoice.parties := NULL;\n", ""}),
		in(theStore, "erasing leaves the texts of lines", discreet, "TestErase", change{migration, "            line.texts := NULL;\n", ""}),
		in(theStore, "erasing leaves the payload of a failed job", discreet, "TestErase",
			change{migration, "WHERE j.state IN ('done', 'failed', 'dismissed') AND", "WHERE j.state = 'done' AND"}),
		in(theStore, "erasing leaves the payload of the customer's job that was never invoiced", discreet, "TestErasePayloads",
			change{migration, "        UPDATE invoice_jobs SET payload = NULL, payload_raw = NULL WHERE id = ANY (ids);\n", ""}),
		in(theStore, "erasing changes an amount", immutable, "TestErase",
			change{migration, "            invoice.metadata := '{}';\n", "            invoice.metadata := '{}';\n            invoice.chain := NULL;\n"}),
		in(theStore, "any UPDATE erases", immutable, "TestOnlyErasingChangesInvoices", change{migration, "IF TG_OP = 'UPDATE' AND is_erasing() THEN", "IF TG_OP = 'UPDATE' THEN"}),
		in(theStore, "a statement's text passes for the function", immutable, "TestOnlyErasingChangesInvoices",
			change{migration, `RETURN reverse(split_part(reverse(stack), chr(10), 1)) ~ '^[^"]*[^A-Za-z0-9_.$"]erase_invoices\(bigint,text,text,timestamp with time zone,bigint,integer\)[^"]*$';`, `RETURN stack LIKE '%erase_invoices(bigint,%';`}),
		in(theStore, "a hold exempts nothing", discreet, "TestHoldsExempt", change{migration, "WHERE h.released_at IS NULL AND (h.issuer IS NULL", "WHERE false AND (h.issuer IS NULL"}),
		in(theStore, "a hold lasts for ever", discreet, "TestHoldsExempt", change{migration, "WHERE h.released_at IS NULL AND (h.issuer", "WHERE (h.issuer"}),
		in(theStore, "an old order that was invoiced today is erased by its date", immutable, "TestEraseByAge",
			change{migration, "greatest(i.issued_at, i.document_date::timestamptz, i.created_at)", "i.issued_at"}),
		in(theStore, "the end of a job of an erased transaction leaves its payload", discreet, "TestErasedTransactionAsksAgain",
			change{migration, "payload = CASE WHEN NOT asked.erased THEN invoice_jobs.payload END, payload_raw = CASE", "payload_raw = CASE"}),
		in(theStore, "the bad end of a job of an erased transaction leaves its payload", discreet, "TestErasedTransactionAsksAgain",
			change{"invoice/postgres/record_bad.go", "CASE WHEN NOT EXISTS (SELECT FROM erased) THEN ?::text END", "?::text"}),
		in(theStore, "an end that is recorded while its transaction is erased leaves its payload", discreet, "TestEraseBesideEnds",
			change{migration, "    PERFORM pg_advisory_xact_lock(erasing_lock());\n", ""}),
		in(theStore, "a bad end doesn't see what is being erased", discreet, "TestEraseBesideEnds",
			change{"invoice/postgres/record.go", "pg_advisory_xact_lock_shared(invoicer.erasing_lock())", "invoicer.erasing_lock()"}),
		in(theStore, "a job with other content conflicts with what was erased", classified, "TestErasedTransactionAsksAgain",
			change{"invoice/generator.go", "case own != nil && own.Erased():", "case own != nil && own.ID == 0:"}),
		in(theCommand, "erasing leaves done entries", discreet, "TestEraseGoesOn",
			change{"cmd/invoicer/erase_run.go", "e.locker.Within(t.Issuer).Drop(ctx, t.ID)", "e.locker.Within(t.Issuer).Drop(ctx, t.ID+\"-\")"}),
		in(theCommand, "an erasure that was broken off leaves Redis as it is", discreet, "TestEraseGoesOn",
			change{"cmd/invoicer/erase_run.go", "	err = e.goOn(cmd.Context())\n", ""}),
		in(theCommand, "a task of an erased transaction is kept in its queue", discreet, "TestErase",
			change{"worker/handler.go", "if h.ofErased(ctx, end) {", "if h.ofErased(ctx, end) && end.Invoice == nil {"}),
		in(theCommand, "a done entry has the fingerprint of what was erased", discreet, "TestErase",
			change{"worker/done_entry.go", "if entry.Erased = ref.Erased(); entry.Erased {", "if entry.Erased {"}),
		in(theCommand, "a terminal isn't asked before something is erased", immutable, "TestEraseAsksAtATerminal",
			change{"cmd/invoicer/erase_run.go", "if !r.yes && term.IsTerminal", "if r.yes && term.IsTerminal"}),
	}
}
