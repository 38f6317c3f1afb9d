// Package sample makes up transactions as untidy as a real shop's.
//
// The model is the Online Retail set (Chen, 2015, https://doi.org/10.24432/C5BW33): wholesale orders of one product or of
// a thousand, cancellations whose ids begin with C, bad debt adjusted under ids that begin with A, stock written off at a
// price of nothing, missing customers and descriptions, lines entered twice, product codes that differ only by case.
// The shares are those of the real set, with one exception: adjustments and prices finer than a penny, which are very rare there,
// are frequent enough here to occur in a few thousand transactions.
package sample

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"invoicer/invoice"
)

// Options of a [Generator]. Zero values mean the defaults.
type Options struct {
	// Seed chooses the transactions: equal options make equal jobs, in the same order. 0 is a seed like any other.
	Seed uint64
	// Prefix stands before the number in every transaction id, so that two sets don't share ids. Default: none.
	Prefix string
	// MaxLines cuts longer jobs short. Default: 1,114, the real set's longest; the median is 10 and the mean 21.
	MaxLines int
	// Currencies are ISO 4217 codes, from which each job takes one at random. Default: GBP.
	Currencies []string
	// Elaborate adds what the real set doesn't have: several tax percentages beside none and 0, discounts, fractional
	// quantities, customer names, metadata, and which transaction a cancellation credits.
	Elaborate bool
	// Terms has half of the sales state what only version 2 of the job can, and comes with Elaborate.
	Terms bool
}

// A Generator makes up one transaction after the other, without end. It isn't safe for concurrent use.
type Generator struct {
	options  Options
	rand     *rand.Rand
	products []product
	number   int          // of the latest transaction
	now      time.Time    // when that was
	sale     *invoice.Job // the latest sale, nil once it is credited
}

// New returns a generator that begins with its first transaction.
func New(o Options) *Generator {
	if o.MaxLines <= 0 {
		o.MaxLines = longest
	}
	if len(o.Currencies) == 0 {
		o.Currencies = []string{"GBP"}
	}
	g := &Generator{
		options: o,
		rand:    rand.New(rand.NewPCG(o.Seed, 0)), //nolint:gosec // the same seed must make the same jobs
		number:  536364,
		now:     time.Date(2010, 12, 1, 8, 0, 0, 0, time.UTC),
	}
	g.products = catalogue(g.rand)
	return g
}

// Next returns the next made-up transaction. The job is valid, as if [invoice.Decode] had returned it, if the options' prefix and
// currencies are.
func (g *Generator) Next() invoice.Job {
	g.number++
	g.now = g.now.Add(time.Duration(g.rand.IntN(41)) * time.Minute)
	j := invoice.Job{
		Version:  1,
		IssuedAt: g.now,
		Currency: pick(g.rand, g.options.Currencies),
	}
	selling := false
	switch n := g.rand.IntN(1000); {
	case n < 148:
		g.cancel(&j)
	case n < 151:
		g.adjust(&j)
	case n < 232:
		g.writeOff(&j)
	default:
		selling = true
		g.sell(&j)
	}
	j.IdempotencyKey = j.TransactionID
	if !g.options.Elaborate {
		return j
	}
	g.elaborate(&j)
	if selling && g.options.Terms && g.oneIn(2) {
		g.state(&j)
	}
	if selling && isCreditable(&j) {
		sold := j
		g.sale = &sold
	}
	return j
}

func (g *Generator) sell(j *invoice.Job) {
	g.name(j, "")
	g.customer(j, 72)
	length := g.length(salesLengths)
	if g.rand.IntN(40) == 0 {
		length = g.length(longSalesLengths)
	}
	g.fill(j, length)
}

// cancel makes a cancellation, which becomes a credit note: none of its lines is positive.
func (g *Generator) cancel(j *invoice.Job) {
	g.name(j, "C")
	g.customer(j, 48)
	g.fill(j, g.length(cancelledLengths))
	for i := range j.Lines {
		j.Lines[i].Quantity = j.Lines[i].Quantity.Neg()
	}
	if g.sale != nil {
		g.credit(j, g.sale)
		g.sale = nil
	}
}

// credit makes a cancellation one of some of a sale's lines, which is never more than is left of the sale. It leaves it as it is if the
// sale took something back: what is left of a tax rate could then be less than one of its lines.
func (g *Generator) credit(j, sale *invoice.Job) {
	if sale.Terms != nil {
		j.Version, j.Terms = sale.Version, &invoice.Terms{Prices: sale.Terms.Prices, Buyer: sale.Terms.Buyer}
	}
	for i := range sale.Lines {
		if l := &sale.Lines[i]; l.Quantity.Sign() < 0 || l.UnitPrice.Sign() < 0 {
			return
		}
	}
	j.CreditsTransactionID, j.Currency = sale.TransactionID, sale.Currency
	j.CustomerID, j.CustomerName, j.Country = sale.CustomerID, sale.CustomerName, sale.Country
	j.Lines = slices.Clone(sale.Lines[:1+g.rand.IntN(len(sale.Lines))])
	for i := range j.Lines {
		j.Lines[i].Quantity = j.Lines[i].Quantity.Neg()
	}
}

// adjust makes an adjustment of bad debt, with a positive or a negative price. Only adjustments have negative prices.
func (g *Generator) adjust(j *invoice.Job) {
	g.name(j, "A")
	g.customer(j, 1000)
	price := g.price(1106206, j.Currency)
	if g.rand.IntN(2) == 0 {
		price = price.Neg()
	}
	j.Lines = []invoice.Line{{SKU: "B", Description: "Adjust bad debt", Quantity: number(1), UnitPrice: price}}
}

// writeOff makes a correction of the stock at a price of 0, in either direction and mostly without a description.
func (g *Generator) writeOff(j *invoice.Job) {
	g.name(j, "")
	g.customer(j, 998)
	line := invoice.Line{SKU: g.product().sku, Quantity: g.quantity()}
	switch n := g.rand.IntN(100); {
	case n < 12:
		line.Description = pick(g.rand, []string{"damaged", "check", "?", "lost??", "wrongly coded-23343", "thrown away-rusty"})
	case n < 30:
		line.Description = g.product().description
	}
	if g.rand.IntN(100) < 64 {
		line.Quantity = line.Quantity.Neg()
	}
	j.Lines = []invoice.Line{line}
}

func (g *Generator) name(j *invoice.Job, kind string) {
	j.TransactionID = kind + g.options.Prefix + strconv.Itoa(g.number)
}

// customer sets the customer and the country. It leaves the customer out in so many jobs of a thousand, as for a sale over the
// counter.
func (g *Generator) customer(j *invoice.Job, missing int) {
	j.Country = countries[0]
	if g.rand.IntN(1000) < missing {
		return
	}
	id := 12346 + g.rand.IntN(4400)
	j.CustomerID = strconv.Itoa(id)
	if id%11 == 0 { // a customer always has the same country
		j.Country = countries[1+id%(len(countries)-1)]
	}
}

func (g *Generator) fill(j *invoice.Job, length int) {
	j.Lines = make([]invoice.Line, 0, length)
	for len(j.Lines) < length {
		if n := len(j.Lines); n > 0 && g.rand.IntN(170) == 0 {
			j.Lines = append(j.Lines, j.Lines[g.rand.IntN(n)])
			continue
		}
		j.Lines = append(j.Lines, g.line(j.Currency))
	}
}

func (g *Generator) line(currency string) invoice.Line {
	p := g.product()
	pence := p.pence
	if g.rand.IntN(5) == 0 {
		pence = pick(g.rand, prices)
	}
	line := invoice.Line{SKU: p.sku, Description: p.description, Quantity: g.quantity(), UnitPrice: g.price(pence, currency)}
	switch n := g.rand.IntN(2000); {
	case n < 2:
		line.UnitPrice = invoice.Decimal{} // given away
	case n < 3:
		line.UnitPrice = plusHalf(line.UnitPrice, currency)
	case n < 12:
		line.SKU, line.Description = "POST", "POSTAGE"
	case n < 14:
		line.SKU, line.Description = "BANK CHARGES", "Bank Charges"
	}
	return line
}

// product picks a product. Those at the front of the catalogue are more likely, since a few products sell best.
func (g *Generator) product() product {
	share := g.rand.Float64()
	return g.products[int(share*share*float64(len(g.products)))]
}

func (g *Generator) quantity() invoice.Decimal {
	quantity := pick(g.rand, quantities)
	if g.rand.IntN(2000) == 0 {
		quantity = 1000 + g.rand.IntN(80000)
	}
	return number(quantity)
}

// length picks a random length from quantiles: each interval between two neighbours is equally likely.
func (g *Generator) length(quantiles []int) int {
	i := g.rand.IntN(len(quantiles) - 1)
	from, to := quantiles[i], quantiles[i+1]
	return min(from+g.rand.IntN(to-from+1), g.options.MaxLines)
}

// price returns the pence as a price in the currency: 255 is 2.55 in GBP, 255 in JPY, and about 2.55 in BHD, whose third decimal is
// random.
func (g *Generator) price(pence int, currency string) invoice.Decimal {
	minor := int64(pence)
	exponent, _ := invoice.MinorUnits(currency)
	for range exponent - 2 {
		minor = 10*minor + int64(g.rand.IntN(10))
	}
	return invoice.NewDecimal(minor, exponent)
}

// plusHalf adds half of the currency's smallest amount to a price.
func plusHalf(price invoice.Decimal, currency string) invoice.Decimal {
	exponent, _ := invoice.MinorUnits(currency)
	halves, _ := price.Scaled(exponent + 1)
	return invoice.NewDecimal(halves+5, exponent+1)
}

// number returns a whole number.
func number(n int) invoice.Decimal { return invoice.NewDecimal(int64(n), 0) }

// millionths returns a number that is given in millionths.
func millionths(n int64) invoice.Decimal { return invoice.NewDecimal(n, 6) }

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }
