package main

import (
	"strings"

	"github.com/jackc/pgx/v5"
)

// rolesSQL returns SQL that makes the roles, gives the schema to the migrator, and gives each other role the rights that it needs and no
// others. It has the same effect however often it is run.
func rolesSQL(schema, prefix string, roles []databaseRole) string {
	quoted := schema
	if schema != "invoicer" { // another one may be a word of SQL's
		quoted = pgx.Identifier{schema}.Sanitize()
	}
	var all, used, rights []string
	for _, r := range roles {
		all = append(all, "'"+r.Role+"'")
		if len(r.rights) == 0 {
			continue // the migrator owns everything
		}
		used = append(used, r.Role)
		rights = append(rights, "    -- "+r.Role+" may "+r.May+".\n    GRANT USAGE ON SCHEMA "+quoted+" TO "+r.Role+";\n    "+
			strings.Join(grants(quoted, r.Role, r.rights), "\n    ")+"\n")
	}
	return strings.NewReplacer(
		"{schema}", quoted, "{schema as text}", "'"+schema+"'",
		"{migrator}", prefix+"_"+roleMigrator, "{worker}", prefix+"_"+roleWorker, "{producer}", prefix+"_"+roleProducer,
		"{all}", strings.Join(all, ", "), "{used}", strings.Join(used, ", "), "{rights}", strings.Join(rights, "\n"),
	).Replace(rolesText)
}

const rolesText = `-- The roles of invoicer for the schema {schema} of one database, as 'invoicer roles --sql' prints them.
--
--   1. psql -v ON_ERROR_STOP=1 -f roles.sql, as a role that has CREATEROLE, and CREATE on the database or the schema. It needs to be no
--      superuser. In a database that has the schema already, run it as the owner of the tables, or as a superuser.
--   2. invoicer migrate up, as a member of {migrator}.
--   3. psql -v ON_ERROR_STOP=1 -f roles.sql again: now there are tables to give rights to.
--
-- After each upgrade run steps 2 and 3, with the file of the new release. Rights aren't given in advance (ALTER DEFAULT PRIVILEGES): what a
-- new table holds, and who needs it, only its release knows. Until step 3, the programs of the release before work as before.
-- It changes only rights of these roles, the owner of what is in the schema, and PUBLIC's right to call functions that run with their
-- owner's rights. All of it happens, or nothing.
--
-- The roles can't log in. Make login roles that are members of one each, such as
--
--   CREATE ROLE shop LOGIN PASSWORD '...' IN ROLE {producer};
--   CREATE ROLE worker LOGIN PASSWORD '...' IN ROLE {worker};
--   CREATE ROLE deploy LOGIN PASSWORD '...' IN ROLE {migrator};
--   ALTER ROLE deploy SET role = '{migrator}';  -- so that what it creates is the migrator's

BEGIN;
SET LOCAL lock_timeout = '5s';  -- a table that is given to the migrator, at the first run, waits for its readers and holds up others

DO $roles$
DECLARE
    one text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('invoicer roles'));  -- two of these at once would change the same rows
    FOREACH one IN ARRAY ARRAY[{all}] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = one) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', one);
        END IF;
    END LOOP;
    IF NOT pg_has_role('{migrator}', 'USAGE') THEN
        GRANT {migrator} TO CURRENT_USER;  -- only an owner gives rights
    END IF;
    IF NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = {schema as text}) THEN
        CREATE SCHEMA {schema} AUTHORIZATION {migrator};
    END IF;
    IF has_database_privilege(current_database(), 'CONNECT WITH GRANT OPTION') THEN
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO {migrator}, {used}', current_database());
    END IF;
END $roles$;

-- All that is in the schema becomes the migrator's. Who owned it until now stays a member of the migrator, so that programs that run as
-- that role go on: revoke it (REVOKE {migrator} FROM ...) once they have roles of their own.
DO $roles$
DECLARE
    one record;
BEGIN
    FOR one IN
        SELECT 1 AS place, format('SCHEMA %I', nspname) AS object, nspowner AS owner FROM pg_namespace WHERE nspname = {schema as text}
        UNION ALL
        SELECT 2, format('%s %I.%I', CASE relkind WHEN 'S' THEN 'SEQUENCE' WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END, nspname, relname), relowner
        FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace AND nspname = {schema as text}
        WHERE relkind IN ('r', 'p', 'v', 'S') AND NOT EXISTS (  -- a column's sequence goes with its table
            SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid AND deptype IN ('a', 'i') AND refobjsubid > 0)
        UNION ALL
        SELECT 3, format('FUNCTION %I.%I(%s)', nspname, proname, pg_get_function_identity_arguments(pg_proc.oid)), proowner
        FROM pg_proc JOIN pg_namespace ON pg_namespace.oid = pronamespace AND nspname = {schema as text}
        ORDER BY 1, 2
    LOOP
        CONTINUE WHEN one.owner = to_regrole('{migrator}');
        IF NOT pg_has_role(one.owner, 'USAGE') THEN
            RAISE EXCEPTION '% is owned by %: run this as that role, which needs to be a member of {migrator}, or as a superuser',
                one.object, pg_get_userbyid(one.owner) USING ERRCODE = 'insufficient_privilege';
        END IF;
        IF NOT pg_has_role(one.owner, '{migrator}', 'MEMBER') THEN
            EXECUTE format('GRANT {migrator} TO %I', pg_get_userbyid(one.owner));
        END IF;
        EXECUTE format('ALTER %s OWNER TO {migrator}', one.object);
    END LOOP;
END $roles$;

DO $roles$
DECLARE
    one regprocedure;
BEGIN
    IF to_regclass('{schema}.goose_db_version') IS NULL THEN
        RAISE NOTICE 'there are no tables yet: run invoicer migrate up, and then this again';
        RETURN;
    END IF;

    -- What a release before gave, and what was given by hand.
    REVOKE ALL ON SCHEMA {schema} FROM {used};
    REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {used};
    REVOKE ALL ON ALL SEQUENCES IN SCHEMA {schema} FROM {used};
    REVOKE ALL ON ALL FUNCTIONS IN SCHEMA {schema} FROM {used};

    -- Functions that run with their owner's rights aren't everybody's.
    FOR one IN SELECT pg_proc.oid FROM pg_proc JOIN pg_namespace ON pg_namespace.oid = pronamespace AND nspname = {schema as text} WHERE prosecdef LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', one);
    END LOOP;

{rights}END $roles$;

COMMIT;
`
