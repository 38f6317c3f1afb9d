package main

import (
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"invoicer/internal/sandbox/terminaltest"
)

// At a terminal the command asks, and takes anything but a yes for a no.
func TestQueueTakeAsksAtATerminal(t *testing.T) {
	t.Parallel()
	s := sharedSite(t)
	for answer, want := range map[string]string{"n": "nothing is changed", "": "nothing is changed", "y": "belongs to this installation now"} {
		queue := newQueue()
		command := exec.Command("invoicer", "queue", "take", queue)
		command.Env = slices.Concat(s.environ, []string{"TERM=xterm"})
		screen := terminaltest.Start(t, command)
		if _, err := io.WriteString(screen, answer+"\n"); err != nil {
			t.Fatal(err)
		}
		shown, _ := io.ReadAll(screen) // it ends with an error when the program has left
		err := command.Wait()
		if (err == nil) != (answer == "y") || !strings.Contains(string(shown), "Take it over? [y/N]") || !strings.Contains(string(shown), want) {
			t.Errorf("answered %q: %v, %s", answer, err, shown)
		}
		if n := s.rdb.Exists(t.Context(), "invoicer:owner:{"+queue+"}").Val(); (n == 1) != (answer == "y") {
			t.Errorf("answered %q: %d owners", answer, n)
		}
	}
}
