// Command pagepictures draws the pictures of docs/documents.md: pages of made-up invoices, as small PNGs. It needs pdftoppm.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"invoicer/invoice/document/pdf"
	"invoicer/invoice/document/sample"
)

func main() {
	folder := flag.String("folder", "docs/documents", "where the pictures go")
	flag.Parse()
	if err := run(*folder); err != nil {
		fmt.Fprintln(os.Stderr, "pagepictures:", err)
		os.Exit(1) //nolint:forbidigo // this is main
	}
}

// A picture is a page of a sample.
type picture struct {
	name, sample, language, template string
	page                             int
}

func run(folder string) error {
	for _, p := range []picture{
		{name: "invoice", sample: "invoice", language: "en", page: 1},
		{name: "long", sample: "long", language: "de", page: 2},
		{name: "credit-note", sample: "credit_note", language: "sv", page: 1},
		{name: "template", sample: "invoice", language: "fr", page: 1, template: `
paper: Letter
colors: {accent: "#8a2b3c", shade: "#f8f1ee"}
logo: {height: 14, position: right}
texts: {above: {fr: "Merci de votre confiance."}, footer: "Lindqvist & Moreau · depuis 1987"}
table: {columns: [description, quantity, price, discount, tax, amount], stripes: true}`},
	} {
		if err := p.draw(folder); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

func (p picture) draw(folder string) error {
	d, err := sample.Document(p.sample)
	const lines = 60
	if p.sample == "long" {
		d, err = sample.Long(lines)
	}
	if err != nil {
		return err
	}
	t, err := pdf.ParseTemplate([]byte(p.template))
	if err != nil {
		return err
	}
	if p.template != "" {
		if err := t.SetLogo(logo()); err != nil {
			return err
		}
	}
	drawn, err := pdf.Render(d, pdf.Options{Language: p.language, Template: t})
	if err != nil {
		return err
	}
	page := strconv.Itoa(p.page)
	convert := exec.CommandContext(context.Background(), "pdftoppm",
		"-r", "72", "-png", "-gray", "-f", page, "-l", page, "-singlefile", "-", filepath.Join(folder, p.name))
	if p.template != "" || p.name == "invoice" {
		convert.Args = append(convert.Args[:4], convert.Args[5:]...) // in colour
	}
	convert.Stdin, convert.Stderr = bytes.NewReader(drawn.PDF), os.Stderr
	return convert.Run()
}

// logo draws an emblem: two boards with a gap.
func logo() []byte {
	const width, height = 300, 120
	i := image.NewNRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			shelf := y%40 < 7
			book := x%34 < 24 && y%40 > 40-30+(x/34*7)%13
			switch {
			case shelf:
				i.Set(x, y, color.NRGBA{R: 0x8a, G: 0x2b, B: 0x3c, A: 255})
			case book:
				i.Set(x, y, color.NRGBA{R: 0x8a, G: 0x2b, B: 0x3c, A: uint8(90 + x/34*17%120)})
			}
		}
	}
	var b bytes.Buffer
	_ = png.Encode(&b, i) // a Buffer fails never
	return b.Bytes()
}
