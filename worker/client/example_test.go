package client_test

import (
	"context"
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
