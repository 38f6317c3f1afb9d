package servers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"

	"invoicer/internal/sandbox/programs"
)

// PgBouncerOptions change what a private PgBouncer is like. The zero value is one as it comes.
type PgBouncerOptions struct {
	// Mode is its pool_mode: session, transaction or statement. Default: session, which is PgBouncer's own.
	Mode string
	// ConnectQuery is run on each of the server's sessions before anybody uses it. Default: nothing is.
	ConnectQuery string
	// Settings are more settings of pgbouncer.ini, such as "default_pool_size": "2". Default: none.
	Settings map[string]string
}

// StartPgBouncer starts a private PgBouncer in front of the database that a URL names. Everybody who connects to it is
// that URL's user, and may also connect to its database pgbouncer, for its console. The context is for the start alone.
//
// It returns a [*programs.MissingError] when there is no PgBouncer on this machine.
func StartPgBouncer(ctx context.Context, databaseURL string, options PgBouncerOptions) (*Server, error) {
	found, err := programs.Find(programs.PgBouncer)
	if err != nil {
		return nil, err
	}
	s, err := prepare("PgBouncer", "KILL")
	if err != nil {
		return nil, err
	}
	s.program, s.stop = found[programs.PgBouncer], syscall.SIGTERM
	if err := s.configurePgBouncer(databaseURL, options); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) configurePgBouncer(databaseURL string, options PgBouncerOptions) error {
	behind, err := pgx.ParseConfig(databaseURL)
	if err != nil {
		return err
	}
	settings := map[string]string{
		"auth_type":         "any",
		"admin_users":       behind.User,
		"unix_socket_dir":   s.keeper.directory,
		"listen_port":       "6432", // part of the socket's name
		"default_pool_size": "50",
		"max_client_conn":   "500",
	}
	if options.Mode != "" {
		settings["pool_mode"] = options.Mode
	}
	maps.Copy(settings, options.Settings)

	var file strings.Builder
	fmt.Fprintf(&file, "[databases]\n* = host=%s port=%d user=%s", quoted(behind.Host), behind.Port, quoted(behind.User))
	if behind.Password != "" {
		fmt.Fprintf(&file, " password=%s", quoted(behind.Password))
	}
	if options.ConnectQuery != "" {
		fmt.Fprintf(&file, " connect_query=%s", quoted(options.ConnectQuery))
	}
	file.WriteString("\n[pgbouncer]\n")
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&file, "%s = %s\n", name, settings[name])
	}
	path := s.keeper.directory + "/pgbouncer.ini"
	if err := os.WriteFile(path, []byte(file.String()), 0o600); err != nil {
		return err
	}
	if err := s.as.give(path); err != nil {
		return err
	}
	s.args = []string{path}
	address := url.URL{Scheme: "postgres", Path: "/" + behind.Database, RawQuery: url.Values{
		"host": {s.keeper.directory}, "port": {settings["listen_port"]}, "user": {behind.User},
	}.Encode()}
	s.URL = address.String()
	s.ready = func(ctx context.Context) error { return execute(ctx, s.URL, "SELECT") }
	return nil
}

// quoted is a value in a connection string of pgbouncer.ini.
func quoted(value string) string { return "'" + strings.ReplaceAll(value, "'", "''") + "'" }
