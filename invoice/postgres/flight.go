package postgres

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"gorm.io/gorm"
)

// A flight is a transaction that sends its statements in batches: one round trip carries all statements that were
// added since the last [flight.send]. The server runs them one after the other, each with its own snapshot, and skips
// the rest after one has failed.
type flight struct {
	db    *gorm.DB
	conn  *conn
	batch *pgx.Batch
}

// begin opens a transaction on a connection of the pool for f. f adds statements, sends them, and ends the flight
// with [flight.commit]. If f doesn't commit, the transaction is rolled back.
func begin(ctx context.Context, db *gorm.DB, lockTimeout time.Duration, f func(*flight) error) error {
	pool, err := db.DB()
	if err != nil {
		return err
	}
	c, err := pool.Conn(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	ran := false
	var failed error
	err = c.Raw(func(opened any) error {
		ran = true
		one := &flight{db: db.Session(&gorm.Session{DryRun: true}), conn: opened.(*conn), batch: &pgx.Batch{}}
		one.addBegin(lockTimeout)
		failed = f(one)
		return one.end(ctx)
	})
	if !ran {
		return err
	}
	return failed // it matters more than an error of giving the connection up
}

// addBegin adds the start of a transaction; behind a pooler, also the settings that a session would have.
func (f *flight) addBegin(lockTimeout time.Duration) {
	if settings, pooled := f.conn.localSettings(); pooled {
		f.batch.Queue("begin isolation level read committed")
		f.batch.Queue(settings)
	} else {
		f.batch.Queue("begin")
	}
	f.addLockTimeout(lockTimeout)
}

// addLockTimeout adds a statement that bounds all later waits for locks.
func (f *flight) addLockTimeout(d time.Duration) {
	f.add("SELECT set_config('lock_timeout', ?, true)", milliseconds(d))
}

// addJudged adds a statement that bounds all later waits for locks, and says to the trigger refuse_unjudged that this writer judges by profiles.
func (f *flight) addJudged(d time.Duration) {
	f.add("SELECT set_config('lock_timeout', ?, true), set_config(?, 'judged', true)", milliseconds(d), "invoicer.profiles")
}

// add adds a statement. GORM builds its SQL without running it.
func (f *flight) add(query string, args ...any) *pgx.QueuedQuery {
	built := f.db.Raw(query, args...).Statement
	return f.batch.Queue(qualify(built.SQL.String(), f.conn.schema), built.Vars...)
}

// send sends the added statements, and returns when all are answered or one has failed.
func (f *flight) send(ctx context.Context) error {
	batch := f.batch
	f.batch = &pgx.Batch{}
	return f.conn.Conn.Conn().SendBatch(ctx, batch).Close()
}

// commit sends the added statements together with COMMIT. It returns a [*commitError] if COMMIT failed, if the
// connection broke so that COMMIT may have been reached, or if the commit isn't replicated.
func (f *flight) commit(ctx context.Context, written *bool) error {
	f.forgetWarning()
	var tag pgconn.CommandTag
	f.batch.Queue("commit").Exec(func(t pgconn.CommandTag) error {
		tag = t
		return nil
	})
	err := f.send(ctx)
	switch {
	case err == nil && tag.String() == "ROLLBACK":
		return errRolledBack
	case err == nil && tag.String() != "COMMIT":
		return &commitError{cause: fmt.Errorf("the server answered it with %q", tag)}
	case err == nil:
		if err = commitWarning(f.pg()); err != nil {
			return &commitError{cause: err}
		}
		return nil
	case !*written && (answered(err) || isCode(err, "57014")):
		return err // the server didn't reach COMMIT
	default:
		return &commitError{cause: err}
	}
}

var errRolledBack = errors.New("the transaction was rolled back instead of committed")

// end makes sure that no transaction is left open. It closes the connection if a rollback may not have worked.
func (f *flight) end(ctx context.Context) error {
	pg := f.pg()
	if pg.IsClosed() || pg.IsBusy() {
		return driver.ErrBadConn
	}
	if pg.TxStatus() == 'I' {
		return nil
	}
	if err := pg.Exec(ctx, "rollback").Close(); err != nil || pg.TxStatus() != 'I' {
		return driver.ErrBadConn
	}
	return nil
}

func (f *flight) pg() *pgconn.PgConn { return f.conn.Conn.Conn().PgConn() }

func (f *flight) forgetWarning() { forgetWarning(f.conn.Conn.Conn()) }

// collect returns a function that calls each for every row of a statement's answer.
func collect[T any](each func(row *T) error) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		read, err := pgx.CollectRows(rows, pgx.RowToStructByPos[T])
		if err != nil {
			return err
		}
		for i := range read {
			if err := each(&read[i]); err != nil {
				return fmt.Errorf("read a row: %w", err)
			}
		}
		return nil
	}
}
