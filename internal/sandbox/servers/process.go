package servers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a running server with all its child processes.
type process struct {
	command *exec.Cmd
	gone    *os.File // ends when the last of them is gone
}

// exited waits for the end of all processes, no longer than the given time.
func (p *process) exited(within time.Duration) bool {
	if err := p.gone.SetReadDeadline(time.Now().Add(within)); err != nil {
		return false
	}
	_, err := p.gone.Read(make([]byte, 1)) // nobody writes
	return err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
}

// wait returns when all processes are gone, with the error of the first one's exit.
func (p *process) wait(within time.Duration) error {
	if !p.exited(within) {
		return fmt.Errorf("process %d is still there after %s", p.command.Process.Pid, within)
	}
	return errors.Join(p.command.Wait(), p.gone.Close())
}

// waitContext is [process.wait] with a context instead of a time; it kills the processes when the context ends.
func (p *process) waitContext(ctx context.Context) error {
	for !p.exited(20 * time.Millisecond) {
		if ctx.Err() != nil {
			return errors.Join(ctx.Err(), p.kill())
		}
	}
	return p.wait(time.Second)
}

// kill ends all processes at once, as a power failure would, and returns when they are gone.
func (p *process) kill() error {
	pid := p.command.Process.Pid
	// A stopped parent neither notices that its children die nor has new ones.
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return err
	}
	err := signalChildren(pid, syscall.SIGKILL, "Z")
	if err := errors.Join(err, syscall.Kill(pid, syscall.SIGKILL)); err != nil {
		return err
	}
	err = p.wait(patience)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil // that it was killed is no news
	}
	return err
}

// pause stops all processes where they are. They keep their connections, but answer nothing.
func (p *process) pause() error {
	pid := p.command.Process.Pid
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return err
	}
	return signalChildren(pid, syscall.SIGSTOP, "TZ")
}

// resume undoes pause.
func (p *process) resume() error {
	pid := p.command.Process.Pid
	err := signalChildren(pid, syscall.SIGCONT, "")
	return errors.Join(err, syscall.Kill(pid, syscall.SIGCONT))
}

// patience bounds every wait for what the system does at once when it is well.
const patience = 10 * time.Second

// signalChildren sends a signal to every child of a process until each is in one of the given states (as ps names them:
// T stopped, Z dead). No states means once.
func signalChildren(parent int, signal syscall.Signal, states string) error {
	for deadline := time.Now().Add(patience); ; {
		children, err := childrenOf(parent)
		if err != nil {
			return err
		}
		waiting := 0
		for pid, state := range children {
			if strings.Contains(states, state) {
				continue
			}
			waiting++
			if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
				return err
			}
		}
		if waiting == 0 || states == "" {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d children of process %d did not obey signal %d", waiting, parent, signal)
		}
		time.Sleep(time.Millisecond)
	}
}

// childrenOf returns the state of each child process.
func childrenOf(parent int) (map[int]string, error) {
	children := make(map[int]string)
	files, _ := filepath.Glob("/proc/[0-9]*/stat") // fails on a bad pattern only
	for _, file := range files {
		stat, err := os.ReadFile(file)
		if err != nil {
			continue // gone meanwhile
		}
		// "pid (name) state parent …": the name may hold anything.
		pid, rest := filepath.Base(filepath.Dir(file)), string(stat[strings.LastIndexByte(string(stat), ')')+1:])
		addChild(children, parent, append([]string{pid}, strings.Fields(rest)...))
	}
	if len(files) > 0 {
		return children, nil
	}
	//nolint:noctx // ends at once
	output, err := exec.Command("ps", "-A", "-o", "pid=,stat=,ppid=").Output() // not Linux
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	for line := range strings.Lines(string(output)) {
		addChild(children, parent, strings.Fields(line))
	}
	return children, nil
}

// addChild adds the process that a row of id, state and parent's id describes, if the parent is the wanted one.
func addChild(children map[int]string, parent int, row []string) {
	if len(row) < 3 || row[2] != strconv.Itoa(parent) {
		return
	}
	if pid, err := strconv.Atoi(row[0]); err == nil {
		children[pid] = row[1][:1]
	}
}
