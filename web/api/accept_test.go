package api_test

import (
	"testing"

	"invoicer/invoice/document"
	"invoicer/web/api"
)

func TestFormatsByAccept(t *testing.T) {
	t.Parallel()
	pdf, ubl, cii, facturx := document.AsPDF, document.AsUBL, document.AsCII, document.AsFacturX
	all := document.Formats()
	for _, c := range []struct {
		accept, named string
		want          document.Format // "" for none
	}{
		{"", "", pdf},
		{"*/*", "", pdf},
		{"application/*", "", pdf},
		{"application/pdf", "", pdf},
		{"application/xml", "", ubl},
		{"APPLICATION/XML ; Profile=CII", "", cii},
		{`application/xml;profile="ubl"`, "", ubl},
		{"application/pdf;profile=facturx", "", facturx},
		{"application/xml;profile=cii;q=0.5, application/pdf;q=0.4", "", cii},
		{"application/xml;q=0.4, application/pdf;q=0.5", "", pdf},
		{"application/pdf;q=0, */*", "", ubl},
		{"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "", pdf}, // a browser
		{"application/xml;profile=zugferd", "", ""},
		{"text/html", "", ""},
		{"text/html,application/xml", "", ubl},
		{"application/json", "", ""},
		{"application/pdf;q=2", "", ""},
		{"*/*;q=0", "", ""},
		{";;;", "", ""},
		{"", "facturx", facturx},
		{"*/*", "cii", cii},
		{"application/xml", "cii", cii},
		{"application/xml", "pdf", ""},
		{"application/pdf", "facturx", facturx},
		{"application/pdf;profile=pdf", "facturx", ""},
		{"", "docx", ""},
	} {
		if got, ok := api.Chosen(all, c.accept, c.named); got != c.want || ok != (c.want != "") {
			t.Errorf("Accept %q, format %q: %q, %v, want %q", c.accept, c.named, got, ok, c.want)
		}
	}
	if got, _ := api.Chosen([]document.Format{pdf, cii, ubl, facturx}, "application/xml", ""); got != cii {
		t.Errorf("where CII comes first: %s", got)
	}
}
