package servers_test

import (
	"bufio"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"invoicer/internal/sandbox/servers"
)

func TestMain(m *testing.M) {
	if ending := os.Getenv(childVariable); ending != "" {
		beChild(ending)
	}
	goleak.VerifyTestMain(m)
}

func TestStart(t *testing.T) {
	t.Parallel()
	before := time.Now()
	both, err := servers.Start(t.Context(), servers.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeServer(t, both) })
	t.Logf("both are ready after %s", time.Since(before))

	postgres := connect(t, both.DatabaseURL)
	var database string
	var tables int
	err = postgres.QueryRow(t.Context(), `SELECT current_database(), count(*) FROM pg_tables
		WHERE schemaname NOT IN ('pg_catalog', 'information_schema')`).Scan(&database, &tables)
	if err != nil || database != "invoicer" || tables != 0 {
		t.Errorf("database %q with %d tables, %v; want an empty invoicer", database, tables, err)
	}
	if err := client(t, both.RedisURL).Ping(t.Context()).Err(); err != nil {
		t.Error(err)
	}

	if err := both.Close(); err != nil {
		t.Error(err)
	}
	for _, directory := range []string{postgresDirectory(t, both.DatabaseURL), redisDirectory(both.RedisURL)} {
		if _, err := os.Stat(directory); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s after Close: %v; want none", directory, err)
		}
	}
}

func TestStartIsCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if both, err := servers.Start(ctx, servers.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Start = %v, %v; want %v", both, err, context.Canceled)
	}
}

func TestStartTellsWhatTheServerSaid(t *testing.T) {
	t.Parallel()
	_, err := servers.StartRedis(t.Context(), servers.RedisOptions{Settings: map[string]string{"no-such-thing": "1"}})
	if err == nil || !strings.Contains(err.Error(), "no-such-thing") {
		t.Errorf("StartRedis: %v; want the bad directive named", err)
	}
	_, err = servers.StartPostgres(t.Context(), servers.PostgresOptions{Settings: map[string]string{"no_such_thing": "1"}})
	if err == nil || !strings.Contains(err.Error(), "no_such_thing") {
		t.Errorf("StartPostgres: %v; want the bad setting named", err)
	}
}

// One server lives through it all, since making one costs a second.
func TestPostgres(t *testing.T) {
	t.Parallel()
	server := startPostgres(t, servers.PostgresOptions{TCP: true})
	connection := connect(t, server.URL)
	if _, err := connection.Exec(t.Context(), "CREATE TABLE kept AS SELECT 1 AS n"); err != nil {
		t.Fatal(err)
	}
	checkKept := func(after string) {
		t.Helper()
		count := 0
		err := connect(t, server.URL).QueryRow(t.Context(), "SELECT count(*) FROM kept").Scan(&count)
		if err != nil || count != 1 {
			t.Errorf("%d rows after %s, %v; want the committed one", count, after, err)
		}
	}
	try := func(what string, action func() error) {
		t.Helper()
		if err := action(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	restart := func() error { return server.Restart(t.Context()) }

	try("Kill", server.Kill)
	if _, err := connection.Exec(t.Context(), "SELECT"); err == nil {
		t.Error("a connection survived the killing")
	}
	for name, action := range map[string]func() error{
		"Kill": server.Kill, "Pause": server.Pause, "Resume": server.Resume,
	} {
		if err := action(); !errors.Is(err, servers.ErrDown) {
			t.Errorf("%s of a killed server: %v; want %v", name, err, servers.ErrDown)
		}
	}
	try("Restart when killed", restart)
	checkKept("a killing")
	try("Restart in mid-work", restart)
	checkKept("a restart in mid-work")

	connection = connect(t, server.URL)
	try("Pause", server.Pause)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := connection.Exec(ctx, "SELECT"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a paused session answers: %v", err)
	}
	try("Restart when paused", restart)
	checkKept("a restart of a paused server")
	try("Pause", server.Pause)
	try("Kill when paused", server.Kill)
	try("Restart", restart)
	checkKept("a killing of a paused server")

	segment := sharedMemory(t, socketDirectory(t, server.URL))
	try("Kill", server.Kill)
	if !isSharedMemory(t, segment) {
		t.Error("the shared memory went with the killing; a real kill -9 leaves it")
	}
	try("Close when killed", server.Close)
	if isSharedMemory(t, segment) {
		t.Errorf("shared memory %s is left", segment)
	}
	try("second Close", server.Close)
	if err := restart(); !errors.Is(err, servers.ErrDown) {
		t.Errorf("Restart of a closed server: %v; want %v", err, servers.ErrDown)
	}
}

func TestRedisOverKill(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]servers.RedisOptions{
		"comes back empty":  {TCP: true},
		"durable keeps all": {Durable: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := startRedis(t, options)
			if err := client(t, server.URL).Set(t.Context(), "k", "v", 0).Err(); err != nil {
				t.Fatal(err)
			}
			if err := server.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := server.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			got, err := client(t, server.URL).Exists(t.Context(), "k").Result()
			if err != nil || (got == 1) != options.Durable {
				t.Errorf("EXISTS k = %d, %v; durable %v", got, err, options.Durable)
			}
		})
	}
}

func TestRedisPauses(t *testing.T) {
	t.Parallel()
	server := startRedis(t, servers.RedisOptions{})
	connection, err := (&net.Dialer{}).DialContext(t.Context(), "unix", strings.TrimPrefix(server.URL, "unix://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	reader := bufio.NewReader(connection)

	if err := server.Pause(); err != nil {
		t.Fatal(err)
	}
	if _, err := connection.Write([]byte("PING\r\n")); err != nil {
		t.Fatal(err)
	}
	if err := connection.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if line, err := reader.ReadString('\n'); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a paused server answers %q, %v", line, err)
	}
	if err := server.Resume(); err != nil {
		t.Fatal(err)
	}
	if err := connection.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if line, err := reader.ReadString('\n'); line != "+PONG\r\n" {
		t.Errorf("a resumed server answers %q, %v; want a PONG on the same connection", line, err)
	}
	if err := server.Pause(); err != nil {
		t.Fatal(err)
	}
	if err := server.Close(); err != nil {
		t.Error(err)
	}
}

// startRedis and startPostgres start a server for one test.
func startRedis(t *testing.T, options servers.RedisOptions) *servers.Server {
	t.Helper()
	server, err := servers.StartRedis(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeServer(t, server) })
	return server
}

func startPostgres(t *testing.T, options servers.PostgresOptions) *servers.Server {
	t.Helper()
	server, err := servers.StartPostgres(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeServer(t, server) })
	return server
}

func closeServer(t *testing.T, server interface{ Close() error }) {
	t.Helper()
	if err := server.Close(); err != nil {
		t.Error(err)
	}
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	connection, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close(context.Background()) }) // its server may be gone
	return connection
}

func client(t *testing.T, url string) *redis.Client {
	t.Helper()
	options, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(options)
	t.Cleanup(func() { closeServer(t, c) })
	return c
}

func postgresDirectory(t *testing.T, databaseURL string) string {
	t.Helper()
	config, err := pgx.ParseConfig(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	return config.Host
}

// socketDirectory asks a Postgres, whose URL may name a TCP port, for its directory.
func socketDirectory(t *testing.T, databaseURL string) string {
	t.Helper()
	var directory string
	err := connect(t, databaseURL).QueryRow(t.Context(), "SHOW unix_socket_directories").Scan(&directory)
	if err != nil {
		t.Fatal(err)
	}
	return directory
}

func redisDirectory(redisURL string) string {
	return filepath.Dir(strings.TrimPrefix(redisURL, "unix://"))
}
