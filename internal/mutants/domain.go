package main

func ofDomain() []mutant {
	const in = "./invoice"
	return []mutant{
		{
			name: "fingerprint ignores the currency", promise: immutable, hazard: sameKey,
			changes: []change{{"invoice/fingerprint.go", "\tb = appendField(b, j.Currency)\n", ""}},
			in:      in, tests: []string{"TestFingerprintSeesEveryChange"},
		},
		{
			name: "fingerprint ignores a line's price", promise: immutable, hazard: sameKey,
			changes: []change{{"invoice/fingerprint.go", "\t\tb = appendDecimalField(b, l.UnitPrice)\n", ""}},
			in:      in, tests: []string{"TestFingerprintSeesEveryChange"},
		},
		{
			name: "fingerprint depends on the spelling of the time", promise: classified,
			changes: []change{{"invoice/fingerprint.go", "t.UTC().AppendFormat(", "t.AppendFormat("}},
			in:      in, tests: []string{"TestFingerprintSeesEveryChange"},
		},
		{
			name: "rounding half to even", promise: immutable,
			changes: []change{{"invoice/wide.go", "if rest >= divisor/2 {", "if rest > divisor/2 || rest == divisor/2 && w[0]%2 == 1 {"}},
			in:      in, tests: []string{"TestCalculate/half_goes_away_from_zero,_in_both_directions"},
		},
		{
			name: "money through a float", promise: immutable,
			changes: []change{{
				"invoice/wide.go",
				"\thi, lo := bits.Mul64(magnitude(a), magnitude(b))\n\tvar w wide\n",
				"\tif product := float64(a) * float64(b) * float64(c) / math.Pow10(places); math.Abs(product) < math.MaxInt64 {\n" +
					"\t\treturn int64(math.Round(product)), true\n\t}\n\thi, lo := bits.Mul64(magnitude(a), magnitude(b))\n\tvar w wide\n",
			}},
			in: in, tests: []string{"TestCalculate/too_fine_for_a_float"},
		},
		{
			name: "tax is rounded for each line", promise: immutable,
			changes: []change{
				{"invoice/totals.go", "\t\tnet     sum\n", "\t\tnet, perLine sum\n"},
				{"invoice/totals.go", "\t\trates[at].net.add(nets[i])\n", "\t\trates[at].net.add(nets[i])\n\t\tmillionths, _ := percent.Millionths()\n\t\tpart, _ := scaledProduct(nets[i], millionths, 1, decimalPlaces+2)\n\t\trates[at].perLine.add(part)\n"},
				{"invoice/totals.go", "\t\tmillionths, _ := row.Percent.Millionths()\n\t\tif row.Tax, ok = scaledProduct(row.Net, millionths, 1, decimalPlaces+2); !ok {", "\t\tif row.Tax, ok = rates[i].perLine.int64(); !ok {"},
			},
			in: in, tests: []string{"TestCalculate/tax_is_rounded_once_for_each_rate,_not_for_each_line"},
		},
		{
			name: "a key given twice is accepted", promise: classified,
			changes: []change{{"invoice/decode.go", "d.at.name = known.At(i); seen[i] {", "d.at.name = known.At(i); seen[i] && i < 0 {"}},
			in:      in, tests: []string{"TestDecodeBad"},
		},
		{
			name: "data after the job is accepted", promise: classified,
			changes: []change{{"invoice/decode.go", "len(bytes.TrimLeft(rest, \" \\t\\r\\n\")) > 0 {", "len(bytes.TrimLeft(rest, \" \\t\\r\\n\")) > 1<<30 {"}},
			in:      in, tests: []string{"TestDecodeBad"},
		},
		{
			name: "U+0000 is accepted as text", promise: recovers, hazard: badText,
			changes: []change{{"invoice/validate.go", "strings.IndexByte(s, 0) < 0 }", "strings.IndexByte(s, 0) <= len(s) }"}},
			in:      in, tests: []string{"TestDecodeBad"},
		},
		{
			name: "an error quotes the bad value", promise: discreet,
			changes: []change{{"invoice/scalar.go", "\td.complain(err.Error())\n", "\td.complain(err.Error() + \": \" + string(number))\n"}},
			in:      in, tests: []string{"TestErrorsHoldNoPersonalData"},
		},
		{
			name: "an error quotes the payload", promise: discreet,
			changes: []change{{"invoice/decode.go", "message = fmt.Sprintf(\"is not valid JSON at byte %d\", syntax.ByteOffset)", "message = fmt.Sprintf(\"is not valid JSON at byte %d: %s\", syntax.ByteOffset, d.tokens.UnreadBuffer())"}},
			in:      in, tests: []string{"TestErrorsHoldNoPersonalData"},
		},
	}
}
