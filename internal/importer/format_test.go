package importer

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf16"

	"invoicer/invoice"
)

// read returns what a reader makes of an input: each job with its place, and the error that ends it, unless it is the end.
func read(in io.Reader) (got []string, unit Unit, err error) {
	r := jobReader{source: in}
	for {
		one, err := r.next()
		if errors.Is(err, io.EOF) {
			return got, r.unit, nil
		}
		if err != nil {
			return got, r.unit, err
		}
		result := Result{Number: one.number, Line: one.line}
		got = append(got, fmt.Sprintf("%s: %s", result.Place(), one.text))
	}
}

// utf16Text is a text in UTF-16, with a byte order mark or without.
func utf16Text(text string, big, marked bool) string {
	if marked {
		text = "\ufeff" + text
	}
	var b strings.Builder
	for _, unit := range utf16.Encode([]rune(text)) {
		if big {
			b.WriteString(string([]byte{byte(unit >> 8), byte(unit)}))
		} else {
			b.WriteString(string([]byte{byte(unit), byte(unit >> 8)}))
		}
	}
	return b.String()
}

func TestFormats(t *testing.T) {
	t.Parallel()
	const pretty = "{\n  \"a\": [\n    {}\n  ]\n}"
	for name, test := range map[string]struct {
		input string
		want  []string
	}{
		"nothing":                     {"", nil},
		"JSON Lines":                  {"{\"a\":1}\n\n{\"b\":\n", []string{`line 1: {"a":1}`, `line 3: {"b":`}},
		"one line":                    {"\xef\xbb\xbf\n {\"a\":1}", []string{`line 2:  {"a":1}`}},
		"two objects on a line":       {"{\"a\":1}{}\n{}", []string{`line 1: {"a":1}{}`, "line 2: {}"}},
		"a first line that is cut":    {"{\"a\":1,\n{\"b\":2}\n", []string{`line 1: {"a":1,`, `line 2: {"b":2}`}},
		"a first line cut in a text":  {"{\"a\":\"x\n{\"b\":2}\n", []string{`line 1: {"a":"x`, `line 2: {"b":2}`}},
		"a first line cut in a list":  {"{\"a\":[\n{}\n{}\n", []string{`line 1: {"a":[`, "line 2: {}", "line 3: {}"}},
		"only a line that is cut":     {"{\"a\":1,\n", []string{`line 1: {"a":1,`}},
		"a bad line first":            {"a, b\n{}\n", []string{"line 1: a, b", "line 2: {}"}},
		"an array on one line":        {`[{"a":1},{"b":[{}]} , 7]`, []string{`job 1, line 1: {"a":1}`, `job 2, line 1: {"b":[{}]}`, "job 3, line 1: 7"}},
		"an array over lines":         {"\n[\r\n{\"a\":1},\r\n\r\n{\"b\":2}\n,{}\n]\n", []string{`job 1, line 3: {"a":1}`, `job 2, line 5: {"b":2}`, "job 3, line 6: {}"}},
		"a pretty-printed array":      {"[\n" + pretty + ",\n" + pretty + "\n]", []string{"job 1, line 2: " + pretty, "job 2, line 7: " + pretty}},
		"an empty array":              {"[ ]\n", nil},
		"arrays one after the other":  {"[{}]\n[{},{}]\n[]\n{}", []string{"job 1, line 1: {}", "job 2, line 2: {}", "job 3, line 2: {}", "job 4, line 4: {}"}},
		"objects one after the other": {"\n" + pretty + "\n" + pretty + "{}\n", []string{"job 1, line 2: " + pretty, "job 2, line 7: " + pretty, "job 3, line 11: {}"}},
		"names twice and no UTF-8":    {"[{\"a\":1,\"a\":\"\xff\"}]", []string{"job 1, line 1: {\"a\":1,\"a\":\"\xff\"}"}},
		"a marked array":              {"\xef\xbb\xbf[{}]", []string{"job 1, line 1: {}"}},
		"a compressed array":          {string(zipped(t, "[{},", "\n{}]")), []string{"job 1, line 1: {}", "job 2, line 2: {}"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for how, in := range map[string]io.Reader{
				"at once": strings.NewReader(test.input), "byte by byte": iotest.OneByteReader(strings.NewReader(test.input)),
			} {
				got, _, err := read(in)
				if err != nil || !slices.Equal(got, test.want) {
					t.Errorf("%s: %q, %v; want %q", how, got, err, test.want)
				}
			}
		})
	}
}

// What isn't taken is named in one line, and not one job of it is read.
func TestOtherFormats(t *testing.T) {
	t.Parallel()
	const job = "{\"transaction_id\":\"ü\"}\n"
	for name, test := range map[string]struct{ input, says string }{
		"UTF-16":                     {utf16Text(job, false, true), "UTF-16, and enqueue takes UTF-8: iconv -f utf-16 -t utf-8 FILE | invoicer enqueue -"},
		"UTF-16, big end first":      {utf16Text(job, true, true), "UTF-16, and enqueue takes UTF-8: iconv -f utf-16 -t utf-8 "},
		"UTF-16 without a mark":      {utf16Text(job, false, false), "UTF-16 without a byte order mark, and enqueue takes UTF-8: iconv -f utf-16le "},
		"an array in UTF-16":         {utf16Text("[\n{}]", true, false), "UTF-16 without a byte order mark, and enqueue takes UTF-8: iconv -f utf-16be "},
		"UTF-32":                     {"\xff\xfe\x00\x00{\x00\x00\x00", "UTF-32, and enqueue takes UTF-8: iconv -f utf-32 "},
		"UTF-16, compressed":         {string(zipped(t, utf16Text(job, false, true))), "UTF-16, "},
		"a zip or a workbook":        {"PK\x03\x04\x14\x00", "a zip archive, or a workbook (xlsx, ods), and enqueue takes JSON Lines: unzip -p FILE | "},
		"a PDF":                      {"%PDF-1.7\n", "a PDF, "},
		"an old workbook":            {"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old workbook "},
		"zstd":                       {"\x28\xb5\x2f\xfd\x04", "compressed by zstd, and enqueue takes gzip: zstd -dc FILE | "},
		"xz":                         {"\xfd7zXZ\x00", "compressed by xz, "},
		"bzip2":                      {"BZh91AY", "compressed by bzip2, "},
		"a compressed tar":           {string(zipped(t, "jobs.jsonl"+strings.Repeat("\x00", 247)+"ustar\x0000"+job)), "a tar archive, and enqueue takes JSON Lines: tar -xOf FILE | "},
		"an image":                   {"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "neither JSON nor text in UTF-8, "},
		"XML":                        {"\n<?xml version=\"1.0\"?>\n<job/>", "XML or HTML, "},
		"CSV":                        {"transaction_id,issued_at\nA,2026-01-01\n", "CSV, and enqueue takes JSON Lines, one job on each line: docs/jobs.md "},
		"CSV of another spreadsheet": {"\xef\xbb\xbf\"Best. Nr\";Datum\r\n1;2", "CSV, "},
		"CSV in Latin-1":             {"Auftrag\tK\xe4ufer\n1\t2", "CSV, "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for how, in := range map[string]io.Reader{
				"at once": strings.NewReader(test.input), "byte by byte": iotest.OneByteReader(strings.NewReader(test.input)),
			} {
				got, _, err := read(in)
				if err == nil || !strings.HasPrefix(err.Error(), "the input is "+test.says) || strings.Contains(err.Error(), "\n") || len(got) > 0 {
					t.Errorf("%s: %q, %v; want %q", how, got, err, test.says)
				}
			}
		})
	}
}

// A job is returned before anything comes after it.
func TestFirstJobDoesNotWait(t *testing.T) {
	t.Parallel()
	for _, job := range []string{"{\"a\":1}\n", "{\n\"a\":1}\n", "[{\"a\":1},\n", "nonsense\n"} {
		in, out := io.Pipe()
		t.Cleanup(func() { _ = out.Close() })
		go func() { _, _ = io.WriteString(out, job) }()
		r := jobReader{source: in}
		if one, err := r.next(); err != nil || one.number != 1 { // else it waits forever
			t.Errorf("%q: %+v, %v", job, one, err)
		}
	}
}

// Where it isn't JSON any more, what comes after can't be told apart.
func TestBrokenDocuments(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		input, says string
		jobs        int
	}{
		"a comma too much":         {"[\n{},\n{\"a\":1,\n}\n,{}]", "job 2, line 3: the input is not valid JSON on line 4, ", 1},
		"a comma too few":          {"[\n{}\n{}]", "job 2, line 3: the input is not valid JSON on line 3, ", 1},
		"a comma at the end":       {"[\n{},\n]", "job 2, line 3: the input is not valid JSON on line 2, ", 1},
		"a bracket too few":        {"[\n{},{}\n", "job 3, line 3: the input ends too early", 2},
		"the end within a job":     {"[{},\n{\"a\":", "job 2, line 2: the input ends too early", 1},
		"more after it":            {"[{}]\nx", "job 2, line 2: the input is not valid JSON on line 2, ", 1},
		"a pretty one with a typo": {"{\n  \"a\": 1,\n}\n", "job 1, line 1: the input is not valid JSON on line 3, ", 0},
		"half a pretty one":        {"{\n  \"a\": 1", "job 1, line 1: the input ends too early", 0},
		"an endless text":          {"[{},\n{\"a\":\"" + strings.Repeat("x", 5<<20) + "\"}]", "job 2, line 2: it holds a text, or blanks, of more bytes ", 1},
		"endless blanks":           {"[{}," + strings.Repeat(" ", 5<<20) + "]", "job 2, line 1: it holds a text, or blanks, of more bytes ", 1},
		"a cut gzip":               {string(zipped(t, "[{},{"))[:20], "the input can't be read past job 1: unexpected EOF", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, _, err := read(strings.NewReader(test.input))
			if err == nil || !strings.HasPrefix(err.Error(), test.says) || len(got) != test.jobs {
				t.Errorf("%d jobs, %v; want %d, %q", len(got), err, test.jobs, test.says)
			}
		})
	}
}

// A value that is too long for a job is counted and passed over, and the next one is read.
func TestValuesLongerThanAJob(t *testing.T) {
	t.Parallel()
	const fit = `{"a":[1]}`
	long := "{\"a\":[\n" + strings.Repeat("\"xxxxxx\",\n", 5*invoice.MaxPayload/10) + "1]}"
	r := jobReader{source: strings.NewReader("[" + fit + ",\n" + long + ",\n" + fit + "]")}
	for i, want := range []inputLine{{number: 1, line: 1, size: len(fit)}, {number: 2, line: 2, size: len(long)}, {number: 3, line: 3 + strings.Count(long, "\n"), size: len(fit)}} {
		one, err := r.next()
		if err != nil {
			t.Fatal(err)
		}
		if one.number != want.number || one.line != want.line || one.size != want.size {
			t.Errorf("value %d: job %d, line %d, %d bytes; want %+v", i, one.number, one.line, one.size, want)
		}
		if one.size > invoice.MaxPayload && (len(one.text) <= invoice.MaxPayload/2 || len(one.text) >= one.size || !strings.HasPrefix(long, string(one.text))) {
			t.Errorf("value %d: %d bytes are kept, which begin %.20q", i, len(one.text), one.text)
		}
		if held := cap(one.text); held > 2*invoice.MaxPayload {
			t.Errorf("value %d holds %d bytes", i, held)
		}
	}
	if _, err := r.next(); !errors.Is(err, io.EOF) {
		t.Errorf("then %v, want the end", err)
	}
}

// An arrayReader is an array of equal elements, over lines. It fails once it has given much more than was taken of it.
type arrayReader struct {
	element      string
	left         int
	rest         string
	given, taken int
	most         int
}

func (a *arrayReader) Read(b []byte) (int, error) {
	if a.rest == "" {
		switch {
		case a.left < 0:
			return 0, io.EOF
		case a.left == 0:
			a.rest = "]"
		default:
			a.rest = a.element + ",\n"
			if a.left == 1 {
				a.rest = a.element
			}
		}
		a.left--
	}
	n := copy(b, a.rest)
	a.rest = a.rest[n:]
	a.given += n
	a.most = max(a.most, a.given-a.taken)
	return n, nil
}

// However long an array is, little more than an element of it is in memory.
func TestArraysAreNotHeldInMemory(t *testing.T) {
	t.Parallel()
	const elements = 200_000
	element := `{"a":"` + strings.Repeat("x", 100) + `"}`
	in := &arrayReader{element: element, left: elements, rest: "["}
	r := jobReader{source: in}
	for n := 0; ; n++ {
		one, err := r.next()
		if errors.Is(err, io.EOF) {
			if n != elements {
				t.Errorf("%d elements, want %d", n, elements)
			}
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if string(one.text) != element || one.line != n+1 {
			t.Fatalf("element %d, line %d: %.40q", n, one.line, one.text)
		}
		in.taken += len(element) + 2
	}
	if in.most > 4*lineBuffer {
		t.Errorf("it read %d bytes ahead of %d", in.most, in.given)
	}
}
