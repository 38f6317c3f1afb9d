package main

// ofAmounts are mistakes in what a document of version 2 comes to.
func ofAmounts() []mutant {
	const in, taxes, groups, totals, sharing = "./invoice/amounts", "invoice/amounts/taxes.go", "invoice/amounts/group.go", "invoice/amounts/calculate.go", "invoice/amounts/share.go"
	return []mutant{
		{
			name: "a line is rounded before its discount is taken off", promise: immutable,
			changes: []change{{groups, "w.product.Add(&w.product, added.Mul(added, divisor))", "return added.Add(added, rounded(&w.product, divisor))"}},
			in:      in, tests: []string{"TestCases/what_is_taken_off_before_rounding", "TestAgainstOracle"},
		},
		{
			name: "the tax of a net rate is rounded by line", promise: immutable,
			changes: []change{{
				taxes, "\t\t\t\tr.netTaxes.add(new(big.Int).Mul(&g.amount, &g.rates.each[i]), g.rates.places)\n",
				"\t\t\t\tfor _, l := range c.result.Lines {\n\t\t\t\t\tif l.Group == g.index {\n" +
					"\t\t\t\t\t\tr.netTaxes.add(rounded(new(big.Int).Mul(big.NewInt(l.Amount), &g.rates.each[i]), g.rates.one()), 0)\n\t\t\t\t\t}\n\t\t\t\t}\n",
			}},
			in: in, tests: []string{"TestCases/tax_by_rate,_not_by_line", "TestAgainstOracle"},
		},
		{
			name: "the tax of a net rate is rounded by group", promise: immutable,
			changes: []change{{
				taxes, "r.netTaxes.add(new(big.Int).Mul(&g.amount, &g.rates.each[i]), g.rates.places)",
				"r.netTaxes.add(rounded(new(big.Int).Mul(&g.amount, &g.rates.each[i]), g.rates.one()), 0)",
			}},
			in: in, tests: []string{"TestAgainstOracle"},
		},
		{
			name: "the tax in gross prices is rounded by line", promise: immutable,
			changes: []change{
				{groups, "n > 0 && c.groups[n-1].holds(gross, t.Taxes) {", "n < 0 && c.groups[n-1].holds(gross, t.Taxes) {"},
				{groups, "g, ok := c.byTaxes[string(c.key)]; ok {", "g, ok := c.byTaxes[string(c.key)]; ok && !g.gross {"},
			},
			in: in, tests: []string{"TestWorkedExample", "TestAgainstOracle"},
		},
		{
			name: "the tax in gross prices is a share of the gross", promise: immutable,
			changes: []change{{
				taxes, "contained := rounded(new(big.Int).Mul(&g.amount, &g.rates.sum), withTaxes)",
				"contained := rounded(new(big.Int).Mul(&g.amount, &g.rates.sum), withTaxes.Set(g.rates.one()))",
			}},
			in: in, tests: []string{"TestCases/prices_with_tax,_and_shipping_without", "TestAgainstOracle"},
		},
		{
			name: "a compound tax is on the net alone", promise: immutable,
			changes: []change{{groups, "if !taxes[i].Compound {", "if !taxes[i].Compound || i >= 0 {"}},
			in:      in, tests: []string{"TestCases/a_tax_on_a_tax", "TestAgainstOracle"},
		},
		{
			name: "what is left goes to the first parts", promise: immutable,
			changes: []change{{sharing, "return b.rest.Cmp(&a.rest)", "return 0 * b.rest.Cmp(&a.rest)"}},
			in:      in, tests: []string{"TestWorkedExample", "TestAgainstOracle"},
		},
		{
			name: "amounts below zero are shared as those above", promise: immutable,
			changes: []change{{sharing, "turned := isTurned(numerators, total)", "turned := isTurned(numerators, total) && total == nil"}},
			in:      in, tests: []string{"TestTurningSigns", "TestAgainstOracle"},
		},
		{
			name: "a given tax is taken, however far off", promise: classified,
			changes: []change{{taxes, "difference.CmpAbs(bound) > 0 {", "difference.CmpAbs(bound) > 1 {"}},
			in:      in, tests: []string{"TestTaxIsGiven", "TestProblems/given_taxes"},
		},
		{
			name: "a given tax changes what was charged", promise: immutable,
			changes: []change{{taxes, "contained.Add(contained, &part)", "contained.Add(contained, part.SetInt64(0))"}},
			in:      in, tests: []string{"TestTaxIsGiven", "TestSumsAgree"},
		},
		{
			name: "the payable amount forgets what is withheld", promise: immutable,
			changes: []change{{totals, "payable.Sub(&total, &withheld)", "payable.Set(&total)"}},
			in:      in, tests: []string{"TestCases/tax_withheld", "TestSumsAgree"},
		},
		{
			name: "what was prepaid is added", promise: immutable,
			changes: []change{{totals, "payable.Sub(&payable, big.NewInt(r.Prepaid))", "payable.Add(&payable, big.NewInt(r.Prepaid))"}},
			in:      in, tests: []string{"TestCases/partly_paid_before", "TestSumsAgree"},
		},
		{
			name: "another total than the expected one is taken", promise: classified,
			changes: []change{{totals, "c.minor(*expected.amount) == expected.is {", "expected.field != \"\" {"}},
			in:      in, tests: []string{"TestProblems/expected_amounts"},
		},
		{
			name: "a large line is cut off at 64 bits", promise: immutable,
			changes: []change{{groups, "high != 0 || low > math.MaxInt64 {", "low > math.MaxUint64-high {"}},
			in:      in, tests: []string{"TestAgainstOracle"},
		},
	}
}
