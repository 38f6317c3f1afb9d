package postgres_test

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgconn"

	"invoicer/internal/rig"
	"invoicer/invoice"
	"invoicer/invoice/invoicetest"
)

const good = `{"transaction_id":"T1","issued_at":"2010-12-01T08:26:00Z","currency":"GBP","lines":[{"quantity":1,"unit_price":2}]}`

// accept calls the database's function as a producer in any language would.
func (b *site) accept(t *testing.T, payload string) (string, error) {
	t.Helper()
	return accept(b.DB, payload, "default", nil)
}

func accept(on interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}, payload, queue string, jobID *string,
) (id string, err error) {
	err = on.QueryRowContext(context.Background(), "SELECT accept(payload := $1, queue := $2, job_id := $3)", payload, queue, jobID).Scan(&id)
	return id, err
}

// refused returns the refusal of a job, and fails the test when err is none.
func refused(t *testing.T, err error, what string) *pgconn.PgError {
	t.Helper()
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != "22023" || !strings.HasPrefix(pg.Message, "invalid job: ") {
		t.Fatalf("%s: %v; want it refused as an invalid job with 22023", what, err)
	}
	return pg
}

func TestAcceptWritesTheJob(t *testing.T) {
	t.Parallel()
	b := setup(t)
	full := strings.Replace(good, `"transaction_id"`, `"idempotency_key":"K1","producer":"checkout","transaction_id"`, 1)
	for payload, want := range map[string]string{
		good: "T1 T1 -",
		full: "T1 K1 checkout",
	} {
		id, err := accept(b.DB, payload, "bulk", nil)
		if err != nil {
			t.Fatal(err)
		}
		got := b.Text(t, `SELECT concat_ws(' ', transaction_id, idempotency_key, coalesce(producer, '-'), queue, state, dispatch, attempts, payload = $2)
			FROM invoice_jobs WHERE job_id = $1`, id, payload)
		if want += " bulk accepted 0 0 t"; got != want {
			t.Errorf("accepted as %s, want %s", got, want)
		}
	}
}

// untold are the payloads of invoicetest.Bad that SQL can't tell from good ones without repeating half of the decoder. They
// are accepted, and become failed jobs that people see.
func untold() []string {
	list := []string{
		"a duplicate key in a line", "a duplicate key in metadata",
		// The calendar, and what a zone leads out of range.
		`issued_at "2010-02-29T08:26:00Z"`, `issued_at "0000-12-31T23:59:59Z"`, `issued_at "0001-01-01T00:30:00+01:00"`,
		`issued_at "9999-12-31T23:30:00-01:00"`, `issued_at "0001-01-01T00:00:00Z"`,
		`currency "GPB"`, `currency "XXX"`, `currency "XAU"`,
		"a line past int64", "a subtotal past int64", "a tax base past int64", "taxes past int64", "a total past int64",
	}
	// Numbers that Postgres can't hold, or that are long.
	for _, field := range []string{"quantity", "unit_price", "discount_percent", "tax_percent"} {
		for _, number := range []string{
			"1e-999999999", "1e-99999999999999999999", "1e999999999", "1e18446744073709551616", "1e99999999999999999999",
			"1000000000000000000000000000000000000000… (100001 bytes)", "0.00000000000000000000000000000000000000… (100003 bytes)",
		} {
			list = append(list, field+" "+number)
		}
	}
	return list
}

func TestAcceptRefusesWhatCanNeverBeAnInvoice(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var accepted []string
	for _, bad := range invoicetest.Bad() {
		payload := string(bad.Payload)
		if !utf8.ValidString(payload) || strings.ContainsRune(payload, 0) {
			continue // no such text comes into Postgres
		}
		_, err := b.accept(t, payload)
		if err == nil {
			accepted = append(accepted, bad.Name)
			continue
		}
		pg := refused(t, err, bad.Name)
		if !slices.ContainsFunc(append(bad.Fields, "payload"), func(field string) bool {
			field = strings.Trim(strings.TrimSuffix(field, "…"), `"`)
			whole, _, _ := strings.Cut(field, ".a") // metadata.a
			return strings.Contains(pg.Message, whole)
		}) {
			t.Errorf("%s: %q names none of %q", bad.Name, pg.Message, bad.Fields)
		}
		if len(pg.Message) > 4000 || strings.Contains(pg.Message, "\n") || pg.Detail != "" || pg.Hint == "" {
			t.Errorf("%s: a message of %d bytes: %.100q, detail %q, hint %q", bad.Name, len(pg.Message), pg.Message, pg.Detail, pg.Hint)
		}
	}
	want := untold()
	slices.Sort(want)
	slices.Sort(accepted)
	if !slices.Equal(accepted, want) {
		for _, name := range accepted {
			if !slices.Contains(want, name) {
				t.Errorf("accepted: %s", name)
			}
		}
		for _, name := range want {
			if !slices.Contains(accepted, name) {
				t.Errorf("refused, so it needn't be on the list: %s", name)
			}
		}
	}
}

func TestAcceptNamesWhatIsWrongAndQuotesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	long := strings.Repeat("secret ", 20_000)
	for name, payload := range map[string]string{
		"a value in each field": `{"version":"secret","transaction_id":"se cret","idempotency_key":"se cret","producer":"se cret","series":"secret",
			"credits_transaction_id":"se cret","customer_id":["secret"],"customer_name":{"a":"secret"},"country":["secret"],"issued_at":"secret",
			"currency":"secret","lines":[{"quantity":"secret","unit_price":["secret"],"sku":["secret"],"tax_percent":"secret"},"secret"],"metadata":{"a":["secret"]}}`,
		"no JSON":                            "secret",
		"JSON with an end":                   good + "secret",
		"a bad escape":                       `{"transaction_id":"secret \x"}`,
		"a lone surrogate":                   strings.Replace(good, "{", `{"country":"secret \ud800",`, 1),
		"a huge number and a lone surrogate": strings.Replace(strings.Replace(good, "{", `{"country":"secret \ud800",`, 1), `:1`, `:1e999999999`, 1) + "x",
		"a long name twice":                  strings.Replace(good, "{", `{"`+long+`":1,"`+long+`":1,`, 1),
		"a long name":                        strings.Replace(good, "{", `{"`+long+`":1,`, 1),
		"other digits":                       strings.Replace(good, `"quantity":1`, `"quantity":"１","sku":"secret"`, 1),
		"a queue that is not one":            "",
	} {
		queue := "default"
		if payload == "" {
			payload, queue = good, "secret queue"
		}
		_, err := accept(b.DB, payload, queue, nil)
		pg := refused(t, err, name)
		for _, told := range []string{pg.Message, pg.Detail, pg.Hint, pg.Where, pg.ColumnName} {
			if told = strings.ReplaceAll(told, long[:64], "…"); strings.Contains(told, "secret") || len(told) > 3000 {
				t.Errorf("%s: %.300q", name, told)
			}
		}
	}
}

func TestAcceptChecksTheQueue(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.KnowQueue(t, "a-z_0", strings.Repeat("q", 255))
	for queue, ok := range map[string]bool{
		"default": true, "a-z_0": true, strings.Repeat("q", 255): true,
		"": false, "Default": false, "a b": false, "ä": false, "a:b": false, "{a}": false, "a\n": false, strings.Repeat("q", 256): false,
	} {
		_, err := accept(b.DB, good, queue, nil)
		if ok && err != nil {
			t.Errorf("queue %q: %v", queue, err)
		} else if !ok && !strings.Contains(refused(t, err, queue).Message, "queue must be ") {
			t.Errorf("queue %q: %v", queue, err)
		}
	}
	for _, null := range []string{"payload := NULL", "payload := '{}', queue := NULL"} {
		_, err := b.DB.ExecContext(t.Context(), "SELECT accept("+null+")")
		_ = refused(t, err, null)
	}
}

func TestAcceptTwiceUnderOneID(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := "0189f7a0-0000-7000-8000-000000000001"
	for range 2 {
		if got, err := accept(b.DB, good, "default", &id); err != nil || got != id {
			t.Fatalf("job %q, error %v", got, err)
		}
	}
	for name, other := range map[string]string{
		"another transaction": strings.Replace(good, "T1", "T2", 1),
		"another amount":      strings.Replace(good, `"unit_price":2`, `"unit_price":3`, 1),
	} {
		_, err := accept(b.DB, other, "default", &id)
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || pg.Code != "23505" || pg.ConstraintName != "invoice_jobs_job_id_key" || !strings.Contains(pg.Message, id) {
			t.Errorf("%s under the same id: %v", name, err)
		}
	}
	if n := b.Count(t, "SELECT count(*) FROM invoice_jobs WHERE payload = $1", good); n != 1 {
		t.Errorf("%d rows", n)
	}
	// Whatever has become of it, and when its payload is pruned.
	b.Exec(t, "UPDATE invoice_jobs SET state = 'failed', outcome = 'failed', reason = 'r', payload = NULL")
	if _, err := accept(b.DB, good, "default", &id); err != nil {
		t.Error(err)
	}
	if got := b.Text(t, "SELECT state FROM invoice_jobs"); got != "failed" {
		t.Errorf("the ended job is %s", got)
	}
}

// Two transactions at once: the second one waits for the first and then sees what it has committed.
func TestAcceptTwiceAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := "0189f7a0-0000-7000-8000-000000000001"
	first, err := b.DB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Rollback() //nolint:errcheck // it is committed below
	if _, err := accept(first, good, "default", &id); err != nil {
		t.Fatal(err)
	}
	second := make(chan error, 1)
	go func() {
		_, err := accept(rig.OpenDatabase(t, b.Named(t), b.Schema).DB, good, "default", &id)
		second <- err
	}()
	b.AwaitBlocked(t)
	if err := first.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-second; err != nil {
		t.Error(err)
	}
	if n := b.Count(t, "SELECT count(*) FROM invoice_jobs"); n != 1 {
		t.Errorf("%d rows", n)
	}
}

func TestAcceptGoesWithItsTransaction(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tx, err := b.DB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := accept(tx, good, "default", nil); err != nil {
		t.Fatal(err)
	}
	if n := b.Count(t, "SELECT count(*) FROM invoice_jobs"); n != 0 {
		t.Errorf("%d jobs before the commit", n)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if n := b.Count(t, "SELECT count(*) FROM invoice_jobs"); n != 0 {
		t.Errorf("%d jobs after a rollback", n)
	}
}

// A producer's role needs nothing but the function, and whatever its session has set up leads the function nowhere else.
func TestAcceptForARoleThatMayDoNothingElse(t *testing.T) {
	t.Parallel()
	b := setup(t)
	role := b.Schema + "_producer"
	b.Exec(t, "CREATE ROLE "+role+"; GRANT USAGE ON SCHEMA "+b.Schema+" TO "+role)
	t.Cleanup(func() {
		if _, err := b.DB.ExecContext(context.WithoutCancel(t.Context()), "DROP OWNED BY "+role+"; DROP ROLE "+role); err != nil {
			t.Error(err)
		}
	})
	session, err := b.DB.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	run := func(statement string, args ...any) error {
		_, err := session.ExecContext(t.Context(), statement, args...)
		return err
	}
	denied := func(what string, err error) {
		t.Helper()
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || pg.Code != "42501" {
			t.Errorf("%s: %v; want it denied", what, err)
		}
	}
	if err := run("SET ROLE " + role); err != nil {
		t.Fatal(err)
	}
	_, err = accept(session, good, "default", nil)
	denied("accept without a grant", err)
	b.Exec(t, "GRANT EXECUTE ON FUNCTION accept(text, text, uuid, boolean) TO "+role)
	for _, statement := range []string{
		"SELECT count(*) FROM invoice_jobs", "SELECT * FROM ledger_queues", "SELECT * FROM invoice_job_actions",
		"INSERT INTO invoice_jobs (job_id, queue, state, outcome, reason) VALUES ('j', 'q', 'failed', 'invalid', 'r')",
		"UPDATE invoice_jobs SET state = 'done'", "DELETE FROM invoice_jobs", "SELECT accept_problems('{}', '{}', true)",
		"SELECT * FROM producer_queues", "SELECT accept_queue('q', true, 'j')", "SELECT accept_check('{}')", "SELECT queue_known('q')",
		"SELECT accept('{}'::jsonb)", "SELECT accept_many('[]')", "SELECT accept_many('[]'::jsonb)", "SELECT accept_many(ARRAY['{}'])", "SELECT lookup('T1')",
	} {
		denied(statement, run(statement))
	}
	if err := run("SELECT refuse_unknown_queue('bulk')"); err != nil {
		t.Error(err)
	}
	for _, more := range []string{"accept(jsonb, text, uuid, boolean)", "accept_many(text, text, uuid[], boolean)", "accept_many(jsonb, text, uuid[], boolean)", "accept_many(text[], text, uuid[], boolean)", "lookup(text, text)"} {
		b.Exec(t, "GRANT EXECUTE ON FUNCTION "+more+" TO "+role)
	}

	// As the trigger of a table of one's own, a definer's function would run what one's own view calls.
	const onBait = "CREATE TRIGGER t AFTER INSERT ON bait FOR EACH STATEMENT EXECUTE FUNCTION refuse_unknown_invoice()"
	for _, bait := range []string{"CREATE TEMP TABLE bait (invoice_id bigint)", "CREATE TEMP VIEW changed AS SELECT 1::bigint AS invoice_id"} {
		if err := run(bait); err != nil {
			t.Fatal(err)
		}
	}
	denied("a trigger of one's own", run(onBait))
	b.Exec(t, "GRANT EXECUTE ON FUNCTION refuse_unknown_invoice() TO "+role) // as after a restore without privileges
	if err := run(onBait); err != nil {
		t.Fatal(err)
	}
	denied("what the trigger finds", run("INSERT INTO bait VALUES (1)"))

	for _, trap := range []string{
		"CREATE TEMP TABLE invoice_jobs (job_id text, transaction_id text, idempotency_key text, producer text, queue text, payload text, state text, CONSTRAINT invoice_jobs_job_id_key UNIQUE (job_id))",
		"CREATE TEMP TABLE producer_queues (queue text, job_id text)",
		"CREATE FUNCTION pg_temp.queue_known(text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'ran as %', current_user; END $$",
		"CREATE FUNCTION pg_temp.accept_problems(jsonb, text, boolean) RETURNS text[] LANGUAGE sql AS $$ SELECT '{}'::text[] $$",
		"CREATE FUNCTION pg_temp.gen_random_uuid() RETURNS uuid LANGUAGE sql AS $$ SELECT NULL::uuid $$",
		"CREATE FUNCTION pg_temp.trapped(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'ran as %', current_user; END $$",
		"CREATE OPERATOR pg_temp.!~ (FUNCTION = pg_temp.trapped, LEFTARG = text, RIGHTARG = text)",
		"CREATE OPERATOR pg_temp.~ (FUNCTION = pg_temp.trapped, LEFTARG = text, RIGHTARG = text)",
		"SET search_path = pg_temp, pg_catalog",
	} {
		if err := run(trap); err != nil {
			t.Fatalf("%s: %v", trap, err)
		}
	}
	var id string
	if err := session.QueryRowContext(t.Context(), "SELECT "+b.Schema+".accept($1)", good).Scan(&id); err != nil {
		t.Fatal(err)
	}
	if n := b.Count(t, "SELECT count(*) FROM "+b.Schema+".invoice_jobs WHERE job_id = $1 AND state = 'accepted'", id); n != 1 {
		t.Error("the job isn't in the ledger")
	}
	_, err = session.ExecContext(t.Context(), "SELECT "+b.Schema+".accept('{}')")
	_ = refused(t, err, "an empty job")
	for _, statement := range []string{
		"accept($1::text::jsonb, 'named', new_queue := true)", "accept_many(ARRAY[$1::text], 'named')", "accept_many('[' || $1::text || ']')", "accept_many(('[' || $1::text || ']')::jsonb)",
		"lookup($1::text::jsonb ->> 'transaction_id')",
	} {
		if err := run("SELECT "+b.Schema+"."+statement, good); err != nil {
			t.Errorf("%s: %v", statement, err)
		}
	}
	if err := run("RESET ROLE"); err != nil {
		t.Error(err)
	}
}

// SQL lets the same optional texts pass as Go, and each has a column of invoices.
func TestAcceptKnowsTheDetails(t *testing.T) {
	t.Parallel()
	b := setup(t)
	names := append([]string{"credits_transaction_id"}, strings.Split(b.Text(t, "SELECT array_to_string(accept_details(), ',')"), ",")...)
	if diff := cmp.Diff(invoice.DetailNames(), names); diff != "" {
		t.Errorf("details (-in Go +in SQL):\n%s", diff)
	}
	for _, name := range invoice.DetailNames() {
		if n := b.Count(t, "SELECT count(*) FROM information_schema.columns WHERE table_schema = $1 AND table_name = 'invoices' AND column_name = $2 AND data_type = 'text' AND is_nullable = 'YES'", b.Schema, name); n != 1 {
			t.Errorf("invoices has no column %s for a text or NULL", name)
		}
	}
}
