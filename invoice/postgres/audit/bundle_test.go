package audit_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"invoicer/internal/rig"
	"invoicer/invoice"
	"invoicer/invoice/ledger"
	"invoicer/invoice/postgres"
	"invoicer/invoice/postgres/audit"
)

// A bundle is a schema of its own in which every kind of end has happened:
//
//	job-1  INV-000001     invoice of T1, two rates, a discount, customer and texts
//	job-2  INV-000002     invoice of T2, in JPY, no rate stated
//	job-3  INV-000003     invoice of T3, a zero total
//	job-4  INV-CN-000001  credit note of T4
//	job-5  INV-000004     invoice of T5, whose job stands in the ledger
//	job-6  a duplicate of T1
//	job-7  a duplicate of T1, whose job stands in the ledger
//	job-8  a conflict, job-9 invalid, job-10 invalid and dismissed
//	job-11 waiting since an hour ago, job-12 enqueued
type bundle struct {
	*rig.Database
	store     *postgres.DB
	generator *invoice.Generator
	conn      *pgx.Conn // one session, whose settings last
}

func setup(t *testing.T) *bundle {
	t.Helper()
	d := rig.NewDatabase(t)
	store, err := postgres.Open(postgres.Options{URL: d.URL, Schema: d.Schema, MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	numbering, err := invoice.NewNumbering(invoice.NumberingOptions{})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), d.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	b := &bundle{Database: d, store: store, generator: invoice.NewGenerator(store.Invoices, numbering), conn: conn}
	b.exec(t, "SET search_path = "+d.Schema)
	b.fill(t)
	return b
}

func (b *bundle) fill(t *testing.T) {
	t.Helper()
	if _, err := b.conn.Exec(t.Context(), `INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, payload, state, dispatch, accepted_at)
SELECT 'job-' || n, CASE n WHEN 7 THEN 'T1' ELSE 'T' || n END, CASE n WHEN 7 THEN 'K1' ELSE 'T' || n END, 'default',
    CASE n WHEN 5 THEN $1 WHEN 7 THEN $2 ELSE '{}' END, CASE n WHEN 11 THEN 'accepted' ELSE 'enqueued' END, CASE n WHEN 11 THEN 0 ELSE 1 END,
    now() - CASE n WHEN 11 THEN interval '1 hour' ELSE '0' END
FROM unnest(ARRAY[5, 7, 11, 12]) AS n`, ledgers, rich); err != nil {
		t.Fatal(err)
	}

	b.create(t, "job-1", rich)
	b.create(t, "job-2", `{"transaction_id":"T2","issued_at":"2011-01-02T03:04:05.000006Z","currency":"JPY","lines":[{"quantity":"3","unit_price":"99.5"}]}`)
	b.create(t, "job-3", `{"transaction_id":"T3","issued_at":"2011-01-02T03:04:05Z","currency":"GBP","lines":[{"quantity":1,"unit_price":0,"tax_percent":0}]}`)
	b.create(t, "job-4", `{"transaction_id":"T4","issued_at":"2011-01-02T03:04:05Z","currency":"GBP","credits_transaction_id":"T1","lines":[{"quantity":-2,"unit_price":"1.25","tax_percent":"20"}]}`)
	b.create(t, "job-5", ledgers)

	for _, job := range []string{"job-6", "job-7"} {
		b.ask(t, job, rich, invoice.Duplicate)
	}
	b.ask(t, "job-8", strings.Replace(rich, "2.55", "2.56", 1), invoice.Conflict)
	for _, job := range []string{"job-9", "job-10"} {
		b.record(t, ledger.End{JobID: job, Outcome: invoice.Invalid, Detail: "payload is no JSON", Queue: "default", Payload: []byte("\x00"), Attempts: 1})
	}
	b.exec(t, `UPDATE invoice_jobs SET state = 'dismissed' WHERE job_id = 'job-10'`)
}

const ledgers = `{"transaction_id":"T5","issued_at":"2011-01-02T03:04:05Z","currency":"GBP","metadata":{"order":"A-18"},"lines":[{"quantity":1,"unit_price":5,"tax_percent":"20"}]}`

const rich = `{"transaction_id":"T1","idempotency_key":"K1","producer":"checkout","customer_id":"17850","customer_name":"Zoë",
"country":"United Kingdom","issued_at":"2010-12-01T08:26:00Z","currency":"GBP","metadata":{"order":"A-17"},"lines":[
{"sku":"85123A","description":"WHITE HANGING HEART","quantity":6,"unit_price":"2.55","discount_percent":"5","tax_percent":"20"},
{"sku":"71053","description":"it's a £2 lantern","quantity":"1.5","unit_price":"3.391","tax_percent":"7.5"},
{"quantity":1,"unit_price":"-0.45","tax_percent":"20"}]}`

func (b *bundle) request(t *testing.T, jobID, payload string) invoice.Request {
	t.Helper()
	job, err := invoice.Decode([]byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	r := invoice.NewRequest(jobID, 1, job)
	r.Payload = []byte(payload)
	return r
}

// create makes an invoice.
func (b *bundle) create(t *testing.T, jobID, payload string) {
	t.Helper()
	result, err := b.generator.Generate(t.Context(), b.request(t, jobID, payload))
	if err != nil || result.Outcome != invoice.Created {
		t.Fatalf("%s: %+v, %v", jobID, result, err)
	}
}

// ask has the job end in another way, and records that.
func (b *bundle) ask(t *testing.T, jobID, payload string, want invoice.Outcome) {
	t.Helper()
	request := b.request(t, jobID, payload)
	result, err := b.generator.Generate(t.Context(), request)
	if err != nil || result.Outcome != want {
		t.Fatalf("%s: %+v, %v, want %s", jobID, result, err, want)
	}
	b.record(t, ledger.End{
		JobID: jobID, Outcome: result.Outcome, Invoice: result.Invoice, Reason: result.Reason, Detail: result.Detail,
		Issuer: request.Job.Issuer, TransactionID: request.Job.TransactionID, IdempotencyKey: request.Job.IdempotencyKey, Worker: "w1", Queue: "default",
		Payload: []byte(payload), Attempts: 1,
	})
}

func (b *bundle) record(t *testing.T, end ledger.End) {
	t.Helper()
	if err := b.store.Ledger.Record(t.Context(), end); err != nil {
		t.Fatal(err)
	}
}

func (b *bundle) exec(t *testing.T, sql string) {
	t.Helper()
	if _, err := b.conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func (b *bundle) audit(t *testing.T) *audit.Report {
	t.Helper()
	report, err := audit.Run(t.Context(), audit.Options{URL: b.URL, Schema: b.Schema})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// broken returns the findings by check, each in one line: table: problem: column=value ….
func broken(report *audit.Report) map[string][]string {
	found := make(map[string][]string)
	for _, check := range report.Checks {
		for _, f := range check.Findings {
			line := f.Table + ": " + f.Problem + ":"
			for _, field := range f.Row {
				line += fmt.Sprintf(" %s=%v", field.Column, field.Value)
			}
			found[check.Name] = append(found[check.Name], line)
		}
	}
	return found
}
