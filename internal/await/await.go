// Package await waits for servers that don't answer yet, and says in one line why they don't.
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
	// DefaultPatience is how long a command waits for a server that doesn't answer.
	DefaultPatience = 30 * time.Second
	// attemptTimeout bounds each try: a server that hangs is no better than one that refuses.
	attemptTimeout = 5 * time.Second
)

// Answer calls the probe of a server until it succeeds, for half a minute at most. It logs once that it waits. Errors
// that waiting doesn't help against come back at once.
func Answer(ctx context.Context, log *slog.Logger, what string, probe func(context.Context) error) error {
	p := Patience{AtMost: DefaultPatience, Tell: func(message string) { log.WarnContext(ctx, message) }}
	return p.Answer(ctx, what, probe)
}

// A Patience is how waiting is done.
type Patience struct {
	AtMost time.Duration
	Tell   func(message string) // is called when it waits, and when this was worth it
}

// Answer is as the function of the same name. Its error is one line, names what was waited for, and holds no secret as
// long as what doesn't.
func (p Patience) Answer(ctx context.Context, what string, probe func(context.Context) error) error {
	begun := time.Now()
	limit, cancel := context.WithTimeout(ctx, p.AtMost)
	defer cancel()
	told := false
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		err := Try(ctx, probe)
		switch {
		case err == nil:
			if told {
				p.Tell(fmt.Sprintf("%s answers after %s", what, time.Since(begun).Round(100*time.Millisecond)))
			}
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("stopped while waiting for %s: %w", what, context.Cause(ctx))
		case isLasting(err):
			return Briefly(what+": ", err)
		case limit.Err() != nil:
			return fmt.Errorf("%s does not answer (waited for %s): %s", what, p.AtMost, OneLine(err))
		case !told:
			p.Tell(fmt.Sprintf("waiting up to %s for %s: %s", p.AtMost, what, OneLine(err)))
			told = true
		}
		next := time.NewTimer(pause/2 + rand.N(pause/2)) //nolint:gosec // jitter needs no secrecy
		select {
		case <-next.C:
		case <-limit.Done(): // one last try
		}
		next.Stop()
	}
}

// Try calls a probe once, and gives it five seconds.
func Try(ctx context.Context, probe func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	return probe(ctx)
}

// isLasting tells whether a server has answered, and would answer the same in half a minute.
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

// A briefError says in a line what its cause says at length.
type briefError struct {
	line  string
	cause error
}

func (e *briefError) Error() string { return e.line }
func (e *briefError) Unwrap() error { return e.cause }

// Briefly returns an error that says what OneLine does, after the prefix.
func Briefly(prefix string, err error) error {
	return &briefError{line: prefix + OneLine(err), cause: err}
}

// OneLine keeps of an error what a person needs beside the server's name, which drivers repeat, some more than once and on
// several lines.
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
	if strings.HasSuffix(line, ":") { // pgx names itself and the user first, and the cause below
		line, _, _ = strings.Cut(rest, "\n")
	}
	return strings.TrimSpace(line)
}
