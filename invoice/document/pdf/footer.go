package pdf

import (
	"fmt"
	"strconv"
	"strings"

	"invoicer/invoice/document"
	"invoicer/invoice/document/pdfa"
)

// A column of the footer.
type column []string

// footer returns what stands at the bottom of each page: how the seller is reached, who it is in registers, and its account,
// which that of a refund isn't.
func (l *layout) footer() (columns []column) {
	s, w := &l.doc.Seller, l.loc.words
	var named, reached, registered, paid column
	add := func(to *column, label, value string) {
		if value == "" {
			return
		}
		if label != "" {
			value = label + " " + value
		}
		*to = append(*to, value)
	}
	if a := s.Address; a != nil {
		add(&named, "", s.Name)
		add(&named, "", a.Line1)
		add(&named, "", cityLine(a))
	} else {
		add(&named, "", s.Name)
	}
	if c := s.Contact; c != nil {
		add(&reached, "", c.Name)
		add(&reached, w.phone, c.Phone)
		add(&reached, "", c.Email)
	}
	add(&registered, w.vatID, s.VATID)
	add(&registered, w.taxID, s.TaxID)
	add(&registered, w.legalID, s.LegalID)
	add(&registered, "", s.LegalInfo)
	if p := l.doc.Payment; p != nil && l.doc.Kind != document.CreditNote && l.doc.Payee == nil && !document.IsDirectDebit(p.MeansCode) {
		add(&paid, "", p.AccountName)
		add(&paid, accountLabel(p.Account, w), grouped(p.Account))
		add(&paid, w.bank, p.Bank)
	}
	for _, c := range []column{named, reached, registered, paid} {
		if len(c) > 0 {
			columns = append(columns, c)
		}
	}
	return columns
}

// footStyle is the footer's.
func (l *layout) footStyle() style {
	s := style{l.regular, l.t.FontSize * 0.75, l.muted.color}
	total := 0.0
	for _, c := range l.foot {
		total += s.widest(c) + footGap
	}
	// What is only a little too wide becomes smaller, and isn't wrapped.
	if factor := (l.right - l.left) / total; factor < 1 && factor > 0.82 {
		s.size *= factor * 0.99
	}
	return s
}

// widest returns how wide the widest line of a column is.
func (s style) widest(c column) (widest float64) {
	for _, text := range c {
		widest = max(widest, s.face.width(text)*s.size)
	}
	return widest
}

// footWidths shares the width among the columns: each has what it takes if all have room, and else as much as any other.
func (l *layout) footWidths() []float64 {
	s := l.footStyle()
	room := l.right - l.left
	widths, total := make([]float64, len(l.foot)), 0.0
	for n, c := range l.foot {
		widths[n] = s.widest(c) + footGap
		total += widths[n]
	}
	for n := range widths {
		if total <= room {
			widths[n] += (room - total) / float64(len(widths))
		} else {
			widths[n] = room / float64(len(widths))
		}
	}
	return widths
}

// footGap is what is free between two columns of the footer.
const footGap = 8

// footLines returns the columns of the footer, wrapped to their widths, and the template's text below them.
func (l *layout) footLines() (columns []column, below []string) {
	s := l.footStyle()
	const most = 8 // lines of a column
	widths := l.footWidths()
	for n, c := range l.foot {
		var wrapped column
		for _, text := range c {
			wrapped = append(wrapped, s.lines(text, widths[n]-footGap+0.01)...)
		}
		if len(wrapped) > most {
			wrapped = c[:min(len(c), most)] // shrunk instead
		}
		columns = append(columns, wrapped)
	}
	below = s.lines(l.t.Texts.Footer.in(l.loc), l.right-l.left)
	return columns, below[:min(len(below), 4)]
}

func (l *layout) footHeight() float64 {
	columns, below := l.footLines()
	most := 0
	for _, c := range columns {
		most = max(most, len(c))
	}
	return float64(most+len(below)+1)*l.footStyle().leading() + 8
}

// drawFeet draws the footer of each page, when it is known how many there are.
func (l *layout) drawFeet() {
	columns, below := l.footLines()
	s := l.footStyle()
	width, widths := l.right-l.left, l.footWidths()
	for n := range l.out.Pages() {
		l.page = l.out.Page(n)
		y := l.height - l.t.Margins.Bottom*mm - l.footHeight()
		l.rule(y, 0.5)
		y += 5
		deepest, x := y, l.left
		for c, lines := range columns {
			var e *pdfa.Element
			if n == 0 { // the others only repeat it
				e = l.out.Root().Add("P")
			}
			at := y
			for _, line := range lines {
				l.fit(e, x, at+s.size, widths[c]-footGap+0.01, s, line)
				at += s.leading()
			}
			x += widths[c]
			deepest = max(deepest, at)
		}
		var e *pdfa.Element
		if n == 0 {
			e = l.out.Root().Add("P")
		}
		for _, line := range below {
			l.show(e, l.left, deepest+s.size, s, line)
			deepest += s.leading()
		}
		page := fmt.Sprintf(l.loc.words.page, strconv.Itoa(n+1), strconv.Itoa(l.out.Pages()))
		l.alignRight(nil, l.right, deepest+s.size+2, width, s, page)
	}
}

// accountLabel is what an account's number is called.
func accountLabel(account string, w *words) string {
	if isIBAN(account) {
		return "IBAN"
	}
	return w.account
}

// grouped writes an IBAN in groups of four, as people read it.
func grouped(account string) string {
	compact := compactIBAN(account)
	if !isIBAN(compact) {
		return account
	}
	var b strings.Builder
	for n := range len(compact) {
		if n > 0 && n%4 == 0 {
			b.WriteByte(' ')
		}
		b.WriteByte(compact[n])
	}
	return b.String()
}
