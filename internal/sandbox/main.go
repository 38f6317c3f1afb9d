// Command sandbox runs a command with a private Postgres and a private Redis:
//
//	go run ./internal/sandbox [-durable] -- COMMAND [ARGUMENT...]
//
// With -durable they keep what they confirm, as servers in use do. Without it they are faster, and INVOICER_ALLOW_UNSAFE lets
// workers start there nevertheless: this is for tests.
//
// The command finds them through INVOICER_DATABASE_URL and INVOICER_REDIS_URL. A variable that is set already is left
// as it is, and that server is not started. When the command has ended, or this process, or the go command that runs
// it, in whatever way, the servers are gone with everything they wrote.
//
// The exit code is the command's, or 128 and the number of the signal that ended it; 1 when a server cannot be started,
// 2 for a wrong usage, and as in a shell 126 or 127 when there is no such command. (The go command itself reports any of
// them as 1.)
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

const (
	databaseVariable = "INVOICER_DATABASE_URL"
	redisVariable    = "INVOICER_REDIS_URL"
)

func main() {
	// The command dies with the thread that started it, so that has to be one that lives as long as this process.
	runtime.LockOSThread()
	os.Exit(run(os.Args[1:], os.Stderr))
}

func run(args []string, stderr io.Writer) int {
	durable := len(args) > 0 && args[0] == "-durable"
	if durable {
		args = args[1:]
	}
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		fmt.Fprintln(stderr, "usage: go run ./internal/sandbox [-durable] -- COMMAND [ARGUMENT...]")
		return 2
	}
	path, err := exec.LookPath(args[0])
	if err != nil {
		fmt.Fprintln(stderr, "sandbox:", err)
		return notRunnable(err)
	}
	if os.Getenv(databaseVariable) != "" && os.Getenv(redisVariable) != "" {
		err := syscall.Exec(path, args, os.Environ()) // returns only when it fails
		fmt.Fprintf(stderr, "sandbox: %s: %v\n", path, err)
		return notRunnable(err)
	}

	stop := make(chan os.Signal, 8)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	go watchParent(os.Getppid(), stop)

	started, by, err := startServers(durable, stop)
	switch {
	case err != nil:
		fmt.Fprintln(stderr, "sandbox:", err)
		return 1
	case by != nil:
		return 128 + number(by)
	}
	code, err := runCommand(path, args, started.environment, stop)
	if err := errors.Join(err, started.close()); err != nil {
		fmt.Fprintln(stderr, "sandbox:", err)
		return max(code, 1)
	}
	return code
}

// notRunnable returns what a shell would for a command that cannot be run.
func notRunnable(err error) int {
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
		return 127
	}
	return 126
}

// watchParent asks for an end when the process that started this one is gone: the go command that runs it was killed,
// and nobody would wait for it any more. It watches as long as this process lives, so nobody waits for it either.
func watchParent(parent int, stop chan<- os.Signal) {
	for os.Getppid() == parent {
		time.Sleep(100 * time.Millisecond)
	}
	stop <- syscall.SIGTERM
}

// number returns 0 for what is no signal of this system.
func number(s os.Signal) int {
	n, _ := s.(syscall.Signal)
	return int(n)
}

// runCommand returns the command's exit code. What it is asked to stop by, the command is told.
func runCommand(path string, args, environment []string, stop <-chan os.Signal) (int, error) {
	command := exec.CommandContext(context.Background(), path, args[1:]...)
	command.Args[0] = args[0]
	command.Env = append(os.Environ(), environment...)
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	ownGroup := !inForeground()
	command.SysProcAttr = dyingWithParent()
	command.SysProcAttr.Setpgid = ownGroup
	if err := command.Start(); err != nil {
		return notRunnable(err), err
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	for {
		select {
		case s := <-stop:
			pass(number(s), command.Process.Pid, ownGroup)
		case err := <-ended:
			return exitCode(command.ProcessState, err)
		}
	}
}

// pass hands a signal on, so that the command gets it exactly once: what a terminal sends, it sends to all processes in
// the foreground, the command among them; anywhere else the command has a process group of its own, and whoever is in
// there (the test binaries of go test) is told as a terminal would tell them.
func pass(signal, pid int, ownGroup bool) {
	switch {
	case ownGroup:
		pid = -pid
	case signal != int(syscall.SIGTERM):
		return
	}
	_ = syscall.Kill(pid, syscall.Signal(signal)) // it may just have ended
}

func exitCode(state *os.ProcessState, err error) (int, error) {
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 1, err
	}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return state.ExitCode(), nil
}
