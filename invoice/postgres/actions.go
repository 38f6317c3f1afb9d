package postgres

import (
	"context"

	"gorm.io/gorm"

	"invoicer/internal/report"
	"invoicer/invoice/ledger"
)

// RecordAction records that somebody does something to a subject, such as a queue. The database adds the name by which it knows
// the session's user. What is recorded can't be changed or deleted.
func (s *Ledger) RecordAction(ctx context.Context, action, subject, details string, by ledger.Actor) error {
	return classify(s.autocommit(ctx, func(db *gorm.DB) error {
		return db.Exec("INSERT INTO invoicer.actions (action, subject, actor, note, details) VALUES (?, ?, ?, ?, ?)",
			action, storable(subject), storable(by.Name), nullable(storable(by.Note)), nullable(storable(details))).Error
	}))
}

// What an erasure has selected, and what a hold exempts, in words. A customer's id isn't among them.
const (
	selectedBy = "concat_ws(' ', 'issuer ' || nullif(issuer, ''), CASE selection WHEN 'customer' THEN 'a customer' ELSE 'before ' || to_char(before AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') END)"
	heldBy     = "concat_ws(' ', CASE WHEN issuer IS NULL THEN 'all issuers' WHEN issuer <> '' THEN 'issuer ' || issuer END, CASE scope WHEN 'transaction' THEN 'transaction ' || transaction_id WHEN 'customer' THEN 'a customer' END)"
)

// Deeds returns up to limit of the things that people did, the latest first: to jobs, queues, locks, workers, series, settings and issuers,
// and what was erased and held.
func (s *Reports) Deeds(ctx context.Context, limit int) ([]report.Deed, error) {
	deeds := []report.Deed{}
	err := s.db.WithContext(ctx).Raw(`
SELECT * FROM (
    (SELECT acted_at, action, subject, actor, role, note, details FROM invoicer.actions ORDER BY id DESC LIMIT @limit)
    UNION ALL
    (SELECT changed_at, 'change series', `+beforeSeries+` || series, actor, role, note, change FROM invoicer.series WHERE origin = 'command' ORDER BY changed_at DESC LIMIT @limit)
    UNION ALL
    (SELECT changed_at, 'change settings', issuer, actor, role, note, change FROM invoicer.settings WHERE version > 1 ORDER BY changed_at DESC LIMIT @limit)
    UNION ALL
    (SELECT changed_at, 'change issuer', issuer, actor, role, note, change FROM invoicer.issuers ORDER BY changed_at DESC LIMIT @limit)
    UNION ALL
    (SELECT begun_at, 'erase', `+selectedBy+`, actor, role, reason,
        invoices || ' invoices erased, ' || held || ' held' || CASE WHEN ended_at IS NULL THEN ', broken off or under way' ELSE '' END FROM invoicer.erasures ORDER BY id DESC LIMIT @limit)
    UNION ALL
    (SELECT held_at, 'hold', `+heldBy+`, actor, role, reason, NULL FROM invoicer.erasure_holds ORDER BY id DESC LIMIT @limit)
    UNION ALL
    (SELECT released_at, 'release', `+heldBy+`, released_by, released_by_role, released_reason, NULL FROM invoicer.erasure_holds
        WHERE released_at IS NOT NULL ORDER BY released_at DESC LIMIT @limit)
    UNION ALL
    (SELECT acted_at, action, job_id, actor, role, note, 'after: ' || outcome FROM invoicer.invoice_job_actions ORDER BY id DESC LIMIT @limit)
) deeds ORDER BY acted_at DESC LIMIT @limit`, map[string]any{"limit": limit}).Scan(&deeds).Error
	return deeds, classify(err)
}
