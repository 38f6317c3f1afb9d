package term_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"invoicer/internal/term"
)

func TestNarrowTables(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	term.WriteNarrow(&out, 40, []string{"updated_at", "state", "job_id", "producer", "reason"}, [][]string{
		{"2026-01-31 12:00", "failed", "019e2c66-4f0c-7c1e-b9a2-5d3f0c6f1a77", "-", strings.Repeat("too long ", 8)},
		{"2026-01-31 12:01", "done", "job-2", "checkout", ""},
	})
	want := `updated_at        state
2026-01-31 12:00  failed
    job_id:
    019e2c66-4f0c-7c1e-b9a2-5d3f0c6f1a77
    reason: too long too long too long
    too long too long too long too long
    too long
2026-01-31 12:01  done
    job_id: job-2  producer: checkout
`
	if got := out.String(); got != want {
		t.Errorf("written:\n%s\nwant:\n%s", got, want)
	}
}

func TestWrappedTextsFit(t *testing.T) {
	t.Parallel()
	texts := []string{"short", strings.Repeat("x", 200), strings.Repeat("word ", 60), "漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字", "esc\x1b[2J and \u202eturned\r\n", ""}
	for _, width := range []int{1, 24, 80, 200} {
		var out strings.Builder
		term.WriteWrapped(&out, width, "    ", texts...)
		for line := range strings.Lines(out.String()) {
			line = strings.TrimSuffix(line, "\n")
			if n := utf8.RuneCountInString(line); n > max(width, 24) || strings.ContainsAny(line, "\x1b\r\u202e") || !strings.HasPrefix(line, "    ") {
				t.Errorf("at %d: %d columns: %q", width, n, line)
			}
		}
		if got := strings.Count(out.String(), "word"); got != 60 {
			t.Errorf("at %d: %d words of 60", width, got)
		}
		if got := strings.Count(out.String(), "x"); got != 200 {
			t.Errorf("at %d: %d x of 200", width, got)
		}
	}
	var out strings.Builder
	term.WriteWrapped(&out, 0, "", "a", strings.Repeat("b", 300))
	if out.String() != "a  "+strings.Repeat("b", 300)+"\n" {
		t.Errorf("without a limit: %q", out.String())
	}
}
