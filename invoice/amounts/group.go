package amounts

import (
	"math"
	"math/big"
	"math/bits"
	"slices"
	"strconv"

	"invoicer/invoice/decimal"
)

// A group is what has the same mode of prices and the same taxes.
type group struct {
	index int
	gross bool
	taxes []Tax
	rates rates

	lines  int     // how many lines it has
	amount big.Int // what all of its parts come to
	parts  []part

	// Of a gross group, what it contains of each of its taxes.
	contained []big.Int
	tax       big.Int // their sum
	net       big.Int
}

// A part is what a line, an allowance or a charge has in a gross group. What an allowance has is below zero.
type part struct {
	amount int64
	net    *int64 // where its net goes
	taken  bool   // an allowance states its amounts with the other sign
}

// groupOf returns the group of a line, an allowance or a charge.
func (c *calculation) groupOf(t *Terms) *group {
	gross := c.isGross(t)
	if n := len(c.groups); n > 0 && c.groups[n-1].holds(gross, t.Taxes) {
		return c.groups[n-1]
	}
	c.key = append(c.key[:0], "NG"[toInt(gross)])
	for i := range t.Taxes {
		tax := &t.Taxes[i]
		c.key = append(appendText(appendText(c.key, tax.Code), tax.Category), "- "[toInt(tax.Compound)])
		c.key = append(tax.Percent.Append(c.key), ',')
	}
	if g, ok := c.byTaxes[string(c.key)]; ok {
		return g
	}
	g := &group{index: len(c.groups), gross: gross, taxes: t.Taxes}
	g.rates.set(t.Taxes)
	if c.byTaxes == nil {
		c.byTaxes = make(map[string]*group)
	}
	c.byTaxes[string(c.key)] = g
	c.groups = append(c.groups, g)
	return g
}

func (g *group) holds(gross bool, taxes []Tax) bool {
	return g.gross == gross && slices.Equal(g.taxes, taxes)
}

func (c *calculation) isGross(t *Terms) bool {
	if t.Prices == AsDocument {
		return c.document.Prices == Gross
	}
	return t.Prices == Gross
}

func toInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// appendText appends a text in such a way that no two lists of texts give the same bytes.
func appendText(b []byte, s string) []byte {
	return append(append(strconv.AppendInt(b, int64(len(s)), 10), ':'), s...)
}

// add adds a part to the group.
func (g *group) add(p part) {
	g.amount.Add(&g.amount, big.NewInt(p.amount))
	if g.gross {
		g.parts = append(g.parts, p)
		return
	}
	if *p.net = p.amount; p.taken {
		*p.net = -p.amount
	}
}

// addLines computes what each line comes to, and adds it to its group.
func (c *calculation) addLines() {
	d := c.document
	c.result.Lines = make([]Part, len(d.Lines))
	var work lineWork
	for i := range d.Lines {
		l := &d.Lines[i]
		amount, ok := l.plainAmount(d.Exponent)
		if !ok {
			exact := work.amount(l, d.Exponent)
			if !exact.IsInt64() {
				c.problem(at("lines", i), tooBig)
				continue
			}
			amount = exact.Int64()
		}
		g, line := c.groupOf(&l.Terms), &c.result.Lines[i]
		line.Group, line.Amount = g.index, amount
		g.lines++
		g.add(part{amount: amount, net: &line.Net})
	}
}

// plainAmount returns what a line of nothing but quantity and price comes to. It returns false for any other line, and for numbers
// that are large or have many decimals.
func (l *Line) plainAmount(exponent int) (int64, bool) {
	if !l.BaseQuantity.IsZero() || !l.DiscountPercent.IsZero() || !l.DiscountAmount.IsZero() || !l.ChargeAmount.IsZero() {
		return 0, false
	}
	quantity, fine := l.Quantity.Millionths()
	price, alsoFine := l.UnitPrice.Millionths()
	high, low := bits.Mul64(uint64(max(quantity, -quantity)), uint64(max(price, -price)))
	if !fine || !alsoFine || high != 0 || low > math.MaxInt64 {
		return 0, false
	}
	product, divisor := quantity*price, int64(1)
	for range 2*6 - exponent {
		divisor *= 10
	}
	amount, rest := product/divisor, product%divisor
	switch half := divisor / 2; {
	case rest >= half:
		amount++
	case rest <= -half:
		amount--
	}
	return amount, true
}

// A lineWork holds the intermediate results of one line after the other.
type lineWork struct{ product, factor, divisor big.Int }

// amount returns quantity × unit price / base quantity × (1 − discount percent/100) − discount amount + charge amount, rounded.
func (w *lineWork) amount(l *Line, exponent int) *big.Int {
	places := 2*decimal.Places - exponent
	l.Quantity.Int(&w.product)
	w.product.Mul(&w.product, l.UnitPrice.Int(&w.factor))
	if !l.DiscountPercent.IsZero() {
		left := l.DiscountPercent.Neg().Int(&w.factor)
		w.product.Mul(&w.product, left.Add(left, power10(percentPlaces)))
		places += percentPlaces
	}
	divisor := power10(places)
	if !l.BaseQuantity.IsZero() {
		w.product.Mul(&w.product, power10(decimal.Places))
		divisor = w.divisor.Mul(l.BaseQuantity.Int(&w.divisor), divisor)
	}
	discount, _ := l.DiscountAmount.Scaled(exponent)
	charge, _ := l.ChargeAmount.Scaled(exponent)
	if discount != 0 || charge != 0 {
		added := w.factor.SetInt64(charge)
		added.Sub(added, big.NewInt(discount))
		w.product.Add(&w.product, added.Mul(added, divisor))
	}
	return rounded(&w.product, divisor)
}

// rates are the effective rates of a list of taxes: units × 10^-places each.
type rates struct {
	each   []big.Int
	sum    big.Int
	places int
}

func (r *rates) set(taxes []Tax) {
	decimals := 0
	for i := range taxes {
		decimals = max(decimals, taxes[i].Percent.Decimals())
	}
	places := decimals + 2 // of each percentage as a factor: 5 % is 0.05
	r.each, r.places = make([]big.Int, len(taxes)), places
	var factor big.Int
	for i := range taxes {
		percent, _ := taxes[i].Percent.Scaled(decimals)
		rate := r.each[i].SetInt64(percent)
		if !taxes[i].Compound {
			rate.Mul(rate, power10(r.places-places))
			r.sum.Add(&r.sum, rate)
			continue
		}
		// The product has more decimals, so the rates before it are brought to as many.
		rate.Mul(rate, factor.Add(&r.sum, r.one()))
		r.places += places
		for before := range i {
			r.each[before].Mul(&r.each[before], power10(places))
		}
		r.sum.Mul(&r.sum, power10(places))
		r.sum.Add(&r.sum, rate)
	}
}

// one returns 1 in the units of the rates.
func (r *rates) one() *big.Int { return power10(r.places) }
