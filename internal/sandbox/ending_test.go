package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// inheritedFD is a pipe's end that every process below a child inherits: the pipe ends when the last of them is gone.
// What the sandbox passes on itself lies below it.
const inheritedFD = 9

// watch gives the command such an end and returns the other one.
func watch(t *testing.T, c *exec.Cmd) (allGone *os.File, started func()) {
	t.Helper()
	allGone, inherited, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { allGone.Close() })
	c.ExtraFiles = make([]*os.File, inheritedFD-3+1)
	c.ExtraFiles[inheritedFD-3] = inherited
	return allGone, func() { inherited.Close() }
}

// startCounting runs the command that counts signals, and returns when it does.
func startCounting(t *testing.T, c *exec.Cmd) (lines *bufio.Scanner, pid int) {
	t.Helper()
	output, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines = bufio.NewScanner(output)
	return lines, countingProcess(t, lines)
}

func countingProcess(t *testing.T, lines *bufio.Scanner) (pid int) {
	t.Helper()
	line := next(t, lines)
	if _, err := fmt.Sscanf(line, "counting %d", &pid); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return pid
}

// checkRest checks that the command is told of nothing more before it ends.
func checkRest(t *testing.T, lines *bufio.Scanner, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
		t.Errorf("the command says %q too", lines.Text())
	}
}

func TestSignalIsPassedOnOnce(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT} {
		for name, sign := range map[string]int{"process": 1, "group": -1} {
			t.Run(signal.String()+" to the "+name, func(t *testing.T) {
				t.Parallel()
				c := command(t, []string{"--", os.Args[0], "count"}, redisOnly)
				c.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // no terminal
				lines, pid := startCounting(t, c)
				if err := syscall.Kill(sign*c.Process.Pid, signal); err != nil {
					t.Fatal(err)
				}
				if got, want := next(t, lines), "got "+signal.String(); got != want {
					t.Errorf("the command %s; want %s", got, want)
				}
				checkRest(t, lines, pid)
				if err := c.Wait(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestSignalWhileStarting(t *testing.T) {
	t.Parallel()
	temporary := temporaryParent(t)
	c := command(t, []string{"--", "echo", "ran"}, "TMPDIR="+temporary)
	var output strings.Builder
	c.Stdout = &output
	allGone, started := watch(t, c)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	started()
	for deadline := time.Now().Add(20 * time.Second); ; {
		// A folder that initdb makes early; a folder tells nobody of its changes.
		if files, _ := filepath.Glob(temporary + "/*/data/global"); len(files) > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("initdb has not begun")
		}
		<-time.After(2 * time.Millisecond)
	}
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := code(t, c.Wait()); code != 128+15 || output.String() != "" {
		t.Errorf("exit code %d, output %q; want 143 and none", code, output.String())
	}
	awaitEnd(t, allGone)
	checkEmpty(t, temporary)
}

func TestKill9(t *testing.T) {
	t.Parallel()
	for name, parent := range map[string]string{
		"of the sandbox":    "",
		"of the go command": `"$@" & wait`, // which stands for it
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			temporary := temporaryParent(t)
			c := command(t, []string{"--", os.Args[0], "count"}, "TMPDIR="+temporary, redisOnly)
			if parent != "" {
				c.Path, c.Args = "/bin/sh", append([]string{"sh", "-c", parent, "sh"}, c.Args...)
			}
			allGone, started := watch(t, c)
			lines, pid := startCounting(t, c)
			started()
			if err := c.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			if parent != "" {
				// It is asked to stop first.
				if got, want := next(t, lines), "got terminated"; got != want {
					t.Errorf("the command %s; want %s", got, want)
				}
				checkRest(t, lines, pid)
			}
			awaitEnd(t, allGone)
			checkEmpty(t, temporary)
			_ = c.Wait() // killed
		})
	}
}
