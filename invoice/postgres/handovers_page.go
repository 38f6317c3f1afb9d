package postgres

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"invoicer/internal/report"
	"invoicer/invoice/handover"
)

// A handoverPlace is where a hand-over comes in the pages of all of them: invoices are in the order of their ids, and what one is owed in the order
// of its own.
type handoverPlace struct{ invoice, id int64 }

func placeOf(h *handover.Handover) handoverPlace { return handoverPlace{h.InvoiceID, h.ID} }

func (p handoverPlace) String() string {
	return strconv.FormatInt(p.invoice, 36) + "." + strconv.FormatInt(p.id, 36)
}

// fromOldest returns the cursor of a list whose oldest come first. It is none of the other order, as it has no point in it.
func (p handoverPlace) fromOldest() string {
	return ofOldest + strings.Replace(p.String(), ".", "_", 1)
}

// parseHandoverPlace reads what String returns, with that separator.
func parseHandoverPlace(text, separator string) (p handoverPlace, err error) {
	first, second, _ := strings.Cut(text, separator)
	var err2 error
	p.invoice, err = strconv.ParseInt(first, 36, 64)
	p.id, err2 = strconv.ParseInt(second, 36, 64)
	if err != nil || err2 != nil || p.invoice < 0 || p.id < 0 {
		return p, fmt.Errorf("%q %w", text, report.ErrCursor)
	}
	return p, nil
}

// Page returns a page of the hand-overs that match the filter, beginning after the cursor, "" for the first page: those of the newest invoices first.
// Those of invoices that others were writing when a page was read, and that would have been on it, come first on a later page.
//
// With f.Oldest, those of the oldest invoices come first, and none of an invoice before which another one may still be committed, so that whoever
// goes on after each cursor, which is always given, gets each hand-over once. The error is [report.ErrCursor] for a cursor that no page of this
// order has given.
func (s *Handovers) Page(ctx context.Context, f handover.Filter, after string) (report.Page[handover.Handover], error) {
	page := report.Page[handover.Handover]{Rows: []handover.Handover{}}
	read := s.newest
	if f.Oldest {
		read = s.oldest
	}
	rows, next, err := read(ctx, &f, after)
	if err != nil {
		return page, err
	}
	page.Rows, page.Next = append(page.Rows, rows...), next
	return page, nil
}

// oldest returns the hand-overs of the oldest invoices after a cursor. What an invoice is owed is written in its transaction, and never later, so that
// where no invoice appears any more, no hand-over does.
func (s *Handovers) oldest(ctx context.Context, f *handover.Filter, after string) (rows []handover.Handover, next string, err error) {
	var from handoverPlace
	if after != "" {
		text, ok := strings.CutPrefix(after, ofOldest)
		if from, err = parseHandoverPlace(text, "_"); err != nil || !ok {
			return nil, "", fmt.Errorf("%q %w", after, report.ErrCursor)
		}
	}
	horizon, err := s.horizon(ctx, "invoices")
	if err != nil {
		return nil, "", err
	}
	if horizon < from.invoice {
		return nil, from.fromOldest(), nil
	}
	rows, last, err := s.step(ctx, f, from, horizon, f.Limit)
	if last == nil {
		last = &handoverPlace{horizon + 1, 0}
	}
	return rows, last.fromOldest(), err
}

// newest returns the hand-overs of the newest invoices after a cursor, as [patient] does for other lists: the cursor also names the invoices that others
// were writing. Where a page ends between the hand-overs of such an invoice, it begins with that place.
func (s *Handovers) newest(ctx context.Context, f *handover.Filter, after string) (rows []handover.Handover, next string, err error) {
	left, base, open, err := parseNewest(after)
	if err != nil {
		return nil, "", err
	}
	horizon, err := s.horizon(ctx, "invoices")
	if isCode(err, readOnly) {
		horizon, err = math.MaxInt64, nil // on a standby nobody writes whom it could ask
	}
	if err != nil {
		return nil, "", err
	}
	if len(open) > 0 || left != nil {
		if rows, err = s.appeared(ctx, f, left, open); err != nil {
			return nil, "", err
		}
		if len(rows) == f.Limit {
			last := placeOf(&rows[f.Limit-1])
			return rows, last.String() + handoverRest + lateCursor(base, within(open, 0, last.invoice-1)), nil
		}
		open = within(open, horizon+1, math.MaxInt64)
		for i := range rows {
			open = without(open, rows[i].InvoiceID)
		}
	}
	if base == listEnd {
		return rows, "", nil
	}
	from, most := handoverPlace{math.MaxInt64, 0}, ""
	if base != "" {
		if from, err = parseHandoverPlace(base, "."); err != nil {
			return nil, "", err
		}
		most = cursor(time.UnixMicro(0), from.invoice)
	}
	drawn, upper, err := s.drawn(ctx, &listing{table: "invoices"}, most, horizon)
	if err != nil {
		return nil, "", err
	}
	bound := upper
	if base != "" {
		bound = from.invoice // of which some may be left
	}
	more, last, err := s.step(ctx, f, from, bound, f.Limit-len(rows))
	if err != nil {
		return nil, "", err
	}
	lower := int64(0)
	if base = listEnd; last != nil {
		base, lower = last.String(), last.invoice
	}
	for i := range more { // some have appeared in between
		drawn = without(drawn, more[i].InvoiceID)
	}
	open = append(open, within(drawn, lower, upper)...)
	slices.SortFunc(open, func(a, b span) int { return cmp.Compare(b.last, a.last) })
	return append(rows, more...), lateCursor(base, open[:min(len(open), mostSpans)]), nil
}

// handoverRest comes in a cursor behind the place of which some hand-overs of an invoice are left that has appeared late.
const handoverRest = "~"

// parseNewest reads a cursor of [Handovers.newest]: the place in an invoice that has appeared late, nil for none, and what [parseLate] returns.
func parseNewest(after string) (left *handoverPlace, base string, open []span, err error) {
	before, rest, some := strings.Cut(after, handoverRest)
	if !some {
		base, open, err = parseLate(after)
		return nil, base, open, err
	}
	place, err := parseHandoverPlace(before, ".")
	if rest == "" { // the list has ended but for that
		return &place, listEnd, nil, err
	}
	if err == nil {
		base, open, err = parseLate(rest)
	}
	return &place, base, open, err
}

// appeared returns the hand-overs that match of the invoices of some spans, the newest first, and those that are left of an invoice at a place, nil for
// none.
func (s *Handovers) appeared(ctx context.Context, f *handover.Filter, left *handoverPlace, open []span) ([]handover.Handover, error) {
	looked, either := bindings{}, bindings{}
	if left != nil {
		either.where("h.invoice_id = $%d AND h.id < $%d", left.invoice, left.id)
	}
	for _, one := range open {
		either.where("h.invoice_id BETWEEN $%d AND $%d", one.first, one.last)
	}
	looked.wheres, looked.args = []string{"(" + strings.Join(either.wheres, " OR ") + ")"}, either.args
	rows, _, err := s.look(ctx, f, &looked, "h.invoice_id DESC, h.id DESC", f.Limit)
	return rows, err
}

// step looks at the next hand-overs after a place, of invoices up to one, and returns those that match: limit at most. It returns the last place that it
// looked at, nil if nothing is behind it.
func (s *Handovers) step(ctx context.Context, f *handover.Filter, from handoverPlace, upTo int64, limit int) (rows []handover.Handover, last *handoverPlace, err error) {
	order, than := "h.invoice_id DESC, h.id DESC", "<"
	if f.Oldest {
		order, than = "h.invoice_id, h.id", ">"
	}
	looked := bindings{}
	looked.where("(h.invoice_id, h.id) "+than+" ($%d, $%d)", from.invoice, from.id)
	looked.where("h.invoice_id "+than+"= $%d", from.invoice) // which an index knows
	looked.where("h.invoice_id <= $%d", upTo)
	rows, inner, err := s.look(ctx, f, &looked, order, limit)
	if err != nil {
		return nil, nil, err
	}
	if len(rows) == limit {
		place := placeOf(&rows[limit-1])
		return rows, &place, nil
	}
	last = &handoverPlace{}
	err = s.sql.QueryRowContext(ctx, "SELECT h.invoice_id, h.id"+inner+"ORDER BY "+order+" OFFSET "+strconv.Itoa(lookedAt-1), looked.args...).Scan(&last.invoice, &last.id)
	if errors.Is(err, sql.ErrNoRows) {
		return rows, nil, nil
	}
	return rows, last, classify(err)
}

// look returns those of the hand-overs under some conditions that match, and the part of its statement by which these are looked at.
func (s *Handovers) look(ctx context.Context, f *handover.Filter, looked *bindings, order string, limit int) (rows []handover.Handover, inner string, err error) {
	handoverLooks(f, looked)
	wheres := handoverWheres(f, len(looked.args))
	inner = " FROM (SELECT * FROM invoicer.handovers h WHERE " + looked.String() + " ORDER BY " + order + " LIMIT " + strconv.Itoa(lookedAt) + ") h "
	rows, err = s.listed(ctx, "SELECT "+handoverColumns+inner+handoverJoins+" WHERE "+wheres.String()+" ORDER BY "+order+" LIMIT "+strconv.Itoa(limit), append(slices.Clip(looked.args), wheres.args...)...)
	return rows, inner, err
}

// handoverLooks adds those conditions of a filter that an index finds few hand-overs for.
func handoverLooks(f *handover.Filter, looked *bindings) {
	switch f.State { //nolint:exhaustive // of the others there are many
	case handover.Queued, handover.Rejected, handover.Failed:
		looked.where("h.state = '" + string(f.State) + "'") // written out, as in listingOfJobs
	}
	if f.TheirID != "" {
		looked.where("h.their_id = $%d", f.TheirID)
	}
	if f.Number != "" {
		looked.where("h.invoice_id IN (SELECT id FROM invoicer.invoices WHERE invoice_number = $%d)", f.Number)
	}
}

// handoverWheres returns the other conditions of a filter, with values that come after so many.
func handoverWheres(f *handover.Filter, after int) bindings {
	b := bindings{values: after}
	if f.State != "" {
		b.where("h.state = $%d", string(f.State))
	}
	if f.Channel != "" {
		b.where("h.channel = $%d", f.Channel)
	}
	if f.Issuers != nil {
		b.where("i.issuer = ANY ($%d::text[])", textArray(f.Issuers))
	}
	if f.TheirID != "" {
		b.where("h.their_id = $%d", f.TheirID)
	}
	if f.ID != 0 {
		b.where("h.id = $%d", f.ID)
	}
	if !f.Since.IsZero() {
		b.where("h.changed_at >= $%d", f.Since)
	}
	return b
}

// bindings are conditions with the values that they compare with.
type bindings struct {
	values int // of others, before them
	wheres []string
	args   []any
}

// where adds a condition, in which %d stands for the number of a value.
func (b *bindings) where(condition string, values ...any) {
	places := make([]any, len(values))
	for i := range values {
		places[i] = b.values + len(b.args) + i + 1
	}
	b.wheres, b.args = append(b.wheres, fmt.Sprintf(condition, places...)), append(b.args, values...)
}

func (b *bindings) String() string { return strings.Join(append(b.wheres, "true"), " AND ") }
