package pdf

import (
	"math/big"
	"strings"

	"invoicer/invoice/decimal"
	"invoicer/invoice/document"
)

// A sum adds amounts up exactly, however big they become.
type sum struct{ big.Int }

func (s *sum) add(d document.Decimal) { s.Add(&s.Int, d.Int(new(big.Int))) }

func (s *sum) sub(d document.Decimal) { s.Sub(&s.Int, d.Int(new(big.Int))) }

// text writes the sum as a decimal, without zeros at its end.
func (s *sum) text() string {
	digits := new(big.Int).Abs(&s.Int).String()
	for len(digits) <= decimal.Places {
		digits = "0" + digits
	}
	at := len(digits) - decimal.Places
	written := digits[:at]
	if fraction := strings.TrimRight(digits[at:], "0"); fraction != "" {
		written += "." + fraction
	}
	if s.Sign() < 0 {
		written = "-" + written
	}
	return written
}

// amount writes an amount of the document, without its currency.
func (l *layout) amount(d document.Decimal) string {
	return l.loc.number(d, decimals(l.doc.Currency))
}

// total writes a sum of amounts.
func (l *layout) total(s *sum) string { return l.loc.digits(s.text(), decimals(l.doc.Currency)) }

// money writes an amount of the document with its currency; its code, if no font has its symbol.
func (l *layout) money(amount string) string {
	code := l.doc.Currency
	for _, r := range l.loc.symbol(code) {
		if g := l.bold.glyph(r); g.missing {
			return amount + "\u00a0" + code
		}
	}
	return l.loc.money(amount, code)
}

// rateName is what a tax is called, with its rate: "VAT 19%".
func (l *layout) rateName(code string, r document.Rate) string {
	w := l.loc.words
	name := code
	if name == "" {
		name = w.tax
	}
	if word := l.category(r.Category); word != "" {
		if r.Percent != nil && r.Percent.Sign() != 0 {
			return name + " " + l.loc.rate(*r.Percent) + ", " + word
		}
		return name + ": " + word
	}
	if r.Percent != nil {
		return name + " " + l.loc.rate(*r.Percent)
	}
	return name
}

// category returns the word for a category of UNTDID 5305, and "" for those that a rate says enough of.
func (l *layout) category(category string) string {
	w := l.loc.words
	switch category {
	case "Z":
		return w.zero
	case "E":
		return w.exempt
	case "AE":
		return w.reverse
	case "K":
		return w.intra
	case "G":
		return w.export
	case "O":
		return w.outside
	case "L":
		return "IGIC"
	case "M":
		return "IPSI"
	}
	return ""
}

// shortRate is how a line's taxes are told in its column.
func (l *layout) shortRate(r document.Rate) string {
	switch {
	case r.Percent == nil || r.Percent.IsZero() && r.Category != "" && r.Category != "S":
		if r.Category == "" {
			return "–"
		}
		return r.Category
	default:
		return l.loc.rate(*r.Percent)
	}
}
