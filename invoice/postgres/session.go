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
	"github.com/jackc/pgx/v5/stdlib"

	"invoicer/invoice"
)

// A setting is a parameter of the server's that a session should have, with its value as the server shows it.
type setting struct{ name, value string }

func settings(o Options) []setting {
	return []setting{
		{"search_path", "pg_catalog"}, // names are qualified
		{"statement_timeout", milliseconds(o.StatementTimeout)},
		{"lock_timeout", milliseconds(o.LockTimeout)},
		{"idle_in_transaction_session_timeout", milliseconds(o.IdleInTransactionTimeout)},
		{"default_transaction_isolation", "read committed"},
		// Plans are kept for a session's life. One that was made while a table was small must not read the whole of it
		// when it has grown: every statement here finds its rows by an index.
		{"enable_seqscan", "off"},
		{"enable_hashjoin", "off"},
		{"enable_mergejoin", "off"},
		{"plan_cache_mode", "force_generic_plan"},
		{"jit", "off"}, // plans against these settings look expensive, and for expensive ones code would be compiled
	}
}

// milliseconds is a duration as the server shows it: in the largest unit in which it is a whole number.
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

// A connector opens connections whose statements name the configured schema, and whose commits say so when they weren't
// replicated.
//
// Between us and the server may be a pooler, which gives each transaction, or each session, one of the server's sessions
// that others have used before. It refuses the settings that a session asks for, or drops them, and what is prepared in
// one transaction may be missing in the next. The connector finds that out; behind a pooler its connections prepare
// nothing that outlives a statement, and settings hold for a transaction: set for longer, they would reach others.
type connector struct {
	direct, plain  driver.Connector // with the settings, without
	settings       []setting
	schema         string        // quoted, with the dot that follows it
	statementLimit time.Duration // with a statement that no setting bounds
	timeout        time.Duration // of connecting
	met            func()        // is called once a pooler is

	pooled atomic.Bool // a pooler was met: from then on it isn't asked for what it doesn't do
	known  atomic.Bool // whether there is one
}

func newConnector(o Options) (*connector, error) {
	config, err := pgx.ParseConfig(o.URL)
	if err != nil {
		return nil, fmt.Errorf("database.url: %w", err)
	}
	config.ConnectTimeout = o.ConnectTimeout
	config.OnNotice = noticeWarning
	// Poolers know these, and see to it that a session of the server's has them.
	config.RuntimeParams["client_encoding"] = "UTF8"
	config.RuntimeParams["datestyle"] = "ISO"
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "invoicer"
	}
	c := &connector{settings: settings(o), schema: qualifier(o.Schema), statementLimit: o.StatementTimeout + time.Second, timeout: o.ConnectTimeout, met: func() {}}
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
	// A connection whose server has vanished must not cost its user all of their time: a failed ping closes it.
	ping := stdlib.OptionShouldPing(func(ctx context.Context, p stdlib.ShouldPingParams) bool {
		if p.IdleDuration <= time.Second {
			return false
		}
		ctx, cancel := context.WithTimeout(ctx, pingTimeout)
		defer cancel()
		return p.Conn.PgConn().Ping(ctx) != nil
	})
	c.direct, c.plain = stdlib.GetConnector(*config, ping), stdlib.GetConnector(*plain, ping)
	return c, nil
}

const pingTimeout = 2 * time.Second

// namesExecMode tells whether a URL says how statements are sent, which is then its author's business.
func namesExecMode(url string) (bool, error) {
	config, err := pgconn.ParseConfig(url) // which knows nothing of it, and takes it for a parameter of the server's
	if err != nil {
		return false, err
	}
	_, named := config.RuntimeParams["default_query_exec_mode"]
	return named, nil
}

func (c *connector) Driver() driver.Driver { return c.direct.Driver() }

func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
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

// tryPooler makes sure that a pooler has a session of the server's for us, and transactions, which it hasn't in statement
// mode.
func (c *connector) tryPooler(ctx context.Context, pg *pgconn.PgConn) error {
	patience := c.timeout * 4 / 5 // before whoever waits for the connection has lost theirs
	limit, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, statement := range []string{"BEGIN; " + localSettings(c.settings), "ROLLBACK"} {
		if _, err := pg.Exec(limit, statement).ReadAll(); err != nil {
			if limit.Err() != nil && ctx.Err() == nil {
				return noSessionError{patience}
			}
			return err
		}
	}
	return nil
}

// A noSessionError says that a pooler has none of the server's sessions left, or that none can be had.
type noSessionError struct{ waited time.Duration }

func (e noSessionError) Error() string {
	return fmt.Sprintf("the pooler has had no session of the server's for us within %s: where the server is well, raise default_pool_size of PgBouncer, or set pool_mode = transaction", e.waited)
}

func (e noSessionError) Is(target error) bool { return target == invoice.ErrUnavailable }

// connectDirectly returns a connection that has the settings, and neither that nor an error where a pooler doesn't let it
// have them.
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

// refusesParameters tells whether the other side doesn't know what a session asks for.
func refusesParameters(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && slices.Contains([]string{"08P01", "0A000", "42704"}, pg.Code)
}

// has tells whether a connection leads to the very session of the server's that answered it, and that one to be as it
// should.
func (c *connector) has(ctx context.Context, pg *pgconn.PgConn) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	query, want := "SELECT pg_catalog.pg_backend_pid()", []string{strconv.FormatUint(uint64(pg.PID()), 10)}
	for _, s := range c.settings {
		query += ", pg_catalog.current_setting('" + s.name + "')"
		want = append(want, s.value)
	}
	results, err := pg.Exec(ctx, query).ReadAll()
	if err != nil {
		return false, err
	}
	if len(results) != 1 || len(results[0].Rows) != 1 {
		return false, errors.New("the server doesn't tell its settings")
	}
	return slices.EqualFunc(results[0].Rows[0], want, func(value []byte, want string) bool { return string(value) == want }), nil
}

// localSettings is a statement that makes a transaction what a session should be. How it is isolated, BEGIN must say.
func localSettings(all []setting) string {
	var calls []string
	for _, s := range all {
		if s.name != "default_transaction_isolation" {
			calls = append(calls, fmt.Sprintf("pg_catalog.set_config('%s', '%s', true)", s.name, s.value))
		}
	}
	return "SELECT " + strings.Join(calls, ", ")
}

// localSettings returns what has to be the first statement of a transaction behind a pooler, where BEGIN must name the
// isolation as well. [conn.BeginTx] sees to both. Without a pooler there is none.
func (c *conn) localSettings() (statement string, ok bool) { return c.local, c.local != "" }

// beginLocally begins a transaction that has, behind a pooler, what a session should have.
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

// bounded ends a statement that no setting ends, as it stands alone behind a pooler and not in a transaction.
func (c *conn) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if c.local == "" || c.Conn.Conn().PgConn().TxStatus() != 'I' {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, c.statementLimit)
}
