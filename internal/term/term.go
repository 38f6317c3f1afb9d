// Package term prints tables, progress and numbers for people, in one form on a terminal and in another in a pipe or a file.
package term

import (
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/term"
)

// Wide is a stream whose tables and texts are as wide as they are, even if it is a terminal that is narrower.
type Wide struct{ io.Writer }

// IsTerminal reports whether a stream, such as [os.Stdout], is a terminal.
func IsTerminal(stream any) bool {
	if wide, ok := stream.(Wide); ok {
		stream = wide.Writer
	}
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// usualWidth is the width of a terminal that doesn't tell its own.
const usualWidth = 80

// usualHeight is likewise the number of lines.
const usualHeight = 24

// Width returns how many columns a terminal has, and 0 for any other stream and for one that is [Wide].
func Width(stream any) int {
	width, _ := Size(stream)
	return width
}

// Size returns how many columns and lines a terminal has, and 0 for any other stream and for one that is [Wide].
func Size(stream any) (width, height int) {
	f, ok := stream.(*os.File)
	if !ok || !IsTerminal(f) {
		return 0, 0
	}
	width, height, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		return usualWidth, usualHeight
	}
	return width, height
}

// Thousands returns n with commas: 12,345 for 12345.
func Thousands(n int) string {
	digits := strconv.Itoa(n)
	var b strings.Builder
	for i, c := range digits {
		if i > 0 && c != '-' && (len(digits)-i)%3 == 0 && digits[i-1] != '-' {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	return b.String()
}
