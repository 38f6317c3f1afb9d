package audit_test

import "testing"

func TestImports(t *testing.T) {
	t.Parallel()
	const add = "INSERT INTO imported_invoices (transaction_id, idempotency_key, invoice_number) VALUES "
	testPlanted(t, []planted{
		{
			name: "an invoiced transaction, key and number",
			sql:  add + "('T1', 'X1', 'X1'), ('X2', 'K1', 'X2'), ('X3', 'X3', 'INV-000003')",
			want: map[string][]string{"imports": {
				"imported_invoices: this transaction is imported, and is invoiced: id=1 transaction_id=T1 idempotency_key=X1 invoice_number=X1 invoiced_as=INV-000001 ",
				"imported_invoices: this key is imported, and is another invoice's: id=2 transaction_id=X2 idempotency_key=K1 invoice_number=X2 invoiced_as=INV-000001 ",
				"imported_invoices: this number is imported, and is another invoice's: id=3 transaction_id=X3 idempotency_key=X3 invoice_number=INV-000003 invoiced_as=INV-000003 ",
			}},
		},
		{
			name: "a transaction and a key imported twice",
			sql: "DROP INDEX imported_invoices_transaction_id_key, imported_invoices_idempotency_key_key;" + add +
				"('X1', 'X1', 'A'), ('X1', 'X2', 'B'), ('X3', 'X2', 'A')",
			want: map[string][]string{
				"imports": {
					"imported_invoices: this transaction is imported more than once: transaction_id=X1 imports=2 invoice_number=A, B",
					"imported_invoices: this key is imported more than once: idempotency_key=X2 imports=2 invoice_number=B, A",
				},
				"constraints": {
					"imported_invoices: constraint is missing: constraint=imported_invoices_idempotency_key_key ",
					"imported_invoices: constraint is missing: constraint=imported_invoices_transaction_id_key ",
				},
			},
		},
		{
			name: "a duplicate of another transaction's import, and of none",
			sql: add + "('X1', 'X1', 'A'); UPDATE duplicate_attempts SET invoice_id = NULL, imported_id = 1 WHERE job_id = 'job-6';" +
				"UPDATE duplicate_attempts SET invoice_id = NULL, imported_id = 99 WHERE job_id = 'job-7';" +
				"UPDATE invoice_jobs SET invoice_id = NULL, imported_id = 99 WHERE job_id = 'job-7'",
			want: map[string][]string{
				"duplicates": {
					"duplicate_attempts: the invoice that it names is another transaction's: id=1 job_id=job-6 transaction_id=T1 invoice_id=<nil> reason=already_invoiced invoice_number=A ",
					"duplicate_attempts: the invoice that it names is not there: id=2 job_id=job-7 transaction_id=T1 invoice_id=<nil> ",
				},
				"ledger": {"invoice_jobs: done, and its invoice is not there: job_id=job-7 transaction_id=T1 outcome=duplicate invoice_id=<nil> "},
			},
		},
		{
			name: "a job of another total than its import has",
			sql: "UPDATE invoices SET transaction_id = 'elsewhere', idempotency_key = 'elsewhere' WHERE id = 1;" +
				"INSERT INTO imported_invoices (transaction_id, idempotency_key, invoice_number, currency, total_minor) VALUES ('T1', 'K1', 'A', 'GBP', 1);" +
				"UPDATE duplicate_attempts SET invoice_id = NULL, imported_id = 1; UPDATE invoice_jobs SET invoice_id = NULL, imported_id = 1 WHERE job_id = 'job-7'",
			want: map[string][]string{
				"accepted":     {"invoice_jobs: its import has another total than was accepted: job_id=job-7 "},
				"fingerprints": {"invoices: the content is not what was invoiced: "},
			},
		},
		{
			name:    "a job that was created, with an import",
			dropped: []string{"invoice_jobs.invoice_jobs_end_check"},
			sql:     add + "('T5', 'T5', 'A'); UPDATE imported_invoices SET withdrawn_at = now(), withdrawn_by = 'me'; UPDATE invoice_jobs SET imported_id = 1 WHERE job_id = 'job-5'",
			want:    map[string][]string{"ledger": {"invoice_jobs: state and outcome contradict each other: job_id=job-5 "}},
		},
	})
}
