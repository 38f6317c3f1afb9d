package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"invoicer/internal/report"
	"invoicer/invoice/handover"
)

// A handoverPlace is where a hand-over comes in the pages of all of them: invoices are in the order of their ids, and what one is owed in the order
// of its own.
type handoverPlace struct{ invoice, id int64 }

func (p handoverPlace) String() string {
	return strconv.FormatInt(p.invoice, 36) + "." + strconv.FormatInt(p.id, 36)
}

// parseHandoverPlace reads a cursor of [Handovers.Page].
func parseHandoverPlace(text string, oldest bool) (p handoverPlace, err error) {
	rest, marked := strings.CutPrefix(text, ofOldest)
	first, second, _ := strings.Cut(rest, ".")
	var err2 error
	p.invoice, err = strconv.ParseInt(first, 36, 64)
	p.id, err2 = strconv.ParseInt(second, 36, 64)
	if err != nil || err2 != nil || p.invoice < 0 || p.id < 0 || marked != oldest {
		return p, fmt.Errorf("%q %w", text, report.ErrCursor)
	}
	return p, nil
}

// Page returns a page of the hand-overs that match the filter, beginning after the cursor, "" for the first page: those of the newest invoices first.
// An invoice that is committed later than newer ones may be on none.
//
// With f.Oldest, those of the oldest invoices come first, and none of an invoice before which another one may still be committed, so that whoever
// goes on after each cursor, which is always given, gets each hand-over once. The error is [report.ErrCursor] for a cursor that no page of this
// order has given.
func (s *Handovers) Page(ctx context.Context, f handover.Filter, after string) (report.Page[handover.Handover], error) {
	page := report.Page[handover.Handover]{Rows: []handover.Handover{}}
	from, horizon := handoverPlace{math.MaxInt64, 0}, int64(math.MaxInt64)
	order, than, mark := "h.invoice_id DESC, h.id DESC", "<", ""
	if f.Oldest {
		from, order, than, mark = handoverPlace{}, "h.invoice_id, h.id", ">", ofOldest
	}
	var err error
	if after != "" {
		if from, err = parseHandoverPlace(after, f.Oldest); err != nil {
			return page, err
		}
	}
	if f.Oldest {
		if horizon, err = s.horizon(ctx, "invoices"); err != nil { // what an invoice is owed is written in its transaction, and never later
			return page, err
		}
		if page.Next = mark + from.String(); horizon < from.invoice {
			return page, nil
		}
		page.Next = mark + handoverPlace{horizon + 1, 0}.String()
	}
	looked := bindings{}
	looked.where("(h.invoice_id, h.id) "+than+" ($%d, $%d)", from.invoice, from.id)
	looked.where("h.invoice_id "+than+"= $%d", from.invoice) // which an index knows
	looked.where("h.invoice_id <= $%d", horizon)
	handoverLooks(&f, &looked)
	wheres := handoverWheres(&f, len(looked.args))
	inner := " FROM (SELECT * FROM invoicer.handovers h WHERE " + looked.String() + " ORDER BY " + order + " LIMIT " + strconv.Itoa(lookedAt) + ") h "
	rows, err := s.listed(ctx, "SELECT "+handoverColumns+inner+handoverJoins+" WHERE "+wheres.String()+" ORDER BY "+order+" LIMIT "+strconv.Itoa(f.Limit), append(looked.args, wheres.args...)...)
	if err != nil {
		return page, err
	}
	page.Rows = append(page.Rows, rows...)
	if len(rows) == f.Limit {
		last := &rows[f.Limit-1]
		page.Next = mark + handoverPlace{last.InvoiceID, last.ID}.String()
		return page, nil
	}
	var last handoverPlace
	err = s.sql.QueryRowContext(ctx, "SELECT h.invoice_id, h.id"+inner+"ORDER BY "+order+" OFFSET "+strconv.Itoa(lookedAt-1), looked.args...).Scan(&last.invoice, &last.id)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return page, nil
	case err != nil:
		return page, classify(err)
	}
	page.Next = mark + last.String()
	return page, nil
}

// handoverLooks adds those conditions of a filter that an index finds few hand-overs for.
func handoverLooks(f *handover.Filter, looked *bindings) {
	switch f.State { //nolint:exhaustive // of the others there are many
	case handover.Queued, handover.Rejected, handover.Failed:
		looked.where("h.state = '" + string(f.State) + "'") // written out, as in listingOfJobs
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
