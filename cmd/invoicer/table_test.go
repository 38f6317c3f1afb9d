package main

import (
	"strings"
	"testing"
)

func TestTablesInAPipe(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	writeTable(&out, []string{"name", "", "reason"}, [][]string{
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
