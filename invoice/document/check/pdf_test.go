package check_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"invoicer/internal/sandbox/programs"
	"invoicer/invoice/document"
	"invoicer/invoice/document/check"
	"invoicer/invoice/document/cii"
	"invoicer/invoice/document/pdf"
	"invoicer/invoice/document/pdfa"
	"invoicer/invoice/document/sample"
	"invoicer/invoice/document/ubl"
)

// page is a sample as a page with its CII in it, as a level says that it is.
func page(t testing.TB, p document.Profile, level string, more ...pdfa.File) (*document.Document, []byte) {
	t.Helper()
	d, err := sample.Document("invoice")
	if err != nil {
		t.Fatal(err)
	}
	xml, err := cii.Write(d, p)
	if err != nil {
		t.Fatal(err)
	}
	drawn, err := pdf.Render(d, pdf.Options{FacturX: &pdf.FacturX{Level: level, XML: xml}, Attachments: more})
	if err != nil {
		t.Fatal(err)
	}
	return d, drawn.PDF
}

func TestOurPages(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		profile             document.Profile
		level, name, inside string
	}{
		{document.FacturX, "EN 16931", "EN 16931", "factur-x.xml"},
		{document.FacturXBasic, "BASIC", "Factur-X BASIC", "factur-x.xml"},
		{document.XRechnung, "XRECHNUNG", "XRechnung 3.0", "xrechnung.xml"},
	} {
		d, content := page(t, c.profile, c.level)
		r, err := check.Read(bytes.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		if r.Attachment != c.inside || r.Claim.Name != c.name || r.Syntax != check.CII || len(r.Findings)+len(r.Notes) > 0 {
			t.Errorf("%s: %s, %s, %s, %v, %v", c.profile, r.Attachment, r.Claim.Name, r.Syntax, r.Findings, r.Notes)
		}
		if r.Document.Number != d.Number || r.Document.Totals != d.Totals {
			t.Errorf("%s: %s %v, and not %s %v", c.profile, r.Document.Number, r.Document.Totals, d.Number, d.Totals)
		}
	}
}

// What a PDF says of its invoice is compared with the invoice.
func TestPagesThatSayOtherwise(t *testing.T) {
	t.Parallel()
	_, basic := page(t, document.FacturX, "BASIC")
	_, good := page(t, document.FacturX, "EN 16931")
	other := pdfa.File{Name: "zugferd-invoice.xml", MIMEType: "text/xml", Relationship: "Alternative", Data: []byte("<x/>")}
	_, both := page(t, document.FacturX, "EN 16931", other)
	replaced := func(content []byte, old, with string) []byte {
		if !bytes.Contains(content, []byte(old)) || len(old) != len(with) {
			t.Fatal("nothing of the same length to replace: " + old)
		}
		return bytes.ReplaceAll(content, []byte(old), []byte(with))
	}
	for name, c := range map[string]struct {
		content []byte
		finds   string
		notes   string
	}{
		"another level": {basic, `XMP, PDF: its metadata says that the invoice is of the level "BASIC", and the invoice that it is EN 16931`, ""},
		"another name": {
			replaced(good, "<fx:DocumentFileName>factur-x.xml", "<fx:DocumentFileName>factur_x.xml"),
			`XMP, PDF: its metadata says that the invoice is called "factur_x.xml", and it is called "factur-x.xml"`, "",
		},
		"no word of it": {replaced(good, "urn:factur-x:pdfa:", "urn:nothing-:pdfa:"), "XMP, PDF: its metadata doesn't say that an invoice is in it", ""},
		"no PDF/A-3":    {replaced(good, "<pdfaid:part>3", "<pdfaid:part>2"), "", "XMP, PDF: its metadata doesn't say that it is a PDF/A-3, as Factur-X wants it"},
		"two of them":   {both, "", "PDF: it has factur-x.xml and zugferd-invoice.xml, of which factur-x.xml was read"},
		"broken table":  {replaced(good, "startxref", "startxxxx"), "", "PDF: its table of objects is broken: they were looked for"},
	} {
		r, err := check.Read(bytes.NewReader(c.content))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		one := func(what string, list []check.Finding, want string) {
			if want == "" && len(list) > 0 || want != "" && (len(list) != 1 || list[0].String() != want) {
				t.Errorf("%s: %s %v", name, what, list)
			}
		}
		one("finds", r.Findings, c.finds)
		one("notes", r.Notes, c.notes)
	}
}

func TestPagesWithoutAnInvoice(t *testing.T) {
	t.Parallel()
	d, err := sample.Document("invoice")
	if err != nil {
		t.Fatal(err)
	}
	xml, err := ubl.Write(d, document.EN16931)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		files []pdfa.File
		says  string
	}{
		"nothing":     {nil, "a page alone"},
		"a picture":   {[]pdfa.File{{Name: "logo.png", MIMEType: "image/png", Data: []byte("x")}}, "only logo.png"},
		"another XML": {[]pdfa.File{{Name: "order-x.xml", MIMEType: "text/xml", Data: []byte("<Order/>")}}, "order-x.xml in the PDF: it is <Order>"},
		"UBL in it":   {[]pdfa.File{{Name: "data.xml", MIMEType: "text/xml", Data: []byte("<x/>")}, {Name: "ubl.xml", MIMEType: "text/xml", Relationship: "Alternative", Data: xml}}, ""},
	} {
		drawn, err := pdf.Render(d, pdf.Options{Attachments: c.files})
		if err != nil {
			t.Fatal(err)
		}
		r, err := check.Read(bytes.NewReader(drawn.PDF))
		switch {
		case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%s: %v", name, err)
		case c.says == "" && (err != nil || r.Attachment != "ubl.xml" || len(r.Notes) != 1 || len(r.Findings) != 1):
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Other programs rewrite a page: the invoice in it stays the same.
func TestPagesThatQPDFHasRewritten(t *testing.T) {
	t.Parallel()
	found, err := programs.Find(programs.QPDF)
	if err != nil {
		t.Skipf("NOT TESTED: %v", err)
	}
	d, content := page(t, document.FacturX, "EN 16931")
	folder := t.TempDir()
	from := filepath.Join(folder, "page.pdf")
	if err := os.WriteFile(from, content, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, options := range map[string]string{
		"tables": "--object-streams=disable", "streams": "--object-streams=generate --recompress-flate", "linear": "--linearize", "qdf": "--qdf",
		"uncompressed": "--stream-data=uncompress", "encrypted": "--encrypt  owner 256 --", "encrypted-40": "--allow-weak-crypto --encrypt  owner 40 --",
		"version": "--force-version=1.4 --object-streams=disable", "hexadecimal": "--static-id --newline-before-endstream",
	} {
		to := filepath.Join(folder, name+".pdf")
		args := strings.Split(options, " ")
		if out, err := exec.CommandContext(t.Context(), found[programs.QPDF], append(args, from, to)...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", name, err, out)
		}
		f, err := os.Open(to)
		if err != nil {
			t.Fatal(err)
		}
		r, err := check.Read(f)
		f.Close()
		if strings.HasPrefix(name, "encrypted") {
			if err == nil || !strings.Contains(err.Error(), "encrypted") {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil || r.Document.Number != d.Number || len(r.Findings)+len(r.Notes) > 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}
