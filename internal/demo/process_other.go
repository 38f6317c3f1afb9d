//go:build !linux

package demo

import "syscall"

// ownedProcess is an ordinary process: this system can't tie a process's life to its parent's. It gets a terminal's Ctrl-C
// as well, so that it ends even where this process was killed.
func ownedProcess() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }
