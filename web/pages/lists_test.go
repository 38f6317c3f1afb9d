package pages_test

import (
	"encoding/csv"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"invoicer/invoice"
	"invoicer/invoice/invoicetest"
)

func (s *site) invoice(t *testing.T, transactionID string) {
	t.Helper()
	if _, err := s.generator.Generate(t.Context(), invoice.NewRequest("job of "+transactionID, 1, invoicetest.Job(transactionID))); err != nil {
		t.Fatal(err)
	}
}

func TestInvoicesAreListedAndExported(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const invoices = 55
	for i := range invoices - 1 {
		s.invoice(t, fmt.Sprint("T", i))
	}
	s.invoice(t, "=1+1")
	_, page := s.get(t, "/invoices")
	older := links(page, "Older invoices")
	if strings.Count(page, "<td><bdi>INV-") != 50 || len(older) != 1 {
		t.Fatalf("the first page:\n%s", page)
	}
	if _, page = s.get(t, older[0]); strings.Count(page, "<td><bdi>INV-") != 5 || len(links(page, "Older invoices")) != 0 {
		t.Errorf("the second page:\n%s", page)
	}
	_, file := s.get(t, "/invoices.csv")
	rows, err := csv.NewReader(strings.NewReader(file)).ReadAll()
	if err != nil || len(rows) != 1+invoices || rows[0][0] != "invoice_number" || rows[1][5] != "'=1+1" {
		t.Errorf("the CSV has %d rows, error %v, first %v", len(rows), err, rows[1])
	}
	if _, file = s.get(t, "/invoices.json?series=INV"); strings.Count(file, "\n") != invoices {
		t.Errorf("the JSON:\n%s", file)
	}
	if _, file = s.get(t, "/invoices.json?series=X"); file != "" {
		t.Errorf("the JSON of another series:\n%s", file)
	}
	for _, query := range []string{"after=x", "since=never", "series=%00", "until=%ff"} {
		if status, _ := s.get(t, "/invoices?"+query); status != http.StatusBadRequest {
			t.Errorf("%s: status %d", query, status)
		}
	}
}

// The story and the exports tell taxes apart, and have what stands between the total and what is payable.
func TestTaxesAreShown(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	j, err := invoice.Decode([]byte(`{"version":2,"transaction_id":"Q1","issued_at":"2010-12-01T08:26:00Z","currency":"CAD","prepaid":"1.00","rounding":"0.05",
"withholdings":[{"percent":"10"}],"lines":[{"quantity":1,"unit_price":"10.30","taxes":[{"code":"GST","percent":"5"},{"code":"QST","percent":"9.975","category":"S","compound":true}]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.generator.Generate(t.Context(), invoice.NewRequest("job", 1, j)); err != nil {
		t.Fatal(err)
	}
	for path, wants := range map[string][]string{
		"/search?q=Q1": {
			"<dt>Payable</dt><dd>9.92 CAD</dd>", "<dt>Withheld</dt><dd>1.03 CAD</dd>", "<dt>Prepaid</dt><dd>1.00 CAD</dd>", "<dt>Rounding</dt><dd>0.05 CAD</dd>",
			`<td><bdi>GST</bdi></td><td>–</td><td class="n">5</td><td class="n">10.30 CAD</td><td class="n">–</td><td class="n">0.52 CAD</td>`,
			`<td><bdi>QST</bdi></td><td>S</td><td class="n">9.975</td><td class="n">10.30 CAD</td><td class="n">0.52 CAD</td><td class="n">1.08 CAD</td>`,
		},
		"/invoices.csv":  {`,job,9.92,1.03,1.00,0.05,"[{""code"":""GST"",""category"":"""",""tax_percent"":""5"",""net_minor"":1030,""added_minor"":null,""tax_minor"":52},`},
		"/invoices.json": {`"payable_minor":992,"withheld_minor":103,"prepaid_minor":100,"rounding_minor":5,"taxes":[{"code":"GST","category":"","tax_percent":"5",`},
	} {
		_, page := s.get(t, path)
		for _, want := range wants {
			if !strings.Contains(page, want) {
				t.Errorf("%s lacks %s:\n%s", path, want, page)
			}
		}
	}
}

func TestProducersAndRaces(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.invoice(t, "T1")
	s.Exec(t, `INSERT INTO producer_counts (window_start, producer, worker, lane, ended, duplicates, lost_races, conflicts)
VALUES (date_bin('5 minutes', now(), '2000-01-01'), 'webhook', 'w1', 0, 100, 7, 3, 1)`)
	s.Exec(t, `INSERT INTO duplicate_attempts (job_id, transaction_id, idempotency_key, invoice_id, reason, producer, worker, before_invoice)
SELECT 'again', 'T1', 'T1', id, 'lost_race', 'webhook', 'w1', interval '20 milliseconds' FROM invoices`)
	s.Exec(t, `INSERT INTO producer_counts (window_start, producer, worker, lane, ended, duplicates)
SELECT date_bin('5 minutes', now(), '2000-01-01') - n * interval '5 minutes', 'cron', 'w1', 0, 200, CASE WHEN n < 20 THEN 8 ELSE 4 END FROM generate_series(2, 1500) AS n`)
	_, page := s.get(t, "/races")
	for _, want := range []string{
		"<bdi>webhook</bdi></td><td class=\"n\">100</td><td class=\"n\">7</td><td class=\"n\">3</td><td class=\"n\">1</td>", "learning", "<strong>drifting upwards</strong>",
		`<td class="n">3,600</td><td class="n">7`, `</td><td class="n">144</td>`, "<p>1: these jobs began", "20 ms",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	if _, page = s.get(t, "/"); !strings.Contains(page, `<a href="/races">1</a>`) {
		t.Errorf("the first page doesn't say what a plain check would have doubled:\n%s", page)
	}
	for since, want := range map[string]int{"1h": http.StatusOK, "15d": http.StatusBadRequest, "x": http.StatusBadRequest} {
		if status, _ := s.get(t, "/races?since="+url.QueryEscape(since)); status != want {
			t.Errorf("since %s: status %d, want %d", since, status, want)
		}
	}
}
