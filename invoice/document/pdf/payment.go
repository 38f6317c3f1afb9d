package pdf

import (
	"cmp"
	"fmt"
	"strings"

	"invoicer/invoice/document"
)

// A payment is what is said of it, before it is known where on the page.
type payment struct {
	intro []string
	facts []fact
	dark  [][2]int // of the code that banks' programs scan
	side  int      // how many modules the code is wide; 0 if there is none
}

// codeSize is how wide the code is.
const codeSize = 27 * mm

// payment returns what is said of how it is paid, and nil if there is nothing.
func (l *layout) payment() *payment {
	d, w := l.doc, l.loc.words
	if d.PaymentTerms == "" && (d.Payment == nil && d.DueDate == "" || d.Totals.Payable.Sign() <= 0) {
		return nil
	}
	p := &payment{facts: l.paymentFacts()}
	direct := d.Payment != nil && document.IsDirectDebit(d.Payment.MeansCode)
	switch {
	case direct && d.Payment.Debited != "" && d.Kind == document.Invoice:
		p.intro = append(p.intro, fmt.Sprintf(w.debited, grouped(d.Payment.Debited)))
	case !direct && d.DueDate != "" && d.Kind == document.Invoice && d.Totals.Payable.Sign() > 0:
		p.intro = append(p.intro, fmt.Sprintf(w.payBy, l.money(l.amount(d.Totals.Payable)), l.loc.date(d.DueDate)))
	}
	if d.PaymentTerms != "" {
		p.intro = append(p.intro, d.PaymentTerms)
	}
	if shown(l.t.PaymentCode) {
		if text := epc(d); text != "" {
			p.dark, p.side = code(text)
		}
	}
	if len(p.intro)+len(p.facts) == 0 && p.side == 0 {
		return nil
	}
	return p
}

// labels returns how wide the column with the facts' names is.
func (l *layout) labels(facts []fact, width float64) float64 {
	widest := 0.0
	for _, f := range facts {
		widest = max(widest, l.small.face.width(f.label)*l.small.size)
	}
	return min(widest+10, width*0.4)
}

// factLines returns a fact's value as lines.
func (l *layout) factLines(f fact, width float64) []string {
	if f.whole && l.text.face.width(f.value)*l.text.size < width*1.4 {
		return []string{f.value}
	}
	return l.text.lines(f.value, width)
}

// heightOf returns how high the payment is in a column, with its code below the rest.
func (l *layout) heightOf(p *payment, width float64) float64 {
	height := l.head.leading() + 3
	for _, text := range p.intro {
		height += float64(len(l.text.lines(text, width)))*l.text.leading() + 3
	}
	labels := l.labels(p.facts, width)
	for _, f := range p.facts {
		height += float64(len(l.factLines(f, width-labels))) * l.text.leading()
	}
	if p.side > 0 {
		height += codeSize + 7
	}
	return height
}

// drawPaymentBeside draws the payment in a column that has room for all of it.
func (l *layout) drawPaymentBeside(p *payment, width float64) {
	l.show(l.out.Root().Add("H2"), l.left, l.y+l.head.size, l.head, l.paymentHeading())
	l.y += l.head.leading() + 3
	l.drawPaymentText(p, width)
	if p.side > 0 {
		l.y += 7
		l.drawCode(p, l.left)
		caption := l.small.lines(l.loc.words.scan, width-codeSize-8)
		e := l.out.Root().Add("P")
		for n, line := range caption {
			l.show(e, l.left+codeSize+8, l.y+codeSize-float64(len(caption)-n-1)*l.small.leading()-1, l.small, line)
		}
		l.y += codeSize
	}
}

// drawPayment draws the payment over the whole width, with its code at the right.
func (l *layout) drawPayment(p *payment) {
	height := float64(len(p.facts)) * l.text.leading()
	if p.side > 0 {
		height = max(height, codeSize+l.small.leading()+4)
	}
	l.heading(l.paymentHeading(), height)
	top, page := l.y, l.page
	width := l.right - l.left
	if p.side > 0 {
		width -= codeSize + 10*mm
		l.y = top - l.head.leading()
		l.drawCode(p, l.right-codeSize)
		caption := l.loc.words.scan
		wide := l.small.face.width(caption) * l.small.size
		l.alignRight(l.out.Root().Add("P"), min(l.right, l.right-codeSize/2+wide/2), l.y+codeSize+l.small.size+4, codeSize+10*mm, l.small, caption)
		l.y = top
	}
	l.drawPaymentText(p, width)
	if p.side > 0 && l.page == page {
		l.y = max(l.y, top-l.head.leading()+codeSize+l.small.leading()+6)
	}
	l.y += 6
}

func (l *layout) drawPaymentText(p *payment, width float64) {
	for _, text := range p.intro {
		l.paragraph(l.out.Root().Add("P"), l.left, width, l.text, text)
		l.y += 3
	}
	if len(p.facts) == 0 {
		return
	}
	labels := l.labels(p.facts, width)
	table := l.out.Root().Add("Table")
	for _, f := range p.facts {
		row := table.Add("TR")
		l.need(l.text.leading())
		l.fit(row.Add("TH").Scope("Row"), l.left, l.y+l.text.size, labels-6, l.small, f.label)
		value := row.Add("TD")
		for _, line := range l.factLines(f, width-labels) {
			l.need(l.text.leading())
			l.fit(value, l.left+labels, l.y+l.text.size, width-labels, l.text, line)
			l.y += l.text.leading()
		}
	}
}

// paymentHeading is what stands above the payment: in a credit note nobody is asked to pay.
func (l *layout) paymentHeading() string {
	if l.doc.Kind == document.CreditNote {
		return l.loc.words.refunded
	}
	return l.loc.words.payment
}

// paymentFacts returns where it is paid to, or from where it is taken.
func (l *layout) paymentFacts() (list []fact) {
	d, w := l.doc, l.loc.words
	p := d.Payment
	if p == nil {
		return nil
	}
	add := func(label, value string) {
		if strings.TrimSpace(value) != "" {
			list = append(list, fact{label: label, value: value})
		}
	}
	if p.Account != "" {
		holder := d.Seller.Name
		switch {
		case d.Kind == document.CreditNote:
			holder = "" // the refund goes to the buyer
		case d.Payee != nil:
			holder = d.Payee.Name
		}
		add(w.accountName, cmp.Or(p.AccountName, holder))
		list = append(list, fact{accountLabel(p.Account, w), grouped(p.Account), true})
		add(w.bank, p.Bank)
	}
	add(w.mandate, p.Mandate)
	add(w.creditor, p.Creditor)
	if reference := p.Reference; reference != "" {
		add(w.reference, reference)
	} else if p.Account != "" && d.Kind == document.Invoice {
		add(w.reference, d.Number)
	}
	return list
}

// drawCode draws the code from the current place downwards.
func (l *layout) drawCode(p *payment, x float64) {
	module := codeSize / float64(p.side)
	corners := make([][2]float64, len(p.dark))
	for n, at := range p.dark {
		corners[n] = [2]float64{x + float64(at[0])*module, l.y + float64(at[1])*module}
	}
	figure := l.out.Root().Add("Figure").Alt(l.loc.words.codeAlt)
	l.page.Tag(figure, func() { l.page.FillAll(corners, module, module, l.text.color) })
}
