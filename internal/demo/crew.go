package demo

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// A crew is our workers, each a process of its own.
type crew struct {
	command func() *exec.Cmd
	observe func(worker int, line logLine)
	failed  chan error // gets what ended a worker that nobody has told to end

	mu      sync.Mutex
	members []*member
	error   string // the latest that any of them has logged
}

type member struct {
	number  int
	process *exec.Cmd
	toEnd   bool          // it was told to
	ended   chan struct{} // closed
}

func newCrew(command func() *exec.Cmd, observe func(int, logLine)) *crew {
	return &crew{command: command, observe: observe, failed: make(chan error, 1)}
}

// start starts so many more workers.
func (c *crew) start(n int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for range n {
		m := &member{number: len(c.members) + 1, process: c.command(), ended: make(chan struct{})}
		m.process.SysProcAttr = ownedProcess()
		stderr, err := m.process.StderrPipe()
		if err != nil {
			return err
		}
		if err := m.process.Start(); err != nil {
			return fmt.Errorf("worker %d doesn't start: %w", m.number, err)
		}
		c.members = append(c.members, m)
		go c.follow(m, stderr)
	}
	return nil
}

// follow reads what a worker logs, until it has ended.
func (c *crew) follow(m *member, stderr io.Reader) {
	defer close(m.ended)
	last := "" // words, such as why it ends
	lines := bufio.NewReader(stderr)
	for {
		text, err := lines.ReadBytes('\n')
		var line logLine
		if json.Unmarshal(text, &line) == nil && line.Message != "" {
			c.observe(m.number, line)
			if line.Level == slog.LevelError.String() {
				c.mu.Lock()
				c.error = fmt.Sprintf(" Worker %d says: %s (%s)", m.number, line.Message, line.Error)
				c.mu.Unlock()
			}
		} else if text = bytes.TrimSpace(text); len(text) > 0 {
			last = ": " + string(text)
		}
		if err != nil {
			break
		}
	}
	err := m.process.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.toEnd {
		return
	}
	if err == nil {
		err = errors.New("nobody has told it to")
	}
	select {
	case c.failed <- fmt.Errorf("worker %d has ended (%w)%s", m.number, err, last):
	default: // somebody else's end is known already
	}
}

// complaint is the latest error that any worker has logged, "" if none has.
func (c *crew) complaint() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.error
}

// kill ends a worker as kill -9 does, and returns once it is dead.
func (c *crew) kill(number int) (pid int, err error) {
	c.mu.Lock()
	m := c.members[number-1]
	m.toEnd = true
	c.mu.Unlock()
	if err := m.process.Process.Kill(); err != nil {
		return 0, fmt.Errorf("kill worker %d: %w", number, err)
	}
	<-m.ended
	return m.process.Process.Pid, nil
}

// endsWithin is how long a worker may take to end. It has nothing left to do, or somebody waits for the end.
const endsWithin = 20 * time.Second

// run waits until the workers are to end, and until they have.
func (c *crew) run(ctx context.Context) error {
	<-ctx.Done()
	c.mu.Lock()
	members := c.members
	for _, m := range members {
		m.toEnd = true
		_ = m.process.Process.Signal(syscall.SIGTERM) // it may have ended
	}
	c.mu.Unlock()
	late := time.NewTimer(endsWithin)
	defer late.Stop()
	for _, m := range members {
		select {
		case <-m.ended:
		case <-late.C:
			for _, m := range members {
				_ = m.process.Process.Kill() // likewise
			}
			<-m.ended
		}
	}
	return nil
}
