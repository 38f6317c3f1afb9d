package mail_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"invoicer/internal/mail"
	"invoicer/invoice/document"
	"invoicer/invoice/document/pdf"
	"invoicer/invoice/document/sample"
)

var update = flag.Bool("update", false, "write what letters say into testdata")

// What letters say in each language, of each kind of document. After a change: go test ./internal/mail -run TestTexts -update
func TestTexts(t *testing.T) {
	t.Parallel()
	texts := mail.DefaultTexts()
	var b strings.Builder
	for _, language := range append(pdf.Languages(), "de-CH", "ja") {
		for _, name := range []string{"invoice", "credit_note", "debit"} {
			d := document.Document{}
			of := name
			if name == "debit" {
				of = "invoice"
			}
			made, err := sample.Document(of)
			if err != nil {
				t.Fatal(err)
			}
			d = *made
			if name == "debit" {
				d.Payment = &document.Payment{MeansCode: "59", Mandate: "M-1", Debited: "DE89370400440532013000"}
			}
			subject, body, err := texts.Write(language, mail.FactsOf(&d, language, nil))
			if err != nil {
				t.Fatal(err)
			}
			b.WriteString("== " + language + " " + name + "\nSubject: " + subject + "\n\n" + body)
		}
	}
	file := filepath.Join("testdata", "texts.txt")
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("letters say something else than %s, which -update writes anew:\n%s", file, b.String())
	}
}

func TestFactsOf(t *testing.T) {
	t.Parallel()
	d, err := sample.Document("invoice")
	if err != nil {
		t.Fatal(err)
	}
	f := mail.FactsOf(d, "de", []mail.Attachment{{Name: "a.pdf"}, {Name: "b/c.xml"}})
	want := mail.Facts{
		Number: "2026-000187", Date: "30.11.2026", Seller: "Lindqvist & Moreau Ateliers GmbH", Buyer: "Stadtbibliothek Nordhausen",
		Contact: "Dr. Theodor Brandt", Total: f.Total, Payable: f.Payable, Due: "30.12.2026", Account: "DE89370400440532013000",
		Reference: "2026-000187", Order: "PO-88-1204", BuyersOwn: "04011000-12345-03", Files: "a.pdf, b-c.xml",
	}
	if f != want || !strings.HasSuffix(f.Total, "\u00a0€") || f.Total == f.Payable {
		t.Errorf("%+v\n%+v", f, want)
	}
	// Nothing is to be paid of what was paid.
	d.Totals.Payable = document.Decimal{}
	if f := mail.FactsOf(d, "de", nil); f.Payable != "" || f.Debited != "" {
		t.Errorf("%+v", f)
	}
}

// A file's own texts come first: in the language, in the one without its country, in all. Then those that are built in, and English last.
func TestOwnTexts(t *testing.T) {
	t.Parallel()
	own, err := mail.ParseTexts([]byte("subject: {de: 'R {{.Number}}', en: 'I {{.Number}}', '': 'X {{.Number}}'}\nbody: {cs: 'ahoj', en: 'hi'}"))
	if err != nil {
		t.Fatal(err)
	}
	f := mail.Facts{Number: "1", Total: "2", Date: "3", Reference: "1"}
	for language, want := range map[string][2]string{
		"de": {"R 1", "Guten Tag"}, "de-AT": {"R 1", "Guten Tag"}, "en": {"I 1", "hi"}, "cs": {"X 1", "ahoj"}, "fr": {"X 1", "Bonjour"}, "ja": {"X 1", "hi"}, "??": {"X 1", "hi"}, "": {"X 1", "hi"},
	} {
		subject, body, err := own.Write(language, f)
		if err != nil || subject != want[0] || !strings.HasPrefix(body, want[1]) {
			t.Errorf("%s: %q %q %v", language, subject, body, err)
		}
	}
}

func TestWrongTexts(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"subjekt: x":                             "line 1: there is no field subjekt; there are subject and body",
		"subject: {xx-: x}":                      "subject: \"xx-\" is no language",
		"subject: '{{.Nummer}}'":                 "subject: there is no field .Nummer; there are .CreditNote, .Number,",
		"subject: '{{.Number.Foo}}'":             "there is no field .Number.Foo",
		"body: {de: '{{if .Number}}'}":           "body.de:1: unexpected EOF",
		"body: {de: '{{range .Number}}a{{end}}'": "",
		"body: '{{range .Number}}a{{end}}'":      "isn't for texts",
		"body: '{{printf \"%99d\" 1}}'":          "printf isn't for texts",
		"body: '{{template \"body\" .}}'":        "isn't for texts",
		"body: '{{define \"x\"}}a{{end}}b'":      "{{define}} and {{block}} aren't for texts",
		"body: '{{$x := .Number}}{{$x}}'":        "variables aren't for texts",
		"body: '{{if .Payable}}a{{end}}'":        "body: it can become empty",
		"body: ''":                               "body: it can become empty",
		"subject: \"a\\nb\"":                     "subject: it must be one line",
		"subject: [a]":                           "line 1",
		"a: b\n---\nc: d":                        "there is no field a",
		"subject: x\n---\nbody: y":               "there is more than one document",
		"{":                                      "line 1",
		strings.Repeat("#", mail.MaxTexts+1):     "are allowed",
		"body: " + strings.Repeat("a", 20_000):   "body: it has 20000 bytes",
		"subject: '{{.Nummer}}'\nbody: '{{.X}}'": "there is no field .X",
	} {
		if _, err := mail.ParseTexts([]byte(text)); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "mail.") {
			t.Errorf("%.60s: %v", text, err)
		}
	}
	if _, err := mail.ParseTexts(nil); err != nil {
		t.Error(err)
	}
}

// Whatever a file says, it is refused, or writes letters whose subject is one line.
func FuzzTexts(f *testing.F) {
	f.Add("subject: {de: 'R {{.Number}}'}\nbody: '{{if .Due}}a{{else}}b{{end}} {{with .Order}}{{.}}{{end}}'", "de", "1")
	f.Add("subject: '{{and .Number (or .Due .Total) (not .CreditNote) | eq true}}'", "en", "\r\n")
	f.Fuzz(func(t *testing.T, text, language, number string) {
		texts, err := mail.ParseTexts([]byte(text))
		if err != nil {
			return
		}
		subject, body, err := texts.Write(language, mail.Facts{Number: number, Total: number, Seller: number})
		if err != nil {
			return
		}
		if strings.ContainsAny(subject, "\r\n") || strings.Contains(body, "\r") || len(body) > 1<<20 {
			t.Errorf("%q %q", subject, body)
		}
	})
}
