package main

import (
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"invoicer/internal/sandbox/terminaltest"
)

// At a terminal the command says how much would go, and takes anything but a yes for a no.
func TestEraseAsksAtATerminal(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	s.start(t, "worker")
	if code, _, stderr := s.run(t, planted("T1", "Ada"), "enqueue", "-", "--queue", s.queue); code != exitOK {
		t.Fatal(stderr)
	}
	s.awaitEnds(t, 1)
	for _, answer := range []string{"n", "", "y"} {
		command := exec.Command("invoicer", "erase", "--customer", "Canary-id", "--reason", "asked")
		command.Env = slices.Concat(s.environ, []string{"TERM=xterm"})
		screen := terminaltest.Start(t, command)
		if _, err := io.WriteString(screen, answer+"\n"); err != nil {
			t.Fatal(err)
		}
		shown, _ := io.ReadAll(screen) // it ends with an error when the program has left
		err := command.Wait()
		if (err == nil) != (answer == "y") || !strings.Contains(string(shown), "1 invoice would be erased") || !strings.Contains(string(shown), "Erase it? [y/N]") {
			t.Errorf("answered %q: %v, %s", answer, err, shown)
		}
		if n := s.Count(t, "SELECT count(*) FROM invoices WHERE erasure_id IS NOT NULL"); (n == 1) != (answer == "y") {
			t.Errorf("answered %q: %d are erased", answer, n)
		}
	}
}
