package migrations_test

import (
	"context"
	"database/sql"
	"strings"
	"testing"

	"invoicer/internal/rig"
)

const aJob = `{"transaction_id":"T1","issued_at":"2010-12-01T08:26:00Z","currency":"GBP","lines":[{"quantity":1,"unit_price":2}]}`

// Whoever could accept jobs before migration 37 can afterwards, in sessions and statements of before, too, and again after a step down.
func TestTheSQLDoorKeepsItsCallers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.upTo(t, 36)
	role, heir := b.Schema+"_producer", b.Schema+"_heir"
	b.Exec(t, "CREATE ROLE "+role+"; CREATE ROLE "+heir+"; GRANT USAGE ON SCHEMA "+b.Schema+" TO "+role+", "+heir+"; GRANT EXECUTE ON FUNCTION accept(text, text, uuid) TO "+role+" WITH GRANT OPTION")
	t.Cleanup(func() {
		_, _ = b.DB.ExecContext(context.WithoutCancel(t.Context()), "DROP OWNED BY "+heir+"; DROP OWNED BY "+role+"; DROP ROLE "+heir+"; DROP ROLE "+role)
	})
	session, err := b.DB.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	run := func(statement string) {
		t.Helper()
		if _, err := session.ExecContext(t.Context(), statement); err != nil {
			t.Errorf("%s: %v", statement, err)
		}
	}
	run("SET ROLE " + role)
	defer session.ExecContext(context.WithoutCancel(t.Context()), "RESET ROLE") //nolint:errcheck // the connection is closed next
	run("PREPARE typed (text, text, uuid) AS SELECT accept($1, $2, $3)")
	run("PREPARE untyped AS SELECT accept(payload := $1, queue := $2)")
	run("CREATE FUNCTION pg_temp.ask(job text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN " + b.Schema + ".accept(job, 'default'); END $$")
	run("CREATE FUNCTION pg_temp.ask_at_once(job text) RETURNS text LANGUAGE sql BEGIN ATOMIC SELECT accept(job, 'default'); END")
	run("CREATE TEMP TABLE asked (job text)")
	run("INSERT INTO asked VALUES ('" + aJob + "'), ('" + aJob + "')")
	prepared, err := session.PrepareContext(t.Context(), "SELECT accept($1, $2, $3)")
	if err != nil {
		t.Fatal(err)
	}
	defer prepared.Close()
	asks := func() {
		t.Helper()
		before := b.Count(t, "SELECT count(*) FROM invoice_jobs")
		run("EXECUTE typed ('" + aJob + "', 'default', NULL)")
		run("EXECUTE untyped ('" + aJob + "', 'default')")
		run("SELECT pg_temp.ask('" + aJob + "'), pg_temp.ask_at_once('" + aJob + "')")
		run("SELECT accept('" + aJob + "'), accept('" + aJob + "', 'default'), accept('" + aJob + "', 'bulk', '" + strings.ToLower(b.Text(t, "SELECT gen_random_uuid()")) + "')")
		var id string
		if err := prepared.QueryRowContext(t.Context(), aJob, "default", sql.NullString{}).Scan(&id); err != nil {
			t.Errorf("a prepared statement: %v", err)
		}
		if got := b.Count(t, "SELECT count(*) FROM invoice_jobs") - before; got != 8 {
			t.Errorf("%d jobs are accepted, want 8", got)
		}
	}
	// rights are those of the role, of the heir, and of everybody, to what has the name.
	rights := func(name, want string) {
		t.Helper()
		got := b.Text(t, `SELECT coalesce(string_agg(replace(oidvectortypes(proargtypes), ' ', '') || CASE WHEN has_function_privilege($2, oid, 'EXECUTE WITH GRANT OPTION') THEN ' both' ELSE '' END
			|| CASE WHEN has_function_privilege($3, oid, 'EXECUTE') THEN ' heir' ELSE '' END, '; ' ORDER BY oidvectortypes(proargtypes)), '')
			FROM pg_proc WHERE pronamespace = current_schema()::regnamespace AND proname = $1 AND has_function_privilege($2, oid, 'EXECUTE')`, name, role, heir)
		if got != want {
			t.Errorf("rights to %s: %q, want %q", name, got, want)
		}
	}
	asks()
	b.up(t)
	asks()
	rights("accept", "jsonb,text,uuid,boolean both; text,text,uuid,boolean both")
	rights("accept_many", "")
	rights("lookup", "")
	run("GRANT EXECUTE ON FUNCTION accept(text, text, uuid, boolean) TO " + heir)
	rights("accept", "jsonb,text,uuid,boolean both; text,text,uuid,boolean both heir")
	b.downTo(t, 28)
	rights("accept", "text,text,uuid both heir")
	asks()
}

// A call of many jobs that is under way goes on with the function that it has begun with.
func TestTheSQLDoorLetsStatementsEnd(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.upTo(t, 36)
	session := rig.OpenDatabase(t, b.Named(t), b.Schema)
	gate, err := b.DB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer gate.Rollback() //nolint:errcheck // it is committed below
	if _, err := gate.ExecContext(t.Context(), "SELECT pg_advisory_xact_lock(hashtext($1))", b.Schema); err != nil {
		t.Fatal(err)
	}
	accepted := make(chan error, 1)
	go func() {
		_, err := session.DB.ExecContext(context.WithoutCancel(t.Context()), `SELECT CASE WHEN n = 2 THEN pg_advisory_xact_lock(hashtext(current_schema())) IS NULL END, accept(replace($1, 'T1', 'T' || n))
			FROM generate_series(1, 3) AS n`, aJob)
		accepted <- err
	}()
	b.AwaitBlocked(t)
	b.upTo(t, 37) // later ones change the table that the call writes to, and give way to it
	if err := gate.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-accepted; err != nil {
		t.Error(err)
	}
	if n := b.Count(t, "SELECT count(*) FROM invoice_jobs"); n != 3 {
		t.Errorf("%d jobs", n)
	}
}

// An automatic vacuum of a large table gives way to whoever waits for it for a second, and so isn't waited for again and again.
func TestTheSQLDoorWaitsForAVacuumToGiveWay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.upTo(t, 36)
	vacuum, err := b.DB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer vacuum.Rollback() //nolint:errcheck // it is over by then
	if _, err := vacuum.ExecContext(t.Context(), "LOCK TABLE invoices IN SHARE UPDATE EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	b.Waits = func(name string) { t.Errorf("%s gives way", name) }
	done := make(chan error, 1)
	go func() {
		_, err := b.Up(t.Context())
		done <- err
	}()
	b.eventually(t, "a migration that has waited for longer than a vacuum does", `SELECT EXISTS (SELECT FROM pg_locks
		WHERE NOT granted AND relation = 'invoices'::regclass AND clock_timestamp() - waitstart > '1.2 seconds')`)
	b.Exec(t, "INSERT INTO invoice_series (series, period, kind) VALUES ('S', '', 'invoice')")
	b.Exec(t, "SELECT accept($1)", aJob)
	if err := vacuum.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
