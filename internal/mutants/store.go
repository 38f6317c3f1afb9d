package main

const theStore = "./invoice/postgres"

func ofStore() []mutant {
	return append(append(ofSchema(), ofImports()...), []mutant{
		{
			name: "counter advanced outside of the transaction", promise: gapless, hazard: burntNumber,
			changes: []change{{
				"invoice/postgres/insert.go",
				"\treturn begin(ctx, s.db, m.wait, func",
				"\ts.db.WithContext(ctx).Exec(\"UPDATE invoicer.invoice_series SET last_number = last_number + 1 WHERE series = ? AND period = ?\", group[0].draft.Slot.Series, group[0].draft.Slot.Period)\n" +
					"\treturn begin(ctx, s.db, m.wait, func",
			}},
			in: theStore, tests: []string{"TestRollbackUsesNoNumber"},
		},
		{
			name: "look-up before the counter is locked", promise: classified, hazard: oldSnapshot,
			changes: []change{
				{
					"invoice/postgres/insert.go",
					"\t\taddJobLocks(f, group, m.jobs)\n",
					"\t\tif together {\n\t\t\taddFind(f, group)\n\t\t}\n\t\taddJobLocks(f, group, m.jobs)\n",
				},
				{
					"invoice/postgres/insert.go",
					"sees what was committed meanwhile.\n\t\t\taddFind(f, group)\n",
					"sees what was committed meanwhile.\n",
				},
			},
			in: theStore, tests: []string{"TestFindSeesWhatWasCommittedDuringTheWait"},
		},
		{
			name: "a flight that was refused is taken for committed", promise: gapless, hazard: burntNumber,
			changes: []change{{
				"invoice/postgres/flight.go",
				"\tcase !*written && (answered(err)",
				"\tcase !*written && err != nil:\n\t\treturn nil\n\tcase !*written && (answered(err)",
			}},
			in: theStore, tests: []string{"TestRefusedFlightIsNotCommitted"},
		},
		{
			name: "a flight that breaks off is taken for an answer", promise: classified, hazard: lostCommit,
			changes: []change{{"invoice/postgres/flight.go", "\tdefault:\n\t\treturn &commitError{cause: err}\n", "\tdefault:\n\t\treturn err\n"}},
			in:      theStore, tests: []string{"TestLostReplyToTheLastFlight"},
		},
		{
			name: "a commit that didn't happen is taken for one that did", promise: noneLost, hazard: lostCommit,
			changes: []change{{"invoice/postgres/settle.go", "w.err = &unavailableError{cause: fmt.Errorf(\"the commit did not happen, or not yet: %w\", lost)}", "w.inserted = invoice.Insertion{Created: w.made}"}},
			in:      theStore, tests: []string{"TestLastFlightBreaksOff"},
		},
		{
			name: "a flight's warning is ignored", promise: noneLost, hazard: cutOffStandby,
			changes: []change{{"invoice/postgres/flight.go", "if err = commitWarning(f.pg()); err != nil {", "if err = commitWarning(f.pg()); err != nil && *written && false {"}},
			in:      theStore, tests: []string{"TestBrokenOffWaitForTheStandby/cancelled"},
		},
		{
			name: "what is found after a lost commit needs no standby", promise: noneLost, hazard: cutOffStandby,
			changes: []change{{"invoice/postgres/settle.go", "\t\t\tf.add(\"SELECT \" + replicated)\n", ""}},
			in:      theStore, tests: []string{"TestBrokenOffWaitForTheStandby/cancelled"},
		},
		{
			name: "a held counter stops the group", promise: recovers, hazard: heldRow,
			changes: []change{{"invoice/postgres/counters.go", "skip := \"SKIP LOCKED\"", "skip := \"\""}},
			in:      theStore, tests: []string{"TestWhatIsHeldStopsOnlyThoseWhoNeedIt"}, hangs: true,
		},
		{
			name: "a job whose end is locked stops the group", promise: recovers, hazard: heldRow,
			changes: []change{{"invoice/postgres/counters.go", "NOT pg_try_advisory_xact_lock(hashtextextended(id, 0))\",", "NOT pg_try_advisory_xact_lock(hashtextextended(id, 0)) AND false\","}},
			in:      theStore, tests: []string{"TestWhatIsHeldStopsOnlyThoseWhoNeedIt/the_end_of_a_job"}, hangs: true,
		},
		{
			name: "a row that has to wait stops the group", promise: recovers, hazard: heldRow,
			changes: []change{{"invoice/postgres/insert.go", "case errors.As(err, &held) && !m.final:", "case errors.As(err, &held) && !m.final && !held.writing:"}},
			in:      theStore, tests: []string{"TestWhatIsHeldStopsOnlyThoseWhoNeedIt"}, hangs: true,
		},
		{
			name: "one batch at a time goes to a Redis far away", promise: recovers,
			changes: []change{{"internal/autopipeline/distance.go", "min(1+int(d.shortest/near), mostBatches)", "min(1, mostBatches)"}},
			in:      "./internal/autopipeline", tests: []string{"TestBatchesFollowTheDistance"},
		},
		{
			name: "all callers wait for one held series", promise: recovers, hazard: heldRow,
			changes: []change{{"invoice/postgres/lanes.go", "to.own && l.inside >= l.most", "to.own && l.inside < 0"}},
			in:      theStore, tests: []string{"TestNotAllWaitForWhatIsHeld"}, hangs: true,
		},
		{
			name: "held series take all connections", promise: recovers, hazard: heldRow,
			changes: []change{{"invoice/postgres/lanes.go", "max(1, s.options.MaxConns*3/10)", "max(1, s.options.MaxConns*3)"}},
			in:      theStore, tests: []string{"TestManyHeldSeries"}, hangs: true,
		},
		{
			name: "who comes second to create a counter fails", promise: recovers,
			changes: []change{{"invoice/postgres/counters.go", "\nON CONFLICT DO NOTHING`", "`"}},
			in:      theStore, tests: []string{"TestProcessesShareSeries"},
		},
		{
			name: "a job of a held series is kept in hand", promise: recovers, hazard: heldRow,
			changes: []change{{"worker/handler.go", "isOutage(err) && !errors.Is(err, invoice.ErrHeld) &&", "isOutage(err) &&"}},
			in:      "./worker", tests: []string{"TestHeldSeriesLeavesSlotsToOthers"}, hangs: true,
		},
		{
			name: "the queue's copy of a job is believed", promise: immutable, hazard: lies,
			changes: []change{{"invoice/postgres/existing.go", "case r.Ours && !r.Matches:", "case r.Ours && r.ID < 0:"}},
			in:      theStore, tests: []string{"TestJobsOfTheLedgerAreCompared"},
		},
		{
			name: "no read after a lost commit", promise: classified, hazard: lostCommit,
			changes: []change{{"invoice/postgres/settle.go", "\tif answered(lost) {\n", "\tif answered(lost) || lost != nil {\n"}},
			in:      theStore, tests: []string{"TestLostCommitReply"},
		},
		{
			name: "ON CONFLICT DO NOTHING without a target", promise: one, hazard: blindConflict,
			changes: []change{{"invoice/postgres/write_rows.go", "memberColumn + `)\n", "memberColumn + `) ON CONFLICT DO NOTHING\n"}},
			in:      theStore, tests: []string{"TestUniqueViolationIsALostRace"},
		},
		{
			name: "the job's end isn't committed with its invoice", promise: noneLost, hazard: killed,
			changes: []change{{
				"invoice/postgres/write_rows.go",
				"WHERE invoice_jobs.id = j.id\n",
				"WHERE invoice_jobs.id = j.id AND false\n",
			}},
			in: theStore, tests: []string{"TestRecordFollowsTheJob"},
		},
		{
			name: "a number below 0 loses its sign in an array", promise: immutable, hazard: badText,
			changes: []change{{"invoice/postgres/array.go", "sign = numericSign", "sign = 0"}},
			in:      theStore, tests: []string{"TestArraysKeepTheirElements"},
		},
		{
			name: "an absent text is stored as an empty one", promise: immutable, hazard: badText,
			changes: []change{{"invoice/postgres/array.go", "AppendUint32(a.elements, math.MaxUint32)", "AppendUint32(a.elements, min(math.MaxUint32, 0))"}},
			in:      theStore, tests: []string{"TestArraysKeepTheirElements"},
		},
		{
			name: "a group of duplicates is answered as one", promise: classified, hazard: restored,
			changes: []change{{"invoice/postgres/record.go", "g := group[p.Member-1]", "g := group[0]"}},
			in:      theStore, tests: []string{"TestDuplicatesTogether"},
		},
		{
			name: "a refused member takes its group along", promise: noneLost, hazard: lostCommit,
			changes: []change{{"invoice/postgres/insert.go", "case len(group) == 1, outage(err):", "case len(group) >= 1, outage(err):"}},
			in:      theStore, tests: []string{"TestGroupMemberFails"},
		},
		{
			name: "a group's lines all go to one invoice", promise: immutable, hazard: lostCommit,
			changes: []change{{"invoice/postgres/write_rows.go", "row := lineRow{member: member, ", "row := lineRow{member: 1, "}},
			in:      theStore, tests: []string{"TestGroupSharesATransaction"},
		},
		{
			name: "a group's invoices are all written as of the first one's series", promise: gapless,
			changes: []change{{"invoice/postgres/write_rows.go", "invoices.add(invoiceRow{one, bySlot[shared]})", "invoices.add(invoiceRow{one, 1})"}},
			in:      theStore, tests: []string{"TestGroupSharesATransaction"},
		},
		{
			name: "a key is taken for the usual one", promise: immutable, hazard: sameKey,
			changes: []change{{"invoice/postgres/columns.go", "a.textUnless(w.draft.Job.TransactionID, w.draft.Job.IdempotencyKey)", "a.null()"}},
			in:      theStore, tests: []string{"TestGroupKeepsWhatEachMemberStates"},
		},
		{
			name: "nobody ends the session that holds the counter", promise: recovers, hazard: pausedCounter,
			changes: []change{{"invoice/postgres/session.go", "\t\t{\"idle_in_transaction_session_timeout\", milliseconds(o.IdleInTransactionTimeout)},\n", ""}},
			in:      theStore, tests: []string{"TestPausedHolderOfTheCounter"},
		},
		{
			name: "a failed end replaces the good one of a direct job", promise: classified, hazard: lostAck,
			changes: []change{{
				"invoice/postgres/record_bad.go",
				"WHERE NOT EXISTS (SELECT FROM invoicer.invoices WHERE transaction_id = ? AND issuer = ? AND job_id = ?)\n  AND NOT EXISTS (SELECT FROM invoicer.duplicate_attempts WHERE job_id = ?)",
				"WHERE (?::text, ?::text, ?::text, ?::text) IS NOT NULL",
			}},
			in: theStore, tests: []string{"TestNoBadEndAfterAGoodOne"},
		},
		{
			name: "a failed end overwrites a row that is done", promise: classified, hazard: lostAck,
			changes: []change{{"invoice/postgres/record_bad.go", "WHERE invoice_jobs.state IN ('enqueued', 'failed') AND `+", "WHERE `+"}},
			in:      theStore, tests: []string{"TestDoneStaysDone"},
		},
		{
			name: "a payload that is no text is recorded as text", promise: noneLost, hazard: badText,
			changes: []change{{"invoice/postgres/record_bad.go", "utf8.ValidString(payload) && !strings.ContainsRune(payload, 0) {", "utf8.ValidString(payload) && !strings.ContainsRune(payload, 0) || payload != \"\" {"}},
			in:      theStore, tests: []string{"TestRecordFailed"},
		},
		{
			name: "an end is recorded against an invoice that isn't there", promise: classified, hazard: restored,
			changes: []change{{
				records, "AND invoices.transaction_id = a.invoiced AND invoices.fingerprint = a.fingerprint",
				"AND (invoices.transaction_id = a.invoiced OR true)",
			}},
			in: theStore, tests: []string{"TestRecordAgainstAnInvoiceThatIsNotThere"},
		},
		{
			name: "a missing table is a failure of the job", promise: recovers, hazard: restored,
			changes: []change{{"invoice/postgres/errors.go", "\"42P01\", \"42883\":", "\"42883\":"}},
			in:      theStore, tests: []string{"TestMissingTablesAreAnOutage"},
		},
		{
			name: "conflicts are swallowed as duplicates", promise: immutable, hazard: sameKey,
			changes: []change{{"invoice/generator.go", "case own != nil && own.Fingerprint != r.Fingerprint:", "case own != nil && own.Fingerprint == \"\":"}},
			in:      theStore, tests: []string{"TestInsertDecidesByWhatIsThere/other_content"},
		},
		{
			name: "another transaction's key is no conflict", promise: immutable, hazard: sameKey,
			changes: []change{{
				"invoice/generator.go",
				"\tcase e.OfKey != nil:\n",
				"\tcase e.OfKey != nil && e.OfKey.ID != 0:\n\t\treturn Result{Outcome: Duplicate, Invoice: e.OfKey, Reason: reason}, nil\n\tcase e.OfKey != nil:\n",
			}},
			in: theStore, tests: []string{"TestInsertDecidesByWhatIsThere/a_key_of_another_transaction"},
		},
		{
			name: "a job's rerun is a duplicate of itself", promise: classified, hazard: lostAck,
			changes: []change{{"invoice/generator.go", "case own != nil && own.JobID == r.JobID:", "case own != nil && own.JobID == \"\":"}},
			in:      theStore, tests: []string{"TestInsertDecidesByWhatIsThere/the_same_job_again"},
		},
	}...)
}

func ofSchema() []mutant {
	const tables, series = "migrations/00001_invoices.sql", ends
	return []mutant{
		{
			name: "no unique constraint on transaction_id", promise: one, hazard: failover,
			changes: []change{{tables, "    CONSTRAINT invoices_transaction_id_key UNIQUE (transaction_id),\n", ""}},
			in:      theStore, tests: []string{"TestDatabaseRefuses/second_invoice_for_a_transaction"},
		},
		{
			name: "no unique constraint on idempotency_key", promise: one, hazard: sameKey,
			changes: []change{{tables, "    CONSTRAINT invoices_idempotency_key_key UNIQUE (idempotency_key),\n", ""}},
			in:      theStore, tests: []string{"TestDatabaseRefuses/second_invoice_for_a_key"},
		},
		{
			name: "no unique constraint on the number", promise: gapless,
			changes: []change{{tables, "    CONSTRAINT invoices_series_period_number_key UNIQUE (series, period, number),\n", ""}},
			in:      theStore, tests: []string{"TestDatabaseRefuses/number_twice"},
		},
		{
			name: "no trigger against gaps", promise: gapless, hazard: burntNumber,
			changes: []change{{tables, "CREATE TRIGGER invoices_gapless AFTER INSERT ON invoices\n    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION refuse_gap();\n", ""}},
			in:      theStore, tests: []string{"TestDatabaseRefuses/gap"},
		},
		{
			name: "a gap between the rows of a statement", promise: gapless, hazard: burntNumber,
			changes: []change{{numbers, "(own.last - own.first >= own.members OR own.first < counter", "(own.first < counter"}},
			in:      theStore, tests: []string{"TestDatabaseRefuses/hole_between_rows"},
		},
		{
			name: "a gap before the rows of a statement", promise: gapless, hazard: burntNumber,
			changes: []change{{
				numbers, "OR own.first > counter.first_number AND NOT follows AND NOT EXISTS (\n            SELECT FROM invoices WHERE issuer = run.issuer AND series = run.series AND period = run.period AND number =",
				"OR own.first > counter.first_number AND NOT follows AND NOT EXISTS (\n            SELECT FROM invoices WHERE issuer = run.issuer AND series = run.series AND period = run.period AND number <=",
			}},
			in: theStore, tests: []string{"TestDatabaseRefuses/hole_before_rows"},
		},
		{
			name: "an invoice needs no counter", promise: gapless,
			changes: []change{{numbers, "run.kind IS DISTINCT FROM counter.kind", "run.kind <> counter.kind"}},
			in:      theStore, tests: []string{"TestDatabaseRefuses/series_without_a_counter"},
		},
		{
			name: "a document of the other kind", promise: gapless,
			changes: []change{{numbers, "run.kind IS DISTINCT FROM counter.kind", "counter.kind IS NULL"}},
			in:      theStore, tests: []string{"TestDatabaseRefuses/other_kind"},
		},
		{
			name: "both kinds in one statement", promise: gapless,
			changes: []change{{numbers, "IF run.kind <> run.other OR run.kind IS DISTINCT FROM counter", "IF run.other IS DISTINCT FROM counter"}},
			in:      theStore, tests: []string{"TestDatabaseRefuses/kinds_in_one_statement"},
		},
		{
			name: "no trigger against changes", promise: immutable,
			changes: []change{{tables, "CREATE TRIGGER invoices_immutable BEFORE UPDATE OR DELETE ON invoices FOR EACH ROW EXECUTE FUNCTION refuse_change();\n", ""}},
			in:      theStore, tests: []string{"TestDatabaseRefuses/change"},
		},
		{
			name: "no trigger against additional lines", promise: immutable,
			changes: []change{{tables, "CREATE TRIGGER invoice_lines_complete AFTER INSERT ON invoice_lines\n    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION refuse_addition();\n", ""}},
			in:      theStore, tests: []string{"TestDatabaseRefuses/addition_of_a_line"},
		},
		{
			name: "a line of no invoice", promise: immutable,
			changes: []change{{rechecks, "IS DISTINCT FROM now()) THEN", "<> now()) THEN"}},
			in:      theStore, tests: []string{"TestDatabaseRefuses/line_of_no_invoice"},
		},
		{
			name: "a line of an earlier invoice, among those that follow each other", promise: immutable,
			changes: []change{{rechecks, "count(*) FILTER (WHERE created_at = now()) FROM", "count(*) FROM"}},
			in:      theStore, tests: []string{"TestDatabaseRefuses/addition_of_a_line"},
		},
		{
			name: "a line of no invoice, among those that follow each other", promise: immutable,
			changes: []change{{rechecks, ") > of.last - of.first THEN", ") >= of.last - of.first THEN"}},
			in:      theStore, tests: []string{"TestDatabaseRefuses/line_of_no_invoice_beside_that_of_one"},
		},
		{
			name: "a counter may be lowered", promise: gapless,
			changes: []change{{
				series, "= (OLD.issuer, OLD.series, OLD.period, OLD.kind) AND NEW.last_number >= OLD.last_number THEN\n            IF NEW.settings",
				"= (OLD.issuer, OLD.series, OLD.period, OLD.kind) THEN\n            IF NEW.settings",
			}},
			in: theStore, tests: []string{"TestDatabaseRefuses/counter_lowered"},
		},
		{
			name: "a good end needs no invoice", promise: classified,
			changes: []change{{"migrations/00020_imported_invoices.sql", "outcome IN ('created', 'duplicate') AND (invoice_id IS NULL) <> (imported_id IS NULL)\n", "outcome IN ('created', 'duplicate')\n"}},
			in:      theStore, tests: []string{"TestDatabaseRefuses/good_end_without_an_invoice"},
		},
	}
}
