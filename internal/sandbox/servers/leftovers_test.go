package servers_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"invoicer/internal/sandbox/servers"
)

// childVariable makes the test binary another program, which starts servers and ends in the way it names.
const childVariable = "INVOICER_SERVERS_TEST_ENDS_BY"

// inheritedFD is a pipe's end that every process below the child inherits, the servers' and keepers' included: the pipe
// ends when the last of them is gone. What the sandbox passes on itself lies below it.
const inheritedFD = 9

// beChild starts a server or two, prints their directories and ends as told.
func beChild(ending string) {
	ctx := context.Background()
	postgres, err := servers.StartPostgres(ctx, servers.PostgresOptions{})
	if err != nil {
		panic(err)
	}
	redis, err := servers.StartRedis(ctx, servers.RedisOptions{})
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s\n%s\n", postgres.URL, redis.URL)
	_, _ = io.Copy(io.Discard, os.Stdin) // until the test has seen enough, or sends a signal
	switch ending {
	case "panic":
		panic("on purpose")
	default:
		os.Exit(3) // without Close
	}
}

func TestNothingIsLeft(t *testing.T) {
	t.Parallel()
	for ending, signal := range map[string]syscall.Signal{
		"exit":    0,
		"panic":   0,
		"kill -9": syscall.SIGKILL,
		"Ctrl-C":  syscall.SIGINT,
	} {
		t.Run(ending, func(t *testing.T) {
			t.Parallel()
			c := startChild(t, ending)
			directories := c.awaitServers(t)
			segment := sharedMemory(t, directories[0])
			if signal == 0 {
				c.input.Close()
			} else if err := syscall.Kill(-c.command.Process.Pid, signal); err != nil {
				t.Fatal(err)
			}
			c.awaitAllGone(t)
			for _, directory := range directories {
				if _, err := os.Stat(directory); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("%s is left: %v", directory, err)
				}
			}
			if isSharedMemory(t, segment) {
				t.Errorf("shared memory %s is left", segment)
			}
		})
	}
}

type child struct {
	command *exec.Cmd
	input   io.Closer
	output  io.Reader
	allGone *os.File // ends when it and all processes below it are gone
}

func startChild(t *testing.T, ending string, environment ...string) *child {
	t.Helper()
	allGone, inherited, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer inherited.Close()
	c := &child{command: exec.CommandContext(t.Context(), os.Args[0]), allGone: allGone}
	c.command.Env = append(append(os.Environ(), childVariable+"="+ending), environment...)
	c.command.ExtraFiles = make([]*os.File, inheritedFD-3+1)
	c.command.ExtraFiles[inheritedFD-3] = inherited
	c.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // for a Ctrl-C of its own
	if c.input, err = c.command.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if c.output, err = c.command.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := c.command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.command.Wait() // it ended badly, as told
		allGone.Close()
	})
	return c
}

// awaitServers returns the directories of both servers, the Postgres server's first.
func (c *child) awaitServers(t *testing.T) []string {
	t.Helper()
	lines := bufio.NewScanner(c.output)
	lines.Scan()
	directories := []string{postgresDirectory(t, lines.Text())}
	lines.Scan()
	return append(directories, redisDirectory(lines.Text()))
}

func (c *child) awaitAllGone(t *testing.T) {
	t.Helper()
	if err := c.allGone.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, c.allGone); err != nil {
		t.Errorf("processes are left: %v", err)
	}
}

// In the middle of a start there is no server yet, but initdb and processes of its own.
func TestNothingIsLeftOfAStart(t *testing.T) {
	t.Parallel()
	parent, err := os.MkdirTemp("", "start-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(parent) })
	if err := os.Chmod(parent, 0o755); err != nil { // for whom the servers run as
		t.Fatal(err)
	}
	c := startChild(t, "kill -9", "TMPDIR="+parent)
	deadline := time.Now().Add(20 * time.Second)
	for found := false; !found; {
		files, _ := filepath.Glob(parent + "/*/data/global") // a folder that initdb makes early
		found = len(files) > 0
		if time.Now().After(deadline) {
			t.Fatal("initdb has not begun")
		}
		<-time.After(2 * time.Millisecond) // a folder tells nobody of its changes
	}
	if err := c.command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	c.awaitAllGone(t)
	if entries, err := os.ReadDir(parent); err != nil || len(entries) > 0 {
		t.Errorf("left are %v, %v", entries, err)
	}
}

// sharedMemory returns the id of a Postgres server's shared memory.
func sharedMemory(t *testing.T, directory string) string {
	t.Helper()
	file, err := os.ReadFile(directory + "/data/postmaster.pid")
	lines := strings.Split(string(file), "\n")
	if err != nil || len(lines) < 7 {
		t.Fatalf("postmaster.pid: %q, %v", file, err)
	}
	id := strings.Fields(lines[6])[1]
	if !isSharedMemory(t, id) {
		t.Fatalf("shared memory %s is not there to begin with", id)
	}
	return id
}

func isSharedMemory(t *testing.T, id string) bool {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), "ipcs", "-m").Output()
	if err != nil {
		t.Fatal(err)
	}
	return slices.Contains(strings.Fields(string(output)), id)
}
