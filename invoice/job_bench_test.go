package invoice_test

import (
	"testing"

	"invoicer/invoice"
	"invoicer/invoice/invoicetest"
)

// BenchmarkJob takes a job of five lines the way of a worker, without its database: of version 1, and of version 2 with prices that
// contain the taxes and a buyer.
func BenchmarkJob(b *testing.B) {
	plain := invoicetest.Job("536365", func(j *invoice.Job) {
		j.CustomerName = "Benchmark & Sons Ltd."
		five := invoice.NewDecimal(5, 0)
		j.Lines[1].TaxPercent = &five
		j.Lines = append(j.Lines, j.Lines[0], j.Lines[1], j.Lines[0])
	})
	for name, job := range map[string]*invoice.Job{"version 1": plain, "version 2": grossJob()} {
		payload, err := job.Encode()
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			var h invoice.Hasher
			b.ReportAllocs()
			for b.Loop() {
				if err := work(payload, &h); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func work(payload []byte, h *invoice.Hasher) error {
	read, err := invoice.Read(payload)
	if err != nil {
		return err
	}
	job := read.Job
	r := invoice.NewRequest("j", 1, job)
	if _, _, err = job.Terms.Spell(); err != nil {
		return err
	}
	for i := range job.Lines {
		if _, _, err = job.Lines[i].Terms.Spell(); err != nil {
			return err
		}
	}
	record := &invoice.Record{Job: job, Totals: &read.Totals, Fingerprint: r.Fingerprint, ContentHash: job.ContentHash()}
	h.Digest(record, h.Texts(record, make([]byte, 16)))
	return nil
}
