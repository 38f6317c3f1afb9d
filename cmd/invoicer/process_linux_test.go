package main

import (
	"os/exec"
	"syscall"
)

// dieWithParent covers the ends of a test run that run no clean-up: a time-out, a panic, a kill.
func dieWithParent(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
