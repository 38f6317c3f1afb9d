package audit

func issuers() inquiry {
	// What an issuer has may be a million rows, so each is one finding.
	unknown := func(table, rows string) query {
		return query{table, `
SELECT 'these ` + rows + ` are of an issuer that was never opened', issuer, count(*) AS "rows", min(id) AS first_id
FROM ` + table + ` WHERE issuer <> '' AND issuer NOT IN (SELECT issuer FROM issuers) GROUP BY issuer ORDER BY issuer`, ""}
	}
	return inquiry{
		name: "issuers", promises: []int{9},
		proves: "whatever names an issuer names one that was opened, and each version of what was known of it is there",
		tables: []string{"issuers", "invoices", "invoice_series", "series", "duplicate_attempts", "imported_invoices"},
		queries: []query{
			unknown("invoices", "invoices"),
			{"invoice_series", `
SELECT 'this counter is of an issuer that was never opened', issuer, series, period
FROM invoice_series WHERE issuer <> '' AND issuer NOT IN (SELECT issuer FROM issuers) ORDER BY 2, 3, 4`, ""},
			{"series", `
SELECT 'these settings are of an issuer that was never opened', issuer, series, version
FROM series WHERE issuer <> '' AND issuer NOT IN (SELECT issuer FROM issuers) ORDER BY 2, 3, 4`, ""},
			unknown("duplicate_attempts", "duplicates"),
			unknown("imported_invoices", "imports"),
			{"invoices", `
SELECT 'its seller is a version of its issuer that is not there', id, issuer, invoice_number, issuer_version
FROM invoices WHERE issuer_version IS NOT NULL AND (issuer = '' OR issuer IN (SELECT issuer FROM issuers))
    AND (issuer, issuer_version) NOT IN (SELECT issuer, version FROM issuers) ORDER BY id`, ""},
			{"issuers", `
SELECT 'versions of this issuer are missing, or are there twice', issuer, count(*) AS versions, max(version) AS newest
FROM issuers GROUP BY issuer HAVING (min(version), max(version), count(DISTINCT version)) IS DISTINCT FROM (1, count(*)::integer, count(*)) ORDER BY issuer`, ""},
		},
	}
}
