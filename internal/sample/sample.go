// Package sample makes up transactions as untidy as a real shop's.
//
// The model is the Online Retail set (Chen, 2015, https://doi.org/10.24432/C5BW33): wholesale orders of one product or of
// a thousand, cancellations whose ids begin with C, bad debt adjusted under ids that begin with A, stock written off at a
// price of nothing, missing customers and descriptions, lines entered twice, product codes that differ only by case.
// Shares are the real ones, but for what hardly ever happens there: adjustments and prices finer than a penny are
// frequent enough to be met among a few thousand transactions.
package sample

import (
	"math/rand/v2"
	"strconv"
	"time"

	"invoicer/invoice"
)

// Options of a [Generator]. Zero values mean the defaults.
type Options struct {
	// Seed chooses the transactions: equal options make equal jobs, in the same order. 0 is a seed like any other.
	Seed uint64
	// Prefix stands before the number in every transaction id, and so keeps two sets apart. Default: none.
	Prefix string
	// MaxLines cuts longer jobs short. Default: 1,114, the real set's longest; the median is 10 and the mean 21.
	MaxLines int
	// Currencies are ISO 4217 codes, from which each job takes one at random. Default: GBP.
	Currencies []string
	// Elaborate adds what that shop had no use for: several tax percentages beside none and 0, discounts, broken
	// quantities, customer names, metadata, and which transaction a cancellation credits.
	Elaborate bool
}

// A Generator makes up one transaction after the other, without end. It is for one goroutine.
type Generator struct {
	options  Options
	rand     *rand.Rand
	products []product
	number   int       // of the latest transaction
	now      time.Time // when that was
	sale     string    // the latest sale's transaction id
}

// New returns a generator at its first transaction.
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

// Next makes up a transaction. The job is valid as long as the options' prefix and currencies are: it could come out of
// [invoice.Decode].
func (g *Generator) Next() invoice.Job {
	g.number++
	g.now = g.now.Add(time.Duration(g.rand.IntN(41)) * time.Minute)
	j := invoice.Job{
		Version:  invoice.TaskVersion,
		IssuedAt: g.now,
		Currency: pick(g.rand, g.options.Currencies),
	}
	switch n := g.rand.IntN(1000); {
	case n < 148:
		g.cancel(&j)
	case n < 151:
		g.adjust(&j)
	case n < 232:
		g.writeOff(&j)
	default:
		g.sell(&j)
	}
	j.IdempotencyKey = j.TransactionID
	if g.options.Elaborate {
		g.elaborate(&j)
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
	g.sale = j.TransactionID
}

// cancel takes something back. Cancellations are credit notes: not one of their lines is positive.
func (g *Generator) cancel(j *invoice.Job) {
	g.name(j, "C")
	g.customer(j, 48)
	g.fill(j, g.length(cancelledLengths))
	for i := range j.Lines {
		j.Lines[i].Quantity = -j.Lines[i].Quantity
	}
	if g.options.Elaborate {
		j.CreditsTransactionID = g.sale
	}
}

// adjust books bad debt, as often away as back: negative prices are found nowhere else.
func (g *Generator) adjust(j *invoice.Job) {
	g.name(j, "A")
	g.customer(j, 1000)
	price := g.price(1106206, j.Currency)
	if g.rand.IntN(2) == 0 {
		price = -price
	}
	j.Lines = []invoice.Line{{SKU: "B", Description: "Adjust bad debt", Quantity: one, UnitPrice: price}}
}

// writeOff corrects the stock, for no money, in either direction and mostly without a word.
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
		line.Quantity = -line.Quantity
	}
	j.Lines = []invoice.Line{line}
}

func (g *Generator) name(j *invoice.Job, kind string) {
	j.TransactionID = kind + g.options.Prefix + strconv.Itoa(g.number)
}

// customer leaves both fields of so many jobs in a thousand as they would be for a sale over the counter.
func (g *Generator) customer(j *invoice.Job, missing int) {
	j.Country = countries[0]
	if g.rand.IntN(1000) < missing {
		return
	}
	id := 12346 + g.rand.IntN(4400)
	j.CustomerID = strconv.Itoa(id)
	if id%11 == 0 { // a customer stays where it is
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
		line.UnitPrice = 0 // given away
	case n < 3:
		line.UnitPrice += minorUnit(currency) / 2
	case n < 12:
		line.SKU, line.Description = "POST", "POSTAGE"
	case n < 14:
		line.SKU, line.Description = "BANK CHARGES", "Bank Charges"
	}
	return line
}

// product prefers the front of the catalogue, as customers do.
func (g *Generator) product() product {
	share := g.rand.Float64()
	return g.products[int(share*share*float64(len(g.products)))]
}

func (g *Generator) quantity() invoice.Decimal {
	quantity := pick(g.rand, quantities)
	if g.rand.IntN(2000) == 0 {
		quantity = 1000 + g.rand.IntN(80000)
	}
	return invoice.Decimal(quantity) * one
}

// length draws from quantiles: each stretch between two neighbours is as likely as every other.
func (g *Generator) length(quantiles []int) int {
	i := g.rand.IntN(len(quantiles) - 1)
	from, to := quantiles[i], quantiles[i+1]
	return min(from+g.rand.IntN(to-from+1), g.options.MaxLines)
}

// price is as many pence, or what looks like a price in a currency that counts otherwise: 255 is 255 in JPY and about
// 2.55 in BHD, where the third decimal is used too.
func (g *Generator) price(pence int, currency string) invoice.Decimal {
	minor := invoice.Decimal(pence)
	exponent, _ := invoice.MinorUnits(currency)
	for range exponent - 2 {
		minor = 10*minor + invoice.Decimal(g.rand.IntN(10))
	}
	return minor * minorUnit(currency)
}

const one invoice.Decimal = 1_000_000

// minorUnit is the smallest amount of the currency.
func minorUnit(currency string) invoice.Decimal {
	exponent, _ := invoice.MinorUnits(currency)
	unit := one
	for range exponent {
		unit /= 10
	}
	return unit
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }
