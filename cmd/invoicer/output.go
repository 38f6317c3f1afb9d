package main

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"invoicer/internal/term"
)

// Forms of what a command prints, for -o.
const (
	asText  = "text" // of commands that print no table
	asTable = "table"
	asWide  = "wide" // a table as wide as it is, however narrow the terminal
	asJSON  = "json"
	asCSV   = "csv"
)

// A form is the value of --output: one of those allowed, of which the first is the default.
type form struct {
	allowed []string
	chosen  string
}

func (f *form) String() string { return cmp.Or(f.chosen, f.allowed[0]) }
func (f *form) Type() string   { return "form" }

func (f *form) Set(value string) error {
	if !slices.Contains(f.allowed, value) {
		return errors.New("must be " + f.choice())
	}
	if f.chosen != "" && f.chosen != value {
		return fmt.Errorf("doesn't go together with %s: leave one of them out", f.chosen)
	}
	f.chosen = value
	return nil
}

// choice returns the forms that are allowed, as in: table, wide or json.
func (f *form) choice() string {
	last := len(f.allowed) - 1
	return strings.Join(f.allowed[:last], ", ") + " or " + f.allowed[last]
}

// A jsonSwitch is the value of --json, which is the same as -o json.
type jsonSwitch struct{ *form }

func (j jsonSwitch) String() string { return strconv.FormatBool(j.form != nil && j.chosen == asJSON) }
func (j jsonSwitch) Type() string   { return "bool" }

func (j jsonSwitch) Set(value string) error {
	on, err := strconv.ParseBool(value)
	if err != nil || !on {
		return err
	}
	if err := j.form.Set(asJSON); err != nil {
		return fmt.Errorf("--json and --output %s don't go together: leave one of them out", j.chosen)
	}
	return nil
}

// addOutputFlags adds --output with the forms in which a command prints, the default first, and --json.
func addOutputFlags(cmd *cobra.Command, forms ...string) {
	f := &form{allowed: forms}
	cmd.Flags().VarP(f, "output", "o", "print in this `form`: "+f.choice())
	cmd.Flags().VarPF(jsonSwitch{f}, "json", "", "the same as -o json").NoOptDefVal = "true"
}

// addTableFlags adds the flags of a command that prints a table.
func addTableFlags(cmd *cobra.Command) { addOutputFlags(cmd, asTable, asWide, asJSON, asCSV) }

// addJSONFlag adds the flags of a command that prints a few lines.
func addJSONFlag(cmd *cobra.Command) { addOutputFlags(cmd, asText, asJSON) }

// formOf returns the form that was asked for.
func formOf(cmd *cobra.Command) string {
	if flag := cmd.Flags().Lookup("output"); flag != nil {
		return flag.Value.String()
	}
	return asText
}

func wantsJSON(cmd *cobra.Command) bool { return formOf(cmd) == asJSON }

// outputOf returns where a command prints its tables and texts.
func outputOf(cmd *cobra.Command) io.Writer {
	out := cmd.OutOrStdout()
	if formOf(cmd) == asWide {
		return term.Wide{Writer: out}
	}
	return out
}

// A sheet is rows with the names of their columns.
type sheet struct {
	columns []string
	rows    [][]string
}

// printAnswer prints an answer in the form that was asked for: as JSON, as the sheet that rows returns, or by write for people.
func printAnswer(cmd *cobra.Command, answer any, rows func() sheet, write func(io.Writer)) error {
	switch formOf(cmd) {
	case asJSON:
		return printJSON(cmd, answer)
	case asCSV:
		s := rows()
		w := newCSV(cmd.OutOrStdout(), s.columns)
		for _, row := range s.rows {
			w.row(row)
		}
		return w.end()
	}
	write(outputOf(cmd))
	return nil
}

// printSheet prints an answer that is a sheet for people as well.
func printSheet(cmd *cobra.Command, answer any, s sheet) error {
	return printAnswer(cmd, answer, func() sheet { return s }, func(out io.Writer) { term.WriteTable(out, s.columns, s.rows) })
}

// A csvWriter writes CSV with a header. Where a table has a hyphen for what is absent, the field is empty. No field is one that a
// spreadsheet takes for a formula, which a text of a producer's could be.
type csvWriter struct{ w *csv.Writer }

func newCSV(out io.Writer, columns []string) csvWriter {
	c := csvWriter{csv.NewWriter(out)}
	_ = c.w.Write(columns) // here and below: Flush's error is the first
	return c
}

func (c csvWriter) row(cells []string) {
	safe := make([]string, len(cells))
	for i, cell := range term.Printable([][]string{cells})[0] {
		if cell == "-" {
			cell = ""
		}
		if _, err := strconv.ParseFloat(cell, 64); err != nil && strings.ContainsAny(cell[:min(1, len(cell))], "=+-@") {
			cell = "'" + cell
		}
		safe[i] = cell
	}
	_ = c.w.Write(safe)
}

// end returns the first error of writing.
func (c csvWriter) end() error {
	c.w.Flush()
	return c.w.Error()
}

// Fields of sheets; what is absent is empty.

func whole(n int64) string { return strconv.FormatInt(n, 10) }

func wholeOrNone(n *int64) string {
	if n == nil {
		return ""
	}
	return whole(*n)
}

func decimal(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

func decimalOrNone(f *float64) string {
	if f == nil {
		return ""
	}
	return decimal(*f)
}

func instantOrNone(t *time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return instant(*t)
}

// printJSON writes a value to the command's output as indented JSON.
func printJSON(cmd *cobra.Command, v any) error {
	var encoded bytes.Buffer
	encoder := json.NewEncoder(&encoded)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return err
	}
	_, err := cmd.OutOrStdout().Write(printable(encoded.Bytes()))
	return err
}

// printable returns JSON, or a line of a log, with escapes in place of characters that aren't printable: one might control the terminal, or turn the
// direction of a text.
func printable(encoded []byte) []byte {
	odd := func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }
	if !bytes.ContainsFunc(encoded, odd) {
		return encoded
	}
	clean := make([]byte, 0, len(encoded)+64)
	for _, r := range string(encoded) {
		switch {
		case !odd(r):
			clean = utf8.AppendRune(clean, r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			clean = fmt.Appendf(clean, "\\u%04x\\u%04x", high, low)
		default:
			clean = fmt.Appendf(clean, "\\u%04x", r)
		}
	}
	return clean
}
