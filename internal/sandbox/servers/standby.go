package servers

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"invoicer/internal/sandbox/programs"
)

// A Standby is a private Postgres that streams from a primary and can be asked, but not written to.
type Standby struct {
	*Server

	// Name is what the primary's synchronous_standby_names calls it.
	Name string

	primaryURL  string
	connection  string // to the primary, as primary_conninfo has it
	maintenance string // the URL of the standby's own database postgres
}

// StartStandby copies a running primary and starts the copy as its standby. The context is for the start alone.
func StartStandby(ctx context.Context, primary *Server, name string, options PostgresOptions) (*Standby, error) {
	found, err := programs.Find(programs.Postgres)
	if err != nil {
		return nil, err
	}
	config, err := pgx.ParseConfig(primary.URL)
	if err != nil {
		return nil, err
	}
	server, err := prepare("standby "+name, "QUIT")
	if err != nil {
		return nil, err
	}
	server.program, server.stop = found[programs.Postgres], syscall.SIGINT
	s := &Standby{
		Server: server, Name: name, primaryURL: primary.URL,
		connection: fmt.Sprintf("host=%s port=%d user=postgres application_name=%s", config.Host, config.Port, name),
	}
	if err := s.initialise(ctx, options); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Standby) initialise(ctx context.Context, options PostgresOptions) error {
	data := s.keeper.directory + "/data"
	copying, err := s.keeper.start(filepath.Join(filepath.Dir(s.program), "pg_basebackup"), []string{
		"-D", data, "-d", s.connection, "--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync",
	}, s.as)
	if err != nil {
		return err
	}
	if err := errors.Join(copying.waitContext(ctx), s.keeper.forget()); err != nil {
		return fmt.Errorf("pg_basebackup: %w: %s", err, s.keeper.lastWords())
	}
	if s.maintenance, err = s.configurePostgres(data, options); err != nil {
		return err
	}
	s.args = append(s.args, "-c", "wal_retrieve_retry_interval=50ms")
	if err := s.start(ctx); err != nil {
		return err
	}
	return s.awaitOnPrimary(ctx, "streaming")
}

// Cut ends the stream from the primary, and returns once the primary knows. The standby keeps what it has, and may be
// asked.
func (s *Standby) Cut(ctx context.Context) error {
	if err := s.follow(ctx, ""); err != nil {
		return err
	}
	return s.awaitOnPrimary(ctx, "")
}

// Join undoes [Standby.Cut], and returns once the standby streams again.
func (s *Standby) Join(ctx context.Context) error {
	if err := s.follow(ctx, s.connection); err != nil {
		return err
	}
	return s.awaitOnPrimary(ctx, "streaming")
}

// Promote makes it a primary of its own, and returns once it can be written to. The former primary isn't told.
func (s *Standby) Promote(ctx context.Context) error {
	return execute(ctx, s.maintenance, "SELECT pg_promote(true, 60)")
}

func (s *Standby) follow(ctx context.Context, connection string) error {
	for _, statement := range []string{"ALTER SYSTEM SET primary_conninfo = '" + strings.ReplaceAll(connection, "'", "''") + "'", "SELECT pg_reload_conf()"} {
		if err := execute(ctx, s.maintenance, statement); err != nil {
			return err
		}
	}
	return nil
}

// awaitOnPrimary returns once the primary's view of the standby has the given state, "" being none.
func (s *Standby) awaitOnPrimary(ctx context.Context, state string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	connection, err := pgx.Connect(ctx, s.primaryURL)
	if err != nil {
		return err
	}
	defer connection.Close(ctx)
	for {
		var now string
		err := connection.QueryRow(ctx, "SELECT coalesce(min(state), '') FROM pg_stat_replication WHERE application_name = $1", s.Name).Scan(&now)
		if err != nil || now == state {
			return err
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("standby %s is %q on its primary and should be %q: %w", s.Name, now, state, ctx.Err())
		}
	}
}
