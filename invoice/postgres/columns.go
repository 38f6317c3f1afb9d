package postgres

import (
	"strings"

	"invoicer/invoice"
)

// A column describes a table's column and its value for each row that a group writes. The statement's lists of names,
// types and arrays all follow from it.
type column[R any] struct {
	name, kind string
	add        func(*array, R)
}

// memberColumn is the column by which lines, taxes and ends refer to their invoice: its position in the group, from
// 1. The statement replaces it with the invoice's id.
const memberColumn = "member"

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

func invoiceColumns(version string) []column[*write] {
	text := func(name string, of func(*write) string) column[*write] {
		return column[*write]{name, "text", func(a *array, w *write) { a.text(of(w)) }}
	}
	minor := func(name string, of func(*invoice.Totals) int64) column[*write] {
		return column[*write]{name, "bigint", func(a *array, w *write) { a.integer(of(&w.draft.Totals)) }}
	}
	columns := []column[*write]{
		text("issuer", func(w *write) string { return w.draft.Slot.Issuer }),
		text("series", func(w *write) string { return w.draft.Slot.Series }),
		text("period", func(w *write) string { return w.draft.Slot.Period }),
		{"number", "bigint", func(a *array, w *write) { a.integer(w.number) }},
		{"series_version", "integer", func(a *array, w *write) { a.integer(int64(w.draft.Slot.Version)) }},
		{"settings_version", "integer", func(a *array, w *write) { a.integer(int64(w.draft.Settings.Version)) }},
		{"issuer_version", "integer", func(a *array, w *write) { a.integerUnless(int64(w.issuerVersion), 0) }},
		{"document_date", "date", func(a *array, w *write) { a.optional(w.date) }},
		text("invoice_number", func(w *write) string { return w.made.Number }),
		text("kind", func(w *write) string { return string(w.draft.Slot.Kind) }),
		text("transaction_id", func(w *write) string { return w.draft.Job.TransactionID }),
		text("idempotency_key", func(w *write) string { return w.draft.Job.IdempotencyKey }),
		text("job_id", func(w *write) string { return w.draft.JobID }),
		text("fingerprint", func(w *write) string { return w.draft.Fingerprint }),
		{"requested_series", "text", func(a *array, w *write) { a.optional(w.draft.Job.Series) }},
		text("currency", func(w *write) string { return w.draft.Job.Currency }),
		minor("subtotal_minor", func(t *invoice.Totals) int64 { return t.Subtotal }),
		minor("tax_minor", func(t *invoice.Totals) int64 { return t.Tax }),
		minor("total_minor", func(t *invoice.Totals) int64 { return t.Total }),
		{"payable_minor", "bigint", func(a *array, w *write) { a.integerUnless(w.draft.Totals.Payable, w.draft.Totals.Total) }},
		{"terms", "jsonb", func(a *array, w *write) { a.optional(w.terms) }},
		{"parties", "jsonb", func(a *array, w *write) { a.optional(w.parties) }},
		{"metadata", "jsonb", func(a *array, w *write) { a.text(w.metadata) }},
		{"producer", "text", func(a *array, w *write) { a.optional(w.draft.Job.Producer) }},
		{"accepted_at", "timestamptz", func(a *array, w *write) { a.optional(w.asked) }},
		{"worker_version", "text", func(a *array, _ *write) { a.optional(version) }},
		{"content_hash", "bigint", func(a *array, w *write) { a.integerUnless(w.content, 0) }},
		text("chain", func(w *write) string { return w.chain }),
		{"salt", "bytea", func(a *array, w *write) { a.bytes(w.salt) }},
		{"text_hash", "bytea", func(a *array, w *write) { a.bytes(w.texts[:]) }},
	}
	for i, name := range invoice.DetailNames() {
		columns = append(columns, column[*write]{name, "text", func(a *array, w *write) { a.optional(*w.draft.Job.Detail(i)) }})
	}
	return columns
}

func lineColumns() []column[lineRow] {
	return []column[lineRow]{
		{memberColumn, "bigint", func(a *array, r lineRow) { a.integer(r.member) }},
		{"position", "integer", func(a *array, r lineRow) { a.integer(r.position) }},
		{"sku", "text", func(a *array, r lineRow) { a.optional(r.line.SKU) }},
		{"description", "text", func(a *array, r lineRow) { a.optional(r.line.Description) }},
		{"quantity", "numeric", func(a *array, r lineRow) { a.decimal(&r.line.Quantity) }},
		{"unit_price", "numeric", func(a *array, r lineRow) { a.decimal(&r.line.UnitPrice) }},
		{"discount_percent", "numeric", func(a *array, r lineRow) { a.decimal(&r.line.DiscountPercent) }},
		{"tax_percent", "numeric", func(a *array, r lineRow) { a.decimal(r.line.TaxPercent) }},
		{"net_minor", "bigint", func(a *array, r lineRow) { a.integer(r.net) }},
		{"terms", "jsonb", func(a *array, r lineRow) { a.optional(r.terms) }},
		{"texts", "jsonb", func(a *array, r lineRow) { a.optional(r.texts) }},
	}
}

func taxColumns() []column[taxRow] {
	return []column[taxRow]{
		{memberColumn, "bigint", func(a *array, r taxRow) { a.integer(r.member) }},
		{"tax_percent", "numeric", func(a *array, r taxRow) { a.decimal(&r.tax.Percent) }},
		{"net_minor", "bigint", func(a *array, r taxRow) { a.integer(r.tax.Net) }},
		{"tax_minor", "bigint", func(a *array, r taxRow) { a.integer(r.tax.Tax) }},
		{"code", "text", func(a *array, r taxRow) { a.text(r.tax.Code) }},
		{"category", "text", func(a *array, r taxRow) { a.text(r.tax.Category) }},
		{"added_minor", "bigint", func(a *array, r taxRow) { a.integerUnless(r.tax.Added, 0) }},
	}
}

func endColumns() []column[endRow] {
	return []column[endRow]{
		{"id", "bigint", func(a *array, r endRow) { a.integer(r.id) }},
		{memberColumn, "bigint", func(a *array, r endRow) { a.integer(r.member) }},
		{"attempts", "bigint", func(a *array, r endRow) { a.integer(r.attempts) }},
	}
}

func countColumns() []column[countRow] {
	return []column[countRow]{
		{"producer", "text", func(a *array, r countRow) { a.text(r.producer) }},
		{"ended", "bigint", func(a *array, r countRow) { a.integer(r.ended) }},
	}
}

func counterColumns() []column[lastRow] {
	return []column[lastRow]{
		{"issuer", "text", func(a *array, r lastRow) { a.text(r.key[0]) }},
		{"series", "text", func(a *array, r lastRow) { a.text(r.key[1]) }},
		{"period", "text", func(a *array, r lastRow) { a.text(r.key[2]) }},
		{"last_number", "bigint", func(a *array, r lastRow) { a.integer(r.last) }},
		{"last_date", "date", func(a *array, r lastRow) { a.optional(r.date) }},
	}
}

// A rows holds the rows for one table, as an array for each column.
type rows[R any] struct {
	columns []column[R]
	arrays  []array
}

func newRows[R any](columns []column[R]) rows[R] {
	return rows[R]{columns, make([]array, len(columns))}
}

func (t *rows[R]) add(row R) {
	for i := range t.columns {
		t.columns[i].add(&t.arrays[i], row)
	}
}

// parameters returns the rows as parameters of the statement, in the columns' order.
func (t *rows[R]) parameters() []any {
	list := make([]any, len(t.arrays))
	for i := range t.arrays {
		list[i] = t.arrays[i].literal()
	}
	return list
}

// names returns the list of columns for an INSERT.
func names[R any](columns []column[R]) string {
	return list(columns, func(c column[R]) string { return c.name })
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
