package check_test

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf16"

	"invoicer/invoice/document/check"
	"invoicer/invoice/document/node"
)

func escaped(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s))
	return b.String()
}

func wide(s string, bigEndian bool) string {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		if bigEndian {
			b = append(b, byte(u>>8), byte(u))
		} else {
			b = append(b, byte(u), byte(u>>8))
		}
	}
	return string(b)
}

// What others write is read as the same invoice.
func TestOneInvoiceInManyWays(t *testing.T) {
	t.Parallel()
	plain := small("pens", "café")
	declared := func(encoding string) string {
		return `<?xml version="1.0" encoding="` + encoding + `"?>` + "\n" + plain
	}
	header := `<sh:StandardBusinessDocumentHeader><sh:HeaderVersion>1.0</sh:HeaderVersion></sh:StandardBusinessDocumentHeader>`
	sbdh := `<sh:StandardBusinessDocument xmlns:sh="http://www.unece.org/cefact/namespaces/StandardBusinessDocumentHeader">` + header + plain + `</sh:StandardBusinessDocument>`
	attached := func(what string) string {
		return `<AttachedDocument xmlns="urn:oasis:names:specification:ubl:schema:xsd:AttachedDocument-2" xmlns:cac="a" xmlns:cbc="c"><cac:Attachment>` + what + `</cac:Attachment></AttachedDocument>`
	}
	other := strings.NewReplacer("cbc:", "q1:", ":cbc=", ":q1=", "cac:", "ns2:", ":cac=", ":ns2=", "<Invoice xmlns=", "<x:Invoice xmlns:x=", "</Invoice>", "</x:Invoice>").Replace(plain)
	for name, text := range map[string]string{
		"plain":                      plain,
		"UTF-8":                      declared("utf-8"),
		"with the mark of UTF-8":     "\uFEFF" + declared("UTF-8"),
		"UTF-16":                     wide("\uFEFF"+declared("UTF-16"), false),
		"UTF-16 from the other end":  wide("\uFEFF"+declared("utf-16"), true),
		"UTF-16 without a mark":      wide(declared("UTF-16LE"), false),
		"UTF-16BE without a mark":    wide(declared("UTF-16BE"), true),
		"ISO 8859-1":                 strings.ReplaceAll(declared("ISO-8859-1"), "é", "\xe9"),
		"ISO 8859-15":                strings.ReplaceAll(declared("iso-8859-15"), "é", "\xe9"),
		"Windows":                    strings.ReplaceAll(declared("windows-1252"), "é", "\xe9"),
		"other prefixes":             other,
		"comments":                   strings.Replace(plain, "<cbc:ID>N1", "<!-- <cbc:ID>N2</cbc:ID> --><?x y?><cbc:ID><!-- z -->N1", 1),
		"character data":             strings.Replace(plain, "café", "<![CDATA[café]]>", 1),
		"SBDH":                       sbdh,
		"attached as text":           attached(`<cac:ExternalReference><cbc:Description>` + escaped(plain) + `</cbc:Description></cac:ExternalReference>`),
		"attached as character data": attached(`<cac:ExternalReference><cbc:Description><![CDATA[` + declared("UTF-8") + `]]></cbc:Description></cac:ExternalReference>`),
		"attached as bytes": attached(`<cbc:EmbeddedDocumentBinaryObject mimeCode="text/xml">` + base64.StdEncoding.EncodeToString([]byte(plain)) +
			`</cbc:EmbeddedDocumentBinaryObject>`),
		"attached in SBDH": strings.Replace(sbdh, plain, attached(`<cac:ExternalReference><cbc:Description>`+escaped(plain)+`</cbc:Description></cac:ExternalReference>`), 1),
	} {
		r, err := check.Read(strings.NewReader(text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if d := r.Document; d.Number != "N1" || len(d.Lines) != 1 || d.Lines[0].Name != "café" || d.Totals.Payable.String() != "30.3" || len(r.Findings) > 0 {
			t.Errorf("%s: %s %v %v %v", name, d.Number, d.Lines, d.Totals, r.Findings)
		}
	}
}

func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	laughs := `<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>`
	for name, c := range map[string]struct{ text, says string }{
		"nothing":        {"", "no element"},
		"text":           {"hello", "text outside"},
		"laughs":         {laughs + small("N1", "&b;"), "DOCTYPE"},
		"outside":        {`<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>` + small("N1", "&a;"), "DOCTYPE"},
		"entity":         {small("N1", "&a;"), "entity"},
		"other":          {"<html></html>", `<html> of the namespace ""`},
		"namespace":      {strings.Replace(small("", ""), "xsd:Invoice-2", "xsd:Invoice-1", 1), `<Invoice>, but in the namespace "urn:oasis:`},
		"unclosed":       {head, "unexpected EOF"},
		"two roots":      {small("", "") + head + "</Invoice>", "several documents"},
		"two declared":   {small("", "") + "\n" + `<?xml version="1.0"?>` + small("", ""), "several documents"},
		"wrongly nested": {head + "<a><b></a></b></Invoice>", "element <b> closed by </a>"},
		"deep":           {head + strings.Repeat("<a>", node.MostDepth) + strings.Repeat("</a>", node.MostDepth) + "</Invoice>", "deeper than"},
		"attributes":     {head + "<a" + strings.Repeat(` b = ''`, node.MostAttributes+1) + "/></Invoice>", "attributes"},
		"EBCDIC":         {`<?xml version="1.0" encoding="EBCDIC"?>` + small("", ""), `"EBCDIC" isn't read`},
		"EBCDIC 37":      {`<?xml version="1.0" encoding="IBM Code Page 037"?>` + small("", ""), "isn't read"},
		"UTF-32":         {"\xff\xfe\x00\x00<\x00\x00\x00", "UTF-32"},
		"wrong UTF-8":    {small("pens", "\xff"), "UTF-8"},
		"ZUGFeRD 1":      {`<rsm:CrossIndustryDocument xmlns:rsm="urn:ferd:CrossIndustryDocument:invoice:1p0"/>`, "ZUGFeRD 1.0"},
		"FatturaPA":      {`<p:FatturaElettronica xmlns:p="http://ivaservizi.agenziaentrate.gov.it/docs/xsd/fatture/v1.2"/>`, "FatturaPA"},
		"order":          {`<Order xmlns="urn:oasis:names:specification:ubl:schema:xsd:Order-2"/>`, "UBL Order"},
		"Order-X":        {`<SCRDMCCBDACIOMessageStructure xmlns="urn:un:unece:uncefact:data:SCRDMCCBDACIOMessageStructure:100"/>`, "Order-X"},
		"empty SBDH":     {`<StandardBusinessDocument xmlns="http://www.unece.org/cefact/namespaces/StandardBusinessDocumentHeader"/>`, "empty"},
		"encodings":      {`<?xml version="1.0" encoding="latin1"?><?xml version="1.0" encoding="latin1"?>` + small("", ""), "declares its encoding twice"},
		"full SBDH":      {`<StandardBusinessDocument xmlns="http://www.unece.org/cefact/namespaces/StandardBusinessDocumentHeader">` + small("", "") + small("", "") + `</StandardBusinessDocument>`, "several documents"},
	} {
		if r, err := check.Read(strings.NewReader(c.text)); err == nil {
			t.Errorf("%s: read as %v", name, r.Syntax)
		} else if !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := check.Read(strings.NewReader("<html/>")); !errors.Is(err, check.ErrUnknown) {
		t.Error(err)
	}
	nested := small("", "")
	for range 5 {
		nested = `<AttachedDocument xmlns="urn:oasis:names:specification:ubl:schema:xsd:AttachedDocument-2"><Attachment><ExternalReference><Description>` +
			escaped(nested) + `</Description></ExternalReference></Attachment></AttachedDocument>`
	}
	if _, err := check.Read(strings.NewReader(nested)); err == nil {
		t.Error("five envelopes are opened")
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it reads 48 MiB")
	}
	big := bytes.Repeat([]byte(" "), node.MostBytes+1)
	if _, err := check.Read(bytes.NewReader(append([]byte(head), big...))); err == nil || !strings.Contains(err.Error(), "bigger") {
		t.Errorf("a file of %d bytes: %v", len(big), err)
	}
	wide := `<?xml version="1.0" encoding="windows-1252"?>` + head + "<a>" + strings.Repeat("\x80", node.MostBytes/3) + "</a></Invoice>" // the euro has three bytes
	if _, err := check.Read(strings.NewReader(wide)); err == nil || !strings.Contains(err.Error(), "bigger") {
		t.Errorf("a file that is bigger in UTF-8: %v", err)
	}
	many := head + strings.Repeat("<a/>", node.MostNodes) + "</Invoice>"
	if _, err := check.Read(strings.NewReader(many)); err == nil || !strings.Contains(err.Error(), "elements") {
		t.Errorf("a file of %d elements: %v", node.MostNodes, err)
	}
}

// What isn't looked at is told, by its name if it is in a namespace of the syntax.
func TestWhatIsIgnored(t *testing.T) {
	t.Parallel()
	extension := `<e:UBLExtensions xmlns:e="urn:oasis:names:specification:ubl:schema:xsd:CommonExtensionComponents-2"><e:a><cbc:ID>N7</cbc:ID></e:a></e:UBLExtensions>`
	text := strings.Replace(small("", ""), head, head+extension+"<cbc:Gift>no</cbc:Gift><cbc:Gift>yes</cbc:Gift>", 1)
	r, err := check.Read(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(r.Ignored); got != "[{Gift 2}]" {
		t.Error(got)
	}
	if r.Document.Number != "N1" || len(r.Notes) != 1 || !strings.HasPrefix(r.Notes[0].Message, "3 elements are in namespaces that UBL Invoice doesn't have") {
		t.Errorf("%s %v", r.Document.Number, r.Notes)
	}
}

// A report stays small, whatever is in the file.
func TestReportsAreBounded(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString(head)
	for n := range 3 * check.Most {
		fmt.Fprintf(&b, "<cac:InvoiceLine><cbc:LineExtensionAmount>x</cbc:LineExtensionAmount></cac:InvoiceLine><cbc:A%d/>", n)
	}
	b.WriteString("</Invoice>")
	r, err := check.Read(strings.NewReader(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Findings) != check.Most || len(r.Lacks) != check.Most || len(r.Ignored) != check.Most || r.More < 10*check.Most {
		t.Errorf("%d findings, %d lacks, %d ignored, %d more", len(r.Findings), len(r.Lacks), len(r.Ignored), r.More)
	}
}
