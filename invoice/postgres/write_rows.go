package postgres

import (
	"fmt"
	"time"

	"gorm.io/gorm"
)

// maxGroup is how many drafts share a transaction.
const maxGroup = 200

// maxLines is how many lines they have together, so that a statement stays far from its timeout.
const maxLines = 20_000

// columns are what a group writes, each column an array: one statement does for any number of rows, and GORM's multi-row
// Create would cost reflection for each of them. GORM spreads slices into lists; it leaves pointers to them alone.
type columns struct {
	series, period, invoiceNumber, kind, transactionID, idempotencyKey, jobID, fingerprint []string
	requestedSeries, creditsTransactionID, customerID, customerName, country               []*string
	currency, metadata                                                                     []string
	number, subtotal, tax, total                                                           []int64
	issuedAt                                                                               []time.Time
	attempt                                                                                []int64

	line struct {
		member, position              []int64
		sku, description              []*string
		quantity, unitPrice, discount []string
		tax                           []*string
		net                           []int64
	}
	taxes struct {
		member   []int64
		percent  []string
		net, tax []int64
	}
	counter struct {
		series, period []string
		last           []int64
	}
}

func newColumns(group []*write, locked counters) *columns {
	c := &columns{}
	for i, w := range group {
		r, d := w.row, w.draft
		c.series, c.period = append(c.series, r.Series), append(c.period, r.Period)
		c.number, c.invoiceNumber = append(c.number, r.Number), append(c.invoiceNumber, r.InvoiceNumber)
		c.kind, c.transactionID = append(c.kind, r.Kind), append(c.transactionID, r.TransactionID)
		c.idempotencyKey, c.jobID = append(c.idempotencyKey, r.IdempotencyKey), append(c.jobID, r.JobID)
		c.fingerprint, c.requestedSeries = append(c.fingerprint, r.Fingerprint), append(c.requestedSeries, r.RequestedSeries)
		c.creditsTransactionID = append(c.creditsTransactionID, r.CreditsTransactionID)
		c.customerID, c.customerName = append(c.customerID, r.CustomerID), append(c.customerName, r.CustomerName)
		c.country, c.currency = append(c.country, r.Country), append(c.currency, r.Currency)
		c.subtotal, c.tax, c.total = append(c.subtotal, r.SubtotalMinor), append(c.tax, r.TaxMinor), append(c.total, r.TotalMinor)
		c.issuedAt, c.metadata = append(c.issuedAt, r.IssuedAt), append(c.metadata, r.Metadata)
		c.attempt = append(c.attempt, int64(d.Attempt))

		l := &c.line
		for n := range d.Job.Lines {
			one := &d.Job.Lines[n]
			l.member, l.position = append(l.member, int64(i+1)), append(l.position, int64(n+1))
			l.sku, l.description = append(l.sku, nullable(one.SKU)), append(l.description, nullable(one.Description))
			l.quantity, l.unitPrice = append(l.quantity, one.Quantity.String()), append(l.unitPrice, one.UnitPrice.String())
			l.discount = append(l.discount, one.DiscountPercent.String())
			var percent *string
			if one.TaxPercent != nil {
				percent = nullable(one.TaxPercent.String())
			}
			l.tax, l.net = append(l.tax, percent), append(l.net, d.Document.LineNets[n])
		}
		t := &c.taxes
		for _, one := range d.Document.Taxes {
			t.member, t.percent = append(t.member, int64(i+1)), append(t.percent, one.Percent.String())
			t.net, t.tax = append(t.net, one.Net), append(t.tax, one.Tax)
		}
	}
	for key, counter := range locked {
		if counter.advanced {
			c.counter.series, c.counter.period = append(c.counter.series, key[0]), append(c.counter.period, key[1])
			c.counter.last = append(c.counter.last, counter.LastNumber)
		}
	}
	return c
}

// writeRows writes all that belongs to the members in one statement: invoices, lines, taxes, counters, and the ends of
// the ledger's rows, where their jobs have one. It sets the rows' ids.
func writeRows(tx *gorm.DB, group []*write, locked counters) error {
	c := newColumns(group, locked)
	var ids []struct {
		ID            int64
		TransactionID string
	}
	err := tx.Raw(`
WITH asked AS (
    SELECT * FROM unnest(?::text[], ?::text[], ?::bigint[], ?::text[], ?::text[], ?::text[], ?::text[], ?::text[], ?::text[],
        ?::text[], ?::text[], ?::text[], ?::text[], ?::text[], ?::text[], ?::bigint[], ?::bigint[], ?::bigint[], ?::timestamptz[], ?::text[], ?::bigint[])
        WITH ORDINALITY AS a (series, period, number, invoice_number, kind, transaction_id, idempotency_key, job_id, fingerprint,
        requested_series, credits_transaction_id, customer_id, customer_name, country, currency, subtotal_minor, tax_minor, total_minor,
        issued_at, metadata, attempt, member)
), inserted AS (
    INSERT INTO invoices (series, period, number, invoice_number, kind, transaction_id, idempotency_key, job_id, fingerprint,
        requested_series, credits_transaction_id, customer_id, customer_name, country, currency, subtotal_minor, tax_minor, total_minor,
        issued_at, metadata)
    SELECT series, period, number, invoice_number, kind, transaction_id, idempotency_key, job_id, fingerprint,
        requested_series, credits_transaction_id, customer_id, customer_name, country, currency, subtotal_minor, tax_minor, total_minor,
        issued_at, metadata::jsonb
    FROM asked ORDER BY member
    RETURNING id, transaction_id
), written AS (
    SELECT asked.member, asked.job_id, asked.transaction_id, asked.attempt, inserted.id
    FROM asked JOIN inserted ON inserted.transaction_id = asked.transaction_id
), lines AS (
    INSERT INTO invoice_lines (invoice_id, position, sku, description, quantity, unit_price, discount_percent, tax_percent, net_minor)
    SELECT written.id, l.position, l.sku, l.description, l.quantity, l.unit_price, l.discount_percent, l.tax_percent, l.net_minor
    FROM unnest(?::bigint[], ?::bigint[], ?::text[], ?::text[], ?::numeric[], ?::numeric[], ?::numeric[], ?::numeric[], ?::bigint[])
        AS l (member, position, sku, description, quantity, unit_price, discount_percent, tax_percent, net_minor)
    JOIN written ON written.member = l.member
), taxes AS (
    INSERT INTO invoice_taxes (invoice_id, tax_percent, net_minor, tax_minor)
    SELECT written.id, t.tax_percent, t.net_minor, t.tax_minor
    FROM unnest(?::bigint[], ?::numeric[], ?::bigint[], ?::bigint[]) AS t (member, tax_percent, net_minor, tax_minor)
    JOIN written ON written.member = t.member
), counters AS (
    UPDATE invoice_series SET last_number = c.last_number
    FROM unnest(?::text[], ?::text[], ?::bigint[]) AS c (series, period, last_number)
    WHERE invoice_series.series = c.series AND invoice_series.period = c.period
), jobs AS (
    UPDATE invoice_jobs SET state = 'done', outcome = 'created', reason = NULL, invoice_id = written.id, attempts = written.attempt, updated_at = now()
    FROM written WHERE invoice_jobs.job_id = written.job_id AND invoice_jobs.transaction_id = written.transaction_id
)
SELECT id, transaction_id FROM inserted`,
		&c.series, &c.period, &c.number, &c.invoiceNumber, &c.kind, &c.transactionID, &c.idempotencyKey, &c.jobID, &c.fingerprint,
		&c.requestedSeries, &c.creditsTransactionID, &c.customerID, &c.customerName, &c.country, &c.currency, &c.subtotal, &c.tax, &c.total,
		&c.issuedAt, &c.metadata, &c.attempt,
		&c.line.member, &c.line.position, &c.line.sku, &c.line.description, &c.line.quantity, &c.line.unitPrice, &c.line.discount, &c.line.tax, &c.line.net,
		&c.taxes.member, &c.taxes.percent, &c.taxes.net, &c.taxes.tax,
		&c.counter.series, &c.counter.period, &c.counter.last).Scan(&ids).Error
	if err != nil {
		return err
	}
	byTransaction := make(map[string]int64, len(ids))
	for _, id := range ids {
		byTransaction[id.TransactionID] = id.ID
	}
	for _, w := range group {
		if w.row.ID = byTransaction[w.row.TransactionID]; w.row.ID == 0 {
			return fmt.Errorf("transaction_id %s: the database neither wrote the invoice nor said why", w.row.TransactionID)
		}
	}
	return nil
}
