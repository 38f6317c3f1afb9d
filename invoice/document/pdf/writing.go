package pdf

import (
	"invoicer/invoice/document"
)

// A Writing writes amounts and dates as the page does, for what goes with it, such as a letter.
type Writing struct{ l *locale }

// WritingIn returns how a language (BCP 47) writes; English does, where the page doesn't speak it.
func WritingIn(language string) Writing { return Writing{newLocale(language)} }

// Money writes an amount with its currency, with as many decimals as that has.
func (w Writing) Money(amount document.Decimal, currency string) string {
	return w.l.money(w.l.number(amount, decimals(currency)), currency)
}

// Date writes a date that is spelled YYYY-MM-DD. Anything else stays as it is.
func (w Writing) Date(day string) string { return w.l.date(day) }
