package postgres_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/internal/sandbox/servers"
	"invoicer/invoice"
	"invoicer/invoice/postgres"
)

// BenchmarkPooler makes invoices straight and behind PgBouncer, as the jobs of one worker do.
func BenchmarkPooler(b *testing.B) {
	d := rig.NewDatabase(b)
	pooler := sandboxtest.PgBouncer(b, d.URL, servers.PgBouncerOptions{Mode: "transaction"})
	var n atomic.Int64
	for _, way := range []struct{ name, url string }{{"straight", d.URL}, {"transaction mode", pooler.URL}} {
		b.Run(way.name, func(b *testing.B) {
			store, err := postgres.Open(postgres.Options{URL: way.url, Schema: d.Schema})
			if err != nil {
				b.Fatal(err)
			}
			defer store.Close()
			numbering, err := invoice.NewNumbering(invoice.NumberingOptions{})
			if err != nil {
				b.Fatal(err)
			}
			g := invoice.NewGenerator(store.Invoices, numbering)
			b.SetParallelism(64)
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					id := fmt.Sprintf("T%d", n.Add(1))
					j := &invoice.Job{
						Version: 1, TransactionID: id, IdempotencyKey: id, IssuedAt: time.Date(2010, 12, 1, 8, 26, 0, 0, time.UTC), Currency: "GBP",
						Lines: []invoice.Line{{Quantity: invoice.MustDecimal("6"), UnitPrice: invoice.MustDecimal("2.55")}},
					}
					if r, err := g.Generate(b.Context(), invoice.NewRequest(id, 1, j)); err != nil || r.Outcome != invoice.Created {
						b.Errorf("outcome %q, error %v", r.Outcome, err)
					}
				}
			})
		})
	}
}
