package check

import (
	"fmt"
	"maps"
	"math/big"
	"slices"

	"invoicer/invoice"
	"invoicer/invoice/document"
	"invoicer/invoice/document/node"
)

// addUp compares each sum with what it is of: to the cent for BR-CO-10 to -16, and by as much as the rules of the syntax allow for bases and
// amounts of VAT. What is off by less is a note. Sums of which a part is missing aren't looked at.
func (r *reading) addUp() {
	d := r.Document
	t := &d.Totals
	if r.Claim.Lines {
		lines := sum(len(d.Lines), func(n int) document.Decimal { return d.Lines[n].Net })
		r.compare("BR-CO-10", "BT-106", t.Lines, lines, "BT-131")
	}
	if r.Claim.Breakdown {
		r.compare("BR-CO-11", "BT-107", t.Allowances, adjusted(d.Allowances), "BT-92")
		r.compare("BR-CO-12", "BT-108", t.Charges, adjusted(d.Charges), "BT-99")
		net := rat(t.Lines)
		net.Sub(net, rat(t.Allowances)).Add(net, rat(t.Charges))
		r.compare("BR-CO-13", "BT-109", t.Net, net, "BT-106")
		r.compare("BR-CO-14", "BT-110", t.Tax, sum(len(d.Taxes), func(n int) document.Decimal { return d.Taxes[n].Amount }), "BT-117")
	}
	gross := rat(t.Net)
	if gross.Add(gross, rat(t.Tax)); r.missing["BT-110"] {
		delete(r.missing, "BT-110") // it may be missing where it is 0
	}
	r.compare("BR-CO-15", "BT-112", t.Gross, gross, "BT-109", "BT-110")
	if r.ownTaxes > 1 {
		r.find("BR-CO-15", "BT-110", onDocument, fmt.Sprintf("the VAT (BT-110) is stated %d times in the document's currency", r.ownTaxes))
	}
	if r.Claim.Breakdown {
		due := rat(t.Gross)
		due.Sub(due, rat(t.Prepaid)).Add(due, rat(t.Rounding))
		r.compare("BR-CO-16", "BT-115", t.Payable, due, "BT-112")
	}
	r.addTaxes()
	for n := range d.Allowances {
		r.addAdjustment(&d.Allowances[n], "BT-92", fmt.Sprintf("allowance %d", n+1))
	}
	for n := range d.Charges {
		r.addAdjustment(&d.Charges[n], "BT-99", fmt.Sprintf("charge %d", n+1))
	}
	for n := range d.Lines {
		r.addLine(&d.Lines[n])
	}
}

func adjusted(list []document.Adjustment) *big.Rat {
	return sum(len(list), func(n int) document.Decimal { return list[n].Amount })
}

// compare makes a finding of a sum of the document that isn't what it comes to, unless it or something that it is of is missing.
func (r *reading) compare(rule, bt string, stated document.Decimal, computed *big.Rat, of ...string) {
	for _, part := range append(of, bt) {
		if r.missing[part] {
			return
		}
	}
	if rat(stated).Cmp(computed) != 0 {
		add(r, &r.Findings, r.off(rule, bt, onDocument, stated, computed))
	}
}

// off is the finding that a number isn't what it comes to.
func (r *reading) off(rule, bt, where string, stated document.Decimal, computed *big.Rat) Finding {
	const decimals = 2
	return Finding{rule, bt, where, fmt.Sprintf("%s (%s)", terms[bt].name, bt), node.Fixed(stated, decimals), spelled(computed)}
}

const (
	percent = 100
	onTaxes = "VAT breakdown"
)

const lessThanAllowed = ", which is off by less than the rules allow,"

// half is half of the document's smallest amount, by which rounding may be off.
func (r *reading) half() *big.Rat {
	decimals, ok := invoice.MinorUnits(r.Document.Currency)
	if !ok {
		decimals = 2
	}
	return new(big.Rat).SetFrac(big.NewInt(1), new(big.Int).Mul(big.NewInt(2), new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(decimals)), nil)))
}

// slack is how far a rounded amount may be off: 0.02, or half of the smallest amount of a currency that has no 0.02.
func (r *reading) slack() *big.Rat {
	allowed := big.NewRat(2, percent)
	if half := r.half(); half.Cmp(allowed) > 0 {
		allowed = half
	}
	return allowed
}

// whereTax names a row of the VAT breakdown.
func whereTax(t *document.Tax) string {
	where := "VAT " + shortened(t.Category)
	if t.Percent != nil {
		where += " " + t.Percent.String() + " %"
	}
	return where
}

// A kind is what has one row in the breakdown: a category with its rate. Where a category has one rate, it is the category alone.
type kind struct {
	category string
	percent  document.Decimal
}

func kindOf(r document.Rate) kind {
	k := kind{category: r.Category}
	if r.Percent != nil && !untaxed(r.Category) {
		k.percent = *r.Percent
	}
	return k
}

// untaxed reports whether a category's rate is always 0.
func untaxed(category string) bool {
	switch category {
	case "Z", "E", "AE", "K", "G", "O":
		return true
	}
	return false
}

// addTaxes looks at the VAT breakdown: whether each category has a row, what the rows' bases come to, and what VAT that makes.
func (r *reading) addTaxes() {
	d := r.Document
	bases := make(map[kind]*big.Rat)
	used := make(map[string]string) // categories, and where they are used first
	add := func(rate document.Rate, amount document.Decimal, sign int64, where string) {
		k := kindOf(rate)
		if bases[k] == nil {
			bases[k] = new(big.Rat)
		}
		bases[k].Add(bases[k], new(big.Rat).Mul(rat(amount), big.NewRat(sign, 1)))
		if _, is := used[rate.Category]; !is && rate.Category != "" {
			used[rate.Category] = where
		}
	}
	for n := range d.Lines {
		add(d.Lines[n].Rate, d.Lines[n].Net, 1, "line "+shortened(d.Lines[n].ID))
	}
	for n := range d.Allowances {
		add(d.Allowances[n].Rate, d.Allowances[n].Amount, -1, fmt.Sprintf("allowance %d", n+1))
	}
	for n := range d.Charges {
		add(d.Charges[n].Rate, d.Charges[n].Amount, 1, fmt.Sprintf("charge %d", n+1))
	}
	for n := range d.Taxes {
		t := &d.Taxes[n]
		delete(used, t.Category)
		if base := bases[kindOf(t.Rate)]; r.Claim.Lines && !r.missing["BT-116"] && !r.missing["BT-131"] && t.Category != "" {
			if base == nil {
				base = new(big.Rat)
			}
			r.within("BR-"+family(t.Category)+"-08", "BT-116", whereTax(t), t.Base, base, r.baseMayBeOff(t.Category))
		}
		if !r.missing["BT-117"] && !r.missing["BT-116"] {
			r.addTax(t)
		}
	}
	if !r.Claim.Breakdown {
		return
	}
	for _, category := range slices.Sorted(maps.Keys(used)) {
		r.find("BR-"+family(category)+"-01", "BT-118", used[category], fmt.Sprintf("is of the category %s, which has no row in the VAT breakdown", shortened(category)))
	}
}

// baseMayBeOff reports whether the official rules take a base that is off by less than 1, which isn't the same in both syntaxes.
func (r *reading) baseMayBeOff(category string) bool {
	switch category {
	case "S":
		return r.Syntax != CII
	case "L", "M":
		return true
	case "O":
		return false
	}
	return r.Syntax == CII
}

// within compares a number of a row of the breakdown: what is off by less than 1 is a note if the official rules take it.
func (r *reading) within(rule, bt, where string, stated document.Decimal, computed *big.Rat, allowed bool) {
	off := new(big.Rat).Sub(rat(stated), computed)
	if off.Sign() == 0 {
		return
	}
	f := r.off(rule, bt, where, stated, computed)
	if allowed && off.Abs(off).Cmp(big.NewRat(1, 1)) < 0 {
		f.Message += lessThanAllowed
		add(r, &r.Notes, f)
		return
	}
	add(r, &r.Findings, f)
}

func (r *reading) addTax(t *document.Tax) {
	if untaxed(t.Category) {
		r.within("BR-"+family(t.Category)+"-09", "BT-117", whereTax(t), t.Amount, new(big.Rat), false)
		return
	}
	exact := new(big.Rat)
	if t.Percent != nil {
		exact.Mul(rat(t.Base), rat(*t.Percent)).Quo(exact, big.NewRat(percent, 1))
	}
	if off := new(big.Rat).Sub(rat(t.Amount), exact); off.Abs(off).Cmp(r.half()) <= 0 {
		return // rounded
	}
	const decimals = 2
	rounded, _ := new(big.Rat).SetString(exact.FloatString(decimals)) // half away from zero, as the rule does
	r.within("BR-CO-17", "BT-117", whereTax(t), t.Amount, rounded, true)
}

// family is how the rules of a category are named.
func family(category string) string {
	switch category {
	case "K":
		return "IC"
	case "L":
		return "AF"
	case "M":
		return "AG"
	case "":
		return "S"
	}
	return category
}

// addAdjustment compares an allowance or a charge with the percentage that it is.
func (r *reading) addAdjustment(a *document.Adjustment, bt, where string) {
	if a.Base == nil || a.Percent == nil {
		return
	}
	computed := rat(*a.Base)
	computed.Mul(computed, rat(*a.Percent)).Quo(computed, big.NewRat(percent, 1))
	r.byPeppol("PEPPOL-EN16931-R040", bt, where, a.Amount, computed, false)
}

// byPeppol compares a number with what only Peppol has a rule for, ±0.02.
func (r *reading) byPeppol(rule, bt, where string, stated document.Decimal, computed *big.Rat, warns bool) {
	off := new(big.Rat).Sub(rat(stated), computed)
	f := r.off(rule, bt, where, stated, computed)
	switch off.Abs(off); {
	case off.Cmp(r.slack()) > 0:
		add(r, &r.peppol, peppolFinding{f, warns})
	case off.Cmp(r.half()) > 0: // more than rounding
		f.Message += lessThanAllowed
		add(r, &r.Notes, f)
	}
}

func (r *reading) addLine(l *document.Line) {
	where := "line " + shortened(l.ID)
	for n := range l.Allowances {
		r.addAdjustment(&l.Allowances[n], "BT-136", where)
	}
	for n := range l.Charges {
		r.addAdjustment(&l.Charges[n], "BT-141", where)
	}
	if r.missing["BT-131"] || r.missing["BT-146"] || r.missing["BT-129"] {
		return
	}
	computed := new(big.Rat).Mul(rat(l.Quantity), rat(l.Price))
	if l.BaseQuantity != nil && !l.BaseQuantity.IsZero() {
		computed.Quo(computed, rat(*l.BaseQuantity))
	}
	computed.Sub(computed, adjusted(l.Allowances)).Add(computed, adjusted(l.Charges))
	r.byPeppol("PEPPOL-EN16931-R120", "BT-131", where, l.Net, computed, true)
}
