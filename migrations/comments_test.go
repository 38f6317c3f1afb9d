package migrations_test

import "testing"

// uncommented are the objects of the schema that have no comment, or one that can't be read at a glance.
const uncommented = `
SELECT coalesce(string_agg(kind || ' ' || name, ', ' ORDER BY kind, name), '') FROM (
    SELECT 'table' AS kind, relname::text AS name, obj_description(oid, 'pg_class') AS says FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace AND relkind NOT IN ('i', 'I', 'S')
    UNION ALL
    SELECT 'column', relname || '.' || attname, col_description(attrelid, attnum) FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
    WHERE relnamespace = current_schema()::regnamespace AND relkind NOT IN ('i', 'I', 'S') AND attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT 'function', oid::regprocedure::text, obj_description(oid, 'pg_proc') FROM pg_proc WHERE pronamespace = current_schema()::regnamespace
) AS objects WHERE says IS NULL OR says !~ '^\S.*[.]$' OR length(says) NOT BETWEEN 8 AND 700 OR says ~ '[\n\t]|  '`

// A migration that adds a table, a column or a function says what it is.
func TestEverythingHasAComment(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.up(t)
	if list := b.Text(t, uncommented); list != "" {
		t.Errorf("COMMENT ON what the newest migration adds: %s", list)
	}
	b.Exec(t, `CREATE TABLE bare (id int); COMMENT ON TABLE bare IS 'It has no comment on its column.'; CREATE VIEW seen AS SELECT 1 AS one;
CREATE FUNCTION says_nothing() RETURNS int LANGUAGE sql AS 'SELECT 1'`)
	if list := b.Text(t, uncommented); list != "column bare.id, column seen.one, function says_nothing(), table seen" {
		t.Errorf("it finds %s", list)
	}
	b.Exec(t, "DROP VIEW seen; DROP TABLE bare; DROP FUNCTION says_nothing()")

	// What a step down leaves is what was there before.
	b.downTo(t, 28)
	if n := b.Count(t, `SELECT count(*) FROM pg_description WHERE objoid IN (SELECT oid FROM pg_class WHERE relnamespace = current_schema()::regnamespace
		UNION SELECT oid FROM pg_proc WHERE pronamespace = current_schema()::regnamespace)`); n > 0 {
		t.Errorf("%d comments are left", n)
	}
}
