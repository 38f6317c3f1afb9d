// Package await waits for servers that don't answer yet, and shortens the errors of their drivers to one line.
package await

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/redis/go-redis/v9"

	"invoicer/invoice/postgres"
	"invoicer/migrations"
	"invoicer/worker/queue"
)

const (
	// DefaultTimeout is how long a command waits for a server that doesn't answer.
	DefaultTimeout = 30 * time.Second
	// attemptTimeout bounds each try, so that a server that hangs is tried again like one that refuses connections.
	attemptTimeout = 5 * time.Second
)

// Answer is [Waiter.Answer] with [DefaultTimeout]. It logs the messages as warnings.
func Answer(ctx context.Context, log *slog.Logger, what string, probe func(context.Context) error) error {
	w := Waiter{AtMost: DefaultTimeout, Tell: func(message string) { log.WarnContext(ctx, message) }}
	return w.Answer(ctx, what, probe)
}

// A Waiter waits for servers.
type Waiter struct {
	AtMost time.Duration        // the limit of one wait
	Tell   func(message string) // shows a message when a wait begins, and when the server answers after it
}

// Answer calls the probe of a server, which what names, until it succeeds, for AtMost. It returns errors that waiting doesn't
// help against at once. The error is one line that begins with what, or with "stopped while waiting for" what if ctx ended the
// wait; then it wraps the cause of ctx. It contains no password unless what does.
func (w Waiter) Answer(ctx context.Context, what string, probe func(context.Context) error) error {
	begun := time.Now()
	limit, cancel := context.WithTimeout(ctx, w.AtMost)
	defer cancel()
	waits := false
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		err := Try(ctx, probe)
		switch {
		case err == nil:
			if waits {
				w.Tell(fmt.Sprintf("%s answers after %s", what, time.Since(begun).Round(100*time.Millisecond)))
			}
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("stopped while waiting for %s: %w", what, context.Cause(ctx))
		case isLasting(err):
			return Briefly(what+": ", err)
		case limit.Err() != nil:
			return Briefly(fmt.Sprintf("%s does not answer (waited for %s): ", what, w.AtMost), err)
		case !waits:
			w.Tell(fmt.Sprintf("waiting up to %s for %s: %s", w.AtMost, what, OneLine(err)))
			waits = true
		}
		next := time.NewTimer(pause/2 + rand.N(pause/2)) //nolint:gosec // jitter needs no secrecy
		select {
		case <-next.C:
		case <-limit.Done(): // one more try, the last
		}
		next.Stop()
	}
}

// Try calls a probe once, with a deadline five seconds ahead.
func Try(ctx context.Context, probe func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	return probe(ctx)
}

// isLasting reports whether waiting doesn't help against the error: the server has answered, and would give the same answer later.
func isLasting(err error) bool {
	if errors.As(err, new(*pgconn.PgError)) {
		return postgres.Lasting(err)
	}
	var reply redis.Error
	if errors.As(err, &reply) {
		return !redis.IsLoadingError(err) && !redis.IsReadOnlyError(err) && !redis.IsClusterDownError(err) &&
			!redis.IsTryAgainError(err) && !redis.IsMasterDownError(err) && !redis.IsMaxClientsError(err) && !redis.IsOOMError(err)
	}
	if errors.As(err, new(*migrations.MissingError)) || errors.As(err, new(*queue.TakenError)) {
		return true
	}
	var unknown x509.UnknownAuthorityError
	var wrongName x509.HostnameError
	var invalid x509.CertificateInvalidError
	return errors.As(err, &unknown) || errors.As(err, &wrongName) || errors.As(err, &invalid)
}

// A briefError has one line as its text, and wraps the error that the line is made of.
type briefError struct {
	line  string
	cause error
}

func (e *briefError) Error() string { return e.line }
func (e *briefError) Unwrap() error { return e.cause }

// Briefly returns an error that wraps err, and whose text is the prefix and [OneLine] of err.
func Briefly(prefix string, err error) error {
	return &briefError{line: prefix + OneLine(err), cause: err}
}

// OneLine returns an error's text in one line, without the address and the user name, which drivers repeat: callers put the
// server's name before it.
func OneLine(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return postgres.Advise(pg)
	}
	var network *net.OpError
	if errors.As(err, &network) && network.Err != nil {
		err = network.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer within " + attemptTimeout.String()
	}
	line, rest, _ := strings.Cut(err.Error(), "\n")
	if strings.HasSuffix(line, ":") { // pgx writes its own name and the user on the first line, and the cause on the next
		line, _, _ = strings.Cut(rest, "\n")
	}
	return strings.TrimSpace(line)
}
