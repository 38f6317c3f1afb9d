package main

// ends is the migration that has what is recorded of a job's end.
const (
	ends    = "migrations/00025_issuers.sql"
	numbers = "migrations/00044_reserved_numbers.sql"
	records = "migrations/00043_erase.sql" // how good ends are recorded

	rechecks = "migrations/00036_statement_checks.sql" // how lines and taxes are checked once for all rows of a statement
)

// What may be recorded of a job's end, whatever Redis says of the job.
func ofEnds() []mutant {
	const (
		handler, altered, badEnd = "worker/handler.go", "worker/altered.go", "worker/bad_end.go"
		recordBad                = "invoice/postgres/record_bad.go"
		theWorker, theLedger     = "./worker", "./worker/dispatch"
	)
	return []mutant{
		{
			name: "a job that was altered isn't done as accepted", promise: immutable, hazard: lies,
			changes: []change{{handler, "n < maxAltered && a.correct(err)", "n < 0 && a.correct(err)"}},
			in:      theWorker, tests: []string{"TestAnAlteredTaskIsDoneAsAccepted/amount"},
		},
		{
			name: "nobody is told that a task was altered", promise: immutable, hazard: lies,
			changes: []change{{altered, "a.payload, a.altered = accepted, true", "a.payload = accepted"}},
			in:      theWorker, tests: []string{"TestAnAlteredTaskIsDoneAsAccepted/amount"},
		},
		{
			name: "an invoice is made of the queue's payload", promise: immutable, hazard: lies,
			changes: []change{{"invoice/postgres/existing.go", "case r.Ours && !r.Matches:", "case r.Ours && r.LedgerID < 0:"}},
			in:      theWorker, tests: []string{"TestAnAlteredTaskIsDoneAsAccepted/amount"},
		},
		{
			name: "a dismissed job is invoiced", promise: classified, hazard: dismissedRuns,
			changes: []change{{"invoice/postgres/existing.go", "case r.State == \"dismissed\" && (r.Ours || r.Matches):", "case r.LedgerID < 0:"}},
			in:      theWorker, tests: []string{"TestADismissedJobIsNotDone/accepted,_free"},
		},
		{
			name: "a good end trusts the queue's payload", promise: immutable, hazard: lies,
			changes: []change{{records, "'hex') <> a.digest\n            END THEN 'altered'", "'hex') <> a.digest AND false\n            END THEN 'altered'"}},
			in:      theStore, tests: []string{"TestNoEndIsRecordedOfAnAlteredJob/enqueued_duplicate"},
		},
		{
			name: "a bad end trusts the queue's payload", promise: classified, hazard: lies,
			changes: []change{{recordBad, "    THEN encode(sha256(convert_to(invoice_jobs.payload, 'UTF8')), 'hex') = ` + digest", "    THEN '' <> ` + digest"}},
			in:      theStore, tests: []string{"TestNoEndIsRecordedOfAnAlteredJob/enqueued_invalid"},
		},
		{
			name: "a failure overwrites what was accepted", promise: noneLost, hazard: lies,
			changes: []change{{recordBad, "THEN invoice_jobs.idempotency_key ELSE", "THEN excluded.idempotency_key ELSE"}},
			in:      theStore, tests: []string{"TestAFailureLeavesWhatWasAccepted"},
		},
		{
			name: "a done entry's number is believed", promise: classified, hazard: lies,
			changes: []change{{records, "AND invoices.invoice_number = a.invoice_number AND", "AND"}},
			in:      theStore, tests: []string{"TestAGoodEndNamesItsInvoice"},
		},
		{
			name: "a done entry's maker is believed", promise: classified, hazard: lies,
			changes: []change{{records, " AND (invoices.job_id = a.job_id) = (a.outcome = 'created')", ""}},
			in:      theWorker, tests: []string{"TestAForgedDoneEntry/another_maker"},
		},
		{
			name: "a lie that was found out stays in Redis", promise: recovers, hazard: lies,
			changes: []change{{handler, "if err == nil && *result.Invoice != known {", "if err == nil && *result.Invoice != known && r.Attempt < 0 {"}},
			in:      theWorker, tests: []string{"TestAForgedDoneEntry/no_such_invoice"},
		},
		{
			name: "a task is of the job that its header names", promise: classified, hazard: lies,
			changes: []change{{"worker/identity.go", "if of == \"\" || of == named {", "if of == \"\" || named != taskID {"}},
			in:      theWorker, tests: []string{"TestAnAlteredTaskIsDoneAsAccepted/another_header"},
		},
		{
			name: "a task without a header is no job of the ledger", promise: classified, hazard: lies,
			changes: []change{{altered, "for len(a.others) > 0 {", "for len(a.others) > 9 {"}},
			in:      theWorker, tests: []string{"TestAnAlteredTaskIsDoneAsAccepted/no_header"},
		},
		{
			name: "a job of the ledger is invalid by its task's type", promise: classified, hazard: lies,
			changes: []change{{altered, "\treturn accepted, err\n", "\treturn false, err\n"}},
			in:      theWorker, tests: []string{"TestAnAlteredTaskIsDoneAsAccepted/type"},
		},
		{
			name: "a job of the ledger waits for a worker that knows its task's version", promise: recovers, hazard: lies,
			changes: []change{{altered, "if errors.As(err, new(*invoice.VersionError)) {", "if a.retried < 0 && errors.As(err, new(*invoice.VersionError)) {"}},
			in:      theWorker, tests: []string{"TestAnAlteredTaskIsDoneAsAccepted/version"}, hangs: true,
		},
		{
			name: "the queue's count of crashes is believed", promise: classified, hazard: lies,
			changes: []change{{badEnd, "return err == nil && (n == 0 || n > maxCrashes), err", "return err == nil, err"}},
			in:      theWorker, tests: []string{"TestAnAlteredTaskIsDoneAsAccepted/retries"},
		},
		{
			name: "the queue's count of failures is believed", promise: classified, hazard: lies,
			changes: []change{{badEnd, "failures, limit = min(failures, n-1), h.options.MaxRetry", "limit = h.options.MaxRetry"}},
			in:      theWorker, tests: []string{"TestForgedRetriesEndNothing"},
		},
		{
			name: "a count that no column can hold is kept on record", promise: noneLost, hazard: lies, hangs: true,
			changes: []change{{"worker/attempt.go", "\ta.retried = min(max(a.retried, 0), mostRetried)\n", ""}},
			in:      theWorker, tests: []string{"TestAnAlteredTaskIsDoneAsAccepted/fewer_than_no_retries"},
		},
		{
			name: "jobs without a row are invoiced although they are refused", promise: noneLost, hazard: lies,
			changes: []change{
				{handler, "if h.options.LedgerOnly && !a.fromLedger {", "if h.options.LedgerOnly && a.retried < 0 {"},
				{"invoice/postgres/existing.go", "if w.err == nil && w.draft.LedgerOnly && !w.accepted {", "if w.err == nil && w.draft.LedgerOnly && w.accepted && false {"},
			},
			in: theWorker, tests: []string{"TestOnlyJobsOfTheLedger"},
		},
		{
			name: "the archive's word of a job is recorded", promise: noneLost, hazard: lies,
			changes: []change{{"worker/dispatch/workers.go", "if errors.As(err, &altered) && altered.Payload != nil {", "if errors.As(err, &altered) && altered.Payload == nil {"}},
			in:      theLedger, tests: []string{"TestWhatTheQueueGaveUpIsRecordedAsAccepted/payload"},
		},
		{
			name: "a task without a header is recorded beside its job", promise: classified, hazard: lies,
			changes: []change{{"worker/dispatch/archive.go", "if dispatch, ok := open[id]; !ok || dispatch > 0 {", "if dispatch, ok := open[id]; ok && dispatch < 0 {"}},
			in:      theLedger, tests: []string{"TestWhatTheQueueGaveUpIsRecordedAsAccepted/no_header"},
		},
		{
			name: "the audit believes that an invoice is what was accepted", promise: immutable, hazard: lies,
			changes: []change{{"invoice/postgres/audit/accepted.go", "if asked.Fingerprint() != j.fingerprint && (", "if j.fingerprint == \"\" && ("}},
			in:      "./invoice/postgres/audit", tests: []string{"TestAccepted/made_of_another_payload"},
		},
		{
			name: "a good end of a dismissed job is recorded", promise: classified, hazard: dismissedRuns,
			changes: []change{{records, "WHEN jobs.state = 'dismissed' AND", "WHEN jobs.state = '' AND"}},
			in:      theStore, tests: []string{"TestDismissedAndRestored"},
		},
		{
			name: "a dismissed job's task is done again and again", promise: classified, hazard: dismissedRuns,
			changes: []change{{altered, "return errors.As(err, new(*ledger.DismissedError)) || errors.As", "return errors.As"}},
			in:      theWorker, tests: []string{"TestADismissedJobIsNotDone/accepted,_free"},
		},
		{
			name: "a dismissal doesn't wait for a run under way", promise: classified, hazard: dismissedRuns,
			changes: []change{{"invoice/postgres/dismiss.go", "tx.Exec(\"SELECT \"+lockEnd, jobID)", "tx.Exec(\"SELECT ?::text\", jobID)"}},
			in:      theStore, tests: []string{"TestADismissalWaitsForARunUnderWay"},
		},
		{
			name: "a dismissed job is replayed", promise: classified, hazard: dismissedRuns,
			changes: []change{{"cmd/invoicer/replay.go", "case state == \"dismissed\":", "case state == \"dismissed\" && len(ids) < 0:"}},
			in:      "./cmd/invoicer", tests: []string{"TestScripts/replay"},
		},
		{
			name: "a job that is known is accepted at once", promise: noneLost, hazard: foundUnreplicated,
			changes: []change{{
				door, // accept
				"and one that has only read doesn't.\n    PERFORM pg_logical_emit_message(true, 'invoicer', '');\n",
				"and one that has only read doesn't.\n",
			}},
			in: theStore, tests: []string{"TestWhatIsFoundIsReplicatedBeforeItIsToldOf"},
		},
		{
			name: "a good end that was found is acknowledged at once", promise: noneLost, hazard: foundUnreplicated,
			changes: []change{{records, "IF pg_current_xact_id_if_assigned() IS NULL THEN", "IF false THEN"}},
			in:      theStore, tests: []string{"TestWhatIsFoundIsReplicatedBeforeItIsToldOf"},
		},
		{
			name: "a bad end that was found is acknowledged at once", promise: noneLost, hazard: foundUnreplicated,
			changes: []change{{recordBad, "return tx.Exec(\"SELECT \" + replicated).Error", "return nil"}},
			in:      theStore, tests: []string{"TestWhatIsFoundIsReplicatedBeforeItIsToldOf"},
		},
	}
}
