package audit

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"invoicer/invoice"
	"invoicer/invoice/postgres"
)

const (
	// byNumber is the order of invoices. Sorting by bytes is fast, and doesn't depend on the version of a collation. An invoice without
	// a number is the last.
	byNumber = `ORDER BY coalesce(issuer, '') COLLATE "C", coalesce(series, '') COLLATE "C", coalesce(period, '') COLLATE "C", number, id`

	lineColumns = `invoice_id, position, sku, description, coalesce(quantity::text, ''), coalesce(unit_price::text, ''),
    coalesce(discount_percent::text, ''), tax_percent::text, net_minor, terms::text, texts::text`
	taxColumns = "invoice_id, coalesce(tax_percent::text, ''), net_minor, tax_minor, coalesce(code, ''), coalesce(category, ''), coalesce(added_minor, 0)"
)

// where is the condition of an invoice's being in the piece.
func (p *piece) where() string {
	return fmt.Sprintf(" WHERE %s AND %s BETWEEN %s AND %s ", p.invoices.where("invoices"), placed, p.first.sql(), p.last.sql())
}

// ids is the condition of a row's being of an invoice in the piece, or of another one.
func (p *piece) ids() string { return fmt.Sprintf("invoice_id BETWEEN %d AND %d", p.firstID, p.lastID) }

// belongs is the condition of a row's being of an invoice in the piece. Where these have all ids from the first to the last, none is of another one.
func (p *piece) belongs() string {
	if p.lastID-p.firstID+1 == p.invoiceRows {
		return p.ids()
	}
	return p.ids() + " AND invoice_id IN (SELECT id FROM invoices" + p.where() + ")"
}

func (p *piece) selectLines() string {
	return "SELECT " + lineColumns + " FROM invoice_lines WHERE " + p.lines.where("invoice_lines") + " AND " + p.belongs() + " ORDER BY invoice_id, position"
}

func (p *piece) selectTaxes() string {
	return "SELECT " + taxColumns + " FROM invoice_taxes t WHERE " + p.taxes.where("t") + " AND " + p.belongs() + " ORDER BY invoice_id, " + postgres.InOrderOfTaxes
}

func (p *piece) selectInvoices() string {
	query := `SELECT id, invoice_number, coalesce(kind, ''), coalesce(fingerprint, ''),
    coalesce(transaction_id, ''), coalesce(requested_series, ''), coalesce(currency, ''),
    issued_at, subtotal_minor, tax_minor, total_minor, payable_minor, coalesce(terms::text, ''), coalesce(parties::text, ''),
    coalesce(issuer, ''), coalesce(series, ''), coalesce(period, ''), number, coalesce(series_version, 0), coalesce(content_hash, 0),
    coalesce(job_id, ''), coalesce(metadata::text, ''), coalesce(worker_version, ''), coalesce(settings_version, 0), coalesce(issuer_version, 0), coalesce(document_date::text, ''), created_at, accepted_at,
    coalesce(idempotency_key, ''), coalesce(producer, ''), coalesce(invoices.chain, late.chain, ''),
    CASE WHEN invoices.chain IS NULL THEN late.salt ELSE invoices.salt END,
    CASE WHEN invoices.chain IS NULL THEN late.text_hash ELSE invoices.text_hash END, erasure_id IS NOT NULL`
	for _, name := range invoice.DetailNames() {
		query += ", coalesce(" + name + ", '')"
	}
	return query + " FROM invoices LEFT JOIN (SELECT * FROM invoice_links WHERE " + p.ids() + ") AS late ON late.invoice_id = invoices.id" + p.where() + byNumber
}

func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

func scanInvoice(rows pgx.Rows, i *storedInvoice) error {
	*i = storedInvoice{}
	var created, accepted pgtype.Timestamptz
	to := []any{
		&i.id, &i.number, &i.kind, &i.fingerprint, &i.job.TransactionID, &i.job.Series, &i.job.Currency,
		&i.issuedAt, &i.subtotal, &i.tax, &i.total, &i.payable, &i.terms, &i.parties,
		&i.issuer, &i.series, &i.period, &i.sequence, &i.seriesVersion, &i.contentHash,
		&i.jobID, &i.metadata, &i.workerVersion, &i.settingsVersion, &i.issuerVersion, &i.documentDate, &created, &accepted,
		&i.job.IdempotencyKey, &i.job.Producer, &i.link.chain, &i.link.salt, &i.link.texts, &i.erased,
	}
	for n := range invoice.DetailNames() {
		to = append(to, i.job.Detail(n))
	}
	err := rows.Scan(to...)
	i.job.IssuedAt = i.issuedAt.Time // an infinite time is the zero time here, which gives another fingerprint
	i.job.Version = invoice.TaskVersion
	i.createdAt, i.acceptedAt = postgres.HashedTime(created), postgres.HashedTime(accepted)
	return err
}

func scanLine(rows pgx.Rows, l *storedLine) error {
	return rows.Scan(&l.invoiceID, &l.position, &l.text.SKU, &l.text.Description, &l.text.Quantity, &l.text.UnitPrice,
		&l.text.DiscountPercent, &l.text.TaxPercent, &l.net, &l.text.Terms, &l.text.Texts)
}

func scanTax(rows pgx.Rows, t *storedTax) error {
	return rows.Scan(&t.invoiceID, &t.percent, &t.net, &t.tax, &t.code, &t.category, &t.added)
}

// examine checks one invoice. If the amounts can't be computed, because a line is missing or unreadable, that is one finding and not
// three. What was checked when it was sealed isn't computed again: its record, which is returned, tells whether anything has
// changed. The record is nil if what is stored can't be read.
func (r *reading) examine(row *storedInvoice, sealed bool) *invoice.Record {
	if !r.readLines(row) {
		return nil
	}
	if !sealed {
		r.compute(row)
	}
	return r.record(row)
}

// compute computes the fingerprint and the amounts again.
func (r *reading) compute(row *storedInvoice) {
	if !row.erased { // whatever the fingerprint was made of is gone
		r.compareFingerprint(row)
	}

	totals, err := row.job.Calculate()
	var invalid *invoice.InvalidError
	if errors.As(err, &invalid) {
		var problems []string
		for _, p := range invalid.Problems {
			problems = append(problems, p.Field+" "+p.Message)
		}
		r.sums.Examined++
		r.sums.add("invoices", "it can't be added up: "+strings.Join(problems, "; "), row.identity())
		return
	}
	r.compareNets(row, totals.LineNets)
	r.compareSums(row, &totals)
	r.compareTaxes(row, totals.Taxes)
}

func (r *reading) compareFingerprint(row *storedInvoice) {
	r.fingerprints.Examined++
	if computed := row.job.Fingerprint(); computed != row.fingerprint {
		r.fingerprints.add("invoices", "the content is not what was invoiced",
			append(row.identity(), Field{"fingerprint", row.fingerprint}, Field{"computed", computed}))
	}
}

// identity returns the columns that identify an invoice in findings.
func (i *storedInvoice) identity() Row {
	return append(Row{{"id", plain(i.id)}}, append(issued(i.issuer), Row{{"invoice_number", plain(i.number)}, {"transaction_id", i.job.TransactionID}}...)...)
}

// issued returns the field of an issuer, none for the one without a name.
func issued(issuer string) Row {
	if issuer == "" {
		return nil
	}
	return Row{{"issuer", issuer}}
}

// readLines sets the job's lines from the gathered rows, and reports whether all could be read.
func (r *reading) readLines(row *storedInvoice) bool {
	row.job.Lines = r.jobLines[:0]
	readable := len(r.lineRows) > 0
	var err error
	if row.job.Terms, err = invoice.ReadTerms(row.terms, row.parties); err != nil {
		r.positions.add("invoices", "its terms can't be read: "+err.Error(), row.identity())
		row.job.Lines = row.job.Lines[:0]
		return false
	}
	if !readable {
		r.positions.add("invoices", "it has no lines", row.identity())
	}
	before := int64(0)
	for i := range r.lineRows {
		l := &r.lineRows[i]
		r.positions.Examined++
		switch position := positionOf(l.position); {
		case position == before:
			r.positions.add("invoice_lines", "this position is there twice", l.identity(row))
		case position != before+1:
			r.positions.add("invoice_lines", fmt.Sprintf("the line before it is not there: position %d is expected", before+1), l.identity(row))
		}
		before = positionOf(l.position)

		line, err := l.text.Line()
		if err != nil {
			readable = false
			r.positions.add("invoice_lines", "it can't be read: "+err.Error(), l.identity(row))
		}
		row.job.Lines = append(row.job.Lines, line)
	}
	r.jobLines = row.job.Lines
	return readable
}

func (l *storedLine) identity(row *storedInvoice) Row {
	return append(Row{{"invoice_id", plain(l.invoiceID)}}, append(issued(row.issuer), Row{{"invoice_number", plain(row.number)}, {"position", plain(l.position)}}...)...)
}

func (r *reading) compareNets(row *storedInvoice, nets []int64) {
	for i := range r.lineRows {
		if l := &r.lineRows[i]; !equal(l.net, nets[i]) {
			r.positions.add("invoice_lines", "net_minor is not what quantity, price and discount come to",
				append(l.identity(row), Field{"net_minor", plain(l.net)}, Field{"computed", nets[i]}))
		}
	}
}

func (r *reading) compareSums(row *storedInvoice, totals *invoice.Totals) {
	r.sums.Examined++
	for _, amount := range []struct {
		column   string
		stored   *int64
		computed int64
	}{
		{"subtotal_minor", row.subtotal, totals.Subtotal},
		{"tax_minor", row.tax, totals.Tax},
		{"total_minor", row.total, totals.Total},
		{"payable_minor", row.payableOrTotal(), totals.Payable},
	} {
		if amount.column == "payable_minor" && row.payable == nil && totals.Payable == totals.Total {
			continue // a finding about the total says it all
		}
		if !equal(amount.stored, amount.computed) {
			r.sums.add("invoices", amount.column+" is not what the lines add up to",
				append(row.identity(), Field{amount.column, plain(amount.stored)}, Field{"computed", amount.computed}))
		}
	}
	if row.kind != string(totals.Kind) {
		r.sums.add("invoices", "kind is neither what the job states, nor what the total makes it",
			append(row.identity(), Field{"kind", row.kind}, Field{"computed", string(totals.Kind)}))
	}
}

// payableOrTotal returns what is left to pay, as it is stored: NULL stands for the total.
func (i *storedInvoice) payableOrTotal() *int64 {
	if i.payable == nil {
		return i.total
	}
	return i.payable
}

// compareTaxes compares the stored rows with the computed ones, both in the order of their percentages, codes and categories.
func (r *reading) compareTaxes(row *storedInvoice, computed []invoice.Tax) {
	for i := range r.taxRows {
		t := &r.taxRows[i]
		r.sums.Examined++
		percent, err := invoice.ParseDecimal(t.percent)
		own := invoice.Tax{Code: t.code, Category: t.category, Percent: percent}
		for err == nil && len(computed) > 0 && computed[0].CompareRate(&own) < 0 {
			r.missingTax(row, computed[0])
			computed = computed[1:]
		}
		identity := func() Row { return t.identity(row) }
		if err != nil || len(computed) == 0 || computed[0].CompareRate(&own) != 0 {
			r.sums.add("invoice_taxes", "nothing states this percentage, or there is another row for it", identity())
			continue
		}
		want := computed[0]
		computed = computed[1:]
		if !equal(t.net, want.Net) {
			r.sums.add("invoice_taxes", "net_minor is not what the lines at this percentage add up to",
				slices.Concat(identity(), Row{{"net_minor", plain(t.net)}, {"computed", want.Net}}))
		}
		if !equal(t.tax, want.Tax) {
			r.sums.add("invoice_taxes", "tax_minor is not this percentage of its lines",
				slices.Concat(identity(), Row{{"tax_minor", plain(t.tax)}, {"computed", want.Tax}}))
		}
		if t.added != want.Added {
			r.sums.add("invoice_taxes", "added_minor is not what the taxes before it add up to",
				slices.Concat(identity(), Row{{"added_minor", t.added}, {"computed", want.Added}}))
		}
	}
	for _, t := range computed {
		r.missingTax(row, t)
	}
}

func (r *reading) missingTax(row *storedInvoice, t invoice.Tax) {
	r.sums.add("invoice_taxes", "the row for this percentage is not there",
		append(row.identity(), append(rate(t.Percent.String(), t.Code, t.Category), Field{"computed", t.Tax})...))
}

func (t *storedTax) identity(row *storedInvoice) Row {
	return append(row.identity(), rate(t.percent, t.code, t.category)...)
}

// rate returns the columns by which a tax row is found, without those that most have none of.
func rate(percent, code, category string) Row {
	row := Row{{"tax_percent", percent}}
	if code != "" {
		row = append(row, Field{"code", code})
	}
	if category != "" {
		row = append(row, Field{"category", category})
	}
	return row
}

// equal reports whether the stored value is present and equals the computed one.
func equal(stored *int64, computed int64) bool { return stored != nil && *stored == computed }
