package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/jackc/pgx/v5"

	"invoicer/config"
	"invoicer/migrations"
)

// A cast has the URLs by which the parts of the demo use the database. They are all the same where the demo makes no roles.
type cast struct {
	migrator, worker, producer, reader string
}

// migrate migrates the schema. If the login is a superuser's, it makes the six roles of the schema, too, and migrates as the migrator. It
// doesn't in a schema that is another role's, or that is in use, since that would give its tables another owner.
func (a app) migrate(ctx context.Context, cfg *config.Config, inUse bool) (cast, error) {
	given := string(cfg.Database.URL)
	as, sql := cast{given, given, given, given}, ""
	prefix := cfg.Database.Schema
	may, err := mayMakeRoles(ctx, given, prefix, inUse)
	if err != nil {
		return as, err
	}
	if may && plainName.MatchString(prefix) && len(prefix) <= mostPrefix {
		as = cast{
			withRole(given, prefix+"_"+roleMigrator), withRole(given, prefix+"_"+roleWorker),
			withRole(given, prefix+"_"+roleProducer), withRole(given, prefix+"_"+roleReader),
		}
		sql = rolesSQL(prefix, prefix, a.databaseRoles(prefix)) //nolint:contextcheck // it runs no command: it asks each what it needs
	}
	if err := runScript(ctx, given, sql); err != nil { // makes the roles, and the schema
		return as, err
	}
	migrator, err := migrations.New(as.migrator, prefix)
	if err != nil {
		return as, err
	}
	if _, err := migrator.Up(ctx); err != nil {
		return as, err
	}
	return as, runScript(ctx, given, sql) // gives rights to the tables
}

// mayMakeRoles reports whether the login is a superuser's, may choose its role at sign-in, which poolers refuse or overlook, and whether the
// schema may have roles.
func mayMakeRoles(ctx context.Context, address, schema string, inUse bool) (may bool, err error) {
	var user, owner string
	err = onConnection(ctx, address, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SELECT current_user, rolsuper, coalesce((SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = $1), '')
FROM pg_roles WHERE rolname = current_user`, pgx.QueryExecModeExec, schema).Scan(&user, &may, &owner)
	})
	if may = may && (owner == "" || owner == schema+"_"+roleMigrator || owner == user && !inUse); err != nil || !may {
		return false, err
	}
	if err := onConnection(ctx, withRole(address, user), func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "SELECT current_setting('role') = $1", pgx.QueryExecModeExec, user).Scan(&may)
	}); err != nil {
		return false, nil //nolint:nilerr // it did answer without a role
	}
	return may, nil
}

// withRole returns the URL for the same login in another role.
func withRole(address, role string) string {
	u, err := url.Parse(address)
	if err != nil { // the configuration has been read
		return address
	}
	query := u.Query()
	query.Set("role", role)
	u.RawQuery = query.Encode()
	return u.String()
}

// runScript runs SQL as psql does.
func runScript(ctx context.Context, address, sql string) error {
	if sql == "" {
		return nil
	}
	return onConnection(ctx, address, func(conn *pgx.Conn) error {
		if _, err := conn.PgConn().Exec(ctx, sql).ReadAll(); err != nil {
			return fmt.Errorf("making the roles of the database: %w", err)
		}
		return nil
	})
}

func onConnection(ctx context.Context, address string, do func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return err
	}
	return errors.Join(do(conn), conn.Close(ctx))
}

// using returns the configuration with another URL of the database.
func using(cfg *config.Config, address string) *config.Config {
	other := *cfg
	other.Database.URL = config.URL(address)
	return &other
}
