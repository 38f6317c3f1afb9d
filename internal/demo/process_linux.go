package demo

import "syscall"

// ownedProcess is a process that doesn't outlive this one, however that ends, and that a terminal's Ctrl-C doesn't reach:
// this one tells it to end.
func ownedProcess() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
