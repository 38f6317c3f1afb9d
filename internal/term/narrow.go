package term

import (
	"fmt"
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"
)

const (
	gap    = 2 // blanks between columns
	indent = 4 // of what stands below a row
	// narrowest is how few columns a text is wrapped to.
	narrowest = 20
)

// tableWidth returns how many columns a table takes on a terminal, with its frame.
func tableWidth(header []string, rows [][]string) int {
	width := 1
	for _, w := range widthsOf(header, rows) {
		width += w + 3
	}
	return width
}

func widthsOf(header []string, rows [][]string) []int {
	widths := make([]int, len(header))
	for _, row := range append([][]string{header}, rows...) {
		for i, cell := range row[:min(len(row), len(widths))] {
			widths[i] = max(widths[i], text.StringWidthWithoutEscSequences(cell))
		}
	}
	return widths
}

// writeNarrow writes the columns that fit side by side, and below each row the others, each with its name.
func writeNarrow(out io.Writer, width int, header []string, rows [][]string) {
	widths := widthsOf(header, rows)
	fit, used := 0, 0
	for fit < len(widths) && used+widths[fit] <= width {
		used += widths[fit] + gap
		fit++
	}
	line := func(cells []string) {
		var b strings.Builder
		for i, cell := range cells {
			b.WriteString(cell)
			b.WriteString(strings.Repeat(" ", widths[i]-text.StringWidthWithoutEscSequences(cell)+gap))
		}
		if b.Len() > 0 {
			_, _ = fmt.Fprintln(out, strings.TrimRight(b.String(), " ")) // the reader may have closed the pipe
		}
	}
	line(header[:fit])
	for _, row := range rows {
		line(row[:fit])
		var rest []string
		for i := fit; i < len(header); i++ {
			if row[i] != "" && row[i] != "-" {
				rest = append(rest, header[i]+": "+row[i])
			}
		}
		WriteWrapped(out, width, strings.Repeat(" ", indent), rest...)
	}
}

// WriteRow writes cells in one line. On a terminal that is too narrow for that, the last one stands below the others.
func WriteRow(out io.Writer, cells ...string) {
	width, last := Width(out), len(cells)-1
	line := Clean(strings.Join(cells, strings.Repeat(" ", gap)))
	if width == 0 || text.StringWidthWithoutEscSequences(line) <= width {
		_, _ = fmt.Fprintln(out, line) // the reader may have closed the pipe
		return
	}
	WriteWrapped(out, width, "", cells[:last]...)
	WriteWrapped(out, width, strings.Repeat(" ", indent), cells[last])
}

// WriteWrapped writes texts, one after the other with a gap between, in lines of at most width columns that begin with the
// indent. A text that fits into one line isn't broken, and a longer one is broken at blanks where it has some. A width of 0 means
// no limit.
func WriteWrapped(out io.Writer, width int, indent string, texts ...string) {
	room := max(width-len(indent), narrowest)
	if width == 0 {
		room = 1 << 20
	}
	line := ""
	flush := func() {
		if line != "" {
			_, _ = fmt.Fprintln(out, strings.TrimRight(indent+line, " ")) // the reader may have closed the pipe
			line = ""
		}
	}
	for _, one := range texts {
		one = Clean(one)
		size := text.StringWidthWithoutEscSequences(one)
		if line != "" && text.StringWidthWithoutEscSequences(line)+gap+size <= room {
			line += strings.Repeat(" ", gap) + one
			continue
		}
		flush()
		for size > room {
			var first string
			first, one = split(one, room)
			line = first
			flush()
			size = text.StringWidthWithoutEscSequences(one)
		}
		line = one
	}
	flush()
}

// split returns as much of a text as fits into the columns, up to a blank if it has one, and the rest.
func split(s string, columns int) (first, rest string) {
	width, blank, end := 0, 0, len(s)
	for i, r := range s {
		if width += max(text.RuneWidth(r), 0); width > columns {
			end = i
			break
		}
		if r == ' ' {
			blank = i
		}
	}
	if blank > 0 && end < len(s) && s[end] != ' ' {
		end = blank
	}
	return strings.TrimRight(s[:end], " "), strings.TrimLeft(s[end:], " ")
}
