package checker_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"invoicer/internal/checker"
	"invoicer/internal/rig"
	"invoicer/internal/sandbox/sandboxtest"
)

func TestMain(m *testing.M) { sandboxtest.Main(m) }

const (
	sale = `{"transaction_id":"T1","customer_name":"Ada","issued_at":"2010-12-01T09:26:00+01:00","currency":"GBP","lines":[
{"sku":"A","quantity":3,"unit_price":"0.335","tax_percent":"20"},{"quantity":"2.50","unit_price":1,"discount_percent":"10","tax_percent":5.0}],
"metadata":{"order":"A-17"}}`
	saleAgain = `{"issued_at":"2010-12-01T08:26:00Z","transaction_id":"T1","customer_name":"Ada","currency":"GBP","lines":[
{"sku":"A","quantity":3.0,"unit_price":"0.335","tax_percent":20},{"quantity":"2.5","unit_price":1,"discount_percent":10,"tax_percent":"5"}]}`
	saleOtherwise = `{"transaction_id":"T1","customer_name":"Bert","issued_at":"2010-12-01T08:26:00Z","currency":"GBP","lines":[{"quantity":3,"unit_price":"0.335"}]}`
	credit        = `{"transaction_id":"T2","idempotency_key":"K2","issued_at":"2010-12-01T08:26:00Z","currency":"JPY","lines":[{"quantity":-1,"unit_price":"2.5"}]}`
	bad           = `{"transaction_id":"T3","issued_at":"2010-12-01T08:26:00Z","currency":"ZZZ","lines":[{"quantity":1,"unit_price":1}]}`
	lost          = `{"transaction_id":"T9","issued_at":"2010-12-01T08:26:00Z","currency":"GBP","lines":[{"quantity":1,"unit_price":1}]}`
)

// What is stored is written by hand, and so are the amounts: 3 × 0.335 is 1.01 and 20% of that 0.20; 2.5 less 10% is 2.25
// and 5% of that 0.11; −2.5 yen are −3.
const wellStored = `
INSERT INTO invoice_series (series, period, kind) VALUES ('INV', '', 'invoice'), ('INV-CN', '', 'credit_note');
UPDATE invoice_series SET last_number = 1;
INSERT INTO invoices (series, period, number, invoice_number, kind, transaction_id, idempotency_key, job_id, fingerprint, customer_name, currency, subtotal_minor, tax_minor, total_minor, issued_at, metadata) VALUES
('INV', '', 1, 'INV-000001', 'invoice', 'T1', 'T1', 'j1', 'v1:' || repeat('0', 64), 'Ada', 'GBP', 326, 31, 357, '2010-12-01T08:26:00Z', '{"order":"A-17"}'),
('INV-CN', '', 1, 'INV-CN-000001', 'credit_note', 'T2', 'K2', 'j2', 'v1:' || repeat('1', 64), NULL, 'JPY', -3, 0, -3, '2010-12-01T08:26:00Z', '{}');
INSERT INTO invoice_lines (invoice_id, position, sku, quantity, unit_price, discount_percent, tax_percent, net_minor) VALUES
(1, 1, 'A', 3, 0.335, 0, 20, 101), (1, 2, NULL, 2.5, 1, 10, 5, 225), (2, 1, NULL, -1, 2.5, 0, NULL, -3);
INSERT INTO invoice_taxes VALUES (1, 20, 101, 20), (1, 5, 225, 11);
INSERT INTO duplicate_attempts (job_id, transaction_id, idempotency_key, invoice_id, reason, worker) VALUES ('j3', 'T1', 'T1', 1, 'lost_race', 'w');
INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, payload, state, outcome, reason, invoice_id) VALUES
('j1', 'T1', 'T1', 'q', $sale$, 'done', 'created', NULL, 1),
('j3', 'T1', 'T1', 'q', $again$, 'done', 'duplicate', 'lost_race', 1),
('j4', 'T1', 'T1', 'q', $otherwise$, 'failed', 'conflict', 'other content', NULL),
('j5', 'T3', 'T3', 'q', $bad$, 'failed', 'invalid', 'currency', NULL);
`

// open takes all that refuses wrong rows out of the schema, so that they can be planted.
const open = `
ALTER TABLE invoices DISABLE TRIGGER USER; ALTER TABLE invoice_lines DISABLE TRIGGER USER; ALTER TABLE invoice_taxes DISABLE TRIGGER USER;
ALTER TABLE documents DISABLE TRIGGER USER; ALTER TABLE handovers DISABLE TRIGGER USER; ALTER TABLE handover_log DISABLE TRIGGER USER; ALTER TABLE invoice_series DISABLE TRIGGER USER; ALTER TABLE invoice_jobs DISABLE TRIGGER USER; ALTER TABLE duplicate_attempts DISABLE TRIGGER USER;
ALTER TABLE invoices DROP CONSTRAINT invoices_transaction_id_key, DROP CONSTRAINT invoices_idempotency_key_key,
  DROP CONSTRAINT invoices_series_period_number_key, DROP CONSTRAINT invoices_invoice_number_key, DROP CONSTRAINT invoices_total_check;
ALTER TABLE duplicate_attempts DROP CONSTRAINT duplicate_attempts_job_id_key;
ALTER TABLE invoice_jobs DROP CONSTRAINT invoice_jobs_job_id_key CASCADE, DROP CONSTRAINT invoice_jobs_end_check;
`

// copyInvoice makes a second invoice of the first, with columns changed.
func copyInvoice(number, transaction, key, job string) string {
	return `INSERT INTO invoices (series, period, number, invoice_number, kind, transaction_id, idempotency_key, job_id, fingerprint, customer_name, currency, subtotal_minor, tax_minor, total_minor, issued_at, metadata)
SELECT series, period, ` + number + `, 'INV-' || lpad('` + number + `', 6, '0'), kind, '` + transaction + `', '` + key + `', '` + job + `', fingerprint, customer_name, currency, subtotal_minor, tax_minor, total_minor, issued_at, metadata FROM invoices WHERE id = 1;
INSERT INTO invoice_lines SELECT 3, position, sku, description, quantity, unit_price, discount_percent, tax_percent, net_minor FROM invoice_lines WHERE invoice_id = 1;
INSERT INTO invoice_taxes SELECT 3, tax_percent, net_minor, tax_minor FROM invoice_taxes WHERE invoice_id = 1;
UPDATE invoice_series SET last_number = 2 WHERE series = 'INV';`
}

func jobs() []checker.Job {
	return []checker.Job{
		{ID: "j1", Ledger: true, Payload: []byte(sale)},
		{ID: "j2", Payload: []byte(credit)},
		{ID: "j3", Ledger: true, Payload: []byte(saleAgain)},
		{ID: "j4", Ledger: true, Payload: []byte(saleOtherwise)},
		{ID: "j5", Ledger: true, Payload: []byte(bad)},
		{ID: "j6", Ledger: true, Payload: []byte(lost), Unknown: true},
	}
}

func without(id string) func([]checker.Job) []checker.Job {
	return func(jobs []checker.Job) []checker.Job {
		var left []checker.Job
		for _, j := range jobs {
			if j.ID != id {
				left = append(left, j)
			}
		}
		return left
	}
}

func with(j checker.Job) func([]checker.Job) []checker.Job {
	return func(jobs []checker.Job) []checker.Job { return append(jobs, j) }
}

//nolint:paralleltest // the rows share one schema, as making one takes longer than all the rest
func TestCheck(t *testing.T) {
	t.Parallel()
	d := rig.NewDatabase(t)
	store := prepare(t, d.URL, d.Schema)
	for name, test := range map[string]struct {
		plant string
		jobs  func([]checker.Job) []checker.Job
		want  string // a piece of the violation, "" for none
	}{
		"all is well":                       {},
		"an unknown job did go in":          {plant: `INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, payload, state, outcome, reason) VALUES ('j6', 'T9', 'T9', 'q', '` + lost + `', 'failed', 'failed', 'x')`},
		"an unknown job went in and hangs":  {plant: `INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, payload, state) VALUES ('j6', 'T9', 'T9', 'q', '` + lost + `', 'enqueued')`, want: "lost: job j6 of transaction T9 has no end, and its row says enqueued"},
		"no row":                            {jobs: with(checker.Job{ID: "j9", Ledger: true, Payload: []byte(lost)}), want: "lost: job j9 of transaction T9 was accepted and has no row"},
		"a direct job without an end":       {jobs: with(checker.Job{ID: "j9", Payload: []byte(lost)}), want: "lost: job j9 of transaction T9 has no end"},
		"no invoice of a transaction":       {jobs: with(checker.Job{ID: "j9", Payload: []byte(lost)}), want: "lost: transaction T9 has no invoice"},
		"all jobs of a transaction failed":  {plant: `INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, payload, state, outcome, reason) VALUES ('j9', 'T9', 'T9', 'q', '` + lost + `', 'failed', 'failed', 'x')`, jobs: with(checker.Job{ID: "j9", Payload: []byte(lost)})},
		"no end":                            {plant: `UPDATE invoice_jobs SET state = 'enqueued', outcome = NULL, invoice_id = NULL WHERE job_id = 'j3'; DELETE FROM duplicate_attempts`, want: "lost: job j3 of transaction T1 has no end, and its row says enqueued"},
		"the row knows of no end":           {plant: `UPDATE invoice_jobs SET state = 'enqueued', outcome = NULL, invoice_id = NULL WHERE job_id = 'j3'`, want: "wrong: job j3: the ledger says enqueued "},
		"the end is another one":            {plant: `UPDATE invoice_jobs SET outcome = 'created' WHERE job_id = 'j3'`, want: "wrong: job j3: the ledger says done created of invoice 1, the tables say done duplicate"},
		"the row names another invoice":     {plant: `UPDATE invoice_jobs SET invoice_id = 2 WHERE job_id = 'j1'`, want: "wrong: job j1: the ledger says done created of invoice 2"},
		"the row is of another transaction": {plant: `UPDATE invoice_jobs SET transaction_id = 'T2' WHERE job_id = 'j1'`, want: `wrong: job j1: the ledger says transaction "T2"`},
		"the row has another payload":       {plant: `UPDATE invoice_jobs SET payload = '{}' WHERE job_id = 'j1'`, want: "wrong: job j1: the ledger's payload"},
		"a direct job in the ledger":        {plant: `INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, payload, state, outcome, invoice_id) VALUES ('j2', 'T2', 'K2', 'q', '` + credit + `', 'done', 'created', 2)`, want: "stranger: job j2 was enqueued directly"},
		"two ends":                          {plant: `INSERT INTO duplicate_attempts (job_id, transaction_id, idempotency_key, invoice_id, reason, worker) VALUES ('j1', 'T1', 'T1', 1, 'lost_race', 'w')`, want: "doubled: job j1 of transaction T1 has 2 ends"},
		"two rows":                          {plant: `INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, state) VALUES ('j1', 'T1', 'T1', 'q', 'accepted')`, want: "doubled: job j1 has 2 rows"},
		"two invoices of a transaction":     {plant: copyInvoice("2", "T1", "other", "j3"), want: "doubled: transaction T1 has 2 invoices"},
		"two invoices of a key":             {plant: copyInvoice("2", "T8", "T1", "j3"), want: "doubled: idempotency key T1 has 2 invoices"},
		"the invoice of another":            {plant: copyInvoice("2", "T8", "T8", "j3"), want: "wrong: job j3 of transaction T1 has the invoice of transaction T8"},
		"a number twice":                    {plant: copyInvoice("1", "T8", "T8", "j9"), want: "gap: series INV : of 2 numbers the one in place 2 is 1"},
		"a number left out":                 {plant: copyInvoice("3", "T8", "T8", "j9"), want: "gap: series INV : of 2 numbers the one in place 2 is 3"},
		"the counter is ahead":              {plant: `UPDATE invoice_series SET last_number = 2 WHERE series = 'INV'`, want: "gap: the counter of series INV  says 2, and there are 1"},
		"no counter":                        {plant: `DELETE FROM invoice_series WHERE series = 'INV'`, want: "gap: series INV  has no counter"},
		"a wrong net":                       {plant: `UPDATE invoice_lines SET net_minor = 100 WHERE net_minor = 101`, want: "wrong: invoice INV-000001 of job j1 is calculated wrongly: it has lines[0].net_minor=100, asked for is lines[0].net_minor=101"},
		"a wrong subtotal":                  {plant: `UPDATE invoices SET subtotal_minor = 325 WHERE id = 1`, want: "has subtotal_minor=325, asked for is subtotal_minor=326"},
		"a wrong tax":                       {plant: `UPDATE invoices SET tax_minor = 66 WHERE id = 1`, want: "has tax_minor=66, asked for is tax_minor=31"},
		"a wrong total":                     {plant: `UPDATE invoices SET total_minor = 392 WHERE id = 1`, want: "has total_minor=392, asked for is total_minor=357"},
		"a wrong tax of a percentage":       {plant: `UPDATE invoice_taxes SET tax_minor = 21 WHERE tax_percent = 20`, want: "has tax at 20=21 on 101, asked for is tax at 20=20 on 101"},
		"no tax":                            {plant: `DELETE FROM invoice_taxes`, want: "lacks tax at 5=11"},
		"a line too few":                    {plant: `DELETE FROM invoice_lines WHERE invoice_id = 1 AND position = 2`, want: "wrong: invoice INV-000001 is not what its job j1 asked for: it has lines=1"},
		"another description":               {plant: `UPDATE invoice_lines SET description = 'x' WHERE invoice_id = 2`, want: "wrong: invoice INV-CN-000001 is not what its job j2 asked for"},
		"another customer":                  {plant: `UPDATE invoices SET customer_name = 'Eve' WHERE id = 1`, want: "has customer_name=Eve, asked for is customer_name=Ada"},
		"another time":                      {plant: `UPDATE invoices SET issued_at = issued_at + interval '1 us' WHERE id = 1`, want: "has issued_at=2010-12-01T08:26:00.000001Z"},
		"another key":                       {plant: `UPDATE invoices SET idempotency_key = 'K3' WHERE id = 2`, want: "wrong: invoice INV-CN-000001 has the key K3, its job j2 has K2"},
		"other metadata":                    {plant: `UPDATE invoices SET metadata = '{}'`, want: "wrong: invoice INV-000001 has other metadata"},
		"another series":                    {plant: `UPDATE invoices SET series = 'INV' WHERE id = 2`, want: "has in series=INV, asked for is in series=INV-CN"},
		"printed otherwise":                 {plant: `UPDATE invoices SET invoice_number = 'INV-1' WHERE id = 1`, want: "wrong: invoice INV-1 is printed as such and is INV-000001"},
		"a conflict called a duplicate":     {plant: `UPDATE duplicate_attempts SET job_id = 'j4'; DELETE FROM invoice_jobs WHERE job_id IN ('j3', 'j4'); INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, payload, state, outcome, invoice_id) VALUES ('j4', 'T1', 'T1', 'q', '` + saleOtherwise + `', 'done', 'duplicate', 1)`, jobs: without("j3"), want: "wrong: job j4 is recorded as a duplicate and is a conflict: invoice INV-000001 has customer_name=Ada, asked for is customer_name=Bert"},
		"a duplicate called a conflict":     {plant: `DELETE FROM duplicate_attempts; UPDATE invoice_jobs SET state = 'failed', outcome = 'conflict', invoice_id = NULL WHERE job_id = 'j3'`, want: "wrong: job j3 of transaction T1 is recorded as a conflict and nothing conflicts"},
		"a duplicate of another's":          {plant: `UPDATE duplicate_attempts SET invoice_id = 2; UPDATE invoice_jobs SET invoice_id = 2 WHERE job_id = 'j3'`, want: "wrong: job j3 of transaction T1 is recorded as a duplicate for T1 of the invoice of T2"},
		"a duplicate of nothing":            {plant: `UPDATE duplicate_attempts SET invoice_id = 99; UPDATE invoice_jobs SET invoice_id = 99 WHERE job_id = 'j3'`, want: "wrong: job j3 is recorded as a duplicate of invoice 99, which isn't there"},
		"invalid, and called a conflict":    {plant: `UPDATE invoice_jobs SET outcome = 'conflict' WHERE job_id = 'j5'`, want: "wrong: job j5 is recorded as a conflict and is invalid"},
		"valid, and called invalid":         {plant: `UPDATE invoice_jobs SET outcome = 'invalid' WHERE job_id = 'j4'`, want: "wrong: job j4 of transaction T1 is recorded as invalid and is valid"},
		"invalid, and invoiced":             {plant: copyInvoice("2", "T3", "T3", "j5"), want: "wrong: job j5 has an invoice and can be none"},
		"an invoice of nobody":              {jobs: without("j2"), want: "stranger: job j2 never went in, and has 1 invoices"},
		"a duplicate of nobody":             {jobs: without("j3"), want: "stranger: job j3 never went in, and has 0 invoices, 1 duplicates and 1 rows"},
		"a failure of nobody":               {jobs: without("j4"), want: "stranger: job j4 never went in"},
		"lines of nothing":                  {plant: `INSERT INTO invoice_lines (invoice_id, position, quantity, unit_price, net_minor) VALUES (99, 1, 1, 1, 100)`, want: "stranger: 1 lines belong to invoice 99"},
	} {
		t.Run(name, func(t *testing.T) {
			store(t, test.plant)
			in := jobs()
			if test.jobs != nil {
				in = test.jobs(in)
			}
			report, err := checker.Check(t.Context(), d.URL, d.Schema, in)
			if err != nil {
				t.Fatal(err)
			}
			told := tell(report.Violations)
			if test.want == "" && told != "" || !strings.Contains(told, test.want) {
				t.Errorf("told:\n%s\nwant: %q", told, test.want)
			}
			if rule, _, found := strings.Cut(test.want, ":"); found && !strings.Contains(rule, " ") && report.Count(checker.Rule(rule)) == 0 {
				t.Errorf("none is counted as %s", rule)
			}
		})
	}
}

func tell(violations []checker.Violation) string {
	var told []string
	for _, v := range violations {
		told = append(told, v.String())
	}
	return strings.Join(told, "\n")
}

func TestListedTwice(t *testing.T) {
	t.Parallel()
	d := rig.NewDatabase(t)
	if _, err := checker.Check(t.Context(), d.URL, d.Schema, append(jobs(), jobs()...)); err == nil {
		t.Error("a list that names a job twice is taken")
	}
}

//nolint:paralleltest // as above
func TestWatch(t *testing.T) {
	t.Parallel()
	d := rig.NewDatabase(t)
	store := prepare(t, d.URL, d.Schema)
	for name, test := range map[string]struct{ plant, want string }{
		"nothing happens":    {},
		"an invoice is made": {plant: copyInvoice("2", "T8", "T8", "j9")},
		"made twice":         {plant: copyInvoice("2", "T1", "T8", "j9"), want: "doubled: at times transaction T1 had the invoices 1 and 3"},
		"a gap":              {plant: copyInvoice("3", "T8", "T8", "j9"), want: "gap: at times in series INV : of 2 numbers the one in place 2 is 3"},
		"changed":            {plant: `UPDATE invoices SET country = 'x' WHERE id = 2`, want: "changed: invoice 2 of transaction T2 was changed"},
		"a line is changed":  {plant: `UPDATE invoice_lines SET sku = 'x' WHERE invoice_id = 2`, want: "changed: invoice 2"},
		"a tax is changed":   {plant: `DELETE FROM invoice_taxes`, want: "changed: invoice 1"},
		"it disappears":      {plant: `DELETE FROM invoices WHERE id = 2`, want: "changed: invoice 2 has disappeared"},
	} {
		t.Run(name, func(t *testing.T) {
			store(t, "")
			w, err := checker.NewWatch(d.URL, d.Schema, time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			conn := connect(t, d.URL, d.Schema)
			w.Sample(t.Context(), conn)
			if _, err := conn.Exec(t.Context(), test.plant); err != nil {
				t.Fatal(err)
			}
			w.Sample(t.Context(), conn)
			if told := tell(w.Violations()); test.want == "" && told != "" || !strings.Contains(told, test.want) {
				t.Errorf("told:\n%s\nwant: %q", told, test.want)
			}
			if w.Samples() != 2 {
				t.Errorf("%d samples", w.Samples())
			}
		})
	}
}

func TestWatchEnds(t *testing.T) {
	t.Parallel()
	d := rig.NewDatabase(t)
	w, err := checker.NewWatch(d.URL, d.Schema, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		w.Run(ctx)
		close(ended)
	}()
	for w.Samples() < 3 {
		time.Sleep(time.Millisecond) // it tells in no other way
	}
	cancel()
	<-ended
	if told := tell(w.Violations()); told != "" {
		t.Error(told)
	}
}

// prepare returns what stores what is well, instead of all that was stored before, and then what isn't.
func prepare(t *testing.T, url, schema string) (store func(t *testing.T, plant string)) {
	t.Helper()
	conn := connect(t, url, schema)
	well := strings.NewReplacer("$sale$", quoted(sale), "$again$", quoted(saleAgain), "$otherwise$", quoted(saleOtherwise), "$bad$", quoted(bad)).Replace(wellStored)
	run := func(t *testing.T, statements string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), statements); err != nil {
			t.Fatalf("%v: %s", err, statements)
		}
	}
	run(t, open)
	return func(t *testing.T, plant string) {
		t.Helper()
		run(t, "TRUNCATE documents, handovers, handover_log, invoices, invoice_lines, invoice_taxes, invoice_series, duplicate_attempts, invoice_jobs, invoice_job_actions RESTART IDENTITY;"+well)
		run(t, plant)
	}
}

func quoted(s string) string { return "'" + s + "'" }

func connect(t *testing.T, url, schema string) *pgx.Conn {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	config.RuntimeParams["search_path"] = schema
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) }) // it is gone with the test
	return conn
}
