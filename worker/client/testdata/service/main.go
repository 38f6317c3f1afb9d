// A billing service that asks for one invoice.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/redis/go-redis/v9"

	"invoicer/invoice"
	"invoicer/worker/client"
)

func main() {
	options, err := redis.ParseURL(os.Getenv("INVOICER_REDIS_URL"))
	if err != nil {
		log.Fatal(err)
	}
	rdb := redis.NewClient(options)
	defer rdb.Close()

	c, err := client.New(rdb, client.Options{Producer: "checkout", Queue: os.Args[1]})
	if err != nil {
		log.Fatal(err)
	}
	receipt, err := c.Enqueue(context.Background(), &invoice.Job{
		TransactionID: "536365", Currency: "GBP", IssuedAt: time.Now().Truncate(time.Microsecond),
		Lines: []invoice.Line{{SKU: "85123A", Quantity: invoice.MustDecimal("6"), UnitPrice: invoice.MustDecimal("2.55")}},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(receipt.JobID)
}
