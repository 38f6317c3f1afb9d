package main

// ofEvents are mistakes in what other services are told of.
func ofEvents() []mutant {
	const theEvents, theStore, program, theAudit = "./events", "./invoice/postgres", "./cmd/invoicer", "./invoice/postgres/audit"
	return []mutant{
		{
			name: "an invoice's event is told to whoever wants another type", promise: noneLost,
			changes: []change{{"migrations/00046_events.sql", "JOIN event_endpoints e ON state <> 'removed' AND told.type = ANY (e.types) AND (e.issuers IS NULL OR told.issuer = ANY (e.issuers));\n    RETURN NULL;\nEND $$;\n-- +goose StatementEnd\n\n-- +goose StatementBegin\nCREATE FUNCTION tell_duplicates()", "JOIN event_endpoints e ON state <> 'removed';\n    RETURN NULL;\nEND $$;\n-- +goose StatementEnd\n\n-- +goose StatementBegin\nCREATE FUNCTION tell_duplicates()"}},
			in:      theStore, tests: []string{"TestEventsOfEachEnd", "TestEventsOfIssuers"},
		},
		{
			name: "an end that is recorded again is told again", promise: classified, hazard: lostAck,
			changes: []change{{"migrations/00046_events.sql", "(OLD.state <> 'failed' OR NEW.dispatch <> OLD.dispatch OR NEW.attempts <> OLD.attempts)", "(OLD.state <> 'failed' OR true)"}},
			in:      theStore, tests: []string{"TestEventsOfEachEnd"},
		},
		{
			name: "a reader of events passes those that are committed late", promise: noneLost, hazard: oldSnapshot,
			changes: []change{{"invoice/postgres/outbox_operate.go", "> (CAST(CAST(@xid AS text) AS xid8), @row) AND xid < pg_snapshot_xmin(pg_current_snapshot())", "> (CAST(CAST(@xid AS text) AS xid8), @row)"}},
			in:      theStore, tests: []string{"TestNoEventIsPassedOver"},
		},
		{
			name: "events that wait are pruned", promise: noneLost,
			changes: []change{{"invoice/postgres/outbox_operate.go", "d.event_id = e.id AND d.state = 'pending' AND p.state <> 'removed')", "d.event_id = e.id AND d.state = 'lost')"}},
			in:      theStore, tests: []string{"TestPruneEvents"},
		},
		{
			name: "a later event of a transaction overtakes", promise: noneLost,
			changes: []change{{"migrations/00046_events.sql", "AND b.event_id < d.event_id AND b.state = 'pending'", "AND b.event_id < d.event_id AND b.state = 'lost'"}},
			in:      theEvents, tests: []string{"TestInOrder"},
		},
		{
			name: "a claimed event is everybody's", promise: noneLost, hazard: killed,
			changes: []change{{"migrations/00046_events.sql", "due_at = now() + lease * interval '1 second'", "due_at = now() + lease * interval '0 seconds'"}},
			in:      theEvents, tests: []string{"TestPostedAgainAfterACrash"},
		},
		{
			name: "an endpoint that is disabled is posted to", promise: discreet,
			changes: []change{{"migrations/00046_events.sql", "WHERE e.id = endpoint AND e.state = 'enabled';", "WHERE e.id = endpoint AND e.state <> 'removed';"}},
			in:      theEvents, tests: []string{"TestEndpointsThatAreDisabled"},
		},
		{
			name: "what waited for a disabled endpoint is given up at its first failure", promise: noneLost,
			changes: []change{{"migrations/00046_events.sql", "greatest(c.since, changed)", "c.since"}},
			in:      theEvents, tests: []string{"TestWhatWaitsForADisabledEndpoint"},
		},
		{
			name: "redirects are followed", promise: discreet, hazard: rebinding,
			changes: []change{{"events/guard.go", "return http.ErrUseLastResponse", "return nil"}},
			in:      theEvents, tests: []string{"TestAttemptsAreRepeated/a_redirect"}, hangs: true,
		},
		{
			name: "private networks are called", promise: discreet, hazard: rebinding,
			changes: []change{{"events/guard.go", "public := addr.IsGlobalUnicast() && !addr.IsPrivate()", "public := addr.IsValid()"}},
			in:      theEvents, tests: []string{"TestForbiddenAddresses"}, hangs: true,
		},
		{
			name: "everybody is called without TLS", promise: discreet,
			changes: []change{{"events/guard.go", "\tif !tls {\n\t\treturn &ForbiddenError{Addr: addr, Plain: true}\n\t}\n", ""}},
			in:      theEvents, tests: []string{"TestForbiddenAddresses"}, hangs: true,
		},
		{
			name: "events are signed with the new secret alone", promise: discreet,
			changes: []change{{"events/post.go", "range secrets {", "range secrets[:1] {"}},
			in:      theEvents, tests: []string{"TestEventsAreSigned"}, hangs: true,
		},
		{
			name: "what an endpoint has refused counts as taken", promise: noneLost,
			changes: []change{{"events/post.go", "func (a answer) taken() bool { return a.err == nil }", "func (a answer) taken() bool { return a.err == nil || a.status > 0 }"}},
			in:      theEvents, tests: []string{"TestAttemptsAreRepeated"}, hangs: true,
		},
		{
			name: "a worker posts nothing", promise: noneLost,
			changes: []change{{"cmd/invoicer/worker.go", "watching = append(watching, lifecycle.Part{Name: \"the delivery of events\", Run: deliverer.Run})", "_ = deliverer"}},
			in:      program, tests: []string{"TestEventsOutliveKilledWorkers"}, hangs: true,
		},
		{
			name: "the audit loses lines that come before their invoice", promise: immutable,
			changes: []change{{"invoice/postgres/audit/documents.go", "b.kept[belongs] = append(b.kept[belongs], b.ahead)", "b.kept[belongs] = nil"}},
			in:      theAudit, tests: []string{"TestFewConnections"},
		},
		{
			name: "the audit holds a snapshot for as long as it takes", promise: recovers,
			changes: []change{{"invoice/postgres/audit/pass.go", "more := i+1 < len(pieces) && !s.aged()", "more := i+1 < len(pieces)"}},
			in:      theAudit, tests: []string{"TestFewConnections"},
		},
	}
}
