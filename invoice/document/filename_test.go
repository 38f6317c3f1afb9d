package document_test

import (
	"mime"
	"strings"
	"testing"

	"invoicer/invoice/document"
)

// A file's name has nothing that leads elsewhere, that a system can't keep, or that reads otherwise than it is.
func TestFileNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		number   string
		format   document.Format
		language string
		want     string
	}{
		{"INV-000001", document.AsPDF, "", "INV-000001.pdf"},
		{"R2026/17", document.AsUBL, "", "R2026-17.xml"},
		{"../../etc/passwd", document.AsCII, "", "-..-etc-passwd.xml"},
		{`a"b\c:d*e?f<g>h|i`, document.AsPDF, "", "a-b-c-d-e-f-g-h-i.pdf"},
		{"a\r\nX: y\x00\x7f\u0085", document.AsPDF, "", "a--X- y---.pdf"},
		{"1\u202efdp.exe", document.AsPDF, "", "1fdp.exe.pdf"},
		{" ..", document.AsPDF, "", "document.pdf"},
		{"com1", document.AsPDF, "", "_com1.pdf"},
		{"Größe 7", document.AsFacturX, "pt-BR", "Größe 7.pt-BR.pdf"},
		{strings.Repeat("ä", 300), document.AsPDF, "", strings.Repeat("ä", 100) + ".pdf"},
	} {
		if got := document.FileName(c.number, c.format, c.language); got != c.want {
			t.Errorf("%q: %q, want %q", c.number, got, c.want)
		}
	}
}

// What a header says of a name is read again as that name.
func TestDisposition(t *testing.T) {
	t.Parallel()
	if got := document.Disposition("attachment", "INV-1.pdf"); got != `attachment; filename="INV-1.pdf"` {
		t.Error(got)
	}
	for _, name := range []string{"INV-1.pdf", "Größe 7.pdf", "100%.pdf", "請求書-1.pdf", "a+b&c=d;e'f.xml"} {
		header := document.Disposition("inline", name)
		if strings.ContainsFunc(header, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%q isn't ASCII", header)
		}
		kind, parameters, err := mime.ParseMediaType(header)
		if err != nil || kind != "inline" || parameters["filename"] != name {
			t.Errorf("%s: %s %q, %v", header, kind, parameters, err)
		}
	}
}
