package postgres

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// maxGroup is how many drafts share a transaction.
const maxGroup = 200

// maxBytes is about how large they are together, so that a statement stays far from its timeout: 20,000 lines as they
// usually are.
const maxBytes = 8 << 20

// columns are what a group writes, each column an array: one statement does for any number of rows, and GORM's multi-row
// Create would cost reflection for each of them. Lines, taxes and jobs name their invoice by its member, the place in the
// group, which begins at 1.
type columns struct {
	series, period, number, invoiceNumber, kind                              array
	transactionID, idempotencyKey, jobID, fingerprint                        array
	requestedSeries, creditsTransactionID, customerID, customerName, country array
	currency, subtotal, tax, total, metadata                                 array
	issuedAt                                                                 []time.Time // some years have no text that both sides read alike

	line struct {
		member, position, sku, description, quantity, unitPrice, discount, tax, net array
	}
	taxes   struct{ member, percent, net, tax array }
	job     struct{ id, member, attempts array }
	counter struct{ series, period, last array }
}

func newColumns(group []*write, locked counters) (*columns, error) {
	c := &columns{issuedAt: make([]time.Time, 0, len(group))}
	for i, w := range group {
		member, j, d := int64(i+1), w.draft.Job, w.draft
		c.series.text(d.Slot.Series)
		c.period.text(d.Slot.Period)
		c.number.integer(w.number)
		c.invoiceNumber.text(w.made.Number)
		c.kind.text(string(d.Slot.Kind))
		c.transactionID.text(j.TransactionID)
		c.idempotencyKey.text(j.IdempotencyKey)
		c.jobID.text(d.JobID)
		c.fingerprint.text(d.Fingerprint)
		c.requestedSeries.optional(j.Series)
		c.creditsTransactionID.optional(j.CreditsTransactionID)
		c.customerID.optional(j.CustomerID)
		c.customerName.optional(j.CustomerName)
		c.country.optional(j.Country)
		c.currency.text(j.Currency)
		c.subtotal.integer(d.Totals.Subtotal)
		c.tax.integer(d.Totals.Tax)
		c.total.integer(d.Totals.Total)
		c.issuedAt = append(c.issuedAt, j.IssuedAt)
		metadata := []byte("{}")
		if len(j.Metadata) > 0 {
			var err error
			if metadata, err = json.Marshal(j.Metadata); err != nil {
				return nil, fmt.Errorf("metadata: %w", err)
			}
		}
		c.metadata.text(string(metadata))

		for n := range j.Lines {
			l := &j.Lines[n]
			c.line.member.integer(member)
			c.line.position.integer(int64(n + 1))
			c.line.sku.optional(l.SKU)
			c.line.description.optional(l.Description)
			c.line.quantity.decimal(&l.Quantity)
			c.line.unitPrice.decimal(&l.UnitPrice)
			c.line.discount.decimal(&l.DiscountPercent)
			c.line.tax.decimal(l.TaxPercent)
			c.line.net.integer(d.Totals.LineNets[n])
		}
		for n := range d.Totals.Taxes {
			t := &d.Totals.Taxes[n]
			c.taxes.member.integer(member)
			c.taxes.percent.decimal(&t.Percent)
			c.taxes.net.integer(t.Net)
			c.taxes.tax.integer(t.Tax)
		}
		if w.ledgerID != 0 {
			c.job.id.integer(w.ledgerID)
			c.job.member.integer(member)
			c.job.attempts.integer(int64(d.Attempt))
		}
	}
	for key, counter := range locked {
		if counter.advanced {
			c.counter.series.text(key[0])
			c.counter.period.text(key[1])
			c.counter.last.integer(counter.lastNumber)
		}
	}
	return c, nil
}

// addWrite adds the statement that writes all that belongs to the members: invoices, lines, taxes, counters, and the ends
// of the ledger's rows, where their jobs have one. Once it is answered, it sets the ids of the invoices made, and calls
// written.
func addWrite(f *flight, group []*write, locked counters, written func()) error {
	c, err := newColumns(group, locked)
	if err != nil {
		return err
	}
	// The ids are drawn first, so that nothing has to be joined to find out which invoice got which.
	f.add(`
WITH drawn AS MATERIALIZED (
    SELECT array_agg(nextval('invoicer.invoices_id_seq')) AS ids FROM generate_series(1, ?)
), written AS (
    INSERT INTO invoicer.invoices (id, series, period, number, invoice_number, kind, transaction_id, idempotency_key, job_id, fingerprint,
        requested_series, credits_transaction_id, customer_id, customer_name, country, currency, subtotal_minor, tax_minor, total_minor,
        metadata, issued_at)
    OVERRIDING SYSTEM VALUE
    SELECT (SELECT ids FROM drawn)[member], series, period, number, invoice_number, kind, transaction_id, idempotency_key, job_id, fingerprint,
        requested_series, credits_transaction_id, customer_id, customer_name, country, currency, subtotal_minor, tax_minor, total_minor,
        metadata, issued_at
    FROM unnest(?::timestamptz[], ?::text[], ?::text[], ?::bigint[], ?::text[], ?::text[], ?::text[], ?::text[], ?::text[], ?::text[],
        ?::text[], ?::text[], ?::text[], ?::text[], ?::text[], ?::text[], ?::bigint[], ?::bigint[], ?::bigint[], ?::jsonb[])
        WITH ORDINALITY AS a (issued_at, series, period, number, invoice_number, kind, transaction_id, idempotency_key, job_id, fingerprint,
        requested_series, credits_transaction_id, customer_id, customer_name, country, currency, subtotal_minor, tax_minor, total_minor,
        metadata, member)
), lines AS (
    INSERT INTO invoicer.invoice_lines (invoice_id, position, sku, description, quantity, unit_price, discount_percent, tax_percent, net_minor)
    SELECT (SELECT ids FROM drawn)[member], position, sku, description, quantity, unit_price, discount_percent, tax_percent, net_minor
    FROM unnest(?::bigint[], ?::integer[], ?::text[], ?::text[], ?::numeric[], ?::numeric[], ?::numeric[], ?::numeric[], ?::bigint[])
        AS l (member, position, sku, description, quantity, unit_price, discount_percent, tax_percent, net_minor)
), taxes AS (
    INSERT INTO invoicer.invoice_taxes (invoice_id, tax_percent, net_minor, tax_minor)
    SELECT (SELECT ids FROM drawn)[member], tax_percent, net_minor, tax_minor
    FROM unnest(?::bigint[], ?::numeric[], ?::bigint[], ?::bigint[]) AS t (member, tax_percent, net_minor, tax_minor)
), counters AS (
    UPDATE invoicer.invoice_series SET last_number = c.last_number
    FROM unnest(?::text[], ?::text[], ?::bigint[]) AS c (series, period, last_number)
    WHERE invoice_series.series = c.series AND invoice_series.period = c.period
), jobs AS (
    UPDATE invoicer.invoice_jobs SET state = 'done', outcome = 'created', reason = NULL, invoice_id = (SELECT ids FROM drawn)[j.member],
        attempts = j.attempts, updated_at = now()
    FROM unnest(?::bigint[], ?::bigint[], ?::bigint[]) AS j (id, member, attempts) WHERE invoice_jobs.id = j.id
)
SELECT array_to_string(ids, ',') FROM drawn`, append([]any{len(group), &c.issuedAt}, literals(
		&c.series, &c.period, &c.number, &c.invoiceNumber, &c.kind, &c.transactionID, &c.idempotencyKey, &c.jobID, &c.fingerprint,
		&c.requestedSeries, &c.creditsTransactionID, &c.customerID, &c.customerName, &c.country, &c.currency, &c.subtotal, &c.tax, &c.total,
		&c.metadata,
		&c.line.member, &c.line.position, &c.line.sku, &c.line.description, &c.line.quantity, &c.line.unitPrice, &c.line.discount, &c.line.tax, &c.line.net,
		&c.taxes.member, &c.taxes.percent, &c.taxes.net, &c.taxes.tax,
		&c.counter.series, &c.counter.period, &c.counter.last,
		&c.job.id, &c.job.member, &c.job.attempts)...)...).QueryRow(func(row pgx.Row) error {
		var drawn string
		if err := row.Scan(&drawn); err != nil {
			return err
		}
		f.forgetWarning() // what is warned of from here on, COMMIT is warned of
		written()
		return setIDs(group, drawn)
	})
	return nil
}

func setIDs(group []*write, drawn string) (err error) {
	ids := strings.Split(drawn, ",")
	if len(ids) != len(group) {
		return fmt.Errorf("%d ids were drawn for %d invoices", len(ids), len(group))
	}
	for i, w := range group {
		if w.made.ID, err = strconv.ParseInt(ids[i], 10, 64); err != nil {
			return err
		}
	}
	return nil
}
