package postgres

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"invoicer/invoice"
)

// A StoredRecord is an invoice as it is stored, with its id.
type StoredRecord struct {
	invoice.Record

	ID int64
}

// errUnreadable says that what is stored can't have been written by this program.
var errUnreadable = errors.New("the stored invoice can't be read")

// recordColumns selects what [scanRecord] reads of invoicer.invoices i: one row for each invoice, however many lines it has.
//
//nolint:gochecknoglobals // a constant, but for the names of details
var recordColumns = `i.id, i.invoice_number, i.issuer, i.series, i.period, i.number, coalesce(i.series_version, 0), i.kind, i.transaction_id, i.idempotency_key,
    i.job_id, i.fingerprint, coalesce(i.requested_series, ''), coalesce(i.producer, ''), i.currency, i.issued_at, i.created_at, i.accepted_at,
    coalesce(i.worker_version, ''), coalesce(i.settings_version, 0), coalesce(i.issuer_version, 0), coalesce(i.document_date::text, ''), coalesce(i.content_hash, 0),
    i.subtotal_minor, i.tax_minor, i.total_minor, coalesce(i.payable_minor, i.total_minor), i.terms::text, i.parties::text, i.metadata::text,
    (SELECT coalesce(json_agg(json_build_array(position, sku, description, quantity::text, unit_price::text,
        discount_percent::text, tax_percent::text, net_minor, terms::text, texts::text) ORDER BY position), '[]')::text FROM invoicer.invoice_lines WHERE invoice_id = i.id),
    (SELECT coalesce(json_agg(json_build_array(code, category, tax_percent::text, net_minor, coalesce(added_minor, 0), tax_minor) ORDER BY ` + InOrderOfTaxes + `), '[]')::text
        FROM invoicer.invoice_taxes t WHERE invoice_id = i.id)` + detailColumns()

func detailColumns() string {
	var b strings.Builder
	for _, name := range invoice.DetailNames() {
		b.WriteString(", coalesce(i." + name + ", '')")
	}
	return b.String()
}

// RecordColumns returns what a query selects of invoices i for [ScanRecord], with tables as the search path finds them.
func RecordColumns() string { return strings.ReplaceAll(recordColumns, "invoicer.", "") }

// ScanRecord reads an invoice from a row of [RecordColumns], which come after those that are scanned into before.
func ScanRecord(rows pgx.Rows, before ...any) (*StoredRecord, error) {
	return scanRecord(rows, before...)
}

func scanRecord(rows pgx.Rows, before ...any) (*StoredRecord, error) {
	job := &invoice.Job{Version: invoice.TaskVersion}
	totals := &invoice.Totals{}
	r := &StoredRecord{Record: invoice.Record{Job: job, Totals: totals}}
	var issued, created, accepted pgtype.Timestamptz
	var metadata, lines, taxes string
	var terms, parties *string
	to := append(before, //nolint:gocritic // the caller's slice is its own
		&r.ID, &r.Printed, &r.Slot.Issuer, &r.Slot.Series, &r.Slot.Period, &r.Number, &r.Slot.Version, &r.Slot.Kind, &job.TransactionID, &job.IdempotencyKey,
		&r.JobID, &r.Fingerprint, &job.Series, &job.Producer, &job.Currency, &issued, &created, &accepted,
		&r.WorkerVersion, &r.SettingsVersion, &r.IssuerVersion, &r.DocumentDate, &r.ContentHash, &totals.Subtotal, &totals.Tax, &totals.Total, &totals.Payable, &terms, &parties, &metadata, &lines, &taxes)
	for i := range invoice.DetailNames() {
		to = append(to, job.Detail(i))
	}
	if err := rows.Scan(to...); err != nil {
		return nil, err
	}
	job.IssuedAt, r.CreatedAt, r.AcceptedAt = issued.Time, HashedTime(created), HashedTime(accepted)
	if err := json.Unmarshal([]byte(metadata), &job.Metadata); err != nil {
		return nil, fmt.Errorf("%w: metadata of %s", errUnreadable, r.Printed)
	}
	var err error
	if job.Terms, err = invoice.ReadTerms(text(terms), text(parties)); err != nil {
		return nil, fmt.Errorf("%w: terms of %s", errUnreadable, r.Printed)
	}
	if err := r.readLines(lines); err != nil {
		return nil, fmt.Errorf("%w: lines of %s", errUnreadable, r.Printed)
	}
	if err := r.readTaxes(taxes); err != nil {
		return nil, fmt.Errorf("%w: taxes of %s", errUnreadable, r.Printed)
	}
	return r, nil
}

// HashedTime returns a stored time as [invoice.Record] has it, "" for none. Infinite ones are as the zero time.
func HashedTime(t pgtype.Timestamptz) string {
	if !t.Valid {
		return ""
	}
	return invoice.StoredTime(t.Time)
}

// into reads a JSON array whose elements go to the given places.
type into []any

func (p into) UnmarshalJSON(text []byte) error {
	var elements []json.RawMessage
	if err := json.Unmarshal(text, &elements); err != nil {
		return err
	}
	if len(elements) != len(p) {
		return errUnreadable
	}
	for i := range elements {
		if err := json.Unmarshal(elements[i], p[i]); err != nil {
			return err
		}
	}
	return nil
}

func (r *StoredRecord) readLines(text string) error {
	var all []json.RawMessage
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		return err
	}
	for _, one := range all {
		var (
			position, net int64
			stored        LineText
		)
		to := into{&position, &stored.SKU, &stored.Description, &stored.Quantity, &stored.UnitPrice, &stored.DiscountPercent, &stored.TaxPercent, &net, &stored.Terms, &stored.Texts}
		if err := to.UnmarshalJSON(one); err != nil {
			return err
		}
		line, err := stored.Line()
		if err != nil {
			return err
		}
		r.Job.Lines = append(r.Job.Lines, line)
		r.Positions = append(r.Positions, position)
		r.Totals.LineNets = append(r.Totals.LineNets, net)
	}
	return nil
}

func (r *StoredRecord) readTaxes(text string) error {
	var all []json.RawMessage
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		return err
	}
	for _, one := range all {
		var percent string
		var tax invoice.Tax
		if err := (into{&tax.Code, &tax.Category, &percent, &tax.Net, &tax.Added, &tax.Tax}).UnmarshalJSON(one); err != nil {
			return err
		}
		parsed, err := invoice.ParseDecimal(percent)
		if err != nil {
			return err
		}
		tax.Percent = parsed
		r.Totals.Taxes = append(r.Totals.Taxes, tax)
	}
	return nil
}
