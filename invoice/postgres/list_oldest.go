package postgres

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"gorm.io/gorm"

	"invoicer/internal/report"
)

// ofOldest begins the cursors of lists whose oldest records come first.
const ofOldest = "o"

// oldest looks at the next records in the order of their ids, and returns those that match. It goes no further than up to where no record
// appears any more, so that whoever goes on after its cursor misses none.
func oldest[T any](ctx context.Context, s *Reports, l listing, f report.Filter, after string, limit int, id func(*T) int64) (report.Page[T], error) {
	page := report.Page[T]{Rows: []T{}, Next: after}
	from, err := l.from(ctx, s, f, after)
	if err != nil {
		return page, err
	}
	horizon, err := s.horizon(ctx, l.table)
	if err != nil {
		return page, err
	}
	page.Next = ofOldest + strconv.FormatInt(max(from, horizon), 36)
	if horizon <= from {
		return page, nil
	}
	if !f.Since.IsZero() {
		l.wheres, l.whereValues = append(l.wheres, l.at+" >= ?"), append(l.whereValues, f.Since)
	}
	if !f.Until.IsZero() {
		l.wheres, l.whereValues = append(l.wheres, l.at+" <= ?"), append(l.whereValues, f.Until)
	}
	query := "SELECT " + l.columns + " FROM (SELECT *" + l.oldest() + " LIMIT ?) listed WHERE " + strings.Join(append(slices.Clip(l.wheres), "true"), " AND ") + " ORDER BY id LIMIT ?"
	values := append(append([]any{from, horizon, lookedAt}, l.whereValues...), limit)
	if err := s.db.WithContext(ctx).Raw(query, values...).Scan(&page.Rows).Error; err != nil {
		return page, classify(err)
	}
	if len(page.Rows) == limit {
		page.Next = ofOldest + strconv.FormatInt(id(&page.Rows[limit-1]), 36)
		return page, nil
	}
	var rest []int64
	if err := s.db.WithContext(ctx).Raw("SELECT id"+l.oldest()+" OFFSET ? LIMIT 1", from, horizon, lookedAt-1).Scan(&rest).Error; err != nil {
		return page, classify(err)
	}
	if len(rest) > 0 {
		page.Next = ofOldest + strconv.FormatInt(rest[0], 36)
	}
	return page, nil
}

// oldest returns the end of a statement that looks at the records between two ids, from FROM on.
func (l *listing) oldest() string {
	return " FROM invoicer." + l.table + " WHERE id > ? AND id <= ? ORDER BY id"
}

// from returns the id after which a page begins.
func (l *listing) from(ctx context.Context, s *Reports, f report.Filter, after string) (int64, error) {
	if after != "" {
		text, ok := strings.CutPrefix(after, ofOldest)
		id, err := strconv.ParseInt(text, 36, 64)
		if !ok || err != nil || id < 0 {
			return 0, fmt.Errorf("%q %w", after, report.ErrCursor)
		}
		return id, nil
	}
	if f.Since.IsZero() {
		return 0, nil
	}
	return s.lastUntil(ctx, l, f.Since.Add(-late))
}

// MarkLists notes which records there are, so that lists whose oldest come first are complete up to these as soon as those who are writing now
// have ended, however long others write later. It is called now and then.
func (s *Reports) MarkLists(ctx context.Context) error {
	return classify(s.autocommit(ctx, func(db *gorm.DB) error {
		return db.Exec("SELECT invoicer.list_horizon(list) FROM unnest(ARRAY['invoice_jobs', 'invoices', 'duplicate_attempts']) AS list").Error
	}))
}
