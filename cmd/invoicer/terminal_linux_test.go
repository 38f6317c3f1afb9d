package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"invoicer/internal/sandbox/terminaltest"
)

// onTerminal runs the program as a person at a terminal does, and returns what was shown.
func (s *site) onTerminal(t *testing.T, args ...string) string {
	t.Helper()
	command := exec.Command("invoicer", args...)
	command.Env = slices.Concat(s.environ, []string{"TERM=xterm", "COLUMNS=120"})
	screen := terminaltest.Start(t, command)
	shown, _ := io.ReadAll(screen) // it ends with an error when the program has left
	_ = command.Wait()             // its words are what is looked at
	return string(shown)
}

// left is what can be read on a terminal once everything was shown: programs go up a line and clear it to draw again.
func left(shown string) string {
	rows, row := []string{""}, 0
	for shown != "" {
		switch {
		case strings.HasPrefix(shown, "\n"):
			if row++; row == len(rows) {
				rows = append(rows, "")
			}
			shown = shown[1:]
		case strings.HasPrefix(shown, "\x1b[A"):
			row, shown = max(0, row-1), shown[len("\x1b[A"):]
		case strings.HasPrefix(shown, "\x1b[K"):
			rows[row], shown = "", shown[len("\x1b[K"):]
		default:
			rows[row] += strings.Trim(shown[:1], "\r")
			shown = shown[1:]
		}
	}
	return strings.Join(rows, "\n")
}

func TestEnqueueOnATerminal(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	lines := sampleLines(t, 1200)
	lines[600] = "nonsense" // reported when the bar is there
	file := filepath.Join(t.TempDir(), "jobs.jsonl")
	must(t, os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600))

	shown := s.onTerminal(t, "enqueue", file, "--queue", s.queue, "--copies", "10")
	if strings.Count(shown, "enqueueing") < 2 {
		t.Errorf("the bar is not drawn again and again:\n%s", shown)
	}
	shown = left(shown)
	for want, times := range map[string]int{
		"enqueueing": 1, // the bar's last state
		"invoicer: line 601: payload is not valid JSON":               1,
		"11,990 jobs of 1,200 lines enqueued into " + s.queue:         1,
		"invoicer: 1 bad line was left out; correct and enqueue them": 1,
	} {
		if n := strings.Count(shown, want); n != times {
			t.Errorf("%q is left %d times in\n%s", want, n, shown)
		}
	}
	if strings.Index(shown, "1 bad line was left out") < strings.Index(shown, "enqueueing") {
		t.Errorf("the bar goes on after the end:\n%s", shown)
	}
}

func TestTablesOnATerminal(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	shown := s.onTerminal(t, "migrate", "status")
	for _, want := range []string{"│ version │ name", "00001_invoices.sql", "╰───"} {
		if !strings.Contains(shown, want) {
			t.Errorf("%q isn't in\n%s", want, shown)
		}
	}
}

// What commands print fits 80 columns, whatever is in the rows; with -o wide a row is one line.
func TestOutputFitsATerminal(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	long := "no series " + strings.Repeat("WXYZ ", 30) + "end"
	s.change(t, "INSERT INTO invoice_jobs (job_id, transaction_id, idempotency_key, queue, producer, payload, state, outcome, reason) VALUES ('"+
		strings.Repeat("j", 36)+"', 'T1', 'T1', '"+s.queue+"', 'shop', '{}', 'failed', 'failed', '"+long+"')")
	s.token(t, "--role", "read", "--role", "operate", "--name", strings.Repeat("n", 40))
	for _, args := range [][]string{
		{"status", "T1"},
		{"list", "jobs"},
		{"list", "jobs", "--group", "reason"},
		{"history"},
		{"queues"},
		{"queue", "list"},
		{"workers"},
		{"races"},
		{"cache"},
		{"audit"},
		{"token", "list"},
		{"migrate", "status"},
		{"replay", "--all", "--dry-run"},
		{"replay", "history"},
		{"top", "--once"},
		{"dismiss", "--producer", "shop", "--reason", "r", "--dry-run"},
	} {
		for line := range strings.Lines(left(s.onTerminal(t, args...))) {
			if line = strings.TrimRight(line, "\r\n"); utf8.RuneCountInString(line) > 80 {
				t.Errorf("%s: %d columns: %s", strings.Join(args, " "), utf8.RuneCountInString(line), line)
			}
		}
	}
	for _, args := range [][]string{
		{"status", "T1"}, {"list", "jobs"}, {"dismiss", "--producer", "shop", "--reason", "r", "--dry-run"},
	} {
		if shown := s.onTerminal(t, append(args, "-o", "wide")...); !strings.Contains(shown, long) {
			t.Errorf("%s: the reason is broken:\n%s", strings.Join(args, " "), shown)
		}
	}
}

// At a terminal a person decides, once for each step.
func TestMigrateDownAsks(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	s.change(t, "INSERT INTO invoice_jobs (job_id, queue, state, outcome, reason) VALUES ('j', 'default', 'failed', 'invalid', 'r')")
	answered := func(answer string) string {
		t.Helper()
		command := exec.Command("invoicer", "migrate", "down")
		command.Env = s.environ
		person := terminaltest.Start(t, command)
		shown := bufio.NewReader(person)
		question, err := shown.ReadString(']')
		if err != nil || !strings.Contains(question, "it holds 1 recorded job") || !strings.Contains(question, ".sql back all the same?") {
			t.Fatalf("%q, %v", question, err)
		}
		if _, err := person.WriteString(answer + "\n"); err != nil {
			t.Fatal(err)
		}
		rest, _ := io.ReadAll(shown) // as above
		_ = command.Wait()           // likewise
		return string(rest)
	}
	before := s.version(t)
	for _, answer := range []string{"", "n", "what?"} {
		if rest := answered(answer); !strings.Contains(rest, ".sql was not taken back") || s.version(t) != before {
			t.Errorf("%q: %s", answer, rest)
		}
	}
	for range 2 {
		if rest := answered("y"); !strings.Contains(rest, "took back ") || s.version(t) == before {
			t.Errorf("y: %s", rest)
		}
		before = s.version(t)
	}
}
