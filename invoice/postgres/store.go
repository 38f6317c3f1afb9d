// Package postgres keeps invoices and the ledger of jobs in Postgres, through GORM. What must never be — a second
// invoice for a transaction, a number twice, a gap, a changed invoice — is refused by the database itself; this
// package makes sure that it is never asked for, and tells the refusals apart when another process was first.
//
// The central type is [Store]: [Store.Insert] writes, [Store.Find] and [Store.Content] read, [Store.Record] writes
// down how a job ended. They are safe for concurrent use, and each may be called again after any error.
package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// Options say where the store is and how long it may wait. Zero values mean the defaults.
type Options struct {
	// URL is anything that pgx understands. Required.
	URL string
	// Schema holds the tables. Default: invoicer.
	Schema string
	// MaxConns bounds the open connections. Default: 20.
	MaxConns int
	// Callers is how many may record an end at once, as far as that is known: nobody waits for more duplicates of a storm
	// to come together than that. Default: 0, nobody waits for any.
	Callers int
	// StatementTimeout bounds one statement on the server. Default: 8s.
	StatementTimeout time.Duration
	// LockTimeout bounds the wait for a row, which is nearly always the series' counter. Default: 5s.
	LockTimeout time.Duration
	// IdleInTransactionTimeout ends the session of a process that stopped in the middle of a transaction, so that
	// nobody waits longer than this for a counter that it holds. Default: 5s.
	IdleInTransactionTimeout time.Duration
	// ConnectTimeout bounds opening a connection. Default: 5s.
	ConnectTimeout time.Duration
	// CommitCheckTimeout bounds finding out what became of a COMMIT whose reply was lost. Default: 5s.
	CommitCheckTimeout time.Duration
}

func (o *Options) setDefaults() {
	if o.Schema == "" {
		o.Schema = "invoicer"
	}
	if o.MaxConns == 0 {
		o.MaxConns = 20
	}
	for _, d := range []struct {
		value    *time.Duration
		standard time.Duration
	}{
		{&o.StatementTimeout, 8 * time.Second},
		{&o.LockTimeout, 5 * time.Second},
		{&o.IdleInTransactionTimeout, 5 * time.Second},
		{&o.ConnectTimeout, 5 * time.Second},
		{&o.CommitCheckTimeout, 5 * time.Second},
	} {
		if *d.value == 0 {
			*d.value = d.standard
		}
	}
}

// A Store is one schema of one Postgres database.
type Store struct {
	db      *gorm.DB
	sql     *sql.DB
	config  *pgx.ConnConfig
	options Options

	lanes    *lanes
	goodEnds group[*goodEnd]
}

// Open prepares a store. It opens no connection: the first call that needs one does.
func Open(o Options) (*Store, error) {
	o.setDefaults()
	config, err := pgx.ParseConfig(o.URL)
	if err != nil {
		return nil, fmt.Errorf("database.url: %w", err)
	}
	config.ConnectTimeout = o.ConnectTimeout
	for name, value := range map[string]string{
		"search_path":                         "pg_catalog", // names are qualified
		"statement_timeout":                   milliseconds(o.StatementTimeout),
		"lock_timeout":                        milliseconds(o.LockTimeout),
		"idle_in_transaction_session_timeout": milliseconds(o.IdleInTransactionTimeout),
		"default_transaction_isolation":       "read committed",
		"client_encoding":                     "UTF8",
		// Plans are kept for a session's life. One that was made while a table was small must not read the whole of it
		// when it has grown: every statement here finds its rows by an index.
		"enable_seqscan":   "off",
		"enable_hashjoin":  "off",
		"enable_mergejoin": "off",
		"plan_cache_mode":  "force_generic_plan",
		"jit":              "off", // it is bought for what looks expensive, and a plan against these settings does
	} {
		config.RuntimeParams[name] = value
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "invoicer"
	}
	config.OnNotice = noticeWarning
	pool, db, err := connect(config, o.Schema, o.MaxConns)
	if err != nil {
		return nil, err
	}
	s := &Store{db: db, sql: pool, config: config, options: o}
	s.lanes = newLanes(s)
	s.goodEnds = group[*goodEnd]{most: maxGroup, apart: (*goodEnd).apart, weigh: func(*goodEnd) int { return 0 }, do: s.writeGoodEnds, storm: s.stormAfter, patience: stormPatience}
	return s, nil
}

const pingTimeout = 2 * time.Second

func connect(config *pgx.ConnConfig, schema string, maxConns int) (*sql.DB, *gorm.DB, error) {
	// A connection whose server has vanished must not cost its user all of their time: a failed ping closes it.
	opener := stdlib.GetConnector(*config, stdlib.OptionShouldPing(func(ctx context.Context, p stdlib.ShouldPingParams) bool {
		if p.IdleDuration <= time.Second {
			return false
		}
		ctx, cancel := context.WithTimeout(ctx, pingTimeout)
		defer cancel()
		return p.Conn.PgConn().Ping(ctx) != nil
	}))
	pool := sql.OpenDB(&connector{Connector: opener, schema: qualifier(schema)})
	pool.SetMaxOpenConns(maxConns)
	pool.SetMaxIdleConns(maxConns)
	db, err := gorm.Open(postgres.New(postgres.Config{Conn: pool}), &gorm.Config{
		// Errors are returned and logged once, by whoever handles them; GORM's own logger would print SQL with values.
		Logger:                 logger.Discard,
		SkipDefaultTransaction: true,
		DisableAutomaticPing:   true,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("open database: %w", err)
	}
	return pool, db, nil
}

// fresh runs f on a connection that nothing has been sent over before.
func (s *Store) fresh(f func(*gorm.DB) error) error {
	pool, db, err := connect(s.config, s.options.Schema, 1)
	if err != nil {
		return err
	}
	defer pool.Close()
	return f(db)
}

// Close closes every connection.
func (s *Store) Close() error { return s.sql.Close() }

// Ping makes sure that the database answers.
func (s *Store) Ping(ctx context.Context) error { return classify(s.sql.PingContext(ctx)) }

// DatabaseID is the identity that this database keeps through backups and restores; it keeps two databases apart that
// use the same Redis. A database whose encoding can't hold every text is refused.
func (s *Store) DatabaseID(ctx context.Context) (string, error) {
	var id, encoding string
	row := s.db.WithContext(ctx).Raw("SELECT id::text, current_setting('server_encoding') FROM invoicer.database_identity").Row()
	if err := row.Scan(&id, &encoding); err != nil {
		return "", classify(fmt.Errorf("read the database's identity: %w", err))
	}
	if encoding != "UTF8" {
		return "", fmt.Errorf("the database's encoding is %s, in which not every job's text can be kept: create it with ENCODING 'UTF8'", encoding)
	}
	return id, nil
}

func milliseconds(d time.Duration) string {
	return strconv.FormatInt(d.Milliseconds(), 10)
}
