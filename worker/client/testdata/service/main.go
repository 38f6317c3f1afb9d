// A billing service that asks for one invoice straight through Redis, or, where it is told of a database, for one in a
// transaction of its own, whose statements it prints.
package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
		TransactionID: "536365", Currency: "GBP", IssuedAt: time.Now(),
		Lines: []invoice.Line{{SKU: "85123A", Quantity: invoice.MustDecimal("6"), UnitPrice: invoice.MustDecimal("2.55")}},
	}
	if len(os.Args) > 2 && os.Args[2] == "accept" {
		if _, err := c.Accept(context.Background(), sql.OpenDB(transaction{}), job); err != nil {
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

func (t transaction) Connect(context.Context) (driver.Conn, error) { return t, nil }
func (t transaction) Driver() driver.Driver                        { return t }
func (t transaction) Open(string) (driver.Conn, error)             { return t, nil }
func (transaction) Prepare(string) (driver.Stmt, error)            { return nil, errors.ErrUnsupported }
func (transaction) Begin() (driver.Tx, error)                      { return nil, errors.ErrUnsupported }
func (transaction) Close() error                                   { return nil }

func (transaction) QueryContext(_ context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	statement := []any{query}
	for _, a := range args {
		statement = append(statement, a.Value)
	}
	return &answer{}, json.NewEncoder(os.Stdout).Encode(statement)
}

// An answer says that one job is accepted, and tells nothing more.
type answer struct{ read bool }

func (*answer) Columns() []string { return []string{"accepted", "told"} }
func (*answer) Close() error      { return nil }

func (a *answer) Next(values []driver.Value) error {
	if a.read {
		return io.EOF
	}
	a.read, values[0] = true, int64(1)
	return nil
}
