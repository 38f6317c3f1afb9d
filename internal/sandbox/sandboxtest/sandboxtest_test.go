package sandboxtest_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"invoicer/internal/sandbox/sandboxtest"
)

func TestMain(m *testing.M) { sandboxtest.Main(m) }

func TestRedis(t *testing.T) {
	t.Parallel()
	ping(t, sandboxtest.Redis(t))
	if first, second := sandboxtest.Redis(t), sandboxtest.Redis(t); first != second {
		t.Errorf("%s and %s; want one that all share", first, second)
	}
}

func TestSchema(t *testing.T) {
	t.Parallel()
	var url, first, second string
	t.Run("is empty and its own", func(t *testing.T) {
		url, first = sandboxtest.Schema(t)
		_, second = sandboxtest.Schema(t)
		if first == second || url != sandboxtest.Database(t) {
			t.Errorf("schemas %s and %s in %s", first, second, url)
		}
		if n := count(t, url, "SELECT count(*) FROM pg_namespace WHERE nspname IN ($1, $2)", first, second); n != 2 {
			t.Errorf("%d of 2 schemas are there", n)
		}
		connection := connect(t, url)
		if _, err := connection.Exec(t.Context(), "CREATE TABLE "+first+".t (n int)"); err != nil {
			t.Error(err)
		}
	})
	if n := count(t, url, "SELECT count(*) FROM pg_namespace WHERE nspname IN ($1, $2)", first, second); n != 0 {
		t.Errorf("%d schemas outlive their test", n)
	}
}

func TestPrivateServers(t *testing.T) {
	t.Parallel()
	if url := sandboxtest.PrivateRedis(t).URL; url == sandboxtest.Redis(t) {
		t.Errorf("%s is the shared one", url)
	} else {
		ping(t, url)
	}
	if url := sandboxtest.PrivatePostgres(t).URL; url == sandboxtest.Database(t) {
		t.Errorf("%s is the shared one", url)
	} else {
		connect(t, url)
	}
}

// Without the program the test fails and says what to do. It is not skipped.
func TestMissingProgram(t *testing.T) {
	t.Parallel()
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestRedis$", "-test.v")
	c.Env = append(os.Environ(), "INVOICER_REDIS_URL=", "PATH=/nowhere")
	output, err := c.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !strings.Contains(string(output), "--- FAIL: TestRedis") ||
		!strings.Contains(string(output), "redis-server; type `make deps`") {
		t.Errorf("%v: %s", err, output)
	}
}

func TestGivenServersAreUsed(t *testing.T) {
	t.Setenv("INVOICER_REDIS_URL", "redis://given")
	t.Setenv("INVOICER_DATABASE_URL", "postgres://given")
	if got := sandboxtest.Redis(t); got != "redis://given" {
		t.Error(got)
	}
	if got := sandboxtest.Database(t); got != "postgres://given" {
		t.Error(got)
	}
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	connection, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close(context.WithoutCancel(t.Context())) })
	return connection
}

func count(t *testing.T, url, query string, args ...any) (n int) {
	t.Helper()
	if err := connect(t, url).QueryRow(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func ping(t *testing.T, url string) {
	t.Helper()
	options, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	t.Cleanup(func() { client.Close() })
	if err := client.Ping(t.Context()).Err(); err != nil {
		t.Error(err)
	}
}

// Commits wait for a standby, and after a promotion all that were confirmed are there.
func TestReplicated(t *testing.T) {
	t.Parallel()
	r := sandboxtest.Replicated(t)
	primary := connect(t, r.Primary.URL)
	if _, err := primary.Exec(t.Context(), "CREATE TABLE t (n int); INSERT INTO t VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	r.Cut(t)
	written := make(chan error, 1)
	go func() {
		_, err := primary.Exec(t.Context(), "INSERT INTO t VALUES (2)")
		written <- err
	}()
	for count(t, r.Primary.URL, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'") == 0 {
	}
	if n := count(t, r.Standbys[0].URL, "SELECT count(*) FROM t"); n > 1 {
		t.Errorf("a standby that was cut off has %d rows", n)
	}
	r.Join(t)
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	if n := count(t, r.Promote(t), "SELECT count(*) FROM t"); n != 2 {
		t.Errorf("%d rows after the promotion, want 2", n)
	}
}
