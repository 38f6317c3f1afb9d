// Package term prints for people, on a terminal and where the output is read by something else: tables, progress, numbers.
package term

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/term"
)

// IsTerminal tells whether a stream, such as [os.Stdout], is a terminal.
func IsTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Thousands prints 12345 as 12,345.
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
