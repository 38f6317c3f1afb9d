package audit

// Values that occur twice are searched for only if there are fewer hashes of them than rows, which takes a fraction of the time and the
// memory.

// twice asks whether two rows of a table may have the same values in the columns, of type text. It may say yes although none have.
func twice(table string, columns ...string) string {
	return "SELECT count(DISTINCT " + hashOf(columns...) + ") < count(" + hashOf(columns...) + ") FROM " + table
}

// hashOf is a number that is the same for the same values.
func hashOf(columns ...string) string {
	hash := "0"
	for _, column := range columns {
		hash = "hashtextextended(" + column + ", " + hash + ")"
	}
	return hash
}

func oneInvoice() inquiry {
	return inquiry{
		name: "transactions", promises: []int{1},
		proves: "no transaction_id of an issuer has a second invoice",
		tables: []string{"invoices"},
		queries: []query{{"invoices", `
SELECT 'this transaction has more than one invoice', issuer, transaction_id, count(*) AS invoices,
    string_agg(invoice_number, ', ' ORDER BY id) AS invoice_number
FROM invoices WHERE (issuer, transaction_id) IN (SELECT issuer, transaction_id FROM invoices GROUP BY issuer, transaction_id HAVING count(*) > 1)
GROUP BY issuer, transaction_id ORDER BY min(id)`, twice("invoices", "issuer", "transaction_id")}},
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
GROUP BY issuer, idempotency_key ORDER BY min(id)`, twice("invoices", "issuer", "idempotency_key")}},
	}
}
