package postgres

import (
	"context"
	"fmt"
	"strings"
)

// A Right is the privileges that a piece of work needs on one object of the schema.
type Right struct {
	Kind       string // table, function, or schema for the schema itself
	Name       string // "" for the schema; of a function with its arguments' types where several have the name
	Privileges []string
}

// WorkerRights returns the rights of a worker that lacks nothing: those without which it doesn't start, and those without which it says
// less about jobs.
func WorkerRights() []Right {
	list := []Right{
		{Kind: "schema", Privileges: []string{"USAGE"}},
		{Kind: "table", Name: "job_attempts", Privileges: []string{"SELECT", "INSERT", "DELETE"}},
	}
	for _, n := range needs {
		list = append(list, Right{Kind: n.kind, Name: n.name, Privileges: strings.Fields(n.privileges)})
	}
	return list
}

// ProducerRights returns the rights of a role that asks for invoices in SQL, by the Go client or by `invoicer enqueue --durable`, and may
// read no table.
func ProducerRights() []Right {
	list := []Right{{Kind: "schema", Privileges: []string{"USAGE"}}}
	for _, function := range []string{
		"accept(text, text, uuid, boolean)", "accept(jsonb, text, uuid, boolean)",
		"accept_many(text, text, uuid[], boolean)", "accept_many(text[], text, uuid[], boolean)", "accept_many(jsonb, text, uuid[], boolean)",
		"lookup(text, text)", "refuse_unknown_queue(text)",
	} {
		list = append(list, Right{Kind: "function", Name: function, Privileges: []string{"EXECUTE"}})
	}
	return list
}

// APIRights returns the rights that the HTTP API needs beside those of a worker, to take jobs and to act.
func APIRights() []Right {
	return []Right{
		{Kind: "function", Name: "set_endpoint_secret(bigint, text)", Privileges: []string{"EXECUTE"}},
		{Kind: "function", Name: "test_endpoint(bigint)", Privileges: []string{"EXECUTE"}},
		{Kind: "table", Name: "replays", Privileges: []string{"SELECT", "INSERT", "UPDATE"}},
		{Kind: "function", Name: "accept_request(text, text, uuid, text, text, text, bytea, bytea, text, boolean)", Privileges: []string{"EXECUTE"}},
		{Kind: "function", Name: "request_asked(text, text, text, bytea, boolean)", Privileges: []string{"EXECUTE"}},
		{Kind: "function", Name: "accept_request(text, text, uuid, text, text, text, bytea, bytea, text)", Privileges: []string{"EXECUTE"}}, // of the release before
		{Kind: "function", Name: "accept_many(text[], text, uuid[], boolean)", Privileges: []string{"EXECUTE"}},
	}
}

// ServeRights returns the rights of a process that serves the pages and the API without taking jobs, beside those to read and those of
// [APIRights]: to send the jobs that it has accepted into their queues, to set up endpoints, to decide about
// hand-overs, and to keep the documents that it makes.
func ServeRights() []Right {
	return []Right{
		{Kind: "table", Name: "invoice_jobs", Privileges: []string{"SELECT", "UPDATE"}},
		{Kind: "table", Name: "actions", Privileges: []string{"INSERT"}},
		{Kind: "table", Name: "documents", Privileges: []string{"SELECT", "INSERT"}},
		{Kind: "function", Name: "announce_object", Privileges: []string{"EXECUTE"}},
		{Kind: "table", Name: "handovers", Privileges: []string{"SELECT", "UPDATE"}},
		{Kind: "table", Name: "handover_channels", Privileges: []string{"SELECT"}},
		{Kind: "table", Name: "event_endpoints", Privileges: []string{"SELECT", "INSERT", "UPDATE"}},
		{Kind: "table", Name: "event_deliveries", Privileges: []string{"SELECT", "UPDATE"}},
	}
}

// APIReadRights returns the rights that it takes to read by the HTTP API, beside those that commands need.
func APIReadRights() []Right {
	return []Right{
		{Kind: "function", Name: "list_horizon(text)", Privileges: []string{"EXECUTE"}},
		{Kind: "table", Name: "replays", Privileges: []string{"SELECT"}},
		{Kind: "table", Name: "documents", Privileges: []string{"SELECT"}},
	}
}

// Lacking says which rights a role lacks.
type Lacking struct {
	Role   string   // quoted if SQL requires it
	Owner  string   // the schema's owner, who can grant the rights, quoted likewise; "" if there is no schema
	Grants []string // statements that grant the role the missing rights; none if it lacks nothing
}

// Lacking returns which of the needed rights the database's role lacks. An object that doesn't exist counts as
// allowed, since its absence is another error.
func (s *DB) Lacking(ctx context.Context, needs []Right) (Lacking, error) {
	var l Lacking
	var database string
	err := s.sql.QueryRowContext(ctx, `
SELECT quote_ident(current_user), quote_ident(current_database()), coalesce((SELECT quote_ident(pg_get_userbyid(nspowner)) FROM pg_namespace WHERE nspname = $1), '')`,
		s.options.Schema).Scan(&l.Role, &database, &l.Owner)
	if err != nil {
		return l, classify(err)
	}
	var kinds, names, privileges []string
	for _, need := range needs {
		for _, privilege := range need.Privileges {
			kinds, names, privileges = append(kinds, need.Kind), append(names, need.Name), append(privileges, privilege)
			if need.Kind == "schema" && privilege == "CREATE" && l.Owner == "" {
				l.Grants = append(l.Grants, fmt.Sprintf("GRANT CREATE ON DATABASE %s TO %s;", database, l.Role))
			}
		}
	}
	// There is one statement for each function, and one for all tables with the same missing rights.
	rows, err := s.sql.QueryContext(ctx, `
WITH needs AS (
    SELECT * FROM unnest($2::text[], $3::text[], $4::text[]) WITH ORDINALITY AS n (kind, name, privilege, place)
), rights AS (
    SELECT 'SCHEMA' AS kind, format('%I', nspname) AS object, privilege, place, has_schema_privilege(oid, privilege) AS allowed
    FROM needs JOIN pg_namespace ON kind = 'schema' AND nspname = $1
    UNION ALL
    SELECT 'TABLE', format('%I.%I', nspname, relname), privilege, place, has_table_privilege(pg_class.oid, privilege)
    FROM needs JOIN pg_class ON kind = 'table' AND relname = name JOIN pg_namespace ON pg_namespace.oid = relnamespace AND nspname = $1
    UNION ALL
    SELECT 'FUNCTION', format('%I.%I(%s)', nspname, proname, oidvectortypes(proargtypes)), privilege, place, has_function_privilege(pg_proc.oid, privilege)
    FROM needs JOIN pg_proc ON kind = 'function' AND name IN (proname, format('%s(%s)', proname, oidvectortypes(proargtypes))) JOIN pg_namespace ON pg_namespace.oid = pronamespace AND nspname = $1
), objects AS (
    SELECT kind, object, string_agg(privilege, ', ' ORDER BY place) AS missing, min(place) AS place FROM rights WHERE NOT allowed GROUP BY kind, object
)
SELECT format('GRANT %s ON %s %s TO %s;', missing, kind, string_agg(object, ', ' ORDER BY place), quote_ident(current_user))
FROM objects GROUP BY kind, missing ORDER BY min(place)`, s.options.Schema, kinds, names, privileges)
	if err != nil {
		return l, classify(err)
	}
	defer rows.Close()
	for rows.Next() {
		var grant string
		if err := rows.Scan(&grant); err != nil {
			return l, err
		}
		l.Grants = append(l.Grants, grant)
	}
	return l, rows.Err()
}
