package document_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"invoicer/invoice/document"
	"invoicer/invoice/document/check"
	"invoicer/invoice/document/cii"
	"invoicer/invoice/document/pdf"
	"invoicer/invoice/document/ubl"
)

// facturX writes a page with the CII in it.
func facturX(d *document.Document, p document.Profile) ([]byte, error) {
	xml, err := cii.Write(d, p)
	if err != nil {
		return nil, err
	}
	drawn, err := pdf.Render(d, pdf.Options{FacturX: &pdf.FacturX{Level: "EN 16931", XML: xml}, ReplaceMissing: true})
	if err != nil {
		return nil, err
	}
	return drawn.PDF, nil
}

// What is written is read back as the same terms, but for those that a syntax has no place for, and nothing is wrong with it.
func TestWrittenIsRead(t *testing.T) {
	t.Parallel()
	for n, d := range random(t, 200) {
		writers := map[string]func(*document.Document, document.Profile) ([]byte, error){"ubl": ubl.Write, "cii": cii.Write}
		if n < 20 {
			writers["facturx"] = facturX
		}
		for syntax, write := range writers {
			content, err := write(d, document.EN16931)
			if err != nil {
				t.Fatal(err)
			}
			r, err := check.Read(bytes.NewReader(content))
			if err != nil {
				t.Fatal(err)
			}
			if !r.Well() && !hasBothPrices(d) { // with both, the tax may be off by nearly two of the smallest amount
				t.Errorf("%s as %s: %v %v", d.Number, syntax, r.Findings, r.Lacks)
			}
			want, got := plainly(t, d, syntax), plainly(t, r.Document, syntax)
			if !bytes.Equal(want, got) {
				t.Fatalf("%s as %s:\n%s\n%s", d.Number, syntax, want, got)
			}
		}
	}
}

// plainly spells what both syntaxes carry of a document.
func plainly(t *testing.T, from *document.Document, syntax string) []byte {
	t.Helper()
	d := *from
	d.Language, d.Withheld, d.Conversion, d.Transaction, d.Gross = "", nil, nil, "", nil // EN 16931 has no term for these
	d.Specification, d.Process = "", ""
	d.Notes = nil // some hold what XML can't carry
	if syntax != "ubl" && len(d.Preceding) > 1 {
		d.Preceding = d.Preceding[:1]
	}
	if d.Payment == nil { // a credit note of UBL has one for its date
		d.Payment = &document.Payment{MeansCode: document.NoMeans}
	}
	adjustments := func(list []document.Adjustment) (same []document.Adjustment) {
		for _, a := range list {
			if a.Field = ""; !a.Adds() {
				a.Base, a.Percent = nil, nil
			}
			same = append(same, a)
		}
		return same
	}
	d.Allowances, d.Charges = adjustments(d.Allowances), adjustments(d.Charges)
	d.Lines = append([]document.Line(nil), d.Lines...)
	for n := range d.Lines {
		l := &d.Lines[n]
		l.GrossPrice, l.GrossTotal, l.GrossAllowances, l.GrossCharges = nil, nil, nil, nil
		l.Allowances, l.Charges = adjustments(l.Allowances), adjustments(l.Charges)
		l.Name, l.Description = trimmed(l.Name), trimmed(l.Description)
	}
	text, err := json.MarshalIndent(d, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func trimmed(s string) string { return string(bytes.TrimSpace([]byte(s))) }
