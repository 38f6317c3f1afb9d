package past

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"invoicer/internal/importer"
	"invoicer/internal/term"
	"invoicer/invoice"
)

// A row is a line of the input: an import, or why it is none.
type row struct {
	line     int
	imported invoice.Import
	problems []invoice.Problem
}

// longestLine bounds a line, in bytes: what an import states is far shorter.
const longestLine = 64 << 10

// readRows reads the rows of an input in their order, until do returns an error. Its first line says in which format they are.
// A line never continues on the next.
func readRows(in io.Reader, do func(row) error) error {
	var parse func(line []byte) (invoice.Import, error)
	return importer.EachLine(in, func(number int, line []byte) error {
		if parse == nil {
			if format := bytes.TrimSpace(line)[0]; format == '{' {
				parse = invoice.DecodeImport
			} else if format == '[' {
				return fmt.Errorf("line %d: this is a JSON array, and each import has to be an object on a line of its own: jq -c '.[]' FILE | invoicer import -", number)
			} else {
				table, err := newTable(line)
				if err != nil {
					return fmt.Errorf("line %d: %w", number, err)
				}
				parse = table.parse
				return nil
			}
		}
		one := row{line: number}
		var err error
		if len(line) > longestLine {
			one.problems = []invoice.Problem{{Field: "line", Message: "must not be longer than " + term.Thousands(longestLine) + " bytes"}}
		} else {
			one.imported, err = parse(line)
		}
		if invalid := new(invoice.InvalidError); errors.As(err, &invalid) {
			one.problems = invalid.Problems
		} else if err != nil {
			return err
		}
		return do(one)
	})
}

// A table is a CSV file, whose header names the field of each column.
type table struct {
	separator byte
	fields    []int // of each column, by its place in [invoice.ImportFields]
}

// newTable reads the header. Its columns are separated by commas, or by semicolons or tabs, as some spreadsheets write them.
func newTable(header []byte) (*table, error) {
	t := &table{separator: ','}
	if !bytes.ContainsRune(header, ',') {
		for _, other := range []byte{';', '\t'} {
			if bytes.IndexByte(header, other) >= 0 {
				t.separator = other
			}
		}
	}
	names := invoice.ImportFields()
	known := "its fields are " + strings.Join(names, ", ")
	if !utf8.Valid(header) || bytes.IndexByte(header, 0) >= 0 || len(header) > longestLine {
		return nil, fmt.Errorf("the input is neither JSON Lines nor CSV with a header in UTF-8: %s", known)
	}
	columns, err := t.split(string(header))
	if err != nil {
		return nil, err
	}
	for _, column := range columns {
		name := strings.ToLower(strings.TrimSpace(column))
		field := slices.Index(names, name)
		if field < 0 {
			return nil, fmt.Errorf("the header has the column %.64q, which is no field of an import: %s", column, known)
		}
		if slices.Contains(t.fields, field) {
			return nil, fmt.Errorf("the header has the column %s twice", name)
		}
		t.fields = append(t.fields, field)
	}
	for field, name := range names[:2] {
		if !slices.Contains(t.fields, field) {
			return nil, fmt.Errorf("the header has no column %s: %s", name, known)
		}
	}
	return t, nil
}

func (t *table) parse(line []byte) (invoice.Import, error) {
	values, err := t.split(string(line))
	if err == nil && len(values) != len(t.fields) {
		err = fmt.Errorf("has %d columns, and the header has %d", len(values), len(t.fields))
	}
	if err != nil {
		return invoice.Import{}, &invoice.InvalidError{Problems: []invoice.Problem{{Field: "line", Message: err.Error()}}}
	}
	var text invoice.ImportText
	for i, field := range t.fields {
		text[field] = values[i]
	}
	return text.Import()
}

var errQuotes = errors.New(`has a quote that isn't closed before the line's end, or text beside one; a quote in a quoted value is written twice`)

// split returns the values of a line, as RFC 4180 writes them, without those that contain line breaks.
func (t *table) split(line string) ([]string, error) {
	var values []string
	for {
		value, rest := line, ""
		more := false
		if strings.HasPrefix(line, `"`) {
			end := closing(line)
			if end < 0 {
				return nil, errQuotes
			}
			value, rest = strings.ReplaceAll(line[1:end], `""`, `"`), line[end+1:]
			if more = rest != ""; more && rest[0] != t.separator {
				return nil, errQuotes
			}
			rest = strings.TrimPrefix(rest, string(t.separator))
		} else if at := strings.IndexByte(line, t.separator); at >= 0 {
			value, rest, more = line[:at], line[at+1:], true
		}
		values = append(values, value)
		if !more {
			return values, nil
		}
		line = rest
	}
}

// closing returns where the quote ends that a text begins with, or -1.
func closing(s string) int {
	for i := 1; i < len(s); i++ {
		if s[i] != '"' {
			continue
		}
		if i+1 == len(s) || s[i+1] != '"' {
			return i
		}
		i++
	}
	return -1
}
