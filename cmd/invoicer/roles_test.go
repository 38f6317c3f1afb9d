package main

import (
	"database/sql"
	"flag"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"invoicer/internal/doctor"
	"invoicer/internal/rig"
	"invoicer/internal/sandbox/programs"
	"invoicer/internal/sandbox/sandboxtest"
)

var updateRoles = flag.Bool("update", false, "write deploy/roles.sql")

func TestRolesFile(t *testing.T) {
	t.Parallel()
	const file = "../../deploy/roles.sql"
	code, printed, stderr := runCommand(t, nil, "roles", "--sql")
	if code != exitOK {
		t.Fatal(stderr)
	}
	if *updateRoles {
		must(t, os.WriteFile(file, []byte(printed), 0o644))
	}
	kept, err := os.ReadFile(file)
	must(t, err)
	if string(kept) != printed {
		t.Error("deploy/roles.sql isn't what `invoicer roles --sql` prints: run go test ./cmd/invoicer -run TestRolesFile -update")
	}
}

// The table of docs/operations.md gives each command to a role that may run it.
func TestRolesAreDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/operations.md")
	must(t, err)
	row := regexp.MustCompile("(?m)^\\| `(invoicer_[a-z]+)` \\| (.*?) \\|")
	found := make(map[string]string)
	for _, match := range row.FindAllStringSubmatch(string(text), -1) {
		found[match[1]] = match[2]
	}
	for _, role := range (app{}).databaseRoles("invoicer") {
		named := regexp.MustCompile("`(?:invoicer )?([a-z][a-z ]*)[^`]*`").FindAllStringSubmatch(found[role.Role], -1)
		if len(named) == 0 && role.Role != "invoicer_worker" {
			t.Errorf("%s has no commands", role.Role)
		}
		for _, match := range named {
			name := strings.TrimSpace(match[1])
			if !slices.ContainsFunc(role.Commands, func(c string) bool { return c == name || strings.HasPrefix(c, name+" ") }) {
				t.Errorf("%s can't run %s", role.Role, name)
			}
		}
	}
}

// installed is a site of six roles, each with a login role of the documentation's names that is its member.
type installed struct {
	*site
	admin  string // the URL of the database's administrator, who is no superuser
	second *site  // db2, where there is one
}

// installWithRoles installs as docs/operations.md says, by the commands that it shows.
func installWithRoles(t *testing.T) installed {
	t.Helper()
	return installOn(t, sandboxtest.PrivatePostgres(t).URL, sandboxtest.Redis(t))
}

func installOn(t *testing.T, superuser, redis string) installed {
	t.Helper()
	d := rig.OpenDatabase(t, superuser, "invoicer")
	for _, statement := range []string{"CREATE ROLE dba LOGIN CREATEROLE", "ALTER DATABASE invoicer OWNER TO dba", "REVOKE ALL ON DATABASE invoicer FROM PUBLIC"} {
		d.Exec(t, statement)
	}
	i := installed{site: newSiteOn(t, superuser, "invoicer", redis)}
	i.admin = i.urlOf(t, "dba")
	i.shell(t, documentedInstall(t))
	i.KnowQueue(t, i.queue)
	return i
}

// documentedInstall returns the commands of docs/operations.md that install with six roles.
func documentedInstall(t *testing.T) string {
	t.Helper()
	return documentedScript(t, "Install with six roles")
}

// documentedScript returns the first commands of a section of docs/operations.md.
func documentedScript(t *testing.T, title string) string {
	t.Helper()
	return documentedScripts(t, "operations.md", title)[0]
}

// documentedScripts returns all commands of a section of a page.
func documentedScripts(t *testing.T, page, title string) (list []string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/" + page)
	must(t, err)
	_, section, _ := strings.Cut(string(text), "\n## "+title+"\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(section, -1) {
		list = append(list, block[1])
	}
	if len(list) == 0 {
		t.Fatalf("docs/%s has no commands for %q", page, title)
	}
	return list
}

var documentedURL = regexp.MustCompile(`postgres://(\w+)@(db2?)\.example/invoicer`)

// shell runs commands as they are documented, on the servers of the test.
func (i installed) shell(t *testing.T, script string) {
	t.Helper()
	found, err := programs.Find(programs.Postgres)
	must(t, err)
	script = documentedURL.ReplaceAllStringFunc(script, func(address string) string {
		named := documentedURL.FindStringSubmatch(address)
		if named[2] == "db2" {
			return "'" + i.second.urlOf(t, named[1]) + "'"
		}
		return "'" + i.urlOf(t, named[1]) + "'"
	})
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = t.TempDir()
	cmd.Env = append(slices.Clone(i.environ), "PATH="+os.Getenv("PATH")+":"+filepath.Dir(found[programs.Postgres]))
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
}

// urlOf returns the site's URL for another login role.
func (s *site) urlOf(t *testing.T, login string) string {
	t.Helper()
	address, err := url.Parse(s.URL)
	must(t, err)
	query := address.Query()
	if query.Get("user") != "" {
		query.Set("user", login)
		address.RawQuery = query.Encode()
	} else {
		address.User = url.User(login)
	}
	return address.String()
}

// of returns the site for a login role.
func (i installed) of(t *testing.T, login string) *site {
	t.Helper()
	return i.with("INVOICER_DATABASE_URL=" + i.urlOf(t, login))
}

func (i installed) rights(t *testing.T) string {
	t.Helper()
	return i.Text(t, `SELECT string_agg(line, E'\n' ORDER BY line) FROM (
		SELECT relname || ' ' || pg_get_userbyid(relowner) || ' ' || coalesce(relacl::text, '') AS line FROM pg_class WHERE relnamespace = 'invoicer'::regnamespace
		UNION ALL SELECT pg_proc.oid::regprocedure || ' ' || pg_get_userbyid(proowner) || ' ' || coalesce(proacl::text, '') FROM pg_proc WHERE pronamespace = 'invoicer'::regnamespace
		UNION ALL SELECT nspname || ' ' || pg_get_userbyid(nspowner) || ' ' || coalesce(nspacl::text, '') FROM pg_namespace WHERE nspname = 'invoicer'
		UNION ALL SELECT datname || ' ' || coalesce(datacl::text, '') FROM pg_database WHERE datname = 'invoicer'
		UNION ALL SELECT roleid::regrole || ' ' || member::regrole || ' ' || admin_option FROM pg_auth_members) AS all_lines`)
}

// On a fresh database, each role does what is its part: the real commands, as a login role that is its member.
func TestRolesSuffice(t *testing.T) {
	t.Parallel()
	i := installWithRoles(t)
	if n := i.Count(t, `SELECT (SELECT count(*) FROM pg_class WHERE relnamespace = 'invoicer'::regnamespace AND pg_get_userbyid(relowner) <> 'invoicer_migrator')
		+ (SELECT count(*) FROM pg_proc WHERE pronamespace = 'invoicer'::regnamespace AND pg_get_userbyid(proowner) <> 'invoicer_migrator')`); n != 0 {
		t.Errorf("%d objects aren't the migrator's", n)
	}
	before := i.rights(t)
	i.change(t, "GRANT UPDATE ON invoices TO invoicer_reader") // as a release before might have
	i.shell(t, "invoicer roles --sql > again.sql; psql -q -v ON_ERROR_STOP=1 -f again.sql postgres://dba@db.example/invoicer")
	if after := i.rights(t); after != before {
		t.Errorf("run again, it changes rights:\n%s\nbecome\n%s", before, after)
	}

	shop, operator, auditor := i.of(t, "shop"), i.of(t, "operator"), i.of(t, "auditor")
	worker := i.of(t, "worker").start(t, "worker")
	code, _, stderr := shop.run(t, payloadOf("T1", "GBP")+"\n"+payloadOf("T1", "GBP")+"\n"+payloadOf("T1", "EUR"), "enqueue", "-", "--durable", "--queue", i.queue)
	if code != exitOK {
		t.Fatalf("enqueue: exit code %d, %s", code, stderr)
	}
	i.awaitCount(t, 3, "SELECT (SELECT count(*) FROM invoices) + (SELECT count(*) FROM duplicate_attempts) + (SELECT count(*) FROM invoice_jobs WHERE state = 'failed')")
	if worker.said("lacks rights") || worker.said("may not") || worker.said("permission denied") {
		t.Errorf("the worker lacks rights: %s", worker.stderr())
	}
	session := i.session(t, "shop")
	var number string
	if err := session.QueryRowContext(t.Context(), "SELECT invoice_number FROM invoicer.lookup('T1')").Scan(&number); err != nil || number == "" {
		t.Errorf("lookup: %q, %v", number, err)
	}
	if _, err := session.ExecContext(t.Context(), "SELECT invoicer.accept('"+payloadOf("T2", "GBP")+"'::jsonb), (SELECT count(*) FROM invoicer.accept_many(ARRAY['"+payloadOf("T3", "GBP")+"']))"); err != nil {
		t.Errorf("in SQL: %v", err)
	}

	i.fail(t, "bad", "T9", "failed", "planted", "p", i.queue, payloadOf("T9", "GBP"), "1h")
	i.fail(t, "gone", "T8", "failed", "planted", "p", i.queue, payloadOf("T8", "GBP"), "1h")
	for _, args := range [][]string{
		{"dismiss", "gone", "--reason", "r"},
		{"restore", "gone"},
		{"replay", "--job", "bad", "--dry-run"},
		{"replay", "--job", "bad"},
		{"series", "open", "NEW", "--format", "N{number}"},
		{"series", "set", "INV", "--format", "I{number}"},
		{"series", "pause", "INV"},
		{"series", "resume", "INV"},
		{"settings", "set", "zero", "refuse"},
		{"queue", "pause", i.queue},
		{"queue", "resume", i.queue},
		{"queue", "list"},
		{"token", "make", "--role", "read", "--name", "ada"},
		{"token", "list"},
		{"token", "revoke", "ada"},
		{"prune"},
		{"erase", "--hold", "--transaction", "T1", "--reason", "r"},
		{"erase", "--release", "--transaction", "T1", "--reason", "r"},
		{"erase", "--older-than", "1s", "--reason", "r"},
		{"export", "--customer", "C1"},
		{"history"},
		{"audit"},
	} {
		operator.must(t, args...)
	}
	if code, _, stderr := operator.run(t, `{"transaction_id":"T7","invoice_number":"OLD-7"}`, "import", "-"); code != exitOK {
		t.Errorf("import: %s", stderr)
	}
	i.awaitCount(t, 1, "SELECT count(*) FROM invoices WHERE transaction_id = 'T9'")
	worker.signal(t, syscall.SIGTERM)
	worker.exit(t)
	for _, args := range [][]string{
		{"status", "T1"},
		{"list", "invoices"},
		{"list", "jobs"},
		{"list", "duplicates"},
		{"audit"},
		{"audit", "--against", i.urlOf(t, "auditor")},
		{"races"},
		{"top", "--once"},
		{"queues"},
		{"workers"},
		{"history"},
		{"series", "list"},
		{"series", "show", "INV"},
		{"settings", "list"},
		{"issuer", "list"},
		{"cache"},
		{"replay", "history"},
		{"migrate", "status"},
	} {
		auditor.must(t, args...)
	}
	d := i.of(t, "worker").diagnose(t)
	for _, check := range []string{"rights", "role"} {
		if found := append(d.of(doctor.Broken, check), d.of(doctor.Warning, check)...); len(found) > 0 {
			t.Errorf("doctor as a worker: %+v", found)
		}
	}
	i.of(t, "auditor").diagnose(t).has(t, doctor.Broken, "rights", "GRANT", "role auditor lacks rights to")
	i.of(t, "deploy").must(t, "issuer", "open", "ACME-DE")
	operator.must(t, "issuer", "open", "ACME-FR")
}

// session returns connections of a login role.
func (i installed) session(t *testing.T, login string) *sql.DB {
	t.Helper()
	return rig.OpenDatabase(t, i.urlOf(t, login), "invoicer").DB
}

// No role can do more than its part.
func TestRolesMayNoMore(t *testing.T) {
	t.Parallel()
	i := installWithRoles(t)
	everybody := []string{
		"UPDATE invoices SET total_minor = 0", "DELETE FROM invoices", "TRUNCATE invoices CASCADE",
		"UPDATE invoice_lines SET net_minor = 0", "DELETE FROM invoice_lines", "UPDATE invoice_taxes SET tax_minor = 0", "DELETE FROM invoice_taxes",
		"UPDATE invoice_links SET chain = ''", "DELETE FROM invoice_series", "DELETE FROM series", "UPDATE series SET format = 'X{number}'",
		"UPDATE settings SET strict = true", "DELETE FROM issuers", "DELETE FROM imported_invoices", "DELETE FROM actions", "UPDATE invoice_job_actions SET actor = 'x'",
		"DELETE FROM tokens", "UPDATE database_identity SET id = gen_random_uuid()", "DELETE FROM goose_db_version", "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, true)",
		"ALTER TABLE invoices DISABLE TRIGGER ALL", "ALTER TABLE invoices DISABLE TRIGGER invoices_immutable", "DROP TRIGGER invoices_immutable ON invoices",
		"ALTER TABLE invoices DROP CONSTRAINT invoices_transaction_id_key", "ALTER TABLE invoices ADD COLUMN x text", "DROP TABLE invoices CASCADE",
		"ALTER TABLE invoices OWNER TO CURRENT_USER", "CREATE TABLE invoicer.x ()", "CREATE FUNCTION invoicer.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
		"CREATE OR REPLACE FUNCTION invoicer.refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'", "DROP FUNCTION refuse_change CASCADE",
		"CREATE TRIGGER x BEFORE INSERT ON invoices FOR EACH ROW EXECUTE FUNCTION refuse_change()", "CREATE INDEX ON invoices (currency)",
		"CREATE SCHEMA other", "CREATE ROLE other", "SET session_replication_role = replica", "SET ROLE invoicer_migrator", "SET ROLE dba",
		"SELECT setval('invoices_id_seq', 1)", "SELECT accept_check('{}')", "SELECT queue_known('x')", "SELECT refuse_credits('{}')",
		"UPDATE invoices SET erasure_id = 1", "INSERT INTO erasures (selection) VALUES ('customer')", "UPDATE erasures SET reason = 'x'", "DELETE FROM erasure_holds",
	}
	erasing := []string{
		"SELECT begin_erasure('customer', NULL, NULL, 'x', 'x')", "SELECT * FROM erase_invoices(NULL, NULL, 'C1', NULL, 0, 1)",
		"SELECT * FROM erase_payloads(NULL, NULL, 'C1', 0, 1)", "SELECT end_erasure(1)", "INSERT INTO erasure_holds (scope) VALUES ('issuer')", "UPDATE erasure_holds SET released_at = now()",
	}
	own := map[string][]string{
		"worker": {
			"DELETE FROM invoice_jobs", "DELETE FROM duplicate_attempts", "INSERT INTO issuers (issuer) VALUES ('X')", "INSERT INTO settings (issuer) VALUES ('')",
			"INSERT INTO tokens (name) VALUES ('x')", "UPDATE tokens SET revoked_at = now()", "INSERT INTO imported_invoices (transaction_id) VALUES ('x')",
			"SELECT accept('{}')", "SELECT * FROM accept_many('[]')", "SELECT refuse_unknown_queue('x')", "SET ROLE invoicer_operator",
		},
		"operator": {
			"INSERT INTO invoices (transaction_id) VALUES ('x')", "INSERT INTO invoice_lines (position) VALUES (1)", "INSERT INTO invoice_jobs (job_id) VALUES ('x')",
			"INSERT INTO duplicate_attempts (job_id) VALUES ('x')", "INSERT INTO invoice_series (series) VALUES ('X')", "UPDATE ledger_queues SET holder = 'x'",
			"SELECT accept('{}')", "SELECT nextval('invoices_id_seq')", "SELECT refuse_unknown_queue('x')", "SET ROLE invoicer_worker",
		},
		"auditor": {
			"INSERT INTO replays (actor) VALUES ('x')", "UPDATE replays SET state = 'canceled'", "SELECT set_endpoint_secret(1, 'x')", "SELECT test_endpoint(1)", "SELECT FROM event_secrets",
			"SELECT FROM tokens", "INSERT INTO actions (action) VALUES ('x')", "INSERT INTO invoice_job_actions (job_id) VALUES ('x')", "UPDATE invoice_jobs SET state = 'accepted'",
			"UPDATE invoice_series SET last_number = 9", "INSERT INTO series (series) VALUES ('X')", "INSERT INTO settings (issuer) VALUES ('')",
			"SELECT accept('{}')", "SELECT refuse_unknown_queue('x')", "SELECT nextval('invoices_id_seq')", "SELECT FROM invoices FOR UPDATE", "LOCK TABLE invoices IN EXCLUSIVE MODE",
			"SET ROLE invoicer_operator",
		},
		"serve": {
			"INSERT INTO invoices (transaction_id) VALUES ('x')", "INSERT INTO invoice_lines (position) VALUES (1)", "INSERT INTO invoice_jobs (job_id) VALUES ('x')", "DELETE FROM invoice_jobs",
			"INSERT INTO invoice_series (series) VALUES ('X')", "UPDATE invoice_series SET last_number = 9", "INSERT INTO duplicate_attempts (job_id) VALUES ('x')", "SELECT nextval('invoices_id_seq')",
			"SELECT FROM event_secrets", "INSERT INTO event_secrets (endpoint_id) VALUES (1)", "INSERT INTO events (type) VALUES ('x')", "DELETE FROM event_deliveries",
			"INSERT INTO tokens (name) VALUES ('x')", "UPDATE tokens SET revoked_at = now()", "INSERT INTO series (series) VALUES ('X')", "INSERT INTO settings (issuer) VALUES ('')",
			"INSERT INTO imported_invoices (transaction_id) VALUES ('x')", "UPDATE ledger_queues SET holder = 'x'", "UPDATE queue_nonces SET nonces = '{}'", "DELETE FROM replays",
			"INSERT INTO list_marks (list) VALUES ('x')", "SELECT FROM api_requests", "SELECT accept('{}')", "SET ROLE invoicer_worker", "SET ROLE invoicer_operator",
		},
		"shop": {
			"SELECT list_horizon('invoices')", "SELECT set_endpoint_secret(1, 'x')", "SELECT payload FROM invoice_jobs", "INSERT INTO invoice_jobs (job_id) VALUES ('x')", "UPDATE invoice_series SET last_number = 9", "SELECT nextval('invoices_id_seq')",
			"SELECT accept_queue('x', true, 'y')", "SELECT credit_root('', 'x')", "SELECT still_printed(ARRAY['x'])", "SET ROLE invoicer_reader", "SET ROLE invoicer_worker",
		},
	}
	tables := i.Text(t, "SELECT string_agg(relname, ' ') FROM pg_class WHERE relnamespace = 'invoicer'::regnamespace AND relkind = 'r'")
	for _, table := range strings.Fields(tables) {
		own["shop"] = append(own["shop"], "SELECT FROM "+table)
		own["auditor"] = append(own["auditor"], "DELETE FROM "+table)
	}
	for _, login := range []string{"worker", "auditor", "shop", "serve"} { // only the operator's role may
		own[login] = append(own[login], erasing...)
	}
	for login, statements := range own {
		session := i.session(t, login)
		for _, statement := range slices.Concat(everybody, statements) {
			if err := forbiddenTo(t.Context(), session, statement); err != nil {
				t.Errorf("%s: %v", login, err)
			}
		}
	}
	// Numbers are guarded by more than rights: even those who may change the counter's row can't set it.
	i.change(t, "INSERT INTO invoice_series (series, period, kind) VALUES ('INV', '', 'invoice')")
	for _, login := range []string{"worker", "operator"} {
		if _, err := i.session(t, login).ExecContext(t.Context(), "UPDATE invoice_series SET last_number = 9"); err == nil {
			t.Errorf("%s has set a counter", login)
		}
	}
}

// A database that is in use already is taken over: its programs go on, and their owner becomes the migrator's member.
func TestRolesOfDatabaseInUse(t *testing.T) {
	t.Parallel()
	superuser := sandboxtest.PrivatePostgres(t).URL
	d := rig.OpenDatabase(t, superuser, "invoicer")
	d.Exec(t, "CREATE ROLE billing LOGIN")
	d.Exec(t, "GRANT CREATE ON DATABASE invoicer TO billing")
	i := installed{site: newSiteOn(t, superuser, "invoicer", sandboxtest.Redis(t))}
	billing := i.of(t, "billing")
	billing.must(t, "migrate", "up")
	i.KnowQueue(t, i.queue)
	i.shell(t, "invoicer roles --sql > roles.sql; ! psql -q -v ON_ERROR_STOP=1 -f roles.sql postgres://billing@db.example/invoicer; "+
		"psql -q -v ON_ERROR_STOP=1 -f roles.sql postgres://postgres@db.example/invoicer; psql -q -v ON_ERROR_STOP=1 -f roles.sql postgres://billing@db.example/invoicer")
	if n := i.Count(t, "SELECT count(*) FROM pg_class WHERE relnamespace = 'invoicer'::regnamespace AND pg_get_userbyid(relowner) <> 'invoicer_migrator'"); n != 0 {
		t.Errorf("%d tables, indexes and sequences aren't the migrator's", n)
	}
	billing.start(t, "worker")
	if code, _, stderr := billing.run(t, payloadOf("T1", "GBP"), "enqueue", "-", "--durable", "--queue", i.queue); code != exitOK {
		t.Fatal(stderr)
	}
	i.awaitCount(t, 1, "SELECT count(*) FROM invoices")
	billing.must(t, "audit")
}
