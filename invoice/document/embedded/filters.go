package embedded

import (
	"bytes"
	"compress/zlib"
	"encoding/ascii85"
	"errors"
	"fmt"
	"io"
)

// errBigger says that streams are bigger than what is read of them.
var errBigger = fmt.Errorf("a stream is bigger than %d MiB, or all of them are bigger than %d MiB", MostStream>>20, mostTotal>>20)

// charge takes note of bytes that a filter reads or makes. It fails once all streams come to more than mostTotal.
func (f *file) charge(bytes int) error {
	if f.charged += bytes; f.charged > mostTotal {
		return errBigger
	}
	return nil
}

// decode returns a stream's bytes, MostStream at most. What it reads and what each filter makes of it is charged, and something for the stream
// itself: any number of streams may stand on the same bytes.
func (f *file) decode(s *stream) ([]byte, error) {
	if len(s.raw) > MostStream {
		return nil, errBigger
	}
	if err := f.charge(each + len(s.raw)); err != nil {
		return nil, err
	}
	filters, parameters := f.list(s.dict["Filter"]), f.list(s.dict["DecodeParms"])
	const most = 4
	if len(filters) > most {
		return nil, fmt.Errorf("a stream has %d filters", len(filters))
	}
	out := s.raw
	for n, filter := range filters {
		var with dict
		if n < len(parameters) {
			with = f.dictionary(parameters[n])
		}
		var err error
		switch kind, _ := f.value(filter).(name); kind {
		case "FlateDecode", "Fl":
			if out, err = f.inflate(out); err == nil {
				out, err = f.unpredicted(out, with)
			}
		case "ASCIIHexDecode", "AHx":
			digits, _, _ := bytes.Cut(out, []byte{'>'})
			if err = f.charge(len(digits)); err == nil {
				out = unhex(digits)
			}
		case "ASCII85Decode", "A85":
			out, err = f.un85(out)
		case "Crypt":
			return nil, ErrEncrypted
		default:
			return nil, fmt.Errorf("a stream is encoded with %s, which isn't read", kind)
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// list returns a list that is written as its only item if it has one.
func (f *file) list(v any) array {
	switch v := f.value(v).(type) {
	case nil:
		return nil
	case array:
		return v
	default:
		return array{v}
	}
}

// inflate takes as much as can be read of a stream whose end is missing.
func (f *file) inflate(in []byte) ([]byte, error) {
	r, err := zlib.NewReader(bytes.NewReader(in))
	if err != nil {
		return nil, fmt.Errorf("a stream can't be decompressed: %w", err)
	}
	most := min(MostStream, mostTotal-f.charged)
	out, err := io.ReadAll(io.LimitReader(r, int64(most)+1))
	f.decoded += len(out)
	if f.charge(len(out)) != nil || len(out) > most {
		return nil, errBigger
	}
	if err != nil && len(out) == 0 {
		return nil, fmt.Errorf("a stream can't be decompressed: %w", err)
	}
	return out, nil
}

func (f *file) un85(in []byte) ([]byte, error) {
	in, _, _ = bytes.Cut(bytes.TrimPrefix(bytes.TrimSpace(in), []byte("<~")), []byte("~>"))
	const group, spare = 4, 8 // a z stands for a group of four bytes, and so do five others; the library stops with less than four to spare
	most := group*(bytes.Count(in, []byte{'z'})+len(in)/5) + spare
	if most > MostStream {
		return nil, errBigger
	}
	if err := f.charge(most); err != nil {
		return nil, err
	}
	out := make([]byte, most)
	n, _, err := ascii85.Decode(out, in, true)
	if err != nil {
		return nil, fmt.Errorf("a stream can't be decoded: %w", err)
	}
	f.decoded += n
	return out[:n], nil
}

var errPredictor = errors.New("a stream has a predictor that makes no sense")

// unpredicted undoes what makes rows of bytes compress better. Whatever length of a row is stated, it takes no more room than there are bytes.
func (f *file) unpredicted(in []byte, with dict) ([]byte, error) {
	parameter := func(key string, or int) int {
		if n, ok := with[key].(int); ok {
			return n
		}
		return or
	}
	const tiff, png = 2, 10
	predictor := parameter("Predictor", 1)
	if predictor < tiff {
		return in, nil
	}
	colors, bits, columns := parameter("Colors", 1), parameter("BitsPerComponent", 8), parameter("Columns", 1)
	const most = 1 << 20
	if colors < 1 || colors > 32 || bits < 1 || bits > 32 || columns < 1 || columns > most {
		return nil, errPredictor
	}
	pixel, row := max(1, colors*bits/8), min((colors*bits*columns+7)/8, len(in))
	if err := f.charge(len(in)); err != nil {
		return nil, err
	}
	if predictor == tiff {
		if bits != 8 {
			return nil, errPredictor
		}
		out := bytes.Clone(in)
		for n := range out {
			if n%row >= pixel {
				out[n] += out[n-pixel]
			}
		}
		return out, nil
	}
	if predictor < png {
		return nil, errPredictor
	}
	out := make([]byte, 0, len(in))
	above := make([]byte, row)
	for len(in) > 1 {
		kind, line, before := in[0], in[1:min(len(in), row+1)], len(out)
		in = in[1+len(line):]
		out = append(out, line...)
		if !unfiltered(kind, out[before:], above, pixel) {
			return nil, errPredictor
		}
		above = out[before:] // a shorter one is the last
	}
	return out, nil
}

// unfiltered undoes a filter of PNG.
func unfiltered(kind byte, line, above []byte, pixel int) bool {
	for n := range line {
		var left, corner byte
		if n >= pixel {
			left, corner = line[n-pixel], above[n-pixel]
		}
		switch kind {
		case 0:
		case 1:
			line[n] += left
		case 2:
			line[n] += above[n]
		case 3:
			line[n] += byte((int(left) + int(above[n])) / 2)
		case 4:
			line[n] += paeth(int(left), int(above[n]), int(corner))
		default:
			return false
		}
	}
	return true
}

func paeth(left, above, corner int) byte {
	distance := func(to int) int { return max(left+above-corner-to, to-left-above+corner) }
	switch {
	case distance(left) <= distance(above) && distance(left) <= distance(corner):
		return byte(left)
	case distance(above) <= distance(corner):
		return byte(above)
	}
	return byte(corner)
}
