package postgres_test

import (
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"invoicer/internal/sample"
	"invoicer/invoice"
	"invoicer/invoice/identifier"
	"invoicer/invoice/invoicetest"
)

// accept checks jobs by the description that the program has.
func TestTheDatabaseKnowsTheFields(t *testing.T) {
	t.Parallel()
	b := setup(t)
	text, err := invoice.Description()
	if err != nil {
		t.Fatal(err)
	}
	var program, database any
	for of, text := range map[*any]string{&program: string(text), &database: b.Text(t, "SELECT job_fields()::text")} {
		if err := json.Unmarshal([]byte(text), of); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(database, program); diff != "" {
		t.Errorf(`job_fields() doesn't describe the fields of a job (-database +program): %s
accept would take or refuse other jobs than a worker. Add a migration that says CREATE OR REPLACE FUNCTION job_fields() with this text, and whose Down has the text of before:
%s`, diff, text)
	}
}

// What SQL finds wrong with a job is what a worker finds wrong with it, in the same words, and what SQL doesn't find is of the few kinds that
// only a worker can find.
func TestAcceptSaysWhatTheWorkerSays(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if err := b.store.Ledger.TakeIdentifiers(t.Context()); err != nil {
		t.Fatal(err)
	}
	var payloads []string
	add := func(payload string) {
		if utf8.ValidString(payload) && strings.IndexByte(payload, 0) < 0 { // no other text comes into Postgres
			payloads = append(payloads, payload)
		}
	}
	for _, bad := range invoicetest.Bad() {
		add(string(bad.Payload))
		add(strings.Replace(string(bad.Payload), "{", `{"version":2,`, 1))
	}
	for _, bad := range invoicetest.BadTerms() {
		add(string(bad.Payload))
		add(strings.Replace(string(bad.Payload), `"version":2`, `"version":1`, 1))
	}
	for _, job := range terms {
		payload, err := termsJob(t, "T", job.job).Encode()
		if err != nil {
			t.Fatal(err)
		}
		add(string(payload))
	}
	d := newDraw(t)
	for range 1500 {
		add(d.job())
	}
	said, taken := 0, 0
	for n, problems := range b.problems(t, payloads) {
		payload := payloads[n]
		_, err := invoice.Decode([]byte(payload))
		if errors.As(err, new(*invoice.VersionError)) {
			continue
		}
		worker := map[string]bool{}
		var invalid *invoice.InvalidError
		if errors.As(err, &invalid) {
			for _, p := range invalid.Problems {
				worker[p.Field+" "+p.Message] = true
			}
		}
		database := map[string]bool{}
		for i, p := range problems {
			if hinted := p + ", did you mean "; i >= 20 { // accept shows no more, so it looks for no other name
				for said := range worker {
					if strings.HasPrefix(said, hinted) {
						p = said
					}
				}
			}
			database[p] = true
		}
		compare(t, payload, database, worker)
		said += len(problems)
		if len(problems) == 0 {
			taken++
		}
	}
	t.Logf("%d problems in %d jobs, of which %d are taken", said, len(payloads), taken)
	if said < 1500 || taken < 150 {
		t.Error("too few are compared")
	}
}

func compare(t *testing.T, payload string, database, worker map[string]bool) {
	t.Helper()
	version1 := !regexp.MustCompile(`"version":\s*(2|"\\u0032)`).MatchString(payload)
	var left []string
	for problem := range worker {
		path, twice := strings.CutSuffix(problem, " must not be given twice")
		switch {
		case database[problem]:
		case twice && hasPrefix(database, path+" "): // the value that is given first is bad, too
			for other := range database {
				if strings.HasPrefix(other, path+" ") {
					delete(database, other)
				}
			}
		case strings.HasPrefix(problem, "payload ") && hasPrefix(database, "payload "): // what breaks JSON, and where
			return
		case beyondSQL.MatchString(problem):
		default:
			left = append(left, problem)
		}
	}
	for problem := range database {
		if !worker[problem] {
			t.Errorf("only accept says %q of\n%.2000s\nand a worker says %v", problem, payload, worker)
		}
	}
	if len(left) > 0 && !(version1 && len(database) == 0 && !slices.ContainsFunc(left, func(s string) bool { return !neverTold.MatchString(s) })) {
		slices.Sort(left)
		t.Errorf("only a worker says %q of\n%.2000s\nand accept says %v", left, payload, database)
	}
}

func hasPrefix(set map[string]bool, prefix string) bool {
	for s := range set {
		if strings.HasPrefix(s, prefix) {
			return true
		}
	}
	return false
}

// beyondSQL is what only a worker finds: what depends on several fields, and what the amounts come to.
var beyondSQL = regexp.MustCompile(strings.Join([]string{
	`must be greater than 0`, `must not be before start`, `is required beside `, `must be another `, `tax_currency must be an ISO 4217`, `type_code 38[01] is `,
	`must not be stated beside `, `states the same tax as `, `as amounts in this currency have no`, `is an amount that is too big`, `comes to `, `must be 0 in the tax category`, `must not be 0 in the tax category`, `names a code, category`, `must be stated, since the amount can't be shared`,
}, "|"))

// neverTold is what accept has never said of a job of version 1, if nothing else is wrong with it.
var neverTold = regexp.MustCompile(`must not be given twice$|integer in digits alone$|^currency .* and not [A-Z]{3}$|^issued_at |decimals|smaller than|percentage`)

// problems are what is wrong with each of the jobs, by accept.
func (b *site) problems(t *testing.T, payloads []string) [][]string {
	t.Helper()
	rows, err := b.DB.QueryContext(t.Context(), "SELECT to_json((accept_check(payload)).problems)::text FROM unnest($1::text[]) WITH ORDINALITY AS p (payload, n) ORDER BY n", payloads)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var all [][]string
	for rows.Next() {
		var text string
		var problems []string
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(text), &problems); err != nil {
			t.Fatal(err)
		}
		all = append(all, problems)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// A bad job of version 2 is refused in its caller's transaction, with all that is wrong with it, as one of version 1 is.
func TestAcceptRefusesABadJobOfVersion2(t *testing.T) {
	t.Parallel()
	b := setup(t)
	refusedAs := func(payload, message, column string) {
		t.Helper()
		_, err := b.accept(t, payload)
		if pg := refused(t, err, payload); pg.Message != "invalid job: "+message || pg.ColumnName != column || pg.TableName != "invoice_jobs" {
			t.Errorf("refused with %q, column %s", pg.Message, pg.ColumnName)
		}
	}
	refusedAs(`{"version":2,"transaction_id":" T","kind":"bill","issued_at":"2010-02-30T08:26:00Z","buyer":{"contac":{},"name":"A","name":"B"},"notes":[{"code":"AAI"}],"currency":"xxx",
		"lines":[{"quantity":1,"unit_price":1},{"quantity":"111.29999999999998","unitprice":1,"taxes":[{"percent":1},{"percent":101}]}],"country":"a\u0000"}`,
		"transaction_id must not begin or end with a blank; kind must be invoice or credit_note; issued_at must be an RFC 3339 time with a zone, such as 2010-12-01T08:26:00Z; "+
			"buyer.contac is no field of this object, did you mean contact?; buyer.name must not be given twice; notes[0].text is required; "+
			"currency must be an ISO 4217 code with a minor unit, such as GBP, and not XXX; "+
			"lines[1].quantity must not have more than 12 decimals, and looks like the binary noise of a floating-point number: round it before you send it; "+
			"lines[1].unitprice is no field of a job, did you mean unit_price?; lines[1].taxes[1].percent must be a percentage from 0 to 100; lines[1].unit_price is required; "+
			"country must be valid UTF-8 without U+0000 and without lone surrogates", "transaction_id")
	refusedAs(strings.Replace(good, "{", `{"version":2,"payment":{"creditor_id":"DE97ZZZ09999999999"},`, 1),
		"payment.creditor_id must be a SEPA creditor identifier with its check digits, in capitals and without blanks, such as DE98ZZZ09999999999", "payment.creditor_id")
	refusedAs(`{"version":2}`, "transaction_id is required; issued_at is required; currency is required; lines must hold 1 to 20,000 lines", "transaction_id")
	var none []string
	for range 25 {
		none = append(none, "1")
	}
	refusedAs(strings.Replace(good, "{", `{"version":2,"notes":[`+strings.Join(none[:20], ",")+`],"charges":[`+strings.Join(none, ",")+`],`, 1),
		"notes["+strings.Join(strings.Fields("0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19"), "] must be an object; notes[")+"] must be an object; and 25 more", "notes")
	if n := b.Count(t, "SELECT count(*) FROM invoice_jobs"); n != 0 {
		t.Errorf("%d jobs", n)
	}
}

// accept takes what is a good job, whatever it states.
func TestAcceptTakesEveryGoodJob(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var payloads []string
	g := sample.New(sample.Options{Seed: 7, MaxLines: 20, Elaborate: true, Currencies: []string{"GBP", "JPY", "BHD", "ANG"}})
	for range 300 {
		j := g.Next()
		payload, err := j.Encode()
		if err != nil {
			t.Fatal(err)
		}
		payloads = append(payloads, string(payload))
	}
	for n, problems := range b.problems(t, payloads) {
		if len(problems) > 0 {
			t.Errorf("accept says %q of %s", problems, payloads[n])
		}
	}
}

// SQL has the worker's words for each single character of an identifier.
func TestAcceptJudgesIdentifiers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	d := newDraw(t)
	var texts []string
	for r := rune(1); r <= 0x10ffff; r++ {
		if utf8.ValidRune(r) && (r < 0x3100 || r > 0xd7a3 && r < 0x12000 || d.IntN(40) == 0) {
			texts = append(texts, "a"+string(r)+"b")
		}
	}
	for _, one := range identifier.Ranges() {
		for _, r := range []rune{one[0] - 1, one[0], one[1], one[1] + 1} {
			texts = append(texts, "a"+string(r)+"b")
		}
	}
	texts = append(texts, "", " a", "a　", "Zoe\u0308", strings.Repeat("é", 128), strings.Repeat("é", 129), strings.Repeat("a", 129))
	rows, err := b.DB.QueryContext(t.Context(), "SELECT value, coalesce(accept_identifier(value, 128), '') FROM unnest($1::text[]) AS value", texts)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	wrong := 0
	for rows.Next() {
		var s, problem string
		if err := rows.Scan(&s, &problem); err != nil {
			t.Fatal(err)
		}
		want := identifier.Problem(s, 128)
		if strings.Contains(s, "\uFDD0") && problem != "" {
			continue // it stands in for U+0000, and is called a control character
		}
		if problem != want {
			if wrong++; wrong < 20 {
				t.Errorf("%+q: the database says %q, and the program %q", s, problem, want)
			}
		}
	}
	if err := rows.Err(); err != nil || wrong > 0 {
		t.Errorf("%d differ, %v", wrong, err)
	}
}
