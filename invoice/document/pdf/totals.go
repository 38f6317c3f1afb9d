package pdf

import (
	"cmp"
	"fmt"

	"invoicer/invoice/document"
	"invoicer/invoice/document/pdfa"
)

// A totalRow is a sum with its name.
type totalRow struct {
	label, amount string
	style         style
	payable       bool // drawn on a band
	above         bool // a line is drawn above it
}

// totals returns the sums of the document from the lines to what is to pay.
func (l *layout) totals() (rows []totalRow) {
	d, w := l.doc, l.loc.words
	add := func(s style, label string, amount document.Decimal) {
		rows = append(rows, totalRow{label: label, amount: l.amount(amount), style: s})
	}
	if d.Gross != nil {
		add(l.text, w.sumWithTax, d.Gross.Lines)
	}
	adjusted := len(d.Allowances)+len(d.Charges) > 0
	if adjusted || d.Gross != nil && d.Totals.Lines != d.Totals.Net {
		add(l.text, w.sum, d.Totals.Lines)
	}
	for n := range d.Allowances {
		add(l.text, l.adjustmentName(&d.Allowances[n], w.discount), d.Allowances[n].Amount.Neg())
	}
	for n := range d.Charges {
		add(l.text, l.adjustmentName(&d.Charges[n], w.charge), d.Charges[n].Amount)
	}
	add(l.text, w.net, d.Totals.Net)
	for n := range d.Taxes {
		tax := &d.Taxes[n]
		add(l.text, fmt.Sprintf(w.taxOn, l.rateName(tax.Code, tax.Rate), l.amount(tax.Base)), tax.Amount)
	}
	add(l.strong, w.gross, d.Totals.Gross)
	rows[len(rows)-1].above = true
	prepaid := new(sum)
	prepaid.add(d.Totals.Prepaid)
	for _, held := range d.Withheld {
		name := cmp.Or(held.Code, w.tax) + " " + l.loc.rate(held.Percent) + " " + w.withheld
		add(l.text, name, held.Amount.Neg())
		prepaid.sub(held.Amount)
	}
	if prepaid.Sign() != 0 {
		prepaid.Neg(&prepaid.Int)
		rows = append(rows, totalRow{label: w.prepaid, amount: l.total(prepaid), style: l.text})
	}
	if !d.Totals.Rounding.IsZero() {
		add(l.text, w.rounding, d.Totals.Rounding)
	}
	label := w.payable
	if d.Kind == document.CreditNote {
		label = w.refund
	}
	band := style{l.bold, l.t.FontSize * 1.22, l.accent}
	rows = append(rows, totalRow{label: label, amount: l.money(l.amount(d.Totals.Payable)), style: band, payable: true})
	return rows
}

// sums are those of the document, before they are drawn: how wide their columns are, and how high all is.
type sums struct {
	rows                  []totalRow
	left, labels, amounts float64
	height                float64 // of the rows alone
	pay                   *payment
}

// sumsPad is what is free between the edge of the sums and their names.
const sumsPad = 7

// planTotals returns the sums, which the table asks for before they are drawn.
func (l *layout) planTotals() *sums {
	if l.planned != nil {
		return l.planned
	}
	s := &sums{rows: l.totals(), pay: l.payment()}
	for _, r := range s.rows {
		s.amounts = max(s.amounts, r.style.face.width(r.amount)*r.style.size)
	}
	room := l.right - l.left
	s.amounts = min(s.amounts, room*0.3)
	s.left = max(l.right-max(room*0.54, s.amounts*2.2), l.left)
	s.labels = l.right - s.amounts - 12 - s.left - sumsPad
	s.height = 14
	for _, r := range s.rows {
		s.height += float64(max(1, len(r.style.lines(r.label, s.labels))))*r.style.leading() + 2
	}
	l.planned = s
	return s
}

// drawTotals draws the sums, and beside them how it is paid, if there is room.
func (l *layout) drawTotals() {
	s := l.planTotals()
	height := s.height
	beside := s.left - l.left - 8*mm
	if s.pay != nil {
		switch h := l.heightOf(s.pay, beside); {
		case beside < 60*mm || h >= (l.bottom-l.top)/2:
			beside = 0
		case l.y+height > l.bottom || l.y+h <= l.bottom:
			height = max(height, h)
		default:
			beside = 0 // the sums stay with their lines, and the payment goes to the next page
		}
	}
	if height < (l.bottom-l.top)/2 { // else it may break
		l.need(height)
	}
	top, page := l.y, l.page
	table := l.out.Root().Add("Table")
	for _, r := range s.rows {
		l.drawTotal(table.Add("TR"), r, s.left, s.labels, s.amounts)
	}
	l.y += 6
	l.drawOtherCurrency(s.left + sumsPad)
	switch {
	case s.pay == nil:
	case beside > 0 && l.page == page && top+l.heightOf(s.pay, beside) <= l.bottom:
		under := l.y
		l.y = top
		l.drawPaymentBeside(s.pay, beside)
		l.y = max(l.y, under)
	default:
		l.y += 4
		l.drawPayment(s.pay)
	}
	l.y += 6
}

func (l *layout) drawTotal(row *pdfa.Element, r totalRow, left, labels, amounts float64) {
	lines := r.style.lines(r.label, labels)
	height := float64(max(1, len(lines))) * r.style.leading()
	if r.payable {
		l.need(height + 14)
		l.y += 4
		l.page.Tag(nil, func() {
			l.page.Fill(left, l.y, l.right-left+sumsPad, height+9, l.shade) // its number stands below those of the table
			l.page.Fill(left, l.y, 2.2, height+9, l.accent)
		})
		l.y += 4.5
	} else {
		l.need(height)
	}
	if r.above {
		l.y += 2
		l.page.Tag(nil, func() { l.page.Line(left+sumsPad, l.y, l.right, l.y, 0.5, l.line) })
		l.y += 2.5
	}
	label := row.Add("TH").Scope("Row")
	l.alignRight(row.Add("TD"), l.right, l.y+r.style.size, amounts, r.style, r.amount)
	for _, line := range lines {
		l.need(r.style.leading())
		l.show(label, left+sumsPad, l.y+r.style.size, r.style, line)
		l.y += r.style.leading()
	}
	l.y++
	if r.payable {
		l.y += 4.5
	}
}

// drawOtherCurrency says the tax in the currency of the accounts, and by which rate.
func (l *layout) drawOtherCurrency(x float64) {
	d, w := l.doc, l.loc.words
	if d.Totals.TaxInOther == nil {
		return
	}
	text := fmt.Sprintf(w.taxInOther, d.TaxCurrency) + ": " + l.loc.number(*d.Totals.TaxInOther, decimals(d.TaxCurrency))
	if c := d.Conversion; c != nil {
		text += " (" + fmt.Sprintf(w.rateOf, d.Currency, l.loc.number(c.Rate, 0), d.TaxCurrency)
		if c.Date != "" {
			text += ", " + l.loc.date(c.Date)
		}
		if c.Source != "" {
			text += ", " + c.Source
		}
		text += ")"
	}
	l.paragraph(l.out.Root().Add("P"), x, l.right-x, l.small, text)
}
