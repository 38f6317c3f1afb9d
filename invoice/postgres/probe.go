package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// An UnfitError names what keeps a worker from working with the database, though it answers.
type UnfitError struct {
	// Code is the SQLSTATE that the work would end with, or one of the codes of this package.
	Code string
	// What is wrong, in a few words and without anything secret.
	What string
	// Remedy is what to do about it, "" where that isn't known.
	Remedy string
}

func (e *UnfitError) Error() string {
	if e.Remedy == "" {
		return e.What
	}
	return e.What + ": " + e.Remedy
}

// Unconfirmed is the code of an [UnfitError] that no SQLSTATE stands for: the database takes a commit and doesn't confirm it.
const Unconfirmed = "unconfirmed"

// What a worker works with, by kind and name, and what it must be allowed to do. The worker of a role that has these rights
// and no others comes to every end that a job can have.
//
//nolint:gochecknoglobals // a constant list
var needs = []struct{ kind, name, privileges string }{
	{"table", "goose_db_version", "SELECT"},
	{"table", "database_identity", "SELECT"},
	{"table", "invoice_series", "SELECT INSERT UPDATE"},
	{"table", "invoices", "SELECT INSERT"},
	{"sequence", "invoices_id_seq", "USAGE"},
	{"table", "invoice_lines", "SELECT INSERT"},
	{"table", "invoice_taxes", "SELECT INSERT"},
	{"table", "invoice_jobs", "SELECT INSERT UPDATE"},
	{"table", "duplicate_attempts", "SELECT INSERT"},
	{"table", "ledger_queues", "SELECT INSERT UPDATE"},
	{"table", "queue_nonces", "SELECT UPDATE"},
	{"function", "record_ends", "EXECUTE"},
}

// Probe finds out whether a worker could work: that the database takes writes, and that everything that the work needs is
// there and allowed. It returns an [*UnfitError] that names all that isn't, and what to do; or what went wrong in asking.
func (s *DB) Probe(ctx context.Context) error {
	var kinds, names, privileges []string
	for _, n := range needs {
		for privilege := range strings.FieldsSeq(n.privileges) {
			kinds, names, privileges = append(kinds, n.kind), append(names, n.name), append(privileges, privilege)
		}
	}
	// has_any_column_privilege is true of a right to the whole table as well.
	rows, err := s.sql.QueryContext(ctx, `
SELECT current_user, current_setting('transaction_read_only'), pg_is_in_recovery(), kind, name, privilege, CASE
    WHEN kind = 'schema' THEN CASE WHEN space.oid IS NULL THEN 'missing' WHEN NOT has_schema_privilege(space.oid, privilege) THEN 'denied' ELSE '' END
    WHEN kind = 'function' THEN coalesce((
        SELECT CASE WHEN bool_and(has_function_privilege(f.oid, privilege)) THEN '' ELSE 'denied' END
        FROM pg_proc f WHERE f.proname = name AND f.pronamespace = space.oid HAVING count(*) > 0), 'missing')
    WHEN relation.oid IS NULL THEN 'missing'
    WHEN kind = 'sequence' THEN CASE WHEN NOT has_sequence_privilege(relation.oid, privilege) THEN 'denied' ELSE '' END
    WHEN NOT has_any_column_privilege(relation.oid, privilege) THEN 'denied' ELSE '' END AS lack
FROM unnest($2::text[], $3::text[], $4::text[]) WITH ORDINALITY AS need (kind, name, privilege, place)
LEFT JOIN pg_namespace space ON space.nspname = $1
LEFT JOIN pg_class relation ON relation.relname = name AND relation.relnamespace = space.oid AND kind IN ('table', 'sequence')
ORDER BY place`,
		s.options.Schema, append([]string{"schema"}, kinds...), append([]string{""}, names...), append([]string{"USAGE"}, privileges...))
	if err != nil {
		return classify(err)
	}
	defer rows.Close()
	var l lacks
	for rows.Next() {
		var n lack
		if err := rows.Scan(&l.role, &l.readOnly, &l.standby, &n.kind, &n.name, &n.privilege, &n.how); err != nil {
			return classify(err)
		}
		if n.how != "" {
			l.list = append(l.list, n)
		}
	}
	if err := rows.Err(); err != nil {
		return classify(err)
	}
	return l.err(s.options.Schema)
}

// ProbeCommit commits something small, and waits for it as the end of a job waits for its own commit: for the disk, and for
// a standby where replication is synchronous. It returns an [*UnfitError] if the commit isn't confirmed before ctx ends.
func (s *DB) ProbeCommit(ctx context.Context) error {
	_, err := s.sql.ExecContext(ctx, "SELECT pg_logical_emit_message(true, 'invoicer', '')")
	var unreplicated *unreplicatedError
	if errors.As(err, &unreplicated) || err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &UnfitError{
			Code: Unconfirmed, What: "commits are not confirmed in time",
			Remedy: "bring the standby of synchronous_standby_names back, or take it out of there; or the disk of the write-ahead log is stuck",
		}
	}
	return classify(err)
}

// lacks are what a probe has found.
type lacks struct {
	role     string
	readOnly string // "on" or "off"
	standby  bool
	list     []lack
}

type lack struct {
	kind, name, privilege string
	how                   string // missing or denied
}

// err returns an [*UnfitError] for what is lacking, nil if nothing is.
func (l lacks) err(schema string) error {
	if missing := l.names("missing"); len(missing) > 0 {
		e := &UnfitError{Code: "42P01", What: "missing in schema " + schema + ": " + strings.Join(missing, ", "), Remedy: "run invoicer migrate up, or restore what was dropped"}
		if slices.Contains(missing, "the schema itself") {
			e.Code, e.What = "3F000", "there is no schema "+schema
		}
		return e
	}
	if denied := l.names("denied"); len(denied) > 0 {
		return &UnfitError{Code: "42501", What: "role " + l.role + " lacks rights to " + strings.Join(denied, ", "), Remedy: l.grants(schema)}
	}
	if l.standby {
		return &UnfitError{Code: "25006", What: "the database is a read-only standby", Remedy: "promote it, or let database.url lead to the primary (target_session_attrs=read-write)"}
	}
	if l.readOnly != "off" {
		return &UnfitError{Code: "25006", What: "the database is read-only", Remedy: "set default_transaction_read_only to off, for the server, the database and the role"}
	}
	return nil
}

// names lists what is missing or denied, each once.
func (l lacks) names(how string) []string {
	var names []string
	for _, n := range l.list {
		name := n.name
		if n.kind == "schema" {
			name = "the schema itself"
		}
		if n.how == how && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// grants is SQL that gives the role what it lacks.
func (l lacks) grants(schema string) string {
	privileges := make(map[string][]string)
	for _, n := range l.list {
		privileges[n.name] = append(privileges[n.name], n.privilege)
	}
	var statements []string
	for _, n := range l.list {
		list := privileges[n.name]
		delete(privileges, n.name)
		if len(list) == 0 {
			continue // it is in the statement of its first
		}
		object := strings.ToUpper(n.kind) + " " + pgx.Identifier{schema, n.name}.Sanitize()
		if n.kind == "schema" {
			object = "SCHEMA " + pgx.Identifier{schema}.Sanitize()
		}
		statements = append(statements, fmt.Sprintf("GRANT %s ON %s TO %s;", strings.Join(list, ", "), object, pgx.Identifier{l.role}.Sanitize()))
	}
	return strings.Join(statements, " ")
}
