package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"invoicer/invoice"
)

// riverPeer is River on its pgx driver, as its documentation has it: unique jobs, each completed in the transaction that
// writes its invoice, which makes every one of them exactly once.
type riverPeer struct{ gapless bool }

type riverArgs struct {
	TransactionID string          `json:"transaction_id" river:"unique"`
	Job           json.RawMessage `json:"job"`
}

func (riverArgs) Kind() string { return "invoice" }

func (riverArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{UniqueOpts: river.UniqueOpts{ByArgs: true}}
}

func (p riverPeer) open(ctx context.Context, b *bench, s setting, schema string) (_ *system, err error) {
	if err := b.createPeerTables(ctx, schema); err != nil {
		return nil, err
	}
	config, err := b.poolConfig(schema, s.Slots+8)
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			pool.Close()
		}
	}()
	quiet := slog.New(slog.DiscardHandler)
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Logger: quiet})
	if err != nil {
		return nil, err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return nil, err
	}
	work := &riverWorker{pool: pool, gapless: p.gapless}
	workers := river.NewWorkers()
	river.AddWorker(workers, work)
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
		// Those of River's own benchmark, which names them as the ones that matter for throughput.
		FetchCooldown:     2 * time.Millisecond,
		FetchPollInterval: 20 * time.Millisecond,
		Queues:            map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: s.Slots}},
		Workers:           workers,
		Logger:            quiet,
	})
	if err != nil {
		return nil, err
	}
	started := false
	return &system{
		load: func(ctx context.Context, j jobs) error {
			err := j.chunks(1000, func(payloads [][]byte) error { return insertRiverJobs(ctx, client, payloads) })
			if err != nil {
				return err
			}
			return b.exec(ctx, schema, "ANALYZE river_job")
		},
		start: func(ctx context.Context, ended func()) error {
			work.ended, started = ended, true
			return client.Start(ctx)
		},
		stop: func() {
			if started {
				started = false
				_ = client.Stop(context.WithoutCancel(ctx)) // what has ended is checked
			}
		},
		check: func(ctx context.Context, j jobs) error { return b.count(ctx, schema, j.n, p.gapless) },
		close: pool.Close,
	}, nil
}

func insertRiverJobs(ctx context.Context, client *river.Client[pgx.Tx], payloads [][]byte) error {
	params := make([]river.InsertManyParams, len(payloads))
	for i, payload := range payloads {
		job, err := invoice.Decode(payload)
		if err != nil {
			return err
		}
		params[i].Args = riverArgs{TransactionID: job.TransactionID, Job: payload}
	}
	_, err := client.InsertManyFast(ctx, params)
	return err
}

type riverWorker struct {
	river.WorkerDefaults[riverArgs]
	pool    *pgxpool.Pool
	gapless bool
	ended   func()
}

func (w *riverWorker) Work(ctx context.Context, job *river.Job[riverArgs]) error {
	content, totals, series, err := read(job.Args.Job)
	if err != nil {
		return err
	}
	tx, err := w.pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()

	var number *int64 // the sequence's, unless it is counted
	if w.gapless {
		err := tx.QueryRow(ctx, "UPDATE counters SET last_number = last_number + 1 WHERE series = $1 RETURNING last_number", series).Scan(&number)
		if err != nil {
			return err
		}
	}
	if err := insertPlainly(ctx, tx, content, totals, series, number); err != nil {
		return err
	}
	if _, err := river.JobCompleteTx[*riverpgxv5.Driver](ctx, tx, job); err != nil {
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return err
	}
	w.ended()
	return nil
}

// insertPlainly writes an invoice in one statement and one round trip, which is the fastest way to write one.
func insertPlainly(ctx context.Context, tx pgx.Tx, j *invoice.Job, d invoice.Totals, series string, number *int64) error {
	n := len(j.Lines)
	skus, descriptions := make([]string, n), make([]string, n)
	quantities, prices, discounts, percents := make([]string, n), make([]string, n), make([]string, n), make([]*string, n)
	for i, l := range j.Lines {
		skus[i], descriptions[i] = l.SKU, l.Description
		quantities[i], prices[i], discounts[i] = l.Quantity.String(), l.UnitPrice.String(), l.DiscountPercent.String()
		if l.TaxPercent != nil {
			percent := l.TaxPercent.String()
			percents[i] = &percent
		}
	}
	taxPercents, nets, taxes := make([]string, len(d.Taxes)), make([]int64, len(d.Taxes)), make([]int64, len(d.Taxes))
	for i, t := range d.Taxes {
		taxPercents[i], nets[i], taxes[i] = t.Percent.String(), t.Net, t.Tax
	}
	_, err := tx.Exec(ctx, `
WITH invoice AS (
    INSERT INTO invoices (series, number, transaction_id, idempotency_key, customer_id, customer_name, country, currency,
        subtotal_minor, tax_minor, total_minor, issued_at)
    VALUES ($1, coalesce($2, nextval('invoices_number_seq')), $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
    RETURNING id
), lines AS (
    INSERT INTO invoice_lines (invoice_id, position, sku, description, quantity, unit_price, discount_percent, tax_percent, net_minor)
    SELECT invoice.id, l.position, l.sku, l.description, l.quantity, l.unit_price, l.discount, l.percent, l.net
    FROM invoice, unnest($13::text[], $14::text[], $15::text[]::numeric[], $16::text[]::numeric[], $17::text[]::numeric[], $18::text[]::numeric[], $19::bigint[])
        WITH ORDINALITY AS l (sku, description, quantity, unit_price, discount, percent, net, position)
)
INSERT INTO invoice_taxes (invoice_id, tax_percent, net_minor, tax_minor)
SELECT invoice.id, t.percent, t.net, t.tax
FROM invoice, unnest($20::text[]::numeric[], $21::bigint[], $22::bigint[]) AS t (percent, net, tax)`,
		series, number, j.TransactionID, j.IdempotencyKey, j.CustomerID, j.CustomerName, j.Country, j.Currency,
		d.Subtotal, d.Tax, d.Total, j.IssuedAt,
		skus, descriptions, quantities, prices, discounts, percents, d.LineNets,
		taxPercents, nets, taxes)
	return err
}
