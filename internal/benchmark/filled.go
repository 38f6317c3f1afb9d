package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// filled measures beside each other how the worker does on an empty table and on those that hold many invoices already.
func (b *bench) filled(ctx context.Context, o options) ([]filledResult, error) {
	sizes := []int{0}
	for text := range strings.SplitSeq(o.sizes, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("-filled %q: numbers of invoices, such as 1000000,5000000", o.sizes)
		}
		sizes = append(sizes, n)
	}
	var variants []variant
	for i, n := range sizes {
		v := variant{
			title:  thousands(float64(n)),
			schema: schema + "_" + strconv.Itoa(i),
			filled: n > 0,
			entry:  entry{contestant: contestant{name: invoicerName, guess: 1500, open: ours{}.open}, setting: o.common},
			source: func(play int) source {
				prefix := "T" + strconv.Itoa(play) + "-"
				return source{"5 lines", func(i int) ([]byte, error) { return synthetic(prefix, i, 5) }}
			},
		}
		defer func() { _ = b.empty(context.WithoutCancel(ctx), v.schema) }()
		if err := b.empty(ctx, v.schema); err != nil {
			return nil, err
		}
		if err := b.fill(ctx, v.schema, n); err != nil {
			return nil, err
		}
		variants = append(variants, v)
	}
	results, err := b.vary(ctx, o, "filled", variants)
	if err != nil {
		return nil, err
	}
	list := make([]filledResult, len(results))
	for i, r := range results {
		list[i] = filledResult{sizes[i], r}
	}
	return list, nil
}

// fill writes invoices of two lines each as the database lets everybody write them: no trigger or constraint is off.
func (b *bench) fill(ctx context.Context, schema string, n int) error {
	if n == 0 {
		return nil
	}
	if err := b.migrate(ctx, schema); err != nil {
		return err
	}
	const step = 100_000
	for from := 1; from <= n; from += step {
		to := min(from+step-1, n)
		if err := b.fillPart(ctx, schema, from, to); err != nil {
			return err
		}
		if to%(5*step) == 0 {
			b.tell("filled: %s of %s invoices", thousands(float64(to)), thousands(float64(n)))
		}
	}
	for _, table := range []string{"invoices", "invoice_lines", "invoice_taxes"} {
		// Autovacuum would do it during the rounds.
		if _, err := b.db.Exec(ctx, "VACUUM (ANALYZE) "+pgx.Identifier{schema, table}.Sanitize()); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) fillPart(ctx context.Context, schema string, from, to int) error {
	c, err := b.db.Acquire(ctx)
	if err != nil {
		return err
	}
	defer c.Release()
	tx, err := c.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	for _, statement := range []string{
		"SET LOCAL search_path TO " + pgx.Identifier{schema}.Sanitize(),
		"INSERT INTO invoice_series (series, period, kind) VALUES ('INV', '', 'invoice') ON CONFLICT (series, period) DO NOTHING",
		fmt.Sprintf(`WITH made AS (
    INSERT INTO invoices (series, period, number, invoice_number, kind, transaction_id, idempotency_key, job_id, fingerprint,
        customer_id, customer_name, country, currency, subtotal_minor, tax_minor, total_minor, issued_at)
    SELECT 'INV', '', n, 'INV-' || lpad(n::text, greatest(6, length(n::text)), '0'), 'invoice', id, id, gen_random_uuid()::text,
        'v1:' || encode(sha256(id::bytea), 'hex'), (12346 + n %% 4400)::text, 'Benchmark & Sons Ltd.', 'United Kingdom', 'GBP',
        1020, 204, 1224, '2010-01-01Z'::timestamptz + n * interval '1 second'
    FROM generate_series(%d, %d) AS n, LATERAL (SELECT 'filled-' || n AS id) AS named
    RETURNING id
), lines AS (
    INSERT INTO invoice_lines (invoice_id, position, sku, description, quantity, unit_price, tax_percent, net_minor)
    SELECT id, position, '85123A', 'WHITE HANGING HEART T-LIGHT HOLDER', 2, 2.55, 20, 510 FROM made, generate_series(1, 2) AS position
)
INSERT INTO invoice_taxes (invoice_id, tax_percent, net_minor, tax_minor) SELECT id, 20, 1020, 204 FROM made`, from, to),
		fmt.Sprintf("UPDATE invoice_series SET last_number = %d WHERE series = 'INV' AND period = ''", to),
	} {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return fmt.Errorf("fill: %w", err)
		}
	}
	return tx.Commit(ctx)
}
