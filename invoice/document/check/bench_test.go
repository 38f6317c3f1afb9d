package check_test

import (
	"bytes"
	"testing"

	"invoicer/invoice/document"
	"invoicer/invoice/document/check"
	"invoicer/invoice/document/cii"
	"invoicer/invoice/document/sample"
	"invoicer/invoice/document/ubl"
)

// BenchmarkRead reads an invoice of 10,000 lines.
func BenchmarkRead(b *testing.B) {
	d, err := sample.Long(10_000)
	if err != nil {
		b.Fatal(err)
	}
	for name, write := range map[string]func(*document.Document, document.Profile) ([]byte, error){"UBL": ubl.Write, "CII": cii.Write} {
		content, err := write(d, document.EN16931)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(content)))
			for b.Loop() {
				r, err := check.Read(bytes.NewReader(content))
				if err != nil || len(r.Findings) > 0 || len(r.Document.Lines) != 10_000 {
					b.Fatal(err, r.Findings)
				}
			}
		})
	}
}
