package main

import (
	"fmt"
	"strings"
	"testing"

	"invoicer/internal/sandbox/sandboxtest"
)

// A caseSite is where the reported cases are made again: one installation, with a worker, and a series for each case.
type caseSite struct{ *site }

// newCaseSite opens an issuer for each case that changes settings.
func newCaseSite(t *testing.T) caseSite {
	t.Helper()
	s := newSite(t, sandboxtest.Redis(t))
	s.OpenIssuers(t, "C13", "C20")
	s.must(t, "settings", "set", "ignore", "issued_at", "--issuer", "C13")
	s.must(t, "settings", "set", "zero", "refuse", "--issuer", "C20")
	s.start(t, "worker")
	return caseSite{s}
}

// caseJob has the given members beside those that every job has.
func caseJob(id, issuedAt, currency, members string) string {
	return fmt.Sprintf(`{"transaction_id":%q,"issued_at":%q,"currency":%q,%s}`, id, issuedAt, currency, members)
}

func caseLines(lines ...string) string { return `"lines":[` + strings.Join(lines, ",") + `]` }

func caseLine(quantity, price, members string) string {
	return fmt.Sprintf(`{"quantity":%q,"unit_price":%q%s}`, quantity, price, members)
}

// ends accepts jobs and returns what each comes to, in their order: its outcome, and then its document with the tax rows, or the reason.
func (s caseSite) ends(t *testing.T, jobs ...string) []string {
	t.Helper()
	ids := make([]string, len(jobs))
	for i, job := range jobs {
		ids[i] = s.Text(t, "SELECT accept($1::text, queue := $2)::text", job, s.queue)
	}
	ends := make([]string, len(ids))
	for i, id := range ids {
		s.awaitCount(t, 1, "SELECT count(*) FROM invoice_jobs WHERE job_id = $1 AND outcome IS NOT NULL", id)
		ends[i] = s.Text(t, `SELECT outcome || ': ' || coalesce((
    SELECT format('%s %s %s, %s + %s = %s', invoice_number, kind, currency, subtotal_minor, tax_minor, total_minor)
        || coalesce(', payable ' || payable_minor, '')
        || coalesce((SELECT string_agg(format(' | %s of %s: %s', concat_ws(' ', nullif(code, ''), nullif(category, ''), trim_scale(tax_percent)),
            concat_ws(' + ', net_minor, t.added_minor), t.tax_minor), '' ORDER BY tax_percent, code, category) FROM invoice_taxes t WHERE invoice_id = i.id), '')
    FROM invoices i WHERE i.id = j.invoice_id), reason) FROM invoice_jobs j WHERE job_id = $1`, id)
	}
	return ends
}

// want compares the ends of jobs. Of a reason, a part is enough.
func (s caseSite) want(t *testing.T, jobs, want []string) {
	t.Helper()
	got := s.ends(t, jobs...)
	for i := range want {
		outcome, reason, _ := strings.Cut(want[i], ": ")
		if told := strings.HasPrefix(got[i], outcome+": ") && strings.Contains(got[i], reason); got[i] != want[i] && (outcome == "created" || !told) {
			t.Errorf("%.120s:\n got %s\nwant %s", jobs[i], got[i], want[i])
		}
	}
}

// refused has the door refuse a job, by a reason of which a part is enough.
func (s caseSite) refused(t *testing.T, job, want string) {
	t.Helper()
	if _, err := s.DB.ExecContext(t.Context(), "SELECT accept($1::text, queue := $2)", job, s.queue); err == nil || !strings.Contains(err.Error(), "invalid job: "+want) {
		t.Errorf("%.120s: %v, want it refused: %s", job, err, want)
	}
}

// What people reported about other systems: each case as its shop would have it, by a worker on real servers, with the right amounts,
// numbers and outcomes. A subtest has the case's number and title.
func TestReportedCases(t *testing.T) {
	t.Parallel()
	s := newCaseSite(t)
	t.Run("cases", func(t *testing.T) { // returns when all have ended
		for _, c := range []struct {
			title string
			run   func(*testing.T, caseSite)
		}{
			{"01 prices with tax", casePricesWithTax},
			{"03 first number", caseFirstNumber},
			{"04 fiscal year", caseFiscalYear},
			{"06 two taxes", caseTwoTaxes},
			{"07 too much credited", caseTooMuchCredited},
			{"09 negative invoice", caseNegativeInvoice},
			{"10 the year's change", caseYearsChange},
			{"11 order of dates", caseOrderOfDates},
			{"13 webhooks with their own time", caseWebhooks},
			{"14 two shops, one order number", caseTwoShops},
			{"15 discount as an amount", caseDiscountAsAmount},
			{"17 as shops write it", caseAsShopsWriteIt},
			{"18 files", caseFiles},
			{"20 zero first", caseZeroFirst},
			{"21 withheld and rounded", caseWithheldAndRounded},
			{"23 old currencies", caseOldCurrencies},
			{"25 storno and anew", caseStornoAndAnew},
			{"26 it can", caseItCan},
			{"27 years by zone", caseYearsByZone},
			{"28 many lines", caseManyLines},
		} {
			t.Run(c.title, func(t *testing.T) {
				t.Parallel()
				c.run(t, s)
			})
		}
	})
	s.must(t, "audit")
}

func casePricesWithTax(t *testing.T, s caseSite) {
	job := func(id, members string, lines ...string) string {
		return caseJob(id, "2018-06-07T10:00:00Z", "EUR", `"series":"C01",`+members+caseLines(lines...))
	}
	at := `,"tax_percent":21`
	freight := caseLine("1", "4.96", at+`,"prices":"net"`)
	s.want(t, []string{
		job("wc-20440", `"version":2,"prices":"gross","expected_total":"100.00",`, caseLine("1", "45", at), caseLine("1", "49", at), freight),
	}, []string{"created: C01-000001 invoice EUR, 8265 + 1735 = 10000 | 21 of 8265: 1735"})
	nets := []string{caseLine("1", "37.190083", at), caseLine("1", "40.495868", at), caseLine("1", "4.96", at)}
	s.want(t, []string{
		job("wc-20440-nets", "", nets...),
	}, []string{"created: C01-000002 invoice EUR, 8265 + 1736 = 10001 | 21 of 8265: 1736"})
	s.want(t, []string{
		job("wc-20440-checked", `"version":2,"expected_total":"100.00",`, nets...),
	}, []string{"invalid: expected_total is 100.00, but the total comes to 100.01, a difference of 0.01"})
	// Amounts that no net reaches.
	for i, gross := range []string{"0.13", "0.14", "0.15", "0.16", "0.17", "0.43", "1.06"} {
		end := s.ends(t, job(fmt.Sprint("gross-", i), `"version":2,"prices":"gross","expected_total":"`+gross+`",`, caseLine("1", gross, `,"tax_percent":19`)))
		if !strings.HasPrefix(end[0], "created: ") {
			t.Errorf("%s at 19 %%: %s", gross, end[0])
		}
	}
}

func caseFirstNumber(t *testing.T, s caseSite) {
	s.must(t, "series", "open", "LSSSI", "--first", "15422", "--format", "{series}-{number}", "--date", "issued_at")
	for _, statement := range []string{
		"INSERT INTO invoice_series (series, period, kind, last_number) VALUES ('C03', '', 'invoice', 15421)",
		"WITH made AS (INSERT INTO invoice_series (series, period, kind, last_number) VALUES ('C03', '', 'invoice', 0)) SELECT 1",
		"UPDATE invoice_series SET last_number = 15421 WHERE series = 'C03'",
	} {
		_, err := s.DB.ExecContext(t.Context(), statement)
		if refused := err != nil; refused == strings.HasPrefix(statement, "WITH") {
			t.Errorf("%s: %v", statement, err)
		}
	}
	members := caseLines(caseLine("1", "10", ""))
	s.want(t, []string{
		caseJob("o-15422", "2025-03-15T10:00:00Z", "GBP", `"series":"LSSSI",`+members),
	}, []string{"created: LSSSI-15422 invoice GBP, 1000 + 0 = 1000"})
	s.want(t, []string{
		caseJob("o-1", "2025-03-15T10:00:00Z", "GBP", `"series":"C03",`+members),
	}, []string{"created: C03-000001 invoice GBP, 1000 + 0 = 1000"})
}

func caseFiscalYear(t *testing.T, s caseSite) {
	s.must(t, "series", "open", "C04Y", "--period", "year", "--first-month", "4", "--timezone", "Asia/Kolkata", "--format", "{series}/{period}/{number:04}", "--date", "issued_at")
	s.must(t, "series", "open", "C04M", "--period", "month", "--timezone", "Asia/Kolkata", "--format", "{series}/{period}/{number:04}", "--date", "issued_at")
	for _, tt := range []struct{ at, year, month string }{
		{"2017-03-31T23:59:00+05:30", "2016-17/0001", "2017-03/0001"},
		{"2017-04-01T00:01:00+05:30", "2017-18/0001", "2017-04/0001"},
		{"2017-12-31T23:00:00+05:30", "2017-18/0002", "2017-12/0001"},
		{"2018-01-01T01:00:00+05:30", "2017-18/0003", "2018-01/0001"},
	} {
		job := func(series string) string {
			return caseJob(series+tt.at, tt.at, "INR", `"series":"`+series+`",`+caseLines(caseLine("1", "100", "")))
		}
		s.want(t, []string{job("C04Y"), job("C04M")}, []string{
			"created: C04Y/" + tt.year + " invoice INR, 10000 + 0 = 10000", "created: C04M/" + tt.month + " invoice INR, 10000 + 0 = 10000",
		})
	}
}

func caseTwoTaxes(t *testing.T, s caseSite) {
	job := func(id, currency, price, taxes string) string {
		return caseJob(id, "2025-12-31T10:00:00Z", currency, `"version":2,"series":"C06",`+caseLines(caseLine("1", price, `,"taxes":[`+taxes+`]`)))
	}
	s.want(t, []string{
		job("qc", "CAD", "10.30", `{"code":"GST","percent":"5"},{"code":"QST","percent":"9.975"}`),
	}, []string{"created: C06-000001 invoice CAD, 1030 + 155 = 1185 | GST 5 of 1030: 52 | QST 9.975 of 1030: 103"})
	s.want(t, []string{
		job("compound", "EUR", "100", `{"percent":"19"},{"code":"LEVY","percent":"1","compound":true}`),
	}, []string{"created: C06-000002 invoice EUR, 10000 + 2019 = 12019 | LEVY 1 of 10000 + 1900: 119 | 19 of 10000: 1900"})
	// Whoever reads the record can tell the taxes apart.
	for command, want := range map[string]string{
		"status qc":                          "GST   -         5            10.30  0.52",
		"status compound":                    "LEVY  -         1            100.00 + 19.00  1.19",
		"status qc --json":                   `"tax_percent": "9.975"`,
		"list invoices --series C06 --json":  `"code": "QST"`,
		"list invoices --series C06 -o csv":  `{""code"":""QST"",""category"":"""",""tax_percent"":""9.975"",""net_minor"":1030,""added_minor"":null,""tax_minor"":103}`,
		"list invoices --series C06 -o wide": "C06-000002",
	} {
		if got := s.must(t, strings.Fields(command)...); !strings.Contains(got, want) {
			t.Errorf("%s: it lacks %q:\n%s", command, want, got)
		}
	}
}

func caseTooMuchCredited(t *testing.T, s caseSite) {
	job := func(id, credits, at, currency, price, rate string) string {
		return caseJob(id, at, currency, `"series":"C07","credits_transaction_id":`+credits+`,`+caseLines(caseLine("1", price, `,"tax_percent":`+rate)))
	}
	s.want(t, []string{
		job("ord-1", "null", "2019-10-31T10:00:00Z", "EUR", "100", "20"),
	}, []string{"created: C07-000001 invoice EUR, 10000 + 2000 = 12000 | 20 of 10000: 2000"})
	s.want(t, []string{
		job("ref-1", `"ord-1"`, "2019-11-01T10:00:00Z", "EUR", "-99", "20"),
	}, []string{"created: C07-CN-000001 credit_note EUR, -9900 + -1980 = -11880 | 20 of -9900: -1980"})
	s.want(t, []string{
		job("ref-2", `"ord-1"`, "2019-11-01T10:05:00Z", "EUR", "-100", "20"),
		job("ref-usd", `"ord-1"`, "2019-11-02T10:00:00Z", "USD", "-5", "20"),
		job("ref-self", `"ref-self"`, "2019-11-02T10:00:00Z", "EUR", "-5", "20"),
		job("ref-early", `"ord-1"`, "2001-01-01T10:00:00Z", "EUR", "-5", "7"),
		job("ref-old-system", `"OLD-2018-0077"`, "2019-11-02T10:00:00Z", "EUR", "-5", "20"),
	}, []string{
		"invalid: credits C07-000001 by more than is left of it: 1.20 EUR of 120.00, and this comes to -120.00",
		"invalid: names C07-000001, which is in EUR, and this is in USD",
		"invalid: names a document that credits this one",
		"invalid: names C07-000001, which is of 2019-10-31T10:00:00Z: issued_at must not be before that",
		"created: C07-CN-000002 credit_note EUR, -500 + -100 = -600 | 20 of -500: -100",
	})
	if status := s.must(t, "status", "ord-1"); !strings.Contains(status, "left of it: 1.20 EUR") || !strings.Contains(status, "C07-CN-000001") {
		t.Errorf("status says\n%s", status)
	}
}

func caseNegativeInvoice(t *testing.T, s caseSite) {
	job := func(id, members, sold, back string) string {
		at := `,"tax_percent":19`
		return caseJob(id, "2026-02-20T10:00:00Z", "EUR", `"version":2,"series":"C09",`+members+
			caseLines(caseLine(sold, "1", at), caseLine(sold, "0.50", at), caseLine(back, "0.50", at)))
	}
	s.want(t, []string{
		job("sale-1", `"kind":"invoice",`, "1", "-4"),
	}, []string{"created: C09-000001 invoice EUR, -50 + -10 = -60 | 19 of -50: -10"})
	s.want(t, []string{
		job("sale-1-storno", `"kind":"credit_note","credits_transaction_id":"sale-1",`, "-1", "4"),
	}, []string{"created: C09-CN-000001 credit_note EUR, 50 + 10 = 60 | 19 of 50: 10"})
}

// The years of the product's own series would print the numbers of a series that a shop named after its year.
func caseYearsChange(t *testing.T, _ caseSite) {
	s := caseSite{newSite(t, sandboxtest.Redis(t))} // whose configuration changes
	s.start(t, "worker")
	line := caseLines(caseLine("1", "10", ""))
	s.want(t, []string{
		caseJob("a1", "2025-11-01T10:00:00Z", "EUR", `"series":"INV-2025",`+line),
	}, []string{"created: INV-2025-000001 invoice EUR, 1000 + 0 = 1000"})
	const yearly = "{series}-{period}-{number:06}"
	changed := s.with("INVOICER_NUMBERING_PERIOD=year", "INVOICER_NUMBERING_FORMAT="+yearly)
	if code, _, stderr := changed.run(t, "", "worker"); code != exitUsage || !strings.Contains(stderr, "series INV-2025 is numbered by {series}-{number:06}") {
		t.Errorf("a worker with other numbering: exit code %d, %s", code, stderr)
	}
	code, _, stderr := s.run(t, "", "series", "open", "INV", "--period", "year", "--format", yearly)
	if code != exitFailed || !strings.Contains(stderr, "could print INV-2025-999999, which series INV-2025 could print too") {
		t.Errorf("its own series by years: exit code %d, %s", code, stderr)
	}
}

func caseDiscountAsAmount(t *testing.T, s caseSite) {
	job := func(id, currency, quantity, price, members string) string {
		return caseJob(id, "2026-09-02T10:00:00Z", currency, `"version":2,"series":"C15",`+caseLines(caseLine(quantity, price, members)))
	}
	for i, tt := range []struct{ job, want string }{
		{job("bc-10952", "EUR", "2", "72786.00", `,"discount_percent":"5.846845"`), "EUR, 13706063 + 0 = 13706063"},
		{job("bc-10952-asked", "EUR", "2", "72786.00", `,"discount_amount":"8511.37"`), "EUR, 13706063 + 0 = 13706063"},
		{job("oca-3115", "EUR", "1", "84000", `,"discount_amount":"70000","tax_percent":19`), "EUR, 1400000 + 266000 = 1666000 | 19 of 1400000: 266000"},
		{job("oca-3115-in-pesos", "COP", "1", "84000000", `,"discount_amount":"70000000","tax_percent":19`), "COP, 1400000000 + 266000000 = 1666000000 | 19 of 1400000000: 266000000"},
	} {
		s.want(t, []string{tt.job}, []string{fmt.Sprintf("created: C15-%06d invoice %s", i+1, tt.want)})
	}
}

func caseWithheldAndRounded(t *testing.T, s caseSite) {
	job := func(id, at, currency, members, price, rate string) string {
		return caseJob(id, at, currency, `"version":2,"series":"C21",`+members+caseLines(caseLine("1", price, `,"tax_percent":`+rate)))
	}
	s.want(t, []string{
		job("ninja-3213", "2020-01-15T10:00:00Z", "EUR", `"withholdings":[{"code":"IRPF","percent":19}],"expected_payable":"141.53",`, "138.75", "21"),
	}, []string{"created: C21-000001 invoice EUR, 13875 + 2914 = 16789, payable 14153 | 21 of 13875: 2914"})
	s.want(t, []string{
		job("ninja-1396", "2017-03-22T10:00:00Z", "SEK", `"rounding":"0.25",`, "841.40", "25"),
	}, []string{"created: C21-000002 invoice SEK, 84140 + 21035 = 105175, payable 105200 | 25 of 84140: 21035"})
}

func caseOldCurrencies(t *testing.T, s caseSite) {
	var jobs, want []string
	for _, code := range strings.Fields("HRK BGN ANG ZWL SLL CUC MRO STD VEF BYR LTL LVL EEK ZMK") {
		minor := 150
		if code == "BYR" { // it had no decimals
			minor = 2
		}
		series := "C23-" + code
		jobs = append(jobs, caseJob("cur-"+code, "2014-06-01T10:00:00Z", code, `"series":"`+series+`",`+caseLines(caseLine("1", "1.50", ""))))
		want = append(want, fmt.Sprintf("created: %s-000001 invoice %s, %d + 0 = %d", series, code, minor, minor))
	}
	s.want(t, jobs, want)
	// A sale of 2024 in guilders is refunded after their end.
	s.want(t, []string{
		caseJob("cur-ANG-refund", "2026-01-01T10:00:00Z", "ANG", `"series":"C23-ANG","credits_transaction_id":"cur-ANG",`+caseLines(caseLine("-1", "1.50", ""))),
	}, []string{"created: C23-ANG-CN-000001 credit_note ANG, -150 + 0 = -150"})
}

func caseItCan(t *testing.T, s caseSite) {
	job := func(id, currency string, lines ...string) string {
		return caseJob(id, "2021-06-02T10:00:00Z", currency, `"series":"C26",`+caseLines(lines...))
	}
	at := func(rate string) string { return `,"tax_percent":"` + rate + `"` }
	for i, tt := range []struct{ job, want string }{
		{job("ninja-3195", "USD", caseLine("2.25", "64.22", `,"discount_percent":100`)), "USD, 0 + 0 = 0"},
		{job("odoo-36675", "EUR", caseLine("1", "55.55", at("23")), caseLine("1", "11.11", at("23"))), "EUR, 6666 + 1533 = 8199 | 23 of 6666: 1533"},
		{job("recurly-js-993", "USD", caseLine("1", "34.90", `,"discount_percent":15`)), "USD, 2967 + 0 = 2967"},
		{job("quickbooks-ruby-547", "CAD", caseLine("1", "4495.16", at("9.975"))), "CAD, 449516 + 44839 = 494355 | 9.975 of 449516: 44839"},
		{job("ecommerce-integrations-12", "EUR", caseLine("1", "32.10", at("7")), caseLine("1", "4.99", at("7"))), "EUR, 3709 + 260 = 3969 | 7 of 3709: 260"},
		{job("ecommerce-integrations-154", "USD", caseLine("1", "100", at("10")), caseLine("1", "-20", at("10"))), "USD, 8000 + 800 = 8800 | 10 of 8000: 800"},
	} {
		s.want(t, []string{tt.job}, []string{fmt.Sprintf("created: C26-%06d invoice %s", i+1, tt.want)})
	}
}
