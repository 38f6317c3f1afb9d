package postgres_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"
	"pgregory.net/rapid"

	"invoicer/invoice"
	"invoicer/invoice/invoicetest"
)

const good = `{"transaction_id":"T1","issued_at":"2010-12-01T08:26:00Z","currency":"GBP","lines":[{"quantity":1,"unit_price":2}]}`

// accept calls the database's function as a producer in any language would.
func (b *bench) accept(t *testing.T, payload string) (string, error) {
	t.Helper()
	return accept(b.db, payload, "default", nil)
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
		id, err := accept(b.db, payload, "bulk", nil)
		if err != nil {
			t.Fatal(err)
		}
		got := b.text(t, `SELECT concat_ws(' ', transaction_id, idempotency_key, coalesce(producer, '-'), queue, state, dispatch, attempts, payload = $2)
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

// What decodes is never refused: each of these is spelled in a way that a careless check would take for bad.
func TestAcceptTakesWhateverDecodes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	line := func(members string) string { return strings.Replace(good, `"quantity":1`, members, 1) }
	with := func(members string) string { return strings.Replace(good, `{`, `{`+members+`,`, 1) }
	at := func(time string) string { return strings.Replace(good, "2010-12-01T08:26:00Z", time, 1) }
	const oneLine = `{"quantity":1,"unit_price":2}`
	for name, payload := range map[string]string{
		"zero with a huge exponent":        line(`"quantity":0e999999999`),
		"zero with a tiny exponent":        line(`"quantity":-0E-99999`),
		"zero with an exponent past int64": line(`"quantity":0.0e99999999999999999999`),
		"more zeros than numeric holds":    line(`"quantity":1.5` + strings.Repeat("0", 20_000)),
		"a long way to one":                line(`"quantity":1` + strings.Repeat("0", 200_000) + `e-200000`),
		"the same in a string":             line(`"quantity":"1` + strings.Repeat("0", 200_000) + `e-200000"`),
		"a huge zero beside other trouble": line(`"sku":"a\\\"\u00e9","quantity":0e999999999`),
		"minus zero percent":               line(`"quantity":1,"tax_percent":-0.0,"discount_percent":"-0"`),
		"nulls":                            with(`"version":null,"idempotency_key":null,"producer":null,"series":null,"credits_transaction_id":null,"customer_id":null,"customer_name":null,"country":null,"metadata":null`),
		"nulls in a line":                  line(`"quantity":1,"sku":null,"description":null,"discount_percent":null,"tax_percent":null`),
		"empty texts":                      with(`"customer_id":"","customer_name":"","country":"","metadata":{"":""}`),
		"versions as decimals":             with(`"version":10e-1`),
		"small letters":                    at("2010-12-01t08:26:00.5z"),
		"the widest zones":                 at("2010-12-01T08:26:00.000001000000000+23:59"),
		"the widest zones, west":           at("2010-12-01T08:26:00-23:59"),
		"unknown local offset":             at("2010-12-01T08:26:00-00:00"),
		"the last day":                     at("9999-12-31T23:59:59.999999Z"),
		"astral text":                      with(`"customer_name":"😀 \ud83d\ude00 \u2028","metadata":{"😀":"\u0001"}`),
		"5,000 lines":                      strings.Replace(good, oneLine, strings.Repeat(oneLine+",", 4999)+oneLine, 1),
		"a whole MiB":                      good + strings.Repeat(" ", invoice.MaxPayload-len(good)),
		"a MiB of text":                    with(`"country":"` + strings.Repeat("é", (invoice.MaxPayload-len(good)-13)/2) + `"`),
		"longest codes":                    with(`"idempotency_key":"` + strings.Repeat("k", 255) + `","producer":"` + strings.Repeat("p", 64) + `","series":"` + strings.Repeat("S", 32) + `"`),
	} {
		if _, err := invoice.Decode([]byte(payload)); err != nil {
			t.Errorf("%s: doesn't decode: %v", name, err)
		}
		if _, err := b.accept(t, payload); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, payload := range map[string]string{
		"nothing that is known":   `{"version":2,"transaction_id":"T2"}`,
		"fields of another type":  `{"version":2,"transaction_id":"T2","lines":7,"issued_at":null,"currency":[],"metadata":"m","series":5,"credits_transaction_id":{},"country":{}}`,
		"unknown fields":          `{"version":2147483647,"transaction_id":"T2","positions":[{"a":[1,2,{"b":null}]}]}`,
		"unknown fields, twice":   `{"version":2,"transaction_id":"T2","x":1,"x":1}`,
		"numbers out of Postgres": `{"version":2,"transaction_id":"T2","x":1e999999999}`,
	} {
		if _, err := invoice.Decode([]byte(payload)); !errors.As(err, new(*invoice.VersionError)) {
			t.Errorf("%s: %v; want a newer version", name, err)
		}
		if _, err := b.accept(t, payload); err != nil {
			t.Errorf("a newer version with %s: %v", name, err)
		}
	}
}

// A property: whatever the decoder accepts, SQL accepts, and a refusal is always the same kind of error.
func TestAcceptAgreesWithTheDecoder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	decoded := 0
	rapid.Check(t, func(rt *rapid.T) {
		payload := drawPayload(rt)
		_, err := invoice.Decode([]byte(payload))
		if _, refusal := b.accept(t, payload); refusal != nil {
			var pg *pgconn.PgError
			if err == nil || !errors.As(refusal, &pg) || pg.Code != "22023" {
				rt.Fatalf("refused: %v\nthe decoder says: %v\n%s", refusal, err, payload)
			}
		}
		if err == nil {
			decoded++
		}
	})
	if decoded < 5 {
		t.Errorf("only %d good payloads were drawn", decoded)
	}
}

// drawPayload spells a job that is mostly good, in every way that JSON has.
func drawPayload(t *rapid.T) string {
	mostly := func(label, usual string, odd ...string) string {
		if rapid.IntRange(0, 39).Draw(t, label+" is odd") == 0 {
			return rapid.SampledFrom(odd).Draw(t, label)
		}
		return usual
	}
	var members []string
	add := func(name, value string) {
		members = append(members, mostly(name, strconv.Quote(name), `"x"`)+drawBlank(t)+":"+drawBlank(t)+value)
	}
	maybe := func(name string, value func() string) {
		if rapid.Bool().Draw(t, "has "+name) {
			add(name, value())
		}
	}
	text := func() string { return drawJSONText(t) }
	code := func() string {
		return mostly("code", strconv.Quote(rapid.StringMatching(`[A-Z0-9-]{1,32}`).Draw(t, "code")), `"a b"`, "null", `""`, "1", `"\u0041"`)
	}
	maybe("version", func() string { return mostly("version", "1", "null", "1.0", "2", "0", "10e-1", `"1"`) })
	add("transaction_id", code())
	for _, name := range []string{"idempotency_key", "producer", "series", "credits_transaction_id"} {
		maybe(name, code)
	}
	for _, name := range []string{"customer_id", "customer_name", "country"} {
		maybe(name, text)
	}
	add("issued_at", drawSpelledTime(t))
	add("currency", mostly("currency", `"GBP"`, `"\u0047BP"`, `"gbp"`, "null", `"XXX"`))
	var lines []string
	for range rapid.IntRange(1, 3).Draw(t, "lines") {
		line := []string{`"quantity":` + drawSpelledNumber(t, 3), `"unit_price":` + drawSpelledNumber(t, 3)}
		for _, name := range []string{"sku", "description"} {
			if rapid.Bool().Draw(t, "has "+name) {
				line = append(line, `"`+name+`":`+text())
			}
		}
		for _, name := range []string{"discount_percent", "tax_percent"} {
			if rapid.Bool().Draw(t, "has "+name) {
				line = append(line, `"`+name+`":`+mostly(name, drawSpelledNumber(t, 1), "null", "100", "-1", "1e2", "101"))
			}
		}
		lines = append(lines, "{"+strings.Join(line, ",")+"}")
	}
	add("lines", "["+strings.Join(lines, drawBlank(t)+",")+"]")
	maybe("metadata", func() string {
		return mostly("metadata", "{"+text()+":"+text()+"}", "null", "{}", "[]", `{"a":1}`, `{"a":null}`)
	})
	return drawBlank(t) + "{" + strings.Join(rapid.Permutation(members).Draw(t, "order"), ",") + "}" + drawBlank(t)
}

func drawBlank(t *rapid.T) string {
	return rapid.SampledFrom([]string{"", "", "", " ", "\n\t", "\r"}).Draw(t, "blank")
}

// drawJSONText draws any text but U+0000, and escapes some of it.
func drawJSONText(t *rapid.T) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range rapid.SliceOfN(rapid.Rune().Filter(func(r rune) bool { return r != 0 }), 0, 8).Draw(t, "text") {
		switch {
		case r == '"' || r == '\\':
			b.WriteString(`\` + string(r))
		case r < ' ' || r < 0x10000 && rapid.Bool().Draw(t, "escaped"):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// drawSpelledNumber draws a decimal with up to so many digits before the point, with zeros and an exponent that change nothing,
// or nearly nothing.
func drawSpelledNumber(t *rapid.T, digits int) string {
	number := rapid.StringMatching(fmt.Sprintf(`-?(0|[1-9][0-9]{0,%d})(\.[0-9]{1,6}0{0,40})?`, digits-1)).Draw(t, "number")
	if digits == 1 {
		number = strings.TrimPrefix(number, "-")
	}
	number += rapid.SampledFrom([]string{"", "", "", "", "e0", "E+0", "e-0", "e1", "e-1", "e-6", "E3"}).Draw(t, "exponent")
	if rapid.Bool().Draw(t, "in a string") {
		return strconv.Quote(number)
	}
	return number
}

func drawSpelledTime(t *rapid.T) string {
	at := time.Unix(rapid.Int64Range(0, 4_000_000_000).Draw(t, "time"), 0).UTC().Format("2006-01-02T15:04:05")
	fraction := rapid.StringMatching(`(\.[0-9]{1,6}0{0,6})?`).Draw(t, "fraction")
	zone := rapid.StringMatching(`Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9]`).Draw(t, "zone")
	if rapid.Bool().Draw(t, "small letters") {
		at, zone = strings.ToLower(at), strings.ToLower(zone)
	}
	return strconv.Quote(at + fraction + zone)
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
		_, err := accept(b.db, payload, queue, nil)
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
	for queue, ok := range map[string]bool{
		"default": true, "a-z_0": true, strings.Repeat("q", 255): true,
		"": false, "Default": false, "a b": false, "ä": false, "a:b": false, "{a}": false, "a\n": false, strings.Repeat("q", 256): false,
	} {
		_, err := accept(b.db, good, queue, nil)
		if ok && err != nil {
			t.Errorf("queue %q: %v", queue, err)
		} else if !ok && !strings.Contains(refused(t, err, queue).Message, "queue must be ") {
			t.Errorf("queue %q: %v", queue, err)
		}
	}
	for _, null := range []string{"payload := NULL", "payload := '{}', queue := NULL"} {
		_, err := b.db.ExecContext(t.Context(), "SELECT accept("+null+")")
		refused(t, err, null)
	}
}

func TestAcceptTwiceUnderOneID(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := "0189f7a0-0000-7000-8000-000000000001"
	for range 2 {
		if got, err := accept(b.db, good, "default", &id); err != nil || got != id {
			t.Fatalf("job %q, error %v", got, err)
		}
	}
	for name, other := range map[string]string{
		"another transaction": strings.Replace(good, "T1", "T2", 1),
		"another amount":      strings.Replace(good, `"unit_price":2`, `"unit_price":3`, 1),
	} {
		_, err := accept(b.db, other, "default", &id)
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || pg.Code != "23505" || pg.ConstraintName != "invoice_jobs_job_id_key" || !strings.Contains(pg.Message, id) {
			t.Errorf("%s under the same id: %v", name, err)
		}
	}
	if n := b.count(t, "SELECT count(*) FROM invoice_jobs WHERE payload = $1", good); n != 1 {
		t.Errorf("%d rows", n)
	}
	// Whatever has become of it, and when its payload is pruned.
	b.exec(t, "UPDATE invoice_jobs SET state = 'failed', outcome = 'failed', reason = 'r', payload = NULL")
	if _, err := accept(b.db, good, "default", &id); err != nil {
		t.Error(err)
	}
	if got := b.text(t, "SELECT state FROM invoice_jobs"); got != "failed" {
		t.Errorf("the ended job is %s", got)
	}
}

// Two transactions at once: the second one waits for the first and then sees what it has committed.
func TestAcceptTwiceAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := "0189f7a0-0000-7000-8000-000000000001"
	first, err := b.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Rollback() //nolint:errcheck // it is committed below
	if _, err := accept(first, good, "default", &id); err != nil {
		t.Fatal(err)
	}
	second := make(chan error, 1)
	go func() {
		_, err := accept(open(t, named(b.url, b.schema), b.schema), good, "default", &id)
		second <- err
	}()
	b.awaitBlocked(t)
	if err := first.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-second; err != nil {
		t.Error(err)
	}
	if n := b.count(t, "SELECT count(*) FROM invoice_jobs"); n != 1 {
		t.Errorf("%d rows", n)
	}
}

func TestAcceptGoesWithItsTransaction(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tx, err := b.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := accept(tx, good, "default", nil); err != nil {
		t.Fatal(err)
	}
	if n := b.count(t, "SELECT count(*) FROM invoice_jobs"); n != 0 {
		t.Errorf("%d jobs before the commit", n)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if n := b.count(t, "SELECT count(*) FROM invoice_jobs"); n != 0 {
		t.Errorf("%d jobs after a rollback", n)
	}
}

// A producer's role needs nothing but the function, and whatever its session has set up leads the function nowhere else.
func TestAcceptForARoleThatMayDoNothingElse(t *testing.T) {
	t.Parallel()
	b := setup(t)
	role := b.schema + "_producer"
	b.exec(t, "CREATE ROLE "+role+"; GRANT USAGE ON SCHEMA "+b.schema+" TO "+role)
	t.Cleanup(func() {
		if _, err := b.db.ExecContext(context.WithoutCancel(t.Context()), "DROP OWNED BY "+role+"; DROP ROLE "+role); err != nil {
			t.Error(err)
		}
	})
	session, err := b.db.Conn(t.Context())
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
	b.exec(t, "GRANT EXECUTE ON FUNCTION accept(text, text, uuid) TO "+role)
	for _, statement := range []string{
		"SELECT count(*) FROM invoice_jobs", "SELECT * FROM ledger_queues", "SELECT * FROM invoice_job_actions",
		"INSERT INTO invoice_jobs (job_id, queue, state, outcome, reason) VALUES ('j', 'q', 'failed', 'invalid', 'r')",
		"UPDATE invoice_jobs SET state = 'done'", "DELETE FROM invoice_jobs", "SELECT accept_problems('{}', '{}', true)",
	} {
		denied(statement, run(statement))
	}

	for _, trap := range []string{
		"CREATE TEMP TABLE invoice_jobs (job_id text, transaction_id text, idempotency_key text, producer text, queue text, payload text, state text, CONSTRAINT invoice_jobs_job_id_key UNIQUE (job_id))",
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
	if err := session.QueryRowContext(t.Context(), "SELECT "+b.schema+".accept($1)", good).Scan(&id); err != nil {
		t.Fatal(err)
	}
	if n := b.count(t, "SELECT count(*) FROM "+b.schema+".invoice_jobs WHERE job_id = $1 AND state = 'accepted'", id); n != 1 {
		t.Error("the job isn't in the ledger")
	}
	_, err = session.ExecContext(t.Context(), "SELECT "+b.schema+".accept('{}')")
	refused(t, err, "an empty job")
	if err := run("RESET ROLE"); err != nil {
		t.Error(err)
	}
}
