package importer

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"invoicer/invoice"
)

// An inputLine is one line of JSON Lines, without its end, or one value of a [documentReader].
type inputLine struct {
	number int    // from 1: of the line, where blank lines count; or of the value
	line   int    // on which a value begins; 0 in JSON Lines
	text   []byte // of what is longer than the reader keeps, only the beginning
	size   int    // of the whole line or value in bytes
}

// A lineReader reads JSON Lines, compressed by gzip or not. It never holds more than one job in memory. Its callers may keep the
// lines that it returns.
type lineReader struct {
	source io.Reader
	keep   int           // how many bytes of a line are kept; invoice.MaxPayload+1 if 0
	in     *bufio.Reader // nil until the first line is read
	number int           // of the latest line
}

const (
	lineBuffer = 64 << 10
	gzipMagic  = "\x1f\x8b"
	byteOrder  = "\xef\xbb\xbf" // the byte order mark that some editors put before UTF-8
)

// next returns the next line that isn't blank, and io.EOF after the last one.
func (r *lineReader) next() (inputLine, error) {
	if r.in == nil {
		if err := r.open(); err != nil {
			return inputLine{}, r.failed(err)
		}
	}
	for {
		line, err := r.read()
		if err != nil && !errors.Is(err, io.EOF) {
			return inputLine{}, r.failed(err)
		}
		if len(bytes.TrimSpace(line.text)) > 0 {
			return line, nil
		}
		if err != nil {
			return inputLine{}, io.EOF
		}
	}
}

func (r *lineReader) failed(err error) error {
	return fmt.Errorf("the input can't be read past line %d: %w", r.number, err)
}

func (r *lineReader) open() (err error) {
	r.in, err = unpack(r.source)
	return err
}

// unpack returns what is in an input, without compression by gzip and without a byte order mark of UTF-8.
func unpack(source io.Reader) (*bufio.Reader, error) {
	in := bufio.NewReaderSize(source, lineBuffer)
	if start, _ := in.Peek(len(gzipMagic)); string(start) == gzipMagic { // an error of Peek comes again when the line is read
		unzipped, err := gzip.NewReader(in)
		if err != nil {
			return nil, err
		}
		in = bufio.NewReaderSize(unzipped, lineBuffer)
	}
	if start, _ := in.Peek(len(byteOrder)); string(start) == byteOrder {
		_, err := in.Discard(len(byteOrder))
		return in, err
	}
	return in, nil
}

// read returns the next line, blank or not. It returns the last line together with io.EOF if no newline ends that line.
func (r *lineReader) read() (inputLine, error) {
	r.number++
	line := inputLine{number: r.number}
	keep := cmp.Or(r.keep, invoice.MaxPayload+1)
	for {
		part, err := r.in.ReadSlice('\n')
		part = bytes.TrimSuffix(part, []byte("\n"))
		line.size += len(part)
		if room := keep - len(line.text); room > 0 {
			line.text = append(line.text, part[:min(len(part), room)]...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if line.size == 0 && errors.Is(err, io.EOF) || err != nil && !errors.Is(err, io.EOF) {
			r.number-- // there was no further line
		}
		if line.size == len(line.text) {
			line.text = bytes.TrimSuffix(line.text, []byte("\r"))
			line.size = len(line.text)
		}
		return line, err
	}
}

// EachLine reads JSON Lines, compressed by gzip or not, and calls do for every line that isn't blank. The first line is number 1. It
// returns the first error of do, or of reading.
func EachLine(in io.Reader, do func(number int, line []byte) error) error {
	lines := lineReader{source: in}
	for {
		line, err := lines.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := do(line.number, line.text); err != nil {
			return err
		}
	}
}
