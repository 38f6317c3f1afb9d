package audit

import "invoicer/invoice"

// erased returns the check of what erasures leave: nothing that a person could be told by, and a record of who did it.
func erased() inquiry {
	const identity = "id, issuer, invoice_number, transaction_id"
	return inquiry{
		name: "erased", promises: []int{7, 8}, tables: []string{"erasures"},
		proves: "an erased invoice has no personal data and no fingerprint, and a record of its erasure; no payload of its transaction is left",
		queries: []query{
			{"invoices", `SELECT 'it was erased, and has personal data, its salt or a fingerprint', ` + identity + ` FROM invoices
WHERE erasure_id IS NOT NULL AND (num_nonnulls(customer_id, customer_name, country, parties, content_hash, salt) > 0 OR metadata <> '{}'
    OR fingerprint <> '` + invoice.ErasedFingerprint + `'
    OR EXISTS (SELECT FROM invoice_lines l WHERE l.invoice_id = invoices.id AND num_nonnulls(l.sku, l.description, l.texts) > 0)
    OR EXISTS (SELECT FROM invoice_links l WHERE l.invoice_id = invoices.id AND l.salt IS NOT NULL AND l.linked_at <= (SELECT begun_at FROM erasures e WHERE e.id = erasure_id)))
ORDER BY id`, ""},
			{"invoices", `SELECT 'it was erased, and nothing says by whom', ` + identity + `, erasure_id FROM invoices
WHERE erasure_id IS NOT NULL AND NOT EXISTS (SELECT FROM erasures e WHERE e.id = erasure_id) ORDER BY id`, ""},
			{"invoice_jobs", `SELECT 'its transaction was erased, and its payload is kept', j.job_id, j.issuer, j.transaction_id, j.state FROM invoices i
JOIN invoice_jobs j ON j.issuer = i.issuer AND j.transaction_id = i.transaction_id
WHERE i.erasure_id IS NOT NULL AND j.state NOT IN ('accepted', 'enqueued') AND num_nonnulls(j.payload, j.payload_raw) > 0 ORDER BY j.id`, ""},
		},
	}
}
