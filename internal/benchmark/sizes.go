package main

import (
	"context"
	"fmt"
	"time"

	"invoicer/worker"
)

// sizes are what a job takes, in bytes.
type sizes struct {
	Jobs    int
	Disk    float64 // in Postgres, with indexes
	WAL     float64 // that Postgres has written, and sends to its standbys
	Waiting float64 // in Redis, until it is done
	Kept    float64 // in Redis, for as long as its transaction is remembered there
}

// measureSizes looks at both servers before and after jobs of the ledger.
func (b *bench) measureSizes(ctx context.Context, o options, jobs int) (*sizes, error) {
	if err := b.empty(ctx, schema); err != nil {
		return nil, err
	}
	if err := b.migrate(ctx, schema); err != nil {
		return nil, err
	}
	ended := make(chan struct{}, jobs)
	w, err := newWorkplace(ctx, b, o.common, schema, extras{}, func(e worker.Event) {
		if e.What == worker.Ended {
			ended <- struct{}{}
		}
	})
	if err != nil {
		return nil, err
	}
	defer w.close()
	const bytes = `SELECT (SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relnamespace = $1::regnamespace AND relkind = 'r'), pg_current_wal_lsn() - '0/0'`
	var disk, wal, diskAfter, walAfter float64
	if _, err := b.db.Exec(ctx, "CHECKPOINT"); err != nil { // the first change of a page after it is written whole
		return nil, err
	}
	if err := b.db.QueryRow(ctx, bytes, schema).Scan(&disk, &wal); err != nil {
		return nil, err
	}
	empty, err := b.redisMemory(ctx)
	if err != nil {
		return nil, err
	}
	if err := enqueue(ctx, w.redis, fiveLines.first(jobs)); err != nil {
		return nil, err
	}
	waiting, err := b.redisMemory(ctx)
	if err != nil {
		return nil, err
	}
	stop, err := w.start(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	for n := range jobs {
		select {
		case <-ended:
		case <-time.After(time.Minute):
			return nil, fmt.Errorf("sizes: %d of %d jobs ended", n, jobs)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	stop()
	kept, err := b.redisMemory(ctx)
	if err != nil {
		return nil, err
	}
	if err := b.db.QueryRow(ctx, bytes, schema).Scan(&diskAfter, &walAfter); err != nil {
		return nil, err
	}
	each := func(after, before float64) float64 { return (after - before) / float64(jobs) }
	s := &sizes{Jobs: jobs, Disk: each(diskAfter, disk), WAL: each(walAfter, wal), Waiting: each(waiting, empty), Kept: each(kept, empty)}
	b.tell("sizes: a job of 5 lines takes %.0f bytes in Postgres, %.0f of WAL, %.0f in Redis while it waits and %.0f after it is done", s.Disk, s.WAL, s.Waiting, s.Kept)
	return s, nil
}

func (b *bench) redisMemory(ctx context.Context) (used float64, err error) {
	info, err := b.rdb.Info(ctx, "memory").Result()
	if err != nil {
		return 0, err
	}
	_, err = fmt.Sscan(infoField(info, "used_memory"), &used)
	return used, err
}
