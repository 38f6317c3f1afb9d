package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// A partitionTrial compares the table of invoices as it is with one that is partitioned by period, whose uniqueness a table of
// identities keeps: a unique index of a partitioned table must contain what it is partitioned by, so none of its own could keep
// one invoice for each transaction.
type partitionTrial struct {
	Invoices, Partitions int
	Whole, Parts         partitioned
}

// partitioned is what was measured of one of the two.
type partitioned struct {
	Insert     float64 // milliseconds for 200 invoices, as a group writes them, when all others are there
	Find       float64 // milliseconds for 1,000 searches by transaction
	List       float64 // milliseconds for one period's sum
	Drop       float64 // milliseconds until a period is gone
	Bytes      float64 // of each invoice, with indexes
	IndexBytes float64 // of these, the indexes
}

// partition makes the trial in a schema of its own, on copies of the same invoices.
func (b *bench) partition(ctx context.Context, invoices int) (*partitionTrial, error) {
	const name, parts = schema + "_parts", 12
	defer func() { _ = b.empty(context.WithoutCancel(ctx), name) }()
	if err := b.empty(ctx, name); err != nil {
		return nil, err
	}
	if err := b.fill(ctx, name, invoices); err != nil {
		return nil, err
	}
	c, err := pgx.Connect(ctx, b.databaseURL)
	if err != nil {
		return nil, err
	}
	defer c.Close(context.WithoutCancel(ctx))
	if _, err := c.Exec(ctx, "SET search_path TO "+pgx.Identifier{name}.Sanitize()+fmt.Sprintf(`;
-- Two tables that lack what both would have alike: triggers, and what refers to them.
CREATE TABLE made AS SELECT * FROM invoices;
UPDATE made SET created_at = '2026-01-15Z'::timestamptz + (id %% %[1]d) * interval '1 month';
CREATE TABLE whole (LIKE invoices INCLUDING ALL EXCLUDING IDENTITY);
CREATE TABLE parts (LIKE invoices INCLUDING DEFAULTS INCLUDING CONSTRAINTS) PARTITION BY RANGE (created_at);
CREATE INDEX ON parts (id);
CREATE TABLE identities (
    issuer text NOT NULL, transaction_id text NOT NULL, idempotency_key text NOT NULL, job_id text NOT NULL, invoice_number text NOT NULL, series text NOT NULL, period text NOT NULL, number bigint NOT NULL,
    id bigint NOT NULL, created_at timestamptz NOT NULL,
    PRIMARY KEY (id), UNIQUE (issuer, transaction_id), UNIQUE (issuer, idempotency_key), UNIQUE (job_id), UNIQUE (issuer, invoice_number), UNIQUE (issuer, series, period, number)
);
DO $$ BEGIN FOR n IN 0 .. %[1]d LOOP
    EXECUTE format('CREATE TABLE parts_%%s PARTITION OF parts FOR VALUES FROM (%%L) TO (%%L)', n,
        '2026-01-01Z'::timestamptz + n * interval '1 month', '2026-01-01Z'::timestamptz + (n + 1) * interval '1 month');
END LOOP; END $$;
INSERT INTO whole SELECT * FROM made ORDER BY id;
INSERT INTO parts SELECT * FROM made ORDER BY id;
INSERT INTO identities SELECT issuer, transaction_id, idempotency_key, job_id, invoice_number, series, period, number, id, created_at FROM made ORDER BY id;
CREATE TABLE more AS SELECT * FROM made ORDER BY random() LIMIT 100 * 200;
UPDATE more SET id = id + 100000000, number = number + 100000000, transaction_id = 'more-' || transaction_id, idempotency_key = 'more-' || idempotency_key,
    job_id = 'more-' || job_id, invoice_number = 'more-' || invoice_number, created_at = '2027-01-15Z';
ALTER TABLE more ADD COLUMN place bigserial;
`, parts)); err != nil {
		return nil, err
	}
	if _, err := c.Exec(ctx, "VACUUM (ANALYZE)"); err != nil {
		return nil, err
	}
	var list []string
	if err := c.QueryRow(ctx, "SELECT array_agg(quote_ident(attname) ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'whole'::regclass AND attnum > 0 AND NOT attisdropped").Scan(&list); err != nil {
		return nil, err
	}
	columns := strings.Join(list, ", ")
	timed := func(statement string) (float64, error) {
		begun := time.Now()
		_, err := c.Exec(ctx, statement)
		return float64(time.Since(begun).Microseconds()) / 1000, err
	}
	trial := &partitionTrial{Invoices: invoices, Partitions: parts}
	group := func(into string) string {
		return "INSERT INTO " + into + " (" + columns + ") SELECT " + columns + " FROM more WHERE place > n * 200 AND place <= (n + 1) * 200"
	}
	loop := func(body string) string {
		return "DO $$ BEGIN FOR n IN 0 .. 99 LOOP " + body + "; END LOOP; END $$"
	}
	for _, m := range []struct {
		into *float64
		of   float64
		sql  string
	}{
		{&trial.Whole.Insert, 100, loop(group("whole"))},
		{&trial.Parts.Insert, 100, loop(group("parts") + `;
INSERT INTO identities SELECT issuer, transaction_id, idempotency_key, job_id, invoice_number, series, period, number, id, created_at FROM more WHERE place > n * 200 AND place <= (n + 1) * 200`)},
		{&trial.Whole.Find, 1, "DO $$ DECLARE r record; BEGIN FOR n IN 1 .. 1000 LOOP SELECT * INTO r FROM whole WHERE issuer = '' AND transaction_id = 'filled-' || n; END LOOP; END $$"},
		{&trial.Parts.Find, 1, `DO $$ DECLARE r record; i record; BEGIN FOR n IN 1 .. 1000 LOOP
SELECT id, created_at INTO i FROM identities WHERE issuer = '' AND transaction_id = 'filled-' || n; SELECT * INTO r FROM parts WHERE id = i.id AND created_at = i.created_at; END LOOP; END $$`},
		{&trial.Whole.List, 1, "SELECT sum(total_minor) FROM whole WHERE created_at >= '2026-03-01Z' AND created_at < '2026-04-01Z'"},
		{&trial.Parts.List, 1, "SELECT sum(total_minor) FROM parts WHERE created_at >= '2026-03-01Z' AND created_at < '2026-04-01Z'"},
		{&trial.Whole.Drop, 1, "DELETE FROM whole WHERE created_at < '2026-02-01Z'"},
		{&trial.Parts.Drop, 1, "ALTER TABLE parts DETACH PARTITION parts_0; DROP TABLE parts_0"},
	} {
		took, err := timed(m.sql)
		if err != nil {
			return nil, fmt.Errorf("partition: %w", err)
		}
		*m.into = took / m.of
	}
	for _, m := range []struct {
		into *partitioned
		of   string
	}{{&trial.Whole, "relname = 'whole'"}, {&trial.Parts, `relname ~ '^(parts_\d+|identities)$'`}} {
		if err := c.QueryRow(ctx, `SELECT sum(pg_total_relation_size(oid)) / $1::float8, sum(pg_indexes_size(oid)) / $1::float8 FROM pg_class WHERE relnamespace = $2::regnamespace AND relkind = 'r' AND `+m.of,
			invoices, name).Scan(&m.into.Bytes, &m.into.IndexBytes); err != nil {
			return nil, err
		}
	}
	return trial, nil
}

func (p *partitionTrial) table() table {
	t := table{title: "The table of invoices, as it is and partitioned by month", header: []string{
		"", "a group of 200, ms", "1,000 searches by transaction, ms", "a month's sum, ms", "a month is removed, ms", "bytes an invoice", "of these indexes",
	}}
	if p == nil {
		return t
	}
	for _, r := range []struct {
		name string
		partitioned
	}{{"one table", p.Whole}, {fmt.Sprintf("%d partitions, and identities", p.Partitions), p.Parts}} {
		t.rows = append(t.rows, []string{
			r.name, fmt.Sprintf("%.1f", r.Insert), fmt.Sprintf("%.0f", r.Find), fmt.Sprintf("%.0f", r.List), fmt.Sprintf("%.0f", r.Drop), thousands(r.Bytes), thousands(r.IndexBytes),
		})
	}
	return t
}
