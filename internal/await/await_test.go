package await

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

var errRefused = &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}

func TestWaitingFor(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answersAfter time.Duration // by the fake clock; the probe fails until then
		err          error
		told         []string
		says         string // "" is no error
		took         time.Duration
	}{
		"a server that is there": {},
		"a server that comes": {
			answersAfter: 20 * time.Second, err: errRefused, took: 20 * time.Second,
			told: []string{"waiting up to 30s for redis at h:1: connection refused", "redis at h:1 answers after 2"},
		},
		"a server that does not come": {
			answersAfter: time.Hour, err: errRefused, took: 30 * time.Second,
			told: []string{"waiting up to 30s for redis at h:1: connection refused"},
			says: "redis at h:1 does not answer (waited for 30s): connection refused",
		},
		"a database that starts": {
			answersAfter: time.Second, err: &pgconn.PgError{Code: "57P03", Message: "the database system is starting up"}, took: time.Second,
			told: []string{"waiting up to 30s for redis at h:1: the database system is starting up (SQLSTATE 57P03)", "redis at h:1 answers after "},
		},
		"a database that isn't": {
			answersAfter: time.Hour, err: &pgconn.PgError{Code: "3D000", Message: `database "x" does not exist`},
			says: `redis at h:1: database "x" does not exist: create it first, by createdb or by CREATE DATABASE in psql`,
		},
		"a wrong password": {
			answersAfter: time.Hour, err: &pgconn.PgError{Code: "28P01", Message: `password authentication failed for user "u"`},
			says: `redis at h:1: password authentication failed for user "u": correct the password in database.url, or set PGPASSWORD`,
		},
		"what pgx says of a host without an address": {
			answersAfter: time.Hour, err: errors.New("failed to connect to `user=u`:\n\thostname resolving error: no such host\n\tand again"), took: 30 * time.Second,
			told: []string{"waiting up to 30s for redis at h:1: hostname resolving error: no such host"},
			says: "redis at h:1 does not answer (waited for 30s): hostname resolving error: no such host",
		},
		"several lines": {
			answersAfter: time.Hour, err: errors.Join(io.ErrUnexpectedEOF, io.EOF), took: 30 * time.Second,
			told: []string{"waiting up to 30s for redis at h:1: unexpected EOF"},
			says: "redis at h:1 does not answer (waited for 30s): unexpected EOF",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				var told []string
				p := Waiter{30 * time.Second, func(message string) { told = append(told, message) }}
				err := p.Answer(t.Context(), "redis at h:1", func(context.Context) error {
					if time.Since(begun) >= test.answersAfter {
						return nil
					}
					return test.err
				})
				if test.says == "" && err != nil || test.says != "" && (err == nil || err.Error() != test.says) {
					t.Errorf("error %v, want %q", err, test.says)
				}
				if !slices.EqualFunc(told, test.told, strings.HasPrefix) {
					t.Errorf("told %q, want %q", told, test.told)
				}
				if took := time.Since(begun); took < test.took || took > test.took+2*time.Second {
					t.Errorf("took %s, want %s", took, test.took)
				}
			})
		})
	}
}

// A server that takes connections and never answers is as bad as none.
func TestWaitingBoundsEachTry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		p := Waiter{time.Second, func(string) {}}
		err := p.Answer(t.Context(), "x", func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		})
		if err == nil || !strings.HasSuffix(err.Error(), ": no answer within 5s") {
			t.Errorf("error %v", err)
		}
		if took := time.Since(begun); took != attemptTimeout {
			t.Errorf("took %s", took)
		}
	})
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	t.Parallel()
	errSignal := errors.New("ended by a signal")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(3*time.Second, func() { cancel(errSignal) })
		begun := time.Now()
		p := Waiter{time.Hour, func(string) {}}
		err := p.Answer(ctx, "x", func(context.Context) error { return errRefused })
		if !errors.Is(err, errSignal) {
			t.Errorf("error %v, want the context's cause", err)
		}
		if took := time.Since(begun); took > 3*time.Second {
			t.Errorf("took %s", took)
		}
	})
}
