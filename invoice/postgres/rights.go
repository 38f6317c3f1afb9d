package postgres

import (
	"context"
	"fmt"
)

// A Right is the privileges that a piece of work needs on one object of the schema.
type Right struct {
	Kind       string // table, function, or schema for the schema itself
	Name       string // "" for the schema; of a function with its arguments' types where several have the name
	Privileges []string
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
