package document

import "math/big"

// NoMeans says in BT-81 that no means of payment is agreed, where a code has to stand.
const NoMeans = "1"

// Stated reports whether a category or a percentage is stated.
func (r Rate) Stated() bool { return r.Category != "" || r.Percent != nil }

// Rates returns all rates of a line: none, one, or several, which EN 16931 doesn't know.
func (l *Line) Rates() []Rate {
	if !l.Stated() && len(l.More) == 0 {
		return nil
	}
	return append([]Rate{l.Rate}, l.More...)
}

// TaxCode returns which tax a rate of the line is, "" for VAT, by its place in [Line.Rates].
func (l *Line) TaxCode(n int) string {
	if n < len(l.TaxCodes) {
		return vatCode(l.TaxCodes[n])
	}
	return ""
}

// vatCode returns the code of a tax, "" for VAT.
func vatCode(code string) string {
	if code == "VAT" {
		return ""
	}
	return code
}

// Adds reports whether an allowance or a charge has a base and a percentage that come to its amount, by no more than the 0.02 that Peppol
// and XRechnung allow (R040). They don't where the currency has no decimals; a document then states the amount alone (R041, R042).
func (a *Adjustment) Adds() bool {
	if a.Base == nil || a.Percent == nil {
		return false
	}
	off := new(big.Rat).Mul(rat(*a.Base), rat(*a.Percent))
	off.Quo(off, big.NewRat(percent, 1)).Sub(off, rat(a.Amount))
	return off.Abs(off).Cmp(slack()) <= 0
}
