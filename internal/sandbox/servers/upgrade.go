package servers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"invoicer/internal/sandbox/programs"
)

// ErrNoUpgrade says that this machine's Postgres comes without pg_upgrade.
var ErrNoUpgrade = errors.New("there is no pg_upgrade beside the Postgres server: install the rest of its package")

// UpgradePostgres shuts a private Postgres down, has pg_upgrade take what is in it over into a new one, and starts that. It
// is of the newest version on this machine, which may be the old one's. The old server stays down, and its caller's to
// close.
func UpgradePostgres(ctx context.Context, old *Server, options PostgresOptions) (*Server, error) {
	found, err := programs.Find(programs.Postgres)
	if err != nil {
		return nil, err
	}
	program := found[programs.Postgres]
	upgrade := filepath.Join(filepath.Dir(program), "pg_upgrade")
	if _, err := os.Stat(upgrade); err != nil {
		return nil, ErrNoUpgrade
	}
	old.mu.Lock()
	defer old.mu.Unlock()
	if old.running == nil {
		return nil, ErrDown
	}
	if err := old.shutDown(ctx); err != nil {
		return nil, fmt.Errorf("shut %s down: %w", old.name, err)
	}
	s, err := prepare("Postgres", "QUIT")
	if err != nil {
		return nil, err
	}
	s.program, s.stop = program, old.stop
	if err := s.takeOver(ctx, upgrade, old, options); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) takeOver(ctx context.Context, upgrade string, old *Server, options PostgresOptions) error {
	data := s.keeper.directory + "/data"
	if err := s.initdb(ctx, data); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, s.keeper.lastWords())
	}
	upgrading, err := s.keeper.start(upgrade, []string{
		"--old-bindir", filepath.Dir(old.program), "--new-bindir", filepath.Dir(s.program),
		"--old-datadir", old.keeper.directory + "/data", "--new-datadir", data,
		"--username", "postgres", "--socketdir", s.keeper.directory,
	}, s.as)
	if err != nil {
		return err
	}
	if err := errors.Join(upgrading.waitContext(ctx), s.keeper.forget()); err != nil {
		return fmt.Errorf("pg_upgrade: %w: %s", err, s.keeper.lastWords())
	}
	if _, err := s.configurePostgres(data, options); err != nil {
		return err
	}
	return s.start(ctx)
}
