package importer

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"invoicer/invoice"
)

func zipped(t testing.TB, parts ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, part := range parts { // one member each, as cat a.gz b.gz makes
		z := gzip.NewWriter(&b)
		if _, err := io.WriteString(z, part); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func TestEachLine(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 3*lineBuffer)
	for name, test := range map[string]struct {
		input string
		want  []string
	}{
		"nothing":           {"", nil},
		"blank lines":       {"\n \t\n\r\n", nil},
		"an end to each":    {"a\nb\n", []string{"1 a", "2 b"}},
		"no end at the end": {"a\nb", []string{"1 a", "2 b"}},
		"blank ones count":  {"\n\na\n  \nb", []string{"3 a", "5 b"}},
		"carriage returns":  {"a \r\nb\r\n", []string{"1 a ", "2 b"}},
		"a byte order mark": {"\xef\xbb\xbfa\nb", []string{"1 a", "2 b"}},
		"a long line":       {long + "\nb", []string{"1 " + long, "2 b"}},
		"gzip":              {string(zipped(t, "a\nb\n")), []string{"1 a", "2 b"}},
		"two gzip members":  {string(zipped(t, "a\nb", "b\nc")), []string{"1 a", "2 bb", "3 c"}},
		"an empty gzip":     {string(zipped(t, "")), nil},
		"half of the magic": {"\x1f", []string{"1 \x1f"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for how, in := range map[string]io.Reader{
				"at once": strings.NewReader(test.input), "byte by byte": iotest.OneByteReader(strings.NewReader(test.input)),
			} {
				var got []string
				err := EachLine(in, func(number int, line []byte) error {
					got = append(got, fmt.Sprintf("%d %s", number, line))
					return nil
				})
				if err != nil {
					t.Errorf("%s: %v", how, err)
				}
				if !slices.Equal(got, test.want) {
					t.Errorf("%s: %.200q, want %.200q", how, got, test.want)
				}
			}
		})
	}
}

func TestLinesLongerThanAJob(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		size int
		end  string
		kept int
	}{
		"as long as a job may be":             {invoice.MaxPayload, "\n", invoice.MaxPayload},
		"as long, with a carriage return":     {invoice.MaxPayload, "\r\n", invoice.MaxPayload},
		"as long, without an end":             {invoice.MaxPayload, "", invoice.MaxPayload},
		"a byte longer":                       {invoice.MaxPayload + 1, "\n", invoice.MaxPayload + 1},
		"a hundred times as long":             {100 * invoice.MaxPayload, "\n", invoice.MaxPayload + 1},
		"a hundred times as long, at the end": {100 * invoice.MaxPayload, "", invoice.MaxPayload + 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := lineReader{source: io.MultiReader(io.LimitReader(letters{}, int64(test.size)), strings.NewReader(test.end))}
			line, err := r.next()
			if err != nil {
				t.Fatal(err)
			}
			if line.size != test.size || len(line.text) != test.kept {
				t.Errorf("%d bytes, of which %d are kept; want %d and %d", line.size, len(line.text), test.size, test.kept)
			}
			if held := cap(line.text); held > 2*invoice.MaxPayload {
				t.Errorf("holds %d bytes", held)
			}
			if _, err := r.next(); !errors.Is(err, io.EOF) {
				t.Errorf("then %v, want the end", err)
			}
		})
	}
}

// letters never ends.
type letters struct{}

func (letters) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'x'
	}
	return len(b), nil
}

func TestInputThatCannotBeRead(t *testing.T) {
	t.Parallel()
	cut := zipped(t, strings.Repeat("a line\n", 20000))
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		in   io.Reader
		says string
	}{
		"a cut gzip":       {bytes.NewReader(cut[:len(cut)-4]), "the input can't be read past line 20000: unexpected EOF"},
		"no gzip after it": {strings.NewReader(gzipMagic + "\x00\x00\x00\x00\x00\x00\x00\x00"), "the input can't be read past line 0: gzip: invalid header"},
		"a broken pipe":    {io.MultiReader(strings.NewReader("a\nb\nhalf"), iotest.ErrReader(broken)), "the input can't be read past line 2: broken"},
		"from the start":   {iotest.ErrReader(broken), "the input can't be read past line 0: broken"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lines := 0
			err := EachLine(test.in, func(_ int, line []byte) error {
				if string(line) == "half" {
					t.Error("half a line was taken for one")
				}
				lines++
				return nil
			})
			if err == nil || err.Error() != test.says {
				t.Errorf("after %d lines: %v, want %q", lines, err, test.says)
			}
		})
	}
}
