package pdf_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"invoicer/internal/pdftest"
	"invoicer/invoice"
	"invoicer/invoice/decimal"
	"invoicer/invoice/document"
	"invoicer/invoice/document/pdf"
	"invoicer/invoice/document/sample"
)

func load(t testing.TB, name string) *document.Document {
	t.Helper()
	d, err := sample.Document(name)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func render(t testing.TB, d *document.Document, o pdf.Options) *pdf.Rendered {
	t.Helper()
	r, err := pdf.Render(d, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// wants fails the test unless the text has all of the words.
func wants(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, pdftest.Spaced(w)) {
			t.Errorf("the text lacks %q:\n%s", w, text)
			return
		}
	}
}

func TestEverySampleInEveryLanguage(t *testing.T) {
	t.Parallel()
	for _, name := range sample.Names() {
		for _, language := range append(pdf.Languages(), "de-CH", "en-US", "xx") {
			t.Run(name+" "+language, func(t *testing.T) {
				t.Parallel()
				d := load(t, name)
				o := pdf.Options{Language: language, FacturX: &pdf.FacturX{Level: "EN 16931", XML: []byte("<x/>")}}
				r := render(t, d, o)
				if !bytes.Equal(r.PDF, render(t, load(t, name), o).PDF) {
					t.Error("the same document gave other bytes")
				}
				if language == "xx" && r.Language != "en" || language != "xx" && r.Language != language {
					t.Errorf("it speaks %s", r.Language)
				}
				pdftest.Check(t, r.PDF)
				text := pdftest.Raw(t, r.PDF)
				wants(t, text, d.Number, d.Seller.Name, d.Buyer.Name, d.Seller.VATID, d.Buyer.Address.City)
				for n := range d.Lines {
					wants(t, text, d.Lines[n].Name)
				}
				for _, note := range d.Notes {
					if len(d.Withheld) == 0 {
						wants(t, text, note.Text)
					}
				}
			})
		}
	}
}

// The amounts of the page are those of the document, each beside its name.
func TestAmountsStandBesideTheirNames(t *testing.T) {
	t.Parallel()
	text := pdftest.Text(t, render(t, load(t, "invoice"), pdf.Options{Language: "de"}).PDF)
	wants(t, text, "1 Reading room shelf, oak, 240 cm 6 Stk. 489,00 19 % 2.934,00", "14 Stk. 74,50 19 % 990,85",
		"Rabatt 5 % auf 1.043,00, from 10 pieces: -52,15", "Summe der Positionen 4.989,85", "USt. 7 % auf 310,40 21,73", "Gesamtbetrag 5.722,53",
		"Bereits gezahlt -1.000,00", "Zahlbetrag 4.722,53 €", "IBAN DE89 3704 0044 0532 0130 00", "30.11.2026", "Seite 1 von 1")
	text = pdftest.Text(t, render(t, load(t, "foreign"), pdf.Options{}).PDF)
	wants(t, text, "GST 5% on 2,915.00 145.75", "QST 9.975% on 2,915.00 290.77", "WHT 2% withheld -58.30", "Amount due CA$3,293.22")
	if strings.Contains(text, "withheld by the buyer") || strings.Contains(text, "Paid already") {
		t.Error("what is withheld is told twice")
	}
	text = pdftest.Text(t, render(t, load(t, "gross"), pdf.Options{}).PDF)
	wants(t, text, "Facture 2026-000187", "2 pce 18,90 5,5 % 34,02", "Remise 10 % sur 37,80, fidélité: -3,78", "Total des lignes TTC 57,62", "TVA 5,5 % sur 32,25 1,77", "Net à payer 0,00 €")
	text = pdftest.Text(t, render(t, load(t, "debit"), pdf.Options{}).PDF)
	wants(t, text, "1.284 kWh 0,2619 19 % 336,28", "Zahlbetrag 417,43 €", "Mandat SW-2019-00318", "Gläubiger-ID DE98ZZZ09999999999")
	text = pdftest.Text(t, render(t, load(t, "credit_note"), pdf.Options{Language: "sv"}).PDF)
	wants(t, text, "Kreditfaktura CN-2026-000012", "Krediterar faktura 2026-000187 av den 2026-11-30", "Att kreditera 168,44 €")
}

// Where prices with tax stand beside others, the page says all of them without.
func TestMixedPricesAddUp(t *testing.T) {
	t.Parallel()
	job, err := invoice.Decode([]byte(`{"version":2,"transaction_id":"E-1","issued_at":"2010-12-01T08:26:00Z","currency":"EUR","prices":"gross","lines":[
{"description":"a chair","quantity":1,"unit_price":"45","tax_percent":21},{"description":"a table","quantity":1,"unit_price":"49","tax_percent":21},
{"description":"freight","quantity":1,"unit_price":"4.96","tax_percent":21,"prices":"net"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	d, err := document.Draft(job, document.Facts{})
	if err != nil {
		t.Fatal(err)
	}
	text := pdftest.Text(t, render(t, d, pdf.Options{}).PDF)
	wants(t, text, "a chair 1 pcs 37.19 21% 37.19", "a table 1 pcs 40.50 21% 40.50", "freight 1 pcs 4.96 21% 4.96", "Total without tax 82.65", "VAT 21% on 82.65 17.35", "Total 100.00")
	if strings.Contains(text, "incl. tax") {
		t.Errorf("it says amounts with tax:\n%s", text)
	}
}

// A credit note says that it is one, whatever its type, and its account isn't one to pay to.
func TestCreditNotesAskForNothing(t *testing.T) {
	t.Parallel()
	const iban = "DE89 3704 0044 0532 0130 00"
	for language, want := range map[string][3]string{
		"en": {"Credit note", "Self-billed credit note", "Refund"}, "de": {"Rechnungskorrektur", "Rechnungskorrektur im Gutschriftsverfahren", "Erstattung"},
		"fr": {"Avoir", "Avoir (autofacturation)", "Remboursement"}, "es": {"Factura rectificativa", "Factura rectificativa (autofactura)", "Reembolso"},
		"it": {"Nota di credito", "Nota di credito (autofattura)", "Rimborso"}, "nl": {"Creditnota", "Self-billing creditnota", "Terugbetaling"},
		"pl": {"Faktura korygująca", "Faktura korygująca (samofakturowanie)", "Zwrot"}, "sv": {"Kreditfaktura", "Kreditfaktura (självfaktura)", "Återbetalning"},
	} {
		for typeCode, title := range map[string]string{"381": want[0], "384": want[0], "389": want[0], "261": want[1]} {
			d := load(t, "credit_note")
			d.TypeCode, d.Payment = typeCode, &document.Payment{MeansCode: "58", Account: iban, Reference: "R 7"}
			text := pdftest.Raw(t, render(t, d, pdf.Options{Language: language}).PDF)
			wants(t, text, title+" "+d.Number, want[2], iban, "R 7")
			if n := strings.Count(text, pdftest.Spaced(iban)); n != 1 {
				t.Errorf("%s, %s: the account stands %d times", language, typeCode, n)
			}
			d.Payment.AccountName = "The Holder"
			named := pdftest.Raw(t, render(t, d, pdf.Options{Language: language}).PDF)
			wants(t, named, "The Holder")
			if seller := pdftest.Spaced(d.Seller.Name); strings.Count(named, seller) != strings.Count(text, seller) {
				t.Errorf("%s, %s: the account is the seller's:\n%s", language, typeCode, text)
			}
		}
	}
	d := load(t, "debit")
	d.Kind = document.CreditNote
	if text := pdftest.Raw(t, render(t, d, pdf.Options{Language: "en"}).PDF); strings.Contains(text, pdftest.Spaced("will be debited")) {
		t.Errorf("the buyer pays for a credit note:\n%s", text)
	}
}

func TestCarriedSums(t *testing.T) {
	t.Parallel()
	d, err := sample.Long(1000)
	if err != nil {
		t.Fatal(err)
	}
	r := render(t, d, pdf.Options{})
	if r.Pages < 30 {
		t.Fatalf("%d pages", r.Pages)
	}
	text := pdftest.Text(t, r.PDF)
	if out, in := strings.Count(text, "Carried forward"), strings.Count(text, "Brought forward"); out != in || out < r.Pages-3 {
		t.Errorf("%d times out, %d times in, on %d pages", out, in, r.Pages)
	}
	wants(t, text, fmt.Sprintf("Page %d of %d", r.Pages, r.Pages))
	// Each sum is that of the lines before it.
	var cents, last int64
	at := 0
	for n := range d.Lines {
		net, _ := d.Lines[n].Net.Scaled(2)
		cents += net
		want := strings.ReplaceAll(fmt.Sprintf("Brought forward %s", grouped(cents)), "  ", " ")
		if found := strings.Index(text[at:], want); found >= 0 {
			at += found
			last = cents
		}
	}
	if last == 0 || strings.Contains(text[at+20:], "Brought forward") {
		t.Errorf("a sum is none of lines: after %d", last)
	}
}

// However many lines there are, the sums stand below at least one of them.
func TestSumsStandBelowALine(t *testing.T) {
	t.Parallel()
	for lines := 1; lines < 30; lines++ {
		d, err := sample.Long(lines)
		if err != nil {
			t.Fatal(err)
		}
		r := render(t, d, pdf.Options{})
		text := ""
		for page := r.Pages; !strings.Contains(text, "Amount due"); page-- {
			text = pdftest.Page(t, r.PDF, page)
		}
		wants(t, text, fmt.Sprintf("%d %s", lines, strings.SplitN(d.Lines[lines-1].Name, " ", 2)[0]), "Amount due")
	}
}

func grouped(cents int64) string {
	s := fmt.Sprint(cents / 100)
	for n := len(s) - 3; n > 0; n -= 3 {
		s = s[:n] + "," + s[n:]
	}
	return fmt.Sprintf("%s.%02d", s, cents%100)
}

func TestCharactersThatNoFontHas(t *testing.T) {
	t.Parallel()
	d := load(t, "invoice")
	d.Buyer.Name = "書店 بيت Nordhausen"
	_, err := pdf.Render(d, pdf.Options{})
	var missing *pdf.MissingCharactersError
	if !errors.As(err, &missing) || !slices.Equal(missing.Characters, []rune("بتي店書")) {
		t.Fatalf("%v", err)
	}
	r := render(t, d, pdf.Options{ReplaceMissing: true})
	if !slices.Equal(r.Missing, []rune("بتي店書")) {
		t.Errorf("missing: %q", r.Missing)
	}
	pdftest.Check(t, r.PDF)
	wants(t, pdftest.Raw(t, r.PDF), "書店")
}

// A letter whose accent is a character of its own, as some systems write names, is drawn as the letter that it is.
func TestDecomposedLetters(t *testing.T) {
	t.Parallel()
	const split, whole = "Mu\u0308ller & Soe\u0301", "Müller & Soé"
	d := load(t, "invoice")
	d.Number, d.Seller.Name, d.Buyer.Name, d.Buyer.Address.City, d.Seller.Contact.Name = split+"1", split+"2", split+"3", split+"4", split+"5"
	d.Lines[0].Name, d.Lines[1].SellerID, d.Lines[2].Unit, d.Notes[0].Text, d.Payment.Reference = split+"6", split+"7", split+"8", split+"9", split+"10"
	template := pdf.DefaultTemplate()
	template.Texts.Footer = pdf.Text{"": split + "11"}
	r := render(t, d, pdf.Options{Template: template})
	pdftest.Check(t, r.PDF)
	text := pdftest.Raw(t, r.PDF)
	for n := range 11 {
		wants(t, text, fmt.Sprint(whole, n+1))
	}
	for _, part := range []*string{
		&d.Number, &d.Seller.Name, &d.Buyer.Name, &d.Buyer.Address.City, &d.Seller.Contact.Name,
		&d.Lines[0].Name, &d.Lines[1].SellerID, &d.Lines[2].Unit, &d.Notes[0].Text, &d.Payment.Reference,
	} {
		*part = strings.Replace(*part, split, whole, 1)
	}
	template.Texts.Footer = pdf.Text{"": whole + "11"}
	if !bytes.Equal(r.PDF, render(t, d, pdf.Options{Template: template}).PDF) {
		t.Error("the page differs from that of composed letters")
	}
}

func TestFacturXIsAttached(t *testing.T) {
	t.Parallel()
	for level, want := range map[string][2]string{
		"EN 16931": {"u:factur-x.xml", "/Alternative"}, "XRECHNUNG": {"u:xrechnung.xml", "/Alternative"}, "MINIMUM": {"u:factur-x.xml", "/Data"},
	} {
		r := render(t, load(t, "invoice"), pdf.Options{FacturX: &pdf.FacturX{Level: level, XML: []byte("<x/>")}})
		all := pdftest.Read(t, r.PDF)
		name, relation := all.Get(all.Catalog(), "/AF", "0", "/UF"), all.Get(all.Catalog(), "/AF", "0", "/AFRelationship")
		data, _ := all.Get(all.Catalog(), "/AF", "0", "/EF").(map[string]any)
		ref, _ := data["/F"].(string)
		if got := pdftest.Stream(t, r.PDF, ref); got != "<x/>" {
			t.Errorf("%s: attached is %q", level, got)
		}
		if name != want[0] || relation != want[1] {
			t.Errorf("%s: %v %v", level, name, relation)
		}
	}
}

// What a screen reader is told: headings, and tables with heads.
func TestTags(t *testing.T) {
	t.Parallel()
	all := pdftest.Read(t, render(t, load(t, "invoice"), pdf.Options{}).PDF)
	kinds := make(map[any]int)
	for name := range all {
		if len(name) > 4 {
			if o := all.Get(name[4:]); all.Get(o, "/P") != nil && all.Get(o, "/K") != nil {
				kinds[all.Get(o, "/S")]++
				kids, _ := all.Get(o, "/K").([]any)
				if _, content := all.Get(kids, "0").(float64); content && all.Get(o, "/Pg") == nil {
					t.Errorf("%s has content on no page", name)
				}
			}
		}
	}
	if kinds["/H1"] != 1 || kinds["/H2"] != 2 || kinds["/Table"] != 4 || kinds["/Figure"] != 1 || kinds["/TD"] < 7*5 {
		t.Error(kinds)
	}
}

func TestMissingParts(t *testing.T) {
	t.Parallel()
	for _, d := range []*document.Document{
		{},
		{Kind: document.CreditNote, Number: "1"},
		{Lines: []document.Line{{}}},
		{Currency: "JPY", Payment: &document.Payment{}},
		{Payment: &document.Payment{Account: "DE89370400440532013000"}, Currency: "EUR", Totals: document.Totals{Payable: decimal.New(100, 2)}},
		{Language: "not a language", IssueDate: "never", Period: &document.Period{}, Delivery: &document.Delivery{}, Payee: &document.Party{}},
	} {
		r := render(t, d, pdf.Options{})
		if r.Pages != 1 {
			t.Errorf("%d pages", r.Pages)
		}
		pdftest.Check(t, r.PDF)
	}
	if _, err := pdf.Render(nil, pdf.Options{}); err == nil {
		t.Error("nothing was drawn")
	}
}
