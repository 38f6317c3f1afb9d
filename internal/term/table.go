package term

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// WriteTable writes rows as a table on a terminal, and elsewhere as columns that are aligned with blanks. On a terminal that is
// too narrow, the columns that don't fit are written below each row. Cells are made [Printable].
func WriteTable(out io.Writer, header []string, rows [][]string) {
	rows = Printable(rows)
	if width := Width(out); width > 0 && tableWidth(header, rows) > width {
		writeNarrow(out, width, header, rows)
		return
	}
	writeWide(out, header, rows)
}

func writeWide(out io.Writer, header []string, rows [][]string) {
	if IsTerminal(out) {
		t := table.NewWriter()
		t.SetStyle(table.StyleRounded)
		t.Style().Format.Header = text.FormatDefault
		t.AppendHeader(tableRow(header))
		for _, row := range rows {
			t.AppendRow(tableRow(row))
		}
		_, _ = fmt.Fprintln(out, t.Render()) // as below: the reader may have closed the pipe
		return
	}
	rows = append([][]string{header}, rows...)
	widths := make([]int, len(header))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			line.WriteString(cell)
			line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
		}
		_, _ = fmt.Fprintln(out, strings.TrimRight(line.String(), " ")) // the reader may have closed the pipe
	}
}

func tableRow(cells []string) table.Row {
	row := make(table.Row, len(cells))
	for i, cell := range cells {
		row[i] = cell
	}
	return row
}

// Printable returns the rows with a blank in place of each character that isn't printable, such as one that controls a terminal.
func Printable(rows [][]string) [][]string {
	clean := make([][]string, len(rows))
	for i, row := range rows {
		for _, cell := range row {
			clean[i] = append(clean[i], Clean(cell))
		}
	}
	return clean
}

// Clean returns a text with a blank in place of each character that isn't printable: one that controls a terminal, or turns
// the direction of the text.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s)
}
