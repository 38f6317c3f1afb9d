package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"invoicer/invoice"
	"invoicer/invoice/postgres"
	"invoicer/migrations"
)

// The first issuer is opened beside writers, none of whom fails for good; and others open it at the same time.
func TestFirstIssuerIsOpenedBesideWriters(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *postgres.Options) { o.LockTimeout, o.StatementTimeout = time.Minute, time.Minute }) // on a busy machine
	var writers sync.WaitGroup
	var over atomic.Bool
	ctx := context.WithoutCancel(t.Context())
	for w := range 4 {
		writers.Go(func() {
			for i := 0; !over.Load(); i++ {
				id := fmt.Sprintf("W%d-%d", w, i)
				asked := request(id, job(t, id, inSeries(fmt.Sprint("S", i%3))))
				r, err := b.generator.Generate(ctx, asked)
				for errors.Is(err, invoice.ErrUnavailable) { // as a worker does, while the swap holds the tables
					r, err = b.generator.Generate(ctx, asked)
				}
				if err != nil || r.Outcome != invoice.Created {
					t.Errorf("%s: %s, %v", id, r.Outcome, err)
					return
				}
			}
		})
	}
	b.create(t, "first", job(t, "first"))
	var openers sync.WaitGroup
	for range 3 {
		openers.Go(func() { b.separate(ctx, t) })
	}
	openers.Wait()
	b.openIssuers(t, "ACME-DE")
	b.create(t, "its first", job(t, "W0-0", of("ACME-DE"), inSeries("S0")))
	over.Store(true)
	writers.Wait()
	b.gapless(t)
	if !t.Failed() && b.Text(t, "SELECT issuers_apart()::text") != "true" {
		t.Error("what is unique wasn't changed")
	}
	if n := b.Count(t, "SELECT count(*) FROM pg_indexes WHERE schemaname = $1 AND indexname LIKE '%issuer%idx'", b.Schema); n > 1 {
		t.Errorf("%d indexes are left over", n-1)
	}
}

// A build that was broken off is continued.
func TestOpeningTheFirstIssuerContinues(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.create(t, "first", job(t, "T1"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	m, err := migrations.New(b.URL, b.Schema)
	if err != nil {
		t.Fatal(err)
	}
	steps := 0
	err = m.SeparateIssuers(ctx, func(string) {
		if steps++; steps == 3 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("broken off: %v", err)
	}
	// As a server that was killed leaves it.
	b.Exec(t, "CREATE UNIQUE INDEX invoices_invoice_number_issuer_idx ON invoices (invoice_number, issuer)")
	b.Exec(t, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'invoices_invoice_number_issuer_idx'::regclass")
	b.openIssuers(t, "ACME-DE")
	b.create(t, "its first", job(t, "T1", of("ACME-DE")))
}
