package postgres

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Lasting reports whether a server or a pooler has answered, and would answer the same in half a minute: it needs
// another configuration, or a person. Jobs are kept all the same, as [invoice.ErrUnavailable] demands.
func Lasting(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return false
	}
	switch {
	case strings.HasPrefix(pg.Code, "08"):
		return pooler(pg) != nil
	case strings.HasPrefix(pg.Code, "53"), strings.HasPrefix(pg.Code, "57"), strings.HasPrefix(pg.Code, "40"):
		return false // resources, an operator at work, a rollback
	}
	return !slices.Contains([]string{"25006", "55P03"}, pg.Code) // a standby, a lock
}

// Advise returns the answer of a server or a pooler in one line, with advice on what to do where there is any.
func Advise(pg *pgconn.PgError) string {
	if p := pooler(pg); p != nil {
		return pg.Message + ": " + p.advice(pg)
	}
	if advice := advice(pg.Code); advice != "" {
		return pg.Message + ": " + advice
	}
	return fmt.Sprintf("%s (SQLSTATE %s)", pg.Message, pg.Code)
}

// A poolerRefusal is a permanent refusal of PgBouncer, which uses the same code for temporary ones.
type poolerRefusal struct {
	says   string
	advice func(*pgconn.PgError) string
}

func pooler(pg *pgconn.PgError) *poolerRefusal {
	if pg.Code != "08P01" {
		return nil
	}
	always := func(advice string) func(*pgconn.PgError) string {
		return func(*pgconn.PgError) string { return advice }
	}
	for _, r := range []poolerRefusal{
		{"unsupported startup parameter", func(pg *pgconn.PgError) string {
			_, name, _ := strings.Cut(pg.Message, ": ")
			return fmt.Sprintf("take %s out of database.url, or name it in ignore_startup_parameters of PgBouncer", name)
		}},
		{"does not exist", always(advice("3D000"))},
		{"no such database", always("name it in the section [databases] of PgBouncer")},
		{"no such user", always("name it in auth_file of PgBouncer, or set auth_query")},
		{"statement pooling", always("set pool_mode = transaction or session in PgBouncer")},
	} {
		if strings.Contains(pg.Message, r.says) {
			return &r
		}
	}
	return nil
}

// advice returns what to do about a refusal, "" if that isn't known.
func advice(code string) string {
	switch code {
	case "28P01":
		return "correct the password in database.url, or set PGPASSWORD"
	case "28000":
		return "correct the user in database.url, or let it in by pg_hba.conf"
	case "3D000":
		return "create it first, by createdb or by CREATE DATABASE in psql"
	case "42P05", "26000":
		return "a pooler gives each transaction another session, so take default_query_exec_mode out of database.url, or set it to exec"
	}
	return ""
}
