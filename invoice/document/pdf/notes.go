package pdf

import (
	"cmp"
	"fmt"
	"strings"
)

// drawNotes draws why no tax is charged, the notes, and the template's text.
func (l *layout) drawNotes() {
	d, w := l.doc, l.loc.words
	var reasons []string
	for n := range d.Taxes {
		tax := &d.Taxes[n]
		if reason := cmp.Or(tax.Reason, tax.ReasonCode); reason != "" {
			name := l.rateName(tax.Code, tax.Rate)
			if tax.Reason != "" && strings.EqualFold(tax.Reason, l.category(tax.Category)) {
				reasons = append(reasons, name)
				continue
			}
			reasons = append(reasons, name+": "+reason)
		}
	}
	for _, note := range d.Notes {
		if note.Text != "" && !l.isWithheldNote(note.Text) {
			reasons = append(reasons, note.Text)
		}
	}
	if len(reasons) > 0 {
		l.y += 9
		l.heading(w.notes, l.text.leading())
		for _, text := range reasons {
			l.paragraph(l.out.Root().Add("P"), l.left, l.right-l.left, l.text, text)
			l.y += 3
		}
	}
	if below := l.t.Texts.Below.in(l.loc); below != "" {
		l.y += 8
		l.paragraph(l.out.Root().Add("P"), l.left, l.right-l.left, l.text, below)
	}
}

// isWithheldNote reports whether a note says what the sums say already, in the language of the page: see [document.Of].
func (l *layout) isWithheldNote(text string) bool {
	for _, held := range l.doc.Withheld {
		if text == fmt.Sprintf("%s %s %%: %s %s withheld by the buyer", cmp.Or(held.Code, "Tax"), held.Percent, held.Amount, l.doc.Currency) {
			return true
		}
	}
	return false
}
