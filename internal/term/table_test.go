package term_test

import (
	"strings"
	"testing"

	"invoicer/internal/term"
)

func TestTablesInAPipe(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	term.WriteTable(&out, []string{"name", "", "reason"}, [][]string{
		{"Zoë", "1", "two\nlines"},
		{"a longer one", "23", "\x1b[2Jgone"},
		{"", "4", ""},
	})
	want := `name              reason
Zoë           1   two lines
a longer one  23   [2Jgone
              4
`
	if got := out.String(); got != want {
		t.Errorf("written:\n%s\nwant:\n%s", got, want)
	}
}
