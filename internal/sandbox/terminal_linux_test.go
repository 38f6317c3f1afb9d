package main

import (
	"bufio"
	"os"
	"testing"

	"invoicer/internal/sandbox/terminaltest"
)

func TestCtrlCReachesTheCommandOnce(t *testing.T) {
	t.Parallel()
	temporary := temporaryParent(t)
	c := command(t, []string{"--", os.Args[0], "count"}, redisOnly, "TMPDIR="+temporary)
	allGone, started := watch(t, c)
	person := terminaltest.Start(t, c)
	started()
	lines := bufio.NewScanner(person)
	pid := countingProcess(t, lines)
	for range 2 {
		if _, err := person.WriteString("\x03"); err != nil {
			t.Fatal(err)
		}
		if got, want := next(t, lines), "^Cgot interrupt"; got != want {
			t.Errorf("the terminal shows %q; want %q", got, want)
		}
	}
	checkRest(t, lines, pid)
	if err := c.Wait(); err != nil {
		t.Error(err)
	}
	awaitEnd(t, allGone)
	checkEmpty(t, temporary)
}
