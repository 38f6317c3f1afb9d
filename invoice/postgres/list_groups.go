package postgres

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"invoicer/internal/report"
)

// A grouping is what records are grouped by, and by what an example is found, as SQL expressions.
type grouping struct {
	key     string
	values  []any // of the key
	example string
}

// JobGroups groups the latest jobs that match the filter by their producer, queue, series, issuer, state or outcome. A series of an issuer
// is named ISSUER/SERIES. So many jobs are looked at,
// or a few more. It returns the groups of most jobs, limit at most.
func (s *Reports) JobGroups(ctx context.Context, f report.Filter, by string, look, limit int) (report.Groups, error) {
	g := grouping{key: "coalesce(" + by + ", '')", example: "job_id"}
	if by == "series" {
		g.key = "CASE WHEN payload IS NULL OR task_type IS NOT NULL THEN '' ELSE " + beforeSeries + " || coalesce(nullif(" + statedSeries + ", ''), ?) END"
		g.values = []any{f.DefaultSeries}
	}
	return s.groups(ctx, listingOfJobs(f), g, f, by, look, limit)
}

// beforeSeries is what stands before the name of a series, as in [invoice.SeriesID.String], as an SQL expression.
const beforeSeries = "CASE WHEN issuer = '' THEN '' ELSE issuer || '/' END"

// InvoiceGroups groups invoices by their series, issuer, producer, kind or currency, as [Reports.JobGroups] does jobs.
func (s *Reports) InvoiceGroups(ctx context.Context, f report.Filter, by string, look, limit int) (report.Groups, error) {
	g := grouping{key: "coalesce(" + by + ", '')", example: "invoice_number"}
	if by == "series" {
		g.key = beforeSeries + " || series"
	}
	return s.groups(ctx, listingOfInvoices(f), g, f, by, look, limit)
}

// DuplicateGroups groups recorded duplicates by their reason, issuer or producer, as [Reports.JobGroups] does jobs.
func (s *Reports) DuplicateGroups(ctx context.Context, f report.Filter, by string, look, limit int) (report.Groups, error) {
	return s.groups(ctx, listingOfDuplicates(f), grouping{key: "coalesce(" + by + ", '')", example: "job_id"}, f, by, look, limit)
}

// groups groups the records step by step, the latest first.
func (s *Reports) groups(ctx context.Context, l listing, g grouping, f report.Filter, by string, look, limit int) (report.Groups, error) {
	found := report.Groups{By: by, Groups: []report.Group{}}
	all, after := make(map[string]*report.Group), ""
	_, step := l.order()
	for looked := 0; looked < look; looked += step {
		groups, next, err := s.groupsOfStep(ctx, l, g, f, after)
		if err != nil {
			return found, err
		}
		for i := range groups {
			addGroup(all, &groups[i])
		}
		if after = next; after == "" {
			break
		}
	}
	found.AtLeast = after != ""
	for _, name := range slices.Sorted(maps.Keys(all)) {
		found.Records += all[name].Count
		found.Groups = append(found.Groups, *all[name])
	}
	slices.SortStableFunc(found.Groups, func(a, b report.Group) int { return cmp.Compare(b.Count, a.Count) })
	found.LeftOut = max(0, len(found.Groups)-limit)
	found.Groups = found.Groups[:len(found.Groups)-found.LeftOut]
	return found, nil
}

func (s *Reports) groupsOfStep(ctx context.Context, l listing, g grouping, f report.Filter, after string) (groups []report.Group, next string, err error) {
	if err := l.begin(ctx, s, f, after); err != nil {
		return nil, "", err
	}
	from, values := l.matching()
	order, _ := l.order()
	query := "SELECT " + g.key + " AS value, count(*) AS count, min(" + l.at + ") AS first_at, max(" + l.at + ") AS last_at, " +
		"(array_agg(" + g.example + " ORDER BY " + order + "))[1] AS example" + from + " GROUP BY 1"
	if err := s.db.WithContext(ctx).Raw(query, append(slices.Clip(g.values), values...)...).Scan(&groups).Error; err != nil {
		return nil, "", classify(err)
	}
	next, err = l.beyond(ctx, s, f)
	return groups, next, err
}

// addGroup adds a group of records that come after those of before, so that its example is an earlier one.
func addGroup(all map[string]*report.Group, g *report.Group) {
	known := all[g.Value]
	if known == nil {
		all[g.Value] = g
		return
	}
	known.Count += g.Count
	known.FirstAt = earlier(known.FirstAt, g.FirstAt)
	if g.LastAt.After(known.LastAt) { // the order of ids is that of times but for a little
		known.LastAt = g.LastAt
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
