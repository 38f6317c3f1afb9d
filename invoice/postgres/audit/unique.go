package audit

// As in the other checks, values that occur twice are found by hashing. Only these are sorted, since the tables may
// be large.

func oneInvoice() inquiry {
	return inquiry{
		name: "transactions", promises: []int{1},
		proves: "no transaction_id of an issuer has a second invoice",
		tables: []string{"invoices"},
		queries: []query{{"invoices", `
SELECT 'this transaction has more than one invoice', issuer, transaction_id, count(*) AS invoices,
    string_agg(invoice_number, ', ' ORDER BY id) AS invoice_number
FROM invoices WHERE (issuer, transaction_id) IN (SELECT issuer, transaction_id FROM invoices GROUP BY issuer, transaction_id HAVING count(*) > 1)
GROUP BY issuer, transaction_id ORDER BY min(id)`}},
	}
}

func oneKey() inquiry {
	return inquiry{
		name: "keys", promises: []int{1},
		proves: "no idempotency_key of an issuer has a second invoice",
		tables: []string{"invoices"},
		queries: []query{{"invoices", `
SELECT 'this key has more than one invoice', issuer, idempotency_key, count(*) AS invoices,
    string_agg(invoice_number, ', ' ORDER BY id) AS invoice_number
FROM invoices WHERE (issuer, idempotency_key) IN (SELECT issuer, idempotency_key FROM invoices GROUP BY issuer, idempotency_key HAVING count(*) > 1)
GROUP BY issuer, idempotency_key ORDER BY min(id)`}},
	}
}
