package postgres_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"invoicer/invoice"
)

// However a job is handed over, it is what the caller wrote: a text stays a text, which jsonb would change. Drivers send parameters of a
// known type or of none.
func TestAcceptInEveryNotation(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.KnowQueue(t, "q")
	const id = "0189f7a0-0000-7000-8000-000000000001"
	asJSONB := b.Text(t, "SELECT $1::text::jsonb::text", good)
	literal := "'" + good + "'"
	for statement, want := range map[string]string{ // payload, queue
		"accept(P)":                                           good + " default",
		"accept(payload := P)":                                good + " default",
		"accept(payload => P)":                                good + " default",
		"accept(P, Q)":                                        good + " q",
		"accept(P, queue := Q)":                               good + " q",
		"accept(payload := P, queue := Q)":                    good + " q",
		"accept(queue := Q, payload := P)":                    good + " q",
		"accept(P, Q, J)":                                     good + " q",
		"accept(P, Q, NULL)":                                  good + " q",
		"accept(P, Q, J::uuid)":                               good + " q",
		"accept(P, Q, job_id := J)":                           good + " q",
		"accept(P, job_id := J)":                              good + " default",
		"accept(payload := P, queue := Q, job_id := J)":       good + " q",
		"accept(payload := P, job_id := J)":                   good + " default",
		"accept(P, Q, J, true)":                               good + " q",
		"accept(P, Q, NULL, true)":                            good + " q",
		"accept(P, Q, new_queue := true)":                     good + " q",
		"accept(P, queue := Q, new_queue := true)":            good + " q",
		"accept(payload := P, queue := Q, new_queue := true)": good + " q",
		"accept(P::text)":                                     good + " default",
		"accept(P::varchar, Q::varchar)":                      good + " q",
		"accept(P::text, Q::text, new_queue := true)":         good + " q",
		"accept(P::jsonb)":                                    asJSONB + " default",
		"accept(P::jsonb, Q)":                                 asJSONB + " q",
		"accept(P::jsonb, Q, J)":                              asJSONB + " q",
		"accept(payload := P::jsonb, queue := Q)":             asJSONB + " q",
		"accept(P::jsonb, Q, J, true)":                        asJSONB + " q",
		"accept(P::jsonb, queue := Q, new_queue := true)":     asJSONB + " q",
	} {
		var jobID string
		err := b.DB.QueryRowContext(t.Context(), "SELECT "+strings.NewReplacer("P", literal, "Q", "'q'", "J", "'"+id+"'").Replace(statement)).Scan(&jobID)
		b.stored(t, statement+" of literals", jobID, err, want)

		args := []any{good}
		numbered := strings.Replace(statement, "P", "$1", 1)
		for name, value := range map[string]string{"Q": "q", "J": id} {
			if before, after, found := strings.Cut(numbered, name); found {
				args = append(args, value)
				numbered = before + []string{"", "$1", "$2", "$3"}[len(args)] + after
			}
		}
		for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol} {
			err := b.DB.QueryRowContext(t.Context(), "SELECT "+numbered, append([]any{mode}, args...)...).Scan(&jobID)
			b.stored(t, statement+" of parameters by "+mode.String(), jobID, err, want)
		}
	}
}

// stored wants the job's payload and queue, and takes it away.
func (b *site) stored(t *testing.T, how, jobID string, err error, want string) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", how, err)
		return
	}
	if got := b.Text(t, "DELETE FROM invoice_jobs WHERE job_id = $1 RETURNING payload || ' ' || queue", jobID); got != want {
		t.Errorf("%s: stored %s, want %s", how, got, want)
	}
}

// What jsonb has done to a job can't be undone, and the rest is as for a text.
func TestAcceptOfJSONB(t *testing.T) {
	t.Parallel()
	b := setup(t)
	of := func(payload string, jobID ...string) (id string, err error) {
		err = b.DB.QueryRowContext(t.Context(), "SELECT accept($1::text::jsonb, 'default', nullif($2, '')::uuid)", payload, strings.Join(jobID, "")).Scan(&id)
		return id, err
	}
	id, err := of(strings.Replace(strings.Replace(good, `"quantity":1`, `"quantity":2.500,"unit_price":7`, 1), `"transaction_id"`, `"transaction_id":"T0","transaction_id"`, 1))
	if err != nil {
		t.Fatal(err)
	}
	payload := b.Text(t, "SELECT payload FROM invoice_jobs WHERE job_id = $1 AND transaction_id = 'T1'", id)
	if job, err := invoice.Decode([]byte(payload)); err != nil || job.TransactionID != "T1" || job.Lines[0].UnitPrice != invoice.MustDecimal("2") || !strings.Contains(payload, "2.500") {
		t.Errorf("accepted as %s: %v", payload, err)
	}
	for name, bad := range map[string]string{"a field": strings.Replace(good, "GBP", "pounds", 1), "no object": "[1]", "null": "null"} {
		_, err := of(bad)
		if pg := refused(t, err, name); !strings.Contains(pg.Message, "currency must") && !strings.Contains(pg.Message, "payload must be a JSON object") {
			t.Errorf("%s: %s", name, pg.Message)
		}
	}
	_, err = b.DB.ExecContext(t.Context(), "SELECT accept(NULL::jsonb)")
	_ = refused(t, err, "NULL")
	_, err = b.DB.ExecContext(t.Context(), "SELECT accept($1::text::jsonb, 'urgent')", good)
	refusedQueue(t, err, "urgent", "bulk, critical, default")

	const own = "0189f7a0-0000-7000-8000-000000000001"
	for range 2 {
		if got, err := of(good, own); err != nil || got != own {
			t.Errorf("job %s, %v", got, err)
		}
	}
	var pg *pgconn.PgError
	if _, err := of(strings.Replace(good, "T1", "T2", 1), own); !errors.As(err, &pg) || pg.Code != "23505" {
		t.Errorf("another job under the same id: %v", err)
	}
	if n := b.Count(t, "SELECT count(*) FROM invoice_jobs"); n != 2 {
		t.Errorf("%d jobs", n)
	}
}
