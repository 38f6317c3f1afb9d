package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
)

// The test binary is also the sandbox, and the commands that run in it.
func TestMain(m *testing.M) {
	if len(os.Args) < 2 {
		os.Exit(m.Run())
	}
	switch os.Args[1] {
	case "sandbox":
		os.Args = slices.Delete(os.Args, 1, 2)
		main()
	case "probe":
		os.Exit(probe())
	case "durability":
		os.Exit(tellDurability())
	case "count":
		countSignals()
	default:
		os.Exit(m.Run())
	}
}

// probe asks both servers for an answer.
func probe() int {
	ctx := context.Background()
	connection, err := pgx.Connect(ctx, os.Getenv(databaseVariable))
	if err == nil {
		_, err = connection.Exec(ctx, "CREATE TABLE t ()")
	}
	options, redisErr := redis.ParseURL(os.Getenv(redisVariable))
	if redisErr == nil {
		redisErr = redis.NewClient(options).Set(ctx, "k", "v", 0).Err()
	}
	if err := errors.Join(err, redisErr); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// tellDurability tells whether the servers keep what they confirm, and what lets workers start if Postgres doesn't.
func tellDurability() int {
	ctx := context.Background()
	var fsync string
	connection, err := pgx.Connect(ctx, os.Getenv(databaseVariable))
	if err == nil {
		err = connection.QueryRow(ctx, "SHOW fsync").Scan(&fsync)
	}
	options, redisErr := redis.ParseURL(os.Getenv(redisVariable))
	if err := errors.Join(err, redisErr); err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Printf("fsync %s, append-only %s, allowed %q\n", fsync, redis.NewClient(options).ConfigGet(ctx, "appendonly").Val()["appendonly"], os.Getenv("INVOICER_ALLOW_UNSAFE"))
	return 0
}

// countSignals tells of every signal that reaches it, and ends after the first SIGUSR1.
func countSignals() {
	signals := make(chan os.Signal, 100)
	signal.Notify(signals)
	fmt.Println("counting", os.Getpid())
	for s := range signals {
		switch s {
		case syscall.SIGUSR1:
			os.Exit(0)
		case syscall.SIGURG: // the Go runtime's own
		default:
			fmt.Println("got", s)
		}
	}
}

// redisOnly is an environment in which only a Redis is missing: it starts at once.
const redisOnly = databaseVariable + "=postgres://given"

func TestExitCode(t *testing.T) {
	t.Parallel()
	notExecutable := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(notExecutable, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name    string
		command []string
		want    int
		says    string
	}{
		{"success", []string{"--", "true"}, 0, ""},
		{"without the dashes", []string{"true"}, 0, ""},
		{"the command's", []string{"--", "sh", "-c", "exit 7"}, 7, ""},
		{"a signal's", []string{"--", "sh", "-c", "kill -TERM $$"}, 128 + 15, ""},
		{"no command", []string{"--"}, 2, "usage: "},
		{"no such command", []string{"--", "no-such-command"}, 127, "no-such-command"},
		{"no program", []string{"--", notExecutable}, 126, notExecutable},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			output, err := command(t, test.command, redisOnly).CombinedOutput()
			if code := code(t, err); code != test.want || !strings.Contains(string(output), test.says) {
				t.Errorf("exit code %d, output %q; want %d and %q", code, output, test.want, test.says)
			}
		})
	}
}

func TestBothServers(t *testing.T) {
	t.Parallel()
	temporary := temporaryParent(t)
	output, err := command(t, []string{"--", os.Args[0], "probe"}, "TMPDIR="+temporary).CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, output)
	}
	checkEmpty(t, temporary)
}

// Servers for tests are fast; those for people keep what they confirm.
func TestDurableServers(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"fsync off, append-only no, allowed \"true\"\n": {"--"},
		"fsync on, append-only yes, allowed \"\"\n":     {"-durable", "--"},
	} {
		output, err := command(t, append(args, os.Args[0], "durability"), "INVOICER_ALLOW_UNSAFE=").CombinedOutput()
		if err != nil || string(output) != want {
			t.Errorf("%v: %s, %v; want %s", args, output, err, want)
		}
	}
}

func TestGivenServersAreUsed(t *testing.T) {
	t.Parallel()
	const show = "echo $$ $INVOICER_DATABASE_URL $INVOICER_REDIS_URL"
	for _, test := range []struct {
		name, database, redis string
	}{
		{"database", "postgres://given", ""},
		{"redis", "", "redis://given"},
		{"both", "postgres://given", "redis://given"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := command(t, []string{"--", "sh", "-c", show}, databaseVariable+"="+test.database, redisVariable+"="+test.redis)
			output, err := c.Output()
			got := strings.Fields(string(output))
			if err != nil || len(got) != 3 {
				t.Fatalf("%q, %v", output, err)
			}
			if given := got[1] == "postgres://given"; given != (test.database != "") {
				t.Errorf("the command's database is %s", got[1])
			}
			if given := got[2] == "redis://given"; given != (test.redis != "") {
				t.Errorf("the command's Redis is %s", got[2])
			}
			if replaced := got[0] == fmt.Sprint(c.Process.Pid); replaced != (test.name == "both") {
				t.Errorf("sandbox process %d, command process %s", c.Process.Pid, got[0])
			}
		})
	}
}

func TestMissingProgram(t *testing.T) {
	t.Parallel()
	output, err := command(t, []string{"--", "/bin/sh", "-c", "echo ran"}, redisOnly, "PATH=/nowhere").CombinedOutput()
	if code := code(t, err); code != 1 || !strings.Contains(string(output), "redis-server") {
		t.Errorf("exit code %d, output %q; want 1, and the program named", code, output)
	}
}

// command returns the sandbox in an environment that names no servers but the given ones.
func command(t *testing.T, args []string, environment ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // for a test that waits in vain
	t.Cleanup(cancel)
	c := exec.CommandContext(ctx, os.Args[0], append([]string{"sandbox"}, args...)...)
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, databaseVariable+"=") && !strings.HasPrefix(variable, redisVariable+"=") {
			c.Env = append(c.Env, variable)
		}
	}
	c.Env = append(c.Env, environment...)
	return c
}

func code(t *testing.T, err error) int {
	t.Helper()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if exit == nil {
		return 0
	}
	return exit.ExitCode()
}

// temporaryParent returns a folder for the servers' directories, which whoever they run as can walk through.
func temporaryParent(t *testing.T) string {
	t.Helper()
	parent, err := os.MkdirTemp("", "sandbox-test-")
	if err == nil {
		err = os.Chmod(parent, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(parent) })
	return parent
}

func checkEmpty(t *testing.T, folder string) {
	t.Helper()
	if entries, err := os.ReadDir(folder); err != nil || len(entries) > 0 {
		t.Errorf("left are %v, %v", entries, err)
	}
}

// awaitEnd waits until the last process that inherited the other end of a pipe is gone.
func awaitEnd(t *testing.T, pipe *os.File) {
	t.Helper()
	if err := pipe.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, pipe); err != nil {
		t.Errorf("processes are left: %v", err)
	}
}

// next returns the next line of output, without what a terminal adds.
func next(t *testing.T, lines *bufio.Scanner) string {
	t.Helper()
	if !lines.Scan() {
		t.Fatalf("the output ended: %v", lines.Err())
	}
	return strings.TrimSpace(lines.Text())
}
