package invoice_test

import (
	"testing"

	"invoicer/invoice"
	"invoicer/invoice/invoicetest"
)

// grossJob states five lines with prices that contain the taxes, and a buyer.
func grossJob() *invoice.Job {
	return invoicetest.Job("536365", func(j *invoice.Job) {
		j.Version = 2
		for len(j.Lines) < 5 {
			j.Lines = append(j.Lines, j.Lines[0])
		}
		j.Lines = j.Lines[:5]
		for i := range j.Lines {
			j.Lines[i].Terms = &invoice.LineTerms{Unit: "C62"}
		}
		j.Terms = &invoice.Terms{Prices: invoice.PricesGross, Buyer: &invoice.Party{
			Name: "Benchmark & Sons Ltd.", VATID: "GB123456789", Email: "ap@example.org",
			Address: &invoice.Address{Line1: "1 High Street", City: "London", Postcode: "N1 1AA", CountryCode: "GB"},
		}}
	})
}

func BenchmarkTerms(b *testing.B) {
	payload, err := grossJob().Encode()
	if err != nil {
		b.Fatal(err)
	}
	job, err := invoice.Decode(payload)
	if err != nil {
		b.Fatal(err)
	}
	record := &invoice.Record{Job: job, Totals: &invoice.Totals{LineNets: make([]int64, len(job.Lines))}}
	for name, do := range map[string]func(){
		"decode":      func() { _, err = invoice.Decode(payload) },
		"fingerprint": func() { _ = job.Fingerprint() },
		"calculate":   func() { _, err = job.Calculate() },
		"spell": func() {
			_, _, err = job.Terms.Spell()
			for i := range job.Lines {
				_, _, err = job.Lines[i].Terms.Spell()
			}
		},
		"hash": func() {
			var h invoice.Hasher
			h.Digest(record, h.Texts(record, make([]byte, 16)))
		},
		"encode": func() { _, err = job.Encode() },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if do(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
