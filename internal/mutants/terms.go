package main

// ofTerms are mistakes in what a job states beyond version 1: in what counts as content, in what is stored of it, and in what proves it.
func ofTerms() []mutant {
	const (
		theDomain, theAudit, theChecker           = "./invoice", "./invoice/postgres/audit", "./internal/checker"
		fingerprint, record, document, columns    = "invoice/fingerprint.go", "invoice/record.go", "invoice/document.go", "invoice/postgres/columns.go"
		storedRows, migration, theTerms, theRates = "invoice/postgres/audit/stored.go", "migrations/00029_terms.sql", "invoice/terms.go", "invoice/totals.go"
		normal                                    = "invoice/normal.go"
	)
	return []mutant{
		{
			name: "a tax that is stated twice is counted twice", promise: immutable,
			changes: []change{{document, "slices.Index(terms.Taxes, one); first >= 0 {", "slices.Index(terms.Taxes, one); first > 8 {"}},
			in:      theDomain, tests: []string{"TestBadTerms"},
		},
		{
			name: "the fingerprint forgets the terms of lines", promise: immutable, hazard: sameKey,
			changes: []change{{fingerprint, "if j.Lines[i].Terms == nil {\n\t\t\tcontinue", "if j.Lines[i].Terms == nil || part == fields.All {\n\t\t\tcontinue"}},
			in:      theDomain, tests: []string{"TestEachTermIsContent"},
		},
		{
			name: "a fingerprint of version 2 looks like one of version 1", promise: immutable,
			changes: []change{{fingerprint, "return hashed(\"v2:\", ", "return hashed(\"v1:\", "}},
			in:      theDomain, tests: []string{"TestDefaultsAreAsIfAbsent", "TestEachTermIsContent"},
		},
		{
			name: "a kind that is stated is ignored", promise: immutable,
			changes: []change{{document, "if j.Terms != nil && j.Terms.Kind != \"\" {", "if j.Terms != nil && j.Terms.Kind == \"-\" {"}},
			in:      theChecker, tests: []string{"TestOracleAgreesWithTheProgram"},
		},
		{
			name: "what is left to pay isn't stored", promise: immutable,
			changes: []change{{columns, "a.integerUnless(w.draft.Totals.Total, w.draft.Totals.Payable)", "a.integerUnless(w.draft.Totals.Total, w.draft.Totals.Total)"}},
			in:      theStore, tests: []string{"TestTermsAreStored"},
		},
		{
			name: "a tax's code isn't stored", promise: immutable,
			changes: []change{{columns, "a.optional(r.tax.Code)", "a.optional(r.tax.Code[:0])"}},
			in:      theStore, tests: []string{"TestTermsAreStored"},
		},
		{
			name: "the base of a compound tax isn't stored", promise: immutable,
			changes: []change{{columns, "a.integerUnless(0, r.tax.Added)", "a.integerUnless(r.tax.Added, r.tax.Added)"}},
			in:      theStore, tests: []string{"TestTermsAreStored"},
		},
		{
			name: "the terms of lines aren't stored", promise: immutable,
			changes: []change{{columns, "a.optional(r.terms)", "a.optional(r.terms[:0])"}},
			in:      theStore, tests: []string{"TestTermsAreStored"},
		},
		{
			name: "who buys isn't stored", promise: immutable,
			changes: []change{{columns, "a.optional(w.parties)", "a.optional(w.parties[:0])"}},
			in:      theStore, tests: []string{"TestTermsAreStored"},
		},
		{
			name: "a person stands among the terms that stay", promise: discreet,
			changes: []change{{theTerms, "described.AppendObject(b, of, fields.Public)", "described.AppendObject(b, of, fields.All)"}},
			in:      theDomain, tests: []string{"TestTermsAreReadAsTheyAreSpelled"},
		},
		{
			name: "a link forgets the terms", promise: immutable, hazard: anOwner,
			changes: []change{{record, "\tb = r.appendTerms(b, fields.Public)\n", ""}},
			in:      theDomain, tests: []string{"TestRecordSeesEveryChange"},
		},
		{
			name: "a link forgets who buys", promise: immutable, hazard: anOwner,
			changes: []change{{record, "h.b = r.appendTerms(b, fields.Personal)", "h.b = b"}},
			in:      theDomain, tests: []string{"TestRecordSeesEveryChange"},
		},
		{
			name: "a link forgets what is left to pay", promise: immutable, hazard: anOwner,
			changes: []change{{record, "if r.Totals.Payable != r.Totals.Total {", "if r.Totals.Payable != r.Totals.Total && b == nil {"}},
			in:      theDomain, tests: []string{"TestRecordSeesEveryChange"},
		},
		{
			name: "prices that are net by default are content", promise: classified,
			changes: []change{{normal, "if t.Prices == PricesNet {", "if t.Prices == PricesNet+PricesGross {"}},
			in:      theDomain, tests: []string{"TestDefaultsAreAsIfAbsent"},
		},
		{
			name: "a base quantity of 1 is content", promise: classified,
			changes: []change{{normal, "if t.BaseQuantity != nil && t.BaseQuantity.Equal(", "if t.BaseQuantity != nil && len(t.Taxes) > 8 && t.BaseQuantity.Equal("}},
			in:      theDomain, tests: []string{"TestDefaultsAreAsIfAbsent"},
		},
		{
			name: "what states a default is taken for normal", promise: classified,
			changes: []change{{normal, "t.BaseQuantity != nil && t.BaseQuantity.Equal(decimal.New(1, 0)) || lineFields", "lineFields"}},
			in:      theDomain, tests: []string{"TestBuiltJobsAreFingerprintedAsRead"},
		},
		{
			name: "a single tax is taken for normal", promise: classified,
			changes: []change{{normal, "return t.Prices != prices && !plain &&", "return t.Prices != prices && (!plain || plain) &&"}},
			in:      theDomain, tests: []string{"TestBuiltJobsAreFingerprintedAsRead"},
		},
		{
			name: "net prices in a gross document are taken for the default", promise: immutable,
			changes: []change{
				{normal, "\tif t.Prices == prices {\n", "\tif t.Prices == prices || t.Prices == PricesNet {\n"},
				{normal, "return t.Prices != prices && !plain", "return t.Prices != prices && t.Prices != PricesNet && !plain"},
			},
			in: theChecker, tests: []string{"TestOracleAgreesWithTheProgram"},
		},
		{
			name: "a rate in an exempt category is taken", promise: classified,
			changes: []change{{document, "case isUntaxed(category) && !percent.IsZero():", "case isUntaxed(category) && percent.Sign() < 0:"}},
			in:      theDomain, tests: []string{"TestBadTerms"},
		},
		{
			name: "the prices of an allowance are the document's", promise: immutable,
			changes: []change{{
				document, "\t\t\tAmount: a.Amount, Percent: a.Percent,\n\t\t}\n",
				"\t\t\tAmount: a.Amount, Percent: a.Percent,\n\t\t}\n\t\tall[i].Prices = amounts.AsDocument\n",
			}},
			in: theChecker, tests: []string{"TestOracleAgreesWithTheProgram"},
		},
		{
			name: "a percentage is of net lines, whatever the mode", promise: immutable,
			changes: []change{{"invoice/amounts/adjustments.go", "of := modes[c.isGross(&a.Terms)]", "of := modes[c.isGross(&a.Terms) && i < 0]"}},
			in:      "./invoice/amounts", tests: []string{"TestWorkedExample", "TestAgainstOracle"},
		},
		{
			name: "the audit doesn't compare what is left to pay", promise: immutable,
			changes: []change{{storedRows, "\t\t{\"payable_minor\", row.payableOrTotal(), totals.Payable},\n", ""}},
			in:      theAudit, tests: []string{"TestSums"},
		},
		{
			name: "the audit doesn't compare the base of a compound tax", promise: immutable,
			changes: []change{{storedRows, "if t.added != want.Added {", "if t.added != want.Added && t.added < 0 {"}},
			in:      theAudit, tests: []string{"TestSums"},
		},
		{
			name: "the audit doesn't compare the codes of taxes", promise: immutable,
			changes: []change{{theRates, "cmp.Compare(t.Code, other.Code), ", ""}},
			in:      theAudit, tests: []string{"TestSums"},
		},
		{
			name: "the database takes any kind beside terms", promise: immutable, hazard: anOwner,
			changes: []change{{migration, "AND coalesce(terms ->> 'kind' = kind, (kind", "AND (terms IS NOT NULL OR (kind"}},
			in:      theStore, tests: []string{"TestDatabaseRefuses/kind_that_the_job_does_not_state"},
		},
	}
}
