package audit

// As in the other checks, values that occur twice are found by hashing. Only these are sorted, since the tables may
// be large.

func oneInvoice() inquiry {
	return inquiry{
		name: "transactions", promises: []int{1},
		proves: "no transaction_id has a second invoice",
		tables: []string{"invoices"},
		queries: []query{{"invoices", `
SELECT 'this transaction has more than one invoice', transaction_id, count(*) AS invoices,
    string_agg(invoice_number, ', ' ORDER BY id) AS invoice_number
FROM invoices WHERE transaction_id IN (SELECT transaction_id FROM invoices GROUP BY transaction_id HAVING count(*) > 1)
GROUP BY transaction_id ORDER BY min(id)`}},
	}
}

func oneKey() inquiry {
	return inquiry{
		name: "keys", promises: []int{1},
		proves: "no idempotency_key has a second invoice",
		tables: []string{"invoices"},
		queries: []query{{"invoices", `
SELECT 'this key has more than one invoice', idempotency_key, count(*) AS invoices,
    string_agg(invoice_number, ', ' ORDER BY id) AS invoice_number
FROM invoices WHERE idempotency_key IN (SELECT idempotency_key FROM invoices GROUP BY idempotency_key HAVING count(*) > 1)
GROUP BY idempotency_key ORDER BY min(id)`}},
	}
}
