package main

// ofDiffs are mistakes in the comparison of two databases, which would be taken for the same.
func ofDiffs() []mutant {
	const theAudit, program, found = "./invoice/postgres/audit", "./cmd/invoicer", "TestDiffFindsWhatDiffers"
	const diff = "invoice/postgres/audit/diff.go"
	return []mutant{
		{
			name: "a number that two databases gave to two isn't noticed", promise: one, hazard: restored,
			changes: []change{{diff, "case here.TransactionID == there.TransactionID:", `case here.TransactionID != "":`}},
			in:      theAudit, tests: []string{found},
		},
		{
			name: "a comparison ends with the shorter database", promise: noneLost, hazard: restored,
			changes: []change{{diff, "if here == nil && there == nil {", "if here == nil || there == nil {"}},
			in:      theAudit, tests: []string{found},
		},
		{
			name: "the last documents of a comparison aren't looked for", promise: noneLost, hazard: restored,
			changes: []change{{diff, "d.lookUp(ctx, 1)", "d.lookUp(ctx, lookedUp)"}},
			in:      theAudit, tests: []string{found},
		},
		{
			name: "a transaction that two databases numbered apart isn't noticed", promise: one, hazard: restored,
			changes: []change{{diff, "case one.compare(elsewhere) == 0:", "case one.TransactionID == elsewhere.TransactionID:"}},
			in:      theAudit, tests: []string{found},
		},
		{
			name: "a comparison doesn't look at totals", promise: immutable,
			changes: []change{{diff, `{"total_minor", here.TotalMinor == there.TotalMinor},`, ""}},
			in:      theAudit, tests: []string{found},
		},
		{
			name: "a comparison doesn't look at links", promise: immutable,
			changes: []change{{diff, "case !moved && linked && here.Chain != there.Chain:", "case moved && linked && here.Chain != there.Chain:"}},
			in:      theAudit, tests: []string{found},
		},
		{
			name: "the rest of a piece isn't compared after a newer snapshot", promise: noneLost,
			changes: []change{{"invoice/postgres/audit/diff_side.go", "s.cursor, s.planned = nil, false", "s.cursor = nil"}},
			in:      theAudit, tests: []string{"TestDiffOfManyThatDiffer"},
		},
		{
			name: "a comparison follows each server's own collation", promise: one,
			changes: []change{{"invoice/postgres/audit/pieces.go", `coalesce(series, '') COLLATE "C", coalesce(period, '') COLLATE "C", min(`, `coalesce(series, ''), coalesce(period, '') COLLATE "C", min(`}},
			in:      theAudit, tests: []string{"TestDiffOfOtherCollations"},
		},
		{
			name: "databases that differ have the exit code of the same", promise: noneLost,
			changes: []change{{"cmd/invoicer/audit_against.go", "if !report.OK() {", "if len(report.Checks) == 0 {"}},
			in:      program, tests: []string{"TestAuditAgainst"},
		},
	}
}
