package postgres_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
	"invoicer/internal/sandbox/servers"
	"invoicer/invoice"
	"invoicer/invoice/ledger"
	"invoicer/invoice/outbox"
	"invoicer/invoice/postgres"
)

var (
	pooler   = flag.String("pooler", "", "give every test's store a PgBouncer in this mode: transaction or session")
	execMode = flag.String("exec-mode", "", "the default_query_exec_mode of its URL: exec, simple_protocol and so on; none")
)

// leftovers are settings that another client of the pool left in a session of the server's.
const leftovers = "SET search_path = nowhere; SET default_transaction_isolation = serializable; SET lock_timeout = '1ms'; " +
	"SET idle_in_transaction_session_timeout = '1ms'; SET enable_indexscan = off; SET datestyle = 'German, DMY'"

// throughPooler is the URL of the same database by way of a PgBouncer, which gives each transaction, or each session,
// another one of the server's sessions than the one before.
func throughPooler(t *testing.T, url, mode string) string {
	t.Helper()
	address := sandboxtest.PgBouncer(t, url, servers.PgBouncerOptions{Mode: mode, ConnectQuery: leftovers, Settings: map[string]string{
		"server_round_robin": "1",
	}}).URL
	if *execMode != "" {
		address += "&default_query_exec_mode=" + *execMode
	}
	return address
}

// All that is promised of a store holds behind a pooler too: the tests of this package say so once more, each with one of
// its own.
func TestHeavyAllBehindAPooler(t *testing.T) {
	t.Parallel()
	switch {
	case *pooler != "":
		t.Skip("this is it")
	case testing.Short():
		t.Skip("heavy: make test-all runs it")
	}
	// These ask the database and not the store.
	const others = "^TestArrays|^TestAcceptTakes|^TestAcceptRefuses|^TestAcceptSays|^TestAcceptJudges|^TestTheDatabase|^TestDatabase"
	again := exec.CommandContext(t.Context(), os.Args[0], "-test.timeout=20m", "-pooler=transaction", "-test.skip="+others,
		"-test.parallel="+strconv.Itoa(runtime.GOMAXPROCS(0)))
	if told, err := again.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, told)
	}
}

// What a transaction sets for itself is gone with it: the next one in the same session of the server's is somebody else's.
func TestNothingStaysBehindInAPooler(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const shown = `SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) FROM pg_settings WHERE name IN ('search_path', 'statement_timeout',
		'lock_timeout', 'idle_in_transaction_session_timeout', 'default_transaction_isolation', 'enable_seqscan', 'plan_cache_mode', 'jit')`
	const held = "SELECT count(*) FROM pg_prepared_statements"
	pooler := sandboxtest.PgBouncer(t, b.URL, servers.PgBouncerOptions{Mode: "transaction", Settings: map[string]string{"default_pool_size": "1"}})
	other, err := pgx.Connect(t.Context(), pooler.URL+"&default_query_exec_mode=simple_protocol")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(context.WithoutCancel(t.Context()))
	show := func(query string) (text string) {
		t.Helper()
		if err := other.QueryRow(t.Context(), query).Scan(&text); err != nil {
			t.Fatal(err)
		}
		return text
	}
	before := show(shown)
	store := b.open(t, func(o *postgres.Options) { o.URL = pooler.URL })
	if got, err := generator(t, store).Generate(t.Context(), request("job", job(t, "T1"))); err != nil || got.Outcome != invoice.Created {
		t.Fatalf("%+v, %v", got, err)
	}
	if after := show(shown); after != before {
		t.Errorf("another client has now %s\ninstead of %s", after, before)
	}
	if n := show(held); n != "0" {
		t.Errorf("%s prepared statements are left", n)
	}
}

// A session that is as it should be is the server's own: there, statements are prepared once, and nothing is set again.
func TestWithoutAPooler(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if statement := b.store.LocalSettings(t); statement != "" && *pooler == "" {
		t.Errorf("a transaction begins with %s", statement)
	}
	for name, settings := range map[string]map[string]string{
		"refuses parameters": {},
		"drops parameters": {"ignore_startup_parameters": "search_path, statement_timeout, lock_timeout, idle_in_transaction_session_timeout, " +
			"default_transaction_isolation, enable_seqscan, enable_hashjoin, enable_mergejoin, plan_cache_mode, jit"},
	} {
		pooler := sandboxtest.PgBouncer(t, b.URL, servers.PgBouncerOptions{Settings: settings})
		pooled := b.open(t, func(o *postgres.Options) { o.URL = pooler.URL })
		if statement := pooled.LocalSettings(t); !strings.Contains(statement, "set_config('lock_timeout', '5s', true)") {
			t.Errorf("behind a pooler that %s a transaction begins with %q", name, statement)
		}
	}
}

// What commits by itself waits for a row as long as it should, whatever another client has left in the session.
func TestWritesDontTrustASession(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Exec(t, "INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, payload, state) VALUES ('j', 'T1', 'T1', 'default', '{}', 'enqueued')")
	made := b.create(t, "first", job(t, "T1"))
	store := b.open(t, func(o *postgres.Options) {
		o.URL = rig.With(t, throughPooler(t, b.URL, "transaction"), "application_name", b.Schema)
	})
	holder, err := b.DB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Rollback() //nolint:errcheck // it is over by then
	if _, err := holder.ExecContext(t.Context(), "SELECT FROM invoice_jobs FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		done <- store.Ledger.Record(t.Context(), ledger.End{
			JobID: "j", TransactionID: "T1", IdempotencyKey: "T1", Outcome: invoice.Duplicate, Reason: invoice.AlreadyInvoiced, Invoice: made,
			Worker: "w", Attempts: 1, Queue: "default", Payload: []byte("{}"),
		})
	}()
	select {
	case err := <-done:
		t.Fatalf("it doesn't wait for the row: %v", err)
	case <-b.blocked(t):
	}
	if err := holder.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// What runs by itself has our time limits and isolation, whatever another client has left in the session: it waits for a
// lock, and goes on.
func TestStatementsDontTrustASession(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ left, after string }{
		"a limit for locks":      {"SET lock_timeout = '1ms'", "0 s"},
		"a limit for statements": {"SET statement_timeout = '1s'", "0.9 s"}, // the transaction that waits began after the first attempt
		"serializable":           {"SET default_transaction_isolation = serializable", "0 s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.listen(t, "erp", nil, outbox.Types()...)
			pooler := sandboxtest.PgBouncer(t, b.URL, servers.PgBouncerOptions{Mode: "transaction", ConnectQuery: c.left})
			store := b.open(t, patient, func(o *postgres.Options) { o.URL = rig.With(t, pooler.URL, "application_name", b.Schema) })
			for _, statement := range []struct {
				does, held string
				do         func() error
			}{
				{"reads", "LOCK TABLE invoice_jobs", func() error {
					_, _, err := store.Ledger.CountFailed(t.Context(), ledger.FailedFilter{})
					return err
				}},
				{"writes", "UPDATE event_endpoints SET changed_at = now()", func() error {
					disabled, err := store.Outbox.Disable(t.Context(), 1, "gone")
					if err == nil && !disabled {
						return errors.New("it isn't disabled")
					}
					return err
				}},
			} {
				holder := b.begin(t)
				in(t, holder, statement.held)
				done, begun := make(chan error, 1), b.Text(t, "SELECT clock_timestamp()::text")
				go func() { done <- statement.do() }()
				rig.Eventually(t, "a session that waits for the lock", func() bool {
					if len(done) > 0 {
						t.Fatalf("%s, and doesn't wait: %v", statement.does, <-done)
					}
					return b.Is(t, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = 'Lock'
						AND xact_start > $2::text::timestamptz + $3::text::interval)`, b.Schema, begun, c.after)
				})
				if err := holder.Commit(); err != nil {
					t.Fatal(err)
				}
				if err := <-done; err != nil {
					t.Errorf("%s: %v", statement.does, err)
				}
			}
			if n := b.Count(t, "SELECT count(*) FROM event_endpoints WHERE state = 'disabled' AND reason = 'gone'"); n != 1 {
				t.Error("the write is lost")
			}
		})
	}
}

// Waiting for jobs, which commits on its way, isn't repeated in a transaction: that it was broken off says so.
func TestWaitingForJobsUnderALimit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	pooler := sandboxtest.PgBouncer(t, b.URL, servers.PgBouncerOptions{Mode: "transaction", ConnectQuery: "SET statement_timeout = '300ms'"})
	store := b.open(t, func(o *postgres.Options) { o.URL = pooler.URL })
	if err := store.Ledger.Await(t.Context(), false); !errors.Is(err, invoice.ErrUnavailable) {
		t.Errorf("it takes half a second, and has 300 ms: %v", err)
	}
}

// Who insists on prepared statements where a pooler gives each transaction another session is told what is wrong, and
// no job is held to blame.
func TestPreparedStatementsBehindAPooler(t *testing.T) {
	t.Parallel()
	b := setup(t)
	pooler := sandboxtest.PgBouncer(t, b.URL, servers.PgBouncerOptions{Mode: "transaction", Settings: map[string]string{"default_pool_size": "1"}})
	var err error
	for range 2 {
		store := b.open(t, func(o *postgres.Options) { o.URL = pooler.URL + "&default_query_exec_mode=cache_statement" })
		_, err = store.Invoices.Find(t.Context(), "", "T1", "T1")
	}
	if !errors.Is(err, invoice.ErrUnavailable) || !postgres.Lasting(err) || !strings.Contains(err.Error(), "take default_query_exec_mode out of database.url") {
		t.Errorf("Find: %v", err)
	}
}

// A pooler whose sessions are all taken says nothing at all: we do.
func TestPoolerWithoutASession(t *testing.T) {
	t.Parallel()
	b := setup(t)
	pooler := sandboxtest.PgBouncer(t, b.URL, servers.PgBouncerOptions{Settings: map[string]string{"default_pool_size": "1"}})
	holder, err := pgx.Connect(t.Context(), pooler.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close(context.WithoutCancel(t.Context()))
	if _, err := holder.Exec(t.Context(), "SELECT"); err != nil {
		t.Fatal(err)
	}
	store := b.open(t, func(o *postgres.Options) { o.URL, o.ConnectTimeout = pooler.URL, time.Second })
	err = store.Ping(t.Context())
	if !errors.Is(err, invoice.ErrUnavailable) || postgres.Lasting(err) || !strings.Contains(err.Error(), "raise default_pool_size") {
		t.Errorf("Ping: %v", err)
	}
}

func TestLasting(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		code, message string
		lasting       bool
		says          string
	}{
		{"08P01", "unsupported startup parameter: work_mem", true, "take work_mem out of database.url, or name it in ignore_startup_parameters"},
		{"08P01", `database "x" does not exist`, true, "create it first"},
		{"08P01", "no such database: x", true, "[databases]"},
		{"08P01", "no such user: x", true, "auth_file"},
		{"08P01", "server login has been failing, try again later (server_login_retry)", false, "(SQLSTATE 08P01)"},
		{"08P01", "no more connections allowed (max_client_conn)", false, "(SQLSTATE 08P01)"},
		{"08006", "x", false, "x (SQLSTATE 08006)"},
		{"42P05", `prepared statement "x" already exists`, true, "default_query_exec_mode"},
		{"26000", `prepared statement "x" does not exist`, true, "default_query_exec_mode"},
		{"28P01", "x", true, "PGPASSWORD"},
		{"28000", "x", true, "pg_hba.conf"},
		{"3D000", "x", true, "CREATE DATABASE"},
		{"3F000", "x", true, "x (SQLSTATE 3F000)"},
		{"53300", "x", false, "x (SQLSTATE 53300)"},
		{"57P03", "x", false, "x (SQLSTATE 57P03)"},
		{"25006", "x", false, "x (SQLSTATE 25006)"},
	} {
		pg := &pgconn.PgError{Code: test.code, Message: test.message}
		if got := postgres.Lasting(fmt.Errorf("wrapped: %w", pg)); got != test.lasting {
			t.Errorf("%s %s: lasting %t", test.code, test.message, got)
		}
		if got := postgres.Advise(pg); !strings.HasPrefix(got, test.message) || !strings.Contains(got, test.says) {
			t.Errorf("%s: %s; want %q", test.code, got, test.says)
		}
	}
	if postgres.Lasting(errors.New("connection refused")) {
		t.Error("who doesn't answer may still do so")
	}
}
