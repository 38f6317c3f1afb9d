package main

// door is the migration that has what producers call.
const door = "migrations/00037_sql_door.sql"

// What producers in any language are promised by the functions that they call.
func ofDoor() []mutant {
	const theClient, migrations, program, lookup = "./worker/client", "./migrations", "./cmd/invoicer", "TestLookupInSQL"
	const fields, words = "migrations/00052_creditor_id.sql", "migrations/00040_job_fields.sql"
	return []mutant{
		{
			name: "accept takes a key given twice in version 2", promise: classified,
			changes: []change{{fields, "WHEN m.turn > 1 THEN 'must not be given twice'", "WHEN m.turn > 1 THEN NULL"}},
			in:      theStore, tests: []string{"TestAcceptRefusesABadJobOfVersion2"},
		},
		{
			name: "accept leaves what is missing in version 2 to the worker", promise: classified,
			changes: []change{{fields, "AND coalesce(m.value ->> r.name, '') = ''", "AND false"}},
			in:      theStore, tests: []string{"TestAcceptRefusesABadJobOfVersion2", "TestAcceptSaysWhatTheWorkerSays"},
		},
		{
			name: "accept refuses a number that a worker takes", promise: classified,
			changes: []change{{words, "ELSIF exponent < -decimals THEN", "ELSIF exponent <= -decimals THEN"}},
			in:      theStore, tests: []string{"TestAcceptSaysWhatTheWorkerSays"},
		},
		{
			name: "a field is added without telling the database", promise: classified,
			changes: []change{{"invoice/terms.go", "`job:\"tender_reference,shown,most=200\"`", "`job:\"tender_reference,shown,most=201\"`"}},
			in:      theStore, tests: []string{"TestTheDatabaseKnowsTheFields"},
		},
		{
			name: "accept takes a creditor identifier with wrong check digits", promise: classified,
			changes: []change{{fields, "    RETURN rest = 1;", "    RETURN rest >= 0;"}},
			in:      theStore, tests: []string{"TestAcceptRefusesABadJobOfVersion2", "TestAcceptSaysWhatTheWorkerSays"},
		},
		{
			name: "a worker of the release before fails a job for a field that it doesn't know", promise: noneLost,
			changes: []change{{fields, "    RAISE EXCEPTION 'the job is left to workers", "    RETURN NULL;\n    RAISE EXCEPTION 'the job is left to workers"}},
			in:      theStore, tests: []string{"TestWorkersThatKnowNoCreditor"},
		},
		{
			name: "an invalid job whose field sounds unknown comes back for ever", promise: noneLost,
			changes: []change{{"invoice/postgres/record_bad.go", `const knownFields = "52"`, `const knownFields = "51"`}},
			in:      theStore, tests: []string{"TestAFieldThatSoundsUnknownIsRecorded"},
		},
		{
			name: "a queue that nobody consumes is taken", promise: noneLost,
			changes: []change{{door, "AND NOT EXISTS (SELECT FROM ledger_queues l WHERE l.queue = accept.queue) THEN", "AND false THEN"}},
			in:      theStore, tests: []string{"TestAcceptRefusesAQueueThatNobodyConsumes"},
		},
		{
			name: "a queue that a worker has consumed is refused", promise: noneLost,
			changes: []change{{door, "OR EXISTS (SELECT FROM ledger_queues l WHERE l.queue = queue_known.queue)", ""}},
			in:      theStore, tests: []string{"TestAcceptRefusesAQueueThatNobodyConsumes"},
		},
		{
			name: "a queue that a producer has named stays unknown", promise: noneLost,
			changes: []change{{door, "INSERT INTO producer_queues (queue, job_id) VALUES (accept_queue.queue, accept_queue.job_id) ON CONFLICT DO NOTHING;", "NULL;"}},
			in:      theStore, tests: []string{"TestAcceptIntoANewQueue"},
		},
		{
			name: "of many jobs the good ones are accepted", promise: noneLost,
			changes: []change{{door, "IF bad > 0 THEN", "IF bad = many THEN"}},
			in:      theStore, tests: []string{"TestAcceptManyNamesEveryBadJobInSQL"},
		},
		{
			name: "among many, the id of another job passes for a repeat", promise: immutable,
			changes: []change{{door, "        IF FOUND THEN\n            RAISE EXCEPTION 'job %: job_id", "        IF false THEN\n            RAISE EXCEPTION 'job %: job_id"}},
			in:      theStore, tests: []string{"TestAcceptManyTellsWhatWasThere"},
		},
		{
			name: "many jobs are accepted in any order", promise: gapless,
			changes: []change{{door, "AS a (id, issuer, transaction, key, producer, payload, n) ORDER BY n\n", "AS a (id, issuer, transaction, key, producer, payload, n) ORDER BY id\n"}},
			in:      theStore, tests: []string{"TestAcceptManyInEveryForm"},
		},
		{
			name: "many jobs are kept as jsonb would write them", promise: immutable,
			changes: []change{{door, "array_agg(e.job::text ORDER BY", "array_agg(e.job::jsonb::text ORDER BY"}},
			in:      theStore, tests: []string{"TestAcceptManyInEveryForm"},
		},
		{
			name: "a job is kept as jsonb would write it", promise: immutable,
			changes: []change{{door, "accept.queue, accept.payload, 'accepted')", "accept.queue, body::text, 'accepted')"}},
			in:      theStore, tests: []string{"TestAcceptInEveryNotation"},
		},
		{
			name: "lookup tells of another issuer's failure", promise: apart,
			changes: []change{{door, "FROM invoice_jobs j WHERE j.issuer = of_issuer AND j.transaction_id = lookup.transaction_id AND j.state = 'failed'", "FROM invoice_jobs j WHERE j.transaction_id = lookup.transaction_id AND j.state = 'failed'"}},
			in:      theClient, tests: []string{lookup},
		},
		{
			name: "lookup believes an import that was withdrawn", promise: classified,
			changes: []change{{door, "i.transaction_id = lookup.transaction_id AND i.withdrawn_at IS NULL;", "i.transaction_id = lookup.transaction_id;"}},
			in:      theClient, tests: []string{lookup},
		},
		{
			name: "lookup calls a paused job accepted", promise: recovers,
			changes: []change{{door, "SELECT CASE WHEN j.state = 'accepted' AND j.paused_series IS NOT NULL THEN 'paused' ELSE j.state END", "SELECT j.state"}},
			in:      theClient, tests: []string{lookup},
		},
		{
			name: "the Go client takes every queue", promise: noneLost,
			changes: []change{{"worker/client/accept.go", "if c.options.NewQueue {", "if queue != \"\" {"}},
			in:      theClient, tests: []string{"TestAQueueThatNobodyConsumes"},
		},
		{
			name: "enqueue takes every queue", promise: noneLost,
			changes: []change{{"cmd/invoicer/enqueue_servers.go", "\tif r.newQueue {\n\t\taccept =", "\tif r.durable {\n\t\taccept ="}, {"cmd/invoicer/enqueue_servers.go", "\t\tif r.newQueue {\n\t\t\treturn nil", "\t\tif r.durable {\n\t\t\treturn nil"}},
			in:      program, tests: []string{"TestScripts/enqueue_new_queue"},
		},
		{
			name: "whoever could accept jobs no longer may", promise: noneLost,
			changes: []change{{door, "= 'accept_of_before(text, text, uuid)'::regprocedure AND privilege_type", "= 0 AND privilege_type"}},
			in:      migrations, tests: []string{"TestTheSQLDoorKeepsItsCallers"},
		},
		{
			name: "a migration takes the function away from a statement", promise: noneLost,
			changes: []change{{door, "ALTER FUNCTION accept(text, text, uuid) RENAME TO accept_of_before;", "DROP FUNCTION accept(text, text, uuid);"}},
			in:      migrations, tests: []string{"TestTheSQLDoorLetsStatementsEnd"},
		},
		{
			name: "a column has no comment", promise: classified,
			changes: []change{{door, "COMMENT ON COLUMN tokens.issuers IS", "COMMENT ON COLUMN tokens.hash IS"}},
			in:      migrations, tests: []string{"TestEverythingHasAComment"},
		},
	}
}
