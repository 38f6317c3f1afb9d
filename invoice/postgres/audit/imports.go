package audit

func imports() inquiry {
	return inquiry{
		name: "imports", promises: []int{1},
		proves: "no transaction, key or number is imported and invoiced, no transaction or key imported twice",
		tables: []string{"imported_invoices", "invoices"},
		queries: []query{
			{"imported_invoices", `
SELECT problem, imported.id, imported.issuer, imported.transaction_id, imported.idempotency_key, imported.invoice_number,
    met.invoice_number AS invoiced_as, met.transaction_id AS invoiced_transaction_id
FROM (
    SELECT 'this transaction is imported, and is invoiced' AS problem, imported.id, invoices.id AS invoice_id
    FROM imported_invoices imported JOIN invoices ON invoices.issuer = imported.issuer AND invoices.transaction_id = imported.transaction_id WHERE imported.withdrawn_at IS NULL
    UNION ALL
    SELECT 'this key is imported, and is another invoice''s', imported.id, invoices.id
    FROM imported_invoices imported JOIN invoices ON invoices.issuer = imported.issuer AND invoices.idempotency_key = imported.idempotency_key
    WHERE imported.withdrawn_at IS NULL AND invoices.transaction_id <> imported.transaction_id
    UNION ALL
    SELECT 'this number is imported, and is another invoice''s', imported.id, invoices.id
    FROM imported_invoices imported JOIN invoices ON invoices.issuer = imported.issuer AND invoices.invoice_number = imported.invoice_number
    WHERE imported.withdrawn_at IS NULL AND invoices.transaction_id <> imported.transaction_id
) found JOIN imported_invoices imported ON imported.id = found.id JOIN invoices met ON met.id = found.invoice_id
ORDER BY imported.id, problem`, ""},
			{"imported_invoices", `
SELECT 'this transaction is imported more than once', issuer, transaction_id, count(*) AS imports, string_agg(invoice_number, ', ' ORDER BY id) AS invoice_number
FROM imported_invoices WHERE withdrawn_at IS NULL GROUP BY issuer, transaction_id HAVING count(*) > 1 ORDER BY min(id)`, ""},
			{"imported_invoices", `
SELECT 'this key is imported more than once', issuer, idempotency_key, count(*) AS imports, string_agg(invoice_number, ', ' ORDER BY id) AS invoice_number
FROM imported_invoices WHERE withdrawn_at IS NULL GROUP BY issuer, idempotency_key HAVING count(*) > 1 ORDER BY min(id)`, ""},
		},
	}
}
