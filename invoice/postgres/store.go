// Package postgres keeps invoices and the ledger of jobs in Postgres, through GORM. What must never be — a second
// invoice for a transaction, a number twice, a gap, a changed invoice — is refused by the database itself; this
// package makes sure that it is never asked for, and tells the refusals apart when another process was first.
//
// A [DB] is opened once, and has three parts: [Invoices] writes and reads them, [Ledger] has the accepted jobs and how jobs
// ended, [Reports] reads what people are shown. All are safe for concurrent use, and each call may be made again after any
// error.
package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"invoicer/internal/owned"
)

// Options say where the database is and how long it may wait. Zero values mean the defaults.
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

// A DB is one schema of one Postgres database, and what is kept in it.
type DB struct {
	*core

	Invoices *Invoices
	Ledger   *Ledger
	Reports  *Reports
}

// Invoices are the committed invoices and credit notes, and the counters of their series.
type Invoices struct {
	*core

	lanes   *lanes
	writing *writing
}

// A Ledger has every accepted job, and how each job ended.
type Ledger struct {
	*core

	goodEnds group[*goodEnd]
}

// Reports tell people what is on record. They change nothing.
type Reports struct{ *core }

// A core is what all parts of a database work with.
type core struct {
	db      *gorm.DB
	sql     *sql.DB
	opener  *connector
	options Options
	working owned.Goroutines // on the groups
}

// Open prepares a database. It opens no connection: the first call that needs one does.
func Open(o Options) (*DB, error) {
	o.setDefaults()
	opener, err := newConnector(o)
	if err != nil {
		return nil, err
	}
	pool, db, err := connect(opener, o.MaxConns)
	if err != nil {
		return nil, err
	}
	// A pooler may reserve one of the server's sessions for each of our connections.
	opener.met = func() { pool.SetConnMaxIdleTime(time.Second) }
	shared := &core{db: db, sql: pool, opener: opener, options: o}
	invoices := &Invoices{core: shared, writing: newWriting()}
	invoices.lanes = newLanes(invoices)
	ledger := &Ledger{core: shared}
	ledger.goodEnds = group[*goodEnd]{
		owner: &shared.working, most: maxGroup, apart: (*goodEnd).apart, weigh: func(*goodEnd) int { return 0 }, do: ledger.writeGoodEnds,
		storm: ledger.stormAfter, longestWait: stormWait,
	}
	return &DB{core: shared, Invoices: invoices, Ledger: ledger, Reports: &Reports{shared}}, nil
}

func connect(opener *connector, maxConns int) (*sql.DB, *gorm.DB, error) {
	pool := sql.OpenDB(opener)
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
func (s *core) fresh(f func(*gorm.DB) error) error {
	pool, db, err := connect(s.opener, 1)
	if err != nil {
		return err
	}
	defer pool.Close()
	return f(db)
}

// autocommit runs one statement that commits by itself. Behind a pooler, which may have any settings of somebody else's, it
// is a transaction of its own.
func (s *core) autocommit(ctx context.Context, run func(*gorm.DB) error) error {
	if !s.opener.known.Load() {
		if err := s.sql.PingContext(ctx); err != nil {
			return err
		}
	}
	if s.opener.pooled.Load() {
		return s.db.WithContext(ctx).Transaction(run)
	}
	return run(s.db.WithContext(ctx))
}

// closeTimeout is how long Close waits for what is under way. More would hold up the process's end, and all that is lost
// is to know what became of it: whoever asked has gone.
const closeTimeout = 3 * time.Second

// Close closes every connection. It waits for transactions that are still under way though nobody waits for them any more,
// three seconds at most; its error says that some were left behind, which end with the time limits that they have.
func (s *DB) Close() error {
	var left error
	if !s.working.Wait(closeTimeout) {
		left = errors.New("closed while a transaction is under way")
	}
	return errors.Join(left, s.sql.Close())
}

// Ping makes sure that the database answers.
func (s *DB) Ping(ctx context.Context) error { return classify(s.sql.PingContext(ctx)) }

// DatabaseID is the identity that this database keeps through backups and restores; it keeps two databases apart that
// use the same Redis. A database whose encoding can't hold every text is refused.
func (s *DB) DatabaseID(ctx context.Context) (string, error) {
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
