package amounts

import (
	"math/big"
	"strconv"

	"invoicer/invoice/decimal"
)

// Calculate computes the amounts of a document.
//
// If the document has no such amounts, it returns all problems that it has found, and no result. Problems are found in three steps, of
// which each needs the one before: what is wrong with single fields; then lines, allowances, charges and sums that don't fit an int64,
// and allowances and charges that can't be shared; then taxes and totals that are given and don't agree.
func Calculate(d *Document) (*Result, []Problem) {
	c := &calculation{document: d, result: &Result{}}
	for _, step := range []func(){c.check, c.addLines, c.addAdjustments, c.addTaxes, c.addUp, c.compare} {
		if step(); len(c.problems) > 0 {
			return nil, c.problems
		}
	}
	return c.result, nil
}

// A calculation is the state of [Calculate].
type calculation struct {
	document *Document
	result   *Result
	problems []Problem

	groups  []*group
	byTaxes map[string]*group // by their key
	key     []byte            // of the last one looked up

	rows []*row
}

const (
	tooBig           = "comes to an amount that is too big, so split the transaction"
	mustBePercentage = "must be a percentage from 0 to 100"
)

func (c *calculation) problem(field, message string) {
	c.problems = append(c.problems, Problem{Field: field, Message: message})
}

// whole returns an amount as an int64. If it doesn't fit, that is a problem of the field.
func (c *calculation) whole(amount *big.Int, field string) int64 {
	if !amount.IsInt64() {
		for i := range c.problems {
			if c.problems[i].Field == field {
				return 0
			}
		}
		c.problem(field, tooBig)
		return 0
	}
	return amount.Int64()
}

// minor returns an amount that the check has found to be one.
func (c *calculation) minor(amount decimal.Decimal) int64 {
	n, _ := amount.Scaled(c.document.Exponent)
	return n
}

// at returns the path of an element of a list.
func at(list string, i int) string { return list + "[" + strconv.Itoa(i) + "]" }

// addUp computes the totals.
func (c *calculation) addUp() {
	d, r := c.document, c.result
	var subtotal, tax, total big.Int
	for _, g := range c.groups {
		subtotal.Add(&subtotal, &g.net)
	}
	for _, row := range c.rows {
		tax.Add(&tax, &row.tax)
	}
	r.Subtotal, r.Tax = c.whole(&subtotal, "subtotal"), c.whole(&tax, "tax")
	c.report()
	if len(c.problems) > 0 {
		return
	}
	if r.Total = c.whole(total.Add(&subtotal, &tax), "total"); len(c.problems) > 0 {
		return
	}
	var withheld, payable big.Int
	r.Withholdings = make([]int64, len(d.Withholdings))
	for i := range d.Withholdings {
		w := &d.Withholdings[i]
		base := &subtotal
		if w.Base != nil {
			base = big.NewInt(c.minor(*w.Base))
		}
		amount := percentage(base, w.Percent)
		r.Withholdings[i] = c.whole(amount, at("withholdings", i))
		withheld.Add(&withheld, amount)
	}
	if r.Withheld = c.whole(&withheld, "withholdings"); len(c.problems) > 0 {
		return
	}
	r.Prepaid, r.Rounding = c.minor(d.Prepaid), c.minor(d.Rounding)
	payable.Sub(&total, &withheld)
	payable.Sub(&payable, big.NewInt(r.Prepaid))
	payable.Add(&payable, big.NewInt(r.Rounding))
	r.Payable = c.whole(&payable, "payable")
}

// percentage returns percent/100 of an amount, rounded.
func percentage(of *big.Int, percent decimal.Decimal) *big.Int {
	product := percent.Int(new(big.Int))
	return rounded(product.Mul(product, of), power10(percentPlaces))
}

// percentPlaces is how many decimals a percentage has as a factor: 5 % is 0.05.
const percentPlaces = decimal.Places + 2

// compare checks the amounts that the sender expects.
func (c *calculation) compare() {
	for _, expected := range []struct {
		field  string
		amount *decimal.Decimal
		is     int64
		what   string
	}{
		{"expected_total", c.document.ExpectedTotal, c.result.Total, "the total"},
		{"expected_payable", c.document.ExpectedPayable, c.result.Payable, "the payable amount"},
	} {
		if expected.amount == nil || c.minor(*expected.amount) == expected.is {
			continue
		}
		c.problem(expected.field, c.disagreement(big.NewInt(c.minor(*expected.amount)), expected.what, big.NewInt(expected.is)))
	}
}

// disagreement says that an amount is stated where another one was computed.
func (c *calculation) disagreement(stated *big.Int, what string, computed *big.Int) string {
	difference := new(big.Int).Sub(stated, computed)
	exponent := c.document.Exponent
	return "is " + text(stated, exponent) + ", but " + what + " comes to " + text(computed, exponent) +
		", a difference of " + text(difference.Abs(difference), exponent)
}
