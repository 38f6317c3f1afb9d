package client_test

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"invoicer/invoice"
	"invoicer/worker/client"
)

func (b *site) connect(t *testing.T) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), b.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

func TestAcceptWithinPgx(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Exec(t, invoiced)
	conn := b.connect(t)
	for _, end := range []struct {
		do   func(pgx.Tx, context.Context) error
		want string
	}{
		{pgx.Tx.Rollback, "nothing"},
		{pgx.Tx.Commit, "T1 T1 checkout default accepted, T1 T1 checkout bulk accepted, T2 T2 checkout bulk accepted"},
	} {
		tx, err := conn.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		receipt, err := b.Accept(t.Context(), client.Pgx(tx), job())
		if err != nil || receipt.Status != client.Inserted || receipt.InvoiceNumber != "INV-000001" {
			t.Fatalf("receipt %+v, error %v", receipt, err)
		}
		receipts, err := b.AcceptMany(t.Context(), client.Pgx(tx), []*invoice.Job{jobOf("T1"), jobOf("T2")}, "bulk")
		if err != nil || len(receipts) != 2 || receipts[0].InvoiceNumber != "INV-000001" || receipts[1].InvoiceNumber != "" {
			t.Fatalf("receipts %+v, error %v", receipts, err)
		}
		standing, err := b.Lookup(t.Context(), client.Pgx(tx), "T1")
		if err != nil || standing.State != client.Invoiced || standing.TotalMinor != 1836 || standing.InvoicedAt.IsZero() || standing.Waiting != 2 {
			t.Errorf("in the transaction: %+v, error %v", standing, err)
		}
		b.accepted(t, "nothing") // before its end
		if err := end.do(tx, t.Context()); err != nil {
			t.Fatal(err)
		}
		b.accepted(t, end.want)
	}

	// Outside of a transaction, on a connection, and errors are those of pgx.
	if standing, err := b.Lookup(t.Context(), client.Pgx(conn), "T2"); err != nil || standing.State != client.Accepted {
		t.Errorf("%+v, %v", standing, err)
	}
	var pg *pgconn.PgError
	if _, err := b.Accept(t.Context(), client.Pgx(conn), job(), "No Queue"); !errors.As(err, &pg) || pg.Code != "22023" {
		t.Errorf("a bad queue: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Accept(ended, client.Pgx(conn), job()); !errors.Is(err, context.Canceled) {
		t.Errorf("after its end: %v", err)
	}
}
