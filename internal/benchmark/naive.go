package main

import (
	"context"
	"time"

	"github.com/hibiken/asynq"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/redis/go-redis/v9"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"

	"invoicer/invoice"
)

// naive is the well-known worker: SETNX, EXPIRE, a transaction through GORM, DEL. Who loses the race is thrown away.
type naive struct{ gapless bool }

type naiveInvoice struct {
	ID                                  int64 `gorm:"primaryKey"`
	Series                              string
	Number                              int64 `gorm:"default:(-)"` // the sequence's, unless it is counted
	TransactionID, IdempotencyKey       string
	CustomerID, CustomerName, Country   string
	Currency                            string
	SubtotalMinor, TaxMinor, TotalMinor int64
	IssuedAt, CreatedAt                 time.Time
	Lines                               []naiveLine `gorm:"foreignKey:InvoiceID"`
	Taxes                               []naiveTax  `gorm:"foreignKey:InvoiceID"`
}

type naiveLine struct {
	InvoiceID                            int64 `gorm:"primaryKey;autoIncrement:false"`
	Position                             int   `gorm:"primaryKey;autoIncrement:false"`
	SKU                                  string
	Description                          string
	Quantity, UnitPrice, DiscountPercent string
	TaxPercent                           *string
	NetMinor                             int64
}

type naiveTax struct {
	InvoiceID          int64  `gorm:"primaryKey;autoIncrement:false"`
	TaxPercent         string `gorm:"primaryKey"`
	NetMinor, TaxMinor int64
}

type naiveCounter struct {
	Series     string `gorm:"primaryKey"`
	LastNumber int64
}

func (naiveInvoice) TableName() string { return "invoices" }
func (naiveLine) TableName() string    { return "invoice_lines" }
func (naiveTax) TableName() string     { return "invoice_taxes" }
func (naiveCounter) TableName() string { return "counters" }

func (n naive) open(ctx context.Context, b *bench, s setting, schema string) (*system, error) {
	if err := b.createPeerTables(ctx, schema); err != nil {
		return nil, err
	}
	config, err := pgx.ParseConfig(b.databaseURL)
	if err != nil {
		return nil, err
	}
	config.RuntimeParams["search_path"] = pgx.Identifier{schema}.Sanitize()
	pool := stdlib.OpenDB(*config)
	pool.SetMaxOpenConns(s.Slots + 4)
	pool.SetMaxIdleConns(s.Slots + 4)
	// What GORM's page on performance recommends. Statements are prepared and kept by pgx already.
	db, err := gorm.Open(postgres.New(postgres.Config{Conn: pool}), &gorm.Config{Logger: logger.Discard, SkipDefaultTransaction: true})
	if err != nil {
		return nil, err
	}
	rdb, err := b.newRedis(s.Slots + 30)
	if err != nil {
		return nil, err
	}
	q := &asynqServers{rdb: rdb, setting: s}
	return &system{
		load: func(ctx context.Context, j jobs) error { return enqueuePlainly(ctx, rdb, j) },
		start: func(_ context.Context, ended func()) error {
			return q.start(func(ctx context.Context, task *asynq.Task) error {
				if err := n.work(ctx, rdb, db, task.Payload()); err != nil {
					return err
				}
				ended()
				return nil
			})
		},
		stop:  q.stop,
		check: func(ctx context.Context, j jobs) error { return b.count(ctx, schema, j.n, n.gapless) },
		close: func() {
			_ = rdb.Close()
			_ = pool.Close()
		},
	}, nil
}

func (n naive) work(ctx context.Context, rdb redis.UniversalClient, db *gorm.DB, payload []byte) error {
	job, totals, series, err := read(payload)
	if err != nil {
		return err
	}
	lock := "lock:" + job.TransactionID
	won, err := rdb.SetNX(ctx, lock, 1, 0).Result()
	if err != nil || !won {
		return err // somebody else is at it
	}
	if err := rdb.Expire(ctx, lock, 5*time.Second).Err(); err != nil {
		return err
	}
	defer rdb.Del(ctx, lock)

	return db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		var known int64
		if err := tx.Model(&naiveInvoice{}).Where("idempotency_key = ?", job.IdempotencyKey).Count(&known).Error; err != nil || known > 0 {
			return err
		}
		row := newNaiveInvoice(job, totals, series)
		if n.gapless {
			var counter naiveCounter
			if err := tx.Clauses(clause.Locking{Strength: "UPDATE"}).Where("series = ?", series).Take(&counter).Error; err != nil {
				return err
			}
			row.Number = counter.LastNumber + 1
			if err := tx.Model(&counter).Update("last_number", row.Number).Error; err != nil {
				return err
			}
		}
		return tx.Create(row).Error
	})
}

func newNaiveInvoice(job *invoice.Job, totals invoice.Totals, series string) *naiveInvoice {
	row := &naiveInvoice{
		Series: series, TransactionID: job.TransactionID, IdempotencyKey: job.IdempotencyKey,
		CustomerID: job.CustomerID, CustomerName: job.CustomerName, Country: job.Country, Currency: job.Currency,
		SubtotalMinor: totals.Subtotal, TaxMinor: totals.Tax, TotalMinor: totals.Total, IssuedAt: job.IssuedAt,
	}
	for i, l := range job.Lines {
		line := naiveLine{
			Position: i + 1, SKU: l.SKU, Description: l.Description,
			Quantity: l.Quantity.String(), UnitPrice: l.UnitPrice.String(), DiscountPercent: l.DiscountPercent.String(),
			NetMinor: totals.LineNets[i],
		}
		if l.TaxPercent != nil {
			percent := l.TaxPercent.String()
			line.TaxPercent = &percent
		}
		row.Lines = append(row.Lines, line)
	}
	for _, t := range totals.Taxes {
		row.Taxes = append(row.Taxes, naiveTax{TaxPercent: t.Percent.String(), NetMinor: t.Net, TaxMinor: t.Tax})
	}
	return row
}
