package postgres_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

const (
	firstID  = "0189f7a0-0000-7000-8000-000000000001"
	secondID = "0189f7a0-0000-7000-8000-000000000002"
)

// acceptMany returns the rows of a call, each as its values.
func (b *site) acceptMany(t *testing.T, call string, args ...any) ([]string, error) {
	t.Helper()
	rows, err := b.DB.QueryContext(t.Context(), "SELECT concat_ws(' ', ordinal, job_id, status, invoice_number) FROM "+call, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var one string
		if err := rows.Scan(&one); err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}

func goodOf(transactionID string) string { return strings.Replace(good, "T1", transactionID, 1) }

func TestAcceptManyInEveryForm(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Exec(t, "CREATE TABLE jobs (n int, job text)")
	for i := range 300 {
		b.Exec(t, "INSERT INTO jobs VALUES ($1, $2)", i+1, goodOf(fmt.Sprintf("T%d", i+1)))
	}
	list := "[" + b.Text(t, "SELECT string_agg(job, E',\n ' ORDER BY n) FROM jobs") + "]"
	for call, args := range map[string][]any{
		"accept_many(ARRAY(SELECT job FROM jobs ORDER BY n), 'bulk')":                                            nil,
		"accept_many(payloads := (SELECT jsonb_agg(job::jsonb ORDER BY n) FROM jobs), queue := 'bulk')":          nil,
		"accept_many('" + list + "', 'bulk')":                                                                    nil,
		"accept_many($1, $2)":                                                                                    {list, "bulk"},
		"accept_many(payloads := $1, queue := $2)":                                                               {list, "bulk"},
		"accept_many($1::text[], queue := $2, new_queue := true)":                                                {arrayOf(t, b), "bulk"},
		"accept_many($1::jsonb, $2)":                                                                             {list, "bulk"},
		"accept_many(ARRAY(SELECT job FROM jobs ORDER BY n), 'bulk', array_fill(NULL::uuid, ARRAY[300]), false)": nil,
	} {
		rows, err := b.acceptMany(t, call, args...)
		if err != nil || len(rows) != 300 {
			t.Fatalf("%.80s: %d rows, error %v", call, len(rows), err)
		}
		kept := "j.payload = jobs.job"
		if strings.Contains(call, "jsonb") {
			kept = "j.payload = jobs.job::jsonb::text"
		}
		stored := strings.Fields(b.Text(t, `SELECT string_agg(jobs.n || ',' || job_id || ',inserted', ' ' ORDER BY id) FROM invoice_jobs j
			JOIN jobs ON j.transaction_id = 'T' || n AND j.idempotency_key = 'T' || n AND j.queue = 'bulk' AND j.state = 'accepted' AND j.producer IS NULL AND `+kept))
		for i := range stored {
			stored[i] = strings.ReplaceAll(stored[i], ",", " ")
		}
		if !slices.Equal(rows, stored) {
			t.Errorf("%.80s returns\n%s\nand has stored\n%s", call, rows[:min(3, len(rows))], stored[:min(3, len(stored))])
		}
		b.Exec(t, "DELETE FROM invoice_jobs")
	}
	for _, none := range []string{"'{}'::text[]", "'[]'", "'[]'::jsonb"} {
		if rows, err := b.acceptMany(t, "accept_many("+none+", 'default')"); err != nil || len(rows) > 0 {
			t.Errorf("of %s: %v, %v", none, rows, err)
		}
	}
}

func arrayOf(t *testing.T, b *site) string {
	t.Helper()
	return b.Text(t, "SELECT array_agg(job ORDER BY n)::text FROM jobs")
}

// All or none, and one error names each bad one.
func TestAcceptManyNamesEveryBadJobInSQL(t *testing.T) {
	t.Parallel()
	b := setup(t)
	wrong := func(call string, args ...any) *pgconn.PgError {
		t.Helper()
		_, err := b.acceptMany(t, call, args...)
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || pg.Code != "22023" || strings.Contains(pg.Message+pg.Detail+pg.Where, "secret") {
			t.Fatalf("%s: %v, want it refused with 22023, and nothing quoted", call, err)
		}
		return pg
	}
	list := "[" + strings.Join([]string{
		goodOf("T1"), strings.Replace(goodOf("T2"), `"quantity":1`, `"quantity":"secret","tax_percent":101`, 1), goodOf("T3"), `"secret"`,
		strings.Replace(goodOf("T5"), `{`, `{"currency":"EUR",`, 1), // given twice
	}, ",") + "]"
	for _, call := range []string{"accept_many($1)", "accept_many(ARRAY(SELECT e::text FROM json_array_elements($1) AS e))"} {
		pg := wrong(call, list)
		if want := "invalid jobs: 3 of 5, so none is accepted: job 2: lines[0].quantity must be a decimal number such as 2.50; job 2: lines[0].tax_percent must be a percentage from 0 to 100; " +
			"job 4: payload must be a JSON object, in valid text without U+0000 and lone surrogates; job 5: currency must not be given twice"; pg.Message != want || pg.ColumnName != "lines" || pg.Hint == "" {
			t.Errorf("%s: %q, column %s, hint %q", call, pg.Message, pg.ColumnName, pg.Hint)
		}
	}
	if pg := wrong("accept_many(array_fill('{}'::text, ARRAY[500]))"); !strings.HasSuffix(pg.Message, "and 1980 more") || len(pg.Message) > 4000 {
		t.Errorf("of many: %q", pg.Message)
	}
	for call, says := range map[string]string{
		"accept_many(NULL)": "payloads must be", "accept_many(NULL::text[])": "payloads must be", "accept_many(NULL::jsonb)": "payloads must be",
		"accept_many('secret')": "payloads must be a JSON array", "accept_many('{\"secret\":1}')": "payloads must be a JSON array", "accept_many('{\"secret\":1}'::jsonb)": "payloads must be a JSON array",
		"accept_many(ARRAY[ARRAY['secret']])": "payloads must be", "accept_many('[null]')": "job 1: payload must be a JSON object", "accept_many(ARRAY[NULL::text])": "job 1: payload must be a JSON object, and is empty",
		"accept_many('[{}]', 'No Queue')": "queue must be", "accept_many('[{}]', NULL)": "queue must be",
		"accept_many('[{}]', job_ids := '{}')": "job_ids has 0 ids for 1 payloads",
	} {
		if pg := wrong(call); !strings.Contains(pg.Message, says) {
			t.Errorf("%s says %q, want %q", call, pg.Message, says)
		}
	}
	_, err := b.acceptMany(t, "accept_many($1, 'urgent')", "["+good+"]")
	refusedQueue(t, err, "urgent", "bulk, critical, default")
	if n := b.Count(t, "SELECT count(*) FROM invoice_jobs"); n > 0 {
		t.Errorf("%d jobs are accepted", n)
	}
	if _, err := b.acceptMany(t, "accept_many($1, 'nightly', new_queue := true)", "["+good+"]"); err != nil {
		t.Error(err)
	}
	if got := b.Text(t, "SELECT p.queue FROM producer_queues p JOIN invoice_jobs j USING (queue, job_id)"); got != "nightly" {
		t.Errorf("made known: %s", got)
	}
}

// The rows say what was there before.
func TestAcceptManyTellsWhatWasThere(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Exec(t, `INSERT INTO imported_invoices (transaction_id, idempotency_key, invoice_number) VALUES ('T2', 'T2', 'OLD-2')`)
	b.create(t, "made", job(t, "T1"))
	number := b.Text(t, "SELECT invoice_number FROM invoices")
	call := func(call string, args ...any) []string {
		t.Helper()
		rows, err := b.acceptMany(t, call, args...)
		if err != nil {
			t.Fatalf("%s: %v", call, err)
		}
		return rows
	}
	jobs := []string{goodOf("T1"), goodOf("T2"), goodOf("T1")}
	ids := "{" + firstID + "," + secondID + "," + firstID + "}"
	list := "[" + strings.Join(jobs, ",") + "]"
	const many = "accept_many($1, job_ids := $2)"
	for _, status := range []string{"inserted", "known"} {
		want := []string{"1 " + firstID + " " + status + " " + number, "2 " + secondID + " " + status + " OLD-2", "3 " + firstID + " known " + number}
		if got := call(many, list, ids); !slices.Equal(got, want) {
			t.Errorf("%s, want %s", got, want)
		}
	}
	b.Exec(t, "UPDATE imported_invoices SET withdrawn_at = now(), withdrawn_by = 'ada'")
	b.Exec(t, "UPDATE invoice_jobs SET state = 'failed', outcome = 'failed', reason = 'r', payload = NULL WHERE transaction_id = 'T2'")
	if got := call(many, list, ids)[1]; got != "2 "+secondID+" known" {
		t.Errorf("of a withdrawn import %q", got)
	}
	for name, jobs := range map[string][2]string{
		"the ledger's":  {goodOf("T3"), strings.Replace(goodOf("T1"), "GBP", "EUR", 1)},
		"the one above": {goodOf("T4"), goodOf("T5")},
	} {
		one, other := secondID[:len(secondID)-1]+"7", firstID
		if name == "the one above" {
			other = one
		}
		_, err := b.acceptMany(t, many, "["+jobs[0]+","+jobs[1]+"]", "{"+one+","+other+"}")
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || pg.Code != "23505" || pg.ConstraintName != "invoice_jobs_job_id_key" || pg.Message != "job 2: job_id "+other+" belongs to another job" {
			t.Errorf("an id like %s: %v", name, err)
		}
	}
	if n := b.Count(t, "SELECT count(*) FROM invoice_jobs"); n != 2 {
		t.Errorf("%d jobs", n)
	}
}
