package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
	"github.com/rogpeppe/go-internal/testscript"

	"invoicer/config"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/internal/sandbox/servers"
)

// scriptTest is the key of a script's own test.
type scriptTest struct{}

// giveServers gives the rest of the script real servers, an empty schema and, in $QUEUE, an empty queue, all of its own.
func giveServers(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: servers")
	}
	t, ok := ts.Value(scriptTest{}).(testing.TB)
	if !ok {
		ts.Fatalf("the script's test is no testing.TB any more")
	}
	url, schema := sandboxtest.Schema(t)
	ts.Setenv("INVOICER_DATABASE_URL", url)
	ts.Setenv("INVOICER_DATABASE_SCHEMA", schema)
	ts.Setenv("INVOICER_REDIS_URL", sandboxtest.Redis(t))
	unsafe, allowed, _ := strings.Cut(servers.AllowUnsafe, "=")
	ts.Setenv(unsafe, allowed)
	queue := newQueue()
	ts.Setenv("QUEUE", queue)
	ts.Setenv("INVOICER_WORKER_QUEUES", queue+"=1")
	t.Cleanup(func() { deleteQueue(t, ts.Getenv("INVOICER_REDIS_URL"), queue) })
}

// queued compares how many jobs wait in a queue: queued $QUEUE 3
func queued(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: queued QUEUE NUMBER")
	}
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	got, err := countQueued(ts.Getenv("INVOICER_REDIS_URL"), args[0])
	ts.Check(err)
	if got != want {
		ts.Fatalf("%d jobs in the queue, want %d", got, want)
	}
}

// dropAfter drops a schema when the script has ended: dropafter SCHEMA
func dropAfter(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: dropafter SCHEMA")
	}
	url := ts.Getenv("INVOICER_DATABASE_URL")
	ts.Defer(func() { ts.Check(runSQL(url, "DROP SCHEMA IF EXISTS "+args[0]+" CASCADE")) })
}

// execSQL runs statements in the script's schema: sql 'DELETE FROM …'
func execSQL(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: sql STATEMENTS")
	}
	ts.Check(runSQL(ts.Getenv("INVOICER_DATABASE_URL"), "SET search_path = "+ts.Getenv("INVOICER_DATABASE_SCHEMA")+"; "+args[0]))
}

func runSQL(url, statements string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, statements)
	return errors.Join(err, conn.Close(ctx))
}

// zipFile compresses a file: zip jobs.jsonl jobs.jsonl.gz
func zipFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: zip FILE ZIPPED")
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, err := io.WriteString(z, ts.ReadFile(args[0]))
	ts.Check(errors.Join(err, z.Close()))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), zipped.Bytes(), 0o600))
}

func newQueue() string { return "q-" + strings.ToLower(rand.Text()) }

// openTestRedis returns a connection that is to be closed.
func openTestRedis(url string) (redis.UniversalClient, error) {
	options, err := (config.Redis{URL: config.URL(url)}).Options()
	if err != nil {
		return nil, err
	}
	return redis.NewUniversalClient(options), nil
}

// countQueued returns how many jobs wait in the queue.
func countQueued(redisURL, queue string) (int, error) {
	rdb, err := openTestRedis(redisURL)
	if err != nil {
		return 0, err
	}
	defer rdb.Close()
	inspector := asynq.NewInspectorFromRedisClient(rdb)
	queues, err := inspector.Queues()
	if err != nil || !slices.Contains(queues, queue) {
		return 0, err
	}
	info, err := inspector.GetQueueInfo(queue)
	if err != nil {
		return 0, err
	}
	return info.Pending, nil
}

func deleteQueue(t testing.TB, redisURL, queue string) {
	rdb, err := openTestRedis(redisURL)
	if err != nil {
		t.Error(err)
		return
	}
	defer rdb.Close()
	err = asynq.NewInspectorFromRedisClient(rdb).DeleteQueue(queue, true)
	if err != nil && !errors.Is(err, asynq.ErrQueueNotFound) {
		t.Error(err)
	}
}
