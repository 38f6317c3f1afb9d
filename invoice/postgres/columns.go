package postgres

import (
	"slices"
	"strings"

	"invoicer/invoice"
)

// A column describes a table's column and its value for each row that a group writes. The statement's lists of names,
// types and arrays all follow from it.
//
// The server's work grows with the number of elements in the arrays, except in those that hold nothing but NULL, which cost
// nothing. So NULL stands for a column's usual value.
type column[R any] struct {
	name, kind string // kind is the type of the array's elements
	add        func(*array, R)
	cast       string // the column's type, if it is neither that nor one to which the server casts it by itself
	usual      string // SQL of the value that NULL stands for; "" if NULL stands for itself
}

// memberColumn is the column by which taxes and ends refer to their invoice: its position in the group, from 1. The statement
// replaces it with the invoice's id.
const memberColumn = "member"

// placeColumn is that of lines, together with the line's position: an element for each line is saved.
const (
	placeColumn  = "place"
	positionBits = 16 // more than a job's lines need
)

// slotColumn is the column by which an invoice refers to its slot: the slot's position in the arrays of slots, from 1.
const slotColumn = "slot"

type lineRow struct {
	member, position int64
	line             *invoice.Line
	net              int64
	terms, texts     string // what version 2 states of it, as JSON; "" for nothing
}

type taxRow struct {
	member int64
	tax    *invoice.Tax
}

// An invoiceRow is a member and its slot's position among the slots, from 1.
type invoiceRow struct {
	*write

	slot int64
}

// A slotRow is what all documents have in common that are written in a slot.
type slotRow struct {
	invoice.Slot

	settings int
	date     string // of the documents, "" if their issued_at is their date
}

type endRow struct{ id, member, attempts int64 }

type lastRow struct {
	key  counterKey
	last int64
	date string // of the last document, "" if its issued_at is its date
}

type countRow struct {
	producer string // "" for jobs that name none
	ended    int64
}

func invoiceColumns() []column[invoiceRow] {
	text := func(name string, of func(invoiceRow) string) column[invoiceRow] {
		return column[invoiceRow]{name: name, kind: "text", add: func(a *array, w invoiceRow) { a.text(of(w)) }}
	}
	minor := func(name string, of func(*invoice.Totals) int64) column[invoiceRow] {
		return column[invoiceRow]{name: name, kind: "bigint", add: func(a *array, w invoiceRow) { a.integer(of(w.draft.Totals)) }}
	}
	columns := []column[invoiceRow]{
		{name: slotColumn, kind: "bigint", usual: "1", add: func(a *array, w invoiceRow) { a.integerUnless(1, w.slot) }},
		{name: "number", kind: "bigint", add: func(a *array, w invoiceRow) { a.integer(w.number) }},
		text("invoice_number", func(w invoiceRow) string { return w.made.Number }),
		text("transaction_id", func(w invoiceRow) string { return w.draft.Job.TransactionID }),
		{name: "idempotency_key", kind: "text", usual: "transaction_id", add: func(a *array, w invoiceRow) {
			a.textUnless(w.draft.Job.TransactionID, w.draft.Job.IdempotencyKey)
		}},
		text("job_id", func(w invoiceRow) string { return w.draft.JobID }),
		text("fingerprint", func(w invoiceRow) string { return w.draft.Fingerprint }),
		{name: "requested_series", kind: "text", add: func(a *array, w invoiceRow) { a.optional(w.draft.Job.Series) }},
		text("currency", func(w invoiceRow) string { return w.draft.Job.Currency }),
		minor("subtotal_minor", func(t *invoice.Totals) int64 { return t.Subtotal }),
		minor("tax_minor", func(t *invoice.Totals) int64 { return t.Tax }),
		minor("total_minor", func(t *invoice.Totals) int64 { return t.Total }),
		{name: "payable_minor", kind: "bigint", add: func(a *array, w invoiceRow) { a.integerUnless(w.draft.Totals.Total, w.draft.Totals.Payable) }},
		{name: "terms", kind: "text", cast: "jsonb", add: func(a *array, w invoiceRow) { a.optional(w.terms) }},
		{name: "parties", kind: "text", cast: "jsonb", add: func(a *array, w invoiceRow) { a.optional(w.parties) }},
		{name: "issuer_version", kind: "bigint", add: func(a *array, w invoiceRow) { a.integerUnless(0, int64(w.issuerVersion)) }},
		{name: "metadata", kind: "text", cast: "jsonb", usual: "'{}'", add: func(a *array, w invoiceRow) { a.optional(w.metadata) }},
		{name: "producer", kind: "text", add: func(a *array, w invoiceRow) { a.optional(w.draft.Job.Producer) }},
		{name: "accepted_at", kind: "text", cast: "timestamptz", add: func(a *array, w invoiceRow) { a.optional(w.asked) }},
		{name: "content_hash", kind: "bigint", add: func(a *array, w invoiceRow) { a.integerUnless(0, w.content) }},
		text("chain", func(w invoiceRow) string { return w.chain }),
	}
	for i, name := range invoice.DetailNames() {
		columns = append(columns, column[invoiceRow]{name: name, kind: "text", add: func(a *array, w invoiceRow) { a.optional(*w.draft.Job.Detail(i)) }})
	}
	return columns
}

func slotColumns() []column[slotRow] {
	return []column[slotRow]{
		{name: "issuer", kind: "text", add: func(a *array, r slotRow) { a.text(r.Issuer) }},
		{name: "series", kind: "text", add: func(a *array, r slotRow) { a.text(r.Series) }},
		{name: "period", kind: "text", add: func(a *array, r slotRow) { a.text(r.Period) }},
		{name: "kind", kind: "text", add: func(a *array, r slotRow) { a.text(string(r.Kind)) }},
		{name: "series_version", kind: "bigint", add: func(a *array, r slotRow) { a.integer(int64(r.Version)) }},
		{name: "settings_version", kind: "bigint", add: func(a *array, r slotRow) { a.integer(int64(r.settings)) }},
		{name: "document_date", kind: "text", cast: "date", add: func(a *array, r slotRow) { a.optional(r.date) }},
	}
}

func lineColumns() []column[lineRow] {
	return []column[lineRow]{
		{name: placeColumn, kind: "bigint", add: func(a *array, r lineRow) { a.integer(r.member<<positionBits | r.position) }},
		{name: "sku", kind: "text", add: func(a *array, r lineRow) { a.optional(r.line.SKU) }},
		{name: "description", kind: "text", add: func(a *array, r lineRow) { a.optional(r.line.Description) }},
		{name: "quantity", kind: "numeric", add: func(a *array, r lineRow) { a.decimal(&r.line.Quantity) }},
		{name: "unit_price", kind: "numeric", add: func(a *array, r lineRow) { a.decimal(&r.line.UnitPrice) }},
		{name: "discount_percent", kind: "numeric", usual: "0", add: func(a *array, r lineRow) { a.decimalUnless0(&r.line.DiscountPercent) }},
		{name: "tax_percent", kind: "numeric", add: func(a *array, r lineRow) { a.decimal(r.line.TaxPercent) }},
		{name: "net_minor", kind: "bigint", add: func(a *array, r lineRow) { a.integer(r.net) }},
		{name: "terms", kind: "text", cast: "jsonb", add: func(a *array, r lineRow) { a.optional(r.terms) }},
		{name: "texts", kind: "text", cast: "jsonb", add: func(a *array, r lineRow) { a.optional(r.texts) }},
	}
}

func taxColumns() []column[taxRow] {
	return []column[taxRow]{
		{name: memberColumn, kind: "bigint", add: func(a *array, r taxRow) { a.integer(r.member) }},
		{name: "tax_percent", kind: "numeric", add: func(a *array, r taxRow) { a.decimal(&r.tax.Percent) }},
		{name: "net_minor", kind: "bigint", add: func(a *array, r taxRow) { a.integer(r.tax.Net) }},
		{name: "tax_minor", kind: "bigint", add: func(a *array, r taxRow) { a.integer(r.tax.Tax) }},
		{name: "code", kind: "text", usual: "''", add: func(a *array, r taxRow) { a.optional(r.tax.Code) }},
		{name: "category", kind: "text", usual: "''", add: func(a *array, r taxRow) { a.optional(r.tax.Category) }},
		{name: "added_minor", kind: "bigint", add: func(a *array, r taxRow) { a.integerUnless(0, r.tax.Added) }},
	}
}

func endColumns() []column[endRow] {
	return []column[endRow]{
		{name: "id", kind: "bigint", add: func(a *array, r endRow) { a.integer(r.id) }},
		{name: memberColumn, kind: "bigint", add: func(a *array, r endRow) { a.integer(r.member) }},
		{name: "attempts", kind: "bigint", add: func(a *array, r endRow) { a.integer(r.attempts) }},
	}
}

func countColumns() []column[countRow] {
	return []column[countRow]{
		{name: "producer", kind: "text", add: func(a *array, r countRow) { a.text(r.producer) }},
		{name: "ended", kind: "bigint", add: func(a *array, r countRow) { a.integer(r.ended) }},
	}
}

func counterColumns() []column[lastRow] {
	return []column[lastRow]{
		{name: "issuer", kind: "text", add: func(a *array, r lastRow) { a.text(r.key[0]) }},
		{name: "series", kind: "text", add: func(a *array, r lastRow) { a.text(r.key[1]) }},
		{name: "period", kind: "text", add: func(a *array, r lastRow) { a.text(r.key[2]) }},
		{name: "last_number", kind: "bigint", add: func(a *array, r lastRow) { a.integer(r.last) }},
		{name: "last_date", kind: "text", cast: "date", add: func(a *array, r lastRow) { a.optional(r.date) }},
	}
}

// mostRoom bounds the bytes that are reserved for an array by what its first value takes.
const mostRoom = 64 << 10

// A rows holds the rows for one table, as an array for each column.
type rows[R any] struct {
	columns []column[R]
	arrays  []array
	room    int // for how many rows; they may be more
}

func newRows[R any](columns []column[R], room int) rows[R] {
	return rows[R]{columns, make([]array, len(columns)), room}
}

func (t *rows[R]) add(row R) {
	for i := range t.columns {
		a := &t.arrays[i]
		filled := !a.isNull()
		if t.columns[i].add(a, row); filled || a.isNull() {
			continue
		}
		a.elements = slices.Grow(a.elements, min(len(a.elements)*t.room, mostRoom)) // the other rows are mostly about as long
	}
}

// parameters returns the rows as parameters of the statement, in the columns' order. Where one array is shorter than another,
// unnest adds NULLs.
func (t *rows[R]) parameters() []any {
	list := make([]any, len(t.arrays))
	for i := range t.arrays {
		if list[i] = &t.arrays[i]; t.arrays[i].isNull() {
			list[i] = new(array)
		}
	}
	return list
}

// names returns the list of columns for an INSERT.
func names[R any](columns []column[R]) string {
	return list(columns, func(c column[R]) string { return c.name })
}

// values returns the list of their values.
func values[R any](columns []column[R]) string {
	return list(columns, func(c column[R]) string {
		value := c.name + castTo(c.cast)
		if c.usual == "" {
			return value
		}
		return "coalesce(" + value + ", " + c.usual + ")"
	})
}

func castTo(kind string) string {
	if kind == "" {
		return ""
	}
	return "::" + kind
}

// unnest returns SQL that turns the parameters into rows, under the given alias.
func unnest[R any](columns []column[R], alias string) string {
	return "unnest(" + list(columns, func(c column[R]) string { return "?::" + c.kind + "[]" }) + ") AS " + alias + " (" + names(columns) + ")"
}

func list[R any](columns []column[R], say func(column[R]) string) string {
	said := make([]string, len(columns))
	for i, c := range columns {
		said[i] = say(c)
	}
	return strings.Join(said, ", ")
}
