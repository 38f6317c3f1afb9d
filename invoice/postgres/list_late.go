package postgres

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"gorm.io/gorm"

	"invoicer/internal/report"
)

const (
	// listEnd begins the cursor of a list that has ended but for records that may appear late.
	listEnd = "-"
	// mostSpans is how many spans of ids a cursor names in which records may appear late.
	mostSpans = 60
)

// readOnly is the SQLSTATE of a statement that a standby can't do.
const readOnly = "25006"

// A span of ids, both ends included.
type span struct{ first, last int64 }

// patient is listed for a list whose cursor also names the ids that others had drawn, and not committed, when the pages before were read. Records
// that have got one since come first on the next page. A list that has ended has one such page more at most.
func patient[T any](ctx context.Context, s *Reports, l listing, f report.Filter, after string, limit int, place func(T) (time.Time, int64)) (report.Page[T], error) {
	page := report.Page[T]{Rows: []T{}}
	base, open, err := parseLate(after)
	if err != nil {
		return page, err
	}
	horizon, err := s.horizon(ctx, l.table) // of the records up to it, all that ever will be are seen by what is read from now on
	if isCode(err, readOnly) {
		horizon, err = math.MaxInt64, nil // on a standby nobody writes whom it could ask
	}
	if err != nil {
		return page, err
	}
	if len(open) > 0 {
		if page.Rows, err = appeared[T](ctx, s, l, f, open, limit); err != nil {
			return page, err
		}
		if len(page.Rows) == limit {
			_, last := place(page.Rows[limit-1])
			page.Next = lateCursor(base, within(open, 0, last-1))
			return page, nil
		}
		open = within(open, horizon+1, open[0].last)
		for _, row := range page.Rows {
			_, id := place(row)
			open = without(open, id)
		}
	}
	if base == listEnd {
		return page, nil
	}
	drawn, upper, err := s.drawn(ctx, &l, base, horizon)
	if err != nil {
		return page, err
	}
	l.look("id <= ?", upper)
	rest, err := listed(ctx, s, l, f, base, limit-len(page.Rows), place)
	if err != nil {
		return page, err
	}
	page.Rows = append(page.Rows, rest.Rows...)
	lower := int64(0)
	if base = rest.Next; base == "" {
		base = listEnd
	} else if _, lower, err = parseCursor(base); err != nil {
		return page, err
	}
	for _, row := range rest.Rows { // some have appeared in between
		_, id := place(row)
		drawn = without(drawn, id)
	}
	open = append(open, within(drawn, lower, upper)...)
	slices.SortFunc(open, func(a, b span) int { return cmp.Compare(b.last, a.last) })
	page.Next = lateCursor(base, open[:min(len(open), mostSpans)])
	return page, nil
}

// horizon returns the id up to which no record appears any more.
func (s *core) horizon(ctx context.Context, table string) (id int64, err error) {
	err = s.autocommit(ctx, func(db *gorm.DB) error { return db.Raw("SELECT invoicer.list_horizon(?)", table).Row().Scan(&id) })
	return id, classify(err)
}

// appeared returns the records of some spans that match, the newest first.
func appeared[T any](ctx context.Context, s *Reports, l listing, f report.Filter, open []span, limit int) (rows []T, err error) {
	conditions, values := make([]string, len(open)), []any{}
	for i, one := range open {
		conditions[i], values = "id BETWEEN ? AND ?", append(values, one.first, one.last)
	}
	wheres, whereValues := append(slices.Clip(l.looks), l.wheres...), append(append([]any{}, l.lookValues...), l.whereValues...)
	for _, bound := range []struct {
		at        time.Time
		condition string
	}{{f.Since, " >= ?"}, {f.Until, " <= ?"}} {
		if !bound.at.IsZero() {
			wheres, whereValues = append(wheres, l.at+bound.condition), append(whereValues, bound.at)
		}
	}
	query := "SELECT " + l.columns + " FROM (SELECT * FROM invoicer." + l.table + " WHERE " + strings.Join(conditions, " OR ") + ") listed WHERE " +
		strings.Join(append(wheres, "true"), " AND ") + " ORDER BY id DESC LIMIT ?"
	rows = []T{}
	err = s.db.WithContext(ctx).Raw(query, append(append(values, whereValues...), limit)...).Scan(&rows).Error
	return rows, classify(err)
}

// drawn returns the spans of ids above the horizon that no record has as yet, as far as a page that begins at a cursor may reach, the greatest
// first, and the id up to which the page goes. If a first page would have too many of them, it goes up to the horizon.
func (s *core) drawn(ctx context.Context, l *listing, base string, horizon int64) (spans []span, upper int64, err error) {
	if base == "" {
		err = s.db.WithContext(ctx).Raw("SELECT coalesce(max(id), 0) FROM invoicer." + l.table).Row().Scan(&upper)
	} else {
		_, upper, err = parseCursor(base)
		upper--
	}
	if err != nil || upper <= horizon {
		return nil, upper, classify(err)
	}
	from := max(horizon, upper-2*lookedAt)
	rows, err := s.db.WithContext(ctx).Raw(`SELECT before + 1, id - 1 FROM (
    SELECT id, lag(id, 1, CAST(? AS bigint)) OVER (ORDER BY id) AS before FROM (SELECT id FROM invoicer.`+l.table+` WHERE id > ? AND id <= ? UNION ALL SELECT CAST(? AS bigint)) AS ids
) AS neighbours WHERE id > before + 1 ORDER BY id DESC LIMIT ?`, from, from, upper, upper+1, mostSpans+1).Rows()
	if err != nil {
		return nil, upper, classify(err)
	}
	defer rows.Close()
	for rows.Next() {
		var one span
		if err := rows.Scan(&one.first, &one.last); err != nil {
			return nil, upper, err
		}
		spans = append(spans, one)
	}
	if len(spans) > mostSpans && base == "" {
		return nil, horizon, classify(rows.Err())
	}
	return spans, upper, classify(rows.Err())
}

// within returns what of spans lies between two ids.
func within(spans []span, first, last int64) (kept []span) {
	for _, one := range spans {
		if one = (span{max(one.first, first), min(one.last, last)}); one.first <= one.last {
			kept = append(kept, one)
		}
	}
	return kept
}

// without returns spans without an id.
func without(spans []span, id int64) (kept []span) {
	for _, one := range spans {
		if id < one.first || id > one.last {
			kept = append(kept, one)
			continue
		}
		kept = append(kept, within([]span{{id + 1, one.last}, {one.first, id - 1}}, one.first, one.last)...)
	}
	return kept
}

// lateCursor returns the cursor of a list that goes on at base, "" at its end.
func lateCursor(base string, open []span) string {
	if len(open) == 0 {
		return strings.TrimSuffix(base, listEnd)
	}
	texts := make([]string, len(open))
	for i, one := range open {
		texts[i] = strconv.FormatInt(one.first, 36) + "-" + strconv.FormatInt(one.last, 36)
	}
	if base != listEnd {
		base += "."
	}
	return base + strings.Join(texts, "_")
}

// parseLate reads a cursor of [lateCursor].
func parseLate(after string) (base string, open []span, err error) {
	base, texts, some := after, "", false
	if rest, ended := strings.CutPrefix(after, listEnd); ended {
		base, texts, some = listEnd, rest, true
	} else if at, rest, ok := strings.Cut(after, "."); ok {
		var id string
		id, texts, some = strings.Cut(rest, ".")
		base = at + "." + id
	}
	if !some {
		return base, nil, nil
	}
	for text := range strings.SplitSeq(texts, "_") {
		first, last, _ := strings.Cut(text, "-")
		one := span{}
		var err, err2 error
		one.first, err = strconv.ParseInt(first, 36, 64)
		one.last, err2 = strconv.ParseInt(last, 36, 64)
		if err != nil || err2 != nil || one.first < 1 || one.last < one.first || len(open) == mostSpans || len(open) > 0 && one.last >= open[len(open)-1].first {
			return "", nil, fmt.Errorf("%q %w", after, report.ErrCursor)
		}
		open = append(open, one)
	}
	return base, open, nil
}
