package check_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"invoicer/invoice/document/check"
	"invoicer/invoice/document/node"
)

// attached is an AttachedDocument with what Base64 carries.
func attached(base64 string) string {
	return `<AttachedDocument xmlns="urn:oasis:names:specification:ubl:schema:xsd:AttachedDocument-2"><Attachment><EmbeddedDocumentBinaryObject>` + base64 +
		`</EmbeddedDocumentBinaryObject></Attachment></AttachedDocument>`
}

// overlapping is a PDF with n files, all of which end where the last one does: whoever reads each as XML reads nearly all of the PDF each time, and
// finds at the end that it isn't well-formed.
func overlapping(n, bytesOfAll int) string {
	var b bytes.Buffer
	b.WriteString("%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\n")
	for k := range n {
		fmt.Fprintf(&b, "%d 0 obj<</F(a%d.xml)/EF<</F %d 0 R>>>>endobj\n", 2+2*k, k, 3+2*k)
	}
	end := b.Len() + bytesOfAll
	for k := range n {
		before := fmt.Sprintf("%d 0 obj<</Length ", 3+2*k)
		const digits, behind = 8, len(">>stream\n")
		fmt.Fprintf(&b, "%s%0*d>>stream\n<a><![CDATA[", before, digits, end-b.Len()-len(before)-digits-behind)
	}
	const last = "]]></b>"
	b.WriteString(strings.Repeat("x", end-b.Len()-len(last)) + last + "\nendstream endobj\ntrailer<</Root 1 0 R>>\n")
	return b.String()
}

// allocated is how many bytes of memory f takes in all, whatever is freed meanwhile. Nothing else may run.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Memory goes by how big a file is.
func TestMemoryIsBounded(t *testing.T) { //nolint:paralleltest // it measures memory, which is the process's
	ubl := func(inside string) string { return head + inside + "</Invoice>" }
	nested := small("", "") + strings.Repeat(" ", 1<<20)
	for range 3 {
		nested = attached(base64.StdEncoding.EncodeToString([]byte(nested)))
	}
	for name, c := range map[string]struct {
		text string
		most uint64 // MiB
		says string // "" if it is read
	}{
		"many files in a PDF":     {overlapping(200, 4<<20), 300, "a0.xml in the PDF"},
		"attributes":              {ubl(strings.Repeat("<b"+strings.Repeat(" c=''", node.MostAttributes)+"/>", 15_000)), 500, "attributes"},
		"encodings":               {strings.Repeat(`<?xml version="1.0" encoding="latin1"?>`, 20_000) + small("", ""), 10, "twice"},
		"lines":                   {ubl(strings.Repeat("<cac:InvoiceLine/>", 300_000)), 200, "lines"},
		"lacks":                   {ubl(strings.Repeat("<cac:InvoiceLine/>", 50_000)), 150, ""},
		"blanks in Base64":        {attached(strings.Repeat("a ", 4<<20)), 80, "in the AttachedDocument"},
		"a long code":             {ubl("<cbc:DocumentCurrencyCode>" + strings.Repeat("x", 4<<20) + "</cbc:DocumentCurrencyCode>"), 100, ""},
		"envelopes in each other": {nested, 120, ""},
	} {
		var err error
		took := allocated(func() { _, err = check.Read(strings.NewReader(c.text)) })
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v", name, err)
		}
		if took > c.most<<20 {
			t.Errorf("%s: a file of %d bytes takes %d MiB of memory", name, len(c.text), took>>20)
		}
	}
}

// The time that a document takes goes by how many lines it has, not by how many of them have a fault each.
func TestManyLinesWithoutRates(t *testing.T) {
	t.Parallel()
	const lines = 50_000
	took := func(category string) time.Duration {
		text := strings.Replace(small("", ""), "</Invoice>", strings.Repeat("<cac:InvoiceLine><cac:Item><cac:ClassifiedTaxCategory><cbc:ID>"+category+"</cbc:ID>"+
			"<cbc:Percent>0</cbc:Percent></cac:ClassifiedTaxCategory></cac:Item></cac:InvoiceLine>", lines)+"</Invoice>", 1)
		began := time.Now()
		r, err := check.Read(strings.NewReader(text))
		if err != nil || len(r.Document.Lines) != lines+1 {
			t.Fatal(err)
		}
		for _, l := range r.Lacks {
			if l.Rule == "BR-AF-05" {
				t.Fatal("UBL takes a rate of 0", l)
			}
		}
		return time.Since(began)
	}
	var ratios []float64
	for range 3 { // a machine that is busy with other things may take its time once
		ratio := float64(took("L")) / float64(took("Z"))
		if ratio < 4 {
			return
		}
		ratios = append(ratios, ratio)
	}
	t.Errorf("lines whose rates are looked at take %.1f times as long as others", ratios)
}
