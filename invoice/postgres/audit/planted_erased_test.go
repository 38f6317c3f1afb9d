package audit_test

import (
	"strings"
	"testing"
)

// erased is [setup], with the personal data of all invoices gone.
func erased(t *testing.T) *bundle {
	t.Helper()
	b := setup(t)
	b.erase(t)
	return b
}

func (b *bundle) erase(t *testing.T) {
	t.Helper()
	b.exec(t, `SELECT erase_invoices(begin_erasure('age', NULL, 'infinity', 'retention', 'ada'), NULL, NULL, 'infinity', 0, 1000)`)
}

// What is left of erased invoices is proved as before, by their links and by seals of before.
func TestErasedInvoicesAreProved(t *testing.T) {
	t.Parallel()
	for name, unlinked := range map[string]string{"with links": "false", "without": "true"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			dir := t.TempDir()
			b.unlink(t, unlinked)
			b.mustSeal(t, dir)
			b.erase(t)
			report := b.sealed(t, dir)
			if found := broken(report); !report.OK() || report.Erased != 5 {
				t.Fatalf("%d erased, broken: %v", report.Erased, found)
			}
			b.mustSeal(t, dir) // nothing is new
			b.unguarded(t, "UPDATE invoice_lines SET quantity = quantity + 1 WHERE invoice_id = 1 AND position = 1")
			found := broken(b.audit(t))
			if len(found["chain"]) == 0 && unlinked == "false" || len(found["lines"]) == 0 {
				t.Errorf("a changed quantity of an erased invoice: %v", found)
			}
		})
	}
}

func TestErased(t *testing.T) {
	t.Parallel()
	left := func(id string) map[string][]string {
		return map[string][]string{"erased": {"invoices: it was erased, and has personal data, its salt or a fingerprint: id=" + id + " "}}
	}
	const by = "invoices: it was erased, and nothing says by whom: id=1 "
	cases := []planted{
		{name: "by nobody", sql: "UPDATE invoices SET erasure_id = 99 WHERE id = 1", want: map[string][]string{"erased": {by}}},
		{name: "a job's payload", sql: "UPDATE invoice_jobs SET payload = '{}' WHERE job_id = 'job-8'", want: map[string][]string{
			"erased": {"invoice_jobs: its transaction was erased, and its payload is kept: job_id=job-8 "},
		}},
	}
	for _, column := range []string{"customer_id = 'x'", "customer_name = 'x'", "country = 'x'", "metadata = '{\"a\": \"b\"}'", "content_hash = 7", "salt = '\\x00112233445566778899aabbccddeeff'"} {
		cases = append(cases, planted{name: strings.Fields(column)[0], sql: "UPDATE invoices SET " + column + " WHERE id = 1", want: left("1")})
	}
	for _, column := range []string{"sku = 'x'", "description = 'x'", `texts = '{"name": "x"}'`} {
		cases = append(cases, planted{name: strings.Fields(column)[0], sql: "UPDATE invoice_lines SET " + column + " WHERE invoice_id = 1 AND position = 1", want: left("1")})
	}
	testPlantedIn(t, erased, cases)
}
