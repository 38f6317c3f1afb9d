package client_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"invoicer/invoice"
	"invoicer/worker/client"
)

func Example() {
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379"})
	defer rdb.Close()

	c, err := client.New(rdb, client.Options{Producer: "checkout"})
	if err != nil {
		fmt.Println(err)
		return
	}
	receipt, err := c.Enqueue(context.Background(), &invoice.Job{
		TransactionID: "536365",
		Currency:      "GBP",
		IssuedAt:      time.Date(2010, 12, 1, 8, 26, 0, 0, time.UTC), // the transaction's time: a retry repeats it
		Lines:         []invoice.Line{{SKU: "85123A", Quantity: invoice.MustDecimal("6"), UnitPrice: invoice.MustDecimal("2.55")}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("asked as job", receipt.JobID)
}

// The order and the request for its invoice are committed together, or neither is.
func ExampleClient_Accept() {
	db, err := sql.Open("pgx", "postgres://127.0.0.1:5432/shop")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	c, err := client.New(nil, client.Options{Producer: "checkout"}) // nil: Accept needs no Redis
	if err != nil {
		fmt.Println(err)
		return
	}

	ctx := context.Background()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	if _, err := tx.ExecContext(ctx, "UPDATE orders SET paid_at = now() WHERE id = 536365"); err != nil {
		fmt.Println(err)
		return
	}
	receipt, err := c.Accept(ctx, tx, &invoice.Job{
		TransactionID: "536365",
		Currency:      "GBP",
		IssuedAt:      time.Date(2010, 12, 1, 8, 26, 0, 0, time.UTC),
		Lines:         []invoice.Line{{SKU: "85123A", Quantity: invoice.MustDecimal("6"), UnitPrice: invoice.MustDecimal("2.55")}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := tx.Commit(); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("accepted as job", receipt.JobID)

	// Asked on the database, not in the transaction. A service that has something else to do looks later, by the job's id.
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	end, err := c.Wait(ctx, db, receipt.JobID)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		fmt.Println("not yet invoiced; the job goes on")
	case err != nil:
		fmt.Println(err)
	case end.Invoiced():
		fmt.Println("invoiced as", end.InvoiceNumber)
	default:
		fmt.Println(end.Outcome, end.Reason)
	}
}

// A night's orders are asked for in one statement of pgx. A repeat of the night finds its jobs, instead of adding others.
func ExampleClient_AcceptMany() {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, "postgres://127.0.0.1:5432/shop")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close(ctx)
	c, err := client.New(nil, client.Options{Producer: "checkout", JobID: func(j *invoice.Job) string {
		return uuid.NewSHA1(uuid.NameSpaceOID, []byte("checkout "+j.TransactionID)).String()
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	paidAt := time.Date(2010, 12, 1, 8, 26, 0, 0, time.UTC)
	jobs := []*invoice.Job{
		{TransactionID: "536365", Currency: "GBP", IssuedAt: paidAt, Lines: []invoice.Line{{Quantity: invoice.MustDecimal("6"), UnitPrice: invoice.MustDecimal("2.55")}}},
		{TransactionID: "536366", Currency: "GBP", IssuedAt: paidAt, Lines: []invoice.Line{{Quantity: invoice.MustDecimal("1"), UnitPrice: invoice.MustDecimal("7.65")}}},
	}

	tx, err := conn.Begin(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer tx.Rollback(ctx) //nolint:errcheck // after a commit there is nothing to roll back
	receipts, err := c.AcceptMany(ctx, client.Pgx(tx), jobs)
	var bad *client.BatchError
	if errors.As(err, &bad) {
		for _, j := range bad.Jobs {
			fmt.Println(jobs[j.Index].TransactionID, j.Err)
		}
		return
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := tx.Commit(ctx); err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range receipts {
		fmt.Println(r.JobID, r.Status, r.InvoiceNumber) // such as: … known INV-000001
	}
}

// From a service that shares neither database nor Redis with invoicer.
func ExampleOverHTTP() {
	h, err := client.OverHTTP("https://invoicer.example", os.Getenv("INVOICER_TOKEN"), client.HTTPOptions{Producer: "checkout"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer h.Close()

	// It is asked again through broken connections and restarts until this ends. There is one invoice, whatever happens.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	end, err := h.Invoice(ctx, &invoice.Job{
		TransactionID: "536365",
		Currency:      "GBP",
		IssuedAt:      time.Date(2010, 12, 1, 8, 26, 0, 0, time.UTC), // the transaction's time: whoever asks again repeats it
		Lines:         []invoice.Line{{SKU: "85123A", Quantity: invoice.MustDecimal("6"), UnitPrice: invoice.MustDecimal("2.55")}},
	})
	var refused *client.ProblemError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		fmt.Println("not yet invoiced: ask again")
	case errors.As(err, &refused):
		for _, wrong := range refused.Errors {
			fmt.Println(wrong.Pointer, wrong.Detail) // such as: /lines/0/unit_price is required
		}
	case err != nil:
		fmt.Println(err)
	case end.Invoiced():
		fmt.Println("invoiced as", end.InvoiceNumber)
	default:
		fmt.Println(end.Outcome, end.Reason)
	}
}
