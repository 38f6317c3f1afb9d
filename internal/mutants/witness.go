package main

// ofWitness are mistakes in what keeps documents in files, for when the database and Redis are lost together.
func ofWitness() []mutant {
	const program, theWatch, theFolder = "./cmd/invoicer", "./internal/given", "./internal/witness"
	return []mutant{
		{
			name: "a recovery doesn't ask the seals", promise: gapless, hazard: restored,
			changes: []change{{"cmd/invoicer/series_recover.go", "if r.sealed != nil {", "if r.sealed != nil && r.later < 0 {"}},
			in:      program, tests: []string{"TestSealsBringBackWhatIsLost"},
		},
		{
			name: "a witness forgets what it couldn't write", promise: gapless, hazard: restored,
			changes: []change{{"internal/witness/add.go", "f.pending = append(lines, f.pending...)\n", ""}},
			in:      theFolder, tests: []string{"TestAFullDisk"},
		},
		{
			name: "a witness writes behind a torn line", promise: gapless, hazard: restored,
			changes: []change{
				{"internal/witness/witness.go", `time.Now().UTC().Format("20060102T150405.000000000Z")`, `time.Time{}.Format("20060102T150405.000000000Z")`},
				{"internal/witness/witness.go", "|os.O_EXCL", ""},
			},
			in: theFolder, tests: []string{"TestAFullDisk"},
		},
		{
			name: "a job is acknowledged before the witness has its number", promise: gapless, hazard: restored,
			changes: []change{{"internal/witness/add.go", "\tcase <-next:\n", "\tcase <-next:\n\tdefault:\n"}},
			in:      theFolder, tests: []string{"TestEveryDocumentIsThere"},
		},
		{
			name: "the witness isn't told of documents", promise: gapless, hazard: restored,
			changes: []change{{"internal/given/watch.go", "w.Witness.Add(made)", "w.Witness.Add(made[1:])"}},
			in:      theWatch, tests: []string{"TestLookAsksTheWitness"},
		},
		{
			name: "what the witness knows pauses no series", promise: gapless, hazard: restored,
			changes: []change{{"internal/given/watch.go", "raise(highest, witnessed)", "raise(witnessed, highest)"}},
			in:      theWatch, tests: []string{"TestLookAsksTheWitness"},
		},
		{
			name: "a recovery ignores the witness", promise: gapless, hazard: restored,
			changes: []change{{"cmd/invoicer/series_recover.go", `if r.folder != "" {`, `if r.folder == "nowhere" {`}},
			in:      program, tests: []string{"TestTheWitnessBringsBackWhatIsLost"},
		},
		{
			name: "a number that two transactions have goes to the first", promise: gapless, hazard: restored,
			changes: []change{{"internal/given/recall.go", "one = agree(before, one)", "one = before"}},
			in:      theWatch, tests: []string{"TestRecallAsksTheWitness"},
		},
		{
			name: "the last document isn't added to a witness", promise: gapless, hazard: restored,
			changes: []change{{"internal/witness/catchup.go", "slot, after, w.upTo, pageSize)", "slot, after, w.upTo-1, pageSize)"}},
			in:      theFolder, tests: []string{"TestAFolderCatchesUp"},
		},
		{
			name: "what a database gives out again isn't compared", promise: gapless, hazard: restored,
			changes: []change{{"internal/witness/catchup.go", "if last[slot] < number {", "if last[slot] < 0*number {"}},
			in:      theFolder, tests: []string{"TestNumbersThatWereGivenOutTwice"},
		},
		{
			name: "a witness follows a server that may have lost numbers", promise: gapless, hazard: restored,
			changes: []change{{"internal/witness/catchup.go", "return s.Seen == nil ||", "return true || s.Seen == nil ||"}},
			in:      theFolder, tests: []string{"TestAFolderWaitsForALook"},
		},
		{
			name: "a witness that has lost a part is taken for complete", promise: gapless, hazard: restored,
			changes: []change{{"internal/witness/catchup.go", "gone == nil && info.Size() < p.Offset", "gone == nil && info.Size() < 0*p.Offset"}},
			in:      theFolder, tests: []string{"TestWhatAStartReads"},
		},
	}
}
