package check

import (
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"invoicer/invoice/decimal"
	"invoicer/invoice/document"
	"invoicer/invoice/document/node"
)

// A term is an amount or a number of EN 16931.
type term struct {
	name     string
	missing  string // the rule that wants it, "" if it may be missing
	decimals string // the rule that allows two decimals, "" if it may have more
}

// terms are those that are read as numbers.
//
//nolint:gochecknoglobals // never changed
var terms = map[string]term{
	"BT-92":  {"the amount of an allowance", "BR-31", "BR-DEC-01"},
	"BT-93":  {"the base of an allowance", "", "BR-DEC-02"},
	"BT-94":  {"the percentage of an allowance", "", ""},
	"BT-96":  {"the VAT rate of an allowance", "", ""},
	"BT-99":  {"the amount of a charge", "BR-36", "BR-DEC-05"},
	"BT-100": {"the base of a charge", "", "BR-DEC-06"},
	"BT-101": {"the percentage of a charge", "", ""},
	"BT-103": {"the VAT rate of a charge", "", ""},
	"BT-106": {"the sum of the lines", "BR-12", "BR-DEC-09"},
	"BT-107": {"the sum of the allowances", "", "BR-DEC-10"},
	"BT-108": {"the sum of the charges", "", "BR-DEC-11"},
	"BT-109": {"the total without VAT", "BR-13", "BR-DEC-12"},
	"BT-110": {"the VAT", "", "BR-DEC-13"},
	"BT-111": {"the VAT in the accounting currency", "", "BR-DEC-15"},
	"BT-112": {"the total with VAT", "BR-14", "BR-DEC-14"},
	"BT-113": {"the amount that is paid", "", "BR-DEC-16"},
	"BT-114": {"the rounding", "", "BR-DEC-17"},
	"BT-115": {"the amount due", "BR-15", "BR-DEC-18"},
	"BT-116": {"its base", "BR-45", "BR-DEC-19"},
	"BT-117": {"its amount", "BR-46", "BR-DEC-20"},
	"BT-119": {"its rate", "", ""},
	"BT-129": {"its quantity", "BR-22", ""},
	"BT-131": {"its net amount", "BR-24", "BR-DEC-23"},
	"BT-136": {"the amount of its allowance", "BR-41", "BR-DEC-24"},
	"BT-137": {"the base of its allowance", "", "BR-DEC-25"},
	"BT-138": {"the percentage of its allowance", "", ""},
	"BT-141": {"the amount of its charge", "BR-43", "BR-DEC-27"},
	"BT-142": {"the base of its charge", "", "BR-DEC-28"},
	"BT-143": {"the percentage of its charge", "", ""},
	"BT-146": {"its net price", "BR-26", ""},
	"BT-147": {"the discount on its price", "", ""},
	"BT-148": {"its gross price", "", ""},
	"BT-149": {"its base quantity", "", ""},
	"BT-152": {"its VAT rate", "", ""},
}

// number reads a number. One that can't be read is a finding, and so is one that isn't there and has to be; both are 0 then.
func (r *reading) number(n *node.Node, bt, where string) document.Decimal {
	t := terms[bt]
	if n == nil {
		if t.missing != "" && r.wants(bt) {
			r.find(t.missing, bt, where, fmt.Sprintf("%s (%s) is missing", t.name, bt))
		}
		r.missing[bt] = true
		return document.Decimal{}
	}
	value := n.Value()
	if whole, fraction, _ := strings.Cut(value, "."); len(fraction) > decimal.Places {
		value = whole + "." + fraction[:decimal.Places]
		r.note("", bt, where, fmt.Sprintf("%s (%s) has more than %d decimals, of which that many are read", t.name, bt, decimal.Places))
	}
	d, err := parse(value)
	if err != nil {
		r.find("XSD", bt, where, fmt.Sprintf("%s (%s, %s) is %q, which %v", t.name, bt, n.Name(), shortened(n.Value()), err))
		r.missing[bt] = true
		return d
	}
	const most = 2
	_, fraction, _ := strings.Cut(n.Value(), ".")
	if r.Syntax == CII && (bt == "BT-110" || bt == "BT-111") {
		fraction = strings.TrimRight(fraction, "0") // the rule goes by the value
	}
	if t.decimals != "" && len(fraction) > most {
		rule := t.decimals
		if r.Syntax != CII && (bt == "BT-110" || bt == "BT-111") {
			rule = "UBL-DT-01"
		}
		r.find(rule, bt, where, fmt.Sprintf("%s (%s) is %s, and must not have more than two decimals", t.name, bt, shortened(n.Value())))
	}
	return d
}

// wants reports whether documents that are what this one says it is have a term.
func (r *reading) wants(bt string) bool {
	return r.Claim.Breakdown || bt != "BT-106"
}

// optional is number for one that may be missing.
func (r *reading) optional(n *node.Node, bt, where string) *document.Decimal {
	if n == nil {
		return nil
	}
	d := r.number(n, bt, where)
	return &d
}

// amount reads an amount, whose currency is the document's.
func (r *reading) amount(n *node.Node, bt, where string) document.Decimal {
	if currency := n.Attribute("currencyID"); currency != "" && currency != r.Document.Currency {
		r.find("PEPPOL-EN16931-R051", bt, where,
			fmt.Sprintf("%s (%s) is in %s, and the document in %s", terms[bt].name, bt, shortened(currency), shortened(r.Document.Currency)))
	}
	if r.Syntax == CII && bt != "BT-110" && n.Attribute("currencyID") != "" {
		r.coined++
	}
	return r.number(n, bt, where)
}

// total is amount for a sum of which nothing is said where it is 0.
func (r *reading) total(n *node.Node, bt string) document.Decimal {
	if n == nil && terms[bt].missing == "" {
		return document.Decimal{}
	}
	return r.amount(n, bt, onDocument)
}

// part is optional for an amount.
func (r *reading) part(n *node.Node, bt, where string) *document.Decimal {
	if n == nil {
		return nil
	}
	d := r.amount(n, bt, where)
	return &d
}

// date reads a date as YYYY-MM-DD, and any other text as it is.
func (r *reading) date(n *node.Node, bt string) string {
	text := n.Value()
	if n == nil || text == "" {
		return text
	}
	layout, rule := time.DateOnly, "XSD"
	if r.Syntax == CII {
		layout, rule = "20060102", "FORMAT"
	}
	stated := text
	if len(stated) > len(layout) && r.Syntax != CII && isZone(stated[len(layout):]) { // xs:date may have one
		stated = stated[:len(layout)]
	}
	t, err := time.Parse(layout, stated)
	if err != nil {
		r.find(rule, bt, onDocument, fmt.Sprintf("%s (%s) is %q, which isn't a date", n.Name(), bt, shortened(text)))
		return text
	}
	return t.Format(time.DateOnly)
}

// isZone reports whether a text is a time zone: Z, or its difference to UTC.
func isZone(s string) bool {
	_, err := time.Parse("Z07:00", s)
	return err == nil
}

func shortened(s string) string {
	const most = 40
	count := 0
	for at := range s {
		if count++; count > most {
			return s[:at] + "…"
		}
	}
	return s
}

// rate reads a category with its percentage, if there is one.
func (r *reading) rate(category, percent *node.Node, bt, where string) document.Rate {
	return document.Rate{Category: category.Value(), Percent: r.optional(percent, bt, where)}
}

// ofBreakdown is rate for a breakdown, where XRechnung has 0 in the category O.
func (r *reading) ofBreakdown(category, percent *node.Node, where string) document.Rate {
	rate := r.rate(category, percent, "BT-119", where)
	if rate.Category == "O" && rate.Percent != nil && rate.Percent.IsZero() {
		rate.Percent = nil
	}
	return rate
}

var errNumber = errors.New("isn't a number")

// parse reads an xs:decimal, which may have a plus, zeros in front, and nothing on one side of its point.
func parse(s string) (document.Decimal, error) {
	sign := ""
	if digits, ok := strings.CutPrefix(s, "-"); ok {
		sign, s = "-", digits
	} else {
		s = strings.TrimPrefix(s, "+")
	}
	whole, fraction, _ := strings.Cut(s, ".")
	if whole+fraction == "" || strings.Trim(whole+fraction, "0123456789") != "" {
		return document.Decimal{}, errNumber
	}
	text := sign + strings.TrimLeft(whole, "0")
	if strings.TrimLeft(whole, "0") == "" {
		text += "0"
	}
	if fraction = strings.TrimRight(fraction, "0"); fraction != "" {
		text += "." + fraction
	}
	return decimal.Widest().Parse(text)
}

// rat returns a number as a fraction.
func rat(d document.Decimal) *big.Rat {
	return new(big.Rat).SetFrac(d.Int(new(big.Int)), units)
}

// units are those of [decimal.Decimal.Int] that make 1.
//
//nolint:gochecknoglobals // never changed
var units = new(big.Int).Exp(big.NewInt(10), big.NewInt(decimal.Places), nil)

// sum adds up what a function says of each of n things.
func sum(n int, of func(int) document.Decimal) *big.Rat {
	total, one := new(big.Int), new(big.Int)
	for k := range n {
		total.Add(total, of(k).Int(one))
	}
	return new(big.Rat).SetFrac(total, units)
}

// spelled returns a fraction as a decimal with two decimals or more: exactly if it has 12 decimals or fewer.
func spelled(r *big.Rat) string {
	const least = 2
	text := strings.TrimRight(r.FloatString(decimal.Places), "0")
	whole, fraction, _ := strings.Cut(text, ".")
	return whole + "." + fraction + strings.Repeat("0", max(0, least-len(fraction)))
}
