package client_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"
	"github.com/jackc/pgx/v5/pgconn"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/invoice"
	"invoicer/worker/client"
)

// byTransaction gives a job the same id each time.
func byTransaction(j *invoice.Job) string {
	return uuid.NewSHA1(uuid.NameSpaceOID, []byte(j.Producer+" "+j.Issuer+" "+j.TransactionID)).String()
}

// repeatable is a client on a ledger, and under whose ids jobs stay the same.
func (b *site) repeatable(t *testing.T) *client.Client {
	t.Helper()
	c, err := client.New(nil, client.Options{Schema: b.Schema, Producer: "checkout", JobID: byTransaction})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func jobOf(transactionID string) *invoice.Job {
	j := job()
	j.TransactionID = transactionID
	return j
}

// as runs what follows on a connection with the rights of a new role.
func (b *site) as(t *testing.T, grants string) (session *sql.Conn, role string) {
	t.Helper()
	role = b.Schema + "_role"
	b.Exec(t, "CREATE ROLE "+role+"; GRANT USAGE ON SCHEMA "+b.Schema+" TO "+role+"; GRANT EXECUTE ON FUNCTION accept(text, text, uuid, boolean) TO "+role)
	t.Cleanup(func() { b.Exec(t, "DROP OWNED BY "+role+"; DROP ROLE "+role) })
	if grants != "" {
		b.Exec(t, "GRANT "+grants+" TO "+role)
	}
	session, err := b.DB.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { session.Close() })
	if _, err := session.ExecContext(t.Context(), "SET ROLE "+role); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { session.ExecContext(context.WithoutCancel(t.Context()), "RESET ROLE") }) //nolint:errcheck // the connection is closed next
	return session, role
}

// A clock of Go is finer than a job's time.
func TestTimeIsCutToMicroseconds(t *testing.T) {
	t.Parallel()
	b, rdb, queue := setup(t), rig.Connect(t, sandboxtest.Redis(t)), uuid.NewString()
	c, err := client.New(rdb, client.Options{Schema: b.Schema, Queue: queue, NewQueue: true})
	if err != nil {
		t.Fatal(err)
	}
	asked := job()
	asked.IssuedAt = time.Date(2010, 12, 1, 8, 26, 0, 123_456_999, time.FixedZone("", 3600))
	before := asked.IssuedAt
	want := time.Date(2010, 12, 1, 7, 26, 0, 123_456_000, time.UTC)
	if _, err := c.Accept(t.Context(), b.DB, asked); err != nil {
		t.Fatal(err)
	}
	receipt, err := c.Enqueue(t.Context(), asked)
	if err != nil {
		t.Fatal(err)
	}
	task, err := asynq.NewInspectorFromRedisClient(rdb).GetTaskInfo(queue, receipt.JobID)
	if err != nil {
		t.Fatal(err)
	}
	for way, payload := range map[string]string{"Enqueue": string(task.Payload), "Accept": b.Text(t, "SELECT payload FROM invoice_jobs")} {
		if got, err := invoice.Decode([]byte(payload)); err != nil || !got.IssuedAt.Equal(want) {
			t.Errorf("%s sent %s: %v", way, payload, err)
		}
	}
	if !asked.IssuedAt.Equal(before) {
		t.Error("the caller's job was changed")
	}
}

func TestReceiptTellsWhatWasThere(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.repeatable(t)
	receipt := func(want client.Receipt) {
		t.Helper()
		named := job()
		named.Producer = "checkout"
		want.JobID, want.Queue = byTransaction(named), "default"
		if got, err := c.Accept(t.Context(), b.DB, job()); err != nil || got != want {
			t.Errorf("receipt %+v, want %+v; error %v", got, want, err)
		}
	}
	b.Exec(t, `INSERT INTO imported_invoices (transaction_id, idempotency_key, invoice_number) VALUES ('T1', 'T1', 'OLD "1" & <2>')`)
	receipt(client.Receipt{Status: client.Inserted, InvoiceNumber: `OLD "1" & <2>`})
	receipt(client.Receipt{Status: client.Known, InvoiceNumber: `OLD "1" & <2>`})
	b.Exec(t, "UPDATE imported_invoices SET withdrawn_at = now(), withdrawn_by = 'ada'")
	receipt(client.Receipt{Status: client.Known})
	b.Exec(t, invoiced)
	receipt(client.Receipt{Status: client.Known, InvoiceNumber: "INV-000001"})
	if got, err := b.Accept(t.Context(), b.DB, job()); err != nil || got.Status != client.Inserted || got.InvoiceNumber != "INV-000001" {
		t.Errorf("under an id of its own: %+v, %v", got, err)
	}
	if n := b.Count(t, "SELECT count(*) FROM invoice_jobs"); n != 2 {
		t.Errorf("the ledger has %d jobs", n)
	}

	// The rest is no repeat.
	other := job()
	other.Currency = "EUR"
	var taken *client.TakenError
	var pg *pgconn.PgError
	if _, err := c.Accept(t.Context(), b.DB, other); !errors.As(err, &taken) || uuid.Validate(taken.JobID) != nil || !errors.As(err, &pg) || pg.Code != "23505" {
		t.Errorf("another job under the same id: %v", err)
	}
	noID, err := client.New(nil, client.Options{Schema: b.Schema, JobID: func(*invoice.Job) string { return "T1" }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := noID.Accept(t.Context(), unreachable{t}, job()); err == nil {
		t.Error("an id that is no UUID was taken")
	}
}

// A role that may only accept still accepts, and is told less.
func TestReceiptOfARoleThatMayNotRead(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.repeatable(t)
	session, role := b.as(t, "")
	b.Exec(t, `INSERT INTO imported_invoices (transaction_id, idempotency_key, invoice_number) VALUES ('T2', 'T2', 'OLD-2')`)
	b.Exec(t, invoiced)
	told := func(id string, want client.Receipt) {
		t.Helper()
		if got, err := c.Accept(t.Context(), session, jobOf(id)); err != nil || got.Status != want.Status || got.InvoiceNumber != want.InvoiceNumber {
			t.Errorf("%s: receipt %+v, want %+v; error %v", id, got, want, err)
		}
	}
	for range 2 {
		told("T1", client.Receipt{})
	}
	if got, err := b.Accept(t.Context(), session, job()); err != nil || got.Status != client.Inserted {
		t.Errorf("a new id: %+v, %v", got, err)
	}
	b.Exec(t, "GRANT SELECT ON invoices TO "+role)
	told("T1", client.Receipt{})
	b.Exec(t, "GRANT SELECT ON invoice_jobs TO "+role)
	told("T1", client.Receipt{Status: client.Known, InvoiceNumber: "INV-000001"})
	told("T2", client.Receipt{Status: client.Inserted})
	b.Exec(t, "GRANT SELECT ON imported_invoices TO "+role)
	told("T2", client.Receipt{Status: client.Known, InvoiceNumber: "OLD-2"})
}

func TestReceiptOfARepeatedEnqueue(t *testing.T) {
	t.Parallel()
	rdb, queue := rig.Connect(t, sandboxtest.Redis(t)), uuid.NewString()
	c, err := client.New(rdb, client.Options{Queue: queue, JobID: byTransaction})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []client.Status{client.Inserted, client.Known} {
		if got, err := c.Enqueue(t.Context(), job()); err != nil || got.Status != want || got.JobID != byTransaction(job()) {
			t.Errorf("receipt %+v, want %s; error %v", got, want, err)
		}
	}
	other := job()
	other.Currency = "EUR"
	var taken *client.TakenError
	if _, err := c.Enqueue(t.Context(), other); !errors.As(err, &taken) || taken.JobID != byTransaction(job()) {
		t.Errorf("another job under the same id: %v", err)
	}
	receipt, err := c.EnqueuePayload(t.Context(), []byte("{}"))
	if text, _ := json.Marshal(receipt); err != nil || string(text) != `{"job_id":"`+receipt.JobID+`","queue":"`+queue+`","status":"inserted"}` {
		t.Errorf("%s, %v", text, err)
	}
}
