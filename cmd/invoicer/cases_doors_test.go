package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A series can ask for dates that rise with its numbers, whatever order the jobs come in; and a file can ask for its own order.
func caseOrderOfDates(t *testing.T, s caseSite) {
	const jobs = 40
	s.must(t, "series", "open", "C11", "--date", "issue")
	var file strings.Builder
	var all []string
	for i := range jobs {
		at := fmt.Sprintf("2026-03-%02dT%02d:00:00Z", 1+i/8, i%8*3)
		line := caseLines(caseLine("1", "10", ""))
		all = append(all, caseJob(fmt.Sprint("dates-", i), at, "EUR", `"series":"C11",`+line))
		file.WriteString(caseJob(fmt.Sprint("in-order-", i), at, "EUR", `"series":"C11-FILE",`+line) + "\n")
	}
	s.ends(t, all...)
	inversions := func(date, series string) int {
		return s.Count(t, "SELECT count(*) FROM (SELECT "+date+" AS date, lag("+date+") OVER (ORDER BY number) AS before FROM invoices WHERE series = $1) x WHERE date < before", series)
	}
	if n := inversions("document_date", "C11"); n != 0 {
		t.Errorf("%d documents are dated before the one before", n)
	}
	if code, _, stderr := s.run(t, file.String(), "enqueue", "-", "--durable", "--in-order", "--queue", s.queue); code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	if n := inversions("issued_at", "C11-FILE"); n != 0 {
		t.Errorf("%d documents of a file in order are dated before the one before", n)
	}
	for _, series := range []string{"C11", "C11-FILE"} {
		if n := s.Count(t, "SELECT count(*) FROM invoices WHERE series = $1", series); n != jobs {
			t.Errorf("%s: %d invoices, want %d", series, n, jobs)
		}
	}
}

// Each delivery of a webhook has its own time: a conflict that says so and can be dismissed with its like, or by setting a duplicate.
func caseWebhooks(t *testing.T, s caseSite) {
	const orders, deliveries = 20, 3
	job := func(delivery, order int, members string) string {
		return caseJob(fmt.Sprint("wh-", order), fmt.Sprintf("2026-09-02T08:%02d:00Z", delivery+order), "EUR",
			fmt.Sprintf(`"idempotency_key":"evt-%d","producer":"c13","series":"C13",`, order)+members+caseLines(caseLine("1", "10", "")))
	}
	outcomes := func(members string) map[string]int {
		seen := map[string]int{}
		for delivery := range deliveries {
			var jobs []string
			for order := range orders {
				jobs = append(jobs, job(delivery, order, members))
			}
			for _, end := range s.ends(t, jobs...) {
				outcome, reason, _ := strings.Cut(end, ": ")
				seen[outcome]++
				if outcome == "conflict" && !strings.Contains(reason, "the producer probably sends the time of asking") {
					t.Errorf("a conflict because of %s", reason)
				}
			}
		}
		return seen
	}
	if got := outcomes(""); got["created"] != orders || got["conflict"] != (deliveries-1)*orders {
		t.Errorf("by default: %v", got)
	}
	if got := outcomes(`"issuer":"C13",`); got["created"] != orders || got["duplicate"] != (deliveries-1)*orders {
		t.Errorf("with the setting: %v", got)
	}
	s.must(t, "dismiss", "--outcome", "conflict", "--producer", "c13", "--reason", "the webhook stamps its own time")
	if n := s.Count(t, "SELECT count(*) FROM invoice_jobs WHERE producer = 'c13' AND state = 'dismissed'"); n != (deliveries-1)*orders {
		t.Errorf("%d are dismissed, want %d", n, (deliveries-1)*orders)
	}
}

// Two shops that count by themselves put a prefix before their ids. One that doesn't is told of the other by name.
func caseTwoShops(t *testing.T, s caseSite) {
	job := func(id, producer, price string) string {
		return caseJob(id, "2026-03-01T10:00:00Z", "EUR", `"series":"C14","producer":"`+producer+`",`+caseLines(caseLine("1", price, "")))
	}
	s.want(t, []string{job("shop-nl/1001", "shop-nl", "19.90")}, []string{"created: C14-000001 invoice EUR, 1990 + 0 = 1990"})
	s.want(t, []string{job("shop-be/1001", "shop-be", "19.90")}, []string{"created: C14-000002 invoice EUR, 1990 + 0 = 1990"})
	s.want(t, []string{job("1001", "shop-nl", "19.90")}, []string{"created: C14-000003 invoice EUR, 1990 + 0 = 1990"})
	s.want(t, []string{job("1001", "shop-be", "45")}, []string{"conflict: producer shop-nl asked for that invoice, and shop-be for this one: if each counts its own transactions, put a prefix before their ids"})
}

func caseAsShopsWriteIt(t *testing.T, s caseSite) {
	job := func(id, at, currency string, lines ...string) string {
		return `{"version":2,"series":"C17","transaction_id":` + id + `,"issued_at":"` + at + `","currency":"` + currency + `",` + caseLines(lines...) + `}`
	}
	const at = "2022-04-14T10:00:00Z"
	one := caseLine("1", "1", "")
	for _, tt := range []struct{ id, stored string }{
		{`"#1030"`, "#1030"},
		{`"BG 1030"`, "BG 1030"},
		{`"1030"`, "1030"},
		{`"注文-0001"`, "注文-0001"},
		{`4688949215318`, "4688949215318"},
		{`"gid://shopify/Order/4688949215318"`, "gid://shopify/Order/4688949215318"},
	} {
		if end := s.ends(t, job(tt.id, at, "EUR", one))[0]; !strings.HasPrefix(end, "created: ") {
			t.Errorf("%s: %s", tt.id, end)
		}
		if n := s.Count(t, "SELECT count(*) FROM invoices WHERE series = 'C17' AND transaction_id = $1", tt.stored); n != 1 {
			t.Errorf("%s: %d invoices", tt.stored, n)
		}
	}
	s.want(t, []string{job(`"small-letters"`, at, "jpy", caseLine("1", "100", ""))}, []string{"created: C17-000007 invoice JPY, 100 + 0 = 100"})
	s.want(t, []string{job(`"seven-digits"`, "2024-05-15T04:20:05.1234567Z", "EUR", one)}, []string{"created: C17-000008 invoice EUR, 100 + 0 = 100"})
	if got := s.Text(t, "SELECT to_char(issued_at AT TIME ZONE 'UTC', 'SS.US') FROM invoices WHERE transaction_id = 'seven-digits'"); got != "05.123456" {
		t.Errorf("seven digits of a second are stored as %s", got)
	}
	s.refused(t, job(`"export-time"`, "2026-05-01 10:00:00 +0200", "EUR", one), "issued_at must be an RFC 3339 time with a zone, such as 2010-12-01T08:26:00Z")
	s.refused(t, job(`"bcgov-14092"`, at, "CAD", `{"quantity":1,"unit_price":4074.0}`, `{"quantity":1,"unit_price":111.2999999999998}`),
		"lines[1].unit_price must not have more than 12 decimals, and looks like the binary noise of a floating-point number")
}

func caseFiles(t *testing.T, s caseSite) {
	j := func(id string) string {
		return caseJob("file-"+id, "2022-06-01T10:00:00Z", "EUR", `"series":"C18",`+caseLines(caseLine("1", "1", ""))) + "\n"
	}
	folder := t.TempDir()
	for name, content := range map[string]string{
		"bom.jsonl":   "\xef\xbb\xbf" + j("bom-1") + j("bom-2"),
		"crlf.jsonl":  strings.ReplaceAll(j("crlf-1")+j("crlf-2"), "\n", "\r\n"),
		"empty.jsonl": j("empty-1") + "\n   \n" + j("empty-2") + strings.TrimSpace(j("no-newline")),
		"array.json":  "[\n" + strings.TrimSpace(j("array-1")) + ",\n" + j("array-2") + "]\n",
		"utf16.jsonl": "\xff\xfe" + strings.Join(strings.Split(j("utf16"), ""), "\x00") + "\x00",
	} {
		file := filepath.Join(folder, name)
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		code, _, stderr := s.run(t, "", "enqueue", file, "--durable", "--queue", s.queue)
		if name == "utf16.jsonl" {
			if code == exitOK || !strings.Contains(stderr, "UTF-16, and enqueue takes UTF-8") {
				t.Errorf("%s: exit code %d, %s", name, code, stderr)
			}
		} else if code != exitOK {
			t.Errorf("%s: exit code %d, %s", name, code, stderr)
		}
	}
	s.awaitCount(t, 9, "SELECT count(*) FROM invoices WHERE series = 'C18'")
	if n := s.Count(t, "SELECT count(*) FROM invoice_jobs WHERE transaction_id LIKE 'file-%'"); n != 9 {
		t.Errorf("%d jobs were taken, want 9", n)
	}
}

// An empty job that comes first makes a document of its own, or by setting stands in nobody's way.
func caseZeroFirst(t *testing.T, s caseSite) {
	job := func(issuer, id, key, quantity string) string {
		return caseJob(id, "2023-01-27T10:00:00Z", "EUR", `"idempotency_key":"`+key+`","series":"C20",`+issuer+caseLines(caseLine(quantity, "50", `,"tax_percent":21`)))
	}
	const refusing = `"issuer":"C20",`
	for _, tt := range []struct{ job, want string }{
		{job(refusing, "mo-1", "e1", "1"), "created: C20-000001 invoice EUR, 5000 + 1050 = 6050 | 21 of 5000: 1050"},
		{job(refusing, "mo-1", "e2", "0"), "conflict: mo-1 is invoiced as C20-000001 with other content: lines[0].quantity (material)"},
		{job(refusing, "mo-2", "e4", "0"), "invalid: lines come to nothing but zeros, which the setting zero refuses"},
		{job(refusing, "mo-2", "e5", "1"), "created: C20-000002 invoice EUR, 5000 + 1050 = 6050 | 21 of 5000: 1050"},
		{job("", "mo-2", "e4", "0"), "created: C20-000001 invoice EUR, 0 + 0 = 0 | 21 of 0: 0"},
	} {
		s.want(t, []string{tt.job}, []string{tt.want})
	}
}

func caseStornoAndAnew(t *testing.T, s caseSite) {
	job := func(id, at, members, price string) string {
		return caseJob(id, "2026-01-30T"+at+":00:00Z", "EUR", `"version":2,"series":"C25",`+members+caseLines(caseLine("1", price, "")))
	}
	for _, tt := range []struct{ job, want string }{
		{job("ord-9", "10", "", "100"), "created: C25-000001 invoice EUR, 10000 + 0 = 10000"},
		{job("ord-9-storno", "11", `"credits_transaction_id":"ord-9",`, "-100"), "created: C25-CN-000001 credit_note EUR, -10000 + 0 = -10000"},
		{job("ord-9", "10", "", "90"), "conflict: ord-9 is invoiced as C25-000001 with other content: lines[0].unit_price (material)"},
		{job("ord-9:2", "12", `"replaces_transaction_id":"ord-9",`, "90"), "created: C25-000002 invoice EUR, 9000 + 0 = 9000"},
	} {
		s.want(t, []string{tt.job}, []string{tt.want})
	}
	status := s.must(t, "status", "ord-9")
	for _, want := range []string{"credited by", "C25-CN-000001", "replaced by", "C25-000002", "left of it: 0.00 EUR"} {
		if !strings.Contains(status, want) {
			t.Errorf("status says nothing of %q:\n%s", want, status)
		}
	}
}

func caseYearsByZone(t *testing.T, s caseSite) {
	for _, open := range [][2]string{{"C27PL", "Europe/Warsaw"}, {"C27US", "America/New_York"}} {
		s.must(t, "series", "open", open[0], "--timezone", open[1], "--period", "year", "--format", "{series}/{period}/{number:04}", "--date", "issued_at")
	}
	for _, tt := range []struct{ series, at, number string }{
		{"C27PL", "2026-01-01T00:30:00+01:00", "2026/0001"},
		{"C27PL", "2025-12-31T23:30:00Z", "2026/0002"},
		{"C27PL", "2025-12-31T23:59:59.999999+01:00", "2025/0001"},
		{"C27US", "2025-12-31T20:00:00-05:00", "2025/0001"},
	} {
		s.want(t, []string{
			caseJob("zone-"+tt.number+tt.series, tt.at, "PLN", `"series":"`+tt.series+`",`+caseLines(caseLine("1", "10", ""))),
		}, []string{"created: " + tt.series + "/" + tt.number + " invoice PLN, 1000 + 0 = 1000"})
	}
}

func caseManyLines(t *testing.T, s caseSite) {
	job := func(version, lines int) string {
		all := make([]string, lines)
		for i := range all {
			all[i] = fmt.Sprintf(`{"sku":"p%06d","quantity":"0.000731","unit_price":"7"}`, i)
		}
		return caseJob(fmt.Sprint("storj-", lines), "2023-11-01T00:00:00Z", "USD", fmt.Sprintf(`"version":%d,"series":"C28",`, version)+caseLines(all...))
	}
	for i, tt := range []struct{ version, lines int }{{1, 2000}, {1, 5000}, {2, 5001}, {2, 20000}} {
		s.want(t, []string{job(tt.version, tt.lines)}, []string{fmt.Sprintf("created: C28-%06d invoice USD, %d + 0 = %d", i+1, tt.lines, tt.lines)})
	}
	s.refused(t, job(2, 20001), "lines must hold 1 to 20,000 lines")
}
