// Package terminaltest gives tests a terminal, for code that behaves differently on one.
package terminaltest

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Start starts a command on a terminal of its own, as the shell's foreground job would be, and returns the person's side
// of it: what is written to it is typed, what is read from it was shown. Reading it ends with an error when the last
// process has left the terminal.
func Start(t testing.TB, command *exec.Cmd) *os.File {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { person.Close() })
	number, err := prepare(person)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err := os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	command.Stdin, command.Stdout, command.Stderr = terminal, terminal, terminal
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	return person
}

// prepare unlocks the other side and returns its number.
func prepare(person *os.File) (number int, err error) {
	raw, err := person.SyscallConn()
	if err != nil {
		return 0, err
	}
	controlErr := raw.Control(func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
			number, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	})
	if controlErr != nil {
		return 0, fmt.Errorf("terminal: %w", controlErr)
	}
	return number, err
}
