package invoice_test

import (
	"errors"
	"fmt"
	"log"

	"invoicer/invoice"
)

func ExampleJob_Calculate() {
	job, err := invoice.Decode([]byte(`{
		"transaction_id": "536365", "issued_at": "2010-12-01T08:26:00Z", "currency": "GBP",
		"lines": [
			{"quantity": 6, "unit_price": "2.55", "discount_percent": "5", "tax_percent": "20"},
			{"quantity": 1, "unit_price": "0.025", "tax_percent": "20"},
			{"quantity": 1, "unit_price": "4.00"}
		]}`))
	if err != nil {
		log.Fatal(err)
	}
	totals, err := job.Calculate()
	if err != nil {
		log.Fatal(err)
	}
	for _, net := range totals.LineNets {
		fmt.Println("line", invoice.FormatMinor(net, job.Currency))
	}
	for _, tax := range totals.Taxes {
		fmt.Println(tax.Percent, "% of", invoice.FormatMinor(tax.Net, job.Currency), "is", invoice.FormatMinor(tax.Tax, job.Currency))
	}
	fmt.Println(totals.Kind, invoice.FormatMinor(totals.Total, job.Currency))
	// Output:
	// line 14.54
	// line 0.03
	// line 4.00
	// 20 % of 14.57 is 2.91
	// invoice 21.48
}

func ExampleJob_Fingerprint() {
	first, err := invoice.Decode([]byte(`{"transaction_id":"536365","issued_at":"2010-12-01T08:26:00Z","currency":"GBP",
		"lines":[{"quantity":6,"unit_price":"2.50"}]}`))
	if err != nil {
		log.Fatal(err)
	}
	// The same job in other words, from another program, under another key.
	second, err := invoice.Decode([]byte(`{"idempotency_key":"retry/2","producer":"cron","currency":"GBP","transaction_id":"536365",
		"lines":[{"unit_price":2.5,"quantity":"6.0","sku":null}],"issued_at":"2010-12-01T09:26:00+01:00"}`))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(first.Fingerprint() == second.Fingerprint())

	second.Lines[0].Quantity = invoice.MustDecimal("7")
	fmt.Println(first.Fingerprint() == second.Fingerprint(), invoice.DiffFields(first, second))
	// Output:
	// true
	// false [lines[0].quantity]
}

func ExampleDecode_invalid() {
	_, err := invoice.Decode([]byte(`{"transaction_id":"536365","issued_at":"yesterday","currency":"GBP","lines":[{"quantity":1.0000001}]}`))
	var invalid *invoice.InvalidError
	if errors.As(err, &invalid) {
		for _, p := range invalid.Problems {
			fmt.Println(p.Field, p.Message)
		}
	}
	// Output:
	// issued_at must be an RFC 3339 time with a zone, such as 2010-12-01T08:26:00Z
	// lines[0].quantity must not have more than 6 decimals
	// lines[0].unit_price is required
}

func ExampleNumbering() {
	numbering, err := invoice.NewNumbering(invoice.NumberingOptions{Period: "year", Format: "{series}-{period}-{number:05}"})
	if err != nil {
		log.Fatal(err)
	}
	job, err := invoice.Decode([]byte(`{"transaction_id":"C536379","issued_at":"2010-12-01T09:41:00Z","currency":"GBP",
		"lines":[{"quantity":-1,"unit_price":"27.50"}]}`))
	if err != nil {
		log.Fatal(err)
	}
	totals, err := job.Calculate()
	if err != nil {
		log.Fatal(err)
	}
	name, _ := numbering.SeriesOf(job.Series, totals.Kind)
	series := numbering.First(invoice.SeriesID{Name: name}, totals.Kind)
	period, err := series.PeriodOf(job.IssuedAt)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(series.Print(period, 42))
	// Output: INV-CN-2010-00042
}
