package checker_test

import (
	"strings"
	"testing"
	"time"

	"invoicer/internal/checker"
	"invoicer/internal/rig"
)

const (
	quebec = `{"version":2,"transaction_id":"T7","issued_at":"2010-12-01T08:26:00Z","currency":"EUR","prices":"gross","prepaid":"1.00","buyer":{"name":"Zoë","email":""},
"lines":[{"quantity":1,"unit_price":"115.50","unit":"C62","name":"A","taxes":[{"code":"GST","percent":5},{"code":"QST","category":"S","percent":"10.0","compound":true}]}]}`
	quebecAgain = `{"version":2,"transaction_id":"T7","issued_at":"2010-12-01T08:26:00Z","currency":"EUR","prices":"gross","prepaid":1,"rounding":0,"buyer":{"name":"Zoë"},"expected_payable":"114.50",
"lines":[{"quantity":1,"unit_price":"115.50","unit":"C62","prices":"gross","base_quantity":1,"name":"A","taxes":[{"code":"GST","percent":"5.00"},{"code":"QST","category":"S","percent":10,"compound":true}]}]}`

	// By hand: of 115.50 with 5 %, and 10 % on that, 100.00 are net, 5.00 the one tax and 10.50 the other.
	quebecStored = `UPDATE invoice_series SET last_number = 2 WHERE series = 'INV';
INSERT INTO invoices (series, period, number, invoice_number, kind, transaction_id, idempotency_key, job_id, fingerprint, currency, subtotal_minor, tax_minor, total_minor, payable_minor, issued_at, metadata, terms, parties)
VALUES ('INV', '', 2, 'INV-000002', 'invoice', 'T7', 'T7', 'j7', 'v2:' || repeat('0', 64), 'EUR', 10000, 1550, 11550, 11450, '2010-12-01T08:26:00Z', '{}', '{"prices":"gross","prepaid":"1"}', '{"buyer":{"name":"Zoë"}}');
INSERT INTO invoice_lines (invoice_id, position, quantity, unit_price, net_minor, terms, texts)
VALUES (3, 1, 1, 115.5, 10000, '{"unit":"C62","taxes":[{"code":"GST","percent":"5"},{"code":"QST","category":"S","percent":"10","compound":true}]}', '{"name":"A"}');
INSERT INTO invoice_taxes (invoice_id, tax_percent, code, category, net_minor, added_minor, tax_minor) VALUES (3, 10, 'QST', 'S', 10000, 500, 1050), (3, 5, 'GST', '', 10000, NULL, 500);
INSERT INTO duplicate_attempts (job_id, transaction_id, idempotency_key, invoice_id, reason, worker) VALUES ('j8', 'T7', 'T7', 3, 'lost_race', 'w');
`
)

//nolint:paralleltest // as in TestCheck
func TestCheckTerms(t *testing.T) {
	t.Parallel()
	d := rig.NewDatabase(t)
	store := prepare(t, d.URL, d.Schema)
	in := append(jobs(), checker.Job{ID: "j7", Payload: []byte(quebec)}, checker.Job{ID: "j8", Payload: []byte(quebecAgain)})
	for name, test := range map[string]struct {
		plant string
		again string // in place of quebecAgain
		want  string // a piece of the violation, "" for none
	}{
		"all is well":                 {},
		"another mode of prices":      {plant: `UPDATE invoices SET terms = '{"prepaid":"1"}' WHERE id = 3`, want: `is not what its job j7 asked for: it has terms={"buyer":{"name":"Zoë"},"prepaid":"1"}`},
		"no terms":                    {plant: `UPDATE invoices SET terms = NULL WHERE id = 3`, want: `it has terms={"buyer":{"name":"Zoë"}}`},
		"another buyer":               {plant: `UPDATE invoices SET parties = '{"buyer":{"name":"Eve"}}' WHERE id = 3`, want: `it has terms={"buyer":{"name":"Eve"}`},
		"a person with the terms":     {plant: `UPDATE invoices SET terms = terms || parties, parties = NULL WHERE id = 3`, want: "it has terms=buyer beside"},
		"a default is stored":         {plant: `UPDATE invoices SET terms = terms || '{"rounding":"0"}' WHERE id = 3`, want: `"rounding":"0"}, asked for`},
		"a default of a line":         {plant: `UPDATE invoice_lines SET terms = terms || '{"base_quantity":"1"}' WHERE invoice_id = 3`, want: `lines[0].terms={"base_quantity":"1"`},
		"another unit":                {plant: `UPDATE invoice_lines SET terms = terms || '{"unit":"KGM"}' WHERE invoice_id = 3`, want: `"unit":"KGM"}, asked for`},
		"no texts of a line":          {plant: `UPDATE invoice_lines SET texts = NULL WHERE invoice_id = 3`, want: `asked for is lines[0].terms={"name":"A"`},
		"terms that nobody asked for": {plant: `UPDATE invoices SET terms = '{"due_date":"2010-12-31"}' WHERE id = 1`, want: `it has terms={"due_date":"2010-12-31"}, asked for is terms=`},
		"another payable":             {plant: `UPDATE invoices SET payable_minor = 11451 WHERE id = 3`, want: "has payable_minor=11451, asked for is payable_minor=11450"},
		"no payable":                  {plant: `UPDATE invoices SET payable_minor = NULL WHERE id = 3`, want: "has payable_minor=, asked for is payable_minor=11450"},
		"a payable that needn't be":   {plant: `UPDATE invoices SET payable_minor = total_minor WHERE id = 1`, want: "has payable_minor=357, asked for is payable_minor="},
		"another kind":                {plant: `UPDATE invoices SET terms = terms || '{"kind":"credit_note"}', kind = 'credit_note' WHERE id = 3`, want: "has kind=credit_note, asked for is kind=invoice"},
		"a tax by another name":       {plant: `UPDATE invoice_taxes SET code = 'PST' WHERE code = 'GST'`, want: "has tax at 5 PST=500 on 10000, asked for is tax at 5 GST=500 on 10000"},
		"a tax of another category":   {plant: `UPDATE invoice_taxes SET category = 'S' WHERE code = 'GST'`, want: "has tax at 5 GST S=500 on 10000"},
		"the base of a compound tax":  {plant: `UPDATE invoice_taxes SET added_minor = 501 WHERE code = 'QST'`, want: "has tax at 10 QST S=1050 on 10000 and taxes of 501"},
		"a base that needn't be":      {plant: `UPDATE invoice_taxes SET added_minor = 0 WHERE code = 'GST'`, want: "has tax at 5 GST=500 on 10000 and taxes of 0"},
		"a conflict of prices":        {again: strings.ReplaceAll(quebecAgain, `"gross"`, `"net"`), want: "wrong: job j8"},
		"a conflict of buyers":        {again: strings.Replace(quebecAgain, "Zoë", "Eve", 1), want: `wrong: job j8 is recorded as a duplicate and is a conflict: invoice INV-000002 has terms={"buyer":{"name":"Zoë"}`},
		"a conflict of units":         {again: strings.Replace(quebecAgain, "C62", "KGM", 1), want: "wrong: job j8 is recorded as a duplicate and is a conflict"},
		"another payable is expected": {again: strings.Replace(quebecAgain, "114.50", "115.50", 1), want: "wrong: job j8 is recorded as a duplicate and can be none: expected is 11550, it comes to 11450"},
		"a field of version 2 alone":  {again: strings.Replace(quebecAgain, `"version":2`, `"version":1`, 1), want: "is no field of version 1"},
		"a conflict of a new field":   {again: strings.Replace(quebecAgain, `"unit"`, `"news":"x","unit"`, 1), want: "wrong: job j8 is recorded as a duplicate and is a conflict"},
	} {
		t.Run(name, func(t *testing.T) {
			store(t, quebecStored+test.plant)
			if in[len(in)-1].Payload = []byte(quebecAgain); test.again != "" {
				in[len(in)-1].Payload = []byte(test.again)
			}
			report, err := checker.Check(t.Context(), d.URL, d.Schema, in)
			if err != nil {
				t.Fatal(err)
			}
			if told := tell(report.Violations); test.want == "" && told != "" || !strings.Contains(told, test.want) {
				t.Errorf("told:\n%s\nwant: %q", told, test.want)
			}
		})
	}
}

func TestWatchTerms(t *testing.T) {
	t.Parallel()
	d := rig.NewDatabase(t)
	prepare(t, d.URL, d.Schema)(t, quebecStored)
	w, err := checker.NewWatch(d.URL, d.Schema, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	conn := connect(t, d.URL, d.Schema)
	w.Sample(t.Context(), conn)
	for _, plant := range []string{
		`UPDATE invoices SET parties = NULL WHERE id = 3`, `UPDATE invoice_lines SET texts = NULL WHERE invoice_id = 3`, `UPDATE invoice_taxes SET code = '' WHERE invoice_id = 3`,
	} {
		before := len(w.Violations())
		if _, err := conn.Exec(t.Context(), plant); err != nil {
			t.Fatal(err)
		}
		w.Sample(t.Context(), conn)
		if len(w.Violations()) != before+1 {
			t.Errorf("%s: %s", plant, tell(w.Violations()))
		}
	}
}
