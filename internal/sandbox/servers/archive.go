package servers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"invoicer/internal/sandbox/programs"
)

// A Moment is until when a Postgres is restored: either of the two.
type Moment struct {
	// Name is that of a restore point, which pg_create_restore_point has made.
	Name string
	// Time is a moment after which something was committed.
	Time time.Time
}

// keepLog has the server copy each file of its log, once it is full, into the archive. A copy that a kill has broken off isn't taken for one.
func (s *Server) keepLog(settings map[string]string) error {
	archive := s.archive()
	if err := os.Mkdir(archive, 0o700); err != nil {
		return err
	}
	settings["archive_mode"] = "on"
	settings["archive_command"] = fmt.Sprintf(`cp "%%p" "%s/%%f.part" && mv "%[1]s/%%f.part" "%[1]s/%%f"`, archive)
	return s.as.give(archive)
}

func (s *Server) archive() string { return s.keeper.directory + "/archive" }
func (s *Server) backup() string  { return s.keeper.directory + "/backup" }

// BackUp makes a base backup of a running Postgres beside its data, which [StartRestored] begins with.
func (s *Server) BackUp(ctx context.Context) error {
	config, err := pgx.ParseConfig(s.URL)
	if err != nil {
		return err
	}
	return s.prepareWith(ctx, filepath.Join(filepath.Dir(s.program), "pg_basebackup"),
		"-D", s.backup(), "-d", fmt.Sprintf("host=%s port=%d user=postgres", config.Host, config.Port), "--checkpoint=fast", "--no-sync")
}

// prepareWith runs another program to its end, as the server's user. It has a keeper of its own, since one ends only the process that it was
// told of last.
func (s *Server) prepareWith(ctx context.Context, program string, args ...string) error {
	helper, err := prepare(filepath.Base(program), "KILL")
	if err != nil {
		return err
	}
	running, err := helper.keeper.start(program, args, s.as)
	if err == nil {
		if err = errors.Join(running.waitContext(ctx), helper.keeper.forget()); err != nil {
			err = fmt.Errorf("%s: %w: %s", helper.name, err, helper.keeper.lastWords())
		}
	}
	return errors.Join(err, helper.Close())
}

// Archive returns once all that was committed before is in the archive. The server needs [PostgresOptions.Archive].
func (s *Server) Archive(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	connection, err := pgx.Connect(ctx, s.URL)
	if err != nil {
		return err
	}
	defer connection.Close(ctx)
	var file string
	if err := connection.QueryRow(ctx, "SELECT pg_walfile_name(pg_switch_wal())").Scan(&file); err != nil {
		return err
	}
	for {
		var done bool
		err := connection.QueryRow(ctx, "SELECT coalesce(last_archived_wal, '') COLLATE \"C\" >= $1 FROM pg_stat_archiver", file).Scan(&done)
		if err != nil || done {
			return err
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%s isn't archived: %w: %s", file, ctx.Err(), s.keeper.lastWords())
		}
	}
}

// StartRestored starts another Postgres on what an older one has backed up and archived, with all that was committed until a moment and
// nothing that came later. It takes writes once this returns. The older one may be down, but not closed.
func StartRestored(ctx context.Context, old *Server, until Moment, options PostgresOptions) (*Server, error) {
	found, err := programs.Find(programs.Postgres)
	if err != nil {
		return nil, err
	}
	s, err := prepare("restored Postgres", "QUIT")
	if err != nil {
		return nil, err
	}
	s.program, s.stop = found[programs.Postgres], syscall.SIGINT
	if err := s.restore(ctx, old, until, options); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) restore(ctx context.Context, old *Server, until Moment, options PostgresOptions) error {
	data := s.keeper.directory + "/data"
	if err := s.prepareWith(ctx, "/bin/cp", "-Rp", old.backup(), data); err != nil {
		return err
	}
	signal := data + "/recovery.signal"
	if err := errors.Join(os.WriteFile(signal, nil, 0o600), s.as.give(signal)); err != nil {
		return err
	}
	maintenance, err := s.configurePostgres(data, options)
	if err != nil {
		return err
	}
	target := "recovery_target_name=" + until.Name
	if until.Name == "" {
		target = "recovery_target_time=" + until.Time.UTC().Format("2006-01-02 15:04:05.999999+00") // no abbreviation of a zone is taken there
	}
	s.args = append(s.args, "-c", fmt.Sprintf(`restore_command=cp "%s/%%f" "%%p"`, old.archive()), "-c", target, "-c", "recovery_target_action=promote")
	answers := s.ready
	s.ready = func(ctx context.Context) error {
		if err := answers(ctx); err != nil {
			return err
		}
		return execute(ctx, maintenance, "DO $$ BEGIN IF pg_is_in_recovery() THEN RAISE 'it is still being restored'; END IF; END $$")
	}
	return s.start(ctx)
}
