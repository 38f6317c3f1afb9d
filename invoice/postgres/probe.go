package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// An UnfitError says why a worker can't work with a database that answers.
type UnfitError struct {
	// Code is the SQLSTATE with which the work would fail, or a code of this package.
	Code string
	// What says in a few words what is wrong, without any secret.
	What string
	// Remedy says what to do about it, "" if that isn't known.
	Remedy string
}

func (e *UnfitError) Error() string {
	if e.Remedy == "" {
		return e.What
	}
	return e.What + ": " + e.Remedy
}

// Unconfirmed is the code of an [UnfitError] for which there is no SQLSTATE: the database takes a commit, but doesn't
// confirm it.
const Unconfirmed = "unconfirmed"

// needs lists what a worker uses, by kind and name, with the privileges that it needs. A worker whose role has
// exactly these rights can bring a job to each of the possible ends.
//
//nolint:gochecknoglobals // a constant list
var needs = []struct{ kind, name, privileges string }{
	{"table", "goose_db_version", "SELECT"},
	{"table", "database_identity", "SELECT"},
	{"table", "settings", "SELECT"},
	{"table", "issuers", "SELECT"},
	{"table", "series", "SELECT INSERT"},
	{"table", "invoice_series", "SELECT INSERT UPDATE"},
	{"table", "reserved_numbers", "SELECT"},
	{"table", "seen_server", "SELECT INSERT UPDATE"},
	{"table", "invoices", "SELECT INSERT"},
	{"sequence", "invoices_id_seq", "USAGE"},
	{"table", "invoice_lines", "SELECT INSERT"},
	{"table", "invoice_taxes", "SELECT INSERT"},
	{"table", "invoice_links", "SELECT INSERT"},
	{"table", "imported_invoices", "SELECT"},
	{"table", "invoice_jobs", "SELECT INSERT UPDATE"},
	{"table", "duplicate_attempts", "SELECT INSERT"},
	{"table", "producer_counts", "SELECT INSERT UPDATE"},
	{"table", "ledger_queues", "SELECT INSERT UPDATE"},
	{"table", "capabilities", "SELECT INSERT"},
	{"table", "queue_nonces", "SELECT UPDATE"},
	{"table", "event_endpoints", "SELECT INSERT UPDATE"},
	{"table", "event_secrets", "SELECT"},
	{"function", "record_events", "EXECUTE"},
	{"table", "events", "SELECT"},
	{"table", "event_deliveries", "SELECT UPDATE"},
	{"function", "claim_events", "EXECUTE"},
	{"table", "documents", "SELECT INSERT"},
	{"table", "documents_owed", "SELECT UPDATE"},
	{"function", "owe_formats", "EXECUTE"},
	{"table", "document_leftovers", "SELECT UPDATE"},
	{"function", "announce_object", "EXECUTE"},
	{"function", "claim_leftovers", "EXECUTE"},
	{"function", "settle_leftover", "EXECUTE"},
	{"table", "handovers", "SELECT UPDATE"},
	{"function", "owe_channels", "EXECUTE"},
	{"function", "settle_events", "EXECUTE"},
	{"function", "record_ends_with_differences", "EXECUTE"},
	{"function", "erasing_lock", "EXECUTE"},
	{"function", "credit_problem", "EXECUTE"},
	{"function", "replace_problem", "EXECUTE"},
	{"function", "job_field", "EXECUTE"},
	{"function", "is_identifier", "EXECUTE"},
	{"function", "has_several_taxes", "EXECUTE"},
}

// Probe checks that a worker could work: that the database takes writes, and that everything a worker needs exists
// and is allowed. It returns an [*UnfitError] that names all that is missing or denied, with a remedy, or the error
// of a check that failed.
func (s *DB) Probe(ctx context.Context) error {
	var kinds, names, privileges []string
	for _, n := range needs {
		for privilege := range strings.FieldsSeq(n.privileges) {
			kinds, names, privileges = append(kinds, n.kind), append(names, n.name), append(privileges, privilege)
		}
	}
	// has_any_column_privilege is also true for a right to the whole table.
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

// ProbeCommit commits a small transaction and waits for it as recording a job's end does: for the disk, and for a
// standby if replication is synchronous. It returns an [*UnfitError] if the commit isn't confirmed before ctx ends.
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

// lacks holds what a probe has found missing.
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

// err returns an [*UnfitError] that names what is missing, nil if nothing is.
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

// names returns the names of what is missing, or denied, each once.
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

// grants returns SQL that gives the role the missing rights.
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
			continue // the statement of the first with the same rights covers it
		}
		object := strings.ToUpper(n.kind) + " " + pgx.Identifier{schema, n.name}.Sanitize()
		if n.kind == "schema" {
			object = "SCHEMA " + pgx.Identifier{schema}.Sanitize()
		}
		statements = append(statements, fmt.Sprintf("GRANT %s ON %s TO %s;", strings.Join(list, ", "), object, pgx.Identifier{l.role}.Sanitize()))
	}
	return strings.Join(statements, " ")
}
