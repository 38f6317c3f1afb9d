package postgres

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"invoicer/internal/report"
)

const (
	// lookedAt is how many records are looked at for one page, so that a filter that few match takes a bounded time.
	lookedAt = 20_000
	// lookedAtByTime is how many of them are looked at in one step, where the order is that of time. For more, the planner would read
	// the whole table in place of the index.
	lookedAtByTime = 2_000
	// late is how much later a record with a smaller id may have been written.
	late = time.Hour
)

// Jobs returns a page of the jobs that match the filter, beginning after the cursor, "" for the first page: the newest first, those
// of state failed or dismissed by when they ended.
func (s *Reports) Jobs(ctx context.Context, f report.Filter, after string, limit int) (report.Page[report.ListedJob], error) {
	if f.Oldest {
		state := f.State
		f.State = ""
		l := listingOfJobs(f)
		l.where(state, "state = ?")
		return oldest(ctx, s, l, f, after, limit, func(j *report.ListedJob) int64 { return j.ID })
	}
	l := listingOfJobs(f)
	if !l.byTime {
		return byID(ctx, s, l, f, after, limit, func(j report.ListedJob) (time.Time, int64) { return j.AcceptedAt, j.ID })
	}
	all := report.Page[report.ListedJob]{Rows: []report.ListedJob{}, Next: after}
	for range lookedAt / lookedAtByTime {
		page, err := listed(ctx, s, l, f, all.Next, limit-len(all.Rows), func(j report.ListedJob) (time.Time, int64) { return j.UpdatedAt, j.ID })
		if err != nil {
			return page, err
		}
		all.Rows, all.Next = append(all.Rows, page.Rows...), page.Next
		if all.Next == "" || len(all.Rows) == limit {
			break
		}
	}
	return all, nil
}

func listingOfJobs(f report.Filter) listing {
	l := listing{table: "invoice_jobs", at: "accepted_at", columns: "id, job_id, issuer, transaction_id, idempotency_key, producer, queue, state, outcome, reason, invoice_id, imported_id, dispatch, attempts, paused_series, accepted_at, updated_at"}
	switch f.State {
	// Written out: of a parameter, the planner doesn't know that it is one of those that a partial index is for.
	case "failed":
		l.at, l.byTime = "updated_at", true
		l.look("state = 'failed'")
	case "dismissed":
		l.at, l.byTime = "updated_at", true
		l.look("state = 'dismissed'")
	case "accepted":
		l.look("state = 'accepted'")
	default:
		l.where(f.State, "state = ?")
	}
	l.where(f.Outcome, "outcome = ?")
	l.where(f.Reason, "strpos(lower(reason), lower(?)) > 0")
	l.where(f.Queue, "queue = ?")
	l.where(f.Producer, "producer = ?")
	l.ofIssuers(f)
	if f.Series != "" {
		condition, values := asksFor(f.Series, f.DefaultSeries)
		l.wheres, l.whereValues = append(l.wheres, condition), append(l.whereValues, values...)
	}
	return l
}

// Invoices returns a page of the invoices that match the filter, as [Reports.Jobs] does.
func (s *Reports) Invoices(ctx context.Context, f report.Filter, after string, limit int) (report.Page[report.Invoice], error) {
	read := func() (report.Page[report.Invoice], error) {
		if f.Oldest {
			return oldest(ctx, s, listingOfInvoices(f), f, after, limit, func(i *report.Invoice) int64 { return i.ID })
		}
		return byID(ctx, s, listingOfInvoices(f), f, after, limit, func(i report.Invoice) (time.Time, int64) { return i.CreatedAt, i.ID })
	}
	page, err := read()
	for i := range page.Rows {
		addStated(&page.Rows[i])
	}
	return page, err
}

func listingOfInvoices(f report.Filter) listing {
	l := listing{
		table: "invoices", at: "created_at",
		columns: invoicedColumns("listed"),
	}
	l.where(f.Series, "series = ?")
	l.ofIssuers(f)
	return l
}

// Duplicates returns a page of the recorded duplicates that match the filter, as [Reports.Jobs] does.
func (s *Reports) Duplicates(ctx context.Context, f report.Filter, after string, limit int) (report.Page[report.ListedDuplicate], error) {
	if f.Oldest {
		return oldest(ctx, s, listingOfDuplicates(f), f, after, limit, func(d *report.ListedDuplicate) int64 { return d.ID })
	}
	return byID(ctx, s, listingOfDuplicates(f), f, after, limit, func(d report.ListedDuplicate) (time.Time, int64) { return d.AttemptedAt, d.ID })
}

func listingOfDuplicates(f report.Filter) listing {
	l := listing{
		table: "duplicate_attempts", at: "attempted_at",
		columns: "listed.*, coalesce((SELECT invoice_number FROM invoicer.invoices WHERE invoices.id = listed.invoice_id), " +
			"(SELECT invoice_number FROM invoicer.imported_invoices WHERE imported_invoices.id = listed.imported_id)) AS invoice_number, " +
			"coalesce((SELECT job_id FROM invoicer.invoices WHERE invoices.id = listed.invoice_id), '') AS winner_job_id",
	}
	l.where(f.Reason, "strpos(lower(reason), lower(?)) > 0")
	l.where(f.Producer, "producer = ?")
	l.ofIssuers(f)
	return l
}

// A listing is how one kind of record is listed.
type listing struct {
	table, columns string
	at             string // the column of its time
	byTime         bool   // it is ordered by the time, and else by the id

	looks, wheres           []string // conditions of the records that are looked at, and of those that match
	lookValues, whereValues []any
}

func (l *listing) look(condition string, values ...any) {
	l.looks, l.lookValues = append(slices.Clip(l.looks), condition), append(slices.Clip(l.lookValues), values...)
}

func (l *listing) where(value, condition string) {
	if value != "" {
		l.wheres, l.whereValues = append(slices.Clip(l.wheres), condition), append(slices.Clip(l.whereValues), value)
	}
}

func (l *listing) ofIssuers(f report.Filter) {
	if f.Issuer != nil {
		l.wheres, l.whereValues = append(slices.Clip(l.wheres), "issuer = ?"), append(slices.Clip(l.whereValues), *f.Issuer)
	}
	if f.Issuers != nil {
		l.wheres, l.whereValues = append(slices.Clip(l.wheres), "issuer = ANY(?::text[])"), append(slices.Clip(l.whereValues), textsOrNull(f.Issuers))
	}
}

// begin leaves out the records up to a cursor, "" for none, and those that the filter's times leave out.
func (l *listing) begin(ctx context.Context, s *Reports, f report.Filter, after string) error {
	if err := l.after(after); err != nil {
		return err
	}
	if err := s.until(ctx, l, f.Until, after == ""); err != nil {
		return err
	}
	if !f.Since.IsZero() {
		l.wheres, l.whereValues = append(slices.Clip(l.wheres), l.at+" >= ?"), append(slices.Clip(l.whereValues), f.Since)
	}
	return nil
}

// order returns the order of the records, and how many are looked at in one step.
func (l *listing) order() (by string, most int) {
	if l.byTime {
		return l.at + " DESC, id DESC", lookedAtByTime
	}
	return "id DESC", lookedAt
}

// looked returns the end of a statement that looks at the records, from FROM on, without a LIMIT.
func (l *listing) looked() string {
	by, _ := l.order()
	return " FROM invoicer." + l.table + " WHERE " + strings.Join(append(slices.Clip(l.looks), "true"), " AND ") + " ORDER BY " + by
}

// matching returns the end of a statement about those of the records of one step that match, from FROM on, with its values.
func (l *listing) matching() (from string, values []any) {
	_, most := l.order()
	from = " FROM (SELECT *" + l.looked() + " LIMIT ?) listed WHERE " + strings.Join(append(slices.Clip(l.wheres), "true"), " AND ")
	return from, append(append(append([]any{}, l.lookValues...), most), l.whereValues...)
}

// beyond returns the cursor after the records of one step, "" if no more can match.
func (l *listing) beyond(ctx context.Context, s *Reports, f report.Filter) (string, error) {
	var rest []struct {
		At time.Time
		ID int64
	}
	_, most := l.order()
	last := "SELECT " + l.at + " AS at, id" + l.looked() + " OFFSET ? LIMIT 1"
	if err := s.db.WithContext(ctx).Raw(last, append(slices.Clip(l.lookValues), most-1)...).Scan(&rest).Error; err != nil {
		return "", classify(err)
	}
	// Records older than Since don't match, nor do those after them.
	if len(rest) > 0 && (f.Since.IsZero() || rest[0].At.After(f.Since.Add(-late))) {
		return cursor(rest[0].At, rest[0].ID), nil
	}
	return "", nil
}

// listed looks at the next records, and returns those that match.
func listed[T any](ctx context.Context, s *Reports, l listing, f report.Filter, after string, limit int, place func(T) (time.Time, int64)) (report.Page[T], error) {
	page := report.Page[T]{Rows: []T{}}
	if err := l.begin(ctx, s, f, after); err != nil {
		return page, err
	}
	order, _ := l.order()
	from, values := l.matching()
	query := "SELECT " + l.columns + from + " ORDER BY " + order + " LIMIT ?"
	if err := s.db.WithContext(ctx).Raw(query, append(values, limit)...).Scan(&page.Rows).Error; err != nil {
		return page, classify(err)
	}
	if len(page.Rows) == limit {
		page.Next = cursor(place(page.Rows[limit-1]))
		return page, nil
	}
	var err error
	page.Next, err = l.beyond(ctx, s, f)
	return page, err
}

// byID is listed for a list in the order of ids, or patient if the filter says so.
func byID[T any](ctx context.Context, s *Reports, l listing, f report.Filter, after string, limit int, place func(T) (time.Time, int64)) (report.Page[T], error) {
	if f.Patient {
		return patient(ctx, s, l, f, after, limit, place)
	}
	return listed(ctx, s, l, f, after, limit, place)
}

// until leaves out the records after a time. Where the order is that of ids, it finds the first of them by halving: it is about as
// far as their times are in order.
func (s *Reports) until(ctx context.Context, l *listing, until time.Time, first bool) error {
	switch {
	case until.IsZero():
		return nil
	case l.byTime:
		l.look(l.at+" <= ?", until)
		return nil
	}
	l.wheres, l.whereValues = append(l.wheres, l.at+" <= ?"), append(l.whereValues, until)
	if !first {
		return nil
	}
	last, err := s.lastUntil(ctx, l, until.Add(late))
	if err == nil {
		l.look("id <= ?", last)
	}
	return err
}

// lastUntil returns the greatest id of a record until a time, about as far as the times are in the order of the ids.
func (s *Reports) lastUntil(ctx context.Context, l *listing, until time.Time) (int64, error) {
	var low, high int64 // low is early enough, high may be too late
	bounds := "SELECT coalesce((SELECT min(id) FROM invoicer." + l.table + "), 0), coalesce((SELECT max(id) FROM invoicer." + l.table + "), 0)"
	if err := s.db.WithContext(ctx).Raw(bounds).Row().Scan(&low, &high); err != nil {
		return 0, classify(err)
	}
	for low < high {
		middle := low + (high-low+1)/2
		var early bool
		probe := "SELECT " + l.at + " <= ? FROM invoicer." + l.table + " WHERE id <= ? ORDER BY id DESC LIMIT 1"
		if err := s.db.WithContext(ctx).Raw(probe, until, middle).Row().Scan(&early); err != nil {
			return 0, classify(err)
		}
		if early {
			low = middle
		} else {
			high = middle - 1
		}
	}
	return low, nil
}

// cursor returns a record's place as text.
func cursor(at time.Time, id int64) string {
	return strconv.FormatInt(at.UnixMicro(), 36) + "." + strconv.FormatInt(id, 36)
}

// parseCursor reads what [cursor] returns.
func parseCursor(text string) (at time.Time, id int64, err error) {
	first, second, _ := strings.Cut(text, ".")
	micros, err := strconv.ParseInt(first, 36, 64)
	id, err2 := strconv.ParseInt(second, 36, 64)
	if err != nil || err2 != nil {
		return at, 0, fmt.Errorf("%q %w", text, report.ErrCursor)
	}
	return time.UnixMicro(micros), id, nil
}

// after leaves out the records up to a cursor.
func (l *listing) after(after string) error {
	if after == "" {
		return nil
	}
	at, id, err := parseCursor(after)
	if err != nil {
		return err
	}
	if l.byTime {
		l.look(l.at+" <= ? AND ("+l.at+", id) < (?, ?)", at, at, id)
	} else {
		l.look("id < ?", id)
	}
	return nil
}
