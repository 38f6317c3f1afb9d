package main

import (
	"bufio"
	"io"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"invoicer/internal/sandbox/terminaltest"
)

// At a terminal it draws how things stand again and again, within 80 × 24, until Ctrl-C.
func TestTopAtATerminal(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	command := exec.Command("invoicer", "top", "--every", "100ms")
	command.Env = slices.Concat(s.environ, []string{"TERM=xterm"})
	screen := terminaltest.Start(t, command)
	frames := bufio.NewScanner(screen)
	frames.Buffer(nil, 1<<20)
	frames.Split(func(data []byte, atEnd bool) (int, []byte, error) {
		if i := strings.Index(string(data), "\x1b[J"); i >= 0 {
			return i + len("\x1b[J"), data[:i], nil
		}
		if atEnd && len(data) > 0 {
			return len(data), data, nil
		}
		return 0, nil, nil
	})
	until := func(pattern string) {
		t.Helper()
		late := time.AfterFunc(time.Minute, func() { _ = command.Process.Kill() })
		defer late.Stop()
		var last string
		for frames.Scan() {
			last = frames.Text()
			lines := strings.Split(strings.NewReplacer("\x1b[K", "", "\x1b[H", "", "\r", "").Replace(frames.Text()), "\n")
			if len(lines) > 24 {
				t.Errorf("%d lines:\n%s", len(lines), frames.Text())
			}
			for _, line := range lines {
				if utf8.RuneCountInString(line) > 80 {
					t.Errorf("too wide: %s", line)
				}
			}
			if regexp.MustCompile(pattern).MatchString(strings.Join(lines, "\n")) {
				return
			}
		}
		t.Fatalf("not %s; the last was:\n%s", pattern, last)
	}
	until(`waiting +0 jobs, the oldest for -(?s:.*)no worker is running`)
	if code, _, stderr := s.run(t, oneJob, "enqueue", "-", "--queue", s.queue, "--durable"); code != exitOK {
		t.Fatal(stderr)
	}
	until(`waiting +1 jobs, the oldest for \d+s`)
	s.execute(t, "ALTER TABLE producer_counts RENAME TO elsewhere")
	until(`not answered at (?s:.*)producer_counts`)
	s.execute(t, "ALTER TABLE elsewhere RENAME TO producer_counts")
	until(`waiting +1 jobs`)
	s.start(t, "worker")
	until(`waiting +0 jobs(?s:.*)` + regexp.QuoteMeta(s.queue)[:8] + `(?s:.*)waits`)
	if _, err := io.WriteString(screen, "\x03"); err != nil {
		t.Fatal(err)
	}
	for frames.Scan() {
	}
	if err := command.Wait(); err != nil {
		t.Errorf("Ctrl-C: %v", err)
	}
}
