package rig

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"invoicer/internal/sandbox/programs"
	"invoicer/migrations"
)

// An image is the SQL of a schema as all migrations have made it. Running it takes a fraction of the time that they take.
type image struct {
	mu     sync.Mutex
	asked  int // how many schemas were made
	taken  bool
	schema string // of which the SQL speaks
	id     string // of the database, which each schema has to have one of
	sql    string // "" if there is none, as where pg_dump is missing
}

//nolint:gochecknoglobals // all tests of a package share it
var migratedImage image

// withoutImage is how many schemas of a package are made by the migrations themselves: a dump takes longer than one of them.
const withoutImage = 2

// unmistakable is how long a schema's name must be at least to stand for itself alone in the SQL: "invoicer" is also in the functions' bodies.
const unmistakable = 20

// take dumps a schema that was just migrated, and whose tables are as the migrations leave them.
func (i *image) take(ctx context.Context, url, schema string) error {
	found, err := programs.Find(programs.Postgres)
	if err != nil {
		return err
	}
	dump := exec.CommandContext(ctx, filepath.Join(filepath.Dir(found[programs.Postgres]), "pg_dump"), "--inserts", "--no-owner", "--schema="+schema, url)
	out, err := dump.Output()
	if err != nil {
		return err
	}
	id := regexp.MustCompile(`database_identity VALUES \('([-0-9a-f]{36})'`).FindSubmatch(out)
	if id == nil {
		return errors.New("the dump has no identity")
	}
	commands := regexp.MustCompile(`(?m)^\\.*\n`) // of psql
	sql := strings.Replace(string(commands.ReplaceAll(out, nil)), "CREATE SCHEMA ", "CREATE SCHEMA IF NOT EXISTS ", 1)
	i.schema, i.id, i.sql = schema, string(id[1]), sql
	return nil
}

// make makes a schema as the migrations make it.
func (i *image) make(ctx context.Context, url, schema string) error {
	sql, err := i.of(ctx, url, schema)
	if sql == "" || err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	_, err = conn.PgConn().Exec(ctx, sql).ReadAll()
	return errors.Join(err, conn.Close(ctx))
}

// of returns the SQL for a schema, "" if it has migrated the schema instead.
func (i *image) of(ctx context.Context, url, schema string) (string, error) {
	i.mu.Lock()
	i.asked++
	if i.asked <= withoutImage || i.taken && i.sql == "" || !i.taken && len(schema) < unmistakable {
		i.mu.Unlock()
		return "", migrate(ctx, url, schema)
	}
	defer i.mu.Unlock()
	if !i.taken {
		if err := migrate(ctx, url, schema); err != nil {
			return "", err
		}
		i.taken = true
		_ = i.take(ctx, url, schema) // else each schema is migrated, which takes longer
		return "", nil
	}
	return strings.NewReplacer(i.schema, schema, i.id, uuid.NewString()).Replace(i.sql), nil
}

func migrate(ctx context.Context, url, schema string) error {
	migrator, err := migrations.New(url, schema)
	if err != nil {
		return err
	}
	_, err = migrator.Up(ctx)
	return err
}
