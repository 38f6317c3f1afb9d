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

// The orders in which invoices are read. Sorting by bytes is fast, and doesn't depend on the version of a collation.
//
//nolint:gochecknoglobals // constants
var (
	inOrderOfIDs = order{
		name: "by_id", invoices: "coalesce(id, " + lastID + ") AS place",
		lines: "invoice_id AS place, " + lineColumns + " FROM invoice_lines ORDER BY place, position",
		taxes: "invoice_id AS place, " + taxColumns + " FROM invoice_taxes t ORDER BY place, " + postgres.InOrderOfTaxes,
	}
	inOrderOfNumbers = order{
		name: "by_number", invoices: "row_number() OVER (" + byNumber + ") AS place",
		lines: "place, " + lineColumns + " FROM invoice_lines JOIN " + places + " ORDER BY place, position",
		taxes: "place, " + taxColumns + " FROM invoice_taxes t JOIN " + places + " ORDER BY place, " + postgres.InOrderOfTaxes,
	}
)

const (
	lastID   = "9223372036854775807"
	byNumber = `ORDER BY issuer COLLATE "C", series COLLATE "C", period COLLATE "C", number, id`
	places   = "(SELECT id, row_number() OVER (" + byNumber + ") AS place FROM invoices) AS places ON places.id = invoice_id"

	lineColumns = `invoice_id, position, sku, description, coalesce(quantity::text, ''), coalesce(unit_price::text, ''),
    coalesce(discount_percent::text, ''), tax_percent::text, net_minor, terms::text, texts::text`
	taxColumns = "invoice_id, coalesce(tax_percent::text, ''), net_minor, tax_minor, coalesce(code, ''), coalesce(category, ''), coalesce(added_minor, 0)"
)

func selectInvoices(place string) string {
	query := "SELECT " + place + `, id, invoice_number, coalesce(kind, ''), coalesce(fingerprint, ''),
    coalesce(transaction_id, ''), coalesce(requested_series, ''), coalesce(currency, ''),
    issued_at, subtotal_minor, tax_minor, total_minor, payable_minor, coalesce(terms::text, ''), coalesce(parties::text, ''),
    coalesce(issuer, ''), coalesce(series, ''), coalesce(period, ''), number, coalesce(series_version, 0), coalesce(content_hash, 0),
    coalesce(job_id, ''), coalesce(metadata::text, ''), coalesce(worker_version, ''), coalesce(settings_version, 0), coalesce(issuer_version, 0), coalesce(document_date::text, ''), created_at, accepted_at,
    coalesce(idempotency_key, ''), coalesce(producer, ''), coalesce(invoices.chain, late.chain, ''),
    CASE WHEN invoices.chain IS NULL THEN late.salt ELSE invoices.salt END,
    CASE WHEN invoices.chain IS NULL THEN late.text_hash ELSE invoices.text_hash END`
	for _, name := range invoice.DetailNames() {
		query += ", coalesce(" + name + ", '')"
	}
	return query + " FROM invoices LEFT JOIN invoice_links late ON late.invoice_id = invoices.id ORDER BY place, number"
}

func scanInvoice(row pgx.CollectableRow) (i storedInvoice, err error) {
	var created, accepted pgtype.Timestamptz
	to := []any{
		&i.place, &i.id, &i.number, &i.kind, &i.fingerprint, &i.job.TransactionID, &i.job.Series, &i.job.Currency,
		&i.issuedAt, &i.subtotal, &i.tax, &i.total, &i.payable, &i.terms, &i.parties,
		&i.issuer, &i.series, &i.period, &i.sequence, &i.seriesVersion, &i.contentHash,
		&i.jobID, &i.metadata, &i.workerVersion, &i.settingsVersion, &i.issuerVersion, &i.documentDate, &created, &accepted,
		&i.job.IdempotencyKey, &i.job.Producer, &i.link.chain, &i.link.salt, &i.link.texts,
	}
	for n := range invoice.DetailNames() {
		to = append(to, i.job.Detail(n))
	}
	err = row.Scan(to...)
	i.job.IssuedAt = i.issuedAt.Time // an infinite time is the zero time here, which gives another fingerprint
	i.job.Version = invoice.TaskVersion
	i.createdAt, i.acceptedAt = postgres.HashedTime(created), postgres.HashedTime(accepted)
	return i, err
}

func scanLine(row pgx.CollectableRow) (l storedLine, err error) {
	err = row.Scan(&l.place, &l.invoiceID, &l.position, &l.text.SKU, &l.text.Description, &l.text.Quantity, &l.text.UnitPrice,
		&l.text.DiscountPercent, &l.text.TaxPercent, &l.net, &l.text.Terms, &l.text.Texts)
	return l, err
}

func scanTax(row pgx.CollectableRow) (t storedTax, err error) {
	err = row.Scan(&t.place, &t.invoiceID, &t.percent, &t.net, &t.tax, &t.code, &t.category, &t.added)
	return t, err
}

// examine checks one invoice with the lines and taxes that were gathered for it. If the amounts can't be computed,
// because a line is missing or unreadable, that is one finding and not three.
func (r *reading) examine(row *storedInvoice) {
	readable := r.readLines(row)
	defer func() {
		var record *invoice.Record
		if readable {
			record = r.record(row)
		}
		r.chains.add(row, record)
	}()
	if !readable {
		return
	}
	r.fingerprints.Examined++
	if computed := row.job.Fingerprint(); computed != row.fingerprint {
		r.fingerprints.add("invoices", "the content is not what was invoiced",
			append(row.identity(), Field{"fingerprint", row.fingerprint}, Field{"computed", computed}))
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
	if row.job.Terms, err = invoice.ReadTerms([]byte(row.terms), []byte(row.parties)); err != nil {
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
		switch position := key(l.position); {
		case position == before:
			r.positions.add("invoice_lines", "this position is there twice", l.identity(row))
		case position != before+1:
			r.positions.add("invoice_lines", fmt.Sprintf("the line before it is not there: position %d is expected", before+1), l.identity(row))
		}
		before = key(l.position)

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
		identity := t.identity(row)
		if err != nil || len(computed) == 0 || computed[0].CompareRate(&own) != 0 {
			r.sums.add("invoice_taxes", "nothing states this percentage, or there is another row for it", identity)
			continue
		}
		want := computed[0]
		computed = computed[1:]
		if !equal(t.net, want.Net) {
			r.sums.add("invoice_taxes", "net_minor is not what the lines at this percentage add up to",
				slices.Concat(identity, Row{{"net_minor", plain(t.net)}, {"computed", want.Net}}))
		}
		if !equal(t.tax, want.Tax) {
			r.sums.add("invoice_taxes", "tax_minor is not this percentage of its lines",
				slices.Concat(identity, Row{{"tax_minor", plain(t.tax)}, {"computed", want.Tax}}))
		}
		if t.added != want.Added {
			r.sums.add("invoice_taxes", "added_minor is not what the taxes before it add up to",
				slices.Concat(identity, Row{{"added_minor", t.added}, {"computed", want.Added}}))
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
