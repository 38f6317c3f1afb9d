package pdf

import (
	"cmp"
	"fmt"
	"strings"

	"invoicer/invoice/document"
)

// A fact is a value with its label.
type fact struct {
	label, value string
	whole        bool // the value stays on one line, smaller if it must be
}

// drawHead draws all that stands above the table: whose document it is, for whom, which one, and of when.
func (l *layout) drawHead() {
	sellerBottom := l.drawSeller()
	l.y = max(sellerBottom+8*mm, 45*mm)
	buyerTop := l.y
	const columns = 0.56
	buyerWidth := (l.right-l.left)*columns - 10*mm
	l.drawBuyer(buyerWidth)
	buyerBottom := l.y
	l.y = buyerTop
	l.drawFacts(l.left+(l.right-l.left)*columns, l.right)
	l.y = max(l.y, buyerBottom) + 8*mm

	title := style{l.bold, l.t.FontSize * 2.1, l.accent}
	e := l.out.Root().Add("H1")
	for _, line := range title.lines(l.title(), l.right-l.left) {
		l.need(title.leading())
		l.show(e, l.left, l.y+title.size, title, line)
		l.y += title.leading()
	}
	below := l.text
	below.size *= 1.05
	if l.options.Copy != "" {
		l.paragraph(l.out.Root().Add("P"), l.left, l.right-l.left, style{l.bold, below.size, l.muted.color}, l.options.Copy)
	}
	l.paragraph(l.out.Root().Add("P"), l.left, l.right-l.left, below, l.preceding())
	for _, f := range l.parties() {
		l.drawParty(f)
	}
	if above := l.t.Texts.Above.in(l.loc); above != "" {
		l.y += 5
		l.paragraph(l.out.Root().Add("P"), l.left, l.right-l.left, l.text, above)
	}
	l.y += 4 * mm
}

// drawSeller draws the logo and the seller's address at the top of the first page, and returns where they end.
func (l *layout) drawSeller() float64 {
	seller := &l.doc.Seller
	name := cmp.Or(seller.TradingName, seller.Name)
	room := (l.right - l.left) / 2
	leftEnd := l.top
	addressAtRight := l.t.Logo.Position != "right"
	if l.t.logo != nil {
		pixelsWide, pixelsHigh := l.t.logo.Size()
		height := l.t.Logo.Height * mm
		width := height * float64(pixelsWide) / float64(pixelsHigh)
		if most := min(90*mm, room); width > most {
			width, height = most, height*most/width
		}
		x := l.left
		if !addressAtRight {
			x = l.right - width
		}
		l.page.Tag(l.out.Root().Add("Figure").Alt(cmp.Or(plain(name), "Logo")), func() { l.page.Image(l.t.logo, x, l.top, width, height) })
		leftEnd += height
	} else if name != "" {
		big := style{l.bold, l.t.FontSize * 1.65, l.accent}
		e := l.out.Root().Add("P")
		for _, line := range block([]written{{name, big}}, room-6*mm, (l.bottom-l.top)*0.2) {
			l.show(e, l.left, leftEnd+line.style.size, line.style, line.text)
			leftEnd += line.style.leading()
		}
		addressAtRight = true
	}
	var texts []written
	for n, text := range addressLines(seller, l.loc, true) {
		s := l.small
		if n == 0 {
			s = style{l.bold, l.small.size, l.text.color}
		}
		texts = append(texts, written{text, s})
	}
	y := l.top
	e := l.out.Root().Add("P")
	for _, line := range block(texts, room-6*mm, (l.bottom-l.top)*0.2) {
		s, x := line.style, l.left
		if addressAtRight {
			x = l.right - s.face.width(line.text)*s.size
		}
		l.show(e, x, y+s.size, s, line.text)
		y += s.leading()
	}
	return max(leftEnd, y)
}

// addressLines returns a party's name and address, each on a line of its own.
func addressLines(p *document.Party, loc *locale, withCountry bool) (lines []string) {
	add := func(s string) {
		if s = strings.TrimSpace(s); s != "" {
			lines = append(lines, s)
		}
	}
	add(p.Name)
	if p.TradingName != p.Name {
		add(p.TradingName)
	}
	if a := p.Address; a != nil {
		add(a.Line1)
		add(a.Line2)
		add(a.Line3)
		add(cityLine(a))
		if withCountry && a.Country != "" {
			add(loc.country(a.Country))
		}
	}
	return lines
}

// cityLine returns the line with the city, as the address's country writes it.
func cityLine(a *document.Address) string {
	switch a.Country {
	case "US", "CA", "AU":
		region := strings.TrimSpace(a.Region + " " + a.Postcode)
		if a.City != "" && region != "" {
			return a.City + ", " + region
		}
		return a.City + region
	case "GB", "IE":
		return strings.Join(nonEmpty(a.City, a.Region, a.Postcode), ", ")
	case "IT", "ES":
		if a.Region != "" {
			return strings.TrimSpace(a.Postcode+" "+a.City) + " (" + a.Region + ")"
		}
		return strings.TrimSpace(a.Postcode + " " + a.City)
	}
	return strings.Join(nonEmpty(strings.TrimSpace(a.Postcode+" "+a.City), a.Region), ", ")
}

func nonEmpty(list ...string) (some []string) {
	for _, s := range list {
		if s != "" {
			some = append(some, s)
		}
	}
	return some
}

func (l *layout) drawBuyer(width float64) {
	seller, buyer := &l.doc.Seller, &l.doc.Buyer
	// The seller's address in one line, for the window of an envelope.
	from := style{l.regular, l.t.FontSize * 0.72, l.muted.color}
	sender := strings.Join(addressLines(seller, l.loc, false), " · ")
	if sender != "" {
		w := l.fit(nil, l.left, l.y+from.size, width, from, sender)
		l.page.Tag(nil, func() { l.page.Line(l.left, l.y+from.size+2.5, l.left+w, l.y+from.size+2.5, 0.3, l.line) })
	}
	l.y += from.size + 9
	abroad := seller.Address == nil || buyer.Address == nil || seller.Address.Country != buyer.Address.Country
	lines := addressLines(buyer, l.loc, abroad)
	if c := buyer.Contact; c != nil && c.Name != "" && c.Name != buyer.Name && len(lines) > 0 {
		lines = append(lines[:1], append([]string{c.Name}, lines[1:]...)...)
	}
	e := l.out.Root().Add("P")
	big := l.text
	big.size *= 1.1
	var texts []written
	for n, text := range lines {
		s := big
		if n == 0 {
			s.face = l.bold
		}
		texts = append(texts, written{text, s})
	}
	for _, line := range block(texts, width, (l.bottom-l.top)*0.25) {
		l.show(e, l.left, l.y+line.style.size, line.style, line.text)
		l.y += line.style.leading()
	}
}

// facts returns what is told of the document beside the buyer's address.
func (l *layout) facts() (list []fact) {
	d, w := l.doc, l.loc.words
	add := func(label, value string) {
		if value != "" {
			list = append(list, fact{label: label, value: value})
		}
	}
	add(w.number, d.Number)
	add(w.date, l.loc.date(d.IssueDate))
	if d.DueDate != "" {
		add(w.due, l.loc.date(d.DueDate))
	}
	if d.Delivery != nil && d.Delivery.Date != "" {
		add(w.delivered, l.loc.date(d.Delivery.Date))
	}
	if d.Period != nil {
		add(w.periodOf, l.loc.period(d.Period))
	}
	if d.TaxPointDate != "" {
		add(w.taxPoint, l.loc.date(d.TaxPointDate))
	}
	add(w.customer, d.Buyer.ID)
	add(w.customerVAT, cmp.Or(d.Buyer.VATID, d.Buyer.TaxID))
	add(w.legalID, d.Buyer.LegalID)
	add(w.buyerReference, d.BuyerReference)
	add(w.order, d.OrderReference)
	add(w.contract, d.ContractReference)
	add(w.project, d.ProjectReference)
	add(w.despatch, d.DespatchReference)
	add(w.receipt, d.ReceiptReference)
	add(w.tender, d.TenderReference)
	add(w.object, d.ObjectReference)
	add(w.costCentre, d.AccountingReference)
	return list
}

func (l *layout) drawFacts(left, right float64) {
	list := l.facts()
	labels := 0.0
	for _, f := range list {
		labels = max(labels, l.small.face.width(f.label)*l.small.size)
	}
	labels = min(labels+10, (right-left)*0.55)
	table := l.out.Root().Add("Table")
	room := (l.bottom - l.top) * 0.45
	for n, f := range list {
		row := table.Add("TR")
		s := l.text
		if n == 0 {
			s = l.strong
		}
		// Each may take as much as is left for it and those below.
		share := room - float64(len(list)-n-1)*(l.text.leading()+1.2)
		label, value := row.Add("TH").Scope("Row"), row.Add("TD")
		from := l.y
		for i, line := range block([]written{{f.value, s}}, right-left-labels, max(share, s.leading())) {
			if i == 0 {
				l.fit(label, left, l.y+line.style.size, labels-6, l.small, f.label)
			}
			l.show(value, left+labels, l.y+line.style.size, line.style, line.text)
			l.y += line.style.leading()
		}
		l.y += 1.2
		room -= l.y - from
	}
}

// preceding says which documents this one credits, or refers to.
func (l *layout) preceding() string {
	w := l.loc.words
	var names []string
	for _, p := range l.doc.Preceding {
		name := p.Number
		if p.Date != "" {
			name = fmt.Sprintf(w.of, p.Number, l.loc.date(p.Date))
		}
		if name != "" {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	if l.doc.Kind == document.CreditNote {
		return fmt.Sprintf(w.credits, strings.Join(names, ", "))
	}
	return fmt.Sprintf(w.refersTo, strings.Join(names, ", "))
}

// parties returns who else has to do with the document, each in one line.
func (l *layout) parties() (list []fact) {
	d, w := l.doc, l.loc.words
	add := func(label string, p *document.Party) {
		parts := addressLines(p, l.loc, true)
		if p.VATID != "" {
			parts = append(parts, w.vatID+" "+p.VATID)
		}
		if p.LegalID != "" {
			parts = append(parts, w.legalID+" "+p.LegalID)
		}
		if len(parts) > 0 {
			list = append(list, fact{label: label, value: strings.Join(parts, ", ")})
		}
	}
	if d.Delivery != nil {
		add(w.deliverTo, &document.Party{Name: d.Delivery.Name, Address: d.Delivery.Address})
	}
	if d.Payee != nil {
		add(w.payee, d.Payee)
	}
	if d.TaxRepresentative != nil {
		add(w.representative, d.TaxRepresentative)
	}
	return list
}

func (l *layout) drawParty(f fact) {
	l.y += 3
	l.need(l.text.leading())
	e := l.out.Root().Add("P")
	w := l.show(e, l.left, l.y+l.text.size, l.muted, f.label+":") + 5
	w = min(w, (l.right-l.left)/2)
	for n, line := range l.text.lines(f.value, l.right-l.left-w) {
		if n > 0 {
			l.need(l.text.leading())
		}
		l.show(e, l.left+w, l.y+l.text.size, l.text, line)
		l.y += l.text.leading()
	}
}
