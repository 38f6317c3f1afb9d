package main

import "syscall"

// dyingWithParent has the system kill a child process when the thread that started it is gone.
func dyingWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
