package pdf

import (
	"fmt"
	"slices"
	"strings"

	"invoicer/invoice/document"
)

// cell returns what a column says of a line, except for the description.
func (t *table) cell(column string, line *document.Line) []cellLine {
	one := func(s string) []cellLine { return []cellLine{{s, t.text}} }
	switch column {
	case "position":
		return []cellLine{{line.ID, t.muted}}
	case "item":
		return []cellLine{{line.SellerID, t.small}}
	case "quantity":
		return one(t.loc.number(line.Quantity, 0))
	case "unit":
		return []cellLine{{t.loc.unit(line.Unit), t.small}}
	case "price":
		price := line.Price
		if line.GrossPrice != nil {
			price = *line.GrossPrice
		}
		cells := one(t.amount(price))
		if b := line.BaseQuantity; b != nil && !b.IsZero() {
			cells = append(cells, cellLine{fmt.Sprintf(t.loc.words.per, t.loc.number(*b, 0)+" "+t.loc.unit(line.Unit)), t.small})
		}
		return cells
	case "discount":
		var cells []cellLine
		allowances, charges := adjustmentsOf(line)
		for n := range allowances {
			cells = append(cells, cellLine{t.short(&allowances[n], true), t.text})
		}
		for n := range charges {
			cells = append(cells, cellLine{t.short(&charges[n], false), t.text})
		}
		return cells
	case "tax":
		cells := []cellLine{{t.taxOf(line, 0), t.small}}
		for n := range line.More {
			cells = append(cells, cellLine{t.taxOf(line, n+1), t.small})
		}
		return cells
	case "amount":
		if line.GrossTotal != nil {
			return one(t.amount(*line.GrossTotal))
		}
		return one(t.amount(line.Net))
	}
	return nil
}

// adjustmentsOf returns what was taken off a line and added to it, with tax if its price is.
func adjustmentsOf(line *document.Line) (allowances, charges []document.Adjustment) {
	if line.GrossPrice != nil {
		return line.GrossAllowances, line.GrossCharges
	}
	return line.Allowances, line.Charges
}

// taxOf returns a tax of a line, with its code if it isn't VAT.
func (t *table) taxOf(line *document.Line, n int) string {
	rate := line.Rate
	if n > 0 {
		rate = line.More[n-1]
	}
	text := t.shortRate(rate)
	if n < len(line.TaxCodes) && line.TaxCodes[n] != "" {
		return line.TaxCodes[n] + " " + text
	}
	return text
}

// short returns an allowance or a charge as its column has it.
func (t *table) short(a *document.Adjustment, off bool) string {
	if a.Percent != nil {
		if off {
			return t.loc.rate(a.Percent.Neg())
		}
		return t.loc.rate(*a.Percent)
	}
	if off {
		return t.amount(a.Amount.Neg())
	}
	return t.amount(a.Amount)
}

// description returns what is sold, and all that is said of it, as lines of at most a width.
func (t *table) description(line *document.Line, width float64) (cells []cellLine) {
	w := t.loc.words
	add := func(s style, text string) {
		for _, part := range s.lines(text, width) {
			cells = append(cells, cellLine{part, s})
		}
	}
	add(t.text, line.Name)
	if line.Description != line.Name {
		add(t.small, line.Description)
	}
	var facts []string
	say := func(label, value string) {
		if value != "" {
			facts = append(facts, strings.TrimSpace(label+" "+value))
		}
	}
	if !slices.Contains(t.t.Table.Columns, "item") && line.SellerID != line.Name {
		say(w.item, line.SellerID)
	}
	say(w.yourItem, line.BuyerID)
	if id := line.StandardID; id != nil {
		label := "ID"
		if id.Scheme == "0160" || id.Scheme == "0088" {
			label = "GTIN"
		}
		say(label, id.ID)
	}
	for _, c := range line.Classifications {
		say(c.Scheme, c.ID)
	}
	say(w.orderLine, line.OrderLine)
	say(w.costCentre, line.AccountingReference)
	if line.OriginCountry != "" {
		say(w.origin, t.loc.country(line.OriginCountry))
	}
	if line.Period != nil {
		say(w.periodOf, t.loc.period(line.Period))
	}
	add(t.small, strings.Join(facts, " · "))
	allowances, charges := adjustmentsOf(line)
	for n := range allowances {
		add(t.small, t.adjustment(&allowances[n], w.discount, true))
	}
	for n := range charges {
		add(t.small, t.adjustment(&charges[n], w.charge, false))
	}
	add(t.small, line.Note)
	if len(cells) == 0 {
		cells = []cellLine{{"–", t.text}}
	}
	return cells
}

// adjustment says an allowance or a charge in words, with its amount: "Discount 5% on 30.00, loyalty: -1.50".
func (l *layout) adjustment(a *document.Adjustment, name string, off bool) string {
	amount := a.Amount
	if off {
		amount = amount.Neg()
	}
	return l.adjustmentName(a, name) + ": " + l.amount(amount)
}

func (l *layout) adjustmentName(a *document.Adjustment, name string) string {
	if a.Percent != nil {
		name += " " + l.loc.rate(*a.Percent)
		if a.Base != nil {
			name = fmt.Sprintf(l.loc.words.taxOn, name, l.amount(*a.Base))
		}
	}
	if a.Reason != "" {
		name += ", " + a.Reason
	}
	return name
}
