package checker

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Rows as they are stored; what is NULL is "" or 0.
type (
	invoiceRow struct {
		ID                                                          int64
		Series, Period                                              string
		Number                                                      int64
		InvoiceNumber, Kind, TransactionID, IdempotencyKey, JobID   string
		RequestedSeries, Credits, CustomerID, CustomerName, Country string
		Currency                                                    string
		Subtotal, Tax, Total                                        int64
		IssuedAt                                                    string
		Metadata                                                    map[string]string
		Terms, Parties, Payable                                     string
	}
	lineRow struct {
		InvoiceID, Position                                         int64
		SKU, Description, Quantity, UnitPrice, Discount, TaxPercent string
		Net                                                         int64
		Terms, Texts                                                string
	}
	taxRow struct {
		InvoiceID                         int64
		TaxPercent, Code, Category, Added string
		Net, Tax                          int64
	}
	duplicateRow struct {
		JobID, TransactionID string
		InvoiceID            int64
	}
	jobRow struct {
		JobID, TransactionID, State, Outcome string
		Payload                              []byte
		InvoiceID                            int64
	}
	counterRow struct {
		Series, Period string
		LastNumber     int64
	}
)

// stored is everything, in one snapshot.
type stored struct {
	invoices   []invoiceRow
	lines      map[int64][]lineRow
	taxes      map[int64][]taxRow
	duplicates []duplicateRow
	jobs       []jobRow
	counters   []counterRow

	byTransaction, byKey map[string][]*invoiceRow
	ends                 map[string]*ends
}

// ends is everything that is on record about one job.
type ends struct {
	invoices   []*invoiceRow
	duplicates []*duplicateRow
	rows       []*jobRow
}

// What is an issuer's own is named with it: ACME-DE/536365.
const (
	selectInvoices = `SELECT id, concat_ws('/', nullif(issuer, ''), series), period, number, concat_ws('/', nullif(issuer, ''), invoice_number), kind,
concat_ws('/', nullif(issuer, ''), transaction_id), concat_ws('/', nullif(issuer, ''), idempotency_key), job_id,
coalesce(requested_series, ''), coalesce(credits_transaction_id, ''), coalesce(customer_id, ''), coalesce(customer_name, ''),
coalesce(country, ''), currency, subtotal_minor, tax_minor, total_minor, to_char(issued_at, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), metadata,
coalesce(terms::text, ''), coalesce(parties::text, ''), coalesce(payable_minor::text, '')
FROM invoices ORDER BY id`
	selectLines = `SELECT invoice_id, position, coalesce(sku, ''), coalesce(description, ''), quantity::text, unit_price::text,
discount_percent::text, coalesce(tax_percent::text, ''), net_minor, coalesce(terms::text, ''), coalesce(texts::text, '')
FROM invoice_lines ORDER BY invoice_id, position`
	selectTaxes = `SELECT invoice_id, tax_percent::text, code, category, coalesce(added_minor::text, ''), net_minor, tax_minor
FROM invoice_taxes t ORDER BY invoice_id, t.tax_percent, code COLLATE "C", category COLLATE "C"`
	selectDuplicates = `SELECT job_id, concat_ws('/', nullif(issuer, ''), transaction_id), coalesce(invoice_id, 0) FROM duplicate_attempts ORDER BY id`
	selectJobs       = `SELECT job_id, concat_ws('/', nullif(issuer, ''), transaction_id), state, coalesce(outcome, ''),
coalesce(convert_to(payload, 'UTF8'), payload_raw), coalesce(invoice_id, 0) FROM invoice_jobs ORDER BY id`
	selectCounters = `SELECT concat_ws('/', nullif(issuer, ''), series), period, last_number FROM invoice_series ORDER BY 1, 2`
)

func read(ctx context.Context, conn *pgx.Conn) (*stored, error) {
	s := &stored{
		lines: make(map[int64][]lineRow), taxes: make(map[int64][]taxRow), ends: make(map[string]*ends),
		byTransaction: make(map[string][]*invoiceRow), byKey: make(map[string][]*invoiceRow),
	}
	err := pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) (err error) {
		if s.invoices, err = collect[invoiceRow](ctx, tx, selectInvoices); err != nil {
			return err
		}
		lines, err := collect[lineRow](ctx, tx, selectLines)
		if err != nil {
			return err
		}
		for _, l := range lines {
			s.lines[l.InvoiceID] = append(s.lines[l.InvoiceID], l)
		}
		taxes, err := collect[taxRow](ctx, tx, selectTaxes)
		if err != nil {
			return err
		}
		for _, t := range taxes {
			s.taxes[t.InvoiceID] = append(s.taxes[t.InvoiceID], t)
		}
		if s.duplicates, err = collect[duplicateRow](ctx, tx, selectDuplicates); err != nil {
			return err
		}
		if s.jobs, err = collect[jobRow](ctx, tx, selectJobs); err != nil {
			return err
		}
		s.counters, err = collect[counterRow](ctx, tx, selectCounters)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.index()
	return s, nil
}

func collect[T any](ctx context.Context, tx pgx.Tx, query string) ([]T, error) {
	rows, err := tx.Query(ctx, query)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[T])
}

func (s *stored) index() {
	for i := range s.invoices {
		row := &s.invoices[i]
		s.byTransaction[row.TransactionID] = append(s.byTransaction[row.TransactionID], row)
		s.byKey[row.IdempotencyKey] = append(s.byKey[row.IdempotencyKey], row)
		s.of(row.JobID).invoices = append(s.of(row.JobID).invoices, row)
	}
	for i := range s.duplicates {
		row := &s.duplicates[i]
		s.of(row.JobID).duplicates = append(s.of(row.JobID).duplicates, row)
	}
	for i := range s.jobs {
		row := &s.jobs[i]
		s.of(row.JobID).rows = append(s.of(row.JobID).rows, row)
	}
}

func (s *stored) of(jobID string) *ends {
	e := s.ends[jobID]
	if e == nil {
		e = &ends{}
		s.ends[jobID] = e
	}
	return e
}

func (s *stored) invoice(id int64) *invoiceRow {
	for i := range s.invoices {
		if s.invoices[i].ID == id {
			return &s.invoices[i]
		}
	}
	return nil
}
