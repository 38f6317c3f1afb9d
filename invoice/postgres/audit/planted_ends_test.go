package audit_test

import "testing"

func TestLedger(t *testing.T) {
	t.Parallel()
	const endCheck = "invoice_jobs.invoice_jobs_end_check"
	contradiction := func(job string) map[string][]string {
		return map[string][]string{"ledger": {"invoice_jobs: state and outcome contradict each other: job_id=" + job + " "}}
	}
	testPlanted(t, []planted{
		{
			name:    "job with two rows",
			dropped: []string{"invoice_jobs.invoice_jobs_job_id_key"},
			sql: `INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, state)
SELECT job_id, transaction_id, idempotency_key, queue, state FROM invoice_jobs WHERE job_id = 'job-11'`,
			want: map[string][]string{"ledger": {"invoice_jobs: this job has more than one row: job_id=job-11 jobs=2 state=accepted, accepted"}},
		},
		{
			name:    "done without an outcome",
			dropped: []string{endCheck},
			sql:     `UPDATE invoice_jobs SET outcome = NULL WHERE job_id = 'job-5'`,
			want:    contradiction("job-5"),
		},
		{
			name:    "done with a bad outcome",
			dropped: []string{endCheck},
			sql:     `UPDATE invoice_jobs SET outcome = 'failed', reason = 'given up' WHERE job_id = 'job-5'`,
			want:    contradiction("job-5"),
		},
		{
			name:    "failed with a good outcome",
			dropped: []string{endCheck},
			sql:     `UPDATE invoice_jobs SET outcome = 'created' WHERE job_id = 'job-8'`,
			want:    contradiction("job-8"),
		},
		{
			name:    "waiting with an outcome",
			dropped: []string{endCheck},
			sql:     `UPDATE invoice_jobs SET outcome = 'failed' WHERE job_id = 'job-11'`,
			want:    contradiction("job-11"),
		},
		{
			name:    "unknown state",
			dropped: []string{"invoice_jobs.invoice_jobs_state_check"},
			sql:     `UPDATE invoice_jobs SET state = 'lost', outcome = 'failed', reason = 'given up' WHERE job_id = 'job-11'`,
			want:    contradiction("job-11"),
		},
		{
			name:    "failed without a reason",
			dropped: []string{endCheck},
			sql:     `UPDATE invoice_jobs SET reason = NULL WHERE job_id = 'job-9'; UPDATE invoice_jobs SET reason = '' WHERE job_id = 'job-10'`,
			want: map[string][]string{"ledger": {
				"invoice_jobs: a bad end without a reason: job_id=job-9 transaction_id=<nil> state=failed outcome=invalid ",
				"invoice_jobs: a bad end without a reason: job_id=job-10 transaction_id=<nil> state=dismissed outcome=invalid ",
			}},
		},
		{
			name:    "done without an invoice",
			dropped: []string{endCheck},
			sql:     `UPDATE invoice_jobs SET invoice_id = NULL WHERE job_id = 'job-5'; UPDATE invoice_jobs SET invoice_id = 99 WHERE job_id = 'job-7'`,
			want: map[string][]string{"ledger": {
				"invoice_jobs: done, and its invoice is not there: job_id=job-5 transaction_id=T5 outcome=created invoice_id=<nil> ",
				"invoice_jobs: done, and its invoice is not there: job_id=job-7 transaction_id=T1 outcome=duplicate invoice_id=99 ",
			}},
		},
		{
			name: "done with another transaction's invoice",
			sql:  `UPDATE invoice_jobs SET invoice_id = 2 WHERE job_id = 'job-5'`,
			want: map[string][]string{"ledger": {"invoice_jobs: done, and its invoice is another transaction's: job_id=job-5 transaction_id=T5 outcome=created invoice_id=2 invoice_number=INV-000002 "}},
		},
		{
			name: "created with another job's invoice",
			sql:  `UPDATE invoices SET job_id = 'job-13' WHERE id = 5`,
			want: map[string][]string{"ledger": {"invoice_jobs: created, and its invoice is another job's: job_id=job-5 transaction_id=T5 outcome=created invoice_id=5 invoice_number=INV-000004 invoice_job_id=job-13 "}},
		},
		{
			name: "duplicate without an attempt",
			sql:  `DELETE FROM duplicate_attempts WHERE job_id = 'job-7'`,
			want: map[string][]string{"ledger": {"invoice_jobs: a duplicate, and its attempt is not there: job_id=job-7 transaction_id=T1 outcome=duplicate invoice_id=1 "}},
		},
		{
			name: "duplicate whose attempt names another invoice",
			sql:  `UPDATE duplicate_attempts SET invoice_id = 2, transaction_id = 'T2' WHERE job_id = 'job-7'`,
			want: map[string][]string{"ledger": {"invoice_jobs: a duplicate, and its attempt names another invoice: job_id=job-7 transaction_id=T1 outcome=duplicate invoice_id=1 invoice_number=INV-000001 invoice_job_id=job-1 attempt_invoice_id=2"}},
		},
	})
}

func TestDuplicates(t *testing.T) {
	t.Parallel()
	testPlanted(t, []planted{
		{
			name: "another transaction's invoice",
			sql:  `UPDATE duplicate_attempts SET invoice_id = 2 WHERE job_id = 'job-6'`,
			want: map[string][]string{"duplicates": {"duplicate_attempts: the invoice that it names is another transaction's: id=1 job_id=job-6 transaction_id=T1 invoice_id=2 "}},
		},
		{
			name: "no invoice",
			sql:  `UPDATE duplicate_attempts SET invoice_id = 99 WHERE job_id = 'job-6'`,
			want: map[string][]string{"duplicates": {"duplicate_attempts: the invoice that it names is not there: id=1 job_id=job-6 transaction_id=T1 invoice_id=99 "}},
		},
		{
			name: "its own invoice",
			sql:  `UPDATE duplicate_attempts SET job_id = 'job-1' WHERE job_id = 'job-6'`,
			want: map[string][]string{
				"duplicates": {"duplicate_attempts: the invoice that it names was made by the same job: id=1 job_id=job-1 "},
				"ends":       {"invoice_jobs: this job has more than one end: job_id=job-1 ends=duplicate attempt 1, invoice INV-000001"},
			},
		},
		{
			name:    "no reason",
			dropped: []string{"duplicate_attempts.duplicate_attempts_reason_check"},
			sql:     `UPDATE duplicate_attempts SET reason = 'bored' WHERE job_id = 'job-6'`,
			want:    map[string][]string{"duplicates": {"duplicate_attempts: its reason is none: id=1 job_id=job-6 transaction_id=T1 invoice_id=1 reason=bored "}},
		},
	})
}

func TestEnds(t *testing.T) {
	t.Parallel()
	testPlanted(t, []planted{
		{
			name: "invoice and duplicate",
			sql: `INSERT INTO duplicate_attempts (job_id, transaction_id, idempotency_key, invoice_id, reason, worker)
VALUES ('job-2', 'T1', 'T1', 1, 'lost_race', 'w1')`,
			want: map[string][]string{"ends": {"invoice_jobs: this job has more than one end: job_id=job-2 ends=duplicate attempt 3, invoice INV-000002"}},
		},
		{
			name: "two invoices",
			sql:  `UPDATE invoices SET job_id = 'job-1' WHERE id = 2`,
			want: map[string][]string{"ends": {"invoice_jobs: this job has more than one end: job_id=job-1 ends=invoice INV-000001, invoice INV-000002"}},
		},
		{
			name:    "two duplicates",
			dropped: []string{"duplicate_attempts.duplicate_attempts_job_id_key"},
			sql: `INSERT INTO duplicate_attempts (job_id, transaction_id, idempotency_key, invoice_id, reason, worker)
VALUES ('job-6', 'T1', 'T1', 1, 'lost_race', 'w1')`,
			want: map[string][]string{"ends": {"invoice_jobs: this job has more than one end: job_id=job-6 ends=duplicate attempt 1, duplicate attempt 3"}},
		},
		{
			name: "invoice and failed",
			sql:  `UPDATE invoice_jobs SET job_id = 'job-3' WHERE job_id = 'job-9'`,
			want: map[string][]string{"ends": {"invoice_jobs: this job has more than one end: job_id=job-3 ends=failed: invalid, invoice INV-000003"}},
		},
		{
			name: "duplicate and dismissed",
			sql:  `UPDATE invoice_jobs SET job_id = 'job-6' WHERE job_id = 'job-10'`,
			want: map[string][]string{"ends": {"invoice_jobs: this job has more than one end: job_id=job-6 ends=dismissed: invalid, duplicate attempt 1"}},
		},
		{
			name: "ended and waiting",
			sql:  `UPDATE invoice_jobs SET job_id = 'job-3' WHERE job_id = 'job-11'; UPDATE invoice_jobs SET job_id = 'job-6' WHERE job_id = 'job-12'`,
			want: map[string][]string{"ends": {
				"invoice_jobs: this job has ended, and is still waiting: job_id=job-3 ends=accepted, invoice INV-000003",
				"invoice_jobs: this job has ended, and is still waiting: job_id=job-6 ends=duplicate attempt 1, enqueued",
			}},
		},
	})
}
