package sample

import (
	"strconv"

	"invoicer/invoice"
)

// elaborate adds the fields and values to a job that the format allows and the real set never has.
func (g *Generator) elaborate(j *invoice.Job) {
	if j.CustomerID != "" {
		j.CustomerName = "Müller & Söhne \"" + j.CustomerID + "\" Ltd."
	}
	if g.rand.IntN(2) == 0 {
		j.Metadata = map[string]string{"order": "A-" + strconv.Itoa(g.number), "channel": pick(g.rand, []string{"web", "shop", "phone £"})}
	}
	if j.CreditsTransactionID != "" {
		return // its lines are those of the sale
	}
	if n := len(j.Lines); n > 1 && g.rand.IntN(20) == 0 {
		last := &j.Lines[n-1]
		last.SKU, last.Description, last.Quantity = "D", "Discount", number(-1)
	}
	percents := g.percents()
	for i := range j.Lines {
		l := &j.Lines[i]
		l.TaxPercent = pick(g.rand, percents)
		if g.rand.IntN(10) == 0 {
			l.DiscountPercent = millionths(pick(g.rand, []int64{5_000_000, 10_000_000, 12_500_000, 33_333_333, 100_000_000}))
		}
		if g.rand.IntN(50) == 0 {
			l.Quantity = millionths(pick(g.rand, []int64{750_000, 1_333_333, -250_000, 2_500_000}))
		}
	}
}

// percents returns the tax rates from which a job's lines pick: no rate, one rate, or a mixture that includes both a rate of 0 and
// no rate.
func (g *Generator) percents() []*invoice.Decimal {
	rate := func(n int64) *invoice.Decimal {
		percent := millionths(n)
		return &percent
	}
	switch g.rand.IntN(3) {
	case 0:
		return []*invoice.Decimal{nil}
	case 1:
		return []*invoice.Decimal{rate(20_000_000)}
	default:
		return []*invoice.Decimal{nil, rate(0), rate(5_000_000), rate(19_600_000), rate(20_000_000)}
	}
}
