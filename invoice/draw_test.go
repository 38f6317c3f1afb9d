package invoice_test

import (
	"fmt"
	"time"

	"pgregory.net/rapid"

	"invoicer/invoice"
)

const (
	decimalMax = 999_999_999_999_999_999 // the largest Decimal that is valid
	percentMax = 100_000_000
)

// millionths returns a number that is given in millionths.
func millionths(n int64) invoice.Decimal { return invoice.NewDecimal(n, 6) }

// plus returns the number and n millionths.
func plus(d invoice.Decimal, n int64) invoice.Decimal {
	m, _ := d.Millionths()
	return millionths(m + n)
}

// within returns what is left of a number if this many millionths are taken off as often as possible.
func within(d invoice.Decimal, n int64) invoice.Decimal {
	m, _ := d.Millionths()
	return millionths(m % n)
}

// drawDecimal draws numbers of every size, so that extremes meet, and small round ones.
func drawDecimal(t *rapid.T, label string) invoice.Decimal {
	return millionths(rapid.OneOf(
		rapid.Int64Range(-decimalMax, decimalMax),
		rapid.SampledFrom([]int64{0, 1, -1, 500_000, -500_000, 5_000, 2_500_000, decimalMax, -decimalMax, decimalMax - 1}),
		rapid.Map(rapid.Int64Range(-2_000, 2_000), func(cents int64) int64 { return cents * 10_000 }),
		rapid.Int64Range(-2_000_000, 2_000_000),
		rapid.Int64Range(-4_000_000_000_000, 4_000_000_000_000),
	).Draw(t, label))
}

func drawPercent(t *rapid.T, label string) invoice.Decimal {
	return millionths(rapid.OneOf(
		rapid.SampledFrom([]int64{0, 1, 5_000_000, 7_500_000, 19_000_000, 20_000_000, 50_000_000, percentMax - 1, percentMax}),
		rapid.Int64Range(0, percentMax),
	).Draw(t, label))
}

func drawLine(t *rapid.T, label string) invoice.Line {
	l := invoice.Line{
		SKU:         drawText(t, label+".sku"),
		Description: drawText(t, label+".description"),
		Quantity:    drawDecimal(t, label+".quantity"),
		UnitPrice:   drawDecimal(t, label+".unit_price"),
	}
	if rapid.Bool().Draw(t, label+" has a discount") {
		l.DiscountPercent = drawPercent(t, label+".discount_percent")
	}
	if rapid.Bool().Draw(t, label+" states a tax") {
		percent := drawPercent(t, label+".tax_percent")
		l.TaxPercent = &percent
	}
	return l
}

// drawText draws absent texts, untidy ones, and ones that look like parts of the canonical form.
func drawText(t *rapid.T, label string) string {
	return rapid.OneOf(
		rapid.Just(""),
		rapid.SampledFrom([]string{"-", "-,", ",", "1:a,", "0", `"`, `\`, "£ & ☕ 😀", "\n", "\x01", "\u2028", "\ufffd", "<a>"}),
		rapid.StringMatching(`[a-z]{1,4}`),
		rapid.StringOf(rapid.Rune().Filter(func(r rune) bool { return r != 0 })),
	).Draw(t, label)
}

func drawCode(t *rapid.T, label, pattern string, optional bool) string {
	if optional && rapid.Bool().Draw(t, label+" is absent") {
		return ""
	}
	return rapid.StringMatching(pattern).Draw(t, label)
}

func drawTime(t *rapid.T, label string) time.Time {
	micros := rapid.OneOf(
		rapid.Int64Range(-62135596800_000000+1, 253402300799_999999), // years 1 to 9999
		rapid.Map(rapid.Int64Range(0, 4_000_000_000), func(s int64) int64 { return s * 1_000_000 }),
	).Draw(t, label)
	return time.UnixMicro(micros).UTC()
}

// drawJob draws a job that is valid, but for amounts that may not fit.
func drawJob(t *rapid.T) *invoice.Job {
	const identifier = `[A-Za-z0-9._:/@+=-]{1,12}`
	j := &invoice.Job{
		Version:        1,
		TransactionID:  drawCode(t, "transaction_id", identifier, false),
		IdempotencyKey: drawCode(t, "idempotency_key", identifier, false),
		Producer:       drawCode(t, "producer", identifier, true),
		Series:         drawCode(t, "series", `[A-Z0-9-]{1,6}`, true),
		Details: invoice.Details{
			CreditsTransactionID: drawCode(t, "credits_transaction_id", identifier, true),
			CustomerID:           drawText(t, "customer_id"),
			CustomerName:         drawText(t, "customer_name"),
			Country:              drawText(t, "country"),
		},
		IssuedAt: drawTime(t, "issued_at"),
		Currency: rapid.SampledFrom([]string{"GBP", "EUR", "JPY", "BHD", "CLF"}).Draw(t, "currency"),
	}
	n := rapid.IntRange(1, 6).Draw(t, "lines")
	for i := range n {
		j.Lines = append(j.Lines, drawLine(t, fmt.Sprintf("lines[%d]", i)))
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "metadata") {
		if j.Metadata == nil {
			j.Metadata = map[string]string{}
		}
		j.Metadata[drawText(t, fmt.Sprintf("key %d", i))] = drawText(t, fmt.Sprintf("value %d", i))
	}
	return j
}
