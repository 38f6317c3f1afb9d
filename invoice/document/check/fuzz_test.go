package check_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"invoicer/internal/validator"
	"invoicer/invoice/document"
	"invoicer/invoice/document/check"
)

// beyondIndex is a PDF that refers to an object of an object stream by an index that is -1 where it overflows.
const beyondIndex = "%PDF-1.7\n9 0 obj\n<</Type/XRef/Size 2/W[1 4 8]/Index[1 1]/Root 1 0 R/Length 13>>\nstream\n" +
	"\x02\x00\x00\x00\x05\xff\xff\xff\xff\xff\xff\xff\xff\nendstream\nendobj\nstartxref\n9\n%%EOF\n"

func FuzzRead(f *testing.F) {
	f.Add([]byte(small("", "")))
	f.Add([]byte(strings.Replace(`<?xml version="1.0" encoding="ISO-8859-1"?>`+small("", ""), "pens", "caf\xe9", 1)))
	f.Add([]byte(wide("\uFEFF"+small("", ""), true)))
	f.Add([]byte(`<rsm:CrossIndustryInvoice xmlns:rsm="urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100"/>`))
	f.Add([]byte(`<s:StandardBusinessDocument xmlns:s="http://www.unece.org/cefact/namespaces/StandardBusinessDocumentHeader">` + small("", "") + `</s:StandardBusinessDocument>`))
	f.Add([]byte(beyondIndex))
	_, content := page(f, document.FacturX, "EN 16931")
	f.Add(content)
	paths, err := filepath.Glob(filepath.Join("..", "testdata", "*.xml"))
	if err != nil || len(paths) == 0 {
		f.Fatal("no documents", err)
	}
	if v, err := validator.Find(); err == nil {
		for _, folder := range []string{"own", "cen-cii", "cen-ubl-creditnote"} {
			more, _ := filepath.Glob(filepath.Join(v.Folder, "examples", folder, "*.xml"))
			paths = append(paths, more[:3]...)
		}
	}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		for _, p := range append(document.Profiles(), "") {
			r, err := check.ReadAs(bytes.NewReader(content), p)
			if err != nil {
				return
			}
			for _, f := range append(r.Findings, r.Notes...) {
				if f.Message == "" || f.String() == "" || f.Where == "" {
					t.Errorf("%+v", f)
				}
			}
			if r.Document == nil || r.Syntax == "" || p != "" && r.Profile != p {
				t.Errorf("%+v", r)
			}
		}
	})
}
