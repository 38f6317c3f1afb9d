package main

import (
	"context"
	_ "embed" // for the tables
	"fmt"

	"github.com/jackc/pgx/v5"

	"invoicer/invoice"
)

//go:embed peers.sql
var peerTables string

// createPeerTables makes a schema as both peers write to it.
func (b *bench) createPeerTables(ctx context.Context, schema string) error {
	if _, err := b.db.Exec(ctx, "CREATE SCHEMA "+pgx.Identifier{schema}.Sanitize()); err != nil {
		return err
	}
	return b.exec(ctx, schema, peerTables)
}

// read is what both peers do with a payload: the same decoding and arithmetic as the worker's, so that these are not what
// is compared.
func read(payload []byte) (job *invoice.Job, totals invoice.Totals, series string, err error) {
	if job, err = invoice.Decode(payload); err != nil {
		return nil, totals, "", err
	}
	if totals, err = job.Calculate(); err != nil {
		return nil, totals, "", err
	}
	series = "INV"
	if totals.Kind == invoice.KindCreditNote {
		series = "INV-CN"
	}
	return job, totals, series, nil
}

// count makes sure that there are as many invoices as there should be, and, if that is promised, that each series'
// numbers are 1 to n.
func (b *bench) count(ctx context.Context, schema string, want int, gapless bool) error {
	name := pgx.Identifier{schema, "invoices"}.Sanitize()
	var invoices, wrong int
	err := b.db.QueryRow(ctx, `SELECT coalesce(sum(n), 0)::bigint, count(*) FILTER (WHERE first <> 1 OR last <> n OR distinct_numbers <> n)
FROM (SELECT count(*) AS n, min(number) AS first, max(number) AS last, count(DISTINCT number) AS distinct_numbers FROM `+name+` GROUP BY series) AS series`).Scan(&invoices, &wrong)
	if err != nil {
		return err
	}
	if invoices != want {
		return fmt.Errorf("%d invoices were made, want %d", invoices, want)
	}
	if gapless && wrong > 0 {
		return fmt.Errorf("%d series have gaps", wrong)
	}
	var bare int
	err = b.db.QueryRow(ctx, `SELECT count(*) FROM `+name+` i WHERE id IN (SELECT id FROM `+name+` ORDER BY id DESC LIMIT 1000)
AND NOT EXISTS (SELECT FROM `+pgx.Identifier{schema, "invoice_lines"}.Sanitize()+` l WHERE l.invoice_id = i.id)`).Scan(&bare)
	if err == nil && bare > 0 {
		err = fmt.Errorf("%d invoices have no lines", bare)
	}
	return err
}
