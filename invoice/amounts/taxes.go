package amounts

import (
	"cmp"
	"math/big"
	"slices"
	"strings"

	"invoicer/invoice/decimal"
)

// A rate is what tax rows are by.
type rate struct {
	code, category string
	percent        decimal.Decimal
}

func (t *Tax) rate() rate { return rate{t.Code, t.Category, t.Percent} }

// A row sums up the taxes of one rate.
type row struct {
	rate

	groups []member // in which it is
	lines  int      // how many lines these have

	netTaxes   exact   // the taxes of the net groups
	grossTaxes big.Int // the taxes of the gross groups
	tax        big.Int // of both

	net        big.Int // of all groups
	netBases   exact   // what the taxes of the net groups are of
	grossBases big.Int // what those of the gross groups are of
}

// A member is a group with a row's rate.
type member struct {
	group *group
	at    int // index of the first tax with this rate
}

// addTaxes computes the taxes of each group and puts them into rows.
func (c *calculation) addTaxes() {
	rows := make(map[rate]*row)
	for _, g := range c.groups {
		if g.gross {
			g.contain()
		}
		for i := range g.taxes {
			key := g.taxes[i].rate()
			r := rows[key]
			if r == nil {
				r = &row{rate: key}
				rows[key] = r
				c.rows = append(c.rows, r)
			}
			if n := len(r.groups); n == 0 || r.groups[n-1].group != g {
				r.groups = append(r.groups, member{g, i})
				r.lines += g.lines
			}
			if g.gross {
				r.grossTaxes.Add(&r.grossTaxes, &g.contained[i])
			} else {
				r.netTaxes.add(new(big.Int).Mul(&g.amount, &g.rates.each[i]), g.rates.places)
			}
		}
	}
	for _, r := range c.rows {
		r.tax.Add(r.netTaxes.rounded(), &r.grossTaxes)
	}
	c.takeGiven(rows)
	if len(c.problems) > 0 {
		return
	}
	for _, g := range c.groups {
		c.divide(g)
	}
	for _, r := range c.rows {
		for _, m := range r.groups {
			r.net.Add(&r.net, &m.group.net)
		}
	}
	c.addBases(rows)
	slices.SortFunc(c.rows, func(a, b *row) int {
		return cmp.Or(a.percent.Cmp(b.percent), strings.Compare(a.code, b.code), strings.Compare(a.category, b.category))
	})
}

// contain computes the tax that a gross group contains, and shares it over its taxes.
func (g *group) contain() {
	withTaxes := new(big.Int).Add(g.rates.one(), &g.rates.sum)
	contained := rounded(new(big.Int).Mul(&g.amount, &g.rates.sum), withTaxes)
	if g.rates.sum.Sign() == 0 {
		g.contained = make([]big.Int, len(g.taxes))
		return
	}
	parts := make([]big.Int, len(g.taxes))
	for i := range parts {
		parts[i].Mul(contained, &g.rates.each[i])
	}
	g.contained = share(contained, parts, &g.rates.sum)
}

// divide computes a group's net, and shares that of a gross group over its parts.
func (c *calculation) divide(g *group) {
	if !g.gross {
		g.net.Set(&g.amount)
		return
	}
	for i := range g.contained {
		g.tax.Add(&g.tax, &g.contained[i])
	}
	g.net.Sub(&g.amount, &g.tax)
	parts := make([]big.Int, len(g.parts))
	for i := range parts {
		parts[i].Mul(big.NewInt(g.parts[i].amount), g.rates.one())
	}
	withTaxes := new(big.Int).Add(g.rates.one(), &g.rates.sum)
	nets := share(&g.net, parts, withTaxes)
	for i := range nets {
		p := &g.parts[i]
		if *p.net = c.whole(&nets[i], "subtotal"); p.taken {
			*p.net = -*p.net
		}
	}
}

// addBases adds up what the percentage of each row is of: the net, or for a compound tax the net and the taxes before it.
func (c *calculation) addBases(rows map[rate]*row) {
	var before, base big.Int
	for _, g := range c.groups {
		before.SetInt64(0)
		for i := range g.taxes {
			r := rows[g.taxes[i].rate()]
			if g.gross {
				if base.Set(&g.net); g.taxes[i].Compound {
					base.Add(&base, &before)
				}
				r.grossBases.Add(&r.grossBases, &base)
				before.Add(&before, &g.contained[i])
				continue
			}
			if base.Set(g.rates.one()); g.taxes[i].Compound {
				base.Add(&base, &before)
			}
			r.netBases.add(base.Mul(&base, &g.amount), g.rates.places)
			before.Add(&before, &g.rates.each[i])
		}
	}
}

// takeGiven puts the taxes that a tax service has computed in the place of the computed ones.
func (c *calculation) takeGiven(rows map[rate]*row) {
	seen := make(map[rate]bool)
	for i := range c.document.TaxAmounts {
		given := &c.document.TaxAmounts[i]
		key := rate{given.Code, given.Category, given.Percent}
		r := rows[key]
		switch {
		case r == nil:
			c.problem(at("tax_amounts", i), "names a code, category and percentage that are on no line, allowance or charge")
			continue
		case seen[key]:
			c.problem(at("tax_amounts", i), "names a rate whose amount is given already")
			continue
		}
		seen[key] = true
		amount := big.NewInt(c.minor(given.Amount))
		difference := new(big.Int).Sub(amount, &r.tax)
		if bound := big.NewInt(int64(r.lines)); difference.CmpAbs(bound) > 0 {
			c.problem(at("tax_amounts", i)+".amount", c.disagreement(amount, "the tax", &r.tax)+
				": it may differ by "+text(bound, c.document.Exponent)+", the smallest amount for each line with that rate")
			continue
		}
		r.take(difference)
	}
}

// take changes the row's tax by a difference, which is shared over its groups by their numbers of lines.
func (r *row) take(difference *big.Int) {
	if difference.Sign() == 0 {
		return
	}
	r.tax.Add(&r.tax, difference)
	parts := make([]big.Int, len(r.groups))
	for i, m := range r.groups {
		parts[i].Mul(difference, big.NewInt(int64(m.group.lines)))
	}
	for i, part := range share(difference, parts, big.NewInt(int64(r.lines))) {
		if g := r.groups[i]; g.group.gross {
			contained := &g.group.contained[g.at]
			contained.Add(contained, &part)
		}
	}
}

// report puts groups and rows into the result. What doesn't fit is a problem of the sum that it belongs to.
func (c *calculation) report() {
	c.result.Groups = make([]Group, len(c.groups))
	for i, g := range c.groups {
		sum := "subtotal"
		if len(g.taxes) > 0 {
			sum = "tax"
		}
		prices := Net
		if g.gross {
			prices = Gross
		}
		c.result.Groups[i] = Group{
			Prices: prices, Taxes: g.taxes,
			Amount: c.whole(&g.amount, sum), Net: c.whole(&g.net, sum), Tax: c.whole(&g.tax, sum),
		}
	}
	c.result.Taxes = make([]TaxRow, len(c.rows))
	for i, r := range c.rows {
		base := r.netBases.rounded()
		c.result.Taxes[i] = TaxRow{
			Code: r.code, Category: r.category, Percent: r.percent,
			Net: c.whole(&r.net, "tax"), Base: c.whole(base.Add(base, &r.grossBases), "tax"), Tax: c.whole(&r.tax, "tax"),
		}
	}
	for _, list := range [][]Adjusted{c.result.Allowances, c.result.Charges} {
		for i := range list {
			for n := range list[i].Shares {
				list[i].Net += list[i].Shares[n].Net
			}
		}
	}
}
