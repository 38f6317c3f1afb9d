package client_test

import (
	"context"
	"database/sql"
	"fmt"
	"time"

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
	c, err := client.New(nil, client.Options{Producer: "checkout"}) // who only accepts needs no Redis
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
}
