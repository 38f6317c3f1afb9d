package servers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/jackc/pgx/v5"

	"invoicer/internal/sandbox/programs"
)

// PostgresOptions change what a private Postgres is like. The zero value is a Postgres for tests.
type PostgresOptions struct {
	// Durable makes commits wait for the disk, as a real server's do. Default: they wait until the system has them,
	// which survives [Server.Kill], since the system outlives the process, but not a power failure.
	Durable bool
	// TCP makes it listen on a free port of 127.0.0.1, which its URL then names. Default: only on a unix socket.
	TCP bool
	// Archive keeps the log in a folder beside the data, from which [StartRestored] restores. Default: it isn't kept.
	Archive bool
	// Settings are more settings of postgresql.conf, such as "lock_timeout": "1s". Default: none.
	Settings map[string]string
}

// AllowUnsafe lets workers start on a Postgres that isn't durable, as a variable of their environment.
const AllowUnsafe = "INVOICER_ALLOW_UNSAFE=true"

// StartPostgres starts a private Postgres with an empty database invoicer, whose superuser postgres needs no password.
// The context is for the start alone: the server outlives it.
//
// It returns a [*programs.MissingError] when there is no Postgres on this machine.
func StartPostgres(ctx context.Context, options PostgresOptions) (*Server, error) {
	found, err := programs.Find(programs.Postgres)
	if err != nil {
		return nil, err
	}
	return startPostgres(ctx, found[programs.Postgres], options)
}

func startPostgres(ctx context.Context, program string, options PostgresOptions) (*Server, error) {
	// QUIT is its immediate shutdown: all child processes and the shared memory go, nothing is awaited.
	s, err := prepare("Postgres", "QUIT")
	if err != nil {
		return nil, err
	}
	s.program, s.stop = program, syscall.SIGINT
	if err := s.initialise(ctx, options); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) initialise(ctx context.Context, options PostgresOptions) error {
	data := s.keeper.directory + "/data"
	if err := s.initdb(ctx, data); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, s.keeper.lastWords())
	}
	maintenance, err := s.configurePostgres(data, options)
	if err != nil {
		return err
	}
	if err := s.start(ctx); err != nil {
		return err
	}
	if err := execute(ctx, maintenance, "CREATE DATABASE invoicer"); err != nil {
		return fmt.Errorf("create the database: %w", err)
	}
	return nil
}

// initdb makes the data directory.
func (s *Server) initdb(ctx context.Context, data string) error {
	preparing, err := s.keeper.start(filepath.Join(filepath.Dir(s.program), "initdb"), []string{
		"-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync",
	}, s.as)
	if err != nil {
		return err
	}
	return errors.Join(preparing.waitContext(ctx), s.keeper.forget())
}

// configurePostgres returns the URL of the database that is there from the beginning.
func (s *Server) configurePostgres(data string, options PostgresOptions) (string, error) {
	directory := s.keeper.directory
	settings := map[string]string{
		"listen_addresses":        "",
		"unix_socket_directories": directory,
		"port":                    "5432", // part of the socket's name
		"max_connections":         "300",  // many packages' tests at once
		// With them off a commit still hands its log to the system before it returns.
		"fsync":            "off",
		"full_page_writes": "off",
		// In files of the directory, not in /dev/shm, where a kill would leave them.
		"dynamic_shared_memory_type": "mmap",
	}
	address := url.URL{Scheme: "postgres", Path: "/postgres"}
	query := url.Values{"host": {directory}, "port": {settings["port"]}, "user": {"postgres"}}
	if options.TCP {
		port, err := freePort()
		if err != nil {
			return "", err
		}
		settings["listen_addresses"], settings["port"] = "127.0.0.1", port
		address.User, address.Host = url.User("postgres"), net.JoinHostPort("127.0.0.1", port)
		query = url.Values{"sslmode": {"disable"}}
	}
	address.RawQuery = query.Encode()
	maintenance := address.String()
	address.Path = "/invoicer"
	s.URL = address.String()
	s.ready = func(ctx context.Context) error { return execute(ctx, maintenance, "SELECT") }
	if options.Durable {
		delete(settings, "fsync") // both are on, and a test may set them by ALTER SYSTEM
		delete(settings, "full_page_writes")
	}
	if options.Archive {
		if err := s.keepLog(settings); err != nil {
			return "", err
		}
	}
	maps.Copy(settings, options.Settings)
	s.args = []string{"-D", data}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		s.args = append(s.args, "-c", name+"="+settings[name])
	}
	return maintenance, nil
}

// execute runs one statement on a connection of its own.
func execute(ctx context.Context, databaseURL, statement string) error {
	connection, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return err
	}
	_, err = connection.Exec(ctx, statement)
	return errors.Join(err, connection.Close(ctx))
}
