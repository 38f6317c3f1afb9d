package audit_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"invoicer/internal/rig"
	"invoicer/invoice"
)

// large fills a schema with invoices of series INV, 100,000 a period, as a worker writes them, but without the triggers that would make
// it slow: every tenth stands in the ledger, and every tenth was asked for twice.
func large(t testing.TB, d *rig.Database, invoices int) {
	t.Helper()
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, d.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, statement := range []string{"SET search_path = " + pgx.Identifier{d.Schema}.Sanitize(), "SET session_replication_role = replica", "SET synchronous_commit = off"} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
	f := &filler{links: make(map[string]invoice.Hash), numbers: make(map[string]int64)}
	const step = 50_000
	for n := 1; n <= invoices; n += step {
		f.fill(ctx, t, conn, n, min(n+step-1, invoices))
	}
	for period, number := range f.numbers {
		if _, err := conn.Exec(ctx, "INSERT INTO invoice_series (series, period, kind, last_number) VALUES ('INV', $1, 'invoice', $2)", period, number); err != nil {
			t.Fatal(err)
		}
	}
	d.Exec(t, "SELECT setval(pg_get_serial_sequence('invoices', 'id'), $1)", invoices)
	for _, table := range []string{"invoices", "invoice_lines", "invoice_taxes", "invoice_jobs", "duplicate_attempts"} {
		d.Exec(t, "VACUUM (ANALYZE) "+table)
	}
}

// A filler makes invoices and keeps the heads of their chains.
type filler struct {
	links   map[string]invoice.Hash
	numbers map[string]int64
	hasher  invoice.Hasher

	invoices, lines, taxes, jobs, duplicates [][]any
}

func (f *filler) period(n int) string { return fmt.Sprintf("%d", 2010+n/100_000) }

func (f *filler) fill(ctx context.Context, t testing.TB, conn *pgx.Conn, from, to int) {
	t.Helper()
	f.invoices, f.lines, f.taxes, f.jobs, f.duplicates = nil, nil, nil, nil, nil
	for n := from; n <= to; n++ {
		f.add(t, n)
	}
	for _, one := range []struct {
		table   string
		columns []string
		rows    [][]any
	}{
		{"invoices", []string{
			"id", "series", "period", "number", "invoice_number", "kind", "transaction_id", "idempotency_key", "job_id", "fingerprint", "customer_id", "customer_name",
			"country", "currency", "subtotal_minor", "tax_minor", "total_minor", "issued_at", "created_at", "worker_version", "content_hash", "chain", "salt", "text_hash",
		}, f.invoices},
		{"invoice_lines", []string{"invoice_id", "position", "sku", "description", "quantity", "unit_price", "tax_percent", "net_minor"}, f.lines},
		{"invoice_taxes", []string{"invoice_id", "tax_percent", "net_minor", "tax_minor"}, f.taxes},
		{"invoice_jobs", []string{"job_id", "transaction_id", "idempotency_key", "queue", "payload", "state", "outcome", "invoice_id", "dispatch", "accepted_at"}, f.jobs},
		{"duplicate_attempts", []string{"job_id", "transaction_id", "idempotency_key", "invoice_id", "reason", "worker", "attempted_at"}, f.duplicates},
	} {
		if _, err := conn.CopyFrom(ctx, pgx.Identifier{one.table}, one.columns, pgx.CopyFromRows(one.rows)); err != nil {
			t.Fatalf("%s: %v", one.table, err)
		}
	}
}

func (f *filler) add(t testing.TB, n int) {
	t.Helper()
	id := fmt.Sprintf("large-%08d", n)
	at := time.Date(2010, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(n) * time.Minute)
	payload := fmt.Sprintf(`{"transaction_id":"%s","customer_id":"%d","customer_name":"Benchmark & Sons Ltd.","country":"United Kingdom","issued_at":"%s","currency":"GBP","lines":[
{"sku":"85123A","description":"WHITE HANGING HEART T-LIGHT HOLDER","quantity":%d,"unit_price":"2.55","tax_percent":"20"},
{"sku":"71053","description":"WHITE METAL LANTERN","quantity":1,"unit_price":"3.39","tax_percent":"20"}]}`, id, 12346+n%4400, at.Format(time.RFC3339), 1+n%7)
	job, err := invoice.Decode([]byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	totals, err := job.Calculate()
	if err != nil {
		t.Fatal(err)
	}
	period := f.period(n)
	f.numbers[period]++
	number := f.numbers[period]
	salt, _ := hex.DecodeString(fmt.Sprintf("%032x", n))
	record := &invoice.Record{
		Slot: invoice.Slot{Series: "INV", Period: period, Kind: totals.Kind}, Number: number, Printed: fmt.Sprintf("INV-%s-%06d", period, number),
		Job: job, JobID: "job-" + id, Fingerprint: job.Fingerprint(), Totals: &totals, CreatedAt: invoice.StoredTime(at), WorkerVersion: "v1", ContentHash: job.ContentHash(),
	}
	texts := f.hasher.Texts(record, salt)
	f.links[period] = invoice.Link(f.links[period], f.hasher.Digest(record, texts))
	f.invoices = append(f.invoices, []any{
		int64(n), "INV", period, number, record.Printed, string(totals.Kind), id, id, record.JobID, record.Fingerprint, job.CustomerID, job.CustomerName,
		job.Country, job.Currency, totals.Subtotal, totals.Tax, totals.Total, at, at, "v1", record.ContentHash, invoice.FormatLink(f.links[period]), salt, texts[:],
	})
	for i := range job.Lines {
		l := &job.Lines[i]
		f.lines = append(f.lines, []any{int64(n), int32(i + 1), l.SKU, l.Description, l.Quantity.String(), l.UnitPrice.String(), "20", totals.LineNets[i]})
	}
	for _, tax := range totals.Taxes {
		f.taxes = append(f.taxes, []any{int64(n), tax.Percent.String(), tax.Net, tax.Tax})
	}
	if n%10 == 0 {
		f.jobs = append(f.jobs, []any{record.JobID, id, id, "default", payload, "done", "created", int64(n), int32(1), at})
	}
	if n%10 == 5 {
		f.duplicates = append(f.duplicates, []any{"again-" + id, id, id, int64(n), "already_invoiced", "w1", at})
	}
}
