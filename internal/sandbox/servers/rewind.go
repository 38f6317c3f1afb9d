package servers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5"
)

// Rewind has a Postgres that was killed, and whose standby was promoted since, become a standby of that one, at its old address. What only
// the killed one has committed is undone. It needs the settings wal_log_hints and
// wal_keep_size.
func (s *Server) Rewind(ctx context.Context, primary *Server, name string) (*Standby, error) {
	config, err := pgx.ParseConfig(primary.URL)
	if err != nil {
		return nil, err
	}
	mine, err := pgx.ParseConfig(s.URL)
	if err != nil {
		return nil, err
	}
	of := func(c *pgx.ConnConfig, database string) string {
		return fmt.Sprintf("host=%s port=%d user=postgres %s", c.Host, c.Port, database)
	}
	standby := &Standby{
		Server: s, Name: name, primaryURL: primary.URL,
		connection: of(config, "application_name="+name), maintenance: of(mine, "dbname=postgres sslmode=disable"),
	}
	if err := execute(ctx, primary.URL, "CHECKPOINT"); err != nil { // until then its control file may have the timeline of before its promotion
		return nil, err
	}
	data := s.keeper.directory + "/data"
	signal, settings := data+"/standby.signal", data+"/postgresql.auto.conf"
	if err := appendTo(settings, "wal_log_hints = on\nwal_keep_size = 256MB"); err != nil { // pg_rewind has the killed server recover without its arguments
		return nil, err
	}
	if err := s.prepareWith(ctx, filepath.Join(filepath.Dir(s.program), "pg_rewind"), "-D", data, "--source-server="+of(config, "dbname=postgres"), "--no-sync"); err != nil {
		return nil, err
	}
	err = appendTo(settings, "primary_conninfo = '"+standby.connection+"'") // the file is the other server's now
	if err := errors.Join(err, os.WriteFile(signal, nil, 0o600), s.as.give(signal)); err != nil {
		return nil, err
	}
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	return standby, standby.awaitOnPrimary(ctx, "streaming")
}

func appendTo(path, line string) error {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(file, "\n%s\n", line)
	return errors.Join(err, file.Close())
}

// Stop shuts a server down in order, and returns once it has ended. A primary hands its standbys all it has committed.
func (s *Server) Stop(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == nil {
		return ErrDown
	}
	return s.shutDown(ctx)
}
