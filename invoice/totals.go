package invoice

import (
	"cmp"
	"slices"
)

// Totals are the amounts of a job's document. They are signed, in minor units of the job's currency.
type Totals struct {
	Kind     Kind // KindCreditNote when Total is negative, else KindInvoice, unless the job states another
	Subtotal int64
	Tax      int64
	Total    int64
	Payable  int64   // what is left to pay: Total, less what is withheld and prepaid, with the rounding added
	LineNets []int64 // one for each of the job's lines, in their order
	Taxes    []Tax   // by percentage, ascending, then by code and category

	// What only version 2 states: what each allowance, charge and withholding comes to, in the job's order, and what all withholdings do.
	Allowances   []Adjusted
	Charges      []Adjusted
	Withholdings []int64
	Withheld     int64
}

// An Adjusted is what an allowance or a charge comes to, with the sign that the job states: an allowance of 5.00 is 500, although it is
// taken off.
type Adjusted struct {
	Amount int64 // in its own mode of prices
	Net    int64 // without taxes
}

// A Tax sums up what is taxed with the same code, category and percentage; what states no rate is in no Tax.
type Tax struct {
	Code     string // such as GST, "" if the job states none
	Category string // in UNTDID 5305, "" if the job states none
	Percent  Decimal
	Net      int64 // without taxes
	Added    int64 // the taxes that a compound tax is taken on beside Net; 0 for any other
	Tax      int64
}

// CompareRate returns -1, 0 or 1: whether the tax stands before, at or behind the place of the other one in [Totals.Taxes].
func (t *Tax) CompareRate(other *Tax) int {
	return cmp.Or(t.Percent.Cmp(other.Percent), cmp.Compare(t.Code, other.Code), cmp.Compare(t.Category, other.Category))
}

// Calculate computes the job's totals. A line's net is quantity × unit price × (1 − discount/100), and the tax at a
// percentage is the sum of the nets at that percentage × the percentage, each rounded half away from zero to the
// currency's minor unit. Nothing else is rounded; the arithmetic is exact. What version 2 adds is computed as package amounts says.
//
// It returns an [*InvalidError] if an amount doesn't fit an int64; the error names lines[i], subtotal, tax or total.
// For a job that [Decode] hasn't checked, the error also names an unknown currency, and numbers that a job can't state.
func (j *Job) Calculate() (Totals, error) {
	var p problems
	if _, ok := MinorUnits(j.Currency); !ok {
		p.add("currency", unknownCurrency(j.Currency))
	}
	j.validateNumbers(&p)
	if err := p.err(); err != nil {
		return Totals{}, err
	}
	totals := j.calculate(&p)
	if err := p.err(); err != nil {
		return Totals{}, err
	}
	return totals, nil
}

const tooBig = "comes to an amount that is too big, so split the transaction"

// calculate is Calculate for a job with a known currency and valid numbers.
func (j *Job) calculate(p *problems) Totals {
	if j.Version > 1 && (j.Terms != nil || j.hasLineTerms() || j.isWide()) {
		return j.calculateTerms(p)
	}
	exponent, _ := MinorUnits(j.Currency)
	totals := Totals{LineNets: make([]int64, len(j.Lines))}
	var subtotal sum
	for i := range j.Lines {
		l := &j.Lines[i]
		net, ok := l.net(exponent)
		if !ok {
			p.add(lineField(i, ""), tooBig)
			continue
		}
		totals.LineNets[i] = net
		subtotal.add(net)
	}
	if p.any() {
		return Totals{} // further errors would only follow from this one
	}

	var ok bool
	if totals.Subtotal, ok = subtotal.int64(); !ok {
		p.add("subtotal", tooBig)
	}
	if totals.Taxes, totals.Tax, ok = taxes(j.Lines, totals.LineNets); !ok {
		p.add("tax", tooBig)
	}
	if p.any() {
		return Totals{}
	}
	var total sum
	total.add(totals.Subtotal)
	total.add(totals.Tax)
	if totals.Total, ok = total.int64(); !ok {
		p.add("total", tooBig)
	}
	totals.Payable = totals.Total
	totals.Kind = totals.signKind()
	return totals
}

// signKind returns the kind that the sign of the total makes of the document.
func (t *Totals) signKind() Kind {
	if t.Total < 0 {
		return KindCreditNote
	}
	return KindInvoice
}

// net returns the line's net in minor units, and false if it doesn't fit an int64. The line's numbers are valid.
func (l *Line) net(exponent int) (int64, bool) {
	quantity, _ := l.Quantity.Millionths()
	price, _ := l.UnitPrice.Millionths()
	places := 2*decimalPlaces - exponent
	if l.DiscountPercent.IsZero() {
		return scaledProduct(quantity, price, 1, places)
	}
	discount, _ := l.DiscountPercent.Millionths()
	return scaledProduct(quantity, price, percent100-discount, places+decimalPlaces+2) // the share of 100 that remains
}

// percent100 is 100 %, the largest valid percentage, in millionths.
const percent100 = 100_000_000

// taxes sums up the lines for each stated percentage. ok is false if an amount doesn't fit an int64.
func taxes(lines []Line, nets []int64) (taxes []Tax, total int64, ok bool) {
	type rate struct {
		percent Decimal
		net     sum
	}
	var rates []rate // by percentage, ascending
	at := 0          // of the line before, which mostly states the same
	for i := range lines {
		percent := lines[i].TaxPercent
		if percent == nil {
			continue
		}
		if at >= len(rates) || rates[at].percent != *percent {
			var found bool
			at, found = slices.BinarySearchFunc(rates, *percent, func(r rate, percent Decimal) int { return r.percent.Cmp(percent) })
			if !found {
				rates = slices.Insert(rates, at, rate{percent: *percent})
			}
		}
		rates[at].net.add(nets[i])
	}
	if len(rates) == 0 {
		return nil, 0, true
	}

	taxes = make([]Tax, len(rates))
	var tax sum
	for i := range rates {
		row := &taxes[i]
		row.Percent = rates[i].percent
		if row.Net, ok = rates[i].net.int64(); !ok {
			return nil, 0, false
		}
		millionths, _ := row.Percent.Millionths()
		if row.Tax, ok = scaledProduct(row.Net, millionths, 1, decimalPlaces+2); !ok {
			return nil, 0, false
		}
		tax.add(row.Tax)
	}
	total, ok = tax.int64()
	return taxes, total, ok
}
