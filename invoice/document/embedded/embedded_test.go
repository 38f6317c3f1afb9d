package embedded_test

import (
	"bytes"
	"compress/zlib"
	"encoding/ascii85"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"invoicer/invoice/document/embedded"
)

// A maker writes a PDF as a program of some age does: objects one behind the other, and a table of where they are.
type maker struct {
	bytes.Buffer

	at   map[int]int
	last int // offset of the last table
}

func begin() *maker {
	m := &maker{at: make(map[int]int)}
	m.WriteString("%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
	return m
}

func (m *maker) object(number int, body string) *maker {
	m.at[number] = m.Len()
	fmt.Fprintf(m, "%d 0 obj\n%s\nendobj\n", number, body)
	return m
}

func (m *maker) stream(number int, dict, data string) *maker {
	return m.object(number, fmt.Sprintf("<<%s/Length %d>>\nstream\n%s\nendstream", dict, len(data), data))
}

// table writes the table of the objects since the last one.
func (m *maker) table(trailer string) *maker {
	at := m.Len()
	m.WriteString("xref\n0 1\n0000000000 65535 f \n")
	for _, number := range m.numbers() {
		fmt.Fprintf(m, "%d 1\n%010d 00000 n \n", number, m.at[number])
	}
	if m.last > 0 {
		trailer += fmt.Sprintf("/Prev %d", m.last)
	}
	fmt.Fprintf(m, "trailer\n<<%s>>\nstartxref\n%d\n%%%%EOF\n", trailer, at)
	m.last, m.at = at, make(map[int]int)
	return m
}

func (m *maker) numbers() (list []int) {
	for number := range m.at {
		list = append(list, number)
	}
	slices.Sort(list)
	return list
}

const root = "/Size 9/Root 1 0 R"

// one is a PDF with a file in it.
func one() *maker {
	return begin().object(1, "<</Type/Catalog/Pages 2 0 R/AF[4 0 R]/Names<</EmbeddedFiles 3 0 R>>/Metadata 6 0 R>>").object(2, "<</Type/Pages/Kids[]/Count 0>>").
		object(3, "<</Names[(a.xml) 4 0 R]>>").object(4, "<</Type/Filespec/F(a.xml)/UF(a.xml)/AFRelationship/Alternative/EF<</F 5 0 R>>>>").
		stream(5, "/Type/EmbeddedFile/Subtype/text#2Fxml", "<a>1</a>").stream(6, "/Type/Metadata", "<xmp/>")
}

func deflated(data string) string {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	_, _ = z.Write([]byte(data))
	_ = z.Close()
	return b.String()
}

// files spells the files of a PDF.
func files(t *testing.T, content []byte) (*embedded.PDF, string) {
	t.Helper()
	pdf, err := embedded.Read(content)
	if err != nil {
		return nil, err.Error()
	}
	var list []string
	for n := range pdf.Files {
		f := &pdf.Files[n]
		content, err := f.Content()
		text := string(content)
		if err != nil {
			text = err.Error()
		}
		list = append(list, fmt.Sprintf("%s %s %s %s", f.Name, f.Relationship, f.Type, text))
	}
	return pdf, strings.Join(list, "; ")
}

// packed is a PDF whose objects but for the streams are in an object stream, and whose references are in a stream with a predictor.
func packed() []byte {
	m := begin().stream(5, "/Subtype/text#2Fxml/Filter/FlateDecode", deflated("<a>1</a>"))
	var index, bodies string
	for n, body := range []string{
		"<</Type/Catalog/AF 4 0 R/Names<</EmbeddedFiles<</Kids[3 0 R 3 0 R]>>>>>>", "<</Type/Pages>>", "<</Kids[3 0 R]/Names[(a) 4 0 R]>>",
		"<</UF<FEFF00E9002E0078006D006C>/AFRelationship/Data/EF<</UF 5 0 R/F 5 0 R>>>>",
	} {
		index += fmt.Sprintf("%d %d ", n+1, len(bodies))
		bodies += body + " "
	}
	m.stream(7, fmt.Sprintf("/Type/ObjStm/N 4/First %d/Filter[/FlateDecode]", len(index)), deflated(index+bodies))
	var rows []byte
	above := make([]byte, 5)
	for number := range 9 {
		row := []byte{0, 0, 0, 0, 0}
		switch {
		case number > 0 && number < 5:
			row = []byte{2, 0, 0, 7, byte(number - 1)}
		case m.at[number] > 0:
			row[0] = 1
			binary.BigEndian.PutUint16(row[2:], uint16(m.at[number]))
		}
		rows = append(rows, 2) // up
		for n := range row {
			rows = append(rows, row[n]-above[n])
		}
		copy(above, row)
	}
	at := m.Len()
	m.stream(8, "/Type/XRef/W[1 3 1]/Size 9/Root 1 0 R/Filter/FlateDecode/DecodeParms<</Predictor 12/Columns 5>>", deflated(string(rows)))
	fmt.Fprintf(m, "startxref\n%d\n%%%%EOF\n", at)
	return m.Bytes()
}

const wanted = "a.xml Alternative text/xml <a>1</a>"

func TestFilesOfManyWriters(t *testing.T) {
	t.Parallel()
	plain := one().table(root).String()
	a85 := make([]byte, ascii85.MaxEncodedLen(len("<a>1</a>")))
	before, _, _ := strings.Cut(plain, "xref")
	renamed := one().table(root).object(4, "<</F(b.xml)/EF<</F 7 0 R>>>>").stream(7, "", "<b/>").table(root)
	for name, c := range map[string]struct {
		content, want string
		repaired      bool
	}{
		"a table":           {plain, wanted, false},
		"bytes before":      {"\r\n\r\n" + plain, wanted, false},
		"bytes behind":      {plain + strings.Repeat("\n", 900), wanted, false},
		"other line breaks": {strings.ReplaceAll(one().table(root).String(), " n \n", " n\r\n"), wanted, false},
		"an update":         {renamed.String(), "b.xml   <b/>", false},
		"streams":           {string(packed()), "é.xml Data text/xml <a>1</a>", false},
		"packed, no table":  {strings.ReplaceAll(string(packed()), "startxref", "startxxxx"), "é.xml Data text/xml <a>1</a>", true},
		"a tree": {
			begin().object(1, "<</Type/Catalog/Names 2 0 R>>").object(2, "<</EmbeddedFiles<</Kids[3 0 R 1 0 R 2 0 R]>>>>").object(3, "<</Kids[3 0 R]/Names[(x) 4 0 R]>>").
				object(4, "<</F(a.xml)/AFRelationship/Alternative/EF<</F 5 0 R>>>>").stream(5, "/Subtype/text#2fxml/Filter[/ASCIIHexDecode]", "3C613E313C2F613e>").table(root).String(),
			wanted, false,
		},
		"nothing leads to it": {
			begin().object(1, "<</Type/Catalog>>").object(4, "<</F(a.xml)/AFRelationship/Alternative/EF<</F 5 0 R>>>>").
				stream(5, "/Subtype/text#2Fxml/Filter/ASCII85Decode", "<~"+string(a85[:ascii85.Encode(a85, []byte("<a>1</a>"))])+"~>").table(root).String(),
			"a.xml Alternative text/xml <a>1</a>", false,
		},
		"a filter elsewhere": {
			begin().object(1, "<</Type/Catalog/AF[4 0 R]>>").object(4, "<</F(a.xml)/AFRelationship/Alternative/EF<</F 5 0 R>>>>").object(6, "[7 0 R]").object(7, "/AHx").
				stream(5, "/Subtype/text#2Fxml/Filter 6 0 R", "3C613E313C2F613e>").table(root).String(),
			wanted, false,
		},
		"no table":         {strings.ReplaceAll(plain, "xref", "xxxx"), wanted, true},
		"no trailer":       {strings.ReplaceAll(strings.ReplaceAll(plain, "xref", "xxxx"), "trailer", "trxxxxx"), wanted, true},
		"wrong offsets":    {strings.Replace(plain, "%\xe2\xe3\xcf\xd3\n", "%\xe2\xe3\xcf\xd3\n%another line\n", 1), wanted, true},
		"cut off":          {before, wanted, true},
		"another object":   {strings.Replace(plain, "5 0 obj", "8 0 obj", 1), "", true},
		"wrong length":     {strings.Replace(plain, "/Length 8", "/Length 3", 1), wanted, false},
		"length elsewhere": {strings.Replace(one().object(8, "8").table(root).String(), "/Length 8", "/Length 8 0 R", 1), wanted, true},
		"length in itself": {strings.Replace(one().table(root).String(), "/Length 8", "/Length 5 0 R", 1), wanted, true},
		"no length":        {strings.Replace(plain, "/Length 8", "/Lengthy ", 1), wanted, false},
		"a wrong Prev":     {one().table(root + "/Prev 99999999").String(), wanted, true},
		"an endless Prev":  {strings.Replace(plain, "/Root 1 0 R", fmt.Sprintf("/Root 1 0 R/Prev %d", strings.LastIndex(plain, "xref\n0")), 1), wanted, false},
		"LZW":              {strings.Replace(plain, "/Type/EmbeddedFile", "/Filter/LZWDecode ", 1), "a.xml Alternative text/xml a stream is encoded with LZWDecode, which isn't read", false},
	} {
		pdf, got := files(t, []byte(c.content))
		if got != c.want {
			t.Errorf("%s: %s", name, got)
		}
		if pdf != nil && pdf.Repaired != c.repaired && c.want != "" {
			t.Errorf("%s: repaired is %t", name, pdf.Repaired)
		}
	}
	if pdf, err := embedded.Read([]byte(plain)); err != nil || string(pdf.Metadata) != "<xmp/>" {
		t.Error("the metadata", err)
	}
}

func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ content, says string }{
		"nothing":    {"", "no PDF"},
		"no objects": {"%PDF-1.7\nhello", "damaged"},
		"encrypted":  {one().object(7, "<</Filter/Standard>>").table(root + "/Encrypt 7 0 R").String(), "encrypted"},
		"encrypted and broken": {
			strings.Replace(one().object(7, "<</Filter/Standard>>").table(root+"/Encrypt 7 0 R").String(), "startxref", "startxxxx", 1), "encrypted",
		},
		"a catalog that is itself": {begin().object(1, "1 0 R").table(root).String(), "damaged"},
		"too big":                  {"%PDF-1.7" + strings.Repeat(" ", embedded.MostBytes), "bigger"},
	} {
		if _, err := embedded.Read([]byte(c.content)); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := embedded.Read(one().table(root + "/Encrypt<<>>").Bytes()); !errors.Is(err, embedded.ErrEncrypted) {
		t.Error(err)
	}
}

// What would take for ever or fill the memory ends.
func TestWhatNeverEnds(t *testing.T) {
	t.Parallel()
	bomb := deflated(strings.Repeat("\x00", embedded.MostStream+1))
	withBomb := begin().object(1, "<</Type/Catalog/AF[4 0 R]>>").object(4, "<</F(a)/EF<</F 5 0 R>>>>").stream(5, "/Filter/FlateDecode", bomb).table(root).String()
	if _, got := files(t, []byte(withBomb)); !strings.Contains(got, "bigger than") {
		t.Error(got)
	}
	twice := begin().object(1, "<</Type/Catalog/AF[4 0 R]>>").object(4, "<</F(a)/EF<</F 5 0 R>>>>").
		stream(5, "/Filter[/FlateDecode/FlateDecode/FlateDecode/FlateDecode/FlateDecode]", deflated(bomb)).table(root).String()
	if _, got := files(t, []byte(twice)); !strings.Contains(got, "5 filters") {
		t.Error(got)
	}
	for name, content := range map[string]string{
		"deep":           begin().object(1, strings.Repeat("[", 1<<20)).table(root).String(),
		"deep and long":  begin().object(1, strings.Repeat("[<<", 1<<20)+"/A "+strings.Repeat("1 ", 1<<20)).table(root).String(),
		"references":     begin().object(1, "<</Type/Catalog/AF["+strings.Repeat("1 0 R ", 1<<20)+"]>>").table(root).String(),
		"tables":         "%PDF-1.4\n" + strings.Repeat("xref\n0 999999\n", 1<<16) + "startxref\n9\n",
		"objects":        "%PDF-1.4\n" + strings.Repeat("1 0 obj\n", 1<<18) + "startxref\n9\n",
		"object streams": "%PDF-1.4\n" + strings.Repeat("1 0 obj<</Type/ObjStm/N 999999/First 0>>stream\n", 1<<16) + "startxref\n9\n",
		"in itself":      begin().object(1, "<</Type/Catalog>>").stream(2, "/Type/ObjStm/N 1/First 4", "2 0 <</Type/ObjStm/N 1/First 4>>").table(root).String() + "startxxxx",
	} {
		pdf, err := embedded.Read([]byte(content))
		if err == nil && len(pdf.Files) > 0 {
			t.Errorf("%s has files", name)
		}
	}
}

// referenced is a PDF whose only references are those of a stream, with the given widths, index and rows, in which @@@@ is where its object
// stream stands.
func referenced(dict, rows string) []byte {
	m := one()
	m.stream(7, "/Type/ObjStm/N 1/First 4", "8 0 <<>>")
	rows = strings.ReplaceAll(rows, "@@@@", string(binary.BigEndian.AppendUint32(nil, uint32(m.at[7]))))
	at := m.Len()
	m.stream(9, "/Type/XRef/Size 2/Root 1 0 R"+dict, rows)
	fmt.Fprintf(m, "startxref\n%d\n%%%%EOF\n", at)
	return m.Bytes()
}

// overflowing are PDFs with references to what no number that is counted with can hold.
func overflowing() map[string][]byte {
	const most, half = "\xff\xff\xff\xff\xff\xff\xff\xff", "\x7f\xff\xff\xff\xff\xff\xff\xff"
	const container = "\x01@@@@\x00\x00\x00\x00\x00\x00\x00\x00"
	return map[string][]byte{
		"an index of -1":           referenced("/W[1 4 8]/Index[1 1]", "\x02\x00\x00\x00\x05"+most),
		"an index in a stream":     referenced("/W[1 4 8]/Index[1 1 7 1]", "\x02\x00\x00\x00\x07"+most+container),
		"an index whose double is": referenced("/W[1 4 8]/Index[1 1 7 1]", "\x02\x00\x00\x00\x07"+half+container),
		"an offset of -1":          referenced("/W[1 8 1]/Index[1 1]", "\x01"+most+"\x00"),
		"a stream of -1":           referenced("/W[1 8 1]/Index[1 1]", "\x02"+most+"\x00"),
		"a kind of -1":             referenced("/W[8 1 1]/Index[1 1]", most+"\x01\x00"),
		"a negative width":         referenced("/W[1 -4 8]/Index[1 1]", "\x01\x00\x00\x00\x05"+most),
		"the last number":          referenced("/W[1 1 1]/Index[9223372036854775807 2]", "\x01\x01\x01\x01\x01\x01"),
		"the first number":         referenced("/W[1 1 1]/Index[-9223372036854775808 2]", "\x01\x01\x01\x01\x01\x01"),
	}
}

// References that can't be followed are broken ones: the file's objects are looked for instead.
func TestReferencesBeyondAllNumbers(t *testing.T) {
	t.Parallel()
	for name, content := range overflowing() {
		pdf, got := files(t, content)
		if got != wanted {
			t.Errorf("%s: %s", name, got)
		}
		if pdf != nil && !pdf.Repaired {
			t.Errorf("%s: it isn't repaired", name)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, content := range overflowing() {
		f.Add(content)
	}
	f.Add(one().table(root).Bytes())
	f.Add(one().table(root).object(4, "<</F(b.xml)/EF<</F 7 0 R>>>>").stream(7, "", "<b/>").table(root).Bytes())
	f.Add([]byte(strings.ReplaceAll(one().table(root).String(), "xref", "xxxx")))
	f.Add(packed())
	f.Fuzz(func(_ *testing.T, content []byte) {
		pdf, err := embedded.Read(content)
		if err != nil {
			return
		}
		for n := range pdf.Files {
			_, _ = pdf.Files[n].Content()
		}
	})
}
