package checker

import (
	"fmt"
	"math/big"
	"slices"
)

// A row is a tax of the document.
type row struct {
	taxKey
	net, tax, added *big.Int // added is what the tax was taken on beside the net
	lines           int64
	exact, before   *big.Rat // in net prices: the tax, and what it was taken on beside the net
	in              []place
}

// A place is where a row's tax is in a group.
type place struct {
	*group
	i int
}

// count adds a group to the rows of its taxes.
func (c *calculation) count(g *group) {
	for i, t := range g.taxes {
		at := slices.IndexFunc(c.rows, func(r *row) bool { return r.taxKey == t.key() })
		if at < 0 {
			at = len(c.rows)
			c.rows = append(c.rows, &row{taxKey: t.key(), net: new(big.Int), exact: new(big.Rat), before: new(big.Rat)})
		}
		r := c.rows[at]
		r.in = append(r.in, place{g, i})
		if !g.repeats(i) {
			r.lines += g.count()
		}
		if g.gross {
			continue
		}
		r.exact.Add(r.exact, g.exact[i])
		if t.Compound {
			r.before.Add(r.before, sumOf(g.exact[:i]))
		}
		if g.repeats(i) {
			r.before.Add(r.before, new(big.Rat).SetInt(g.net))
		}
	}
}

// count is how many lines the group has.
func (g *group) count() int64 {
	n := int64(0)
	for _, p := range g.parts {
		if p.line >= 0 {
			n++
		}
	}
	return n
}

// repeats tells whether the tax is taken before in the group, so that its base counts twice.
func (g *group) repeats(i int) bool {
	return slices.ContainsFunc(g.taxes[:i], func(t taxRate) bool { return t.key() == g.taxes[i].key() })
}

// sum computes the row's tax.
func (r *row) sum() {
	r.tax = round(r.exact)
	for _, p := range r.in {
		if p.gross {
			r.tax.Add(r.tax, p.shares[p.i])
		}
	}
}

// take takes taxes that a tax service has computed, if they are near enough.
func (c *calculation) take() error {
	taken := make(map[taxKey]bool)
	for i := range c.TaxAmounts {
		given := &c.TaxAmounts[i]
		amount, err := c.minor(given.Amount)
		if err != nil {
			return err
		}
		key := taxKey{given.Code, given.Category, plain(given.Percent.Decimal)}
		at := slices.IndexFunc(c.rows, func(r *row) bool { return r.taxKey == key })
		if at < 0 || taken[key] {
			return fmt.Errorf("a tax is given at %v, where there is none or another one is given", key)
		}
		taken[key] = true
		r := c.rows[at]
		off := new(big.Int).Sub(amount, r.tax)
		if off.CmpAbs(big.NewInt(r.lines)) > 0 {
			return fmt.Errorf("the tax given at %v is %s, and %s with %d lines is far off", key, amount, r.tax, r.lines)
		}
		r.tax = amount
		r.giveWay(off)
	}
	return nil
}

// giveWay has the nets of gross groups make up for what a given tax is off, each by its lines.
func (r *row) giveWay(off *big.Int) {
	var in []place
	var weights []*big.Rat
	for _, p := range r.in {
		if !p.repeats(p.i) {
			in, weights = append(in, p), append(weights, big.NewRat(p.count(), 1))
		}
	}
	for i, part := range proportions(off, weights) {
		if p := in[i]; p.gross {
			p.shares[p.i].Add(p.shares[p.i], part)
			p.net.Sub(p.net, part)
		}
	}
}

// base sums up the nets of the row, and what its tax was taken on beside them: a column has the base that it was taken of.
func (r *row) base() {
	ofNet := new(big.Int) // a base of net prices is rounded as a whole
	for _, p := range r.in {
		switch {
		case p.repeats(p.i):
		case p.gross:
			r.net.Add(r.net, p.net)
		default:
			ofNet.Add(ofNet, p.net)
		}
	}
	r.net.Add(r.net, ofNet)
	r.added = round(new(big.Rat).Add(new(big.Rat).SetInt(ofNet), r.before))
	r.added.Sub(r.added, ofNet)
	for _, p := range r.in {
		if p.gross && p.repeats(p.i) {
			r.added.Add(r.added, p.net)
		}
		if p.gross && p.taxes[p.i].Compound {
			for _, before := range p.shares[:p.i] {
				r.added.Add(r.added, before)
			}
		}
	}
}
