package pdf_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"golang.org/x/image/font/gofont/goregular"

	"invoicer/internal/pdftest"
	"invoicer/invoice/document/pdf"
	"invoicer/invoice/document/pdfa"
)

// lettersAs returns the built-in font with the shapes of a, b, c … for other characters, and none besides.
func lettersAs(t *testing.T, characters string) []byte {
	t.Helper()
	data := bytes.Clone(goregular.TTF)
	const firstGlyph = 68 // a
	cmap := []byte{0, 0, 0, 1, 0, 3, 0, 10, 0, 0, 0, 12, 0, 12, 0, 0}
	groups := []rune(characters)
	for _, n := range []int{16 + 12*len(groups), 0, len(groups)} {
		cmap = binary.BigEndian.AppendUint32(cmap, uint32(n))
	}
	for n, r := range groups {
		for _, v := range []int{int(r), int(r), firstGlyph + n} {
			cmap = binary.BigEndian.AppendUint32(cmap, uint32(v))
		}
	}
	for entry := 12; ; entry += 16 {
		if string(data[entry:entry+4]) == "cmap" {
			binary.BigEndian.PutUint32(data[entry+8:], uint32(len(data)))
			binary.BigEndian.PutUint32(data[entry+12:], uint32(len(cmap)))
			return append(data, cmap...)
		}
	}
}

// A character is taken from the first font that has it; Hebrew runs from the right to the left, and can be read out of the file.
func TestFurtherFonts(t *testing.T) {
	t.Parallel()
	hebrew, han := lettersAs(t, "אבגדה"), lettersAs(t, "京東都")
	template, err := pdf.ParseTemplate([]byte("fonts: [hebrew.ttf, han.ttf]"))
	if err != nil {
		t.Fatal(err)
	}
	if err := template.Open(func(name string) ([]byte, error) {
		return map[string][]byte{"hebrew.ttf": hebrew, "han.ttf": han}[name], nil
	}); err != nil {
		t.Fatal(err)
	}
	d := load(t, "invoice")
	d.Buyer.Name, d.Lines[0].Name = "אבגד 12 (הא)", strings.Repeat("東京都", 60)
	r := render(t, d, pdf.Options{Template: template})
	pdftest.Check(t, r.PDF)
	text := strings.NewReplacer("\u202b", "", "\u202c", "", "\u202a", "", " ", "").Replace(pdftest.Raw(t, r.PDF))
	for _, r := range "東京都" { // in several lines, between which other columns stand
		if n := strings.Count(text, string(r)); n != 60 {
			t.Errorf("%c stands there %d times", r, n)
		}
	}
	// Poppler puts it back into the order in which it is read; which brackets belong to what, it guesses.
	for _, word := range []string{"אבגד", "הא", "12"} {
		wants(t, text, word)
	}
	if strings.Contains(text, "דגבא") {
		t.Error("Hebrew is in the order of Latin letters")
	}
	font, err := pdfa.ParseFont(han)
	if err != nil {
		t.Fatal(err)
	}
	d.Buyer.Name = "京"
	if _, err := pdf.Render(d, pdf.Options{Fonts: []*pdfa.Font{font}}); err != nil {
		t.Error(err)
	}
}
