package audit_test

import "testing"

// An invoice that is right in itself, and isn't what was accepted.
func TestAccepted(t *testing.T) {
	t.Parallel()
	other := func(problem, job string) map[string][]string {
		return map[string][]string{"accepted": {"invoice_jobs: " + problem + ": job_id=" + job + " "}}
	}
	testPlanted(t, []planted{
		{
			name: "made of another payload",
			sql:  `UPDATE invoice_jobs SET payload = replace(payload, '"unit_price":5', '"unit_price":"0.55"') WHERE job_id = 'job-5'`,
			want: other("its invoice has other content than was accepted", "job-5"),
		},
		{
			name: "a duplicate of other content",
			sql:  `UPDATE invoice_jobs SET payload = replace(payload, '2.55', '2.56') WHERE job_id = 'job-7'`,
			want: other("its invoice has other content than was accepted", "job-7"),
		},
		{
			name: "made of no invoice",
			sql:  `UPDATE invoice_jobs SET payload = '{}' WHERE job_id = 'job-5'`,
			want: other("it was accepted with a payload that can't be an invoice, and is done", "job-5"),
		},
		{
			name: "another key",
			sql:  `UPDATE invoices SET idempotency_key = 'K5' WHERE id = 5`,
			want: other("its invoice has another idempotency key than was accepted", "job-5"),
		},
		{
			name: "other metadata",
			sql:  `UPDATE invoices SET metadata = '{"order":"A-19"}' WHERE id = 5`,
			want: other("its invoice has other metadata than was accepted", "job-5"),
		},
		{
			name: "no metadata any more",
			sql:  `UPDATE invoices SET metadata = '{}' WHERE id = 5`,
			want: other("its invoice has other metadata than was accepted", "job-5"),
		},
	})
}

// What the ledger hasn't accepted, or doesn't keep any more, is compared with nothing.
func TestNotAccepted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, "UPDATE invoice_jobs SET payload = '{}', dispatch = 0 WHERE job_id = 'job-5'; UPDATE invoice_jobs SET payload = NULL WHERE job_id = 'job-7'")
	if report := b.audit(t); !report.OK() {
		t.Errorf("broken: %v", broken(report))
	}
}
