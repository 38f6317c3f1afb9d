// Package sandboxtest gives tests real servers: the ones that INVOICER_DATABASE_URL and INVOICER_REDIS_URL name, or else
// private ones, started at first use and shared by all tests of a package.
//
//	func TestMain(m *testing.M) { sandboxtest.Main(m) }
//
//	func TestStore(t *testing.T) {
//		t.Parallel()
//		url, schema := sandboxtest.Schema(t)
//		…
//	}
//
// A server that can be neither reached nor started fails the test and says what to install; it skips nothing.
package sandboxtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/goleak"

	"invoicer/internal/sandbox/servers"
)

// The servers that the tests of one package share. A test binary has no other place that all its tests can reach.
//
//nolint:gochecknoglobals // see above; each is set once, at first use
var (
	sharedRedis    = &shared{variable: "INVOICER_REDIS_URL", start: startRedis}
	sharedPostgres = &shared{variable: "INVOICER_DATABASE_URL", start: startPostgres}
)

func startRedis(ctx context.Context) (*servers.Server, error) {
	return servers.StartRedis(ctx, servers.RedisOptions{})
}

func startPostgres(ctx context.Context) (*servers.Server, error) {
	return servers.StartPostgres(ctx, servers.PostgresOptions{})
}

// shared is a server that is started at first use, unless the environment names one.
type shared struct {
	variable string
	start    func(context.Context) (*servers.Server, error)

	mu     sync.Mutex
	server *servers.Server
	err    error
}

func (s *shared) url() (string, error) {
	if url := os.Getenv(s.variable); url != "" {
		return url, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil && s.err == nil {
		s.server, s.err = s.start(context.Background())
	}
	if s.err != nil {
		return "", s.err
	}
	return s.server.URL, nil
}

func (s *shared) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil {
		return nil
	}
	return s.server.Close()
}

// Main runs the tests, takes down what they started, makes sure that no goroutine is left but those that a package has
// reason to ignore, and exits. A test binary that ends without it, by a panic for example, leaves no server either, only a
// moment later.
func Main(m *testing.M, ignore ...goleak.Option) {
	code := m.Run()
	err := errors.Join(sharedPostgres.close(), sharedRedis.close())
	if code == 0 { // a test that fails may leave anything behind
		err = errors.Join(err, goleak.Find(ignore...))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "sandboxtest:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// Redis returns the URL of the shared Redis. Other tests use it at the same time: use keys of your own, and neither
// FLUSHALL nor CONFIG SET.
func Redis(t testing.TB) string {
	t.Helper()
	return sharedURL(t, sharedRedis)
}

// Database returns the URL of the shared database. Other tests use it at the same time: see [Schema].
func Database(t testing.TB) string {
	t.Helper()
	return sharedURL(t, sharedPostgres)
}

func sharedURL(t testing.TB, s *shared) string {
	t.Helper()
	url, err := s.url()
	if err != nil {
		t.Fatal(err)
	}
	return url
}

// Schema makes an empty schema in the shared database, and drops it with all it holds when the test has ended.
func Schema(t testing.TB) (url, schema string) {
	t.Helper()
	url = Database(t)
	schema = "t_" + strings.ToLower(rand.Text())
	if err := execute(url, "CREATE SCHEMA "+schema); err != nil {
		t.Fatalf("make a schema: %v", err)
	}
	t.Cleanup(func() {
		err := execute(url, "DROP SCHEMA IF EXISTS "+schema+" CASCADE")
		for n := 0; n < 5 && isDeadlock(err); n++ { // with a vacuum, or with what a process that was killed has left
			err = execute(url, "DROP SCHEMA IF EXISTS "+schema+" CASCADE")
		}
		if err != nil {
			t.Errorf("drop the test's schema: %v", err)
		}
	})
	return url, schema
}

func isDeadlock(err error) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && refused.Code == "40P01"
}

// execute runs one statement on a connection of its own. Whoever still holds a lock that it needs is told of in time.
func execute(url, statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	connection, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	_, err = connection.Exec(ctx, "SET lock_timeout = '20s'; "+statement)
	return errors.Join(err, connection.Close(ctx))
}

// PrivateRedis starts a Redis for this test alone, to be killed, paused and restarted. It is closed when the test ends.
// For one with options see [servers.StartRedis].
func PrivateRedis(t testing.TB) *servers.Server {
	t.Helper()
	return private(t, startRedis)
}

// PrivatePostgres starts a Postgres for this test alone, to be killed, paused and restarted. It is closed when the test
// ends. For one with options see [servers.StartPostgres].
func PrivatePostgres(t testing.TB) *servers.Server {
	t.Helper()
	return private(t, startPostgres)
}

func private(t testing.TB, start func(context.Context) (*servers.Server, error)) *servers.Server {
	t.Helper()
	server, err := start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// PgBouncer starts a pooler for this test alone in front of the database that a URL names. It is closed when the test ends.
func PgBouncer(t testing.TB, databaseURL string, options servers.PgBouncerOptions) *servers.Server {
	t.Helper()
	return private(t, func(ctx context.Context) (*servers.Server, error) {
		return servers.StartPgBouncer(ctx, databaseURL, options)
	})
}
