package checker

import (
	"cmp"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/shopspring/decimal"
)

// The arithmetic of a document, written from the text of the design and in fractions. An amount is in minor units.

// A part is a line, or an allowance or a charge as far as it belongs to one group.
type part struct {
	line   int // its place among the lines, −1 for the others
	amount *big.Int
}

// A group is what is taxed alike, in one mode of prices.
type group struct {
	gross bool
	taxes []taxRate
	parts []part   // lines, then allowances, then charges
	lines *big.Int // what the lines of it sum to

	net    *big.Int
	exact  []*big.Rat // taxes of net prices
	shares []*big.Int // taxes in gross prices
}

// A document is what a job comes to.
type document struct {
	nets                          []*big.Int
	rows                          []*row
	subtotal, tax, total, payable *big.Int
}

type calculation struct {
	*request
	digits int32
	groups []*group
	rows   []*row
}

func (r *request) document() (*document, error) {
	c := &calculation{request: r}
	c.digits, _ = exponent(r.Currency)
	for i := range r.Lines {
		if err := c.line(i, &r.Lines[i]); err != nil {
			return nil, fmt.Errorf("line %d: %w", i, err)
		}
	}
	ofLines := len(c.groups)
	for i := range r.Allowances {
		if err := c.adjust(&r.Allowances[i], -1, ofLines); err != nil {
			return nil, fmt.Errorf("allowance %d: %w", i, err)
		}
	}
	for i := range r.Charges {
		if err := c.adjust(&r.Charges[i], 1, ofLines); err != nil {
			return nil, fmt.Errorf("charge %d: %w", i, err)
		}
	}
	for _, g := range c.groups {
		g.tax()
		c.count(g)
	}
	for _, row := range c.rows {
		row.sum()
	}
	if err := c.take(); err != nil {
		return nil, err
	}
	return c.finish()
}

// minor turns an amount into minor units, of which it has to be a whole number.
func (c *calculation) minor(n *number) (*big.Int, error) {
	if n == nil {
		return new(big.Int), nil
	}
	if n.Abs().GreaterThanOrEqual(decimal.New(1, 15)) {
		return nil, fmt.Errorf("%s is too big", n)
	}
	shifted := n.Shift(c.digits)
	if !shifted.IsInteger() {
		return nil, fmt.Errorf("%s has too many decimals", n)
	}
	return shifted.BigInt(), nil
}

func (c *calculation) line(i int, l *line) error {
	amount := new(big.Rat).Mul(l.Quantity.Rat(), l.UnitPrice.Rat())
	if l.BaseQuantity != nil {
		amount.Quo(amount, l.BaseQuantity.Rat())
	}
	if l.Discount != nil {
		amount.Mul(amount, new(big.Rat).Sub(big.NewRat(1, 1), fraction(l.Discount)))
	}
	off, err := c.minor(l.DiscountAmount)
	if err != nil {
		return err
	}
	on, err := c.minor(l.ChargeAmount)
	if err != nil {
		return err
	}
	amount.Mul(amount, new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(c.digits)), nil)))
	amount.Sub(amount, new(big.Rat).SetInt(off))
	amount.Add(amount, new(big.Rat).SetInt(on))
	g := c.group(l.gross(c.Prices), l.rates())
	whole := round(amount)
	g.parts = append(g.parts, part{i, whole})
	g.lines.Add(g.lines, whole)
	return nil
}

func (c *calculation) group(gross bool, taxes []taxRate) *group {
	for _, g := range c.groups {
		if g.gross == gross && slices.EqualFunc(g.taxes, taxes, taxRate.equal) {
			return g
		}
	}
	g := &group{gross: gross, taxes: taxes, lines: new(big.Int)}
	c.groups = append(c.groups, g)
	return g
}

// adjust spreads an allowance, whose sign is −1, or a charge.
func (c *calculation) adjust(a *adjustment, sign int64, ofLines int) error {
	gross := a.gross(c.Prices)
	amount, err := c.minor(a.Amount)
	if err != nil {
		return err
	}
	if a.Percent != nil && !a.Percent.IsZero() {
		sum := new(big.Int)
		for _, g := range c.groups[:ofLines] {
			if g.gross == gross {
				sum.Add(sum, g.lines)
			}
		}
		amount = round(new(big.Rat).Mul(new(big.Rat).SetInt(sum), fraction(a.Percent)))
	}
	if amount.Sign() == 0 {
		return nil // as if it weren't there
	}
	amount = new(big.Int).Mul(amount, big.NewInt(sign))
	if rates := a.rates(); len(rates) > 0 {
		g := c.group(gross, rates)
		g.parts = append(g.parts, part{-1, amount})
		return nil
	}
	var over []*group
	var weights []*big.Rat
	signs := make(map[int]bool)
	for _, g := range c.groups[:ofLines] {
		if g.gross == gross {
			over, weights = append(over, g), append(weights, new(big.Rat).SetInt(g.lines))
			if s := g.lines.Sign(); s != 0 {
				signs[s] = true
			}
		}
	}
	if len(signs) != 1 {
		return errors.New("there is nothing to share it over, so it has to name a rate")
	}
	for i, of := range proportions(amount, weights) {
		over[i].parts = append(over[i].parts, part{-1, of})
	}
	return nil
}

// tax computes a group's net and its taxes.
func (g *group) tax() {
	sum := new(big.Int)
	for _, p := range g.parts {
		sum.Add(sum, p.amount)
	}
	effective, all := g.effective()
	if !g.gross {
		g.net = sum
		for _, e := range effective {
			g.exact = append(g.exact, new(big.Rat).Mul(new(big.Rat).SetInt(sum), e))
		}
		return
	}
	contained := new(big.Rat).Quo(all, plusOne(all))
	tax := round(contained.Mul(contained, new(big.Rat).SetInt(sum)))
	g.net = new(big.Int).Sub(sum, tax)
	g.shares = proportions(tax, effective)
}

// effective are the rates on the net, each with what it is taken on, and their sum.
func (g *group) effective() (each []*big.Rat, sum *big.Rat) {
	sum = new(big.Rat)
	for _, t := range g.taxes {
		e := fraction(t.Percent)
		if t.Compound {
			e.Mul(e, plusOne(sum))
		}
		each, sum = append(each, e), new(big.Rat).Add(sum, e)
	}
	return each, sum
}

func (c *calculation) finish() (*document, error) {
	d := &document{
		nets: make([]*big.Int, len(c.Lines)), rows: c.rows,
		subtotal: new(big.Int), tax: new(big.Int), total: new(big.Int), payable: new(big.Int),
	}
	for _, g := range c.groups {
		d.subtotal.Add(d.subtotal, g.net)
		nets := g.nets()
		for i, p := range g.parts {
			if p.line >= 0 {
				d.nets[p.line] = nets[i]
			}
		}
	}
	for _, r := range c.rows {
		d.tax.Add(d.tax, r.tax)
		r.base()
	}
	slices.SortFunc(d.rows, func(a, b *row) int { return a.compare(b.taxKey) })
	d.total.Add(d.subtotal, d.tax)
	var all []*big.Int
	for _, g := range c.groups {
		for _, p := range g.parts {
			all = append(all, p.amount)
		}
	}
	return d, errors.Join(c.pay(d), d.fits(all))
}

// nets shares the group's net among its parts.
func (g *group) nets() []*big.Int {
	var parts []*big.Rat
	_, sum := g.effective()
	if !g.gross {
		sum = new(big.Rat)
	}
	for _, p := range g.parts {
		parts = append(parts, new(big.Rat).Quo(new(big.Rat).SetInt(p.amount), plusOne(sum)))
	}
	return around(parts, g.net)
}

func (c *calculation) pay(d *document) error {
	d.payable.Set(d.total)
	withheld := new(big.Int)
	for i := range c.Withholdings {
		w := &c.Withholdings[i]
		base, err := c.minor(w.Base)
		if err != nil {
			return err
		}
		if w.Base == nil {
			base = d.subtotal
		}
		withheld.Add(withheld, round(new(big.Rat).Mul(new(big.Rat).SetInt(base), fraction(w.Percent))))
	}
	if !withheld.IsInt64() {
		return fmt.Errorf("what is withheld, %s, is too big", withheld)
	}
	d.payable.Sub(d.payable, withheld)
	prepaid, err := c.minor(c.Prepaid)
	if err != nil {
		return err
	}
	rounding, err := c.minor(c.Rounding)
	if err != nil {
		return err
	}
	d.payable.Add(d.payable.Sub(d.payable, prepaid), rounding)
	for _, check := range []struct {
		expected *number
		is       *big.Int
	}{{c.ExpectedTotal, d.total}, {c.ExpectedPayable, d.payable}} {
		if expected, err := c.minor(check.expected); err != nil || check.expected != nil && expected.Cmp(check.is) != 0 {
			return cmp.Or(err, fmt.Errorf("expected is %s, it comes to %s", expected, check.is))
		}
	}
	return nil
}

// fits refuses what no bigint holds.
func (d *document) fits(amounts []*big.Int) error {
	all := slices.Concat(amounts, d.nets, []*big.Int{d.subtotal, d.tax, d.total, d.payable})
	for _, r := range d.rows {
		all = append(all, r.net, r.tax, new(big.Int).Add(r.net, r.added))
	}
	for _, amount := range all {
		if !amount.IsInt64() {
			return fmt.Errorf("an amount of %s is too big", amount)
		}
	}
	return nil
}

// figures are the amounts that the stored invoice has to have, in the form of [stored.figures].
func (d *document) figures() []string {
	payable := ""
	if d.payable.Cmp(d.total) != 0 {
		payable = d.payable.String()
	}
	told := []string{"subtotal_minor=" + d.subtotal.String(), "tax_minor=" + d.tax.String(), "total_minor=" + d.total.String(), "payable_minor=" + payable}
	for i, net := range d.nets {
		told = append(told, fmt.Sprintf("lines[%d].net_minor=%s", i, net))
	}
	for _, r := range d.rows {
		added := ""
		if r.added.Sign() != 0 {
			added = r.added.String()
		}
		told = append(told, taxFigure(r.percent, r.code, r.category, r.tax.String(), r.net.String(), added))
	}
	return told
}

func taxFigure(percent, code, category, tax, net, added string) string {
	named := "tax at " + strings.Join(slices.DeleteFunc([]string{percent, code, category}, func(s string) bool { return s == "" }), " ")
	if added != "" {
		net += " and taxes of " + added
	}
	return named + "=" + tax + " on " + net
}
