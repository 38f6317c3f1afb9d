package importer

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"invoicer/invoice"
)

// A Unit is what the jobs of an input are counted by.
type Unit string

// The units.
const (
	ByLine Unit = "line" // JSON Lines
	ByJob  Unit = "job"  // JSON arrays, and JSON objects over several lines
)

// A jobReader reads the jobs of an input, whatever its first bytes say that it is: JSON Lines, or what a [documentReader] reads. Anything
// else is an error that says what to do, and no job of it is returned.
type jobReader struct {
	source io.Reader
	keep   int  // how many bytes of a job are kept; invoice.MaxPayload+1 if 0
	unit   Unit // known after the first call of next
	lines  *lineReader
	values *documentReader
}

// next returns the next job, and io.EOF after the last one.
func (r *jobReader) next() (inputLine, error) {
	if r.unit == "" {
		r.unit = ByLine
		if err := r.open(); err != nil {
			return inputLine{}, err
		}
	}
	if r.unit == ByJob {
		return r.values.next()
	}
	return r.lines.next()
}

// last returns the number of the latest job, or line.
func (r *jobReader) last() int {
	switch {
	case r.unit == ByJob:
		return r.values.number
	case r.lines != nil:
		return r.lines.number
	default:
		return 0
	}
}

func (r *jobReader) open() error {
	r.keep = cmp.Or(r.keep, invoice.MaxPayload+1)
	r.lines = &lineReader{keep: r.keep}
	in, err := unpack(&untilError{in: r.source})
	if err != nil {
		return r.lines.failed(err)
	}
	ahead := &lookahead{in: in}
	var advice string
	if r.unit, advice = ahead.recognize(); advice != "" {
		return errors.New("the input is " + advice)
	}
	whole := io.MultiReader(bytes.NewReader(ahead.seen), in)
	if r.unit == ByJob {
		r.values = newDocumentReader(whole, r.keep)
	} else {
		r.lines.in = bufio.NewReaderSize(whole, lineBuffer)
	}
	return nil
}

// A lookahead reads the beginning of an input and remembers it. It never reads beyond the end of a line unless it is asked for more, since
// the next line may come much later, and the first job is to be sent before.
type lookahead struct {
	in   *bufio.Reader
	seen []byte
}

// mostSeen bounds what is read of an input before it is recognized: a job, and what may stand before it.
const mostSeen = invoice.MaxPayload + lineBuffer

func (l *lookahead) Read(b []byte) (int, error) {
	if len(l.seen) >= mostSeen {
		return 0, io.EOF
	}
	if _, err := l.in.Peek(1); err != nil {
		return 0, err
	}
	part, _ := l.in.Peek(min(l.in.Buffered(), len(b), mostSeen-len(l.seen)))
	if end := bytes.IndexByte(part, '\n'); end >= 0 {
		part = part[:end+1]
	}
	n := copy(b, part)
	l.seen = append(l.seen, part...)
	_, err := l.in.Discard(n)
	return n, err
}

// line returns the next line that isn't blank, without the blanks around it, or what there is of one.
func (l *lookahead) line() []byte {
	part := make([]byte, lineBuffer)
	for begun := len(l.seen); ; {
		n, err := l.Read(part)
		ended := bytes.HasSuffix(part[:n], []byte{'\n'})
		line := bytes.TrimSpace(l.seen[begun:])
		if err != nil || ended && len(line) > 0 {
			return line
		}
		if ended {
			begun = len(l.seen)
		}
	}
}

// recognize says by what the jobs of the input are counted, or else what the input is and what to do. Errors of reading come again when
// its jobs are read.
func (l *lookahead) recognize() (unit Unit, advice string) {
	if advice := l.byMagic(); advice != "" {
		return "", advice
	}
	first := l.line()
	switch {
	case len(first) == 0:
		return ByLine, ""
	case first[0] == '[':
		return ByJob, ""
	case first[0] == '{':
		if l.spread() {
			return ByJob, ""
		}
		return ByLine, ""
	default:
		return ByLine, l.byText(first)
	}
}

const (
	fewBytes = 4 // fewer than any job has
	pipe     = " FILE | invoicer enqueue -"
)

// byMagic recognizes formats by their first bytes.
func (l *lookahead) byMagic() string {
	start, _ := l.in.Peek(fewBytes)
	for _, known := range []struct{ magic, advice string }{
		{"\xff\xfe\x00\x00", "UTF-32, and enqueue takes UTF-8: iconv -f utf-32 -t utf-8" + pipe},
		{"\x00\x00\xfe\xff", "UTF-32, and enqueue takes UTF-8: iconv -f utf-32 -t utf-8" + pipe},
		{"\xff\xfe", "UTF-16, and enqueue takes UTF-8: iconv -f utf-16 -t utf-8" + pipe},
		{"\xfe\xff", "UTF-16, and enqueue takes UTF-8: iconv -f utf-16 -t utf-8" + pipe},
		{"PK\x03\x04", "a zip archive, or a workbook (xlsx, ods), and enqueue takes JSON Lines: unzip -p" + pipe + "; of a workbook, see docs/jobs.md for CSV"},
		{"PK\x05\x06", "an empty zip archive, and enqueue takes JSON Lines"},
		{"%PDF", "a PDF, and enqueue takes JSON Lines: ask its producer for the data"},
		{"\xd0\xcf\x11\xe0", "an old workbook or document (xls, doc), and enqueue takes JSON Lines: see docs/jobs.md for CSV"},
		{"\x28\xb5\x2f\xfd", "compressed by zstd, and enqueue takes gzip: zstd -dc" + pipe},
		{"\xfd7zX", "compressed by xz, and enqueue takes gzip: xz -dc" + pipe},
		{"BZh", "compressed by bzip2, and enqueue takes gzip: bzip2 -dc" + pipe},
	} {
		if strings.HasPrefix(string(start), known.magic) {
			return known.advice
		}
	}
	if len(start) < fewBytes {
		return ""
	}
	const little, big = "\x01\x00\x01\x00", "\x00\x01\x00\x01"
	switch ones(start) {
	case little:
		return "UTF-16 without a byte order mark, and enqueue takes UTF-8: iconv -f utf-16le -t utf-8" + pipe
	case big:
		return "UTF-16 without a byte order mark, and enqueue takes UTF-8: iconv -f utf-16be -t utf-8" + pipe
	}
	return ""
}

// ones returns the bytes with 1 in place of each that isn't 0.
func ones(b []byte) string {
	return string(bytes.Map(func(r rune) rune { return min(r, 1) }, b))
}

// byText recognizes what isn't JSON by its first line.
func (l *lookahead) byText(first []byte) string {
	const tarMagic, tarAt = "ustar", 257
	control := func(r rune) bool { return r < ' ' && r != '\t' && r != '\r' }
	const binary = "neither JSON nor text in UTF-8, and enqueue takes JSON Lines: ask its producer for one job on each line"
	switch {
	case len(first) > tarAt && bytes.HasPrefix(first[tarAt:], []byte(tarMagic)):
		return "a tar archive, and enqueue takes JSON Lines: tar -xOf" + pipe
	case bytes.ContainsFunc(first, control):
		return binary
	case first[0] == '<':
		return "XML or HTML, and enqueue takes JSON Lines: ask its producer for one job on each line"
	}
	table := isHeader(first)
	if !table && utf8.Valid(first) {
		return ""
	}
	if next := l.line(); len(next) > 0 && (next[0] == '{' || next[0] == '[') {
		return "" // a bad line before good ones
	}
	if table {
		return "CSV, and enqueue takes JSON Lines, one job on each line: docs/jobs.md shows how jq makes them from CSV"
	}
	return binary
}

// isHeader reports whether a line may be the header of CSV, or a row of it: at least two columns, with commas, semicolons or tabs between.
func isHeader(line []byte) bool {
	return bytes.ContainsAny(line, ",;\t")
}

// spread reports whether the jobs are JSON objects over several lines. The first line is seen, and begins an object.
func (l *lookahead) spread() bool {
	first := bytes.Clone(l.seen)
	value, err := tokenizer(io.MultiReader(bytes.NewReader(first), l)).ReadValue()
	if err == nil {
		return bytes.IndexByte(value, '\n') >= 0
	}
	// What begins on the first line is no value. If an object begins on the next line, the first line is a bad one of JSON Lines.
	rest := bytes.TrimSpace(l.seen[len(first):])
	return len(first) < mostSeen && first[len(first)-1] == '\n' && len(rest) > 0 && rest[0] != '{'
}

// An untilError reads until the first error, and returns that one from then on: after the end of what is typed in, more could be.
type untilError struct {
	in  io.Reader
	err error
}

func (u *untilError) Read(b []byte) (n int, err error) {
	if u.err != nil {
		return 0, u.err
	}
	n, u.err = u.in.Read(b)
	return n, u.err
}
