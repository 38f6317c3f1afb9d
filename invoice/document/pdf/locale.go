package pdf

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/currency"
	"golang.org/x/text/language"
	"golang.org/x/text/language/display"
	"golang.org/x/text/message"
	"golang.org/x/text/number"

	"invoicer/invoice"
	"invoicer/invoice/document"
)

// A locale is a language with its words, and how it writes numbers, dates and amounts.
type locale struct {
	tag     language.Tag
	words   *words
	printer *message.Printer

	decimal, group, minus, percent string
	currencyFirst, currencySpace   bool
}

// newLocale returns the locale of a language, which is English where the page doesn't speak it. Numbers are those of the country, too: of
// de-CH as of de-AT.
func newLocale(wanted string) *locale {
	tag, err := language.Parse(wanted)
	if err != nil {
		tag = language.English
	}
	base, _ := tag.Base()
	l := &locale{words: wordsOf(base.String())}
	if l.words == nil {
		tag, l.words = language.English, english()
	}
	l.currencyFirst, l.currencySpace = l.words.currencyFirst, l.words.currencySpace
	switch tag.String() {
	case "de-AT", "de-CH", "de-LI", "it-CH": // other than in their language's first country
		l.currencyFirst, l.currencySpace = true, true
	}
	l.tag = tag
	l.printer = message.NewPrinter(tag)
	// Amounts are exact, and x/text formats floating points alone: so how a language writes numbers is read off one.
	symbols := strings.FieldsFunc(l.printer.Sprint(number.Decimal(-1234567.5)), unicode.IsDigit)
	l.minus, l.group, l.decimal = "-", ",", "."
	if len(symbols) == 4 {
		l.minus, l.group, l.decimal = symbols[0], symbols[1], symbols[3]
	}
	l.percent = strings.TrimLeft(l.printer.Sprint(number.Percent(0.5)), "0123456789")
	return l
}

// number writes a number with at least that many decimals.
func (l *locale) number(d document.Decimal, decimals int) string {
	return l.digits(d.String(), decimals)
}

func (l *locale) digits(s string, decimals int) string {
	s, negative := strings.CutPrefix(s, "-")
	whole, fraction, _ := strings.Cut(s, ".")
	for len(fraction) < decimals {
		fraction += "0"
	}
	// CLDR's minimumGroupingDigits, which x/text doesn't know: Spanish and Polish leave 1234 together.
	if len(whole) > 4 || len(whole) == 4 && !l.words.groupsFromFive {
		for at := len(whole) - 3; at > 0; at -= 3 {
			whole = whole[:at] + l.group + whole[at:]
		}
	}
	if fraction != "" {
		whole += l.decimal + fraction
	}
	if negative {
		whole = l.minus + whole
	}
	return whole
}

// rate writes a percentage.
func (l *locale) rate(d document.Decimal) string { return l.number(d, 0) + l.percent }

// symbol returns a currency's symbol in the language, and its code if it has none.
func (l *locale) symbol(code string) string {
	unit, err := currency.ParseISO(code)
	if err != nil {
		return code
	}
	return l.printer.Sprint(currency.Symbol(unit))
}

// money writes an amount with its currency.
func (l *locale) money(amount, code string) string {
	symbol := l.symbol(code)
	switch {
	case !l.currencyFirst:
		return amount + "\u00a0" + symbol
	case l.currencySpace || endsInLetter(symbol):
		return symbol + "\u00a0" + amount
	case strings.HasPrefix(amount, l.minus):
		return l.minus + symbol + amount[len(l.minus):]
	}
	return symbol + amount
}

// endsInLetter reports whether a symbol is a word, such as CHF: CLDR sets a blank behind it.
func endsInLetter(symbol string) bool {
	last, _ := utf8.DecodeLastRuneInString(symbol)
	return unicode.IsLetter(last)
}

// date writes a date as the language does. Anything that is no date stays as it is.
func (l *locale) date(s string) string {
	day, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return s
	}
	if region, _ := l.tag.Region(); region.String() == "US" && strings.HasPrefix(l.tag.String(), "en-") {
		return day.Format("Jan 2, 2006")
	}
	return day.Format(l.words.dateLayout)
}

// period writes two dates, one of which may be absent.
func (l *locale) period(p *document.Period) string {
	switch {
	case p.Start == "":
		return "– " + l.date(p.End)
	case p.End == "":
		return l.date(p.Start) + " –"
	case p.Start == p.End:
		return l.date(p.Start)
	}
	return l.date(p.Start) + " – " + l.date(p.End)
}

// country returns a country's name.
func (l *locale) country(code string) string {
	region, err := language.ParseRegion(code)
	if err != nil || !region.IsCountry() {
		return code
	}
	if name := display.Regions(l.tag).Name(region); name != "" {
		return name
	}
	return code
}

// unit returns the word for a unit of UN/ECE recommendation 20. A code that the language has no word for stays.
func (l *locale) unit(code string) string {
	if word, known := l.words.units[code]; known {
		return word
	}
	if symbol := unitSymbol(code); symbol != "" {
		return symbol
	}
	return code
}

// unitSymbol returns what a unit is called in all languages.
func unitSymbol(code string) string {
	switch code {
	case "HUR":
		return "h"
	case "MIN":
		return "min"
	case "SEC":
		return "s"
	case "KGM":
		return "kg"
	case "GRM":
		return "g"
	case "MGM":
		return "mg"
	case "TNE":
		return "t"
	case "MTR":
		return "m"
	case "CMT":
		return "cm"
	case "MMT":
		return "mm"
	case "KMT":
		return "km"
	case "MTK":
		return "m²"
	case "MTQ":
		return "m³"
	case "LTR":
		return "l"
	case "MLT":
		return "ml"
	case "KWH":
		return "kWh"
	case "MWH":
		return "MWh"
	case "P1":
		return "%"
	}
	return ""
}

// decimals returns how many decimals the amounts of a currency have.
func decimals(currency string) int {
	if exponent, ok := invoice.MinorUnits(currency); ok {
		return exponent
	}
	return 2
}
