// Package postgres keeps invoices and the ledger of jobs in Postgres, through GORM. The database itself refuses what
// must never be: a second invoice for a transaction, a number used twice, a gap, a changed invoice. This package
// never asks for any of these, and recognizes the refusal that means that another process was first.
//
// A [DB] is opened once and has several parts: [Invoices] writes and reads invoices, [Imports] keeps which transactions were
// invoiced elsewhere, [Series] keeps how series are numbered and [Settings] what else decides about invoices, [Ledger] keeps the accepted jobs and the ends of jobs, [Reports]
// reads what is shown to people, [Tokens] keeps who may see it, [Outbox] holds the events that endpoints are told, [Replays] keeps replays of many jobs. All are safe for concurrent use, and any call may be
// repeated after an error.
package postgres

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"invoicer/internal/fault"
	"invoicer/internal/owned"
	"invoicer/internal/races"
	"invoicer/internal/tracing"
	"invoicer/invoice"
)

// Options say where the database is and how long it may wait. Zero values mean the defaults.
type Options struct {
	// URL is a connection string that pgx accepts. Required.
	URL string
	// Schema holds the tables. Default: invoicer.
	Schema string
	// Worker is the name under which this process counts the ends of jobs. No two processes may share one, else they wait for
	// each other. Default: a random one.
	Worker string
	// Version is the program's version, which each invoice keeps. Default: none.
	Version string
	// MaxConns bounds the open connections. Default: 20.
	MaxConns int
	// Callers is the largest number of concurrent calls that record an end, if known. When many duplicates of one
	// invoice arrive, a transaction waits for at most that many of them. Default: 0, no transaction waits.
	Callers int
	// StatementTimeout bounds one statement on the server. Default: 8s.
	StatementTimeout time.Duration
	// LockTimeout bounds the wait for a row lock, nearly always that of a series' counter. Default: 5s.
	LockTimeout time.Duration
	// IdleInTransactionTimeout is how long a session may be idle in a transaction before the server ends it, so that
	// others don't wait longer for a counter held by a process that has stopped. Default: 5s.
	IdleInTransactionTimeout time.Duration
	// ConnectTimeout bounds opening a connection. Default: 5s.
	ConnectTimeout time.Duration
	// CommitCheckTimeout bounds the check whether a COMMIT whose reply was lost took effect. Default: 5s.
	CommitCheckTimeout time.Duration
	// Wrote is called after each transaction that wrote invoices, with their number. It must return soon. Default: it isn't
	// called.
	Wrote func(invoices int)
	// Remember is called after each commit that has made documents, and returns once they are remembered, or can't be. Default: nobody
	// remembers them.
	Remember func(ctx context.Context, made []invoice.Made)
	// Look is called before the first number is given out by a server, and after each restart, failover and restore of it. Numbers wait
	// for it. Default: nobody looks.
	Look Look
	// Producers follows the producers of the same database and schema, if another DB does so already. Default: this DB does so itself
	// once it is asked.
	Producers *races.Follower
	// Tracer has a span for each draft and end that is written, and one for each transaction that they share. Default: none.
	Tracer *tracing.Tracer
	// Statements traces the statements of each connection. Default: they aren't traced.
	Statements pgx.QueryTracer
	// Objects keeps the bytes of documents that aren't kept in the database. Default: the database keeps all.
	Objects Objects
	// Fault is called at the fault points of a transaction that writes invoices, once for all that share it, for tests.
	// Such a transaction takes more round trips. Default: the points do nothing.
	Fault fault.Hook
}

func (o *Options) setDefaults() {
	if o.Schema == "" {
		o.Schema = "invoicer"
	}
	if o.Wrote == nil {
		o.Wrote = func(int) {}
	}
	if o.Worker == "" {
		o.Worker = rand.Text()
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

// A DB is one schema of one Postgres database.
type DB struct {
	*core

	Invoices  *Invoices
	Imports   *Imports
	Ledger    *Ledger
	Reports   *Reports
	Tokens    *Tokens
	Erasures  *Erasures
	Series    *Series
	Settings  *Settings
	Issuers   *Issuers
	Outbox    *Outbox
	Documents *Documents
	Handovers *Handovers
	Replays   *Replays
}

// Invoices holds the committed invoices and credit notes, and the counters of their series.
type Invoices struct {
	*core

	lanes    *lanes
	writing  *writing
	series   *Series
	settings *Settings
	server   serverWatch
	looking  chan struct{} // the permit to look
}

// A Ledger holds every accepted job, and how each job ended.
type Ledger struct {
	*core

	goodEnds group[*goodEnd]
}

// Reports reads records for people. It changes nothing.
type Reports struct {
	*core

	// Producers judges their windows. It keeps in memory what it needs to judge the next ones.
	Producers *races.Follower
}

// A core is what all parts of a DB share.
type core struct {
	db      *gorm.DB
	sql     *sql.DB
	opener  *connector
	options Options
	counts  *countLanes
	working owned.Goroutines // the goroutines of the groups
}

// Open returns a DB without opening a connection: the first call that needs one does.
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
	// A pooler may reserve one of the server's sessions for each connection of this pool.
	opener.met = func() { pool.SetConnMaxIdleTime(time.Second) }
	shared := &core{db: db, sql: pool, opener: opener, options: o, counts: &countLanes{}}
	invoices := &Invoices{
		core: shared, writing: newWriting(o.Version), series: newSeries(shared), settings: newSettings(shared),
		server: serverWatch{looks: o.Look != nil, seen: make(map[counterKey]int64), missing: make(map[invoice.SeriesID]int64)}, looking: make(chan struct{}, 1),
	}
	invoices.lanes = newLanes(invoices)
	ledger := &Ledger{core: shared}
	ledger.goodEnds = group[*goodEnd]{
		owner: &shared.working, most: maxGroup, apart: (*goodEnd).apart, weigh: func(*goodEnd) int { return 0 }, do: ledger.writeGoodEnds,
		storm: ledger.stormAfter, longestWait: stormWait,
	}
	reports := &Reports{core: shared, Producers: o.Producers}
	if reports.Producers == nil {
		reports.Producers = races.NewFollower(reports.Windows)
	}
	return &DB{
		core: shared, Invoices: invoices, Imports: &Imports{shared}, Ledger: ledger, Reports: reports, Tokens: &Tokens{shared}, Erasures: &Erasures{shared},
		Series: invoices.series, Settings: invoices.settings, Issuers: &Issuers{shared},
		Outbox: &Outbox{shared}, Documents: &Documents{shared}, Handovers: &Handovers{shared}, Replays: &Replays{shared},
	}, nil
}

func connect(opener *connector, maxConns int) (*sql.DB, *gorm.DB, error) {
	pool := sql.OpenDB(opener)
	pool.SetMaxOpenConns(maxConns)
	pool.SetMaxIdleConns(maxConns)
	db, err := gorm.Open(postgres.New(postgres.Config{Conn: pool}), &gorm.Config{
		// Errors are returned, and logged once by the caller that handles them; GORM's logger would print SQL with
		// values.
		Logger:                 logger.Discard,
		SkipDefaultTransaction: true,
		DisableAutomaticPing:   true,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("open database: %w", err)
	}
	return pool, db, nil
}

// fresh runs f on a new connection.
func (s *core) fresh(f func(*gorm.DB) error) error {
	pool, db, err := connect(s.opener, 1)
	if err != nil {
		return err
	}
	defer pool.Close()
	return f(db)
}

// autocommit runs one statement that commits by itself. Behind a pooler, whose session may have any settings of other
// users, it runs the statement in a transaction of its own.
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

// closeTimeout is how long Close waits for transactions that are under way. Waiting longer would hold up the end of
// the process for results that no caller waits for.
const closeTimeout = 3 * time.Second

// Close closes every connection. It first waits, for three seconds at most, for transactions that are under way
// although their callers are gone. It returns an error if some were left behind; these end by their own time limits.
func (s *DB) Close() error {
	var left error
	if !s.working.Wait(closeTimeout) {
		left = errors.New("closed while a transaction is under way")
	}
	return errors.Join(left, s.sql.Close())
}

// Pool returns the state of the connections.
func (s *DB) Pool() sql.DBStats { return s.sql.Stats() }

// Ping returns nil if the database answers.
func (s *DB) Ping(ctx context.Context) error { return classify(s.sql.PingContext(ctx)) }

// DatabaseID returns the database's identity, which stays the same through backups and restores. It distinguishes two
// databases that use the same Redis. DatabaseID returns an error for a database whose encoding can't hold every text.
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
