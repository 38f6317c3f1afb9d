package document_test

import (
	"syscall"
	"testing"
	"time"

	"invoicer/invoice/document"
	"invoicer/invoice/document/cii"
	"invoicer/invoice/document/ubl"
)

// spent is how much time the CPUs have spent on this process.
func spent(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// What it takes to make a document of a stored invoice of 21 lines, as the average one has, and to write it.
func BenchmarkWrite(b *testing.B) {
	line := `{"quantity":"3","unit_price":"10.00","discount_percent":"12.5","tax_percent":"19","tax_category":"S","name":"pens","description":"blue pens","sku":"P1"}`
	payload := `{"version":2,"transaction_id":"T1","issued_at":"2026-03-31T10:30:00Z","currency":"EUR",` + parties + `"lines":[` + line
	for range 20 {
		payload += "," + line
	}
	i := stored(b, payload+"]}")
	for name, write := range map[string]func(*document.Document, document.Profile) ([]byte, error){"ubl": ubl.Write, "cii": cii.Write} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			before := spent(b)
			for b.Loop() {
				d, err := document.Of(i, document.Facts{})
				if err != nil {
					b.Fatal(err)
				}
				if _, err := write(d, document.EN16931); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/(spent(b)-before).Seconds(), "documents/CPU-s") // however busy the machine is
		})
	}
}
