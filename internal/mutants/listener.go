package main

func ofListener() []mutant {
	const program = "./cmd/invoicer"
	return []mutant{
		{
			name: "any number of visitors is let in", promise: recovers, hazard: slowVisitors,
			changes: []change{{"web/visitors.go", "if len(l.open) >= l.most {", "if len(l.open) < 0 {"}},
			in:      program, tests: []string{"TestVisitorsTakeNoRoomFromEachOther/whose_bodies_never_end"},
		},
		{
			name: "who asks is sent away before who is silent", promise: recovers, hazard: slowVisitors,
			changes: []change{{"web/visitors.go", "return v.last < other.last", "return v.last > other.last"}},
			in:      "./web", tests: []string{"TestVisitorThatHasBeenSilentLongestGoesFirst"},
		},
		{
			name: "a body may take for ever", promise: recovers, hazard: slowVisitors,
			changes: []change{{"web/pages.go", "ReadTimeout: bodyTimeout, ", ""}},
			in:      program, tests: []string{"TestVisitorsAreNotWaitedForWithoutEnd/a_body_that_pages_read"}, hangs: true,
		},
		{
			name: "who came through a proxy is local", promise: discreet, hazard: rebinding,
			changes: []change{{"web/access/local.go", " && !isForwarded(r.Header)", ""}},
			in:      program, tests: []string{"TestWhoIsShownWhat"},
		},
		{
			name: "a loopback address answers to any name", promise: discreet, hazard: rebinding,
			changes: []change{{"web/access/local.go", "if g.options.Loopback && IsLoopback(r.Host) {", "if g.options.Loopback {"}},
			in:      program, tests: []string{"TestWhoIsShownWhat"},
		},
		{
			name: "everybody is told what is in the way", promise: discreet, hazard: rebinding,
			changes: []change{{"internal/health/health.go", "\"ready\", access.Of(r).Local()\n", "\"ready\", access.Of(r).Local() || r != nil\n"}},
			in:      program, tests: []string{"TestWhoIsShownWhat"},
		},
		{
			name: "answers may be sniffed", promise: discreet, hazard: rebinding,
			changes: []change{{"web/guard.go", "\t\t\"X-Content-Type-Options\":       {\"nosniff\"},\n", ""}},
			in:      program, tests: []string{"TestEveryAnswerHasTheGuardsHeaders"},
		},
		{
			name: "what net/http answers by itself goes unguarded", promise: discreet, hazard: rebinding,
			changes: []change{{"web/visitors.go", "if !bytes.HasPrefix(p, []byte(\"HTTP/1.1 \")) {", "if len(p) > 0 {"}},
			in:      program, tests: []string{"TestEveryAnswerHasTheGuardsHeaders"},
		},
	}
}
