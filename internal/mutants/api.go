package main

// ofTheAPI are mistakes at the door for HTTP.
func ofTheAPI() []mutant {
	const migration, jobs, theAPI, theDispatch = "migrations/00047_api_resources.sql", "web/api/jobs.go", "./web/api", "./worker/dispatch"
	const theClient, sends = "./worker/client", "worker/client/http_send.go"
	in := func(where, name string, promise promise, test string, c change) mutant {
		return mutant{name: name, promise: promise, changes: []change{c}, in: where, tests: []string{test}}
	}
	return []mutant{
		in(theAPI, "a request with the key of an earlier one is a job of its own", classified, "TestOneKeyMakesOneJob",
			change{migration, "                PERFORM pg_logical_emit_message(true, 'invoicer', '');\n                RETURN;", "                PERFORM pg_logical_emit_message(true, 'invoicer', '');"}),
		in(theAPI, "a key takes other content", immutable, "TestOneKeyMakesOneJob",
			change{migration, "other_content := before.content IS DISTINCT FROM content;", "other_content := false;"}),
		in(theAPI, "a request that is refused binds its key", noneLost, "TestARefusedRequestBindsNoKey",
			change{"web/api/keys.go", "settings, err := a.check(ctx, r)\n\tif err != nil {", "settings, err := a.check(ctx, r)\n\tif false {"}),
		in(theAPI, "a job's own key takes other content", immutable, "TestAJobsOwnKeyMakesOneJob", change{migration, "other_content := before.content IS DISTINCT FROM content;", "other_content := before.content IS DISTINCT FROM content AND NOT own_key;"}),
		in(theAPI, "a job's own key stays bound by a job that has failed", recovers, "TestAnOwnKeyIsFreeAgainAfterAFailure", change{migration, "before.job_id AND (j.state IN ('failed', 'dismissed')", "before.job_id AND (j.state IN ('dismissed')"}),
		in(theAPI, "a request that was accepted is refused once the settings have changed", recovers, "TestDatesThatAreRefusedFromNowOn", change{jobs, "case before:", "case before && r.Key == nil:"}),
		in(theAPI, "a token names any producer", discreet, "TestATokenBindsProducerAndIssuers", change{jobs, "if visitor.Producer != \"\" {", "if false {"}),
		in(theAPI, "a token names any issuer", apart, "TestATokenBindsProducerAndIssuers", change{jobs, "if !visitor.Issuers.Has(job.Issuer) {", "if false {"}),
		in(theAPI, "a token sees the jobs of any issuer", apart, "TestATokenBindsProducerAndIssuers",
			change{"web/api/reads.go", "state == nil || !visitor.Issuers.Has(state.Issuer) ||", "state == nil ||"}),
		in(theAPI, "whoever waits asks for itself", recovers, "TestAThousandWait", change{"web/api/waiting.go", "rest = 150 * time.Microsecond", "rest = 0"}),
		in(theClient, "each attempt of a client has a key of its own", classified, "TestHTTPWhoseAnswersAreLost",
			change{sends, "\t\tq.Header[name] = values\n", "\t\tq.Header[name] = values\n\t\tq.Header.Set(keyHeader, time.Now().String())\n"}),
		in(theClient, "a client comes again without a pause", recovers, "TestHTTPComesAgain", change{sends, "if pause < least {", "if least < 0 {"}),
		in(theClient, "a client gives up when the database is away", recovers, "TestHTTPBehindAProxy",
			change{sends, "case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:", "case http.StatusTooManyRequests:"}),
		in(theClient, "a client sends what is refused again", classified, "TestHTTPBehindAProxy", change{sends, "\t}\n\treturn false, 0\n}", "\t}\n\treturn true, 0\n}"}),
		in(theClient, "a client follows redirects", discreet, "TestHTTPFollowsNoRedirect", change{"worker/client/http.go", "return http.ErrUseLastResponse", "return nil"}),
		in(theDispatch, "what is accepted by HTTP is sent into another installation's queue", apart, "TestAnExpressSendsWhatItIsTold",
			change{"worker/dispatch/at_once.go", "_, err = e.relay.forward(ctx, claimed)", "e.relay.foreign.owners = nil\n\t_, err = e.relay.forward(ctx, claimed)"}),
	}
}
