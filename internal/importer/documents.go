package importer

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"invoicer/invoice"
)

// A documentReader reads jobs that aren't lines: the elements of JSON arrays, and JSON values one after the other, over one line or
// many. It holds one of them in memory. Its callers may keep what it returns.
//
// Where the input isn't JSON any more, it can't be told where the next job begins. So the reader then returns an error, which says how
// far it came.
type documentReader struct {
	in     *budget
	keep   int // how many bytes of a value are kept
	tokens *jsontext.Decoder
	number int // of the latest value
	line   int // on which the tokenizer stands
}

func newDocumentReader(in io.Reader, keep int) *documentReader {
	b := &budget{in: in}
	return &documentReader{in: b, keep: keep, line: 1, tokens: tokenizer(b)}
}

// tokenizer returns one that passes on what a job's decoder finds by itself and names.
func tokenizer(in io.Reader) *jsontext.Decoder {
	return jsontext.NewDecoder(in, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// between are the bytes that stand between two values.
const between = " \t\r\n,:"

// next returns the next value, and io.EOF after the last one.
func (d *documentReader) next() (inputLine, error) {
	for {
		d.in.left = d.keep
		switch kind := d.tokens.PeekKind(); {
		case kind == '[' && d.tokens.StackDepth() == 0, kind == ']':
			if err := d.token(); err != nil {
				return inputLine{}, d.failed(err)
			}
		default:
			return d.value()
		}
	}
}

func (d *documentReader) value() (inputLine, error) {
	one := inputLine{number: d.number + 1, line: d.begins()}
	before := d.before()
	text, err := d.tokens.ReadValue()
	switch {
	case errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && d.tokens.StackDepth() == 0:
		return inputLine{}, io.EOF
	case errors.Is(err, errBudget):
		one.text = bytes.Clone(d.tokens.UnreadBuffer()[before:])
		start := d.tokens.InputOffset() + int64(before)
		if err := d.skip(); err != nil {
			return inputLine{}, d.failed(err)
		}
		one.size = int(d.tokens.InputOffset() - start)
	case err != nil:
		return inputLine{}, d.failed(err)
	default:
		one.text, one.size = bytes.Clone(text), len(text)
		d.line = one.line + bytes.Count(text, []byte("\n"))
	}
	d.number++
	return one, nil
}

// skip reads a value token by token, because it doesn't fit into memory.
func (d *documentReader) skip() error {
	for depth := d.tokens.StackDepth(); ; {
		d.in.left = invoice.MaxPayload
		if err := d.token(); err != nil {
			return err
		}
		if d.tokens.StackDepth() == depth {
			return nil
		}
	}
}

func (d *documentReader) token() error {
	d.tokens.PeekKind() // so that what stands before the token is in the buffer
	line := d.begins()
	if _, err := d.tokens.ReadToken(); err != nil { // no token holds the end of a line
		return err
	}
	d.line = line
	return nil
}

// before returns the number of bytes before the token that was peeked at.
func (d *documentReader) before() int {
	unread := d.tokens.UnreadBuffer()
	return len(unread) - len(bytes.TrimLeft(unread, between))
}

// begins returns the line of the token that was peeked at.
func (d *documentReader) begins() int {
	return d.line + bytes.Count(d.tokens.UnreadBuffer()[:d.before()], []byte("\n"))
}

// failed says where the input can't be read.
func (d *documentReader) failed(err error) error {
	line := d.line
	where := func(offset int64) int {
		unread := d.tokens.UnreadBuffer()
		return line + bytes.Count(unread[:min(max(offset-d.tokens.InputOffset(), 0), int64(len(unread)))], []byte("\n"))
	}
	var syntax *jsontext.SyntacticError
	switch {
	case d.in.err != nil: // it may be that of a cut gzip, which is the tokenizer's for cut JSON as well
		return fmt.Errorf("the input can't be read past job %d: %w", d.number, d.in.err)
	case errors.Is(err, errBudget):
		return fmt.Errorf("job %d, line %d: it holds a text, or blanks, of more bytes than a whole job may have: take it out", d.number+1, d.begins())
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("job %d, line %d: the input ends too early: it isn't complete", d.number+1, d.begins())
	case errors.As(err, &syntax):
		return fmt.Errorf("job %d, line %d: the input is not valid JSON on line %d, and what comes after that can't be told apart: mend it",
			d.number+1, d.begins(), where(syntax.ByteOffset))
	default:
		return fmt.Errorf("job %d, line %d: %w", d.number+1, d.begins(), err)
	}
}

// A budget is a reader that gives no more bytes than are left, so that a tokenizer can't take all memory.
type budget struct {
	in   io.Reader
	left int
	err  error // of the reader, other than its end
}

var errBudget = errors.New("it is too long")

func (b *budget) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errBudget
	}
	n, err := b.in.Read(p[:min(len(p), b.left)])
	b.left -= n
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
	return n, err
}
