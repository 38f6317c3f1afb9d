package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// inForeground tells whether a Ctrl-C at the terminal reaches this process, and so any it starts in its group.
func inForeground() bool {
	terminal, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	defer terminal.Close()
	group, err := unix.IoctlGetInt(int(terminal.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}
