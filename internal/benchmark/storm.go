package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"invoicer/worker"
)

// A storm is what many jobs of one transaction cost.
type storm struct {
	Jobs         int
	Seconds      float64
	Recording    int // transactions that recorded duplicates
	Transactions int // all of the database's, from the start of the workers to their end
}

// storm asks for one transaction again and again, and lets workers that have seen none of it work on that.
func (b *bench) storm(ctx context.Context, o options, jobs int) (*storm, error) {
	if err := b.empty(ctx, schema); err != nil {
		return nil, err
	}
	if err := b.migrate(ctx, schema); err != nil {
		return nil, err
	}
	before, err := b.countTransactions(ctx)
	if err != nil {
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
	same := fiveLines
	same.payload = func(int) ([]byte, error) { return synthetic("T", 0, 5) }
	if err := enqueue(ctx, w.redis, same.first(jobs)); err != nil {
		return nil, err
	}
	begun := time.Now()
	stop, err := w.start(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	for n := range jobs {
		select {
		case <-ended:
		case <-time.After(time.Minute):
			return nil, fmt.Errorf("a storm: %d of %d jobs ended", n, jobs)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	s := &storm{Jobs: jobs, Seconds: time.Since(begun).Seconds()}
	stop()
	w.close() // a session's figures are complete when it ends
	after, err := b.countTransactions(ctx)
	if err != nil {
		return nil, err
	}
	s.Transactions = after - before
	if err := b.count(ctx, schema, 1, true); err != nil {
		return nil, err
	}
	if err := b.countEnds(ctx, schema, jobs, jobs-1, false); err != nil {
		return nil, err
	}
	err = b.db.QueryRow(ctx, "SELECT count(DISTINCT attempted_at) FROM "+schema+".duplicate_attempts").Scan(&s.Recording)
	b.tell("a storm of %d jobs: %d transactions recorded duplicates, %d in all, %.1f s", jobs, s.Recording, s.Transactions, s.Seconds)
	return s, err
}

// countTransactions tells how many the database has committed. A session's may be missing until it ends, so all others must
// have ended.
func (b *bench) countTransactions(ctx context.Context) (n int, err error) {
	b.db.Reset()
	for range 100 {
		var others int
		err = b.db.QueryRow(ctx, `SELECT xact_commit, (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend')
FROM pg_stat_database WHERE datname = current_database()`).Scan(&n, &others)
		if err != nil || others == 1 {
			return n, err
		}
		time.Sleep(20 * time.Millisecond)
	}
	return 0, errors.New("a storm's transactions can't be counted: the database has other sessions")
}
