package postgres_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"invoicer/internal/report"
	"invoicer/invoice"
	"invoicer/invoice/document"
	"invoicer/invoice/postgres"
)

// fits is a job that has what XRechnung asks for, but for its seller.
const fits = `{"version":2,"transaction_id":"TX","issued_at":"2026-03-31T10:30:00Z","currency":"EUR","buyer_reference":"04011000-12345-34","due_date":"2026-04-30",
"buyer":{"name":"Amt","address":{"city":"Bonn","postcode":"53111","country_code":"DE"},"electronic_address":{"scheme":"9930","id":"DE123456788"}},
"payment":{"means_code":"58","iban":"DE89370400440532013000"},
"lines":[{"name":"pens","quantity":"2","unit_price":"10","tax_percent":"19","tax_category":"S"}]`

const ownSeller = `,"seller":{"name":"Müller","vat_id":"DE123456788","address":{"city":"Köln","postcode":"50667","country_code":"DE"},
"electronic_address":{"scheme":"9930","id":"DE123456788"},"contact":{"name":"Ada","phone":"123456","email":"a@example.com"}}`

// fitting is a job that lacks nothing for XRechnung; more is what it states beside.
func fitting(t *testing.T, transactionID, more string) *invoice.Job {
	t.Helper()
	j, err := invoice.Decode([]byte(strings.Replace(fits, "TX", transactionID, 1) + ownSeller + more + "}"))
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// judgedInvalid are the problems for which a job is invalid.
func (b *site) judgedInvalid(t *testing.T, jobID string, j *invoice.Job) map[string]string {
	t.Helper()
	_, err := b.generator.Generate(t.Context(), request(jobID, j))
	var invalid *invoice.InvalidError
	if !errors.As(err, &invalid) || !invalid.Replayable {
		t.Fatalf("job %s: %v, want it to be invalid, and worth a replay", jobID, err)
	}
	problems := make(map[string]string)
	for _, p := range invalid.Problems {
		if problems[p.Field] != "" {
			t.Errorf("job %s: two problems of %s", jobID, p.Field)
		}
		problems[p.Field] = p.Message
	}
	return problems
}

func (b *site) judgeBy(t *testing.T, profile string) {
	t.Helper()
	b.settle(t, func(s *invoice.Settings) { s.Profile = profile })
}

func TestProfileRefusesWhatLacksSomething(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := job(t, "before")
	b.create(t, "before", first)
	b.judgeBy(t, "xrechnung")

	problems := b.judgedInvalid(t, "poor", job(t, "poor"))
	for field, part := range map[string]string{
		"version":                     "send version 2",
		"seller.name":                 "is missing (BT-27, BR-06; profile xrechnung)",
		"buyer_reference":             "is missing (BT-10, BR-DE-15; profile xrechnung)",
		"buyer.electronic_address":    "BT-49, PEPPOL-EN16931-R010",
		"buyer.address.country_code":  "BT-55, BR-10",
		"payment":                     "BG-16, BR-DE-1",
		"seller.contact":              "BG-6, BR-DE-2",
		"lines[1].tax_category":       "BT-151, BR-CO-04",
		"seller.address.country_code": "BT-40, BR-08",
	} {
		if !strings.Contains(problems[field], part) {
			t.Errorf("%s: %q, want %q in it; there are %q", field, problems[field], part, problems)
		}
	}
	if n := b.Count(t, "SELECT last_number FROM invoice_series"); n != 1 {
		t.Errorf("%d numbers are used, want 1", n)
	}
	// A job of version 2 is told of its fields alone.
	short := fitting(t, "short", "")
	short.Terms.BuyerReference = ""
	if problems := b.judgedInvalid(t, "short", short); len(problems) != 1 || problems["buyer_reference"] == "" {
		t.Errorf("%q, want buyer_reference alone", problems)
	}
	b.create(t, "fits", fitting(t, "fits", ""))

	// What was made before stays a duplicate, and what was refused is made once it may be.
	if r, err := b.generator.Generate(t.Context(), request("again", first)); err != nil || r.Outcome != invoice.Duplicate {
		t.Errorf("%q, %v, want a duplicate", r.Outcome, err)
	}
	b.judgeBy(t, "en16931")
	b.judgedInvalid(t, "poor", job(t, "poor"))
	b.create(t, "short", short)
	b.judgeBy(t, invoice.NoProfile)
	b.create(t, "poor", job(t, "poor"))
	b.gapless(t)
}

// XRechnung wants a creditor identifier with a direct debit, and what states one is invoiced, stored and spelled into the document.
func TestProfileOfADirectDebit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.judgeBy(t, "xrechnung")
	debit := func(id, creditor string) *invoice.Job {
		j := fitting(t, id, "")
		j.Terms.Payment = &invoice.Payment{MeansCode: "59", IBAN: "DE02120300000000202051", Mandate: "M-1", CreditorID: creditor}
		return j
	}
	if problems := b.judgedInvalid(t, "bare", debit("T1", "")); len(problems) != 1 || !strings.Contains(problems["payment.creditor_id"], "BT-90, BR-DE-30") {
		t.Errorf("%q, want payment.creditor_id alone", problems)
	}
	made := b.create(t, "whole", debit("T1", "DE98ZZZ09999999999"))
	stored, err := b.store.Invoices.Read(t.Context(), made.ID)
	if err != nil {
		t.Fatal(err)
	}
	d, err := document.Of(stored, document.Facts{})
	if err != nil || d.Payment.Creditor != "DE98ZZZ09999999999" {
		t.Errorf("%+v, %v", d, err)
	}
	result, err := b.generator.Generate(t.Context(), request("other", debit("T1", "FR72ZZZ123456")))
	if err != nil || result.Outcome != invoice.Conflict || !strings.Contains(result.Detail, "payment.creditor_id") {
		t.Errorf("%q %q, %v, want a conflict about payment.creditor_id", result.Outcome, result.Detail, err)
	}
}

// A credit note names what it credits, whether that is known or not yet.
func TestProfileOfACreditNote(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.judgeBy(t, "peppol")
	dutch := func(id, more string) *invoice.Job {
		text := strings.NewReplacer(`"country_code":"DE"`, `"country_code":"NL"`, `"scheme":"9930","id":"DE123456788"`, `"scheme":"0106","id":"12345678"`,
			"DE123456788", "NL123456782B90", `"city":"Köln"`, `"line1":"A 1","city":"Köln"`, `"city":"Bonn"`, `"line1":"A 1","city":"Bonn"`, `"name":"Müller"`, `"name":"Müller","legal_id":"12345678"`,
			`"name":"Amt"`, `"name":"Amt","legal_id":"12345678"`, `"quantity":"2"`, `"quantity":"-2"`, "TX", id).Replace(fits + ownSeller + more + "}")
		j, err := invoice.Decode([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return j
	}
	if problems := b.judgedInvalid(t, "C1", dutch("C1", "")); len(problems) != 1 || !strings.Contains(problems["preceding"], "NL-R-001") {
		t.Errorf("%q, want NL-R-001 alone", problems)
	}
	b.create(t, "C2", dutch("C2", `,"credits_transaction_id":"elsewhere"`))
}

// The profile of a series comes before that of the settings.
func TestProfileOfASeries(t *testing.T) {
	t.Parallel()
	b := setup(t)
	set := func(series, profile string) {
		t.Helper()
		b.mustSet(t, series, func(s *invoice.Series) { s.Format, s.Profile = "{series}{number}", profile })
	}
	poor := func(id, series string) *invoice.Job { return job(t, id, inSeries(series)) }
	set("STRICT", "en16931")
	set("FREE", invoice.NoProfile)
	set("USUAL", "")
	b.judgedInvalid(t, "1", poor("T1", "STRICT"))
	for _, series := range []string{"FREE", "USUAL"} {
		b.create(t, series, poor(series, series))
	}
	b.judgeBy(t, "xrechnung")
	b.judgedInvalid(t, "2", poor("T2", "STRICT"))
	b.judgedInvalid(t, "3", poor("T3", "USUAL"))
	b.create(t, "4", poor("T4", "FREE"))
	short := fitting(t, "T5", `,"series":"STRICT"`)
	short.Terms.BuyerReference = "" // XRechnung alone wants it
	made := b.create(t, "5", short)

	idOf := func(id string) int64 {
		return int64(b.Count(t, "SELECT id FROM invoices WHERE transaction_id = $1", id))
	}
	// An invoice's document is written by the profile that held when it was made.
	set("STRICT", "")
	b.judgeBy(t, "peppol")
	for id, want := range map[int64]document.Profile{
		made.ID: document.EN16931, idOf("T4"): document.None, idOf("USUAL"): document.None, b.create(t, "6", fitting(t, "T6", "")).ID: document.Peppol,
	} {
		whole, err := b.store.Documents.Read(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if facts, err := b.store.Documents.Facts(t.Context(), whole); err != nil || facts.Profile != want {
			t.Errorf("the document of %s is written by %q, %v, want %q", whole.Number, facts.Profile, err, want)
		}
	}
}

// What is known of the issuer counts as the seller, as it is when the document is made.
func TestProfileKnowsTheIssuer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.judgeBy(t, "en16931")
	b.openIssuers(t, "ACME-DE")
	asked := func(id string) *invoice.Job {
		j, err := invoice.Decode([]byte(strings.Replace(fits, "TX", id, 1) + `,"issuer":"ACME-DE"}`))
		if err != nil {
			t.Fatal(err)
		}
		return j
	}
	if problems := b.judgedInvalid(t, "1", asked("T1")); problems["seller.name"] == "" || problems["version"] != "" {
		t.Errorf("%q, want the seller's name to be missing", problems)
	}
	b.know(t, func(i *report.Issuer) { i.Name, i.Country, i.VATID = new("Acme"), new("DE"), new("DE123456788") })
	b.create(t, "1", asked("T1"))

	// It changes between the judgement and the write.
	numbering, err := invoice.NewNumbering(invoice.NumberingOptions{})
	if err != nil {
		t.Fatal(err)
	}
	late := &lateJudge{Invoices: b.store.Invoices, judged: func() { b.know(t, func(i *report.Issuer) { i.VATID = nil }) }}
	_, err = invoice.NewGenerator(late, numbering).Generate(t.Context(), request("2", asked("T2")))
	var invalid *invoice.InvalidError
	if !errors.As(err, &invalid) || !slices.ContainsFunc(invalid.Problems, func(p invoice.Problem) bool { return strings.HasPrefix(p.Field, "seller.") }) {
		t.Errorf("%v, want what the issuer lacks since", err)
	}
}

// A lateJudge has something happen once, after it has judged.
type lateJudge struct {
	*postgres.Invoices

	judged func()
}

func (l *lateJudge) Lacks(ctx context.Context, j *invoice.Job, profile string) ([]invoice.Lack, *invoice.KnownIssuer, error) {
	lacks, known, err := l.Invoices.Lacks(ctx, j, profile)
	if l.judged != nil {
		l.judged()
		l.judged = nil
	}
	return lacks, known, err
}

// know changes what is known of ACME-DE.
func (b *site) know(t *testing.T, change func(*report.Issuer)) {
	t.Helper()
	_, err := b.store.Issuers.Change(t.Context(), &postgres.IssuerChange{Code: "ACME-DE", What: "set", By: "ada", To: func(current *report.Issuer) (report.Issuer, error) {
		next := *current
		change(&next)
		return next, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
}

// A worker of the release before, which knows no profiles, is told to leave such jobs to others, and leaves profiles as they are.
func TestWorkersThatKnowNoProfile(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.create(t, "one", job(t, "one"))
	b.judgeBy(t, "xrechnung")
	old := "('INV', '', 2, 'INV-000002', 'invoice', 'x', 'x', " + values + ")"
	b.refuses(t, insertInvoices(old), "55P03", "invoices_judged")
	b.Exec(t, `INSERT INTO settings (version, change, actor) VALUES (3, 'x', 'x')`)
	b.refuses(t, insertInvoices(old), "55P03", "invoices_judged")
	b.mustSet(t, "INV", func(s *invoice.Series) { s.Profile = invoice.NoProfile })
	b.Exec(t, `INSERT INTO series (series, version, kind, format, period, timezone, origin, change, actor)
		SELECT series, version + 1, kind, format, period, timezone, origin, change, actor FROM series WHERE series = 'INV' ORDER BY version DESC LIMIT 1`)
	if got := b.Text(t, "SELECT string_agg(profile, ' ' ORDER BY version) FROM settings") + "; " + b.Text(t, "SELECT string_agg(profile, ' ' ORDER BY version) FROM series WHERE series = 'INV'"); got != "none xrechnung xrechnung;  none none" {
		t.Errorf("the profiles are %s", got)
	}
	b.Exec(t, insertInvoices(old)+" RETURNING id")
	b.refuses(t, "INSERT INTO settings (version, profile, change, actor) VALUES (4, 'zugferd', 'x', 'x')", "23514", "settings_profile_check")
}
