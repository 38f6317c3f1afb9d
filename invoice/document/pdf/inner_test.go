package pdf

import (
	"reflect"
	"strings"
	"testing"

	"invoicer/invoice/decimal"
	"invoicer/invoice/document"
)

func TestEveryLanguageHasEveryWord(t *testing.T) {
	t.Parallel()
	en := reflect.ValueOf(english()).Elem()
	for _, language := range Languages() {
		w := wordsOf(language)
		if w == nil {
			t.Errorf("%s isn't spoken", language)
			continue
		}
		v := reflect.ValueOf(w).Elem()
		for n := range v.NumField() {
			name := v.Type().Field(n).Name
			if v.Field(n).Kind() == reflect.String && v.Field(n).String() == "" {
				t.Errorf("%s has no word for %s", language, name)
			}
			if v.Field(n).Kind() == reflect.String && strings.Count(v.Field(n).String(), "%s") != strings.Count(en.Field(n).String(), "%s") {
				t.Errorf("%s: %s has other places for values", language, name)
			}
		}
		if len(w.units) != len(english().units) {
			t.Errorf("%s has words for %d units", language, len(w.units))
		}
		face := mustFace(t)
		for n := range v.NumField() {
			if v.Field(n).Kind() == reflect.String {
				if _, missing := face.pieces(v.Field(n).String()); len(missing) > 0 {
					t.Errorf("%s: the built-in font has no %q", language, missing)
				}
			}
		}
	}
}

func mustFace(t *testing.T) *face {
	t.Helper()
	fonts, err := goFonts()
	if err != nil {
		t.Fatal(err)
	}
	return newFace(fonts[0])
}

func TestNumbers(t *testing.T) {
	t.Parallel()
	n := decimal.New(-123456789, 2)
	small := decimal.New(123450, 2)
	day := "2026-02-03"
	for tag, want := range map[string][5]string{
		"en":    {"-1,234,567.89", "1,234.50", "€1,234.50", "3 Feb 2026", "19%"},
		"en-US": {"-1,234,567.89", "1,234.50", "€1,234.50", "Feb 3, 2026", "19%"},
		"de":    {"-1.234.567,89", "1.234,50", "1.234,50 €", "03.02.2026", "19 %"},
		"de-CH": {"-1’234’567.89", "1’234.50", "EUR 1’234.50", "03.02.2026", "19%"},
		"fr":    {"-1 234 567,89", "1 234,50", "1 234,50 €", "03/02/2026", "19 %"},
		"es":    {"-1.234.567,89", "1234,50", "1234,50 €", "3/2/2026", "19 %"},
		"it":    {"-1.234.567,89", "1.234,50", "1.234,50 €", "03/02/2026", "19%"},
		"nl":    {"-1.234.567,89", "1.234,50", "€ 1.234,50", "03-02-2026", "19%"},
		"pl":    {"-1 234 567,89", "1234,50", "1234,50 €", "03.02.2026", "19%"},
		"sv":    {"−1 234 567,89", "1 234,50", "1 234,50 €", "2026-02-03", "19 %"},
	} {
		l := newLocale(tag)
		got := [5]string{l.number(n, 2), l.number(small, 2), l.money(l.number(small, 2), "EUR"), l.date(day), l.rate(decimal.New(19, 0))}
		for i := range got {
			if g := strings.ReplaceAll(got[i], "\u00a0", " "); g != want[i] {
				t.Errorf("%s: %q; want %q", tag, g, want[i])
			}
		}
	}
	if got := newLocale("en").money("5.00", "XYZ"); got != "XYZ\u00a05.00" {
		t.Error(got)
	}
}

func TestVisualOrder(t *testing.T) {
	t.Parallel()
	for logical, want := range map[string]string{
		"abc":             "abc",
		"אבג":             "גבא",
		"אבג 12":          "12 גבא",
		"abc אבג def":     "abc גבא def",
		"abc אב גד, 12":   "abc 12 ,דג בא",
		"אבג (דה)":        "(הד) גבא",
		"רחוב 12, קומה 3": "3 המוק ,12 בוחר",
		"א 1.5 ב":         "ב 1.5 א",
		"a 5% ב":          "a 5% ב",
	} {
		if got := string(visual(logical)); got != want {
			t.Errorf("%q: %q; want %q", logical, got, want)
		}
	}
}

func TestWrap(t *testing.T) {
	t.Parallel()
	f := mustFace(t)
	for _, text := range []string{"", "one two three four", "a\r\nb", strings.Repeat("x", 90), "東京都千代田区", "e-mail-addresses and some more", strings.Repeat("ab ", 50)} {
		for _, width := range []float64{0.1, 1, 3, 5.5, 20} {
			lines := f.wrap(text, width)
			for _, line := range lines {
				if w := f.width(line); w > width && len([]rune(line)) > 1 {
					t.Errorf("%q is %v wide; want %v", line, w, width)
				}
			}
			strip := func(s string) string {
				return strings.NewReplacer(" ", "", "\n", "", "\r", "").Replace(s)
			}
			if got := strip(strings.Join(lines, "")); got != strip(text) {
				t.Errorf("%q became %q", text, lines)
			}
		}
	}
}

func TestEPC(t *testing.T) {
	t.Parallel()
	d := func(change func(*document.Document)) *document.Document {
		d := &document.Document{
			Kind: document.Invoice, Number: "R1", Currency: "EUR", Seller: document.Party{Name: "Seller\nGmbH"},
			Payment: &document.Payment{Account: "de89 3704 0044 0532 0130 00", Bank: "COBADEFFXXX", MeansCode: "58"}, Totals: document.Totals{Payable: decimal.New(1230, 2)},
		}
		change(d)
		return d
	}
	const start = "BCD\n002\n1\nSCT\nCOBADEFFXXX\nSeller GmbH\nDE89370400440532013000\nEUR12.30\n\n"
	for name, c := range map[string]struct {
		change func(*document.Document)
		want   string
	}{
		"plain":              {func(*document.Document) {}, start + "\nR1"},
		"reference":          {func(d *document.Document) { d.Payment.Reference = "order 7" }, start + "\norder 7"},
		"creditor reference": {func(d *document.Document) { d.Payment.Reference = "RF18 5390 0754 7034" }, start + "RF18539007547034"},
		"wrong reference":    {func(d *document.Document) { d.Payment.Reference = "RF19539007547034" }, start + "\nRF19539007547034"},
		"dollars":            {func(d *document.Document) { d.Currency = "USD" }, ""},
		"wrong IBAN":         {func(d *document.Document) { d.Payment.Account = "DE88370400440532013000" }, ""},
		"direct debit":       {func(d *document.Document) { d.Payment.MeansCode = "59" }, ""},
		"credit note":        {func(d *document.Document) { d.Kind = document.CreditNote }, ""},
		"nothing to pay":     {func(d *document.Document) { d.Totals.Payable = decimal.New(0, 0) }, ""},
		"a billion":          {func(d *document.Document) { d.Totals.Payable = decimal.New(1_000_000_000, 0) }, ""},
		"nobody":             {func(d *document.Document) { d.Seller.Name = "" }, ""},
	} {
		if got := epc(d(c.change)); got != c.want {
			t.Errorf("%s: %q; want %q", name, got, c.want)
		}
	}
	if dark, side := code(start); side < 21 || len(dark) < 100 {
		t.Errorf("%d dark modules of %d²", len(dark), side)
	}
}
