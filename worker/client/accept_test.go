package client_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"invoicer/internal/rig"
	"invoicer/invoice"
	"invoicer/worker/client"
)

// A site is a ledger, and a client that only accepts.
type site struct {
	*client.Client
	*rig.Database
}

func setup(t *testing.T) *site {
	t.Helper()
	d := rig.NewDatabase(t)
	c, err := client.New(nil, client.Options{Schema: d.Schema, Producer: "checkout"})
	if err != nil {
		t.Fatal(err)
	}
	return &site{Client: c, Database: d}
}

// accepted is what the ledger has.
func (b *site) accepted(t *testing.T, want string) {
	t.Helper()
	got := b.Text(t, "SELECT coalesce(string_agg(concat_ws(' ', transaction_id, idempotency_key, producer, queue, state), ', '), 'nothing') FROM invoice_jobs")
	if got != want {
		t.Errorf("the ledger has %s, want %s", got, want)
	}
}

func TestAcceptGoesWithTheCallersTransaction(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Exec(t, "CREATE TABLE orders (id int)")
	for _, end := range []struct {
		do   func(*sql.Tx) error
		want string
	}{
		{(*sql.Tx).Rollback, "nothing"},
		{(*sql.Tx).Commit, "T1 T1 checkout bulk accepted"},
	} {
		tx, err := b.DB.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.ExecContext(t.Context(), "INSERT INTO orders VALUES (1)"); err != nil {
			t.Fatal(err)
		}
		asked := job()
		receipt, err := b.Accept(t.Context(), tx, asked, "bulk")
		if err != nil {
			t.Fatal(err)
		}
		if receipt.Queue != "bulk" || uuid.Validate(receipt.JobID) != nil || asked.Producer != "" {
			t.Errorf("receipt %+v; the job's producer is now %q", receipt, asked.Producer)
		}
		b.accepted(t, "nothing") // before its end
		if err := end.do(tx); err != nil {
			t.Fatal(err)
		}
		b.accepted(t, end.want)
	}
}

func TestAcceptOnAConnection(t *testing.T) {
	t.Parallel()
	b := setup(t)
	connection, err := b.DB.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	receipt, err := b.Accept(t.Context(), connection, job())
	if err != nil || receipt.Queue != "default" {
		t.Fatalf("receipt %+v, error %v", receipt, err)
	}
	if got := b.Text(t, "SELECT job_id FROM invoice_jobs"); got != receipt.JobID {
		t.Errorf("job %s, the receipt says %s", got, receipt.JobID)
	}
}

func TestAcceptWithinGORM(t *testing.T) {
	t.Parallel()
	for name, prepared := range map[string]bool{"plain": false, "prepared statements": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			db, err := gorm.Open(postgres.New(postgres.Config{Conn: b.DB}), &gorm.Config{Logger: logger.Discard, PrepareStmt: prepared})
			if err != nil {
				t.Fatal(err)
			}
			accept := func(end error) {
				t.Helper()
				err := db.WithContext(t.Context()).Transaction(func(tx *gorm.DB) error {
					if _, err := b.Accept(t.Context(), tx.Statement.ConnPool, job()); err != nil {
						t.Error(err)
					}
					standing, err := b.Lookup(t.Context(), tx.Statement.ConnPool, "T1")
					if err != nil || standing.Waiting != 1 {
						t.Errorf("in the transaction: %+v, error %v", standing, err)
					}
					return end
				})
				if !errors.Is(err, end) {
					t.Fatal(err)
				}
			}
			accept(errors.New("rolled back"))
			b.accepted(t, "nothing")
			accept(nil)
			b.accepted(t, "T1 T1 checkout default accepted")
		})
	}
}

// unreachable is a database that nothing may be sent to.
type unreachable struct{ t *testing.T }

func (u unreachable) QueryRowContext(context.Context, string, ...any) *sql.Row {
	u.t.Error("something was sent")
	return nil
}

func TestAcceptRefusesBeforeAnythingIsSent(t *testing.T) {
	t.Parallel()
	c, err := client.New(nil, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	bad := job()
	bad.Currency, bad.TransactionID = "XYZ", ""
	var invalid *invoice.InvalidError
	if _, err := c.Accept(t.Context(), unreachable{t}, bad); !errors.As(err, &invalid) || len(invalid.Problems) != 2 {
		t.Errorf("error %v, want both fields named", err)
	}
}

func TestAClientWithoutRedisOnlyAccepts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if _, err := b.Enqueue(t.Context(), job()); err == nil {
		t.Error("enqueued without Redis")
	}
	if _, err := b.Accept(t.Context(), b.DB, job()); err != nil {
		t.Error(err)
	}
	var pg *pgconn.PgError
	if _, err := b.Accept(t.Context(), b.DB, job(), "No Queue"); !errors.As(err, &pg) || pg.Code != "22023" {
		t.Errorf("a bad queue: %v", err)
	}
}
