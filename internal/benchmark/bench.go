package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"runtime/pprof"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"invoicer/config"
	"invoicer/internal/sandbox/servers"
	"invoicer/internal/tracing/export"
)

// schema is where everything is written, and queue what is worked on.
const (
	schema = "invoicer_benchmark"
	queue  = "benchmark"
)

// A bench is the servers that everything is measured on.
type bench struct {
	databaseURL, redisURL string

	private  *servers.Servers // nil when the servers are somebody else's
	mayEmpty bool             // nothing of somebody else's is in there
	db       *pgxpool.Pool
	rdb      redis.UniversalClient
	progress io.Writer
	programs programs
	seconds  float64          // how long a round should take
	built    string           // the folder of the program itself, once it was needed
	traces   *export.Exporter // of the worker; nil: it doesn't trace
}

// openBench starts the servers that the environment doesn't name. Those that it does must be empty, as they are emptied.
func openBench(ctx context.Context, o options, progress io.Writer) (_ *bench, err error) {
	b := &bench{
		databaseURL: os.Getenv("INVOICER_DATABASE_URL"), redisURL: os.Getenv("INVOICER_REDIS_URL"),
		progress: progress, seconds: o.seconds,
	}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	switch {
	case b.databaseURL == "" && b.redisURL == "":
		b.private, err = servers.Start(ctx, servers.Options{
			Postgres: servers.PostgresOptions{Durable: o.durable}, Redis: servers.RedisOptions{Durable: o.appendOnly},
		})
		if err != nil {
			return nil, err
		}
		b.databaseURL, b.redisURL = b.private.DatabaseURL, b.private.RedisURL
	case b.databaseURL == "" || b.redisURL == "":
		return nil, errors.New("set both INVOICER_DATABASE_URL and INVOICER_REDIS_URL, or neither")
	}
	if b.db, err = pgxpool.New(ctx, b.databaseURL); err != nil {
		return nil, err
	}
	if b.rdb, err = b.newRedis(8); err != nil {
		return nil, err
	}
	keys, err := b.rdb.DBSize(ctx).Result()
	if err != nil {
		return nil, err
	}
	if keys > 0 {
		return nil, fmt.Errorf("the Redis database holds %d keys, and the benchmark flushes it: name an empty one in INVOICER_REDIS_URL, such as …/9", keys)
	}
	b.mayEmpty = true
	b.programs, err = findPrograms(ctx, b.db, b.rdb)
	return b, err
}

func (b *bench) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if b.mayEmpty {
		_ = b.empty(ctx, schema) // or the next run starts with it
	}
	if b.built != "" {
		_ = os.RemoveAll(b.built)
	}
	if b.rdb != nil {
		_ = b.rdb.Close()
	}
	if b.db != nil {
		b.db.Close()
	}
	if b.private != nil {
		_ = b.private.Close()
	}
}

// newRedis returns a client as the worker has it, for every contestant alike.
func (b *bench) newRedis(pool int) (redis.UniversalClient, error) {
	o, err := config.Redis{URL: config.URL(b.redisURL)}.Options()
	if err != nil {
		return nil, fmt.Errorf("INVOICER_REDIS_URL %w", err)
	}
	o.PoolSize = pool
	return redis.NewUniversalClient(o), nil
}

// poolConfig is for connections that find their tables in the schema.
func (b *bench) poolConfig(schema string, most int) (*pgxpool.Config, error) {
	c, err := pgxpool.ParseConfig(b.databaseURL)
	if err != nil {
		return nil, err
	}
	c.MaxConns = int32(most)
	c.ConnConfig.RuntimeParams["search_path"] = pgx.Identifier{schema}.Sanitize()
	return c, nil
}

// exec runs statements in the schema.
func (b *bench) exec(ctx context.Context, schema, statements string) error {
	c, err := pgx.Connect(ctx, b.databaseURL)
	if err != nil {
		return err
	}
	defer c.Close(context.WithoutCancel(ctx))
	_, err = c.Exec(ctx, "SET search_path TO "+pgx.Identifier{schema}.Sanitize()+";"+statements)
	return err
}

// empty drops the schema and flushes the queue.
func (b *bench) empty(ctx context.Context, schema string) error {
	if _, err := b.db.Exec(ctx, "DROP SCHEMA IF EXISTS "+pgx.Identifier{schema}.Sanitize()+" CASCADE"); err != nil {
		return err
	}
	return b.rdb.FlushDB(ctx).Err()
}

// A system is a contestant that is ready for one round.
type system struct {
	load  func(context.Context, jobs) error             // before the clock starts
	start func(ctx context.Context, ended func()) error // returns at once; ended is called for every job that has ended
	stop  func()                                        // returns when nothing is under way any more
	check func(ctx context.Context, worked jobs) error  // is what was made exact?
	close func()
	// processes are those of its workers, by their ids, unless they are this one.
	processes []int
}

// A round is one run of one contestant.
type round struct {
	contestant contestant
	setting    setting
	jobs       jobs
	schema     string
	filled     bool      // the schema has what it needs, and is left as it is
	profile    io.Writer // for a CPU profile of what is on the clock, or nil
}

// A sample is what one round has shown.
type sample struct {
	Jobs    int
	Seconds float64
	CPU     cpu
	Others  float64 // the share of the machine that others used
}

func (s sample) rate() float64 { return float64(s.Jobs) / s.Seconds }

// rampUp is how many jobs end before the clock starts: by then every slot has had one, the connections are open and the
// statements prepared.
func (r round) rampUp() int {
	if r.contestant.whole {
		return 0
	}
	return min(2*r.setting.Slots, r.jobs.n/4)
}

// play lets a contestant work on its jobs. The clock runs until the last one has ended.
func (b *bench) play(ctx context.Context, r round) (result sample, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s, %s: %w", r.contestant.name, r.setting, err)
		}
	}()
	if r.schema == "" {
		r.schema = schema
	}
	if r.filled {
		err = b.rdb.FlushDB(ctx).Err()
	} else {
		err = b.empty(ctx, r.schema)
	}
	if err != nil {
		return sample{}, err
	}
	s, err := r.contestant.open(ctx, b, r.setting, r.schema)
	if err != nil {
		return sample{}, err
	}
	defer s.close()
	if err := s.load(ctx, r.jobs); err != nil {
		return sample{}, err
	}
	if _, err := b.db.Exec(ctx, "CHECKPOINT"); err != nil {
		return sample{}, err
	}
	debug.FreeOSMemory() // what loading has left behind is nobody's to collect during the round

	ctx, cancel := context.WithTimeout(ctx, time.Minute+time.Duration(20*b.seconds*float64(time.Second)))
	defer cancel()
	ramp, all := int64(r.rampUp()), int64(r.jobs.n)
	warm, finished := make(chan time.Time, 1), make(chan time.Time, 1)
	var ended atomic.Int64
	programs := b.programs
	if len(s.processes) > 0 {
		programs.workers = s.processes
	}
	before, begun, watched := programs.cpu(), time.Now(), programs.watch()
	err = s.start(ctx, func() {
		switch ended.Add(1) {
		case ramp:
			warm <- time.Now()
		case all:
			finished <- time.Now()
		}
	})
	defer s.stop()
	if err != nil {
		return sample{}, err
	}
	for result.Jobs == 0 {
		select {
		case begun = <-warm:
			before, watched = programs.cpu(), programs.watch()
			if r.profile != nil {
				if err := pprof.StartCPUProfile(r.profile); err != nil {
					return sample{}, err
				}
				defer pprof.StopCPUProfile()
			}
		case at := <-finished:
			if r.profile != nil {
				pprof.StopCPUProfile()
			}
			result = sample{Jobs: int(all - ramp), Seconds: at.Sub(begun).Seconds(), CPU: programs.cpu().minus(before), Others: watched.others()}
		case <-ctx.Done():
			return sample{}, fmt.Errorf("%d of %d jobs ended: %w", ended.Load(), r.jobs.n, ctx.Err())
		}
	}
	s.stop()
	if n := ended.Load(); n != int64(r.jobs.n) {
		return sample{}, fmt.Errorf("%d jobs ended, of %d", n, r.jobs.n)
	}
	return result, s.check(ctx, r.jobs)
}
