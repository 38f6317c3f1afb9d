package node

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	utf "golang.org/x/text/encoding/unicode"
)

// decode returns a text as UTF-8 if its first bytes say that it is UTF-16, and else as it is, without the mark of UTF-8.
func decode(r io.Reader) (io.Reader, error) {
	buffered := bufio.NewReader(r)
	first, err := buffered.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	starts := func(bytes ...byte) bool { return strings.HasPrefix(string(first), string(bytes)) }
	var wide encoding.Encoding
	switch {
	case starts(0xff, 0xfe, 0, 0), starts(0, 0, 0xfe, 0xff), starts(0, 0, 0, '<'), starts('<', 0, 0, 0):
		return nil, errors.New("its encoding is UTF-32, which isn't read: save it as UTF-8")
	case starts(0xfe, 0xff), starts(0, '<'):
		wide = utf.UTF16(utf.BigEndian, utf.UseBOM)
	case starts(0xff, 0xfe), starts('<', 0):
		wide = utf.UTF16(utf.LittleEndian, utf.UseBOM)
	case starts(0xef, 0xbb, 0xbf):
		_, err := buffered.Discard(len("\uFEFF"))
		return buffered, err
	default:
		return buffered, nil
	}
	return undeclared(wide.NewDecoder().Reader(buffered)), nil
}

// undeclared takes the declaration off a text that was UTF-16 and isn't any more: what it says of the encoding would be wrong.
func undeclared(r io.Reader) io.Reader {
	const most = 200
	buffered := bufio.NewReader(r)
	first, _ := buffered.Peek(most) // an error comes back when it is read
	if end := bytes.Index(first, []byte("?>")); bytes.HasPrefix(first, []byte("<?xml")) && end > 0 {
		_, _ = buffered.Discard(end + len("?>")) // these bytes are there
	}
	return buffered
}

// charset decodes the encodings of one byte a character. UTF-8 needs no decoding.
func charset(name string, in io.Reader) (io.Reader, error) {
	wanted := letters(name)
	switch wanted {
	case "usascii", "ascii":
		return in, nil
	case "latin1":
		wanted = "iso88591"
	case "latin9":
		wanted = "iso885915"
	}
	wanted = strings.Replace(wanted, "cp125", "windows125", 1)
	for _, e := range charmap.All {
		known, ok := e.(*charmap.Charmap)
		if ok && letters(known.String()) == wanted && known.DecodeByte('<') == '<' { // not EBCDIC, which the bound of attributes would miss
			return known.NewDecoder().Reader(in), nil
		}
	}
	return nil, fmt.Errorf("its encoding %q isn't read: save it as UTF-8", name)
}

// letters are the letters and digits of the name of an encoding, in lower case.
func letters(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, name)
}
