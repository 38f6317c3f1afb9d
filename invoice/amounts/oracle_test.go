package amounts_test

import (
	"fmt"
	"math/big"
	"sort"
	"strings"

	"invoicer/invoice/amounts"
	"invoicer/invoice/decimal"
)

type oracleGroup struct {
	gross   bool
	taxes   []amounts.Tax
	e       []*big.Rat
	r       *big.Rat
	lines   int
	ofLines *big.Rat
	parts   []*big.Rat // lines, allowance shares below zero, charges
	names   []string   // of the parts
	sum     *big.Rat
	shares  []*big.Rat // of a gross group: of its tax
	net     *big.Rat
}

// An oracle has what a document comes to, by name.
type oracle struct {
	d      *amounts.Document
	groups []*oracleGroup
	by     map[string]*oracleGroup

	amounts  map[string]*big.Rat
	problems map[string]bool
}

func ask(d *amounts.Document) *oracle {
	o := &oracle{d: d, by: map[string]*oracleGroup{}, amounts: map[string]*big.Rat{}, problems: map[string]bool{}}
	for _, step := range []func(){o.lines, o.adjustments, o.taxes, o.totals, o.expected} {
		if step(); len(o.problems) > 0 {
			break
		}
	}
	return o
}

// scale returns an amount in minor units, not rounded.
func (o *oracle) scale(r *big.Rat) *big.Rat {
	for range o.d.Exponent {
		r = times(r, whole(10))
	}
	return r
}

func (o *oracle) set(name string, amount *big.Rat, field string) {
	o.amounts[name] = amount
	if !amount.IsInt() || !amount.Num().IsInt64() {
		o.problems[field] = true
	}
}

func (o *oracle) isGross(t amounts.Terms) bool {
	return t.Prices == amounts.Gross || t.Prices == amounts.AsDocument && o.d.Prices == amounts.Gross
}

func (o *oracle) group(t amounts.Terms) *oracleGroup {
	key := fmt.Sprintf("%v", o.isGross(t))
	for _, tax := range t.Taxes {
		key += fmt.Sprintf("|%q %q %s %v", tax.Code, tax.Category, tax.Percent, tax.Compound)
	}
	if g := o.by[key]; g != nil {
		return g
	}
	g := &oracleGroup{gross: o.isGross(t), taxes: t.Taxes, r: new(big.Rat), sum: new(big.Rat), ofLines: new(big.Rat)}
	for _, tax := range t.Taxes {
		e := over(fraction(tax.Percent), whole(100))
		if tax.Compound {
			e = times(e, plus(whole(1), g.r))
		}
		g.e, g.r = append(g.e, e), plus(g.r, e)
	}
	o.by[key], o.groups = g, append(o.groups, g)
	return g
}

func (g *oracleGroup) add(name string, amount *big.Rat) {
	g.parts, g.names, g.sum = append(g.parts, amount), append(g.names, name), plus(g.sum, amount)
}

func (o *oracle) lines() {
	for i, l := range o.d.Lines {
		base := fraction(l.BaseQuantity)
		if base.Sign() == 0 {
			base = whole(1)
		}
		amount := over(times(fraction(l.Quantity), fraction(l.UnitPrice)), base)
		amount = times(amount, minus(whole(1), over(fraction(l.DiscountPercent), whole(100))))
		amount = plus(minus(amount, fraction(l.DiscountAmount)), fraction(l.ChargeAmount))
		amount = half(o.scale(amount))
		name := fmt.Sprintf("lines[%d]", i)
		o.set(name, amount, name)
		g := o.group(l.Terms)
		g.lines++
		g.ofLines = plus(g.ofLines, amount)
		g.add(name, amount)
	}
}

func (o *oracle) adjustments() {
	for _, list := range []struct {
		name string
		all  []amounts.Adjustment
		sign int64
	}{{"allowances", o.d.Allowances, -1}, {"charges", o.d.Charges, 1}} {
		for i, a := range list.all {
			o.adjust(fmt.Sprintf("%s[%d]", list.name, i), a, whole(list.sign))
		}
	}
}

func (o *oracle) adjust(name string, a amounts.Adjustment, sign *big.Rat) {
	ofLines, above, below := new(big.Rat), false, false
	var groups []*oracleGroup
	for _, g := range o.groups {
		if g.gross == o.isGross(a.Terms) {
			ofLines, groups = plus(ofLines, g.ofLines), append(groups, g)
			above, below = above || g.ofLines.Sign() > 0, below || g.ofLines.Sign() < 0
		}
	}
	amount := o.scale(fraction(a.Amount))
	if !a.Percent.IsZero() {
		amount = half(times(ofLines, over(fraction(a.Percent), whole(100))))
	}
	o.set(name, amount, name)
	switch {
	case amount.Sign() == 0:
	case len(a.Taxes) > 0:
		o.group(a.Terms).add(name, times(amount, sign))
	case above == below:
		o.problems[name+".taxes"] = true
	default:
		var parts []*big.Rat
		for _, g := range groups {
			parts = append(parts, times(amount, over(g.ofLines, ofLines)))
		}
		for i, share := range apportion(amount, parts) {
			if share.Sign() != 0 {
				groups[i].add(name, times(share, sign))
			}
		}
	}
}

// rateName is the name of a tax row.
func rateName(code, category string, percent decimal.Decimal) string {
	return fmt.Sprintf("%q %q %s", code, category, percent)
}

func (o *oracle) taxes() {
	exact, shares, lines := map[string]*big.Rat{}, map[string]*big.Rat{}, map[string]int{}
	in := map[string][]*oracleGroup{}
	var names []string
	for _, g := range o.groups {
		if g.gross {
			tax := half(over(times(g.sum, g.r), plus(whole(1), g.r)))
			var parts []*big.Rat
			for i := range g.taxes {
				if g.r.Sign() == 0 {
					parts = append(parts, new(big.Rat))
				} else {
					parts = append(parts, over(times(tax, g.e[i]), g.r))
				}
			}
			g.shares = apportion(tax, parts)
		}
		for i, tax := range g.taxes {
			name := rateName(tax.Code, tax.Category, tax.Percent)
			if exact[name] == nil {
				exact[name], shares[name] = new(big.Rat), new(big.Rat)
				names = append(names, name)
			}
			if all := in[name]; len(all) == 0 || all[len(all)-1] != g {
				in[name] = append(all, g)
				lines[name] += g.lines
			}
			if g.gross {
				shares[name] = plus(shares[name], g.shares[i])
			} else {
				exact[name] = plus(exact[name], times(g.sum, g.e[i]))
			}
		}
	}
	for _, name := range names {
		o.amounts["tax "+name] = plus(half(exact[name]), shares[name])
	}
	for i, given := range o.d.TaxAmounts {
		name := rateName(given.Code, given.Category, given.Percent)
		difference := minus(o.scale(fraction(given.Amount)), o.amounts["tax "+name])
		if new(big.Rat).Abs(difference).Cmp(whole(int64(lines[name]))) > 0 {
			o.problems[fmt.Sprintf("tax_amounts[%d].amount", i)] = true
		} else if difference.Sign() != 0 {
			o.give(name, difference, in[name], lines[name])
		}
	}
	if len(o.problems) > 0 {
		return
	}
	o.nets(names, in)
}

// give changes a computed tax to the given one.
func (o *oracle) give(name string, difference *big.Rat, groups []*oracleGroup, lines int) {
	o.amounts["tax "+name] = plus(o.amounts["tax "+name], difference)
	var parts []*big.Rat
	for _, g := range groups {
		parts = append(parts, over(times(difference, whole(int64(g.lines))), whole(int64(lines))))
	}
	for i, part := range apportion(difference, parts) {
		for n, tax := range groups[i].taxes {
			if groups[i].gross && rateName(tax.Code, tax.Category, tax.Percent) == name {
				groups[i].shares[n] = plus(groups[i].shares[n], part)
				break
			}
		}
	}
}

// nets computes the nets of groups, rows and parts, and the bases of rows.
func (o *oracle) nets(names []string, in map[string][]*oracleGroup) {
	exactBase, wholeBase := map[string]*big.Rat{}, map[string]*big.Rat{}
	for _, name := range names {
		exactBase[name], wholeBase[name] = new(big.Rat), new(big.Rat)
	}
	for _, g := range o.groups {
		g.net = g.sum
		nets := g.parts
		if g.gross {
			for _, s := range g.shares {
				g.net = minus(g.net, s)
			}
			var parts []*big.Rat
			for _, p := range g.parts {
				parts = append(parts, over(p, plus(whole(1), g.r)))
			}
			nets = apportion(g.net, parts)
		}
		for i, name := range g.names {
			key := "net " + name
			if o.amounts[key] == nil {
				o.amounts[key] = new(big.Rat)
			}
			o.amounts[key] = plus(o.amounts[key], nets[i])
		}
		before, taxBefore := new(big.Rat), new(big.Rat)
		for i, tax := range g.taxes {
			name := rateName(tax.Code, tax.Category, tax.Percent)
			base := g.net
			switch {
			case g.gross && tax.Compound:
				base = plus(base, taxBefore)
			case tax.Compound:
				base = times(base, plus(whole(1), before))
			}
			if before = plus(before, g.e[i]); g.gross {
				taxBefore = plus(taxBefore, g.shares[i])
				wholeBase[name] = plus(wholeBase[name], base)
			} else {
				exactBase[name] = plus(exactBase[name], base)
			}
		}
	}
	for _, name := range names {
		net := new(big.Rat)
		for _, g := range in[name] {
			net = plus(net, g.net)
		}
		o.amounts["row net "+name] = net
		o.amounts["row base "+name] = plus(half(exactBase[name]), wholeBase[name])
	}
}

func (o *oracle) totals() {
	subtotal, tax := new(big.Rat), new(big.Rat)
	for _, g := range o.groups {
		subtotal = plus(subtotal, g.net)
		field := "tax"
		if len(g.taxes) == 0 {
			field = "subtotal"
		}
		o.set("group", g.sum, field)
		o.set("group", g.net, field)
	}
	for name, amount := range o.amounts {
		if strings.HasPrefix(name, "tax ") {
			tax = plus(tax, amount)
			for _, of := range []string{"tax ", "row net ", "row base "} {
				o.set(of+name[4:], o.amounts[of+name[4:]], "tax")
			}
		}
	}
	o.set("subtotal", subtotal, "subtotal")
	o.set("tax", tax, "tax")
	if len(o.problems) > 0 {
		return
	}
	total, withheld := plus(subtotal, tax), new(big.Rat)
	if o.set("total", total, "total"); len(o.problems) > 0 {
		return
	}
	for i, w := range o.d.Withholdings {
		base := subtotal
		if w.Base != nil {
			base = o.scale(fraction(*w.Base))
		}
		name := fmt.Sprintf("withholdings[%d]", i)
		o.set(name, half(over(times(base, fraction(w.Percent)), whole(100))), name)
		withheld = plus(withheld, o.amounts[name])
	}
	if o.set("withheld", withheld, "withholdings"); len(o.problems) > 0 {
		return
	}
	payable := minus(minus(total, withheld), o.scale(fraction(o.d.Prepaid)))
	o.set("payable", plus(payable, o.scale(fraction(o.d.Rounding))), "payable")
}

func (o *oracle) expected() {
	if e := o.d.ExpectedTotal; e != nil && o.scale(fraction(*e)).Cmp(o.amounts["total"]) != 0 {
		o.problems["expected_total"] = true
	}
	if e := o.d.ExpectedPayable; e != nil && o.scale(fraction(*e)).Cmp(o.amounts["payable"]) != 0 {
		o.problems["expected_payable"] = true
	}
}

// fields returns the names of the fields with problems.
func (o *oracle) fields() (fields []string) {
	for field := range o.problems {
		fields = append(fields, field)
	}
	sort.Strings(fields)
	return fields
}
