package pdfa_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"strings"
	"testing"
	"time"

	"golang.org/x/image/font/gofont/goregular"

	"invoicer/internal/pdftest"
	"invoicer/invoice/document/pdfa"
)

func font(t testing.TB) *pdfa.Font {
	t.Helper()
	f, err := pdfa.ParseFont(goregular.TTF)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// file makes a file with all that this package writes.
func file(t testing.TB, change func(*pdfa.Document)) []byte {
	t.Helper()
	d := pdfa.New(pdfa.Info{
		Title: "Title (ä)", Author: "Author & Co", Subject: "Subject", Producer: "test", Language: "de",
		Created: time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC),
	})
	d.Attach(pdfa.File{Name: "factur-x.xml", Description: "about", MIMEType: "text/xml", Relationship: "Alternative", Data: []byte("<x/>")})
	d.SetFacturX(pdfa.FacturX{FileName: "factur-x.xml", Version: "1.0", Level: "EN 16931"})
	f := font(t)
	for range 2 {
		p := d.AddPage(595, 842)
		p.Tag(d.Root().Add("H1"), func() { p.Text(50, 50, f, 12, pdfa.Color{R: 1}, []rune("Straße ñ é"), "") })
		row := d.Root().Add("Table").Add("TR")
		p.Tag(row.Add("TH").Scope("Column").Span(2), func() { p.Text(50, 80, f, 12, pdfa.Color{}, []rune("?"), "語") })
		p.Tag(nil, func() { p.Line(0, 0, 10, 10, 1, pdfa.Color{}); p.Fill(0, 0, 1, 1, pdfa.Color{G: 9}) })
		var b bytes.Buffer
		i := image.NewNRGBA(image.Rect(0, 0, 2, 2))
		i.Set(0, 0, color.NRGBA{R: 255, A: 128})
		if err := png.Encode(&b, i); err != nil {
			t.Fatal(err)
		}
		picture, err := pdfa.ParseImage(b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		p.Tag(d.Root().Add("Figure").Alt("a dot"), func() { p.Image(picture, 5, 5, 9, 9) })
	}
	if change != nil {
		change(d)
	}
	return d.Bytes()
}

func TestTheFileIsSoundAndTheSameTwice(t *testing.T) {
	t.Parallel()
	one := file(t, nil)
	if !bytes.Equal(one, file(t, nil)) {
		t.Error("the same calls gave other bytes")
	}
	pdftest.Check(t, one)
	if text := pdftest.Text(t, one); !strings.HasPrefix(text, "Straße ñ é") {
		t.Errorf("text: %q", text)
	}
}

// What ISO 19005-3 asks for, by its clauses.
func TestClausesOfPDFA3(t *testing.T) {
	t.Parallel()
	data := file(t, nil)
	all := pdftest.Read(t, data)
	catalog, trailer := all.Catalog(), all.Trailer()
	is := func(clause string, got any, want any) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %v; want %v", clause, got, want)
		}
	}
	if !bytes.HasPrefix(data, []byte("%PDF-1.7\n%")) || data[10] < 128 || data[13] < 128 {
		t.Error("6.1.2: header")
	}
	ids, _ := all.Get(trailer, "/ID").([]any)
	if len(ids) != 2 || ids[0] != ids[1] || ids[0] == "" {
		t.Errorf("6.1.3: ID %v", ids)
	}
	is("6.1.3: encryption", all.Get(trailer, "/Encrypt"), nil)
	intent := all.Get(catalog, "/OutputIntents", "0")
	is("6.2.3: output intent", all.Get(intent, "/S"), "/GTS_PDFA1")
	is("6.2.3: components", all.Get(intent, "/DestOutputProfile", "/N"), 3.0)
	is("6.3.3: appearance", all.Get(catalog, "/AcroForm"), nil)
	is("6.6.1: metadata", all.Get(catalog, "/Metadata", "/Subtype"), "/XML")
	is("6.6.1: filter of the metadata", all.Get(catalog, "/Metadata", "/Filter"), nil)
	is("6.8: associated file", all.Get(catalog, "/AF", "0", "/AFRelationship"), "/Alternative")
	is("6.8: names", all.Get(catalog, "/Names", "/EmbeddedFiles", "/Names", "0"), "u:factur-x.xml")
	is("6.8: unicode name", all.Get(catalog, "/AF", "0", "/UF"), "u:factur-x.xml")
	is("6.8: MIME type", all.Get(catalog, "/AF", "0", "/EF", "/F", "/Subtype"), "/text/xml")
	is("6.8: size", all.Get(catalog, "/AF", "0", "/EF", "/F", "/Params", "/Size"), 4.0)
	is("6.7.2: marked", all.Get(catalog, "/MarkInfo", "/Marked"), true)
	is("6.7.3: structure", all.Get(catalog, "/StructTreeRoot", "/K", "/S"), "/Document")
	is("6.7.4: language", all.Get(catalog, "/Lang"), "u:de")
	is("info", all.Get(trailer, "/Info", "/Title"), "u:Title (ä)")
	fonts := 0
	for name := range all {
		if all.Get(name[4:], "/Type") == "/FontDescriptor" {
			fonts++
			if all.Get(name[4:], "/FontFile2") == nil {
				t.Errorf("6.2.11.4.1: %s isn't embedded", name)
			}
		}
		if o := all.Get(name[4:]); o != nil && all.Get(o, "/Type") == "/Font" && all.Get(o, "/Subtype") == "/Type0" && all.Get(o, "/ToUnicode") == nil {
			t.Errorf("6.2.11.7: %s has no Unicode", name)
		}
		if kind := all.Get(name[4:], "/S"); kind == "/JavaScript" || kind == "/Launch" {
			t.Errorf("6.5: %s is an action", name)
		}
		if all.Get(name[4:], "/SMask") != nil || all.Get(name[4:], "/Interpolate") == true {
			t.Errorf("6.2.8: %s", name)
		}
	}
	is("fonts", fonts, 1)
}

func TestMetadata(t *testing.T) {
	t.Parallel()
	data := file(t, nil)
	all := pdftest.Read(t, data)
	root, _ := all.Catalog().(map[string]any)
	ref, _ := root["/Metadata"].(string)
	xmp := pdftest.Stream(t, data, ref)
	for _, want := range []string{
		"<pdfaid:part>3</pdfaid:part><pdfaid:conformance>B</pdfaid:conformance>", ">Title (ä)<", "<rdf:li>Author &amp; Co</rdf:li>",
		"<xmp:CreateDate>2026-11-30T00:00:00Z</xmp:CreateDate>", "<fx:ConformanceLevel>EN 16931</fx:ConformanceLevel>",
		"<fx:DocumentFileName>factur-x.xml</fx:DocumentFileName>", "<pdfaSchema:prefix>fx</pdfaSchema:prefix>", "<fx:Version>1.0</fx:Version>",
	} {
		if !strings.Contains(xmp, want) {
			t.Errorf("no %s", want)
		}
	}
	for d := xml.NewDecoder(strings.NewReader(xmp)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheIdentifierFollowsTheContent(t *testing.T) {
	t.Parallel()
	id := func(change func(*pdfa.Document)) any {
		all := pdftest.Read(t, file(t, change))
		return all.Get(all.Trailer(), "/ID", "0")
	}
	f := font(t)
	draw := func(d *pdfa.Document) {
		p := d.Page(0)
		p.Tag(nil, func() { p.Text(9, 9, f, 9, pdfa.Color{}, []rune("é"), "") })
	}
	if id(nil) == id(draw) {
		t.Error("two documents have one identifier")
	}
}

func TestPicturesThatAreRefused(t *testing.T) {
	t.Parallel()
	if _, err := pdfa.ParseImage([]byte("GIF89a")); err == nil || err.Error() != "picture: neither PNG nor JPEG" {
		t.Error(err)
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, 3, 3)), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := pdfa.ParseImage(b.Bytes()); err != nil {
		t.Error(err)
	}
	if _, err := pdfa.ParseImage(b.Bytes()[:100]); err == nil {
		t.Error("half a JPEG was taken")
	}
}

func FuzzParseFont(f *testing.F) {
	f.Add(goregular.TTF)
	f.Add([]byte("OTTO\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		font, err := pdfa.ParseFont(data)
		if err != nil {
			return
		}
		d := pdfa.New(pdfa.Info{Title: "x"})
		p := d.AddPage(100, 100)
		for _, r := range "aäÅ語" {
			if font.Has(r) {
				p.Tag(nil, func() { p.Text(1, 1, font, 9, pdfa.Color{}, []rune{r}, "") })
			}
		}
		d.Bytes()
	})
}
