package main

// ofRoles are mistakes by which a role of the database may more than its part, or less.
func ofRoles() []mutant {
	const roles, text, bound = "cmd/invoicer/roles.go", "cmd/invoicer/roles_sql.go", "migrations/00042_producer_bindings.sql"
	in := func(name string, promise promise, test string, c change) mutant {
		return mutant{name: name, promise: promise, changes: []change{c}, in: "./cmd/invoicer", tests: []string{test}}
	}
	return []mutant{
		in("the reader's role sees tokens", discreet, "TestRolesMayNoMore", change{roles, "right.Name == \"tokens\" || ", ""}),
		in("the worker's role may change invoices", immutable, "TestRolesMayNoMore",
			change{"invoice/postgres/probe.go", "{\"table\", \"invoices\", \"SELECT INSERT\"}", "{\"table\", \"invoices\", \"SELECT INSERT UPDATE\"}"}),
		in("the worker's role may delete duplicates", classified, "TestRolesMayNoMore",
			change{"invoice/postgres/probe.go", "{\"table\", \"duplicate_attempts\", \"SELECT INSERT\"}", "{\"table\", \"duplicate_attempts\", \"SELECT INSERT DELETE\"}"}),
		in("the producer's role reads the ledger", discreet, "TestRolesMayNoMore",
			change{"invoice/postgres/rights.go", "{{Kind: \"schema\", Privileges: []string{\"USAGE\"}}}", "{{Kind: \"table\", Name: \"invoice_jobs\", Privileges: []string{\"SELECT\"}}}"}),
		in("everybody may call functions that run with their owner's rights", discreet, "TestRolesMayNoMore",
			change{text, "EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', one);", "NULL;"}),
		in("the demo's workers are the owner", immutable, "TestDemoServesOnAFreePort", change{"cmd/invoicer/demo_roles.go", "withRole(given, prefix+\"_\"+roleWorker)", "given"}),
		in("the demo's producers are workers", discreet, "TestDemoServesOnAFreePort", change{"cmd/invoicer/demo.go", "using(d.cfg, d.as.producer)", "d.cfg"}),
		in("what a release before gave to a role stays", immutable, "TestRolesSuffice",
			change{text, "    REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {used};\n", ""}),
		in("the tables stay with whoever migrated", immutable, "TestRolesOfDatabaseInUse", change{text, "EXECUTE format('ALTER %s OWNER TO {migrator}', one.object);", "NULL;"}),
		in("whoever owned the tables is locked out", recovers, "TestRolesOfDatabaseInUse",
			change{text, "EXECUTE format('GRANT {migrator} TO %I', pg_get_userbyid(one.owner));", "NULL;"}),
		in("an operator's role lacks what a flag of a command needs", recovers, "TestRolesSuffice", change{roles, "rights = append(rights, needs(cmd)...)", "_ = needs(cmd)"}),
		in("whoever calls a function isn't bound", apart, "TestProducerIsBound", change{bound, "WHERE role = session_user::text", "WHERE role = current_user::text"}),
		in("a role that is bound to producers asks as another one", classified, "TestProducerIsBound", change{bound, "IF NEW.producer <> bound.producer THEN", "IF false THEN"}),
		in("a series whose name is spelled oddly gets around the binding", apart, "TestProducerIsBound",
			change{bound, "coalesce(NEW.payload::json ->> 'series', '')", "coalesce(substring(NEW.payload FROM '\"series\":\"([A-Z0-9-]+)\"'), '')"}),
		in("a bound producer doesn't reach the invoice", classified, "TestProducerIsBound",
			change{"worker/altered.go", "	a.nameProducer(r.Job)\n", ""}),
		in("a NULL in a list lets all through", apart, "TestProducerIsBound",
			change{bound, "array_position(queues || issuers || series, NULL) IS NULL", "true"}),
	}
}
