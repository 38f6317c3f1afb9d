// A billing service that asks for one invoice straight through Redis, or, where it is told of a database, for one in a
// transaction of its own, whose statements it prints.
package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
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
	job := &invoice.Job{
		TransactionID: "536365", Currency: "GBP", IssuedAt: time.Now().Truncate(time.Microsecond),
		Lines: []invoice.Line{{SKU: "85123A", Quantity: invoice.MustDecimal("6"), UnitPrice: invoice.MustDecimal("2.55")}},
	}
	if len(os.Args) > 2 && os.Args[2] == "accept" {
		if _, err := c.Accept(context.Background(), transaction{}, job); err != nil {
			log.Fatal(err)
		}
		return
	}
	receipt, err := c.Enqueue(context.Background(), job)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(receipt.JobID)
}

// transaction stands for the service's own: the driver is the service's choice.
type transaction struct{}

func (transaction) ExecContext(_ context.Context, query string, args ...any) (sql.Result, error) {
	return driver.RowsAffected(1), json.NewEncoder(os.Stdout).Encode(append([]any{query}, args...))
}
