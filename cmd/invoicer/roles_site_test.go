package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// leavesRoles drops the roles that are made for the schema, with all that is theirs, when the test has ended.
func (s *site) leavesRoles(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		drop := "BEGIN; SELECT pg_advisory_xact_lock(hashtext('invoicer roles'));" // as roles.sql does
		for _, role := range (app{}).databaseRoles(s.Schema) {
			for _, name := range []string{loginOf(role.Role), role.Role} {
				if s.Is(t, "SELECT to_regrole($1) IS NOT NULL", name) {
					drop += fmt.Sprintf("DROP OWNED BY %[1]s CASCADE; DROP ROLE %[1]s;", name)
				}
			}
		}
		if err := runSQL(s.URL, drop+"COMMIT"); err != nil {
			t.Error(err)
		}
	})
}

// roled gives the schema its six roles, and a login role that is a member of each. It returns the site as they use it.
func (s *site) roled(t *testing.T) (as map[string]*site) {
	t.Helper()
	s.leavesRoles(t)
	must(t, runSQL(s.URL, rolesSQL(s.Schema, s.Schema, (app{}).databaseRoles(s.Schema))))
	as = make(map[string]*site)
	for _, role := range (app{}).databaseRoles(s.Schema) {
		login := loginOf(role.Role)
		must(t, runSQL(s.URL, fmt.Sprintf("CREATE ROLE %[1]s LOGIN PASSWORD 'chaos' IN ROLE %[2]s", login, role.Role)))
		address, err := url.Parse(s.urlOf(t, login))
		must(t, err)
		if address.User != nil {
			address.User = url.UserPassword(login, "chaos")
		}
		name := strings.TrimPrefix(role.Role, s.Schema+"_")
		as[name] = s.with("INVOICER_DATABASE_URL=" + address.String())
	}
	return as
}

func loginOf(role string) string { return role + "_login" }

// databaseURL is the URL by which the site's program signs in.
func (s *site) databaseURL() (address string) {
	for _, v := range s.environ {
		if value, ok := strings.CutPrefix(v, "INVOICER_DATABASE_URL="); ok {
			address = value // the last one counts
		}
	}
	return address
}

// forbiddenTo tells whether the statement is refused for want of a right. If it isn't, it is undone.
func forbiddenTo(ctx context.Context, db *sql.DB, statement string) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	_, err = tx.ExecContext(ctx, statement)
	if pg := new(pgconn.PgError); errors.As(err, &pg) && pg.Code == insufficientPrivilege {
		return nil
	}
	if err == nil {
		return fmt.Errorf("%s: it is allowed", statement)
	}
	return fmt.Errorf("%s: %w", statement, err)
}
