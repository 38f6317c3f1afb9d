package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"

	"invoicer/invoice"
)

// unavailableError wraps the cause and matches [invoice.ErrUnavailable].
type unavailableError struct{ cause error }

func (e *unavailableError) Error() string {
	var pg *pgconn.PgError
	if errors.As(e.cause, &pg) && (pg.Code == "42P05" || pg.Code == "26000") {
		return e.cause.Error() + ": " + advice(pg.Code) // it looks like a fault of this program, and never ends by itself
	}
	return e.cause.Error()
}
func (e *unavailableError) Unwrap() error { return e.cause }

// Is reports what it marks. Only this process closes connections under those who use them: see [primaries.promoted].
func (e *unavailableError) Is(target error) bool {
	return target == invoice.ErrUnavailable || target == invoice.ErrBrokenOff && errors.Is(e.cause, net.ErrClosed)
}

// classify wraps an error that is due to the database's state, and not to the job, so that it matches
// [invoice.ErrUnavailable].
func classify(err error) error {
	if err == nil || errors.Is(err, invoice.ErrUnavailable) || !outage(err) {
		return err
	}
	return &unavailableError{cause: err}
}

// outage reports whether the same statement may succeed later. Classes and codes are those of the Postgres manual's
// appendix A.
func outage(err error) bool {
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) {
		return true // a connection can't be opened, which isn't the job's fault
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code[:2] {
		case "08", // connection exception
			"28",       // authorization: a password that is being changed
			"3D", "3F", // no such database, no such schema: in the middle of a restore
			"53", // insufficient resources: disk full, out of memory, too many connections
			"57", // operator intervention: shutdown, crash, cancelled or timed out
			"58": // system error: I/O, a missing file
			return true
		}
		switch pg.Code {
		case "40001", // serialization failure
			"40P01",                   // deadlock
			"55P03",                   // lock timeout: another transaction holds the counter
			"25P03",                   // the session was ended while idle in a transaction
			"25006",                   // read-only: a standby, until it is promoted
			"26000", "42P05", "0A000", // a prepared statement that a pooler or a migration has invalidated
			"42501",          // no privilege, until it is granted
			"42P01", "42883": // no such table or function, until a restore or a migration has made it
			return true
		}
		return false
	}
	var network net.Error
	return errors.As(err, &network) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) ||
		errors.Is(err, sql.ErrTxDone) || // rolled back because its context ended
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNREFUSED) ||
		pgconn.SafeToRetry(err)
}

// isCode reports whether the server answered with the error code.
func isCode(err error, code string) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == code
}

// violates reports whether the database refused because of the named constraint.
func violates(err error, constraint string) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.ConstraintName == constraint
}

// answered reports whether the error is the server's answer to the statement.
func answered(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code[:2] != "08" && pg.Code[:2] != "57"
}

// message returns what the server says, without its code.
func message(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Message
	}
	return err.Error()
}
