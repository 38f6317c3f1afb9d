package audit

// handovers returns the check of what was handed over: each invoice that was owed to a channel has a hand-over, its state is that of its history, and what
// ended has its answer.
func handovers() inquiry {
	return inquiry{
		name: "handovers", promises: []int{2, 7}, tables: []string{"handovers", "handover_channels", "handover_log"},
		proves: "each invoice that a channel was owed has a hand-over through it, whose state is the last one of its history, and an erased invoice says nothing of it",
		queries: []query{{"handovers", `
SELECT * FROM (
    SELECT CASE
            WHEN i.id IS NULL THEN 'its invoice is not there'
            WHEN last.id IS NULL THEN 'it has no history'
            WHEN (last.state, last.key, last.their_id, last.clearance) IS DISTINCT FROM (h.state, h.key, h.their_id, h.clearance) THEN 'it is not what its history says'
            WHEN h.state IN ('sent', 'cleared', 'accepted', 'rejected') AND h.answered_at IS NULL THEN 'nobody has answered what it says'
            WHEN h.state = 'cleared' AND h.clearance IS NULL THEN 'it is cleared without an id'
            WHEN i.erasure_id IS NOT NULL AND (h.erased_at IS NULL OR num_nonnulls(h.error, h.answer, h.reason) > 0 OR h.state = 'queued'
                OR EXISTS (SELECT FROM handover_log l WHERE l.handover_id = h.id AND num_nonnulls(l.error, l.answer, l.reason) > 0)) THEN 'its invoice was erased, and it was not'
            WHEN i.erasure_id IS NULL AND h.erased_at IS NOT NULL THEN 'it was erased, and its invoice was not'
        END AS problem, h.id, i.issuer, i.invoice_number, h.channel, h.state
    FROM handovers h LEFT JOIN invoices i ON i.id = h.invoice_id
    LEFT JOIN LATERAL (SELECT * FROM handover_log l WHERE l.handover_id = h.id ORDER BY l.id DESC LIMIT 1) last ON true
) handed_over
WHERE problem IS NOT NULL ORDER BY id`, ""}, {"invoices", `
SELECT 'it was owed to the channel, and has no hand-over' AS problem, i.id, i.issuer, i.invoice_number, c.name AS channel
FROM handover_channels c JOIN invoices i ON i.id > c.after_invoice AND (c.last_invoice IS NULL OR i.id <= c.last_invoice AND i.id <> ALL (c.late))
    AND (c.issuers IS NULL OR i.issuer = ANY (c.issuers)) AND (c.series IS NULL OR i.series = ANY (c.series)) AND (c.kinds IS NULL OR i.kind = ANY (c.kinds))
WHERE NOT EXISTS (SELECT FROM handovers h WHERE h.invoice_id = i.id AND h.channel = c.name) ORDER BY i.id`, ""}},
	}
}
