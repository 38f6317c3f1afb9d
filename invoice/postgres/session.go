package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/stdlib"

	"invoicer/internal/primary"
	"invoicer/invoice"
)

// A setting is a server parameter that a session should have, with its value in the form in which the server shows
// it.
type setting struct{ name, value string }

func settings(o Options) []setting {
	return []setting{
		{"search_path", "pg_catalog"}, // names are qualified
		{"statement_timeout", milliseconds(o.StatementTimeout)},
		{"lock_timeout", milliseconds(o.LockTimeout)},
		{"idle_in_transaction_session_timeout", milliseconds(o.IdleInTransactionTimeout)},
		{"default_transaction_isolation", "read committed"},
		// Plans are kept for a session's life. A plan made while a table was small must not scan the whole table once
		// it has grown: every statement in this package finds its rows by an index.
		{"enable_seqscan", "off"},
		{"enable_hashjoin", "off"},
		{"enable_mergejoin", "off"},
		{"plan_cache_mode", "force_generic_plan"},
		{"jit", "off"}, // plans that these settings discourage have high costs, at which the server would compile them
	}
}

// milliseconds returns a duration as the server shows it: in the largest unit in which it is a whole number.
func milliseconds(d time.Duration) string {
	if d < time.Millisecond {
		return "0"
	}
	for _, unit := range []struct {
		name string
		is   time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"min", time.Minute}, {"s", time.Second}} {
		if d%unit.is == 0 {
			return strconv.FormatInt(int64(d/unit.is), 10) + unit.name
		}
	}
	return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
}

// A connector opens connections whose statements name the configured schema, and whose commits return an error if
// they weren't replicated.
//
// There may be a pooler in front of the server. It gives each transaction, or each session, one of the server's
// sessions, which other clients have used before. It refuses or drops the settings that a session asks for, and a statement
// prepared in one transaction may be missing in the next. The connector detects a pooler. Behind one, its connections
// prepare no statement for longer than its execution, and settings hold for one transaction: set for longer, they
// would affect other users of the session.
type connector struct {
	direct, plain  driver.Connector // with the settings; without
	settings       []setting
	schema         string        // quoted, with a dot at the end
	statementLimit time.Duration // limit of a statement that no setting bounds
	timeout        time.Duration // of connecting
	met            func()        // called once a pooler was detected

	primaries primaries

	pooled atomic.Bool // a pooler was detected: from then on, connections are opened without the settings
	known  atomic.Bool // pooled is final: a connection has been opened

	refusesUnsafe atomic.Bool // see [DB.RefuseUnsafe]
}

func newConnector(o Options) (*connector, error) {
	config, err := pgx.ParseConfig(o.URL)
	if err != nil {
		return nil, fmt.Errorf("database.url: %w", err)
	}
	hosts := primary.Hosts(&config.Config)
	if config.ConnectTimeout = o.ConnectTimeout; len(hosts) > 1 {
		config.ConnectTimeout = min(o.ConnectTimeout, primary.TimeoutOfHost)
	}
	c := &connector{settings: settings(o), schema: qualifier(o.Schema), statementLimit: o.StatementTimeout + time.Second, timeout: max(o.ConnectTimeout, time.Duration(len(hosts))*config.ConnectTimeout), met: func() {}}
	if len(hosts) > 1 {
		c.primaries.hosts = hosts
		config.ValidateConnect = c.primaries.refuseOld(config.ValidateConnect)
	}
	config.OnNotice = noticeWarning
	config.Tracer = o.Statements
	config.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.DeadlineContextWatcherHandler{Conn: c.Conn(), DeadlineDelay: graceTime}
	}
	// Poolers support these parameters and set them in the server's session.
	config.RuntimeParams["client_encoding"] = "UTF8"
	config.RuntimeParams["datestyle"] = "ISO"
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "invoicer"
	}
	for _, s := range c.settings {
		delete(config.RuntimeParams, s.name)
	}
	plain := config.Copy()
	if named, err := namesExecMode(o.URL); err != nil {
		return nil, fmt.Errorf("database.url: %w", err)
	} else if !named {
		plain.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	}
	for _, s := range c.settings {
		config.RuntimeParams[s.name] = s.value
	}
	// A connection whose server has vanished must not use up its caller's time: a failed ping closes it.
	ping := stdlib.OptionShouldPing(func(ctx context.Context, p stdlib.ShouldPingParams) bool {
		if p.IdleDuration <= time.Second {
			return false
		}
		ctx, cancel := context.WithTimeout(ctx, pingTimeout)
		defer cancel()
		return p.Conn.PgConn().Ping(ctx) != nil
	})
	opened := stdlib.OptionAfterConnect(func(_ context.Context, opened *pgx.Conn) error {
		registerArrays(opened)
		return nil
	})
	current := stdlib.OptionResetSession(func(_ context.Context, used *pgx.Conn) error {
		if c.primaries.old(used.PgConn()) {
			return driver.ErrBadConn
		}
		return nil
	})
	c.direct, c.plain = stdlib.GetConnector(*config, ping, opened, current), stdlib.GetConnector(*plain, ping, opened, current)
	return c, nil
}

const pingTimeout = 2 * time.Second

// graceTime is how long a statement may go on after its context has ended. Breaking one off costs its connection, and a second
// one that asks the server to cancel the statement. PgBouncer 1.18 to 1.20 can die of such a request (its issues 801 and 822).
// Nearly every statement that a stop comes upon ends sooner than that.
const graceTime = 250 * time.Millisecond

// namesExecMode reports whether a URL states default_query_exec_mode. If it does, that choice is kept.
func namesExecMode(url string) (bool, error) {
	config, err := pgconn.ParseConfig(url) // pgconn doesn't know the option and takes it for a server parameter
	if err != nil {
		return false, err
	}
	_, named := config.RuntimeParams["default_query_exec_mode"]
	return named, nil
}

func (c *connector) Driver() driver.Driver { return c.direct.Driver() }

func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	c.primaries.choose(ctx)
	if !c.pooled.Load() {
		opened, err := c.connectDirectly(ctx)
		if opened != nil || err != nil {
			return opened, err
		}
	}
	opened, err := c.plain.Connect(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.tryPooler(ctx, opened.(*stdlib.Conn).Conn().PgConn()); err != nil {
		return nil, errors.Join(err, opened.Close())
	}
	if !c.pooled.Swap(true) {
		c.met()
	}
	c.known.Store(true)
	return &conn{Conn: opened.(*stdlib.Conn), schema: c.schema, local: localSettings(c.settings), statementLimit: c.statementLimit}, nil
}

// tryPooler checks that the pooler has a session of the server for this connection, and that it allows transactions,
// which PgBouncer's statement mode doesn't.
func (c *connector) tryPooler(ctx context.Context, pg *pgconn.PgConn) error {
	limit := c.timeout * 4 / 5 // leaves the caller some of its time
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for _, statement := range []string{"BEGIN; " + localSettings(c.settings) + "; " + durability, "ROLLBACK"} {
		results, err := pg.Exec(limited, statement).ReadAll()
		if err != nil {
			if limited.Err() != nil && ctx.Err() == nil {
				return noSessionError{limit}
			}
			return err
		}
		if last := results[len(results)-1]; len(last.Rows) == 1 {
			if err := c.refuseUnsafe(last.Rows[0]); err != nil {
				return err
			}
		}
	}
	return nil
}

// refuseUnsafe returns an [*UnsafeError] if a server with these settings, which [durability] selects, is refused.
func (c *connector) refuseUnsafe(values [][]byte) error {
	if !c.refusesUnsafe.Load() {
		return nil
	}
	if found := unsafe(string(values[0]), string(values[1]), string(values[2]), string(values[3])); len(found) > 0 {
		return &UnsafeError{Settings: found}
	}
	return nil
}

// A noSessionError says that a pooler has no free session of the server, or can't open one.
type noSessionError struct{ waited time.Duration }

func (e noSessionError) Error() string {
	return fmt.Sprintf("the pooler has provided no session of the server within %s: if the server is healthy, raise default_pool_size of PgBouncer, or set pool_mode = transaction", e.waited)
}

func (e noSessionError) Is(target error) bool { return target == invoice.ErrUnavailable }

// connectDirectly returns a connection that has the settings, or nil and no error if a pooler prevents that.
func (c *connector) connectDirectly(ctx context.Context) (driver.Conn, error) {
	opened, err := c.direct.Connect(ctx)
	if refusesParameters(err) {
		return nil, nil //nolint:nilnil // see above
	}
	if err != nil {
		return nil, err
	}
	direct := &conn{Conn: opened.(*stdlib.Conn), schema: c.schema}
	has, err := c.has(ctx, direct.Conn.Conn().PgConn())
	if !has || err != nil {
		return nil, errors.Join(err, direct.Close())
	}
	c.known.Store(true)
	return direct, nil
}

// refusesParameters reports whether the other side refused the parameters that the session asked for.
func refusesParameters(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && slices.Contains([]string{"08P01", "0A000", "42704"}, pg.Code)
}

// has reports whether the connection belongs to one session of the server, with no pooler in between, and the session
// has the settings.
func (c *connector) has(ctx context.Context, pg *pgconn.PgConn) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	query, want := "SELECT pg_catalog.pg_backend_pid()", []string{strconv.FormatUint(uint64(pg.PID()), 10)}
	for _, s := range c.settings {
		query += ", pg_catalog.current_setting('" + s.name + "')"
		want = append(want, s.value)
	}
	results, err := pg.Exec(ctx, query+"; "+durability).ReadAll()
	if err != nil {
		return false, err
	}
	if len(results) != 2 || len(results[0].Rows) != 1 || len(results[1].Rows) != 1 {
		return false, errors.New("the server doesn't report its settings")
	}
	if !slices.EqualFunc(results[0].Rows[0], want, func(value []byte, want string) bool { return string(value) == want }) {
		return false, nil
	}
	return true, c.refuseUnsafe(results[1].Rows[0])
}

// localSettings returns a statement that gives a transaction the settings that a session should have, except for the
// isolation level, which BEGIN must state.
func localSettings(all []setting) string {
	var calls []string
	for _, s := range all {
		if s.name != "default_transaction_isolation" {
			calls = append(calls, fmt.Sprintf("pg_catalog.set_config('%s', '%s', true)", s.name, s.value))
		}
	}
	return "SELECT " + strings.Join(calls, ", ")
}

// localSettings returns the statement that must come first in a transaction behind a pooler, where BEGIN must state
// the isolation level as well. [conn.BeginTx] does both. Without a pooler ok is false.
func (c *conn) localSettings() (statement string, ok bool) { return c.local, c.local != "" }

// beginLocally begins a transaction behind a pooler, with the settings that a session should have.
func (c *conn) beginLocally(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	begin := "BEGIN ISOLATION LEVEL "
	switch level := sql.IsolationLevel(o.Isolation); level {
	case sql.LevelDefault:
		begin += sql.LevelReadCommitted.String()
	case sql.LevelReadCommitted, sql.LevelRepeatableRead, sql.LevelSerializable:
		begin += level.String()
	default:
		return nil, fmt.Errorf("unsupported isolation: %s", level)
	}
	if o.ReadOnly {
		begin += " READ ONLY"
	}
	if c.Conn.Conn().IsClosed() {
		return nil, driver.ErrBadConn
	}
	tx, err := c.Conn.Conn().BeginTx(ctx, pgx.TxOptions{BeginQuery: begin + "; " + c.local})
	if err != nil {
		return nil, err
	}
	return localTx{ctx: ctx, tx: tx}, nil
}

type localTx struct {
	ctx context.Context //nolint:containedctx // the driver's interface has no other way
	tx  pgx.Tx
}

func (t localTx) Commit() error   { return t.tx.Commit(t.ctx) }
func (t localTx) Rollback() error { return t.tx.Rollback(t.ctx) }

// bounded returns a context that bounds a statement outside of a transaction behind a pooler, where no setting bounds
// it.
func (c *conn) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if c.local == "" || c.Conn.Conn().PgConn().TxStatus() != 'I' {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, c.statementLimit)
}

// limitedByOthers reports whether a statement outside of a transaction failed as it can do by what another client of the
// pooler has left in the server's session: a time limit, or an isolation level. It has changed nothing then. A block that commits
// on its way can't run in a transaction.
func (c *conn) limitedByOthers(ctx context.Context, query string, err error) bool {
	var pg *pgconn.PgError
	return c.local != "" && errors.As(err, &pg) && slices.Contains([]string{"55P03", "57014", "40001"}, pg.Code) &&
		ctx.Err() == nil && c.Conn.Conn().PgConn().TxStatus() == 'I' && !strings.HasPrefix(query, "DO ")
}

// execLocally runs a statement in a transaction of its own, which has our settings.
func (c *conn) execLocally(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	tx, err := c.BeginTx(ctx, driver.TxOptions{})
	if err != nil {
		return nil, err
	}
	result, err := c.Conn.ExecContext(ctx, query, args)
	if err != nil {
		return nil, errors.Join(err, tx.Rollback())
	}
	return result, tx.Commit()
}

// queryLocally is execLocally for a statement that returns rows. Its transaction is to be committed once they are read.
func (c *conn) queryLocally(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, driver.Tx, error) {
	tx, err := c.BeginTx(ctx, driver.TxOptions{})
	if err != nil {
		return nil, nil, err
	}
	rows, err := c.Conn.QueryContext(ctx, query, args)
	if err != nil {
		return nil, nil, errors.Join(err, tx.Rollback())
	}
	return rows, tx, nil
}
