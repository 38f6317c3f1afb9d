package main

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

// accept puts jobs into the ledger through its SQL door.
func (b *bench) accept(ctx context.Context, schema string, j jobs) error {
	const size = 500
	statement := "SELECT count(" + pgx.Identifier{schema, "accept"}.Sanitize() + "(payload, $2, new_queue := true)) FROM unnest($1::text[]) AS payload"
	group, grouped := errgroup.WithContext(ctx)
	group.SetLimit(4)
	err := j.chunks(size, func(payloads [][]byte) error {
		texts := make([]string, len(payloads))
		for i, p := range payloads {
			texts[i] = string(p)
		}
		group.Go(func() error {
			_, err := b.db.Exec(grouped, statement, texts, queue)
			return err
		})
		return grouped.Err()
	})
	if waited := group.Wait(); waited != nil {
		return waited
	}
	if err != nil {
		return err
	}
	return b.exec(ctx, schema, "ANALYZE invoice_jobs")
}

// countInvoices tells how many there are, without looking at what is not there yet.
func (b *bench) countInvoices(ctx context.Context, schema string) (n int, err error) {
	err = b.db.QueryRow(ctx, "SELECT count(*) FROM "+pgx.Identifier{schema, "invoices"}.Sanitize()).Scan(&n)
	return n, err
}

// countEnds makes sure that every job has the end that it should have.
func (b *bench) countEnds(ctx context.Context, schema string, all, repeated int, ledger bool) error {
	var done, open, duplicates int
	err := b.db.QueryRow(ctx, `SELECT count(*) FILTER (WHERE state = 'done'), count(*) FILTER (WHERE state <> 'done'),
(SELECT count(*) FROM `+pgx.Identifier{schema, "duplicate_attempts"}.Sanitize()+`) FROM `+pgx.Identifier{schema, "invoice_jobs"}.Sanitize()).
		Scan(&done, &open, &duplicates)
	if err != nil {
		return err
	}
	if open > 0 || duplicates != repeated || ledger && done != all {
		return fmt.Errorf("%d jobs of the ledger done, %d not, %d duplicates on record; want %d duplicates and none open", done, open, duplicates, repeated)
	}
	return nil
}
