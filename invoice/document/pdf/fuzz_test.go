package pdf

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"invoicer/invoice/decimal"
	"invoicer/invoice/document"
	"invoicer/invoice/document/sample"
)

// drawn draws a document, and fails unless all of its lines lie on their pages.
func drawn(t interface{ Errorf(string, ...any) }, d *document.Document, template *Template, language string) {
	l, err := newLayout(d, template, &Options{}, newLocale(language))
	if err != nil {
		t.Errorf("%v", err)
		return
	}
	l.shown = func(x, y, width float64) {
		if x < l.left-0.1 || x+width > l.right+0.1 || y < l.top-0.1 || y > l.height-l.t.Margins.Bottom*mm+8 {
			t.Errorf("a line at %.1f, %.1f, %.1f wide, leaves the page (%.1f to %.1f, %.1f high)", x, y, width, l.left, l.right, l.height)
		}
	}
	l.draw()
	if len(l.out.Bytes()) < 1000 {
		t.Errorf("an empty file")
	}
}

// Any document is drawn, and no line leaves the page.
func TestAnyDocument(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		template := DefaultTemplate()
		template.Paper = rapid.SampledFrom(Papers()).Draw(t, "paper")
		template.FontSize = rapid.Float64Range(7, 12).Draw(t, "size")
		template.Margins = Margins{Top: 50, Right: 50, Bottom: 50, Left: 50}
		if rapid.Bool().Draw(t, "narrow") {
			template.Margins = Margins{Top: 8, Right: 8, Bottom: 8, Left: 8}
		}
		template.Table.Columns = rapid.SampledFrom([][]string{Columns(), {"amount", "description"}, DefaultTemplate().Table.Columns}).Draw(t, "columns")
		template.Texts.Footer = Text{"": drawText(t, "footer")}
		drawn(t, drawDocument(t), template, rapid.SampledFrom(Languages()).Draw(t, "language"))
	})
}

func drawText(t *rapid.T, label string) string {
	return rapid.OneOf(
		rapid.Just(""), rapid.StringN(0, 30, -1), rapid.StringOfN(rapid.RuneFrom([]rune("abc WM \n-אב語ל 1.")), 0, 300, -1),
		rapid.Map(rapid.IntRange(1, 400), func(n int) string { return strings.Repeat("M", n) }),
	).Draw(t, label)
}

func drawNumber(t *rapid.T, label string) decimal.Decimal {
	return decimal.New(rapid.Int64().Draw(t, label), rapid.IntRange(0, 12).Draw(t, label+" decimals"))
}

func drawDocument(t *rapid.T) *document.Document {
	text := func(label string) string { return drawText(t, label) }
	number := func(label string) decimal.Decimal { return drawNumber(t, label) }
	party := func() document.Party {
		return document.Party{
			Name: text("name"), TradingName: text("trading"), ID: text("id"), VATID: text("vat"), LegalID: text("legal"), TaxID: text("tax"),
			Address: &document.Address{Line1: text("line1"), Line2: text("line2"), City: text("city"), Country: rapid.SampledFrom([]string{"DE", "US", "GB", "IT", "", "xx"}).Draw(t, "country")},
			Contact: &document.Contact{Name: text("contact"), Phone: text("phone"), Email: text("email")},
		}
	}
	percent := number("percent")
	rate := document.Rate{Category: rapid.SampledFrom([]string{"", "S", "E", "AE", "O", "Z"}).Draw(t, "category"), Percent: &percent}
	adjustment := document.Adjustment{Amount: number("off"), Reason: text("reason"), Rate: rate, Percent: &percent}
	d := &document.Document{
		Kind: rapid.SampledFrom([]document.Kind{document.Invoice, document.CreditNote}).Draw(t, "kind"), Number: text("number"),
		Currency: rapid.SampledFrom([]string{"EUR", "JPY", "BHD", "ILS", "INR", "?"}).Draw(t, "currency"), IssueDate: "2026-01-02",
		OrderReference: text("order"), BuyerReference: text("reference"), PaymentTerms: text("terms"), Seller: party(), Buyer: party(),
		Payment: &document.Payment{Account: text("account"), Bank: text("bank"), Reference: text("reference")},
		Notes:   []document.Note{{Text: text("note")}}, Preceding: []document.Preceding{{Number: text("preceding"), Date: "2025-01-01"}},
		Allowances: []document.Adjustment{adjustment}, Taxes: []document.Tax{{Rate: rate, Code: text("code"), Base: number("base"), Amount: number("amount"), Reason: text("exempt")}},
		Totals:   document.Totals{Lines: number("lines"), Net: number("net"), Gross: number("gross"), Payable: number("payable"), Prepaid: number("prepaid")},
		Withheld: []document.Withheld{{Code: text("held"), Percent: percent, Amount: number("withheld")}},
		Delivery: &document.Delivery{Name: text("delivered")},
	}
	for range rapid.IntRange(0, 4).Draw(t, "lines") {
		d.Lines = append(d.Lines, document.Line{
			ID: text("line"), Name: text("name"), Description: text("description"), Note: text("note"), SellerID: text("sku"), Unit: text("unit"),
			Quantity: number("quantity"), Price: number("price"), Net: number("net"), Rate: rate, More: []document.Rate{rate}, TaxCodes: []string{text("code"), text("code")},
			Allowances: []document.Adjustment{adjustment}, BaseQuantity: &percent,
		})
	}
	return d
}

// Any text is drawn, wherever it stands.
func FuzzText(f *testing.F) {
	for _, s := range []string{"", "a", "שלום (1)", "\u202e\u200f\x00", "語\n\n", strings.Repeat("W", 2000), "\xff", "👩‍👩‍👧", "ا1,2%"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := sample.Document("invoice")
		if err != nil {
			t.Fatal(err)
		}
		d.Seller.Name, d.Buyer.Name, d.Number, d.Lines[0].Name, d.Lines[1].Note, d.Notes[0].Text = s, s, s, s, s, s
		d.Lines[2].Unit, d.Lines[3].ID, d.Payment.Account, d.Payment.Reference, d.Buyer.ID, d.IssueDate = s, s, s, s, s, s
		d.Language, d.Currency = s, s
		drawn(t, d, DefaultTemplate(), s)
	})
}

// A template is refused with a reason, or draws an invoice.
func FuzzTemplate(f *testing.F) {
	for _, s := range []string{
		"", "paper: Letter", "{}", "[]", "null", "colors: null", "table: {carry: null, columns: [amount, description]}", "payment_code: null", "texts: {above: {de: Hallo}}",
		"a: &a {b: *a}", "margins: {left: .nan}", "font_size: 1e9", "table: {columns: null}", "logo: {file: x}", "? [a]\n: b", "texts: {footer: \"" + strings.Repeat("x", 3000) + "\"}",
	} {
		f.Add([]byte(s))
	}
	d, err := sample.Document("invoice")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		template, err := ParseTemplate(data)
		if err == nil {
			drawn(t, d, template, "en")
		} else if !strings.HasPrefix(err.Error(), "template: ") {
			t.Error(err)
		}
	})
}

func TestTemplateErrorsNameTheField(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]string{
		"papr: A4":                        "template: line 1: there is no field papr; there are colors, fold_marks, font_size, fonts, logo, margins, paper, payment_code, table, texts",
		"colors: {acent: \"#112233\"}":    "template: line 1: there is no field colors.acent; there are accent, line, muted, shade, text",
		"colors: red":                     "template: line 1: colors must have fields",
		"colors: {accent: red}":           `template: colors.accent: "red" must be a colour such as #1f4e79 (in quotes: # begins a comment)`,
		"paper: A3":                       `template: paper: "A3" must be one of A4, Letter`,
		"margins: {left: 3}":              "template: margins.left: 3 must be from 8 to 50",
		"font_size: big":                  "template: unmarshal errors:\n  line 1: cannot unmarshal !!str `big` into float64",
		"table: {columns: [description]}": "template: table.columns: amount must be one of them",
		"table: {columns: [description, amount, amount, x]}": `template: table.columns[2]: "amount" is there twice; table.columns[3]: "x" must be one of position, item, description, quantity, unit, price, discount, tax, amount`,
		"[1]":             "template: line 1: the template must have fields",
		"a: 1\n---\nb: 1": "template: there is more than one document in the file",
	} {
		_, err := ParseTemplate([]byte(data))
		if err == nil || err.Error() != want {
			t.Errorf("%s:\n got %v\nwant %s", data, err, want)
		}
	}
	read := func(name string) ([]byte, error) { return []byte("GIF89a"), nil }
	template, err := ParseTemplate([]byte(`{"logo": {"file": "a.gif"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := template.Open(read); fmt.Sprint(err) != "template: logo.file: picture: neither PNG nor JPEG" {
		t.Error(err)
	}
}
