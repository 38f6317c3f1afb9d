package postgres_test

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"invoicer/invoice"
	"invoicer/invoice/ledger"
	"invoicer/invoice/postgres"
)

// dump is all that the schema's tables hold, as text.
func (b *site) dump(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for table := range strings.FieldsSeq(b.Text(t, "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'")) {
		all.WriteString(table + ": " + b.Text(t, "SELECT coalesce(string_agg(row_to_json(t)::text, E'\n'), '') FROM "+table+" t") + "\n")
	}
	return all.String()
}

var ada = ledger.Actor{Name: "ada", Note: "TICKET-21"}

// erase erases a selection, a few invoices at a time, and returns the sum of the steps.
func (b *site) erase(t *testing.T, what postgres.Selection, most int) (sum postgres.Erased) {
	t.Helper()
	erasure, err := b.store.Erasures.Begin(t.Context(), what, ada)
	if err != nil {
		t.Fatal(err)
	}
	for after := int64(0); !sum.Complete; after = sum.Upto {
		step, err := b.store.Erasures.Invoices(t.Context(), erasure, what, after, most)
		if err != nil {
			t.Fatal(err)
		}
		sum.Upto, sum.Complete = step.Upto, step.Complete
		sum.Invoices, sum.Held, sum.Payloads = sum.Invoices+step.Invoices, sum.Held+step.Held, sum.Payloads+step.Payloads
		sum.Transactions, sum.Tasks = append(sum.Transactions, step.Transactions...), append(sum.Tasks, step.Tasks...)
	}
	if err := b.store.Erasures.End(t.Context(), erasure); err != nil {
		t.Fatal(err)
	}
	return sum
}

func canaries(j *invoice.Job) {
	j.CustomerID, j.CustomerName, j.Country, j.Metadata = "C1", "Canary", "Canary-land", map[string]string{"Canary-key": "Canary"}
	j.Lines[0].SKU, j.Lines[0].Description = "Canary-sku", "Canary cage"
}

// taken puts a job into the ledger as if a worker had it, and returns its request.
func (b *site) taken(t *testing.T, j *invoice.Job) invoice.Request {
	t.Helper()
	payload, err := j.Encode()
	if err != nil {
		t.Fatal(err)
	}
	id := b.Text(t, "SELECT accept($1)", string(payload))
	b.Exec(t, "UPDATE invoice_jobs SET state = 'enqueued', dispatch = 1 WHERE job_id = $1", id)
	r := request(id, j)
	r.Payload = payload
	return r
}

func TestErase(t *testing.T) {
	t.Parallel()
	b := setup(t)
	made := b.taken(t, job(t, "T1", canaries))
	if result, err := b.generator.Generate(t.Context(), made); err != nil || result.Outcome != invoice.Created {
		t.Fatal(result, err)
	}
	b.create(t, "other", job(t, "T2", func(j *invoice.Job) { j.CustomerID, j.CustomerName = "C2", "Bob" }))
	b.create(t, "again", job(t, "T3", canaries))
	terms := termsJob(t, "T4", `"customer_id":"C1","buyer":{"name":"Canary"},"notes":[{"text":"Canary"}],"buyer_reference":"Canary","payment":{"iban":"DE02120300000000202051","account_name":"Canary","creditor_id":"DE98ZZZ09999999999"},"allowances":[{"reason":"Canary","amount":"1"}],"lines":[{"name":"Canary","note":"Canary","unit":"C62","quantity":1,"unit_price":"9.99"}]`)
	b.create(t, "of terms", terms)
	chains := b.Text(t, "SELECT string_agg(concat_ws('|', invoice_number, total_minor, chain, text_hash, transaction_id, issued_at), ';' ORDER BY id) FROM invoices")
	for _, e := range []ledger.End{ // whose payloads stay in the ledger
		{JobID: "bad", Outcome: invoice.Failed, TransactionID: "T1", Payload: []byte(`{"customer_name":"Canary"}`), Detail: "x", Queue: "q", Worker: "w", Attempts: 1},
		{JobID: "raw", Outcome: invoice.Conflict, TransactionID: "T1", Payload: []byte("Canary\x00"), Detail: "x", Queue: "q", Worker: "w", Attempts: 1},
	} {
		if err := b.store.Ledger.Record(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}

	what := postgres.Selection{Customer: "C1"}
	counted, err := b.store.Erasures.Invoices(t.Context(), 0, what, 0, 100)
	if err != nil || counted.Invoices != 3 || !counted.Complete || !strings.Contains(b.dump(t), "Canary") {
		t.Fatalf("a dry run: %+v, %v", counted, err)
	}
	if sum := b.erase(t, what, 1); sum.Invoices != 3 || sum.Held != 0 || sum.Payloads != 3 || len(sum.Transactions) != 3 || len(sum.Tasks) < 5 {
		t.Errorf("erased %+v", sum)
	}
	left := b.dump(t)
	for line := range strings.Lines(left) {
		for _, gone := range []string{"Canary", "DE02120300000000202051", "DE98ZZZ09999999999", `"C1"`} {
			if strings.Contains(line, gone) {
				t.Errorf("%s is left in %s", gone, line)
			}
		}
	}
	if !strings.Contains(left, "Bob") || !strings.Contains(left, "TICKET-21") || !strings.Contains(left, `"actor":"ada"`) {
		t.Error("what should stay is gone")
	}
	if n := b.Count(t, "SELECT count(*) FROM invoices WHERE erasure_id IS NOT NULL AND num_nonnulls(salt, content_hash, parties) = 0 AND fingerprint = erased_fingerprint()"); n != 3 {
		t.Errorf("%d invoices without salt and fingerprint", n)
	}
	if now := b.Text(t, "SELECT string_agg(concat_ws('|', invoice_number, total_minor, chain, text_hash, transaction_id, issued_at), ';' ORDER BY id) FROM invoices"); now != chains {
		t.Errorf("it was\n%s\nand is\n%s", chains, now)
	}
	if sum := b.erase(t, what, 100); sum.Invoices != 0 {
		t.Errorf("the second time %+v", sum)
	}
	if invoice.ErasedFingerprint != b.Text(t, "SELECT erased_fingerprint()") {
		t.Error("program and database differ about the fingerprint of what was erased")
	}
}

// Whoever adds a column decides whether it goes with a person: if it does, refuse_change clears it, and the audit's check of what was erased
// looks for it.
func TestErasingKnowsEveryColumn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const goes = `invoice_lines.description invoice_lines.sku invoice_lines.texts invoice_links.salt
invoices.content_hash invoices.country invoices.customer_id invoices.customer_name invoices.fingerprint invoices.metadata invoices.parties invoices.salt`
	const stays = `invoice_lines.discount_percent invoice_lines.invoice_id invoice_lines.net_minor invoice_lines.position invoice_lines.quantity invoice_lines.tax_percent
invoice_lines.terms invoice_lines.unit_price invoice_links.chain invoice_links.invoice_id invoice_links.linked_at invoice_links.text_hash
invoice_taxes.added_minor invoice_taxes.category invoice_taxes.code invoice_taxes.invoice_id invoice_taxes.net_minor invoice_taxes.tax_minor invoice_taxes.tax_percent
invoices.accepted_at invoices.chain invoices.created_at invoices.credits_transaction_id invoices.currency invoices.document_date invoices.erasure_id invoices.id
invoices.idempotency_key invoices.invoice_number invoices.issued_at invoices.issuer invoices.issuer_version invoices.job_id invoices.kind invoices.number
invoices.payable_minor invoices.period invoices.producer invoices.requested_series invoices.series invoices.series_version invoices.settings_version
invoices.subtotal_minor invoices.tax_minor invoices.terms invoices.text_hash invoices.total_minor invoices.transaction_id invoices.worker_version`
	decided := append(strings.Fields(goes), strings.Fields(stays)...)
	all := strings.Fields(b.Text(t, `SELECT string_agg(table_name || '.' || column_name, ' ' ORDER BY 1) FROM information_schema.columns
WHERE table_schema = current_schema() AND table_name IN ('invoices', 'invoice_lines', 'invoice_taxes', 'invoice_links')`))
	for _, column := range all {
		if !slices.Contains(decided, column) {
			t.Errorf("%s: does it go when its invoice is erased?", column)
		}
	}
	if len(decided) != len(all) {
		t.Errorf("%d columns are decided about, and there are %d", len(decided), len(all))
	}
}

// Whatever asks again for an erased transaction is a duplicate, and leaves nothing behind; the job that made it is no duplicate of itself.
func TestErasedTransactionAsksAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := b.taken(t, job(t, "T1", canaries))
	if _, err := b.generator.Generate(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	underWay := b.taken(t, job(t, "T1", canaries, func(j *invoice.Job) { j.Currency = "EUR" }))
	gives := b.taken(t, job(t, "T1", canaries))
	known := invoice.Ref{}
	if found, err := b.store.Invoices.Find(t.Context(), "", "T1", "T1"); err != nil {
		t.Fatal(err)
	} else {
		known = *found.OfTransaction
	}
	b.erase(t, postgres.Selection{Customer: "C1"}, 100)
	if n := b.Count(t, "SELECT count(*) FROM invoice_jobs WHERE payload IS NOT NULL"); n != 2 {
		t.Fatalf("the payloads of %d jobs are kept, want those of the two that are under way", n)
	}

	again, err := b.generator.Generate(t.Context(), first)
	if err != nil || again.Outcome != invoice.Created {
		t.Errorf("its own job: %+v, %v", again, err)
	}
	for name, r := range map[string]invoice.Request{"other content": underWay, "the same content": b.taken(t, job(t, "T1", canaries))} {
		result, err := b.generator.Generate(t.Context(), r)
		if err != nil || result.Outcome != invoice.Duplicate || result.Reason != invoice.AlreadyInvoiced || !result.Invoice.Erased() {
			t.Fatalf("%s: %+v, %v", name, result, err)
		}
		if cached, err := b.generator.Known(t.Context(), r, *result.Invoice, invoice.AlreadyInvoiced); err != nil || cached.Outcome != invoice.Duplicate {
			t.Errorf("%s: by a done entry %+v, %v", name, cached, err)
		}
		e := ledger.End{
			JobID: r.JobID, Outcome: invoice.Duplicate, Invoice: result.Invoice, Reason: result.Reason, TransactionID: "T1", IdempotencyKey: "T1",
			Payload: r.Payload, Worker: "w", Queue: "default", Attempts: 1, Began: time.Now(),
		}
		stale := e
		stale.Invoice = &known // as a done entry from before has it
		if err := b.store.Ledger.Record(t.Context(), stale); !errors.Is(err, invoice.ErrNotInvoiced) {
			t.Errorf("%s: an end that has the fingerprint from before: %v", name, err)
		}
		if err := b.store.Ledger.Record(t.Context(), e); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	bad := ledger.End{JobID: gives.JobID, Outcome: invoice.Failed, TransactionID: "T1", IdempotencyKey: "T1", Payload: gives.Payload, Detail: "x", Worker: "w", Queue: "default", Attempts: 1}
	direct := bad
	direct.JobID = "direct"
	for _, e := range []ledger.End{bad, direct} {
		if err := b.store.Ledger.Record(t.Context(), e); err != nil {
			t.Error(err)
		}
	}
	if left := b.dump(t); strings.Contains(left, "Canary") {
		t.Errorf("left behind: %s", left)
	}
	if got := b.Text(t, "SELECT string_agg(concat_ws('|', reason, erased), ';') FROM duplicate_attempts"); got != "already_invoiced|t;already_invoiced|t" {
		t.Errorf("on record: %s", got)
	}
	other := job(t, "T9", func(j *invoice.Job) { j.IdempotencyKey = "T1" })
	if result, err := b.generator.Generate(t.Context(), request("other", other)); err != nil || result.Outcome != invoice.Conflict || !strings.Contains(result.Detail, "was erased") {
		t.Errorf("another transaction with its key: %+v, %v", result, err)
	}
}

// An end that is being recorded while its transaction is erased leaves no payload, whichever comes first.
func TestEraseBesideEnds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.create(t, "made", job(t, "T1", canaries))
	tx := b.begin(t)
	in(t, tx, `SELECT pg_advisory_xact_lock_shared(erasing_lock())`)
	in(t, tx, `INSERT INTO invoice_jobs (job_id, transaction_id, queue, payload, state, outcome, reason) VALUES ('ends', 'T1', 'q', 'Canary', 'failed', 'failed', 'x')`)
	waits := b.blocked(t)
	erased := make(chan struct{})
	go func() {
		defer close(erased)
		b.erase(t, postgres.Selection{Customer: "C1"}, 100)
	}()
	<-waits
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	<-erased
	if left := b.dump(t); strings.Contains(left, "Canary") {
		t.Errorf("an end from before is left behind: %s", left)
	}

	b.create(t, "next", job(t, "T2", canaries))
	tx = b.begin(t)
	in(t, tx, `SELECT erase_invoices(begin_erasure('customer', NULL, NULL, 'x', 'ada'), NULL, 'C1', NULL, 0, 100)`)
	waits = b.blocked(t)
	ended := make(chan error, 1)
	go func() {
		ended <- b.store.Ledger.Record(t.Context(), ledger.End{
			JobID: "late", Outcome: invoice.Failed, TransactionID: "T2", Payload: []byte("Canary"), Detail: "x", Queue: "q", Worker: "w", Attempts: 1,
		})
	}()
	<-waits
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if left := b.dump(t); strings.Contains(left, "Canary") {
		t.Errorf("an end from after is left behind: %s", left)
	}
}

func (b *site) begin(t *testing.T) *sql.Tx {
	t.Helper()
	tx, err := b.DB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback() }) // unless it was committed
	return tx
}

func in(t *testing.T, tx *sql.Tx, statement string) {
	t.Helper()
	if _, err := tx.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

func TestHoldsExempt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, id := range []string{"T1", "T2"} {
		b.create(t, "of "+id, job(t, id, canaries))
	}
	b.create(t, "other", job(t, "T3", func(j *invoice.Job) { j.CustomerID = "C2" }))
	all := postgres.Selection{Before: time.Now().Add(time.Hour)}
	erasures, ctx := b.store.Erasures, t.Context()
	nameless, acme := "", "ACME"
	for _, held := range []postgres.Held{{TransactionID: "T1"}, {Customer: "C2"}} {
		if err := erasures.Hold(ctx, held, ada); err != nil {
			t.Fatal(err)
		}
	}
	if sum := b.erase(t, all, 100); sum.Invoices != 1 || sum.Held != 2 || sum.Transactions[0].ID != "T2" {
		t.Errorf("beside holds %+v", sum)
	}
	for _, other := range []postgres.Held{{TransactionID: "T2"}, {Customer: "C1"}, {Issuer: &nameless}, {Issuer: &acme, TransactionID: "T1"}, {Issuer: &nameless, TransactionID: "T1"}} {
		if err := erasures.Release(ctx, other, ada); !errors.Is(err, postgres.ErrNotHeldBack) {
			t.Errorf("release of %+v: %v", other, err)
		}
	}
	if err := erasures.Hold(ctx, postgres.Held{}, ada); err == nil {
		t.Error("everything is held")
	}
	if err := erasures.Hold(ctx, postgres.Held{Issuer: &nameless}, ada); err != nil {
		t.Fatal(err)
	}
	for _, held := range []postgres.Held{{TransactionID: "T1"}, {Customer: "C2"}} {
		if err := erasures.Release(ctx, held, ada); err != nil {
			t.Fatal(err)
		}
	}
	if sum := b.erase(t, all, 100); sum.Invoices != 0 || sum.Held != 2 {
		t.Errorf("while all of the issuer is held %+v", sum)
	}
	if err := erasures.Release(ctx, postgres.Held{Issuer: &nameless}, ada); err != nil {
		t.Fatal(err)
	}
	if sum := b.erase(t, all, 100); sum.Invoices != 2 || sum.Held != 0 {
		t.Errorf("afterwards %+v", sum)
	}
	if left := b.dump(t); strings.Contains(left, `"C2"`) {
		t.Errorf("a released hold names the customer: %s", left)
	}
	if _, err := b.DB.ExecContext(context.Background(), "DELETE FROM erasure_holds"); err == nil {
		t.Error("a hold can be deleted")
	}
}

// An invoice is as old as the later of its own date and of when it was stored: what is stored today of long ago is kept.
func TestEraseByAge(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.create(t, "made", job(t, "T1", canaries)) // of 2010
	for before, want := range map[time.Time]int{time.Now().Add(-time.Hour): 0, time.Now().Add(time.Hour): 1} {
		if counted, err := b.store.Erasures.Invoices(t.Context(), 0, postgres.Selection{Before: before}, 0, 10); err != nil || counted.Invoices != want {
			t.Errorf("before %s: %+v, %v", before, counted, err)
		}
	}
	if _, err := b.store.Erasures.Invoices(t.Context(), 99, postgres.Selection{Customer: "C1"}, 0, 10); err == nil {
		t.Error("an erasure that nobody began erases")
	}
}

// The payloads of a customer's failed jobs go, although nothing was invoiced.
func TestErasePayloads(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for id, payload := range map[string]string{
		"mine": `{"transaction_id":"T1","customer_id":"C1","x":"Canary"}`, "others": `{"transaction_id":"T2","customer_id":"C2","x":"Bob"}`,
		"none": `{"transaction_id":"T3","x":"Bob"}`, "no JSON": `customer_id C1`,
	} {
		e := ledger.End{JobID: id, Outcome: invoice.Invalid, TransactionID: "T", Payload: []byte(payload), Detail: "x", Queue: "q", Worker: "w", Attempts: 1}
		if err := b.store.Ledger.Record(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	what := postgres.Selection{Customer: "C1"}
	erasure, err := b.store.Erasures.Begin(t.Context(), what, ada)
	if err != nil {
		t.Fatal(err)
	}
	done, err := b.store.Erasures.Payloads(t.Context(), erasure, what, 0, 10)
	if err != nil || done.Payloads != 1 || !done.Complete || len(done.Tasks) != 1 || done.Tasks[0].JobID != "mine" {
		t.Errorf("%+v, %v", done, err)
	}
	if n := b.Count(t, "SELECT count(*) FROM invoice_jobs WHERE payload IS NOT NULL"); n != 3 {
		t.Errorf("%d payloads are left, want 3", n)
	}
}
