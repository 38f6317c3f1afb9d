package amounts

import "math/big"

// addAdjustments computes what each allowance and charge comes to, and adds it to its group, or shares it over those of its mode.
func (c *calculation) addAdjustments() {
	d := c.document
	if len(d.Allowances) == 0 && len(d.Charges) == 0 {
		return
	}
	modes := map[bool]*mode{false: {}, true: {}}
	for _, g := range c.groups {
		if m := modes[g.gross]; g.amount.Sign() != 0 { // nothing but lines so far
			m.groups = append(m.groups, g)
			m.sums = append(m.sums, new(big.Int).Set(&g.amount))
			m.sum.Add(&m.sum, &g.amount)
			m.mixed = m.mixed || g.amount.Sign() != m.groups[0].amount.Sign()
		}
	}
	c.result.Allowances = c.adjust("allowances", d.Allowances, modes, true)
	c.result.Charges = c.adjust("charges", d.Charges, modes, false)
}

// A mode is what the lines with one mode of prices come to.
type mode struct {
	groups []*group   // those with lines that don't come to 0
	sums   []*big.Int // what their lines come to
	sum    big.Int
	mixed  bool // some sums are above 0, and some below
}

func (c *calculation) adjust(list string, adjustments []Adjustment, modes map[bool]*mode, taken bool) []Adjusted {
	all := make([]Adjusted, len(adjustments))
	for i := range adjustments {
		a, adjusted := &adjustments[i], &all[i]
		of := modes[c.isGross(&a.Terms)]
		amount := big.NewInt(c.minor(a.Amount))
		if !a.Percent.IsZero() {
			amount = percentage(&of.sum, a.Percent)
		}
		adjusted.Amount = c.whole(amount, at(list, i))
		switch {
		case adjusted.Amount == 0:
		case len(a.Taxes) > 0:
			g := c.groupOf(&a.Terms)
			adjusted.Shares = []Part{{Group: g.index, Amount: adjusted.Amount}}
		case len(of.groups) == 0 || of.mixed:
			c.problem(at(list, i)+".taxes", "must be stated, since the amount can't be shared over the rates of the lines: what the lines of each rate come to is 0, or differs in sign")
		default:
			adjusted.Shares = c.spread(amount, of, at(list, i))
		}
		for n := range adjusted.Shares {
			share := &adjusted.Shares[n]
			p := part{amount: share.Amount, net: &share.Net, taken: taken}
			if taken {
				p.amount = -p.amount
			}
			c.groups[share.Group].add(p)
		}
	}
	return all
}

// spread shares an amount over the groups of a mode, in proportion to what their lines come to.
func (c *calculation) spread(amount *big.Int, of *mode, field string) []Part {
	parts := make([]big.Int, len(of.sums))
	denominator := new(big.Int).Abs(&of.sum)
	for i := range of.sums {
		parts[i].Mul(amount, of.sums[i])
		if of.sum.Sign() < 0 {
			parts[i].Neg(&parts[i])
		}
	}
	var shares []Part
	for i, s := range share(amount, parts, denominator) {
		if s.Sign() != 0 {
			shares = append(shares, Part{Group: of.groups[i].index, Amount: c.whole(&s, field)})
		}
	}
	return shares
}
