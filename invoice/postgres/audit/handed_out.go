package audit

// handedOut returns the check of the documents that were handed out: each is still the bytes that it was. Those outside of the
// database are hashed by [session.objects].
func handedOut() inquiry {
	return inquiry{
		name: "documents", promises: []int{7}, tables: []string{"documents"},
		proves: "a document that was handed out has the bytes of its SHA-256 and belongs to an invoice, and an erased invoice has none",
		queries: []query{{"documents", `
SELECT * FROM (
    SELECT CASE
            WHEN i.id IS NULL THEN 'its invoice is not there'
            WHEN d.content IS NULL AND d.place IS NULL AND i.erasure_id IS NULL THEN 'its bytes are gone, and its invoice was not erased'
            WHEN num_nonnulls(d.content, d.place) > 0 AND i.erasure_id IS NOT NULL THEN 'its invoice was erased, and its bytes are kept'
            WHEN d.content IS NOT NULL AND (sha256(d.content) <> d.sha256 OR octet_length(d.content) <> d.size) THEN 'its bytes are not those that were handed out'
        END AS problem, d.id, i.issuer, i.invoice_number, d.invoice_id, d.format, d.language
    FROM documents d LEFT JOIN invoices i ON i.id = d.invoice_id
) handed_out
WHERE problem IS NOT NULL ORDER BY id`, ""}},
	}
}
