package invoice

import (
	"cmp"
	"slices"
)

// Totals are the amounts of a job's document. They are signed, in minor units of the job's currency.
type Totals struct {
	Kind     Kind // KindCreditNote when Total is negative, else KindInvoice
	Subtotal int64
	Tax      int64
	Total    int64
	LineNets []int64 // one for each of the job's lines, in their order
	Taxes    []Tax   // by percentage, ascending
}

// A Tax sums up the lines that state the same percentage; lines that state none are in no Tax.
type Tax struct {
	Percent Decimal
	Net     int64 // sum of the lines' nets
	Tax     int64
}

// Calculate computes the job's totals. A line's net is quantity × unit price × (1 − discount/100), and the tax at a
// percentage is the sum of the nets at that percentage × the percentage, each rounded half away from zero to the
// currency's minor unit. Nothing else is rounded; the arithmetic is exact.
//
// It returns an [*InvalidError] if an amount doesn't fit an int64; the error names lines[i], subtotal, tax or total.
// For a job that [Decode] hasn't checked, the error also names an unknown currency and percentages outside of 0–100.
func (j *Job) Calculate() (Totals, error) {
	var p problems
	totals := j.calculate(&p)
	if err := p.err(); err != nil {
		return Totals{}, err
	}
	return totals, nil
}

const tooBig = "comes to an amount that is too big, so split the transaction"

func (j *Job) calculate(p *problems) Totals {
	exponent, ok := MinorUnits(j.Currency)
	if !ok {
		p.add("currency", unknownCurrency(j.Currency))
		return Totals{}
	}

	totals := Totals{LineNets: make([]int64, len(j.Lines))}
	var subtotal sum
	for i := range j.Lines {
		l := &j.Lines[i]
		if !l.validatePercents(i, p) {
			continue
		}
		// Quantity and price are in millionths, and so is the share of 100 that remains after the discount.
		share := percent100 - l.DiscountPercent
		net, ok := scaledProduct(int64(l.Quantity), int64(l.UnitPrice), int64(share), 2*decimalPlaces+decimalPlaces+2-exponent)
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
	totals.Kind = KindInvoice
	if totals.Total < 0 {
		totals.Kind = KindCreditNote
	}
	return totals
}

// percent100 is 100 %, the largest valid percentage.
const percent100 Decimal = 100 * decimalUnit

// taxes sums up the lines for each stated percentage. ok is false if an amount doesn't fit an int64.
func taxes(lines []Line, nets []int64) (taxes []Tax, total int64, ok bool) {
	for i := range lines {
		if percent := lines[i].TaxPercent; percent != nil {
			if taxes == nil {
				taxes = make([]Tax, 0, len(lines)-i)
			}
			taxes = append(taxes, Tax{Percent: *percent, Net: nets[i]})
		}
	}
	slices.SortFunc(taxes, func(a, b Tax) int { return cmp.Compare(a.Percent, b.Percent) })

	var tax sum
	n := 0 // taxes[:n] are the summed rows; n ≤ i, so no unread element is overwritten
	for i := 0; i < len(taxes); n++ {
		percent := taxes[i].Percent
		var net sum
		for ; i < len(taxes) && taxes[i].Percent == percent; i++ {
			net.add(taxes[i].Net)
		}
		row := Tax{Percent: percent}
		if row.Net, ok = net.int64(); !ok {
			return nil, 0, false
		}
		if row.Tax, ok = scaledProduct(row.Net, int64(percent), 1, decimalPlaces+2); !ok {
			return nil, 0, false
		}
		tax.add(row.Tax)
		taxes[n] = row
	}
	total, ok = tax.int64()
	return taxes[:n:n], total, ok
}
